"""Load for the crash test: workers that write, read, and repeat with the same key what they got no answer to.

Every request has its intent in the log before it leaves. Whatever has no answer (the server died) is asked again with
the same id or key until there is one: so at the end everything is either acknowledged or refused.
"""

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from tests.support.accounts import Account, client_of
from tests.support.intent_log import IntentLog, Operation, Outcome

from banyan.kernel.ids import new_id

# The server is away for as long as it takes to start; workers knock this often.
KNOCK_SECONDS = 0.05
GIVE_UP_SECONDS = 40.0
AWAY = (httpx.TransportError,)


@dataclass(slots=True)
class Person:
    """A user of the load. reminders: to-dos whose reminder is due at once, and which stay."""

    account: Account
    reminders: set[str] = field(default_factory=set)

    def place(self, todo_id: str) -> str:
        return f"{self.account.id}/{todo_id}"


class Worker(threading.Thread):
    """One client of one user. It alone writes to its own to-dos; `shared` is written to by all workers of the user.

    failures: requests without an answer, or with one that blames the server.
    """

    def __init__(self, name: str, url: str, person: Person, shared: str, log: IntentLog, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.person = person
        self.error: BaseException | None = None
        self.retries = 0
        self.failures: list[str] = []
        self._shared = shared
        self._log = log
        self._random = random.Random(seed)
        self._client = client_of(url, person.account.access_token)
        self._stop_asked = threading.Event()
        self._mine: list[str] = []
        self._values = 0

    def stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        steps = [
            self._create,
            self._batch,
            self._change,
            self._change_shared,
            self._read,
            self._remove,
            self._notify,
        ]
        weights = [30, 6, 25, 10, 10, 8, 11]
        try:
            while not self._stop_asked.is_set():
                self._random.choices([*steps, self._bad, self._remind], [*weights, 4, 4])[0]()
        except BaseException as error:
            self.error = error
        finally:
            self._client.close()

    def _create(self) -> None:
        todo_id, title = new_id(), self._value()
        operation = self._intend("write", todo_id, title)
        answer = self._ask_until_answered("POST", "/todos", {"id": todo_id, "title": title}, key=todo_id)
        self._expect(answer, 201)
        self._log.settle(operation, "done")
        self._mine.append(todo_id)

    def _batch(self) -> None:
        """Several to-dos, all or nothing."""
        todos = [{"id": new_id(), "title": self._value()} for _ in range(self._random.randint(2, 5))]
        intents = [self._intend("write", todo["id"], todo["title"]) for todo in todos]
        body = {"operations": [{"op": "create", "todo": todo} for todo in todos]}
        answer = self._ask_until_answered("POST", "/todos/batch", body, key=new_id())
        self._expect(answer, 200)
        for intent, todo in zip(intents, todos, strict=True):
            self._log.settle(intent, "done")
            self._mine.append(todo["id"])

    def _change(self) -> None:
        if not self._mine:
            return
        todo_id, title = self._random.choice(self._mine), self._value()
        operation = self._intend("write", todo_id, title)
        # Only this worker writes to it, so the same change twice is the same as once.
        completed = self._random.random() < 0.5
        answer = self._ask_until_answered(
            "PATCH", f"/todos/{todo_id}", {"title": title, "completed": completed}
        )
        self._expect(answer, 200)
        self._log.settle(operation, "done")

    def _change_shared(self) -> None:
        """Several workers at once; never repeated, because another's change may have come in between."""
        operation = self._intend("write", self._shared, title := self._value())
        self._settle_once(operation, "PATCH", f"/todos/{self._shared}", {"title": title})

    def _read(self) -> None:
        todo_id = self._random.choice([*self._mine, self._shared])
        operation = self._intend("read", todo_id, None)
        try:
            answer = self._send("GET", f"/todos/{todo_id}")
        except AWAY:
            return
        self._expect(answer, 200, 503)
        if answer.status_code == 200:
            self._log.settle(operation, "done", value=answer.json()["title"])

    def _remove(self) -> None:
        if len(self._mine) < 5:
            return
        todo_id = self._mine.pop(self._random.randrange(len(self._mine)))
        operation = self._intend("delete", todo_id, None)
        answer = self._ask_until_answered("DELETE", f"/todos/{todo_id}", None)
        # 404 to a repeated request: the first one did it.
        self._expect(answer, 204, 404)
        self._log.settle(operation, "done")

    def _notify(self) -> None:
        message = self._value()
        operation = self._log.intend(self.name, "notify", self.person.account.id, message)
        path = f"/notify/{self.person.account.id}"
        answer = self._ask_until_answered("POST", path, {"message": message}, key=new_id())
        self._expect(answer, 202)
        self._log.settle(operation, "done")

    def _bad(self) -> None:
        """Refused, and therefore without any effect: to-dos of which one in the batch cannot be."""
        todo_id, title = new_id(), self._value()
        operation = self._intend("write", todo_id, title)
        missing = {"op": "update", "id": new_id(), "changes": {"title": "nobody's"}}
        body = {"operations": [{"op": "create", "todo": {"id": todo_id, "title": title}}, missing]}
        answer = self._ask_until_answered("POST", "/todos/batch", body, key=new_id())
        self._expect(answer, 404, 422)
        self._log.settle(operation, "refused")

    def _remind(self) -> None:
        todo_id, title = new_id(), self._value()
        operation = self._intend("write", todo_id, title)
        at = (datetime.now(UTC) + timedelta(seconds=self._random.uniform(0, 2))).isoformat()
        body = {"id": todo_id, "title": title, "remind_at": at}
        answer = self._ask_until_answered("POST", "/todos", body, key=todo_id)
        self._expect(answer, 201)
        self._log.settle(operation, "done")
        self.person.reminders.add(todo_id)

    def _intend(self, kind: str, todo_id: str, value: str | None) -> Operation:
        return self._log.intend(self.name, kind, self.person.place(todo_id), value)

    def _value(self) -> str:
        """One that no other write has."""
        self._values += 1
        return f"{self.name}-{self._values}"

    def _settle_once(self, operation: Operation, method: str, path: str, body: dict[str, Any]) -> None:
        outcome: Outcome = "unknown"
        try:
            answer = self._send(method, path, json=body)
            self._expect(answer, 200, 503)
            outcome = "done" if answer.status_code == 200 else "refused"
        except AWAY:
            pass
        self._log.settle(operation, outcome)

    def _ask_until_answered(
        self, method: str, path: str, body: Any, *, key: str | None = None
    ) -> httpx.Response:
        headers = {"idempotency-key": key} if key else {}
        content = None if body is None else json.dumps(body)
        if content is not None:
            headers["content-type"] = "application/json"
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self._send(method, path, content=content, headers=headers)
                if answer.status_code != 503:
                    return answer
            except AWAY:
                pass
            self.retries += 1
            time.sleep(KNOCK_SECONDS)
        raise AssertionError(f"{method} {path} was not answered within {GIVE_UP_SECONDS:g} s")

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **content)
        except AWAY as error:
            self.failures.append(f"{method} {path}: {error!r}")
            raise
        if answer.status_code >= 500:
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def _expect(self, answer: httpx.Response, *statuses: int) -> None:
        assert answer.status_code in statuses, (
            f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
        )


class Follower(threading.Thread):
    """A live client of one user: it comes back after each crash with the last cursor that it saw.

    seen: (stream, position) of every event, in the order in which they came. ended: how many connections were ended by
    the other side.
    """

    def __init__(self, url: str, account: Account) -> None:
        super().__init__(name=f"follower-{account.id}", daemon=True)
        self.seen: list[tuple[str, int]] = []
        self.resets = 0
        self.connections = 0
        self.ended = 0
        self.error: BaseException | None = None
        self._client = client_of(url, account.access_token)
        self._cursor = "0"
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                try:
                    self._read_one_connection()
                except httpx.ReadTimeout:
                    pass
                except AWAY:
                    self.ended += 1
                    time.sleep(KNOCK_SECONDS)
        except BaseException as error:
            self.error = error
        finally:
            self._client.close()

    def wait_for(self, complete: Callable[[], bool], timeout_seconds: float = 15) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not complete():
            if self.error is not None:
                raise self.error
            assert time.monotonic() < deadline, f"the follower has {len(self.seen)} events and waits for more"
            time.sleep(KNOCK_SECONDS)

    def _read_one_connection(self) -> None:
        # A read time-out ends a quiet connection, so that a stop is noticed.
        timeout = httpx.Timeout(15, read=2)
        with self._client.stream(
            "GET", "/events", headers={"last-event-id": self._cursor}, timeout=timeout
        ) as stream:
            if stream.status_code == 503:
                time.sleep(KNOCK_SECONDS)
                return
            assert stream.status_code == 200, stream.status_code
            self.connections += 1
            cursor = self._cursor
            for line in stream.iter_lines():
                if line.startswith("id: "):
                    cursor = line.removeprefix("id: ")
                elif line == "event: reset":
                    self.resets += 1
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                    if "position" in data:
                        self.seen.append((data["stream"], data["position"]))
                    self._cursor = cursor
                if self._stop_asked.is_set():
                    return
            self.ended += 1
