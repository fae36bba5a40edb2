"""How long a process that died has to wait."""

from banyan.fleet.backoff import LONGEST_PAUSE_SECONDS, STEADY_SECONDS, Backoff


def test_early_deaths_wait_longer_each_time_up_to_a_limit() -> None:
    backoff = Backoff()
    pauses = [backoff.died(0.1) for _ in range(12)]
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_a_long_life_is_followed_by_a_quick_start() -> None:
    backoff = Backoff()
    for _ in range(6):
        backoff.died(0.1)
    assert backoff.died(STEADY_SECONDS) == 0.2
    assert not backoff.is_crash_loop


def test_deaths_in_a_row_are_a_crash_loop_until_it_stays() -> None:
    backoff = Backoff()
    seen = []
    for _ in range(5):
        backoff.died(0.1)
        seen.append(backoff.is_crash_loop)
    assert seen == [False, False, False, True, True]
    backoff.lives(STEADY_SECONDS - 1)
    assert backoff.is_crash_loop
    backoff.lives(STEADY_SECONDS)
    assert not backoff.is_crash_loop
