"""Routes and replicas change under a running gateway, and nobody's connection is lost by it; nor when it stops."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.support.accounts import Account, client_of, register
from tests.support.eventually import eventually
from tests.support.gateway import Gateway, everything_at, gateway
from tests.support.replica import Replica, slow
from tests.support.server import RunningServer
from tests.support.streams import event_stream, socket

from banyan.fleet.servers.envoy import drain
from banyan.gateway.routes import Operation, RouteTable
from banyan.gateway.routes import Path as Route


def test_replicas_come_and_go_under_load(tmp_path: Path, replica: Replica, other: Replica) -> None:
    with gateway(tmp_path, everything_at(replica.port)) as made:
        stop = threading.Event()
        answers: list[int] = []

        def load() -> None:
            with client_of(made.url) as client:
                while not stop.is_set():
                    answers.append(client.post("/todos").status_code)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                other.arrived.clear()
                changed = made.change(replicas=everything_at(replica.port, other.port))
                assert changed == [f"endpoints-{name}.yaml" for name in ("users", "todos", "notifications")]
                eventually(lambda: other.arrived or None, "the new replica is asked")
                made.change(replicas=everything_at(other.port))
                eventually(lambda: _is_quiet(replica) or None, "the old one is let go")
                made.change(replicas=everything_at(replica.port))
                eventually(lambda: _is_quiet(other) or None, "and back")
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
    assert len(answers) > 100
    assert set(answers) == {200}


def _is_quiet(replica: Replica) -> bool:
    before = len(replica.arrived)
    time.sleep(0.1)  # nothing tells that nothing comes any more
    return len(replica.arrived) == before


def test_a_route_comes_and_goes_beside_open_streams(make_server, new_user, tmp_path: Path) -> None:
    server: RunningServer = make_server({"BANYAN_TRUSTED_PROXIES": "127.0.0.1"})
    with gateway(tmp_path / "gateway", everything_at(server.port)) as made, ExitStack() as stack:
        user = register(made.url)
        stack.callback(user.client.close)
        events = stack.enter_context(event_stream(user.client))
        ws = stack.enter_context(socket(made.url, ticket=user.client.post("/auth/ticket").json()["ticket"]))
        assert events.next().name == ws.next().name == "ready"

        whole = made.table
        made.table = RouteTable(
            tuple(path for path in whole.paths if path.template != "/todos"), whole.issuer
        )
        assert made.change() == ["routes-public.yaml"]
        eventually(lambda: user.client.get("/todos").status_code == 404 or None, "the route is gone")
        made.table = RouteTable((*whole.paths, Route("/tasks", "todos", (Operation("GET"),))), whole.issuer)
        made.change()
        eventually(lambda: user.client.get("/todos").status_code == 200 or None, "it is back")
        # The service does not know the new one; it is the service that says so.
        assert "content-security-policy" in user.client.get("/tasks").headers
        made_todo = user.client.post("/todos", json={"title": "still listening"})
        assert made_todo.status_code == 201
        assert events.next().data["data"]["title"] == "still listening"
        assert ws.next().data["data"]["title"] == "still listening"
        assert made.count("listener_manager.listener_modified") == 0


def test_envoy_keeps_what_it_has_when_a_file_is_wrong(tmp_path: Path, replica: Replica) -> None:
    with gateway(tmp_path, everything_at(replica.port)) as made, client_of(made.url) as client:
        broken = tmp_path / "broken"
        broken.write_text("resources: [{'@type': nonsense}]\n")
        broken.replace(tmp_path / "routes-public.yaml")
        failed = r"http\.gateway\.rds\.public\.update_failure"
        eventually(lambda: made.count(failed) or None, "it looked at the file")
        assert client.get("/todos").status_code == 200


def test_a_gateway_that_stops_lets_its_clients_go(pair: Gateway, replica: Replica, other: Replica) -> None:
    """Requests in flight are answered, and each answer ends its connection."""
    replica.behave = other.behave = slow(1)
    answers: list[httpx.Response] = []
    with client_of(pair.url) as client:
        asking = threading.Thread(target=lambda: answers.append(client.post("/todos")))
        asking.start()
        eventually(lambda: replica.arrived or other.arrived or None, "the request is under way")
        drain(pair.plan.admin_port)
        asking.join(10)
    assert [answer.status_code for answer in answers] == [200]
    assert answers[0].headers["connection"] == "close"
    began = time.monotonic()
    pair.running.stop()
    assert time.monotonic() - began < 6
    assert pair.running.process is not None
    assert pair.running.process.returncode == 0
    drain(pair.plan.admin_port)  # nobody is there: nothing happens


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_live_endpoints_work_through_it(make_server, tmp_path: Path) -> None:
    """The same account over both ways in: what one tells, the other tells."""
    server: RunningServer = make_server({"BANYAN_TRUSTED_PROXIES": "127.0.0.1"})
    with gateway(tmp_path / "gateway", everything_at(server.port)) as made:
        user: Account = register(made.url)
        with event_stream(user.client) as events:
            cursor = events.next().cursor
        for title in ("one", "two"):
            user.client.post("/todos", json={"title": title})
        with event_stream(user.client, cursor) as events:
            assert [told.name for told in events.take(3)] == ["ready", "TodoCreated", "TodoCreated"]
        with socket(made.url, token=user.access_token, since=cursor) as ws:
            assert [told.name for told in ws.take(3)] == ["ready", "TodoCreated", "TodoCreated"]
        with event_stream(user.client) as events:
            assert events.next().name == "ready"
            # Nothing happens for longer than any request may take.
            time.sleep(16)
            user.client.post("/todos", json={"title": "three"})
            assert events.next().data["data"]["title"] == "three"
        with socket(made.url, token=user.access_token) as ws:
            assert ws.next().name == "ready"
            began = time.monotonic()
            assert user.client.post("/auth/logout", json={"refresh_token": user.refresh_token}).is_success
            assert ws.close_code() == 4401
            # Told at once; Envoy then waits for the client to hang up, as the client does for the server.
            assert time.monotonic() - began < 0.9
        user.client.close()
