"""Processes that get only so much of a core, by the kernel's control groups.

Capped far below a core, processes leave the rest of the machine to the database and the load generator: so two of them
find what they would find on cores of their own, on a machine that has no core to spare.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Short, so that a process that has used up its share waits for milliseconds.
PERIOD_US = 10_000


class CannotCap(Exception):
    """This machine does not let us; the text says why."""


@contextmanager
def capped(pids: Sequence[int], cores: float) -> Iterator[None]:
    """Each of these processes alone gets this part of a core inside. Raises CannotCap."""
    made: list[Path] = []
    home = _home()
    try:
        # One by one, so that those which were made are undone when another cannot be.
        made.extend(_cap(home, pid, cores) for pid in pids)
        yield
    finally:
        for group in made:
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(OSError):  # it has ended
                    (home / "cgroup.procs").write_text(pid)
            with suppress(OSError):
                group.rmdir()


def _home() -> Path:
    """Where groups that count processor time are made: version 2's one tree, or version 1's own one for it."""
    one = ROOT / "cpu"
    home = ROOT if (ROOT / "cgroup.controllers").exists() else one
    if not os.access(home, os.W_OK):
        raise CannotCap(f"{home} may not be written to")
    if home is ROOT:
        try:
            (ROOT / "cgroup.subtree_control").write_text("+cpu")
        except OSError as error:
            raise CannotCap(f"the processor cannot be shared out in {ROOT}: {error}") from error
    return home


def _cap(home: Path, pid: int, cores: float) -> Path:
    group = home / f"banyan-bench-{os.getpid()}-{pid}"
    quota = int(cores * PERIOD_US)
    try:
        group.mkdir()
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise CannotCap(str(error)) from error
    return group
