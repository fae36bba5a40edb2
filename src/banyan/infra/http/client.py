"""Where a request comes from, and under which address it reached us."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network

from starlette.types import Scope

KNOWN_ADDRESSES = 4096
KNOWN_HOSTS = 256
_WEB_SCHEMES = {"ws": "http", "wss": "https"}
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    for key, value in headers:
        if key == name:
            return value
    return None


def base_url_of(scope: Scope) -> str:
    """`http://host:port` as the client wrote it; the socket's own address when it wrote none that is plain."""
    return _base_url(scope["scheme"], header(scope["headers"], b"host") or b"", scope.get("server"))


# Everybody writes one of a few.
@lru_cache(KNOWN_HOSTS)
def _base_url(scheme: str, host: bytes, server: tuple[str, int | None] | None) -> str:
    text = host.decode("latin-1")
    if (
        not text
        or len(text) > 255
        or not all(c.isalnum() or c in ".-:[]_" for c in text)
        or not text.isascii()
    ):
        name, port = server or ("localhost", None)
        text = f"{name}:{port}" if port else name
    return f"{_WEB_SCHEMES.get(scheme, scheme)}://{text}"


class ClientAddress:
    """Finds the client's network address. What a header says is believed only from a trusted proxy.

    trusted_proxies: addresses or networks. Of `X-Forwarded-For` the last address that no trusted proxy has is taken:
    everything left of it may be invented by the client.
    """

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted = [ip_network(proxy, strict=False) for proxy in trusted_proxies]
        # Parsing an address costs more than all the rest, and the same few come again and again.
        self._is_trusted = lru_cache(KNOWN_ADDRESSES)(self._look_up)

    def apply(self, scope: Scope) -> None:
        """Set `banyan.address`, and the scheme and the request id that a trusted proxy reports."""
        client = scope.get("client")
        address = client[0] if client else "unknown"
        if self._trusted and self._is_trusted(address):
            forwarded = header(scope["headers"], b"x-forwarded-for")
            if forwarded is not None:
                for hop in reversed(forwarded.decode("latin-1").split(",")):
                    address = hop.strip()
                    if not self._is_trusted(address):
                        break
            proto = header(scope["headers"], b"x-forwarded-proto")
            if proto in (b"https", b"http"):
                secure = proto == b"https"
                scope["scheme"] = (
                    ("wss" if secure else "ws") if scope["type"] == "websocket" else proto.decode()
                )
            request_id = header(scope["headers"], b"x-request-id")
            if request_id is not None and _REQUEST_ID.fullmatch(request_id):
                scope["banyan.request_id"] = request_id
        scope["banyan.address"] = address[:64]

    def _look_up(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)
