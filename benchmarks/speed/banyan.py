"""Banyan as a subject of comparison."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.speed.people import Person, give_todos, register, title
from benchmarks.speed.processes import Tree
from benchmarks.speed.subject import Subject
from benchmarks.speed.wrk import Request
from tests.support.server import RunningServer, banyan_environment, migrated_data_dir, settings_of

# All of the load comes from one address and is meant; everything else is as it comes.
SETTINGS = {
    "BANYAN_LOG_LEVEL": "WARNING",
    "BANYAN_RATE_LIMIT_ADDRESS": "1000000/second",
    "BANYAN_ACCESS_TOKEN_LIFETIME": "86400",
    # As behind one gateway: links in answers, and so the answers, are the same in all processes.
    "BANYAN_PUBLIC_URL": "http://todos.example.org",
}


@contextmanager
def banyan(
    folder: Path,
    settings: Mapping[str, str],
    people: int,
    *,
    database: Tree | None = None,
    program: Sequence[str] = ("-m", "banyan"),
) -> Iterator[Subject]:
    """`banyan serve` with people who have their to-dos. folder: for what it writes. program: in its place."""
    folder.mkdir()
    settings = {**SETTINGS, "BANYAN_SECRET_KEY": secrets.token_urlsafe(48), **settings}
    data_dir = folder / "data"
    if "BANYAN_DATABASE_URL" not in settings:
        migrated_data_dir(data_dir)
    with_redis = banyan_environment(data_dir, settings)
    alone = {name: value for name, value in with_redis.items() if name != "BANYAN_REDIS_URL"}
    registered = register(settings_of(alone), people)
    with RunningServer(data_dir, settings, program=program) as server:
        give_todos(server.url, registered)
        yield Subject(
            "Banyan",
            server.url,
            Tree.of(server.pid),
            database,
            {kind: [_request(kind, person) for person in registered] for kind in ("list", "create")},
            folder,
        )


def _request(kind: str, person: Person) -> Request:
    headers = {"Authorization": f"Bearer {person.token}"}
    if kind == "list":
        return Request("GET", "/todos?limit=20", headers)
    return Request(
        "POST", "/todos", {**headers, "Content-Type": "application/json"}, f'{{"title":"{title(0)}"}}'
    )
