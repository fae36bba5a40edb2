"""The search finds the knee of servers that are known, whatever a noisy machine does to single steps."""

import random
from collections.abc import Callable

import pytest

from banyan.capacity.search import Found, Search

TARGET = 0.050


def server(capacity: float, noise: float, seed: int) -> tuple[Callable[[float], bool], float]:
    """A queue whose p99 grows as it fills up (M/M/1: 4.6 times the mean time in the system), each step off by up to `noise`.

    Also the rate at which its p99 is the target.
    """
    chance = random.Random(seed)
    knee = capacity - 4.6 / TARGET

    def holds(rate: float) -> bool:
        if rate >= capacity:
            return False
        p99 = 4.6 / (capacity - rate)
        return p99 * chance.uniform(1 - noise, 1 + noise) <= TARGET

    return holds, knee


def search(holds: Callable[[float], bool], **more: float) -> Found:
    asked = {"start": 200.0, "most": 1e6, "precision": 0.03, **more}
    return Search(holds, **asked).run()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("capacity", [150, 900, 4_321, 20_000, 333_333])
def test_a_quiet_machine_gives_the_knee(capacity: float):
    holds, knee = server(capacity, noise=0, seed=1)
    found = search(holds)
    assert found.is_narrow
    assert found.held is not None
    assert found.failed is not None
    assert found.held <= knee < found.failed <= found.held * 1.03


@pytest.mark.parametrize("seed", range(30))
def test_a_noisy_machine_moves_it_by_a_few_percent(seed: int):
    holds, knee = server(10_000, noise=0.5, seed=seed)
    found = search(holds)
    assert found.held == pytest.approx(knee, rel=0.05)


@pytest.mark.parametrize("seed", range(30))
def test_steps_that_fail_by_chance_do_not_hide_the_knee(seed: int):
    """One step in ten fails for no reason."""
    chance = random.Random(seed)
    holds, knee = server(10_000, noise=0, seed=seed)
    found = search(lambda rate: holds(rate) and chance.random() > 0.1)
    assert found.held == pytest.approx(knee, rel=0.05)


def test_one_bad_moment_at_each_rate_changes_nothing():
    """The first step at any rate fails: without another look nothing would hold."""
    seen: set[float] = set()
    holds, knee = server(5_000, noise=0, seed=1)

    def attempt(rate: float) -> bool:
        is_first = rate not in seen
        seen.add(rate)
        return not is_first and holds(rate)

    found = search(attempt)
    assert found.held == pytest.approx(knee, rel=0.03)


def test_a_step_that_holds_by_luck_is_looked_at_again():
    """12,800 a second, a third more than it can, holds just once."""
    holds, knee = server(10_000, noise=0, seed=1)
    luck = [12_800.0]

    def attempt(rate: float) -> bool:
        if rate in luck:
            luck.remove(rate)
            return True
        return holds(rate)

    assert search(attempt).held == pytest.approx(knee, rel=0.03)


def test_the_most_that_is_allowed_must_hold_twice():
    luck = [200.0]
    found = search(lambda rate: rate < 200 or bool(luck and luck.pop()), start=200, most=200)
    assert found.held == pytest.approx(200, rel=0.03)
    assert found.failed == 200


def test_a_server_that_holds_everything_is_not_asked_for_more_than_allowed():
    asked: list[float] = []

    def holds(rate: float) -> bool:
        asked.append(rate)
        return True

    assert search(holds, most=1_500) == Found(1_500, None, is_narrow=True)
    assert max(asked) == 1_500


def test_a_server_that_holds_nothing_has_no_capacity():
    found = search(lambda _rate: False)
    assert found.held is None
    assert found.failed is not None
    assert found.failed < 2


def test_when_the_time_is_over_it_says_what_it_knows():
    steps = iter(range(100))
    holds, knee = server(10_000, noise=0, seed=1)
    found = Search(holds, start=200, most=1e6, precision=0.01, is_over=lambda: next(steps) > 12).run()
    assert not found.is_narrow
    assert found.held is not None
    assert found.failed is not None
    assert found.held <= knee < found.failed


def test_what_was_found_is_known_after_an_interruption():
    def attempt(rate: float) -> bool:
        if rate > 500:
            raise KeyboardInterrupt
        return True

    search = Search(attempt, start=200, most=1e6, precision=0.05)
    with pytest.raises(KeyboardInterrupt):
        search.run()
    assert search.found == Found(400, None, is_narrow=False)
