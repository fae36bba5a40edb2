"""How a run was asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """rounds: how often each thing is measured, in turn with what it is compared with. seconds: of one measurement.

    is_quick: smaller everything, to see that it works; such numbers are not written down. plots: folder for PNG files.
    """

    rounds: int
    seconds: float
    is_quick: bool
    plots: Path
