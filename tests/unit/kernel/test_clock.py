from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.kernel.clock import ManualClock, SystemClock, from_text, now_text, to_text

MOMENTS = st.datetimes(timezones=st.just(UTC))
# A day from both ends: what is not UTC must still be a year that has four digits there.
ELSEWHERE = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.builds(timezone, st.integers(-1439, 1439).map(lambda minutes: timedelta(minutes=minutes))),
)


@given(MOMENTS)
def test_a_moment_survives_as_text(moment: datetime) -> None:
    assert from_text(to_text(moment)) == moment


@given(MOMENTS, MOMENTS)
def test_texts_are_ordered_as_their_moments(one: datetime, other: datetime) -> None:
    assert (to_text(one) < to_text(other)) == (one < other)
    assert (to_text(one) == to_text(other)) == (one == other)


@given(ELSEWHERE)
def test_text_is_in_utc_and_always_as_long(moment: datetime) -> None:
    text = to_text(moment)
    assert len(text) == 27
    assert text.endswith("Z")
    assert from_text(text) == moment


def test_the_text_is_rfc_3339() -> None:
    moment = datetime(2030, 1, 31, 9, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert to_text(moment) == "2030-01-31T07:00:00.000007Z"


def test_a_year_below_1000_keeps_its_zeros() -> None:
    assert to_text(datetime(33, 4, 3, tzinfo=UTC)) == "0033-04-03T00:00:00.000000Z"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        to_text(datetime(2030, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text", ["", "2030-01-01", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000000+00:00"]
)
def test_other_text_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text)


def test_a_manual_clock_stands_until_it_is_advanced() -> None:
    clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now()
    clock.advance(timedelta(seconds=90))
    assert now_text(clock) == "2030-01-01T00:01:30.000000Z"


def test_the_system_clock_is_aware() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
