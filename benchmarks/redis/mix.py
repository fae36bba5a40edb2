"""What Redis saves: nine reads to one write over two processes on one PostgreSQL, with Redis and without.

    python -m benchmarks.redis.mix [--requests 20000] [--people 50]

Each request goes to one of the two processes at random. Counted are the statements that PostgreSQL ran, and the CPU time of the
two processes; the generator, PostgreSQL and Valkey share the machine with them.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
from tests.support.accounts import register
from tests.support.postgres import postgres_server
from tests.support.server import RunningServer, migrated_postgres_url
from tests.support.valkey import new_valkey, url_of

SECRET = "the same secret for both of these servers, 48 chars"
TODOS = 20
IN_FLIGHT = 32
SHARED = ("hit", "miss")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=50)
    options = parser.parse_args()
    print(f"{'':14}{'req/s':>8}{'µs CPU':>8}{'statements/request':>20}{'shared hits':>13}{'misses':>8}")
    for name, with_redis in (("without Redis", False), ("with Redis", True)):
        with processes(with_redis=with_redis) as (servers, database):
            measure(name, servers, database, options.requests, options.people)


@contextmanager
def processes(*, with_redis: bool) -> Iterator[tuple[list[RunningServer], str]]:
    url = migrated_postgres_url()
    settings = {
        "BANYAN_DATABASE_URL": url,
        "BANYAN_SECRET_KEY": SECRET,
        "BANYAN_LOG_LEVEL": "WARNING",
        # As behind one gateway: links in answers, and so the answers, are the same in both processes.
        "BANYAN_PUBLIC_URL": "http://todos.example.org",
    }
    with tempfile.TemporaryDirectory(prefix="banyan-mix-") as folder, ExitStack() as stack:
        if with_redis:
            settings["BANYAN_REDIS_URL"] = url_of(stack.enter_context(new_valkey(Path(folder))))
        servers = [
            stack.enter_context(RunningServer(Path(folder) / name, settings)) for name in ("one", "other")
        ]
        yield servers, url.rpartition("/")[2]


def measure(name: str, servers: list[RunningServer], database: str, requests: int, people: int) -> None:
    accounts = [register(servers[number % 2].url) for number in range(people)]
    todos = {}
    for account in accounts:
        made = [account.client.post("/todos", json={"title": f"number {n}"}).json() for n in range(TODOS)]
        todos[account.access_token] = made[0]["id"]
        account.client.close()
    time.sleep(1.5)  # what the registrations set off is done, and PostgreSQL has written its statistics
    statements, cpu = statements_of(database), cpu_of(servers)
    started = time.perf_counter()
    asyncio.run(drive([server.url for server in servers], todos, requests))
    seconds = time.perf_counter() - started
    cpu = cpu_of(servers) - cpu
    time.sleep(1.5)
    statements = statements_of(database) - statements
    hits, misses = (
        sum(
            gauge(server.url, f'banyan_cache_requests_total{{cache="shared",result="{wanted}"')
            for server in servers
        )
        for wanted in SHARED
    )
    print(
        f"{name:14}{requests / seconds:8.0f}{cpu / requests * 1e6:8.0f}{statements / requests:20.3f}"
        f"{hits:13.0f}{misses:8.0f}"
    )


async def drive(urls: list[str], todos: Mapping[str, str], requests: int) -> None:
    chance = random.Random(1)
    people = list(todos)
    left = iter(range(requests))

    async def client() -> None:
        async with aiohttp.ClientSession() as session:
            for number in left:
                url, token = chance.choice(urls), chance.choice(people)
                headers = {"authorization": f"Bearer {token}"}
                if chance.random() < 0.1:
                    call = session.patch(
                        f"{url}/todos/{todos[token]}", json={"title": str(number)}, headers=headers
                    )
                else:
                    call = session.get(
                        f"{url}/todos" if chance.random() < 0.8 else f"{url}/users/me", headers=headers
                    )
                async with call as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()

    await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))


def statements_of(database: str) -> int:
    found = postgres_server().sql(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'")
    return int(found)


def cpu_of(servers: list[RunningServer]) -> float:
    return sum(server.processor_seconds() or 0.0 for server in servers)


def gauge(url: str, name: str) -> float:
    import httpx

    page = httpx.get(url + "/metrics", trust_env=False).text
    return sum(float(line.split()[1]) for line in page.splitlines() if line.startswith(name))


if __name__ == "__main__":
    main()
