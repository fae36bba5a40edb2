"""What may be typed as a URL that we send to, taken apart once: what is checked is what is used."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

from banyan.infra.outbound.addresses import AddressGuard
from banyan.kernel.errors import BanyanError

MAX_URL_CHARS = 2000
# Nothing that two programs could read in two ways: no space, control character, backslash, or letter beyond ASCII.
_PLAIN = re.compile(r"[!-\[\]-~]+\Z")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
# "The host ends in a number", WHATWG URL: programs would read it as an IPv4 address, of any of its older forms.
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_DEFAULT_PORTS = {"https": 443, "http": 80}


class UrlRefused(BanyanError):
    """Its detail says why, for whoever typed the URL."""

    code = "url_refused"
    detail = "This is not a URL that can be sent to."


@dataclass(frozen=True, slots=True)
class Target:
    """host: a name in lower case, or an address without brackets. path: with the query, as it stands in a request."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_https(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """As in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class UrlRules:
    """http: whether unencrypted `http://` will do."""

    def __init__(self, guard: AddressGuard, *, http: bool) -> None:
        self._guard = guard
        self._schemes = ("https", "http") if http else ("https",)

    def parse(self, url: str) -> Target:
        """Raises UrlRefused. A name is looked up when something is sent, and its addresses are checked then."""
        if len(url) > MAX_URL_CHARS:
            raise UrlRefused(f"must not be longer than {MAX_URL_CHARS} characters")
        if not _PLAIN.match(url):
            raise UrlRefused(
                "must be written in ASCII without spaces and backslashes: escape them with %, and write an"
                " international name in its xn-- form"
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise UrlRefused("must be a URL such as https://example.org/hooks") from None
        if parts.scheme not in self._schemes or not url.lower().startswith(f"{parts.scheme}://"):
            raise UrlRefused(f"must start with {' or '.join(f'{scheme}://' for scheme in self._schemes)}")
        if "@" in parts.netloc:
            raise UrlRefused("must not hold a user name or a password")
        if "#" in url:
            raise UrlRefused("must not have a fragment (#)")
        if port == 0 or parts.netloc.endswith(":"):
            raise UrlRefused("must have a port from 1 to 65535, or none")
        host = self._host((parts.hostname or "").lower(), bracketed="[" in parts.netloc)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], path)

    def _host(self, host: str, *, bracketed: bool) -> str:
        if bracketed:
            try:
                address = IPv6Address(host)
            except AddressValueError:
                raise UrlRefused("has an IPv6 address that cannot be read") from None
            if address.scope_id is not None:
                raise UrlRefused("must not name a network interface (%)")
            self._check(address)
            return str(address)
        name = host.removesuffix(".")
        labels = name.split(".")
        if _NUMBER.match(labels[-1]):
            try:
                address = IPv4Address(host)
            except AddressValueError:
                raise UrlRefused("must write an IPv4 address as four decimal numbers") from None
            self._check(address)
            return str(address)
        if len(name) > 253 or not all(_LABEL.match(label) for label in labels):
            raise UrlRefused("must name a host such as example.org")
        if labels[-1] == "localhost":
            self._check(IPv4Address("127.0.0.1"))
        return name

    def _check(self, address: IPv4Address | IPv6Address) -> None:
        if not self._guard.permits(address):
            raise UrlRefused("must lead to an address that is public on the Internet")
