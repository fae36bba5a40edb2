"""A load that looks for stale answers: written through one server, read through the other at once, in turn."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
from tests.support.accounts import Account, register


@dataclass
class Seen:
    """What the load saw. stale: answers that lacked a write acknowledged before. Latencies in seconds."""

    stale: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{len(self.writes)} writes (median {_ms(self.writes, 0.5)}, p99 {_ms(self.writes, 0.99)}, max"
            f" {_ms(self.writes, 1)}), {len(self.reads)} reads (median {_ms(self.reads, 0.5)}, p99"
            f" {_ms(self.reads, 0.99)}, max {_ms(self.reads, 1)}), {len(self.stale)} stale, {len(self.refused)} refused"
        )


class ReadYourWrites:
    """People with one to-do each, whose title is changed through one server and then read in the list of the other.

    A context manager: it loads inside. rounds: so many of each person, or as many as fit.
    """

    def __init__(self, one: str, other: str, *, people: int = 4, rounds: int | None = None) -> None:
        self.seen = Seen()
        self._servers = (one, other)
        self._rounds = rounds
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._person, args=(register(one),), daemon=True) for _ in range(people)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rounds is None or kind is not None:
            self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_writes(self, count: int, *, within_seconds: float = 60) -> None:
        """Until so many more are acknowledged."""
        wanted, deadline = len(self.seen.writes) + count, time.monotonic() + within_seconds
        while len(self.seen.writes) < wanted:
            assert time.monotonic() < deadline, f"the load stands still: {self.seen}"
            assert any(thread.is_alive() for thread in self._threads), "the load has ended"
            time.sleep(0.01)

    def _person(self, account: Account) -> None:
        sides = [_Client(url, account.access_token) for url in self._servers]
        todo = account.client.post("/todos", json={"title": "0"}).json()
        account.client.close()
        number = 0
        while not self._stop.is_set() and number != self._rounds:
            number += 1
            writer, reader = sides if number % 2 else sides[::-1]
            status, answer, seconds = writer.ask("PATCH", f"/todos/{todo['id']}", {"title": str(number)})
            if status != 200:
                self.seen.refused.append(f"PATCH {status} {answer}")
                continue
            self.seen.writes.append(seconds)
            status, answer, seconds = reader.ask("GET", "/todos")
            if status != 200:
                self.seen.refused.append(f"GET {status} {answer}")
                continue
            self.seen.reads.append(seconds)
            if answer[0]["title"] != str(number):
                self.seen.stale.append(f"{answer[0]['title']} was read after {number} was written")


class _Client:
    """The standard library's: a fifth of the processor time that a comfortable one takes."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(httpx.URL(url).host, httpx.URL(url).port, timeout=15)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, float]:
        began = time.monotonic()
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None, time.monotonic() - began


def _ms(seconds: list[float], share: float) -> str:
    if not seconds:
        return "-"
    return f"{sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))] * 1000:.0f} ms"
