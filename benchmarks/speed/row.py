"""One line of the result: a metric of one case, measured in rounds, for Banyan and, where there is one, for a peer."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

GREATER, LESS = ">=", "<="


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of a ratio, or of Banyan's own value where there is no peer: `Goal(">=", 6)`."""

    relation: str
    bound: float

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.relation == GREATER else value <= self.bound

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """See the module. rounds: (Banyan's value, the peer's value or None) of each round, measured one right after the other."""

    case: str
    metric: str
    rounds: Sequence[tuple[float, float | None]]
    peer: str | None = None
    goal: Goal | None = None

    @classmethod
    def alone(cls, case: str, metric: str, values: Sequence[float], goal: Goal | None = None) -> Self:
        """A metric without a peer; the goal is then of Banyan's median."""
        return cls(case, metric, [(value, None) for value in values], goal=goal)

    @property
    def banyan(self) -> float:
        return median(ours for ours, _ in self.rounds)

    @property
    def peer_value(self) -> float | None:
        theirs = [value for _, value in self.rounds if value is not None]
        return median(theirs) if theirs else None

    @property
    def ratio(self) -> float | None:
        """Banyan's median by the peer's; above 1, Banyan has more of it."""
        return self.banyan / self.peer_value if self.peer_value else None

    @property
    def pair_ratios(self) -> list[float]:
        """Round by round: how much the machine's noise moves the ratio."""
        return [ours / theirs for ours, theirs in self.rounds if theirs]

    @property
    def is_met(self) -> bool | None:
        """None without a goal."""
        if self.goal is None:
            return None
        value = self.banyan if self.peer_value is None else self.ratio
        return value is not None and self.goal.is_met(value)

    def as_json(self) -> dict[str, object]:
        return {
            "case": self.case,
            "peer": self.peer,
            "metric": self.metric,
            "banyan": self.banyan,
            "peer_value": self.peer_value,
            "ratio": self.ratio,
            "goal": None if self.goal is None else str(self.goal),
            "rounds": [list(pair) for pair in self.rounds],
        }
