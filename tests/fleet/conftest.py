"""Fleets of stand-ins: small programs under the real supervisor."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.fleet import STANDINS, RunningFleet


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[Callable[..., RunningFleet]]:
    """Makes fleets that are ended after the test: `make_fleet()`, `make_fleet(start=False)`."""
    made: list[RunningFleet] = []

    def make(*, start: bool = True, data_dir: Path = tmp_path / "data") -> RunningFleet:
        fleet = RunningFleet(data_dir, program=STANDINS)
        made.append(fleet)
        if start:
            fleet.start()
        return fleet

    yield make
    for fleet in made:
        fleet.stop()
        fleet.clear()
