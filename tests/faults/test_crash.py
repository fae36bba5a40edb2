"""kill -9 under load: no acknowledged write is lost, and nothing happens twice."""

from pathlib import Path

import pytest
from tests.support.crash_run import run_crashes, seed_of_the_day

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

KILLS = 20
READY_AGAIN_SECONDS = 2.0
BROKEN_TWIN = Path(__file__).parents[1] / "support" / "acknowledges_too_early.py"


def test_twenty_kills_lose_nothing_and_double_nothing(make_server, tmp_path: Path) -> None:
    report = run_crashes(make_server(start=False), tmp_path, rounds=KILLS, seed=seed_of_the_day())
    assert report.faults == [], str(report)
    assert sum(report.kills.values()) >= KILLS
    assert report.acknowledged > 20 * KILLS, f"too little load to prove anything: {report}"
    # What a restart takes when nothing else takes the processor away from it, least of all our own load.
    assert min(report.processor or report.restarts) < READY_AGAIN_SECONDS, str(report)


def test_the_harness_finds_a_server_that_acknowledges_before_it_commits(make_server, tmp_path: Path) -> None:
    server = make_server(start=False)
    report = run_crashes(server, tmp_path, rounds=8, seed=1, points=(), program=[str(BROKEN_TWIN)])
    assert report.faults != [], str(report)
