"""Which requests are recorded as traces."""

import pytest

from banyan.infra.telemetry.sampling import Sampler


@pytest.mark.parametrize(("share", "recorded"), [(0, 0), (1, 50)])
def test_none_or_all_are_recorded(share: float, recorded: int):
    sampler = Sampler(share)
    assert sum(sampler.take() for _ in range(50)) == recorded


def test_the_share_is_kept():
    sampler = Sampler(0.1)
    recorded = sum(sampler.take() for _ in range(20_000))
    # Ten standard deviations to both sides.
    assert 2_000 - 430 < recorded < 2_000 + 430


def test_who_cannot_record_leaves_a_request_to_who_can():
    sampler = Sampler(0.1)
    recorded = 0
    for _ in range(20_000):
        if not sampler.pass_by():
            assert sampler.take()
            recorded += 1
    assert 2_000 - 430 < recorded < 2_000 + 430


def test_those_who_pass_before_one_that_was_left_is_taken_have_their_own_chance():
    sampler = Sampler(0.1)
    left = sum(not sampler.pass_by() for _ in range(20_000))
    assert 2_000 - 430 < left < 2_000 + 430
    taken = 0
    while taken < left:
        assert sampler.take()
        taken += 1
    # Nothing of them is left, and the chance is the old one.
    assert 2_000 - 430 < sum(sampler.take() for _ in range(20_000)) < 2_000 + 430
