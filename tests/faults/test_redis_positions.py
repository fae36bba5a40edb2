"""Two server processes, one PostgreSQL, one Valkey that fails in every way: nobody reads what is stale.

The first server reaches Valkey through a proxy, so that it alone can be cut off.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.read_your_writes import ReadYourWrites, Seen
from tests.support.running import Running
from tests.support.server import RunningServer, migrated_postgres_url
from tests.support.tcp_proxy import TcpProxy
from tests.support.valkey import command, new_valkey, port_of, url_of

from banyan.infra.redis.trust import QUIET_SECONDS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

FORGIVING = [str(Path(__file__).parents[1] / "support" / "forgiving.py")]
SETTINGS = {
    "BANYAN_SECRET_KEY": "the same secret for both of these servers, 48 chars",
    "BANYAN_RATE_LIMIT_USER": "1000000/second",
    "BANYAN_RATE_LIMIT_ADDRESS": "1000000/second",
}


@dataclass
class Fleet:
    one: RunningServer
    other: RunningServer
    valkey: Running
    way: TcpProxy

    def load(self, **options: int) -> ReadYourWrites:
        return ReadYourWrites(self.one.url, self.other.url, **options)

    def is_trusted(self) -> bool:
        return self.one.rows("SELECT trusted FROM cache_trust") == [(True,)]

    def wait_until_trusted(self, within_seconds: float = 30) -> None:
        deadline = time.monotonic() + within_seconds
        while not self.is_trusted():
            assert time.monotonic() < deadline, "trust was not restored\n" + self.other.log_text()[-2000:]
            time.sleep(0.05)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("redis-positions")
    with new_valkey(folder) as valkey, TcpProxy(port_of(valkey)) as way:
        common = SETTINGS | {"BANYAN_DATABASE_URL": migrated_postgres_url()}
        through = common | {"BANYAN_REDIS_URL": f"redis://127.0.0.1:{way.port}/0"}
        direct = common | {"BANYAN_REDIS_URL": url_of(valkey)}
        one, other = (
            RunningServer(folder / name, mine, program=FORGIVING)
            for name, mine in (("a", through), ("b", direct))
        )
        with one, other:
            yield Fleet(one, other, valkey, way)


def right(seen: Seen, least_writes: int) -> None:
    print(seen)
    assert seen.stale == [], str(seen)
    assert seen.refused == [], str(seen)
    assert len(seen.writes) >= least_writes, str(seen)


@pytest.mark.parametrize(
    "rounds", [pytest.param(250, id="1000"), pytest.param(2500, id="10000", marks=pytest.mark.slow)]
)
def test_of_so_many_writes_through_one_each_is_read_through_the_other_at_once(
    fleet: Fleet, rounds: int
) -> None:
    fleet.wait_until_trusted()
    with fleet.load(people=4, rounds=rounds) as load:
        pass
    right(load.seen, 4 * rounds)


def killed(fleet: Fleet) -> None:
    fleet.valkey.kill9()


def started(fleet: Fleet) -> None:
    fleet.valkey.start()


def paused(fleet: Fleet) -> None:
    fleet.valkey.pause()


def continued(fleet: Fleet) -> None:
    fleet.valkey.go_on()


def refused(fleet: Fleet) -> None:
    fleet.way.set("refuse")


def swallowed(fleet: Fleet) -> None:
    fleet.way.set("swallow")


def slow(fleet: Fleet) -> None:
    fleet.way.set("pass", delay=0.2)


def late(fleet: Fleet) -> None:
    """Late, but within the time-out."""
    fleet.way.set("pass", delay=0.01)


def healed(fleet: Fleet) -> None:
    fleet.way.set("pass")


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        (killed, started),
        (paused, continued),
        (refused, healed),
        (swallowed, healed),
        (slow, healed),
        (late, healed),
    ],
    ids=lambda step: step.__name__,
)
def test_while_redis_fails_and_comes_back_nothing_is_stale_and_nothing_refused(
    fleet: Fleet, fault: Callable[[Fleet], None], cure: Callable[[Fleet], None]
) -> None:
    fleet.wait_until_trusted()
    with fleet.load() as load:
        for _ in range(3):
            load.wait_for_writes(20)
            fault(fleet)
            load.wait_for_writes(40)
            cure(fleet)
            fleet.wait_until_trusted()
    right(load.seen, 180)


def test_while_redis_is_paused_for_a_moment_again_and_again_nothing_is_stale(fleet: Fleet) -> None:
    """Shorter and longer than the time-out and the lease: what was sent arrives late."""
    fleet.wait_until_trusted()
    with fleet.load() as load:
        for pause in (0.02, 0.04, 0.06, 0.1, 0.2, 0.3, 0.5):
            fleet.valkey.pause()
            time.sleep(pause)  # the length of the outage is what is varied
            fleet.valkey.go_on()
            load.wait_for_writes(10)
    right(load.seen, 70)
    fleet.wait_until_trusted()


def test_while_redis_is_flushed_all_the_time_nothing_is_stale(fleet: Fleet) -> None:
    fleet.wait_until_trusted()
    with fleet.load() as load:
        for _ in range(100):
            assert command(fleet.valkey, "FLUSHALL") == b"+OK\r\n"
            load.wait_for_writes(3)
    right(load.seen, 300)


def test_reads_in_an_outage_cost_the_time_out_once(fleet: Fleet) -> None:
    fleet.wait_until_trusted()
    with fleet.load(people=2) as load:
        load.wait_for_writes(50)
        fleet.valkey.pause()
        load.wait_for_writes(5)
        time.sleep(QUIET_SECONDS)
        calm = len(load.seen.reads)
        load.wait_for_writes(100)
        fleet.valkey.go_on()
    right(load.seen, 150)
    before, after = sorted(load.seen.reads[:50])[49], sorted(load.seen.reads[calm:])
    assert after[int(0.99 * len(after))] < before + 0.05
    fleet.wait_until_trusted()
