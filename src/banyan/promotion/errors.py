"""What may keep a promotion from going on. Each is a sentence for the operator; nothing was moved when it is raised.

PromotionError
├── Refused          something has to be different before it can be tried; `next_step` says what
├── NeverCaughtUp    writes come faster than they can be carried over
├── HeldTooLong      the last changes took longer than writes may be held; they were let through again
└── ServerGone       the server ended meanwhile
"""


class PromotionError(Exception):
    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class Refused(PromotionError):
    pass


class NeverCaughtUp(PromotionError):
    def __init__(self) -> None:
        super().__init__(
            "changes are made faster than they can be carried over.", "Try again when there is less load."
        )


class HeldTooLong(PromotionError):
    """It may be asked again at once. message: when something else than time was in the way of the cut-over."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "the last changes took longer than writes may be held, so they were let through again.",
            "Try again when there is less load.",
        )


class ServerGone(PromotionError):
    def __init__(self) -> None:
        super().__init__("the server ended before the cut-over.", "Start it, and try again.")
