"""What only shows when something is full: waits, refusals, and why."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from banyan.bootstrap import meters
from banyan.infra.db.pool_use import PoolUse
from banyan.infra.db.shards import Shards
from banyan.infra.resilience.rate_limit import Decision, Rate, refused
from banyan.infra.resilience.retry_budget import RetryBudget
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.errors import BanyanError, RateLimited, Unavailable


def told(metrics: Metrics) -> dict[str, float]:
    lines = asyncio.run(metrics.page()).decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def test_a_full_pool_is_told() -> None:
    pools = [PoolUse(size=3, in_use=3), PoolUse(size=2, in_use=1)]
    databases = {
        f"shard-{number}": SimpleNamespace(pool_use=pool, present=None) for number, pool in enumerate(pools)
    }
    shards = SimpleNamespace(names=lambda: list(databases), named=databases.__getitem__, committed=Counter())
    metrics = Metrics("todos")
    meters.databases(metrics, [cast("Shards", shards)])
    with pools[1].waiting():
        pass
    with pytest.raises(TimeoutError), pools[0].waiting():
        raise TimeoutError

    page = told(metrics)

    values = {
        name: page[f'banyan_database_{name}{{target="todos"}}']
        for name in ("connections_max", "connections_in_use", "waits_total", "refused_total")
    }
    assert values == {"connections_max": 5, "connections_in_use": 4, "waits_total": 2, "refused_total": 1}
    seconds = page['banyan_database_wait_seconds_total{target="todos"}']
    assert seconds == sum(pool.wait_seconds for pool in pools) > 0


def test_a_spent_retry_budget_is_told() -> None:
    metrics, budget = Metrics("todos"), RetryBudget(most_saved=2, monotonic=lambda: 0.0)
    meters.retries(metrics, "users", budget)
    assert [budget.may_retry() for _ in range(3)] == [True, True, False]
    page = told(metrics)
    label = '{dependency="users",target="todos"}'
    assert page[f"banyan_retries_total{label}"] == 2
    assert page[f"banyan_retries_refused_total{label}"] == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (refused("user", Rate.parse("1/minute"), Decision(False, 0, 1.0, 1.0)), "limit_user"),
        # A log-in that was tried too often: nobody is to be woken for it.
        (RateLimited(retry_after_seconds=1), "limit_other"),
        (Unavailable(), "unavailable"),
        (None, "other"),
    ],
)
def test_a_refusal_says_whose_doing_it_is(error: BanyanError | None, reason: str) -> None:
    metrics: Any = Metrics("users")
    metrics.http.refused(error)
    assert told(metrics)[f'banyan_http_refused_total{{reason="{reason}",target="users"}}'] == 1
