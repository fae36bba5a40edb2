"""How long a process that died has to wait until it is started again."""

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
# A process that lived this long did start well: what killed it then has nothing to do with what killed it before.
STEADY_SECONDS = 20.0
CRASH_LOOP_DEATHS = 4


class Backoff:
    """Doubles the pause with each early death in a row; a long life forgets them."""

    def __init__(self, *, longest_seconds: float = LONGEST_PAUSE_SECONDS) -> None:
        self._longest_seconds = longest_seconds
        self._early_deaths = 0

    def died(self, lived_seconds: float) -> float:
        """Returns the seconds to wait now."""
        self._early_deaths = 1 if lived_seconds >= STEADY_SECONDS else self._early_deaths + 1
        return min(self._longest_seconds, FIRST_PAUSE_SECONDS * 2.0 ** (self._early_deaths - 1))

    def lives(self, lived_seconds: float) -> None:
        """Tell how long it has been ready: a crash loop ends when the process stays."""
        if lived_seconds >= STEADY_SECONDS:
            self._early_deaths = 0

    @property
    def is_crash_loop(self) -> bool:
        """Whether starting it again does not seem to help."""
        return self._early_deaths >= CRASH_LOOP_DEATHS
