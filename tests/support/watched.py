"""A fleet under a Prometheus, and people who use it so that there is something to see."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.support.accounts import Account, client_of, register, unused_email
from tests.support.fleet import RunningFleet
from tests.support.prometheus import DEPLOY, prometheus
from tests.support.streams import event_stream

ROUND_SECONDS = 1.0


@contextmanager
def watched(folder: Path, fleet: RunningFleet, others: dict[str, str]) -> Iterator[str]:
    """The address of a Prometheus that runs by deploy/prometheus/fleet.yaml. others: more servers, name → their address."""
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "fleet.yaml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    job["file_sd_configs"] = [{"files": [str(fleet.folder.scrape_targets)]}]
    job["static_configs"] = [
        {"targets": [url.removeprefix("http://")], "labels": {"instance": name}}
        for name, url in others.items()
    ]
    with prometheus(folder, config) as url:
        yield url


class Visitors:
    """While inside, somebody reads and writes and stays connected, and another one has guessed a password too often: rates
    are seen only while it goes on. What a fault refuses them is no error."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._visit)

    def __enter__(self) -> None:
        self._account = register(self._url)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _visit(self) -> None:
        account = self._account
        with account.client, event_stream(account.client):
            _guess_password(self._url)
            while not self._stop.wait(ROUND_SECONDS):
                with suppress(httpx.TransportError):
                    _use(account)


def _guess_password(url: str) -> None:
    """Until no more guesses are let in."""
    email = unused_email()
    with client_of(url) as client:
        while client.post("/auth/login", json={"email": email, "password": "guessed"}).status_code != 429:
            pass


def _use(account: Account) -> None:
    for _ in range(2):
        for path in ("/todos", "/users/me", "/notifications"):
            account.client.get(path)
    account.client.get("/health")  # asks Redis even when its breaker is open
    account.client.post("/todos", json={"title": "Be counted"})
    account.client.post(f"/notify/{account.id}", json={"message": "Be counted"})
