"""Banyan in two processes on PostgreSQL and Redis, beside Express, FastAPI and Fastify."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from benchmarks.speed.banyan import banyan
from benchmarks.speed.options import Options
from benchmarks.speed.pairs import Comparison, compare
from benchmarks.speed.peers import WORKERS, new_people, peer, todo_database
from benchmarks.speed.processes import Tree
from benchmarks.speed.row import Row
from benchmarks.speed.subject import Subject
from tests.support.postgres import postgres_server
from tests.support.server import migrated_postgres_url
from tests.support.valkey import new_valkey, url_of

NAME = "postgresql"
PEERS = ("Express", "FastAPI", "Fastify")
# Every list is loaded, by Banyan and by the peers alike.
NO_CACHE = {"BANYAN_CACHE_MAX_BYTES": "0"}
LOADED = Comparison("list, loaded (PostgreSQL)", "list", {"Express": 3.0, "FastAPI": 8.0})
CACHED = Comparison("list, cached (PostgreSQL)", "list", {"Express": 6.0, "FastAPI": 15.0}, ["Express"])
CREATED = Comparison("create (PostgreSQL)", "create", {"Express": 5.0, "FastAPI": 15.0})


def measure(options: Options) -> Iterator[Row]:
    people = 50 if options.is_quick else 1000
    server = postgres_server()
    with tempfile.TemporaryDirectory(prefix="banyan-speed-") as name, ExitStack() as stack:
        folder = Path(name)
        valkey = stack.enter_context(new_valkey(folder))
        assert valkey.process is not None
        database = Tree.of(server.pid, valkey.process.pid)
        ids = new_people(people)
        urls = {peer_name: todo_database(server, ids) for peer_name in PEERS}

        def subjects(place: Path, *, with_cache: bool) -> Iterator[AbstractContextManager[Subject]]:
            place.mkdir()
            settings = {
                "BANYAN_DATABASE_URL": migrated_postgres_url(),
                "BANYAN_REDIS_URL": url_of(valkey, 0),
                "BANYAN_WORKERS": str(WORKERS),
                **({} if with_cache else NO_CACHE),
            }
            yield banyan(place / "Banyan", settings, people, database=database)
            for number, peer_name in enumerate(PEERS, 1):
                yield peer(
                    peer_name,
                    place / peer_name,
                    ids,
                    database_url=urls[peer_name],
                    redis_url=url_of(valkey, number) if with_cache else None,
                    database=database,
                )

        for with_cache, comparisons in ((False, [LOADED]), (True, [CACHED, CREATED])):
            place = folder / ("cached" if with_cache else "loaded")
            with ExitStack() as running:
                ours, *theirs = [running.enter_context(one) for one in subjects(place, with_cache=with_cache)]
                for wanted in comparisons:
                    yield from compare(wanted, ours, theirs, options)
