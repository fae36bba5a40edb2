"""What other modules may know of to-dos: one command, and their events.

`TodoReminded` tells that a to-do asked for attention: `data` = {kind: "reminder" | "due", title, due_at, remind_at};
its subject is the to-do. Each reminder of a to-do is told exactly once.
"""

from collections.abc import Sequence
from typing import Protocol

STREAM = "todos"
MOST_REMINDERS = 100

TODO_CREATED = "TodoCreated"
TODO_CHANGED = "TodoChanged"
TODO_DELETED = "TodoDeleted"
TODO_REMINDED = "TodoReminded"
LIST_CREATED = "ListCreated"
LIST_CHANGED = "ListChanged"
LIST_DELETED = "ListDeleted"


class Todos(Protocol):
    async def tell_reminders(self, user_id: str, todo_ids: Sequence[str]) -> int:
        """Tell the reminders of these to-dos of a user that are due; returns how many were.

        Each is told once: repeating it, also at the same moment in two places, tells nothing again. Ids of to-dos that
        are gone, or whose time was changed meanwhile, are passed over. At most MOST_REMINDERS of them.
        """
        ...
