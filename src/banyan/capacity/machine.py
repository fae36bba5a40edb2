"""What the machine and the server's processes use, from /proc. Elsewhere than on Linux nothing is known, and said so.

No library: what `banyan bench` needs must come with every installation.
"""

import os
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
# Programs that are no part of the application, by their names in /proc.
PARTS = {
    "postgres": "database",
    "postmaster": "database",
    "valkey-server": "redis",
    "redis-server": "redis",
    "envoy": "gateway",
    "beam.smp": "broker",
    "java": "broker",
}
APPLICATION = "application"
# /proc/diskstats counts partitions too; a disk of its own is what /sys/block lists. Loop and RAM devices are no disks.
NO_DISKS = ("loop", "ram", "zram", "dm-", "md")


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    name: str
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look. cpu_seconds: of each process of the machine that could be seen, by pid. parts: what these are.

    busy_seconds, all_seconds: of all cores together. disk_seconds: for how long each disk had something to do.
    """

    at: float
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    parts: dict[int, str] = field(default_factory=dict)
    busy_seconds: float = 0.0
    stolen_seconds: float = 0.0
    all_seconds: float = 0.0
    disk_seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Between two looks. Processors are in cores: 1.0 is one core's whole time. None: not known on this machine.

    parts: of the application, the database, …, with all their processes. busiest: of the application's processes, the one
    that used most. application_processes: those that did something. others: programs that are no part of the measurement,
    and what the machine's host gave to others. machine: share of all cores that was used. disk: share of the time in which the
    busiest disk had something to do.
    """

    cores: int
    parts: dict[str, float] | None = None
    busiest: float | None = None
    generator: float | None = None
    others: float | None = None
    machine: float | None = None
    disk: float | None = None

    @property
    def application(self) -> float | None:
        return None if self.parts is None else self.parts.get(APPLICATION, 0.0)


class Machine:
    """Looks at a server's processes and at everything around them.

    roots: the server's processes; what they have started belongs to them. Empty for a server that is not on this machine.
    beside: database servers and the like are part of it wherever on this machine they were started from.
    """

    def __init__(self, roots: Collection[int], *, beside: bool = True) -> None:
        self._roots = frozenset(roots)
        self._beside = beside and bool(roots)
        self._ticks = os.sysconf("SC_CLK_TCK")

    def look(self) -> Snapshot:
        at = time.perf_counter()
        if not (PROC / "stat").exists():
            return Snapshot(at)
        processes = list(self._processes())
        busy, stolen, everything = self._processor()
        return Snapshot(
            at,
            {process.pid: process.cpu_seconds for process in processes},
            self._parts(processes),
            busy,
            stolen,
            everything,
            _disks(),
        )

    def between(self, before: Snapshot, after: Snapshot) -> Usage:
        cores = os.cpu_count() or 1
        elapsed = after.at - before.at
        if not after.cpu_seconds or elapsed <= 0:
            return Usage(cores)
        used = {
            pid: max(0.0, seconds - before.cpu_seconds.get(pid, 0.0)) / elapsed
            for pid, seconds in after.cpu_seconds.items()
        }
        parts: dict[str, float] = {}
        for pid, part in after.parts.items():
            parts[part] = parts.get(part, 0.0) + used[pid]
        of_application = [used[pid] for pid, part in after.parts.items() if part == APPLICATION]
        generator = used.get(os.getpid(), 0.0)
        stolen = (after.stolen_seconds - before.stolen_seconds) / elapsed
        all_seconds = after.all_seconds - before.all_seconds
        busy = after.busy_seconds - before.busy_seconds
        disks = (
            seconds - before.disk_seconds.get(name, seconds) for name, seconds in after.disk_seconds.items()
        )
        return Usage(
            cores,
            parts if self._roots else None,
            max(of_application, default=0.0) if self._roots else None,
            generator,
            max(0.0, busy / elapsed - sum(parts.values()) - generator) + stolen,
            min(1.0, (busy + stolen * elapsed) / all_seconds) if all_seconds else None,
            min(1.0, max(disks) / elapsed) if after.disk_seconds else None,
        )

    def _processes(self) -> "list[_Process]":
        found = []
        for folder in PROC.iterdir():
            if folder.name.isdigit():
                # A process may end while it is looked at.
                with suppress(OSError, ValueError, IndexError):
                    head, _, rest = (folder / "stat").read_text().rpartition(")")
                    fields = rest.split()
                    cpu = (int(fields[11]) + int(fields[12])) / self._ticks
                    found.append(_Process(int(folder.name), int(fields[1]), head.partition("(")[2], cpu))
        return found

    def _parts(self, processes: "list[_Process]") -> dict[int, str]:
        """What the processes of the server are."""
        children: dict[int, list[_Process]] = {}
        for process in processes:
            children.setdefault(process.parent, []).append(process)
        tree = [process for process in processes if process.pid in self._roots]
        for process in tree:
            tree.extend(children.get(process.pid, ()))
        ours = os.getpid()
        parts = {process.pid: PARTS.get(process.name, APPLICATION) for process in tree if process.pid != ours}
        for process in processes:
            if process.name in PARTS and self._beside:
                parts.setdefault(process.pid, PARTS[process.name])
        return parts

    def _processor(self) -> tuple[float, float, float]:
        """Seconds of all cores so far: busy, taken by the machine's host, and all."""
        line = (PROC / "stat").read_text().partition("\n")[0]
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, line.split()[1:9])
        busy = user + nice + system + irq + softirq
        return (
            busy / self._ticks,
            steal / self._ticks,
            (busy + steal + idle + iowait) / self._ticks,
        )


def _disks() -> dict[str, float]:
    found = {}
    with suppress(OSError, ValueError, IndexError):
        names = {block.name for block in Path("/sys/block").iterdir()}
        for line in (PROC / "diskstats").read_text().splitlines():
            fields = line.split()
            if fields[2] in names and not fields[2].startswith(NO_DISKS):
                found[fields[2]] = int(fields[12]) / 1000
    return found


def listeners(port: int) -> set[int]:
    """The processes of this user that listen on a TCP port here, each as the first of its family: the `banyan` that started the
    others. Empty where that cannot be seen."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    return {_eldest(pid) for pid in _holders(sockets)}


def _holders(sockets: set[str]) -> set[int]:
    found = set()
    if not sockets:
        return found
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # another user's, or gone
                for descriptor in (folder / "fd").iterdir():
                    with suppress(OSError):
                        if str(descriptor.readlink()) in sockets:
                            found.add(int(folder.name))
                            break
    return found


def _eldest(pid: int) -> int:
    """The process above that is still Banyan: a supervisor of a fleet, or the parent of workers."""
    with suppress(OSError, ValueError, IndexError):
        parent = int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        words = (PROC / str(parent) / "cmdline").read_bytes().split(b"\0")
        if any(word == b"banyan" or word.endswith(b"/banyan") for word in words[:4]):
            return _eldest(parent)
    return pid
