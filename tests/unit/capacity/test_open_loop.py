"""Requests leave when they are due, each is counted, and a stall is seen by everybody who had to wait."""

import pytest
from tests.support.stalling import ANSWER, BUSY, CLOSE, SILENCE, StandIn, stalls_once

from banyan.capacity import open_loop
from banyan.capacity.open_loop import CannotConnect, NotLoopback, Run, Target, request_bytes, run

GET = request_bytes("http://127.0.0.1/todos")


def adds_up(result: Run) -> bool:
    return result.planned == result.answered + result.failed + result.unsent


def test_every_request_is_sent_and_answered():
    with StandIn() as server:
        result = run(Target.at(server.url, [GET]), rate=400, seconds=0.5, connections=4)
    assert (result.planned, result.answered, server.requests) == (200, 200, 200)
    assert adds_up(result)
    assert result.statuses == {200: 200}
    assert result.latency.count == 200


def test_a_stall_is_counted_by_all_who_waited_for_it():
    """200 ms in which nobody is answered, at 500 requests a second: a closed loop would see as many slow answers as it has
    connections (2, less than one in a hundred); 100 people wait, the first 5 of them for more than 150 ms."""
    with StandIn(stalls_once(at_request=100, seconds=0.2)) as server:
        result = run(Target.at(server.url, [GET]), rate=500, seconds=1, connections=2)
    assert adds_up(result)
    assert result.answered == 500
    assert result.latency.percentile(99) > 0.15
    assert result.latency.percentile(90) > 0.08


def test_bad_answers_and_broken_connections_are_failures():
    kinds = [ANSWER, BUSY, ANSWER, CLOSE]
    with StandIn(lambda number: kinds[number % 4]) as server:
        result = run(Target.at(server.url, [GET]), rate=400, seconds=0.5, connections=4)
    assert adds_up(result)
    assert result.statuses == {200: 100, 503: 50}
    assert (result.answered, result.failed, result.unsent) == (100, 100, 0)
    assert result.errors.total() == 50


def test_what_could_not_be_sent_is_unsent_and_has_waited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(open_loop, "DRAIN_SECONDS", 0.1)
    with StandIn(lambda number: ANSWER if number < 10 else SILENCE) as server:
        result = run(Target.at(server.url, [GET]), rate=200, seconds=0.5, connections=3)
    assert adds_up(result)
    assert (result.answered, result.errors["no answer"], result.unsent) == (10, 3, 87)
    # None of them is left out of the percentiles.
    assert result.latency.count == 100
    assert result.latency.percentile(50) > 0.2


def test_a_connection_that_the_server_closes_while_idle_is_opened_again():
    """Each answer says that the connection ends."""
    ends = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with StandIn(lambda _number: ends) as server:
        result = run(Target.at(server.url, [GET]), rate=300, seconds=0.3, connections=2)
    assert (result.answered, result.failed) == (90, 0)


def test_answers_may_come_in_chunks():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    with StandIn(lambda _number: chunked) as server:
        result = run(Target.at(server.url, [GET]), rate=200, seconds=0.2, connections=2)
    assert (result.answered, result.failed) == (40, 0)


def test_other_machines_only_when_it_is_said():
    with pytest.raises(NotLoopback):
        run(Target.at("http://192.0.2.1:8000", [GET]), rate=1, seconds=0.1)


def test_nobody_there_is_no_measurement():
    with StandIn() as server:
        url = server.url
    with pytest.raises(CannotConnect):
        run(Target.at(url, [GET]), rate=1, seconds=0.1)


def test_a_request_as_it_goes_over_the_wire():
    sent = request_bytes("http://localhost:8000/todos?limit=2", "POST", {"authorization": "Bearer x"}, b"{}")
    assert sent == (
        b"POST /todos?limit=2 HTTP/1.1\r\nHost: localhost:8000\r\nauthorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}"
    )
