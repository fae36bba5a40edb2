"""Targets: which modules and loops a process runs. The monolith is just `all`."""

from dataclasses import dataclass

MODULES = ("users", "todos", "notifications")


@dataclass(frozen=True, slots=True)
class Target:
    """modules: what it serves. loops: which background work it does besides its modules' own."""

    modules: tuple[str, ...]
    loops: tuple[str, ...]
    web: bool = True


TARGETS: dict[str, Target] = {
    "all": Target(modules=MODULES, loops=("relay", "retries", "foreign-commits", "housekeeping")),
}
