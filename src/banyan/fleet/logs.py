"""What the processes print: a file for each, and all of them read as one."""

import heapq
import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# A file that has grown past this is put aside when its process starts the next time.
MAX_LOG_BYTES = 10_000_000
KEPT_FILES = 3
FOLLOW_SECONDS = 0.1

# 2026-11-21T06:31:38.877Z, 2026-11-21 06:31:38.877 UTC, [2026-11-21 06:31:38.877]
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:[.,]\d+)?)")
# Fields of a line that are shown in a place of their own, or not at all.
_SHOWN_APART = {
    "@timestamp",
    "ecs.version",
    "event",
    "event.action",
    "level",
    "log.level",
    "log.logger",
    "log_level",
    "logger_name",
    "process.pid",
    "service.name",
    "service.version",
}
# What happened: ours, and that of the gateway and of the servers.
_HAPPENED = ("event.action", "event")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one process. at: when it was written, as far as the line says so; otherwise the time of the one before."""

    at: str
    name: str
    text: str


def opened_log(path: Path) -> IO[bytes]:
    """A log to append to; a large one is put aside first, and the oldest is forgotten."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        for number in range(KEPT_FILES - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))
    # The logs of a fleet are nobody else's business.
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def tail_of(path: Path, *, since: int = 0, until: int | None = None, lines: int = 12) -> str:
    """The last lines of a log, of those between the bytes `since` and `until`."""
    try:
        with path.open("rb") as log:
            log.seek(since)
            whole = log.read(-1 if until is None else until - since)
    except OSError:
        return ""
    return b"\n".join(deque(whole.splitlines(), lines)).decode("utf-8", errors="replace")


class Reading:
    """Several logs read as one, from the moment at which this is made: what was before, and what comes after it."""

    def __init__(self, logs: dict[str, Path]) -> None:
        self._readers = [_Reader(name, path) for name, path in logs.items()]

    def past(self, count: int) -> list[LogLine]:
        """The last lines of all these processes together, oldest first."""
        merged = heapq.merge(*(reader.past(count) for reader in self._readers), key=lambda line: line.at)
        return list(deque(merged, count))

    def coming(self) -> Iterator[LogLine]:
        """What is written from then on, for ever. A log that appears, or begins anew, is read from its beginning."""
        while True:
            lines = [line for reader in self._readers for line in reader.read()]
            yield from sorted(lines, key=lambda line: line.at)
            if not lines:
                time.sleep(FOLLOW_SECONDS)


def for_people(text: str) -> str:
    """A line of JSON as words: the time, the level, what happened, and the facts. Other lines stay as they are."""
    fields = _as_json(text)
    happened = next((fields[name] for name in _HAPPENED if name in fields), None) if fields else None
    if fields is None or happened is None:
        return text
    # Ours says the same again in words; what a library says is there only.
    hidden = _SHOWN_APART if happened == "library_message" else _SHOWN_APART | {"message"}
    at = _TIME.search(str(fields.get("@timestamp", "")))
    facts = " ".join(
        f"{name.removeprefix('banyan.')}={_fact(value)}"
        for name, value in fields.items()
        if name not in hidden
    )
    level = next((str(fields[name]) for name in ("log.level", "level", "log_level") if name in fields), "")
    return f"{at[2][:12] if at else ''} {level:<7} {happened}  {facts}".strip()


def _fact(value: Any) -> str:
    return (
        value
        if isinstance(value, str) and value and " " not in value
        else json.dumps(value, ensure_ascii=False)
    )


class _Reader:
    """Reads what is appended to one file; keeps half a line until its end comes."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._path = path
        self._inode: int | None = None
        self._offset = 0
        self._at = ""
        try:
            found = path.stat()
            self._inode, self._offset = found.st_ino, found.st_size
        except OSError:
            pass  # it has not been written to yet

    def past(self, count: int) -> list[LogLine]:
        return self._lines(tail_of(self._path, until=self._offset, lines=count))

    def read(self) -> list[LogLine]:
        try:
            found = self._path.stat()
            if found.st_ino != self._inode or found.st_size < self._offset:
                self._inode, self._offset = found.st_ino, 0
            if found.st_size == self._offset:
                return []
            with self._path.open("rb") as log:
                log.seek(self._offset)
                whole, end, _ = log.read().rpartition(b"\n")
        except OSError:
            return []
        self._offset += len(whole) + len(end)
        return self._lines(whole.decode("utf-8", errors="replace"))

    def _lines(self, texts: str) -> list[LogLine]:
        lines = []
        for text in texts.splitlines():
            self._at = _time_in(text) or self._at
            lines.append(LogLine(self._at, self._name, text))
        return lines


def _time_in(text: str) -> str | None:
    """The first time of day in a line, in a form that sorts."""
    found = _TIME.search(text[:400])
    return f"{found[1]} {found[2].replace(',', '.')}" if found else None


def _as_json(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
