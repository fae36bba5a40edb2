"""The peers on PostgreSQL and Redis as subjects of comparison; benchmarks/peers/README.md says what each of them is."""

import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.speed.launch import PeerFailed, free_port, process
from benchmarks.speed.people import TODOS, title
from benchmarks.speed.processes import Tree
from benchmarks.speed.subject import Subject
from benchmarks.speed.wrk import Request
from tests.support.postgres import PostgresServer

FOLDER = Path(__file__).resolve().parents[1] / "peers"
WORKERS = 2


def todo_database(server: PostgresServer, people: Sequence[str]) -> str:
    """The URL of a new database with the peers' table, and twenty to-dos for each of these users."""
    url = server.new_database()
    name = url.rpartition("/")[2]
    server.sql((FOLDER / "schema.sql").read_text(), name)
    ids = ",".join(f"'{person}'" for person in people)
    # Each a moment later than the one before it, as people write.
    server.sql(
        "INSERT INTO todos (user_id, id, title, created_at, updated_at)"
        f" SELECT person::uuid, gen_random_uuid(), replace('{title(-1)}', '-1', number::text),"
        " now() - interval '1 day' + number * interval '1 second', now() - interval '1 day'"
        f" FROM generate_series(0, {TODOS - 1}) AS number, unnest(ARRAY[{ids}]) AS person",
        name,
    )
    server.sql("VACUUM ANALYZE todos", name)
    return url


def new_people(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


@contextmanager
def peer(
    name: str,
    folder: Path,
    people: Sequence[str],
    *,
    database_url: str,
    redis_url: str | None,
    database: Tree,
) -> Iterator[Subject]:
    """A peer by its name, in two processes. redis_url: None for one without its cache."""
    folder.mkdir()
    port = free_port()
    command, cwd, scheme = COMMANDS[name](port)
    environment = {
        "PORT": str(port),
        "WORKERS": str(WORKERS),
        "NODE_ENV": "production",
        "DATABASE_URL": database_url.replace("postgresql", scheme, 1),
        **({"CACHE": "off"} if redis_url is None else {"REDIS_URL": redis_url}),
    }
    requests = {kind: [_request(kind, person) for person in people] for kind in ("list", "create")}
    with process(command, cwd, environment, folder / "log", port) as pid:
        yield Subject(
            name,
            f"http://127.0.0.1:{port}",
            Tree.of(pid),
            database,
            requests,
            folder,
        )


def _request(kind: str, person: str) -> Request:
    headers = {"X-User-Id": person}
    if kind == "list":
        return Request("GET", "/todos", headers)
    return Request(
        "POST", "/todos", {**headers, "Content-Type": "application/json"}, f'{{"title":"{title(0)}"}}'
    )


def _node(name: str) -> Callable[[int], tuple[list[str], Path, str]]:
    def command(_port: int) -> tuple[list[str], Path, str]:
        cwd = FOLDER / name
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise PeerFailed("node and npm (20 or newer) are not on this machine")
        if not (cwd / "node_modules").exists():
            words = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise PeerFailed(f"npm could not install {name}:\n{done.stderr}")
        return [node, "server.js"], cwd, "postgresql"

    return command


def _uvicorn(port: int) -> tuple[list[str], Path, str]:
    # No access log, as the others write none.
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS), "--no-access-log"]
    words = [sys.executable, "-m", "uvicorn", "app:app", *options]
    return words, FOLDER / "fastapi", "postgresql+psycopg"


COMMANDS = {"Express": _node("express"), "Fastify": _node("fastify"), "FastAPI": _uvicorn}
