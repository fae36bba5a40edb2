"""A task: one piece of work for a worker, as it travels."""

import json
from dataclasses import dataclass, field
from typing import Any

from banyan.kernel.errors import BanyanError
from banyan.kernel.ids import new_id

FORMAT = 1


class TaskUnreadable(BanyanError):
    code = "task_unreadable"
    detail = "This is no task that this version can read."


@dataclass(frozen=True, slots=True)
class Task:
    """kind: names what is to be done, and so who does it. data: JSON; a secret in it is sealed by whoever puts it there.

    id: the same one again for the same work, so that whoever does it can tell a repeat. trace: the W3C `traceparent` of
    what brought it about.
    """

    kind: str
    user_id: str
    data: dict[str, Any]
    id: str = field(default_factory=new_id)
    trace: str | None = None

    def encode(self) -> bytes:
        body = {
            "format": FORMAT,
            "id": self.id,
            "kind": self.kind,
            "user_id": self.user_id,
            "data": self.data,
        }
        return json.dumps(
            body | ({"trace": self.trace} if self.trace else {}), separators=(",", ":")
        ).encode()

    @classmethod
    def decode(cls, body: bytes) -> "Task":
        """Raises TaskUnreadable. What a newer version added beside these fields is passed over."""
        try:
            read = json.loads(body)
            task = cls(read["kind"], read["user_id"], read["data"], read["id"], read.get("trace"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TaskUnreadable() from error
        texts = (task.kind, task.user_id, task.id)
        if read.get("format") != FORMAT or not all(isinstance(text, str) for text in texts):
            raise TaskUnreadable()
        if not isinstance(task.data, dict) or not isinstance(task.trace, str | None):
            raise TaskUnreadable()
        return task
