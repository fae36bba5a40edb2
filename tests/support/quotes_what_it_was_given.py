"""A broken twin of the server: it cannot make lists, and the errors that it raises quote what it was given.

Run it like `python -m banyan`.
"""

from banyan.cli import main
from banyan.infra.db.transaction import Transaction
from banyan.modules.todos.list_service import ListService


async def refuse(self: ListService, tx: Transaction, *given: object) -> None:
    try:
        raise KeyError(given)
    except KeyError as error:
        raise ValueError(f"{given} cannot be stored") from error


if __name__ == "__main__":
    ListService._create = refuse  # pyright: ignore[reportAttributeAccessIssue]
    main()
