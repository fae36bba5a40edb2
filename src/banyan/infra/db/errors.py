"""What a database may refuse."""

from banyan.kernel.errors import Conflict, Unavailable


class UniqueViolation(Conflict):
    """A unique key is taken. constraint: the columns or the name of the key, as the database words it."""

    code = "already_exists"
    detail = "Something with the same unique value exists already."

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint=constraint)
        self.constraint = constraint


class OutcomeUnknown(Unavailable):
    """The connection broke while the unit was being committed: it is done, or not, or will be in a moment.

    Who can find out may ask; to everybody else it is one more thing that does not answer.
    """
