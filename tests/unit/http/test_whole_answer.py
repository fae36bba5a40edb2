"""An answer is written at once only where nothing can go wrong by it."""

import logging
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from banyan.infra.http.hot import Headers
from banyan.infra.http.whole_answer import Watched, write_whole


class Transport:
    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Flow:
    write_paused = False


class Event:
    def set(self) -> None: ...


def cycle_on(transport: Transport, **options: Any) -> Any:
    logger = logging.getLogger("test")
    fields: dict[str, Any] = {
        "scope": {"method": "GET"},
        "transport": transport,
        "flow": Flow(),
        "logger": logger,
        "access_logger": logger,
        "access_log": False,
        "default_headers": [(b"date", b"now")],
        "message_event": Event(),
        "expect_100_continue": False,
        "keep_alive": True,
        "on_response": lambda: None,
    }
    return RequestResponseCycle(**(fields | options))


def test_head_and_body_are_one_write() -> None:
    transport = Transport()
    cycle = cycle_on(transport)
    assert write_whole(cycle.send, 200, [(b"content-length", b"2")], b"ok")
    assert transport.written == b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\nok"
    assert cycle.response_complete
    assert not write_whole(cycle.send, 200, [], b""), "it is answered"


def test_whoever_only_looks_at_the_head_is_shown_it_once() -> None:
    transport, seen = Transport(), []

    def look(status: int, headers: Headers) -> None:
        seen.append((status, headers))

    watched = Watched(cycle_on(transport).send, look)
    assert write_whole(watched, 200, [(b"content-length", b"2")], b"ok")
    assert transport.written.endswith(b"\r\n\r\nok")
    assert not write_whole(watched, 200, [], b""), "it is answered"
    assert seen == [(200, [(b"content-length", b"2")])]


async def test_whoever_only_looks_sees_what_is_sent_in_the_ordinary_way() -> None:
    transport, seen = Transport(), []
    watched = Watched(cycle_on(transport).send, lambda status, headers: seen.append((status, headers)))
    length = [(b"content-length", b"2")]
    await watched({"type": "http.response.start", "status": 404, "headers": length})
    await watched({"type": "http.response.body", "body": b"no"})
    assert seen == [(404, length)]
    assert transport.written.endswith(b"\r\n\r\nno")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x=1", b"a\nb", b"a\rb", b"a\0b"])
def test_a_value_that_would_end_its_line_is_left_to_the_server_to_refuse(value: bytes) -> None:
    transport = Transport()
    assert not write_whole(cycle_on(transport).send, 200, [(b"link", value)], b"")
    assert transport.written == b""


def test_a_client_that_reads_slowly_is_waited_for() -> None:
    transport, flow = Transport(), Flow()
    flow.write_paused = True
    assert not write_whole(cycle_on(transport, flow=flow).send, 200, [], b"")
    assert transport.written == b""


async def test_a_send_of_somebody_in_between_is_not_passed_by() -> None:
    async def send(message: Any) -> None: ...

    assert not write_whole(send, 200, [], b"")
