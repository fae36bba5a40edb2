"""The histogram is as good as the sorted list, but for its 0.8 %."""

import math

from hypothesis import given
from hypothesis import strategies as st

from banyan.capacity.histogram import Histogram

SECONDS = st.floats(min_value=0, max_value=3600)


@given(st.lists(SECONDS, min_size=1), st.sampled_from([50, 90, 99, 99.9, 100]))
def test_a_percentile_is_never_too_low_and_at_most_one_bucket_too_high(values: list[float], percent: float):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
    found = histogram.percentile(percent)
    assert exact <= found <= exact * 1.008 + 1e-6
    assert histogram.maximum == max(values)
    assert histogram.count == len(values)


def test_nothing_recorded_is_no_time():
    assert Histogram().percentile(99) == 0


def test_longer_than_it_knows_is_its_longest():
    histogram = Histogram()
    histogram.record(1e9)
    assert histogram.count == 1
    assert histogram.maximum == 1e9
