"""What other modules may know of to-dos: their events.

`TodoReminded` tells that a to-do asked for attention: `data` = {kind: "reminder" | "due", title, due_at, remind_at};
its subject is the to-do. Each reminder of a to-do is told exactly once.
"""

STREAM = "todos"

TODO_CREATED = "TodoCreated"
TODO_CHANGED = "TodoChanged"
TODO_DELETED = "TodoDeleted"
TODO_REMINDED = "TodoReminded"
LIST_CREATED = "ListCreated"
LIST_CHANGED = "ListChanged"
LIST_DELETED = "ListDeleted"
