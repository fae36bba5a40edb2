"""A process that is asked to stop goes on answering until whatever balances the load has noticed."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from tests.support.accounts import Account, client_of
from tests.support.eventually import eventually
from tests.support.server import RunningServer
from tests.support.streams import event_stream, socket

MakeServer = Callable[..., RunningServer]
NewUser = Callable[..., Account]
DRAIN_SECONDS = 1.5


def stop(server: RunningServer) -> float:
    """Ask it to stop; returns when that was, once the process has heard it."""
    os.kill(server.pid, signal.SIGTERM)
    asked = time.monotonic()
    eventually(lambda: status(server, "/readyz") == 503 or None, "the server heard the signal")
    return asked


def status(server: RunningServer, path: str) -> int:
    with client_of(server.url) as client:
        return client.get(path).status_code


def test_requests_are_accepted_while_it_drains(make_server: MakeServer, new_user: NewUser) -> None:
    server = make_server({"BANYAN_DRAIN_DELAY": str(DRAIN_SECONDS)})
    kept = new_user(server=server).client
    assert "connection" not in kept.get("/users/me").headers

    asked = stop(server)

    answer = kept.post("/todos", json={"title": "before the end"})
    assert answer.status_code == 201
    assert answer.headers["connection"] == "close", "its client is to connect anew"
    assert status(server, "/livez") == 200, "a new connection"
    assert server.process is not None
    assert server.process.wait(10) == 0
    assert time.monotonic() - asked >= DRAIN_SECONDS


def test_streams_end_one_after_another(make_server: MakeServer, new_user: NewUser) -> None:
    server = make_server({"BANYAN_DRAIN_DELAY": str(DRAIN_SECONDS)})
    user = new_user(server=server)
    ended: list[float] = []
    with ExitStack() as stack:
        streams = [stack.enter_context(event_stream(user.client)) for _ in range(5)]
        ws = stack.enter_context(socket(server.url, token=user.access_token))
        for stream in streams:
            assert stream.next().name == "ready"

        def wait_for_the_end(stream) -> None:
            bye = stream.until("bye")
            assert bye.data == {"reason": "draining"}
            assert stream.is_over()
            ended.append(time.monotonic())

        listeners = [threading.Thread(target=wait_for_the_end, args=[stream]) for stream in streams]
        for listener in listeners:
            listener.start()
        stop(server)
        assert ws.close_code() == 1001
        for listener in listeners:
            listener.join(10)
    assert len(ended) == 5
    # Six are spread over the time; with no two of them far apart they would have ended together.
    assert max(ended) - min(ended) > DRAIN_SECONDS / 3


def test_a_second_signal_ends_it_at_once(make_server: MakeServer, new_user: NewUser) -> None:
    server = make_server({"BANYAN_DRAIN_DELAY": "60"})
    user = new_user(server=server)
    with event_stream(user.client) as stream:
        assert stream.next().name == "ready"
        stop(server)
        assert server.is_running
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        assert server.process is not None
        server.process.wait(10)
        assert time.monotonic() - began < 3
