"""What processes use: processor and memory, with all that they have started."""

from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Used:
    """cpu_percent: of one processor, since the last look. memory_bytes: without counting shared pages twice."""

    cpu_percent: float
    memory_bytes: int


class Usage:
    """Looks at processes now and then; the first look at one finds 0 % of processor."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def look(self, pids: list[int]) -> dict[int, Used]:
        """What each of these processes uses, by pid; one that is gone is left out."""
        trees = {pid: self._tree(pid) for pid in pids}
        # Kept from look to look: psutil measures the processor between two questions to the same object.
        self._known = {process.pid: process for tree in trees.values() for process in tree}
        return {pid: _sum(tree) for pid, tree in trees.items() if tree}

    def _tree(self, pid: int) -> list[psutil.Process]:
        try:
            leader = psutil.Process(pid)
            tree = [leader, *leader.children(recursive=True)]
        except psutil.Error:
            return []
        known = [self._known.get(process.pid) for process in tree]
        return [old if old == new and old is not None else new for old, new in zip(known, tree, strict=True)]


def _sum(tree: list[psutil.Process]) -> Used:
    cpu, private, shared = 0.0, 0, 0
    for process in tree:
        with suppress(psutil.Error):
            with process.oneshot():
                cpu += process.cpu_percent()
                memory = process.memory_info()
            # A server's processes share most of their pages with each other, above all PostgreSQL's.
            common = getattr(memory, "shared", 0)
            private += memory.rss - common
            shared = max(shared, common)
    return Used(round(cpu, 1), private + shared)
