"""One server a data folder: a lock file that the serving process holds as long as it lives.

A server trusts its own caches of a SQLite file because it is the only server on it; a second one would answer from
what it remembers. The lock is the kernel's (`flock`): it is gone with its process, however that ends, so there are no
stale locks. The file stays; what is in it says who holds the lock, and where that process can be reached.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "banyan.lock"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who serves a data folder. url: None until its socket is bound."""

    pid: int
    url: str | None = None


class DataDirBusy(Exception):
    """Another process serves this data folder. holder: None when it has not yet said who it is."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__("another process serves this data folder")
        self.holder = holder


class DataLock:
    """Hold it while serving; `acquire` and `release` in one process. file_name: another one is another lock."""

    def __init__(self, data_dir: Path, file_name: str = FILE_NAME) -> None:
        self._path = data_dir / file_name
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting. Raises DataDirBusy."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataDirBusy(_read(self._path)) from None
        self._descriptor = descriptor
        self.announce(None)

    def announce(self, url: str | None) -> None:
        """Write down who holds the lock and where it serves."""
        assert self._descriptor is not None, "announce() needs the lock"
        text = json.dumps(asdict(Holder(os.getpid(), url))).encode()
        # In one write and not through a new file: the lock is on this one. A reader that meets half of it sees no JSON.
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def leave_to_parent(self) -> None:
        """In a forked process: have no part in the parent's lock, which else would outlive the parent with us."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def release(self) -> None:
        """Let go; safe to repeat."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
