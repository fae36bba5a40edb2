"""What `banyan fleet up` shows: progress while it starts, then a table that stays up to date, then progress while it ends.

It draws in a thread of its own. A terminal that is halted with Ctrl-S, or a pipe that nobody reads, makes whoever writes to
it wait, and that must not be the supervisor.
"""

import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from banyan.fleet.report import STOP, Event
from banyan.fleet.status import FleetStatus
from banyan.fleet.table import drawn

FRAME_SECONDS = 0.1
CLOSE_SECONDS = 2.0


@dataclass(slots=True)
class _Step:
    name: str
    began: float
    is_stop: bool
    seconds: float | None = None
    failed: bool = False


class Screen:
    """A context manager, and a Report. banner: what is printed once when the fleet is up, above the table."""

    def __init__(self, console: Console, banner: Callable[[Console, str], None] | None = None) -> None:
        self._console = console
        self._banner = banner
        self._waiting: queue.SimpleQueue[Event | FleetStatus | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._draw, name="screen", daemon=True)
        self._steps: dict[str, _Step] = {}
        # One for all and for good: it turns by the time since it was made.
        self._spinner = Spinner("dots", style="cyan")
        self._title = "Starting"
        self._began = time.monotonic()
        self._status: FleetStatus | None = None
        self._live: Live | None = None

    @property
    def is_live(self) -> bool:
        """Whether somebody watches who sees a picture change."""
        return self._console.is_terminal

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        # A terminal that takes nothing must not keep the program from ending.
        self._thread.join(CLOSE_SECONDS)

    def __call__(self, event: Event) -> None:
        self._waiting.put(event)

    def show(self, status: FleetStatus) -> None:
        self._waiting.put(status)

    # In the thread

    def _draw(self) -> None:
        try:
            if not self.is_live:
                while (what := self._waiting.get()) is not None:
                    if isinstance(what, Event):
                        self._print(what)
                return
            with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
                while self._take():
                    self._live.update(self._picture(), refresh=True)
                self._keep_steps()
        except OSError:
            self._leave_terminal()

    def _leave_terminal(self) -> None:
        """The terminal is gone: what was not yet written must not be an error when the process ends."""
        with Path(os.devnull).open("w") as nowhere, suppress(OSError):
            os.dup2(nowhere.fileno(), self._console.file.fileno())

    def _take(self) -> bool:
        """Take in what has happened; False at the end. Returns after a frame, so that what moves can move."""
        try:
            what = self._waiting.get(timeout=FRAME_SECONDS if self._status is None else None)
            while what is not None:
                if isinstance(what, FleetStatus):
                    self._status = what
                else:
                    self._take_event(what)
                what = self._waiting.get_nowait()
        except queue.Empty:
            return True
        return False

    def _take_event(self, event: Event) -> None:
        is_stop = event.text == STOP
        match event.kind:
            case "begun":
                if is_stop and self._title != "Stopping":
                    self._keep_steps()
                    self._title, self._began = "Stopping", time.monotonic()
                self._steps[event.name] = _Step(event.name, time.monotonic(), is_stop)
            case "done" | "failed":
                step = self._steps.setdefault(event.name, _Step(event.name, time.monotonic(), is_stop))
                step.seconds, step.failed = event.seconds, event.kind == "failed"
            case "up" | "ended":
                self._keep_steps()
                self._print(event)
            case "notice" | "error":
                self._print(event)

    def _keep_steps(self) -> None:
        """From now on they are lines above the picture, which begins anew."""
        steps = list(self._steps.values())
        self._steps, self._status = {}, None
        if self._live is not None:
            self._live.update(Text())
        for step in steps:
            if step.seconds is not None:
                self._console.print(_line_of(step))

    def _picture(self) -> RenderableType:
        if self._status is not None:
            return Group(Text(), drawn(self._status))
        if not self._steps:
            return Text()
        grid = Table.grid(padding=(0, 1))
        for step in self._steps.values():
            if step.seconds is None:
                running = time.monotonic() - step.began
                grid.add_row(self._spinner, step.name, Text(f"{running:5.1f} s", "dim"))
            else:
                grid.add_row(*_cells_of(step))
        done = sum(step.seconds is not None for step in self._steps.values())
        seconds = time.monotonic() - self._began
        title = Text(f"{self._title}: {done} of {len(self._steps)} done, {seconds:.1f} s", "bold")
        return Group(grid, title)

    def _print(self, event: Event) -> None:
        """One event as a line."""
        out = self._console
        match event.kind:
            case "done" | "failed":
                step = _Step(event.name, 0, event.text == STOP, event.seconds, event.kind == "failed")
                out.print(_line_of(step))
            case "notice":
                out.print(Text(f"{time.strftime('%H:%M:%S')} {event.text}", "yellow"))
            case "up":
                out.print(Text(f"All of it runs, {event.seconds:.1f} s after the start.", "green"))
                if self._banner is not None:
                    self._banner(out, event.text)
            case "ended":
                out.print(Text("The fleet has ended, and nothing of it is left running.", "dim"))
        out.file.flush()


def _cells_of(step: _Step) -> tuple[Text, str, Text]:
    mark = Text("✗", "bold red") if step.failed else Text("✓", "bold green")
    if step.is_stop:
        mark = Text("■", "dim")
    return (
        mark,
        f"{step.name} has ended" if step.is_stop else step.name,
        Text(f"{step.seconds:5.1f} s", "dim"),
    )


def _line_of(step: _Step) -> Text:
    mark, name, seconds = _cells_of(step)
    return Text.assemble("  ", mark, f" {name:<26}", seconds)
