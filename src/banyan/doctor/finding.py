"""What a check has found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """check: what was looked at. what: what was seen, without a secret. todo: what to do about it, unless it is ok.

    warn: it works, but should be looked at. fail: Banyan does not work like this.
    """

    check: str
    state: State
    what: str
    todo: str | None = None
