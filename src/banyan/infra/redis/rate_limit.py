"""Rate limits that hold across processes: the truth lies in Redis, and generous limits are counted there in bulk.

The algorithm is that of infra/resilience/rate_limit.py (GCRA), as one script that runs inside Redis by Redis's clock.
Asking it for every request would cost each of them a round trip, and a limit of thousands a minute is far from
reached by nearly everybody. So:

exact     A rate with a burst below EXACT_BELOW, such as that of logins, is asked of Redis each time.
in bulk   With a larger one the process allows by itself what fits its own picture of the key, and owes Redis the count.
          It pays in the background once it owes half of the slack, 1 % of the burst. When it owes all of that, or when
          the picture says that the room is nearly used up, the request asks Redis.

What this promises, over all P processes: within any time t a key is allowed at most burst + t × limit / per, with a
large burst plus P × 1 % of the burst. Early refusals are as small: what is owed is charged when it is paid.

Redis down: each process goes on alone, from its last picture of the key, so the promise holds for each one. What it allowed
is charged when Redis is back, up to twice the burst. Redis flushed or restarted: what the processes remember of a key is
put back by the first that uses it, unless it was forgotten on purpose.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextvars import Context
from typing import NamedTuple

from banyan.infra.db.coalescer import Coalescer
from banyan.infra.redis.connection import RedisConnection, RedisUnavailable
from banyan.infra.redis.scripts import Call, Script
from banyan.infra.resilience.rate_limit import Decision, MemoryRateLimiter, Rate
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import Unavailable

log = get_logger(__name__)

EXACT_BELOW = 1000
SLACK_SHARE = 100
PREFIX = b"banyan:limit:"
# A key that was forgotten on purpose is remembered as such for so long, lest another process puts back what it knew.
FORGOTTEN_MS = 60_000
# A process that ends does not wait longer for its debts to be paid.
CLOSING_SECONDS = 1.0
_ABSENT = object()

# Times are whole microseconds: a double holds them until the year 2255. `tostring` would round them to 14 digits.
_TAKE = Script("""
local interval, burst, cost, debt = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known, forget = tonumber(ARGV[5]), ARGV[6] == '1'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local stored = redis.call('GET', KEYS[1])
local room = burst * interval
local full_at, changed = now, forget
if forget then
  full_at = now
elseif stored then
  full_at = math.max(tonumber(stored), now)
  if debt > 0 then
    full_at = math.max(full_at, math.min(full_at + debt * interval, now + 2 * room))
    changed = true
  end
elseif known > 0 or debt > 0 then
  full_at = now + math.min(math.max(known, debt * interval), 2 * room)
  changed = true
end
local after = full_at + cost * interval
local allowed = after - now <= room
if allowed and cost > 0 then
  full_at = after
  changed = true
end
if changed then
  local ttl = math.ceil((full_at - now) / 1000)
  if stored then ttl = math.max(ttl, redis.call('PTTL', KEYS[1])) end
  if forget then ttl = math.max(ttl, tonumber(ARGV[7])) end
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.max(ttl, 1))
end
return {allowed and 1 or 0, full_at - now, after - now}
""")


class _Question(NamedTuple):
    """known_us: until the burst is whole, as this process knew; told in case that Redis has lost the key."""

    key: str
    interval_us: int
    burst: int
    cost: int
    known_us: int


class _Answer(NamedTuple):
    allowed: bool
    full_in_us: int
    after_us: int


class _Debt:
    """What this process allowed and Redis has not counted. in_outage: some of it while Redis did not answer."""

    __slots__ = ("burst", "count", "in_outage", "interval_us")

    def __init__(self, interval_us: int, burst: int) -> None:
        self.interval_us = interval_us
        self.burst = burst
        self.count = 0
        self.in_outage = False


class RedisRateLimiter:
    """RateLimiter for several processes. See the module for what it promises.

    local: this process's own picture, which decides while Redis does not answer. max_debts: keys in bulk that are
    remembered; one more, and the oldest is paid.
    """

    def __init__(
        self, connection: RedisConnection, local: MemoryRateLimiter, *, max_debts: int = 100_000
    ) -> None:
        self._connection = connection
        self._local = local
        self._max_debts = max_debts
        self._questions: Coalescer[_Question, _Answer] = Coalescer(self._ask_all)
        self._debts: OrderedDict[str, _Debt] = OrderedDict()
        # Forgotten while Redis did not answer; told to it before the key is used again.
        self._to_forget: OrderedDict[str, object] = OrderedDict()
        self._payments: dict[str, asyncio.Task[None]] = {}

    async def take(self, key: str, rate: Rate, cost: int = 1) -> Decision:
        decision = self._local.take_now(key, rate, cost)
        if rate.burst >= EXACT_BELOW:
            slack = rate.burst // SLACK_SHARE
            if decision.allowed and decision.remaining >= slack and self._owe(key, rate, cost, slack):
                return decision
        if self._connection.is_down():
            return self._alone(key, rate, cost, decision)
        interval_us = _interval_us(rate)
        before_us = round(decision.reset_after_seconds * 1_000_000)
        if decision.allowed:
            before_us -= cost * interval_us
        try:
            answer = await self._questions.submit(
                _Question(key, interval_us, rate.burst, cost, max(0, before_us))
            )
        except Unavailable:  # or too many are waiting for it already
            return self._alone(key, rate, cost, decision)
        room_us = rate.burst * interval_us
        return Decision(
            allowed=answer.allowed,
            remaining=max(0, (room_us - answer.full_in_us) // interval_us),
            reset_after_seconds=answer.full_in_us / 1_000_000,
            retry_after_seconds=0.0 if answer.allowed else (answer.after_us - room_us) / 1_000_000,
        )

    def take_at_once(self, key: str, rate: Rate) -> bool:
        if rate.burst < EXACT_BELOW:
            return False
        decision = self._local.take_now(key, rate)
        if not decision.allowed:
            return False
        slack = rate.burst // SLACK_SHARE
        if decision.remaining >= slack and self._owe(key, rate, 1, slack):
            return True
        self._local.learn(key, self._local.full_in_ns(key) - rate.interval_ns)
        return False

    async def forget(self, key: str) -> None:
        self._local.forget_now(key)
        self._debts.pop(key, None)
        self._to_forget[key] = None
        if len(self._to_forget) > self._max_debts:
            self._to_forget.popitem(last=False)
        if self._connection.is_down():
            return
        try:
            await self._questions.submit(_Question(key, 1, 0, 0, 0))
        except Unavailable:
            return  # it stays in _to_forget

    async def close(self) -> None:
        """Pay what is owed, as far as Redis answers soon."""
        if not self._connection.is_down():
            for key in list(self._debts):
                self._pay(key)
        if self._payments:
            await asyncio.wait(self._payments.values(), timeout=CLOSING_SECONDS)

    def owed(self, key: str) -> int:
        """How much of a key Redis has not counted yet."""
        debt = self._debts.get(key)
        return 0 if debt is None else debt.count

    def _owe(self, key: str, rate: Rate, cost: int, slack: int) -> bool:
        """Write the cost on the slate, unless it is full."""
        debt = self._debts.get(key)
        if debt is None:
            debt = self._open_debt(key, rate)
        owed = debt.count + cost
        if owed > slack:
            return False
        debt.count = owed
        if owed * 2 >= slack and not self._connection.is_down():
            self._pay(key)
        return True

    def _alone(self, key: str, rate: Rate, cost: int, decision: Decision) -> Decision:
        if decision.allowed and cost:
            debt = self._debts.get(key) or self._open_debt(key, rate)
            debt.count += cost
            debt.in_outage = True
        return decision

    def _open_debt(self, key: str, rate: Rate) -> _Debt:
        if len(self._debts) >= self._max_debts:
            oldest = next(iter(self._debts))
            if self._connection.is_down() or len(self._debts) >= 2 * self._max_debts:
                del self._debts[oldest]
            else:
                self._debts.move_to_end(oldest)
                self._pay(oldest)
        debt = self._debts[key] = _Debt(_interval_us(rate), rate.burst)
        return debt

    def _pay(self, key: str) -> None:
        if key in self._payments:
            return
        debt = self._debts[key]
        known_us = self._local.full_in_ns(key) // 1000
        question = _Question(key, debt.interval_us, debt.burst, 0, known_us)
        # In a task of its own: no request waits for it, and it belongs to no request's trace.
        task = asyncio.create_task(self._paid(question), context=Context())
        self._payments[key] = task
        task.add_done_callback(lambda _done: self._payments.pop(key, None))

    async def _paid(self, question: _Question) -> None:
        try:
            await self._questions.submit(question)
        except Unavailable:
            return  # still owed

    async def _ask_all(self, questions: Sequence[_Question]) -> list[_Answer | BaseException]:
        """One round trip for all; results are settled here, so that they are whole before anybody goes on."""
        # The first question of a key pays for all of it, and tells that it was forgotten.
        forgotten = [self._to_forget.pop(question.key, _ABSENT) is None for question in questions]
        owed = [self._debts.pop(question.key, None) for question in questions]
        calls = [
            self._call(question, debt, forget)
            for question, debt, forget in zip(questions, owed, forgotten, strict=True)
        ]
        try:
            results = await _TAKE.run(self._connection, calls)
        except BaseException:
            for question, debt, forget in zip(questions, owed, forgotten, strict=True):
                self._undo(question.key, debt, forget)
            raise
        answers: list[_Answer | BaseException] = []
        for question, debt, forget, result in zip(questions, owed, forgotten, results, strict=True):
            if isinstance(result, BaseException):
                self._undo(question.key, debt, forget)
                log.error("rate_limit_refused", error=str(result)[:200])
                unavailable = RedisUnavailable()
                unavailable.__cause__ = result
                answers.append(unavailable)
                continue
            answer = _Answer(bool(result[0]), result[1], result[2])
            since = self._debts.get(question.key)
            since_us = 0 if since is None else since.count * question.interval_us
            self._local.learn(question.key, (answer.full_in_us + since_us) * 1000)
            answers.append(answer)
        return answers

    def _call(self, question: _Question, debt: _Debt | None, forget: bool) -> Call:
        count = 0
        if debt is not None:
            count = debt.count
            if debt.in_outage:
                # In an outage our own picture was the limiter: what it has given back need not be paid.
                outstanding_us = self._local.full_in_ns(question.key) // 1000
                count = min(count, -(-outstanding_us // question.interval_us))
        key = PREFIX + question.key.encode("utf-8", "surrogatepass")
        return (
            *(1, key, question.interval_us, question.burst, question.cost),
            *(count, question.known_us, int(forget), FORGOTTEN_MS),
        )

    def _undo(self, key: str, debt: _Debt | None, forget: bool) -> None:
        """Redis did not hear it."""
        if forget:
            self._to_forget[key] = None
        if debt is None:
            return
        since = self._debts.get(key)
        if since is not None:
            debt.count += since.count
            debt.in_outage |= since.in_outage
        self._debts[key] = debt


def _interval_us(rate: Rate) -> int:
    """Rounded up, so never faster than said."""
    return -(-rate.interval_ns // 1000)
