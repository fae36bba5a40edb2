"""What a fleet tells while it starts, runs and ends: to a terminal, or as JSON lines to whoever started it."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, Literal

Kind = Literal["begun", "done", "failed", "notice", "up", "error", "ended"]


STOP = "stop"


@dataclass(frozen=True, slots=True)
class Event:
    """kind: `begun`, `done` and `failed` speak of the step `name`, which is its end when the text is STOP; `notice` and `error` of something in `text`; `up` says that
    the fleet answers at the address in `text`; `ended` is the last one. detail: what to do, or the last lines of a log."""

    kind: Kind
    name: str = ""
    text: str = ""
    seconds: float = 0.0
    detail: str = ""


Report = Callable[[Event], None]


def to_line(event: Event) -> str:
    return json.dumps(asdict(event)) + "\n"


def from_line(line: str | bytes) -> Event:
    return Event(**json.loads(line))


class Lines:
    """Reports into a pipe until the fleet is up; a pipe that nobody reads any longer is let go."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe

    def __call__(self, event: Event) -> None:
        with suppress(OSError):
            if not self._pipe.closed:
                self._pipe.write(to_line(event))
                self._pipe.flush()
                if event.kind == "up":
                    self._pipe.close()
