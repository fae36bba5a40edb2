"""Who asks, and what: accounts of their own for a measurement, and the requests that it is made of."""

import json
import random
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from banyan.capacity.json_client import AnswerError, ask, ask_json
from banyan.capacity.open_loop import request_bytes

# A first screen: what `limit=20` of a list with more than that costs does not change while writes add to it.
PAGE = 20
MOST_PEOPLE = 500
READ, WRITE = "read", "write"
# The requests are made beforehand and sent over and over; so many that no pattern of them matters.
CYCLE = 5000


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    password: str
    token: str


@dataclass(frozen=True, slots=True)
class Mix:
    """How many reads (`GET /todos?limit=20`) there are to how many writes (`POST /todos`)."""

    weights: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> "Mix":
        """`read=9,write=1`. Raises ValueError, with a sentence."""
        weights: dict[str, int] = {}
        for part in text.split(","):
            name, _, weight = part.strip().partition("=")
            if name not in (READ, WRITE) or name in weights or not weight.isdigit():
                raise ValueError(f"{text!r} is no mix such as read=9,write=1")
            weights[name] = int(weight)
        if not 0 < sum(weights.values()) <= 1000:
            raise ValueError(f"{text!r}: the numbers must add up to 1 to 1000")
        return cls(weights)

    def __str__(self) -> str:
        return ",".join(f"{name}={weight}" for name, weight in self.weights.items())

    def requests(self, url: str, people: Sequence[Person]) -> list[bytes]:
        """Requests in random order, in which all weights and people are equally present; the same at every call."""
        made = {
            READ: [
                request_bytes(f"{url}/todos?limit={PAGE}", headers={"authorization": f"Bearer {one.token}"})
                for one in people
            ],
            WRITE: [
                request_bytes(
                    f"{url}/todos",
                    "POST",
                    {"authorization": f"Bearer {one.token}", "content-type": "application/json"},
                    json.dumps({"title": "Water the banyan"}).encode(),
                )
                for one in people
            ],
        }
        once = [request for name, weight in self.weights.items() for request in made[name] * weight]
        cycle = once * max(1, CYCLE // len(once))
        random.Random(1).shuffle(cycle)
        return cycle


@contextmanager
def registered(
    url: str,
    count: int,
    on_one: Callable[[], None] = lambda: None,
    on_left: Callable[[list[str]], None] = lambda _emails: None,
) -> "Iterator[tuple[list[Person], float]]":
    """People with PAGE to-dos each, and for how many seconds their tokens are good; erased at the end.

    on_one: called after each registration, which costs a password's hash. on_left: hears the addresses of those whom the
    server did not erase. Raises AnswerError.
    """
    people: list[Person] = []
    good_for = float("inf")
    try:
        for _ in range(min(count, MOST_PEOPLE)):
            person, expires_in = _register(url)
            people.append(person)
            good_for = min(good_for, expires_in)
            operations = [
                {"op": "create", "todo": {"title": f"Water banyan {number}"}} for number in range(PAGE)
            ]
            ask(url, "POST", "/todos/batch", {"operations": operations}, person.token)
            on_one()
        yield people, good_for
    finally:
        left = [person.email for person in people if not _erase(url, person)]
        if left:
            on_left(left)


def _erase(url: str, person: Person) -> bool:
    try:
        ask(url, "DELETE", "/users/me", {"password": person.password}, person.token)
    except AnswerError:
        return False
    return True


def _register(url: str) -> tuple[Person, float]:
    password = secrets.token_urlsafe(24)
    email = f"bench-{secrets.token_hex(8)}@example.org"
    ask(url, "POST", "/users/", {"name": "Bench", "email": email, "password": password})
    session = ask_json(url, "POST", "/auth/login", {"email": email, "password": password})
    return Person(email, password, session["access_token"]), float(session["expires_in"])
