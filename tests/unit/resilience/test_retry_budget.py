"""The retry budget: retries stay a small part of the calls."""

from banyan.infra.resilience.retry_budget import RetryBudget


def test_when_everything_fails_the_calls_grow_by_a_tenth():
    budget = RetryBudget(ratio=0.1, least_per_second=0, most_saved=10, monotonic=lambda: 0.0)
    retries = 0
    for _ in range(10_000):
        budget.tried()
        retries += sum(budget.may_retry() for _ in range(3))
    assert 1000 <= retries <= 1010
    assert (budget.spent, budget.refused) == (retries, 30_000 - retries)


def test_a_quiet_process_may_retry_all_the_same():
    now = 0.0
    budget = RetryBudget(ratio=0.1, least_per_second=1, most_saved=2, monotonic=lambda: now)
    assert [budget.may_retry() for _ in range(3)] == [True, True, False]
    now = 1.0
    assert [budget.may_retry() for _ in range(2)] == [True, False]


def test_no_more_is_saved_than_was_said():
    now = 0.0
    budget = RetryBudget(most_saved=3, monotonic=lambda: now)
    for _ in range(1000):
        budget.tried()
    now = 3600.0
    assert [budget.may_retry() for _ in range(4)] == [True, True, True, False]
