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
