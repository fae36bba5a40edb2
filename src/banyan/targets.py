"""Targets: what a process runs. The monolith is just `all`.

all             everything
users           accounts and sessions; also the web application and the documentation
todos           to-dos and lists
notifications   inboxes; also live updates, of every module's streams
relay           takes the events of every database to the bus
"""

from dataclasses import dataclass

MODULES = ("users", "todos", "notifications")


@dataclass(frozen=True, slots=True)
class Target:
    """modules: what it serves, and whose events' consumers and loops it runs. relays: whether it takes events to the bus.
    live: whether it serves live updates. web: whether it serves the web application and the documentation."""

    modules: tuple[str, ...] = ()
    relays: bool = False
    live: bool = False
    web: bool = False

    @property
    def databases_of(self) -> tuple[str, ...]:
        """The modules whose databases it opens: a relay opens them all."""
        return MODULES if self.relays else self.modules


TARGETS: dict[str, Target] = {
    "all": Target(modules=MODULES, relays=True, live=True, web=True),
    "users": Target(modules=("users",), web=True),
    "todos": Target(modules=("todos",)),
    "notifications": Target(modules=("notifications",), live=True),
    "relay": Target(relays=True),
}
