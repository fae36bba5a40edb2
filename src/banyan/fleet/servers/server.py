"""What it takes to run a server: the same description serves `banyan fleet` and the tests."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class MissingProgram(Exception):
    """A server is not on this machine; the text is one sentence that says what to install."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server process, described but not started.

    prepare: makes what the process needs in its own folder, such as a configuration; blocks, and may be repeated.
    is_ready: asks it over its socket, at once; False while it is not ready, and never an error.
    user: whom it runs as when we are root. before_stop: lets it finish what it has in hand; blocks, and is never an error.
    stop_signal: what then ends it in good order, within `stop_seconds`.
    """

    name: str
    argv: Sequence[str]
    folder: Path
    is_ready: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    before_stop: Callable[[], None] = lambda: None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0

    @property
    def runs_as(self) -> str | None:
        """The user to change to before it starts; None to stay who we are."""
        return self.user if os.geteuid() == 0 else None
