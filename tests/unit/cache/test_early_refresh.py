"""Early refresh: hardly ever when there is time, nearly always at the end, and by few of many."""

import random

from banyan.infra.cache.early_refresh import is_due

TOOK = 0.01


def share(left_seconds: float, took_seconds: float = TOOK) -> float:
    chance = random.Random(11).random
    return sum(is_due(left_seconds, took_seconds, chance) for _ in range(10_000)) / 10_000


def test_the_share_of_renewals_is_that_of_the_paper():
    # P(-took × ln(u) ≥ left) = exp(-left / took)
    assert share(10 * TOOK) < 0.001
    assert 0.12 < share(2 * TOOK) < 0.15
    assert 0.35 < share(1 * TOOK) < 0.39
    assert share(0) == 1


def test_what_takes_long_is_renewed_earlier():
    assert share(0.1, took_seconds=0.1) > 40 * share(0.1, took_seconds=0.02)


def test_of_many_who_ask_through_the_end_few_renew():
    """1,000 askers a second: without it all of those who come while it is made anew (10 ms) would."""
    chance = random.Random(3).random
    renewals = []
    for _ in range(300):
        left = 1.0
        while not is_due(left, TOOK, chance):
            left -= 0.001
        renewals.append(left)
    # In time nearly always: it is made anew before it ends.
    assert sum(left > TOOK for left in renewals) > 0.8 * len(renewals)
    assert max(renewals) < 0.15
