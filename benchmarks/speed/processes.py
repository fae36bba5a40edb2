"""What processes have used, read from /proc: CPU time and memory of whole process trees."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class Tree:
    """Processes and everything that they have started. PostgreSQL's backends are children of its postmaster, the workers of
    a cluster children of its primary: the root's pid is enough."""

    roots: tuple[int, ...]

    @classmethod
    def of(cls, *pids: int) -> Self:
        return cls(pids)

    def cpu_seconds(self) -> float:
        """User and system time so far, to 10 ms; also of descendants that have ended and were waited for."""
        used = 0.0
        for process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:  # it ended just now: its parent has counted it
                continue
            used += times.user + times.system + times.children_user + times.children_system
        return used

    def memory_mib(self) -> float:
        """Resident memory in MiB; a page that several processes share is counted once, in parts (PSS).

        The sum of RSS would count PostgreSQL's shared buffers once for each connection, and the code of a forked worker again.
        """
        found = 0
        for process in self._processes():
            try:
                found += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:  # of another user: all that may be seen
                found += process.memory_info().rss
        return found / 2**20

    def _processes(self) -> Iterable[psutil.Process]:
        for pid in self.roots:
            root = psutil.Process(pid)
            yield root
            yield from root.children(recursive=True)


@dataclass(slots=True)
class Meter:
    """CPU time from one moment on: `meter = Meter(tree); …; meter.seconds()`."""

    tree: Tree
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.tree.cpu_seconds()

    def seconds(self) -> float:
        return self.tree.cpu_seconds() - self.began

    def us_per(self, requests: int) -> float:
        """Microseconds for each of so many requests."""
        return self.seconds() / requests * 1e6
