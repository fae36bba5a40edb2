"""Banyan as a subject of comparison."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.speed.people import Person, give_todos, register, title
from benchmarks.speed.processes import Tree
from benchmarks.speed.subject import Subject
from benchmarks.speed.wrk import Request, write_requests
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
    processes: int = 1,
    database: Tree | None = None,
) -> Iterator[Subject]:
    """`banyan serve` in so many processes, with people who have their to-dos. folder: for what it writes."""
    folder.mkdir()
    secret = {"BANYAN_SECRET_KEY": secrets.token_urlsafe(48)}
    settings = {**SETTINGS, **secret, **settings}
    data_dir = folder / "0"
    if "BANYAN_DATABASE_URL" not in settings:
        migrated_data_dir(data_dir)
    alone = {name: value for name, value in settings.items() if name != "BANYAN_REDIS_URL"}
    registered = register(settings_of(banyan_environment(data_dir, alone)), people)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(RunningServer(folder / str(number), settings)) for number in range(processes)
        ]
        give_todos(servers[0].url, registered)
        requests = {kind: [_request(kind, person) for person in registered] for kind in ("list", "create")}
        yield Subject(
            "Banyan",
            [server.url for server in servers],
            Tree.of(*(server.pid for server in servers)),
            database,
            {kind: write_requests(folder / kind, those) for kind, those in requests.items()},
            {kind: those[0] for kind, those in requests.items()},
        )


def _request(kind: str, person: Person) -> Request:
    headers = {"Authorization": f"Bearer {person.token}"}
    if kind == "list":
        return Request("GET", "/todos?limit=20", headers)
    return Request(
        "POST", "/todos", {**headers, "Content-Type": "application/json"}, f'{{"title":"{title(0)}"}}'
    )
