"""The API documentation: its pages, its policy, its files. What it does in a browser is in tests/browser."""

import re
from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette

from banyan.infra.docs_ui import DOCS_CSP, docs_routes


def client(app: Starlette, root_path: str = "") -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app, root_path=root_path), base_url="http://banyan.test")


@pytest.fixture
async def docs() -> AsyncIterator[AsyncClient]:
    async with client(Starlette(routes=docs_routes())) as docs:
        yield docs


def loaded_by(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+)"', page)


async def test_everything_that_the_pages_load_is_here_and_may_be_kept(docs: AsyncClient) -> None:
    pages = [(await docs.get(path)).text for path in ("/docs", "/docs/oauth2-redirect")]
    addresses = {address for page in pages for address in loaded_by(page)} - {"/", "/openapi.json"}
    assert len(addresses) == 7
    for address in addresses:
        answer = await docs.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]


async def test_the_pages_carry_a_policy_without_inline_code(docs: AsyncClient) -> None:
    for path in ("/docs", "/docs/oauth2-redirect"):
        answer = await docs.get(path)
        assert answer.headers["content-security-policy"] == DOCS_CSP
        assert answer.headers["content-type"].startswith("text/html")
        # What the policy would block: scripts and styles in the page, and handlers on elements.
        assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=", answer.text)
    assert "unsafe" not in DOCS_CSP
    assert "http" not in DOCS_CSP


async def test_an_asset_without_a_version_is_asked_for_again(docs: AsyncClient) -> None:
    first = await docs.get("/docs/assets/init.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await docs.get("/docs/assets/init.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["missing.js", "../routes.py", "%2e%2e/routes.py", "..%2froutes.py", ""])
async def test_nothing_else_is_served(docs: AsyncClient, name: str) -> None:
    assert (await docs.get(f"/docs/assets/{name}")).status_code == 404


async def test_the_title_is_escaped_and_the_paths_follow_the_settings() -> None:
    routes = docs_routes(title="<i>A & B</i>", path="/help", openapi_url="/description.json")
    async with client(Starlette(routes=routes)) as docs:
        page = (await docs.get("/help")).text
    assert "<i>" not in page
    assert "&lt;i&gt;A &amp; B&lt;/i&gt;" in page
    assert 'data-openapi="/description.json"' in page
    assert all(address.startswith(("/help/", "/description.json", "/")) for address in loaded_by(page))


async def test_the_addresses_follow_a_proxy_that_strips_a_prefix() -> None:
    async with client(Starlette(routes=docs_routes()), root_path="/api") as docs:
        page = (await docs.get("/api/docs")).text
    assert 'data-openapi="/api/openapi.json"' in page
    assert '"/api/docs/assets/' in page
