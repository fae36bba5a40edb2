"""What a database may refuse."""

from banyan.kernel.errors import Conflict


class UniqueViolation(Conflict):
    """A unique key is taken. constraint: the columns or the name of the key, as the database words it."""

    code = "already_exists"
    detail = "Something with the same unique value exists already."

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint=constraint)
        self.constraint = constraint
