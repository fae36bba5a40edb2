import asyncio
from datetime import timedelta

import pytest

from banyan.infra.auth.hashing_pool import PasswordQueueFull
from banyan.infra.auth.passwords import Verdict
from banyan.infra.resilience.rate_limit import Decision, MemoryRateLimiter, Rate
from banyan.kernel.errors import RateLimited, Unavailable
from banyan.modules.users.service.throttle import MOST_IN_TURN, Throttle

THREE = Rate(3, timedelta(minutes=1))


class Time:
    now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns


class BrokenLimiter:
    async def take(self, key: str, rate: Rate, cost: int = 1) -> Decision:
        raise ConnectionError("the store of counters is gone")

    def take_at_once(self, key: str, rate: Rate) -> bool:
        raise ConnectionError("the store of counters is gone")

    async def forget(self, key: str) -> None:
        raise ConnectionError("the store of counters is gone")


def throttle(time: Time | None = None) -> Throttle:
    limiter = MemoryRateLimiter(monotonic_ns=time or Time())
    return Throttle(limiter, register=THREE, login_address=THREE, login_account=THREE)


async def wrong() -> Verdict:
    return Verdict(ok=False)


async def right() -> Verdict:
    return Verdict(ok=True)


async def never() -> Verdict:
    raise AssertionError("nothing should have been verified")


async def test_after_too_many_wrong_guesses_nothing_is_verified_until_the_time_it_says():
    time = Time()
    guarded = throttle(time)
    for _ in range(3):
        assert not (await guarded.guess("ada", wrong)).ok
    with pytest.raises(RateLimited) as refused:
        await guarded.guess("ada", never)
    assert refused.value.retry_after_seconds == pytest.approx(20)
    time.now_ns += 19_000_000_000
    with pytest.raises(RateLimited):
        await guarded.guess("ada", never)
    time.now_ns += 1_100_000_000
    assert (await guarded.guess("ada", right)).ok


async def test_guesses_at_one_account_leave_the_others_alone():
    guarded = throttle()
    for _ in range(3):
        await guarded.guess("ada", wrong)
    assert (await guarded.guess("bob", right)).ok


async def test_the_right_password_gives_all_guesses_back():
    guarded = throttle()
    for _ in range(4):
        await guarded.guess("ada", wrong)
        await guarded.guess("ada", wrong)
        await guarded.guess("ada", right)


async def test_many_right_passwords_at_once_all_pass():
    guarded = throttle()
    verdicts = await asyncio.gather(*(guarded.guess("ada", right) for _ in range(20)))
    assert all(verdict.ok for verdict in verdicts)


async def test_guesses_at_once_do_not_slip_past_the_count():
    guarded, verified = throttle(), 0

    async def slow_and_wrong() -> Verdict:
        nonlocal verified
        verified += 1
        await asyncio.sleep(0)
        return Verdict(ok=False)

    results = await asyncio.gather(
        *(guarded.guess("ada", slow_and_wrong) for _ in range(30)), return_exceptions=True
    )
    assert verified == 3
    assert sum(isinstance(result, RateLimited) for result in results) == 27
    assert not guarded._turns._held, "keys that nobody waits for are forgotten"


async def test_more_than_can_be_verified_soon_are_refused_at_once():
    guarded, going_on = throttle(), asyncio.Event()

    async def verify() -> Verdict:
        await going_on.wait()
        return Verdict(ok=True)

    logins = [asyncio.create_task(guarded.guess("ada", verify)) for _ in range(MOST_IN_TURN)]
    await asyncio.sleep(0)
    with pytest.raises(PasswordQueueFull):
        await guarded.guess("ada", never)
    assert (await guarded.guess("bob", right)).ok
    going_on.set()
    assert all(verdict.ok for verdict in await asyncio.gather(*logins))


async def test_a_failure_to_verify_costs_no_guess():
    guarded = throttle()

    async def queue_full() -> Verdict:
        raise Unavailable()

    for _ in range(5):
        with pytest.raises(Unavailable):
            await guarded.guess("ada", queue_full)
    assert (await guarded.guess("ada", right)).ok


async def test_when_the_limiter_fails_nobody_passes():
    guarded = Throttle(BrokenLimiter(), register=THREE, login_address=THREE, login_account=THREE)
    with pytest.raises(Unavailable):
        await guarded.guess("ada", never)
    with pytest.raises(Unavailable):
        await guarded.admit_login("192.0.2.1")
    with pytest.raises(Unavailable):
        await guarded.admit_registration("192.0.2.1")
    with pytest.raises(Unavailable):
        await guarded.admit_mail("reset", "ada")


async def test_all_addresses_of_one_ipv6_network_count_together():
    guarded = throttle()
    for last in range(3):
        await guarded.admit_login(f"2001:db8:0:1::{last}")
    with pytest.raises(RateLimited):
        await guarded.admit_login("2001:db8:0:1:ffff::9")
    await guarded.admit_login("2001:db8:0:2::1")
    await guarded.admit_login("192.0.2.1")
