"""Where a request comes from: what a header says is believed only from a trusted proxy."""

from typing import Any

import pytest

from banyan.infra.http.client import ClientAddress, base_url_of


def scope_of(
    headers: dict[str, str], *, client: str | None = "10.0.0.1", scheme: str = "http"
) -> dict[str, Any]:
    return {
        "type": "websocket" if scheme.startswith("ws") else "http",
        "scheme": scheme,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": (client, 5555) if client else None,
        "server": ("127.0.0.1", 8000),
    }


@pytest.mark.parametrize(
    ("host", "scheme", "url"),
    [
        ("todos.example.org", "http", "http://todos.example.org"),
        ("todos.example.org:8443", "https", "https://todos.example.org:8443"),
        ("[::1]:8000", "http", "http://[::1]:8000"),
        ("todos.example.org", "wss", "https://todos.example.org"),
        # Whatever could break out of a header or a document is not repeated.
        ("", "http", "http://127.0.0.1:8000"),
        ('evil"><script>', "http", "http://127.0.0.1:8000"),
        ("evil.example/path", "http", "http://127.0.0.1:8000"),
        ("user@evil.example", "http", "http://127.0.0.1:8000"),
        ("münchen.example", "http", "http://127.0.0.1:8000"),
        ("x" * 300, "http", "http://127.0.0.1:8000"),
    ],
)
def test_the_base_url_is_the_host_that_the_client_wrote_if_it_is_plain(
    host: str, scheme: str, url: str
) -> None:
    assert base_url_of(scope_of({"host": host}, scheme=scheme)) == url


def address_of(
    trusted: list[str], headers: dict[str, str], client: str | None = "10.0.0.1"
) -> tuple[str, str]:
    scope = scope_of(headers, client=client)
    ClientAddress(trusted).apply(scope)
    return scope["banyan.address"], scope["scheme"]


FORWARDED = {"x-forwarded-for": "6.6.6.6, 9.9.9.9, 10.0.0.2", "x-forwarded-proto": "https"}


def test_without_trusted_proxies_no_header_is_believed() -> None:
    assert address_of([], FORWARDED) == ("10.0.0.1", "http")


def test_a_stranger_is_not_believed() -> None:
    assert address_of(["10.0.0.0/8"], FORWARDED, client="9.9.9.9") == ("9.9.9.9", "http")


def test_of_a_trusted_proxys_list_the_last_untrusted_address_counts() -> None:
    # Everything left of it may be invented by the client.
    assert address_of(["10.0.0.0/8"], FORWARDED) == ("9.9.9.9", "https")


def test_a_proxy_that_forwards_nothing_is_itself_the_client() -> None:
    assert address_of(["10.0.0.0/8"], {}) == ("10.0.0.1", "http")


def test_a_chain_of_trusted_proxies_alone_ends_at_its_first() -> None:
    assert address_of(["10.0.0.0/8"], {"x-forwarded-for": "10.0.0.7, 10.0.0.2"})[0] == "10.0.0.7"


def test_what_is_no_address_is_taken_as_it_is_but_cut() -> None:
    address, _ = address_of(["10.0.0.1"], {"x-forwarded-for": "x" * 500})
    assert address == "x" * 64


def test_a_scheme_that_is_none_is_not_believed() -> None:
    assert address_of(["10.0.0.1"], {"x-forwarded-proto": "gopher"})[1] == "http"


def test_a_socket_behind_tls_is_a_secure_socket() -> None:
    scope = scope_of({"x-forwarded-proto": "https"}, scheme="ws")
    ClientAddress(["10.0.0.1"]).apply(scope)
    assert scope["scheme"] == "wss"


def test_a_local_socket_has_no_address() -> None:
    assert address_of(["10.0.0.1"], {}, client=None)[0] == "unknown"
