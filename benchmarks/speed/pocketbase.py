"""PocketBase as a subject of comparison: the collection of benchmarks/peers/pocketbase, people with tokens and to-dos."""

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from benchmarks.speed.launch import PeerFailed, free_port, process
from benchmarks.speed.peers import FOLDER
from benchmarks.speed.people import TODOS, Person, title
from benchmarks.speed.processes import Tree
from benchmarks.speed.subject import Subject
from benchmarks.speed.wrk import Request

NAME = "PocketBase"
RECORDS = "/api/collections/todos/records"
BATCH = 500
SETTINGS = {
    # No log of requests, as the others write none.
    "logs": {"maxDays": 0},
    # For giving people their to-dos.
    "batch": {"enabled": True, "maxRequests": BATCH, "timeout": 60},
}
# The least that bcrypt has; only making the accounts costs it.
BCRYPT_COST = 4
TOKEN_SECONDS = 86_400


@contextmanager
def pocketbase(folder: Path, people: int) -> Iterator[Subject]:
    """One process with its own SQLite file, and people who have their to-dos. folder: for what it writes."""
    folder.mkdir()
    beside = Path(sys.executable).with_name("pocketbase")
    program = str(beside) if beside.exists() else shutil.which("pocketbase")
    if program is None:
        raise PeerFailed("PocketBase is not in this environment: scripts/environment.sh bench")
    place = ["--dir", str(folder / "data"), "--migrationsDir", str(folder / "migrations")]
    email, password, port = "load@example.org", secrets.token_urlsafe(16), free_port()
    subprocess.run([program, "superuser", "upsert", email, password, *place], check=True, capture_output=True)
    command = [program, "serve", "--http", f"127.0.0.1:{port}", *place]
    with process(command, folder, {}, folder / "log", port) as pid:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=f"{url}/api", timeout=60, trust_env=False) as client:
            registered = _prepare(client, email, password, people)
        requests = {kind: [_request(kind, person) for person in registered] for kind in ("list", "create")}
        yield Subject(
            NAME,
            url,
            Tree.of(pid),
            None,
            requests,
            folder,
            page=_items,
        )


def _items(answer: object) -> object:
    return answer.get("items") if isinstance(answer, dict) else None


def _request(kind: str, person: Person) -> Request:
    headers = {"Authorization": person.token}
    if kind == "list":
        # skipTotal: the total costs a second query, which nobody here needs.
        return Request("GET", f"{RECORDS}?perPage={TODOS}&sort=-created&skipTotal=1", headers)
    body = json.dumps({"owner": person.id, "title": title(0)})
    return Request("POST", RECORDS, {**headers, "Content-Type": "application/json"}, body)


def _prepare(client: httpx.Client, email: str, password: str, people: int) -> list[Person]:
    """Collection, settings, people and their to-dos, all through its API as its superuser."""
    superuser = {"identity": email, "password": password}
    session = _call(client, "POST", "/collections/_superusers/auth-with-password", superuser)
    client.headers["authorization"] = session["token"]
    _call(client, "PATCH", "/settings", SETTINGS)
    users = _call(client, "GET", "/collections/users")
    for field in users["fields"]:
        if field["type"] == "password":
            field["cost"] = BCRYPT_COST
    _call(client, "PATCH", "/collections/users", {"fields": users["fields"]})
    _call(client, "POST", "/collections", json.loads((FOLDER / "pocketbase" / "todos.json").read_text()))

    secret = {"password": password, "passwordConfirm": password}
    accounts = [{"email": f"person-{number}@example.org", **secret} for number in range(people)]
    ids = [made["id"] for made in _create(client, "users", accounts)]
    _create(client, "todos", [{"owner": owner, "title": title(n)} for n in range(TODOS) for owner in ids])
    return [Person(owner, _token(client, owner)) for owner in ids]


def _token(client: httpx.Client, user_id: str) -> str:
    """What a login of this user would give, without the cost of the password."""
    path = f"/collections/users/impersonate/{user_id}"
    return _call(client, "POST", path, {"duration": TOKEN_SECONDS})["token"]


def _create(client: httpx.Client, collection: str, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    url = f"/api/collections/{collection}/records"
    made: list[dict[str, Any]] = []
    for first in range(0, len(records), BATCH):
        wanted = [{"method": "POST", "url": url, "body": body} for body in records[first : first + BATCH]]
        made += [one["body"] for one in _call(client, "POST", "/batch", {"requests": wanted})]
    return made


def _call(client: httpx.Client, method: str, path: str, body: object = None) -> Any:
    answer = client.request(method, path, json=body)
    if answer.is_error:
        raise PeerFailed(f"PocketBase answered {method} {path} with {answer.status_code}: {answer.text}")
    return answer.json() if answer.content else None
