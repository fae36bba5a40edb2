"""The POST itself, over real sockets: to the address that was checked, no further than the answer's status."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.certificates import make_certificate

from banyan.infra.outbound.addresses import AddressGuard
from banyan.infra.outbound.errors import AddressRefused, NotReached
from banyan.infra.outbound.post import MOST_ANSWER_BYTES, Outbound
from banyan.infra.outbound.target import UrlRefused

LOOPBACK = AddressGuard(["127.0.0.0/8"])
OK = b"HTTP/1.1 204 No Content\r\n\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names:
    """A name server: each answer in turn, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class Server:
    def __init__(self) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self.sent = 0


@asynccontextmanager
async def serving(answer: bytes | Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Answers each request with these bytes and closes, or leaves it to a function."""
    server = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        server.requests.append(head + await reader.readexactly(length))
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
            writer.close()
        else:
            await answer(reader, writer)

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def outbound(
    *, names: Names | None = None, guard: AddressGuard = LOOPBACK, tls: ssl.SSLContext | None = None,
    seconds: float = 5.0,
) -> Outbound:  # fmt: skip
    return Outbound(guard, http=True, timeout=timedelta(seconds=seconds), resolve=names, tls=tls)


async def test_it_posts_and_tells_the_status() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as server:
        status = await outbound().post(f"http://127.0.0.1:{server.port}/a?b=c", {"x-one": "1"}, b"body")
    assert status == 200
    (request,) = server.requests
    lines = request.split(b"\r\n")
    assert lines[0] == b"POST /a?b=c HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in lines
    assert b"Content-Length: 4" in lines
    assert b"x-one: 1" in lines
    assert request.endswith(b"\r\n\r\nbody")


async def test_a_name_is_asked_for_once_and_what_was_checked_is_connected_to() -> None:
    async with serving(OK) as server:
        # The second answer is the one that a rebinding name server would like us to connect to.
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        assert await outbound(names=names).post(f"http://rebind.test:{server.port}/", {}, b"") == 204
        assert names.asked == [("rebind.test", server.port)]
        assert f"Host: rebind.test:{server.port}".encode() in server.requests[0]


async def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    async with serving(OK) as server:
        names = Names(["127.0.0.1", "::1", "10.0.0.1", "::ffff:127.0.0.1"])
        with pytest.raises(AddressRefused):
            await outbound(names=names, guard=AddressGuard()).post(
                f"http://inside.test:{server.port}/", {}, b""
            )
        assert server.requests == []


async def test_of_several_addresses_only_the_permitted_ones_are_tried() -> None:
    async with serving(OK) as server:
        names = Names(["10.0.0.1", "127.0.0.1"])
        assert await outbound(names=names).post(f"http://both.test:{server.port}/", {}, b"") == 204


async def test_a_url_is_checked_again_when_it_is_sent_to() -> None:
    with pytest.raises(UrlRefused):
        await outbound(guard=AddressGuard()).post("http://127.0.0.1:9/", {}, b"")


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with serving(OK) as inside:
        location = (
            f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{inside.port}/\r\ncontent-length: 0\r\n\r\n"
        )
        async with serving(location.encode()) as server:
            assert await outbound().post(f"http://127.0.0.1:{server.port}/", {}, b"") == 302
        assert inside.requests == []


async def test_of_an_endless_answer_only_so_much_is_read() -> None:
    read = 0
    closed = asyncio.Event()

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal read
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                read += 65536
        except OSError:
            closed.set()

    async with serving(endless) as server:
        assert await outbound().post(f"http://127.0.0.1:{server.port}/", {}, b"") == 200
        await asyncio.wait_for(closed.wait(), 10)
    # What lies in the buffers of both kernels is written as well.
    assert read < 256 * MOST_ANSWER_BYTES


async def test_a_head_that_does_not_end_is_no_answer() -> None:
    async def long_winded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: " + b"x" * (2 * MOST_ANSWER_BYTES))
        await reader.read()

    async with serving(long_winded) as server:
        with pytest.raises(NotReached) as refused:
            await outbound().post(f"http://127.0.0.1:{server.port}/", {}, b"")
    assert refused.value.reason == "BadAnswer"


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 99999 x\r\n\r\n", b"HTTP/1.1 200"]
)
async def test_what_does_not_speak_http_is_no_answer(answer: bytes) -> None:
    async with serving(answer) as server:
        with pytest.raises(NotReached) as refused:
            await outbound().post(f"http://127.0.0.1:{server.port}/", {}, b"")
    assert refused.value.reason == "BadAnswer"


async def test_an_interim_answer_is_not_the_answer() -> None:
    # As long as what is read at a time, so that the last answer is not read with it.
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: ".ljust(4096 - 4, b"x") + b"\r\n\r\n"
    async with serving(interim + b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n") as server:
        assert await outbound().post(f"http://127.0.0.1:{server.port}/", {}, b"") == 503


async def test_a_receiver_that_hangs_is_left_at_the_time_out() -> None:
    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(hang) as server:
        with pytest.raises(TimeoutError):
            await outbound(seconds=0.2).post(f"http://127.0.0.1:{server.port}/", {}, b"")


async def test_nobody_there_and_no_such_name_are_told_apart() -> None:
    async with serving(OK) as server:
        port = server.port
    with pytest.raises(NotReached) as refused:
        await outbound().post(f"http://127.0.0.1:{port}/", {}, b"")
    assert refused.value.reason == "NotConnected"
    with pytest.raises(NotReached) as refused:
        await outbound().post("http://no-such-name.invalid/", {}, b"")
    assert refused.value.reason == "NameNotFound"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side, and a client's that trusts it; it is for `localhost`."""
    files = make_certificate(tmp_path)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(files.chain, files.key)
    return ours, ssl.create_default_context(cafile=str(files.chain))


async def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server_side, client_side = certificate
    asked: list[str | None] = []
    server_side.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with serving(OK, server_side) as server:
        names = Names(["127.0.0.1"])
        sender = outbound(names=names, tls=client_side)
        assert await sender.post(f"https://localhost:{server.port}/", {}, b"") == 204
        assert asked == ["localhost"]
        with pytest.raises(NotReached) as refused:
            await sender.post(f"https://other.test:{server.port}/", {}, b"")
        assert refused.value.reason == "TlsFailed"
        with pytest.raises(NotReached) as refused:
            await outbound(names=names).post(f"https://localhost:{server.port}/", {}, b"")
        assert refused.value.reason == "TlsFailed"


async def test_a_header_cannot_be_smuggled_in() -> None:
    with pytest.raises(ValueError):
        await outbound().post("http://127.0.0.1:9/", {"x": "1\r\nevil: 2"}, b"")
