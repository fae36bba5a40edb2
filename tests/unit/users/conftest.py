"""Banyan in this very process, with a clock that tests turn."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.support.accounts import PASSWORD
from tests.support.mailbox import Mailbox
from tests.support.server import migrated_data_dir

from banyan.bootstrap import Application, asgi, build
from banyan.kernel.clock import ManualClock
from banyan.settings import Settings

EMAIL = "ada@example.org"


@dataclass(slots=True)
class Running:
    """A running application and a client for it."""

    app: Application
    api: httpx.AsyncClient
    clock: ManualClock
    mailbox: Mailbox

    async def register(self, email: str = EMAIL) -> str:
        answer = await self.api.post("/users/", json={"name": "Ada", "email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def log_in(self, email: str = EMAIL) -> dict[str, str]:
        answer = await self.api.post("/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refresh(self, token: str) -> httpx.Response:
        return await self.api.post("/auth/refresh", json={"refresh_token": token})


@pytest.fixture
def banyan(tmp_path: Path) -> Callable[..., object]:
    """`async with banyan() as running:`; twice with the same clock and folder: a restart."""

    @asynccontextmanager
    async def run(
        clock: ManualClock | None = None, *, background: bool = True, **settings: object
    ) -> AsyncIterator[Running]:
        if not (tmp_path / "banyan.sqlite3").exists():
            migrated_data_dir(tmp_path)
        clock = clock or ManualClock()
        app = build(Settings(data_dir=tmp_path, **settings), clock=clock)  # pyright: ignore[reportArgumentType, reportCallIssue]
        transport = httpx.ASGITransport(asgi(app))
        async with (
            app.running(background=background),
            httpx.AsyncClient(transport=transport, base_url="http://test.local") as api,
        ):
            yield Running(app, api, clock, Mailbox(tmp_path))

    return run
