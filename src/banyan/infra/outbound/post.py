"""One POST to an address that somebody gave us.

    URL ─▶ taken apart and checked ─▶ name looked up ─▶ each address checked ─▶ connected to that address ─▶ status

The name is looked up once, and what was checked is what is connected to: a name server that gives another answer the
second time (DNS rebinding) is not asked a second time. The certificate is checked against the name all the same.
No redirect is followed, no proxy is asked, no connection is kept, and of the answer only the status is of interest.
"""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import timedelta

import httptools

from banyan.infra.outbound.addresses import AddressGuard
from banyan.infra.outbound.errors import AddressRefused, NotReached
from banyan.infra.outbound.receivers import Receivers
from banyan.infra.outbound.resolve import Resolve, Resolver
from banyan.infra.outbound.target import Target, UrlRules

# Of an answer, head and body together: more than any head has, and nobody needs the body.
MOST_ANSWER_BYTES = 64 * 1024
# The rest of an answer whose status is known is waited for no longer: closing earlier would look like a failure to it.
REST_SECONDS = 0.5
# Of a name's addresses; the time-out is for all of them.
MOST_ADDRESSES = 3
CONNECT_SECONDS = 5.0


class Outbound:
    """timeout: of one POST, from the lookup to the status."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        http: bool,
        timeout: timedelta,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        receivers: Receivers | None = None,
    ) -> None:
        self.rules = UrlRules(guard, http=http)
        self._guard = guard
        self._timeout = timeout.total_seconds()
        self._resolve = resolve or Resolver()
        self._tls = tls
        self._receivers = receivers or Receivers()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status that the receiver answers, whatever it is.

        headers: beside Host, Content-Length and Connection. Raises UrlRefused and AddressRefused, after which it is
        useless to try again; NotReached, of which nobody knows whether the receiver has it; and TimeoutError.
        """
        target = self.rules.parse(url)
        request = _request(target, headers, body)
        async with self._receivers.admitted(target.authority), asyncio.timeout(self._timeout):
            return await self._post(target, request)

    async def _post(self, target: Target, request: bytes) -> int:
        reader, writer = await self._connected(target)
        try:
            writer.write(request)
            return await _status(reader)
        except (OSError, ssl.SSLError) as error:
            raise NotReached("ConnectionLost") from error
        finally:
            # What the receiver still wants to say is not waited for.
            writer.transport.abort()

    async def _connected(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        addresses = await self._resolve(target.host, target.port)
        permitted = [address for address in addresses if self._guard.permits(address)]
        if not permitted:
            raise AddressRefused()
        tls = {"ssl": self._context(), "server_hostname": target.host} if target.is_https else {}
        refusal = NotReached("NoAddress")
        for address in permitted[:MOST_ADDRESSES]:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(address, target.port, limit=MOST_ANSWER_BYTES, **tls)
            except ssl.SSLError as error:
                refusal = NotReached("TlsFailed")
                refusal.__cause__ = error
            except OSError as error:
                refusal = NotReached("NotConnected")
                refusal.__cause__ = error
        raise refusal

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


class _Answer:
    """What the parser tells of an answer."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status: int | None = None
        self.is_whole = False

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= 200:  # before it there may be interim ones
            self.status = status

    def on_message_complete(self) -> None:
        self.is_whole = self.status is not None


async def _status(reader: asyncio.StreamReader) -> int:
    answer, size = _Answer(), 0
    while answer.status is None:
        chunk = await reader.read(4096)
        size += len(chunk)
        if not chunk or size > MOST_ANSWER_BYTES:
            raise NotReached("BadAnswer")
        _feed(answer, chunk)
    try:
        async with asyncio.timeout(REST_SECONDS):
            while not answer.is_whole and size <= MOST_ANSWER_BYTES and (chunk := await reader.read(4096)):
                size += len(chunk)
                _feed(answer, chunk)
    except (TimeoutError, OSError, NotReached):
        pass  # the status has been told
    return answer.status


def _feed(answer: _Answer, chunk: bytes) -> None:
    try:
        answer.parser.feed_data(chunk)
    except httptools.HttpParserUpgrade:
        raise NotReached("BadAnswer") from None
    except httptools.HttpParserError as error:
        if answer.status is None:
            raise NotReached("BadAnswer") from error


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header has a line break in it")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
