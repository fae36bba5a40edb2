"""GCRA: the promise as a property, the arithmetic by example, the bound on memory."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.infra.resilience.rate_limit import MemoryRateLimiter, Rate

SECOND = 1_000_000_000


class Time:
    def __init__(self) -> None:
        self.ns = 5 * SECOND

    def __call__(self) -> int:
        return self.ns


class Limits:
    """A limiter and its time, in seconds."""

    def __init__(self, max_keys: int = 100_000) -> None:
        self.time = Time()
        self.limiter = MemoryRateLimiter(max_keys=max_keys, monotonic_ns=self.time)
        self.take = self.limiter.take_now

    def advance(self, seconds: float) -> None:
        self.time.ns += round(seconds * SECOND)


rates = st.builds(
    Rate,
    limit=st.integers(1, 1000),
    per=st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=2)),
    burst=st.integers(1, 50),
)


@given(rates, st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), max_size=60))
def test_no_window_holds_more_than_the_burst_and_the_rate_times_its_length(
    rate: Rate, calls: list[tuple[float, int]]
) -> None:
    limits = Limits()
    allowed: list[tuple[int, int]] = []
    for gap, cost in calls:
        limits.time.ns += int(gap * rate.interval_ns)
        cost = min(cost, rate.burst)
        if limits.take("key", rate, cost).allowed:
            allowed.append((limits.time.ns, cost))
    per_ns = rate.per // timedelta(microseconds=1) * 1000
    for first, (start, _) in enumerate(allowed):
        total = 0
        for at, cost in allowed[first:]:
            total += cost
            # Whole numbers throughout: total ≤ burst + t × limit / per.
            assert (total - rate.burst) * per_ns <= (at - start) * rate.limit


@given(rates, st.lists(st.tuples(st.floats(0, 2), st.integers(0, 5)), max_size=40))
def test_a_refusal_says_exactly_when_to_come_back_and_remaining_is_true(
    rate: Rate, calls: list[tuple[float, int]]
) -> None:
    limits = Limits()
    for gap, cost in calls:
        limits.time.ns += int(gap * rate.interval_ns)
        decision = limits.take("key", rate, min(cost, rate.burst))
        assert 0 <= decision.remaining <= rate.burst
        assert decision.reset_after_seconds >= 0
        assert (decision.retry_after_seconds > 0) == (not decision.allowed)
        look = limits.take("key", rate, cost=0)
        assert look.allowed
        assert look.remaining == decision.remaining


@given(rates, st.integers(1, 50))
def test_what_remains_can_be_taken_and_one_more_cannot(rate: Rate, first: int) -> None:
    limits = Limits()
    remaining = limits.take("key", rate, min(first, rate.burst)).remaining
    for left in range(remaining, 0, -1):
        decision = limits.take("key", rate)
        assert decision.allowed
        assert decision.remaining == left - 1
    refused = limits.take("key", rate)
    assert not refused.allowed
    limits.time.ns += round(refused.retry_after_seconds * SECOND)
    assert limits.take("key", rate).allowed


def test_after_a_burst_room_comes_back_evenly() -> None:
    limits, rate = Limits(), Rate(10, timedelta(seconds=10), burst=3)
    assert [limits.take("a", rate).allowed for _ in range(4)] == [True, True, True, False]
    limits.advance(0.999)
    refused = limits.take("a", rate)
    assert not refused.allowed
    assert refused.retry_after_seconds == pytest.approx(0.001)
    assert refused.reset_after_seconds == pytest.approx(2.001)
    limits.advance(0.001)
    assert limits.take("a", rate).allowed
    assert not limits.take("a", rate).allowed


def test_a_rate_that_does_not_divide_evenly_is_never_exceeded() -> None:
    assert Rate(3, timedelta(microseconds=1)).interval_ns == 334


def test_a_flood_of_fresh_keys_does_not_free_the_key_that_is_limited() -> None:
    limits, rate = Limits(max_keys=100), Rate(5, timedelta(hours=1))
    # Its first entry in the order is as early as the flood's, and its name comes before theirs.
    while limits.take("a victim", rate).allowed:
        pass
    for index in range(5000):
        limits.take(f"flood-{index}", rate)
        assert len(limits.limiter) <= 100
    assert not limits.take("a victim", rate).allowed


def test_keys_that_are_whole_again_are_forgotten() -> None:
    limits, rate = Limits(), Rate(10, timedelta(seconds=1))
    for index in range(1000):
        limits.take(f"once-{index}", rate)
    limits.advance(60)
    for index in range(600):
        limits.take(f"later-{index}", rate)
    assert len(limits.limiter) <= 600
    assert len(limits.limiter._order) == len(limits.limiter)


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["take", "forget", "wait"])), max_size=120))
def test_the_two_indexes_always_hold_the_same_keys(calls: list[tuple[int, str]]) -> None:
    limits, rate = Limits(max_keys=5), Rate(2, timedelta(seconds=10))
    for number, call in calls:
        if call == "take":
            limits.take(str(number), rate)
        elif call == "forget":
            limits.limiter.forget_now(str(number))
        else:
            limits.advance(number)
        assert sorted(key for _, key in limits.limiter._order) == sorted(limits.limiter._full_at)
        assert len(limits.limiter) <= 5


@pytest.mark.parametrize(
    ("text", "limit", "seconds", "burst"),
    [
        ("10/minute", 10, 60, 10),
        ("10/m", 10, 60, 10),
        (" 5 / 10s ", 5, 10, 5),
        ("600/hour burst 50", 600, 3600, 50),
        ("1/2 days", 1, 172_800, 1),
        ("100/SECOND", 100, 1, 100),
        ("3/second burst 9", 3, 1, 9),
    ],
)
def test_a_rate_is_read_from_a_setting_and_shown_again(
    text: str, limit: int, seconds: int, burst: int
) -> None:
    rate = Rate.parse(text)
    assert rate == Rate(limit, timedelta(seconds=seconds), burst)
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "10/",
        "/minute",
        "10/fortnight",
        "0/minute",
        "-1/minute",
        "1.5/minute",
        "10/0s",
        "10/minute burst 0",
        "10/minute burst",
        "ten/minute",
        "10/minute burst 5 x",
        "9999999999/minute",
    ],
)
def test_a_setting_that_is_no_rate_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.parse(text)


@pytest.mark.parametrize("given", [(0, 1, 1), (1, 0, 1), (1, -1, 1), (1, 1, -1)], ids=str)
def test_a_rate_of_nothing_is_refused(given: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Rate(given[0], timedelta(seconds=given[1]), given[2])
