"""The client's own record of what it asked for and what it was told: an intent before each request, an outcome after it.

A server that dies takes its memory with it; this log is what remains to judge it by. It is on the disk before the
request leaves, so that no effect can be without its intent.
"""

import json
import math
import os
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["done", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a client did to one place.

    kind: `write` (a creation or a change; value: what it writes), `delete`, `notify` or `read` (value: what was read,
    None for absent). place: what it concerns, such as `user/todo`. started, ended: monotonic seconds; an operation whose
    outcome is not known has no end. outcome: `done` was acknowledged, `refused` definitely has no effect.
    """

    number: int
    worker: str
    kind: str
    place: str
    value: str | None
    started: float
    ended: float = math.inf
    outcome: Outcome = "unknown"


class IntentLog:
    """Appends to a file, each entry on the disk before the call returns; entries of one moment share an fsync."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Condition()
        self._pending: list[bytes] = []
        self._taken = 0
        self._written = 0
        self._writing = False
        self._next_number = 0
        self._operations: dict[int, Operation] = {}

    def intend(self, worker: str, kind: str, place: str, value: str | None = None) -> Operation:
        """Write down what is about to be asked for."""
        with self._lock:
            number = self._next_number
            self._next_number += 1
        operation = Operation(number, worker, kind, place, value, time.monotonic())
        self._operations[number] = operation
        self._append({"intent": asdict(operation)})
        return operation

    def settle(self, operation: Operation, outcome: Outcome, *, value: str | None = None) -> Operation:
        """Write down what came of it. value: what a read found."""
        ended = math.inf if outcome == "unknown" else time.monotonic()
        settled = replace(operation, outcome=outcome, ended=ended)
        if operation.kind == "read":
            settled = replace(settled, value=value)
        self._operations[operation.number] = settled
        self._append({"outcome": outcome, "number": operation.number, "ended": ended, "value": settled.value})
        return settled

    def operations(self) -> list[Operation]:
        return [self._operations[number] for number in sorted(self._operations)]

    def close(self) -> None:
        os.close(self._file)

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        with self._lock:
            self._pending.append(line)
            self._taken += 1
            mine = self._taken
            while self._written < mine:
                if self._writing:
                    self._lock.wait()
                    continue
                self._write_pending()

    def _write_pending(self) -> None:
        """Called with the lock held; lets it go while the disk works."""
        lines, upto = b"".join(self._pending), self._taken
        self._pending.clear()
        self._writing = True
        self._lock.release()
        try:
            os.write(self._file, lines)
            os.fsync(self._file)
        finally:
            self._lock.acquire()
            self._writing = False
            self._written = upto
            self._lock.notify_all()
