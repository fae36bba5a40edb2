"""A day of many people, in fast motion: each registers, logs in, and then works with to-dos and notifications.

make bench-load                                                              with the rest, against a server of its own
.venv/bin/locust -f benchmarks/load/locustfile.py --host http://127.0.0.1:8000   against a running one, with a web page
"""

import itertools
import os
import random
import uuid

import gevent
from account import PASSWORD, require_loopback
from locust import FastHttpUser, between, events, task
from locust.exception import StopUser

# Two load generators, or two runs on one database, must not meet in an e-mail address.
RUN = uuid.uuid4().hex[:12]
numbers = itertools.count(1)


@events.test_start.add_listener
def only_here(environment, **_) -> None:
    require_loopback(environment.host or "")


class Person(FastHttpUser):
    """Waits as somebody does who works quickly; the number of people sets the load."""

    wait_time = between(0.1, float(os.environ.get("LOCUST_MAX_WAIT", "0.9")))

    def on_start(self) -> None:
        number = next(numbers)
        self.email = f"person-{RUN}-{number}@example.org"
        self.todos: dict[str, str] = {}  # id → the ETag that we hold
        self.list_etag = ""
        account = {"name": f"Person {number}", "email": self.email, "password": PASSWORD}
        self.user_id = self.patiently("/users/", account, 201)["id"]
        self.take(self.patiently("/auth/login", {"email": self.email, "password": PASSWORD}, 200))

    def patiently(self, path: str, body: dict, wanted: int) -> dict:
        """POST; a server that is busy with other passwords says when to come again, and is taken at its word."""
        for _ in range(20):
            with self.client.post(path, json=body, name=f"POST {path}", catch_response=True) as answer:
                if answer.status_code == wanted:
                    return answer.json()
                if answer.status_code != 503:
                    answer.failure(f"{answer.status_code}: {answer.text}")
                    raise StopUser
                answer.success()
            gevent.sleep(float(answer.headers.get("Retry-After", 1)))
        raise StopUser

    def take(self, tokens: dict) -> None:
        self.refresh_token = tokens["refresh_token"]
        self.headers = {"Authorization": f"Bearer {tokens['access_token']}"}

    @task(30)
    def look_at_todos(self) -> None:
        headers = self.headers | ({"If-None-Match": self.list_etag} if self.list_etag else {})
        with self.client.get("/todos", headers=headers, name="GET /todos", catch_response=True) as answer:
            if answer.status_code == 200:
                # Read your writes: what was acknowledged before is in the answer (a page holds the newest 100).
                missing = set(list(self.todos)[-50:]) - {todo["id"] for todo in answer.json()}
                if missing:
                    answer.failure(f"acknowledged to-dos are missing: {sorted(missing)}")
                self.list_etag = answer.headers.get("ETag", "")
            elif answer.status_code != 304:
                answer.failure(f"{answer.status_code}: {answer.text}")

    @task(10)
    def add_todo(self) -> None:
        todo = {"title": f"Thing {random.randrange(1_000_000)}", "priority": random.randrange(5)}
        with self.client.post(
            "/todos", json=todo, headers=self.headers, name="POST /todos", catch_response=True
        ) as answer:
            if answer.status_code == 201:
                self.todos[answer.json()["id"]] = answer.headers["ETag"]
            else:
                answer.failure(f"{answer.status_code}: {answer.text}")

    @task(6)
    def change_todo(self) -> None:
        if not self.todos:
            return
        todo_id, tag = random.choice(list(self.todos.items()))
        change = random.choice(
            ({"completed": True}, {"completed": False}, {"title": f"Thing {random.randrange(1_000_000)}"})
        )
        headers = self.headers | {"If-Match": tag}
        answer = self.client.patch(
            f"/todos/{todo_id}", json=change, headers=headers, name="PATCH /todos/{id}"
        )
        if answer.status_code == 200:
            self.todos[todo_id] = answer.headers["ETag"]

    @task(2)
    def remove_todo(self) -> None:
        if len(self.todos) > 5:
            todo_id = random.choice(list(self.todos))
            del self.todos[todo_id]
            self.client.delete(f"/todos/{todo_id}", headers=self.headers, name="DELETE /todos/{id}")

    @task(2)
    def look_at_stats(self) -> None:
        self.client.get("/todos/stats", headers=self.headers, name="GET /todos/stats")

    @task(5)
    def look_at_notifications(self) -> None:
        self.client.get("/notifications", headers=self.headers, name="GET /notifications")
        self.client.get(
            "/notifications/unread_count", headers=self.headers, name="GET /notifications/unread_count"
        )

    @task(2)
    def note_to_oneself(self) -> None:
        message = {"message": "Remember the milk"}
        self.client.post(
            f"/notify/{self.user_id}", json=message, headers=self.headers, name="POST /notify/{user_id}"
        )

    @task(1)
    def read_all(self) -> None:
        self.client.post("/notifications/read-all", headers=self.headers, name="POST /notifications/read-all")

    @task(1)
    def refresh(self) -> None:
        token = {"refresh_token": self.refresh_token}
        answer = self.client.post("/auth/refresh", json=token, name="POST /auth/refresh")
        if answer.status_code == 200:
            self.take(answer.json())


@events.quitting.add_listener
def fail_when_nothing_ran(environment, **_) -> None:
    if environment.stats.total.num_requests == 0:
        environment.process_exit_code = 1
