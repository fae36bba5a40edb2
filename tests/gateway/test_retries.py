"""What may be tried again is, elsewhere and not for long; nothing is ever done twice."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.support.accounts import client_of
from tests.support.eventually import eventually
from tests.support.gateway import Gateway, everything_at, gateway
from tests.support.ports import free_ports
from tests.support.problems import assert_problem
from tests.support.replica import Replica, breaks, slow

from banyan.gateway import clusters, virtual_hosts

KEY = {"idempotency-key": "k-1"}


def ask(made: Gateway, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    with client_of(made.url) as client:
        return client.request(method, path, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [("GET", "/todos", {}), ("GET", "/todos/7", {}), ("POST", "/todos", KEY), ("POST", "/notify/7", KEY)],
)
def test_what_has_one_effect_is_tried_on_another_replica(
    pair: Gateway, replica: Replica, other: Replica, method: str, path: str, headers: dict[str, str]
) -> None:
    replica.behave = breaks
    answers = [ask(pair, method, path, headers) for _ in range(8)]
    assert [answer.json() for answer in answers] == [{"replica": "two"}] * 8
    assert replica.arrived, "the broken one was asked, too"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/todos", {}),
        ("PATCH", "/todos/7", {"if-match": '"3"'}),
        ("DELETE", "/todos/7", {}),
        # These operations take no notice of a key, so it makes them no safer.
        ("POST", "/auth/refresh", KEY),
        ("DELETE", "/todos/7", KEY),
    ],
)
def test_what_may_have_been_done_is_not_done_again(
    pair: Gateway, replica: Replica, other: Replica, method: str, path: str, headers: dict[str, str]
) -> None:
    replica.behave = other.behave = breaks
    assert_problem(ask(pair, method, path, headers), 503, "unavailable")
    assert len(replica.arrived) + len(other.arrived) == 1


def test_what_reached_nobody_is_sent_again_whatever_it_is(tmp_path: Path, replica: Replica) -> None:
    """A replica that was killed a moment ago: its port refuses."""
    gone = free_ports(1)[0]
    with gateway(tmp_path, everything_at(replica.port, gone)) as made:
        answers = [ask(made, "POST", "/todos").status_code for _ in range(20)]
    assert answers == [200] * 20


def test_an_answer_is_an_answer(pair: Gateway, replica: Replica, other: Replica) -> None:
    """Also a 503: whoever gives it is alive and says when to come back."""
    replica.behave = other.behave = lambda _: 503
    assert ask(pair, "GET", "/todos").status_code == 503
    assert len(replica.arrived) + len(other.arrived) == 1


def test_a_replica_that_says_nothing_is_left_for_another(
    tmp_path: Path, replica: Replica, other: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_hosts, "TRY_TIMEOUT", "0.3s")
    replica.behave = slow(5)
    with gateway(tmp_path, everything_at(replica.port, other.port)) as made:
        answers = [ask(made, "GET", "/todos") for _ in range(4)]
    assert {answer.json()["replica"] for answer in answers} == {"two"}
    assert max(answer.elapsed.total_seconds() for answer in answers) < 2


def test_retries_have_a_budget(
    tmp_path: Path, replica: Replica, other: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When everything breaks, clients are told so: not each request becomes three."""
    monkeypatch.setattr(clusters, "RETRIES_ALWAYS", 1)
    monkeypatch.setattr(clusters, "RETRY_PER_CENT", 10)
    # Ejecting is another thing: here every request reaches a replica.
    monkeypatch.setattr(clusters, "_outlier_detection", lambda: {"enforcing_consecutive_5xx": 0})
    replica.behave = other.behave = breaks
    requests = 200
    with gateway(tmp_path, everything_at(replica.port, other.port)) as made:
        with client_of(made.url) as client, ThreadPoolExecutor(20) as pool:
            statuses = Counter(pool.map(lambda _: client.get("/todos").status_code, range(requests)))
        refused = made.count("cluster.todos.upstream_rq_retry_overflow")
    assert statuses == {503: requests}
    assert refused > 0
    assert len(replica.arrived) + len(other.arrived) < requests * 1.5


def test_a_replica_that_keeps_breaking_is_left_out(pair: Gateway, replica: Replica, other: Replica) -> None:
    replica.behave = breaks
    for _ in range(40):
        ask(pair, "GET", "/todos")
    assert pair.count("cluster.todos.outlier_detection.ejections_enforced_total") >= 1
    replica.arrived.clear()
    assert [ask(pair, "POST", "/todos").status_code for _ in range(10)] == [200] * 10
    assert replica.arrived == []


def test_a_replica_that_is_not_ready_is_left_out_and_comes_back(
    pair: Gateway, replica: Replica, other: Replica
) -> None:
    replica.ready = False
    eventually(lambda: pair.count("cluster.todos.membership_healthy") == 1 or None, "the gateway noticed")
    assert {ask(pair, "GET", "/todos").json()["replica"] for _ in range(10)} == {"two"}
    replica.ready = True
    eventually(lambda: ask(pair, "GET", "/todos").json()["replica"] == "one" or None, "it is back")


def test_while_none_is_ready_all_are_asked(pair: Gateway, replica: Replica, other: Replica) -> None:
    """Their database is down: they still answer from their caches, and say for themselves what they cannot do."""
    replica.ready = other.ready = False
    eventually(lambda: pair.count("cluster.todos.membership_healthy") == 0 or None, "the gateway noticed")
    assert ask(pair, "GET", "/todos").status_code == 200


def test_a_service_has_only_so_much_in_hand(
    tmp_path: Path, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past it people are told at once, and streams take nobody's place."""
    monkeypatch.setattr(clusters, "MOST_REQUESTS", 4)
    monkeypatch.setattr(clusters, "MOST_WAITING", 4)
    replica.behave = slow(1)
    with (
        gateway(tmp_path, everything_at(replica.port)) as made,
        client_of(made.url) as client,
        ThreadPoolExecutor(24) as pool,
    ):
        streams = [pool.submit(client.get, "/events") for _ in range(12)]
        eventually(lambda: len(replica.arrived) == 12 or None, "the streams are open")
        answers = list(pool.map(lambda _: client.post("/notifications/read-all"), range(12)))
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses[200] >= 4
        assert statuses[503] >= 3
        for answer in answers:
            if answer.status_code == 503:
                assert_problem(answer, 503, "unavailable")
                assert answer.elapsed.total_seconds() < 0.8
        assert {stream.result().status_code for stream in streams} == {200}
