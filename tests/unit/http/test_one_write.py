"""Answers leave in one piece, streams piece by piece, and nothing is left behind."""

import asyncio
import socket

import uvloop

from banyan.infra.http.one_write import OneWrite


def conversation(*written: list[bytes], close: bool = False) -> list[bytes]:
    """What a client receives piece by piece when the server writes each of these lists in one turn."""

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = OneWrite(transport, asyncio.get_running_loop())
            self.left = list(written)

        def data_received(self, data: bytes) -> None:
            for piece in self.left.pop(0):
                self.transport.write(piece)
            if close:
                self.transport.close()

    def client(port: int) -> list[bytes]:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            received = []
            for _ in written:
                connection.sendall(b"?")
                received.append(connection.recv(65536))
            if close:
                assert connection.recv(1) == b""
            return received

    async def talk() -> list[bytes]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0)
        async with server:
            return await loop.run_in_executor(None, client, server.sockets[0].getsockname()[1])

    return uvloop.run(talk())


def test_head_and_body_arrive_together() -> None:
    # Written separately, one in four of these comes in two pieces.
    assert set(conversation(*[[b"head\r\n", b"body"]] * 200)) == {b"head\r\nbody"}


def test_what_nothing_follows_is_sent_all_the_same() -> None:
    assert conversation([b"one"], [b"two"]) == [b"one", b"two"]


def test_nothing_is_lost_at_the_end() -> None:
    assert conversation([b"last"], close=True) == [b"last"]
    assert conversation([b"head", b"body", b""], close=True) == [b"headbody"]
