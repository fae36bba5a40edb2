"""Fleets: of stand-ins, small programs under the real supervisor; and a real one."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.accounts import Account, register
from tests.support.fleet import STANDINS, FleetDied, RunningFleet
from tests.support.otlp import OtlpReceiver
from tests.support.programs import missing


@pytest.fixture(scope="package")
def traces() -> Iterator[OtlpReceiver]:
    """Where the real fleet sends its traces."""
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="package")
def shared_fleet(traces: OtlpReceiver) -> Iterator[RunningFleet]:
    """The real fleet: it takes a while to start, so all tests of this folder share it. Only requests that ask for it are
    recorded."""
    # Not below pytest's folder, which is closed to PostgreSQL's own user.
    parent = Path(tempfile.mkdtemp(prefix="banyan-whole-fleet-"))
    parent.chmod(0o755)
    settings = {"BANYAN_OTLP_ENDPOINT": traces.url, "BANYAN_TRACE_SAMPLE": "0"}
    running = RunningFleet(parent / "data", settings)
    try:
        running.start()
    except FleetDied:
        if "lacks what a fleet needs" in running.output():
            missing(running.output())
        raise
    yield running
    running.stop()
    running.clear()
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def fleet(shared_fleet: RunningFleet) -> RunningFleet:
    """It is up, even when the file before has ended it."""
    if shared_fleet.try_status() is None:
        shared_fleet.start()
    return shared_fleet


@pytest.fixture(scope="module")
def account(fleet: RunningFleet) -> Iterator[Account]:
    made = register(fleet.url)
    yield made
    made.client.close()


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
