"""A server process sends its traces to a receiver, over a real socket; without one it serves all the same."""

import secrets
from pathlib import Path

import pytest
from tests.support.accounts import PASSWORD, register
from tests.support.otlp import OtlpReceiver, ReceivedSpan, way_to
from tests.support.ports import free_ports
from tests.support.server import RunningServer
from tests.support.webhooks import Receiver
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from banyan import __version__

CALLER = "b7ad6b7169203331"


def test_a_server_sends_one_trace_from_the_request_to_the_delivery(tmp_path: Path) -> None:
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    settings = {"BANYAN_TRACE_SAMPLE": "0"}
    with Receiver() as hook, OtlpReceiver() as receiver:
        settings["BANYAN_OTLP_ENDPOINT"] = receiver.url
        with RunningServer(tmp_path, settings) as server:
            ada = register(server.url)
            ada.client.post("/notifications/channels", json={"kind": "webhook", "url": hook.url})
            changed = ada.client.post(
                "/users/me/password",
                json={"current_password": PASSWORD, "new_password": "another-lighthouse-43"},
                headers={"traceparent": f"00-{trace_id}-{caller}-01"},
            )
            assert changed.status_code < 300, changed.text
            spans = receiver.wait_for(trace_id, "POST /users/me/password", "deliver webhook")
            assert way_to(spans, "deliver webhook") == [
                "POST /users/me/password",
                "transact change",
                "send users",
                "process users",
                "deliver webhook",
            ]
            (request,) = [one for one in spans if one.name == "POST /users/me/password"]
            assert request.parent_id == caller
            assert request.kind == 2
            assert request.resource["service.name"] == "banyan"
            assert request.resource["service.version"] == __version__
            assert request.resource["process.pid"] == server.pid
            # What waits is sent before the process ends.
            last = secrets.token_hex(16)
            ada.client.get("/todos", headers={"traceparent": f"00-{last}-{caller}-01"})
            assert server.terminate() == 0
            assert [one.name for one in receiver.of_trace(last) if one.kind == 2] == ["GET /todos"]
        ada.client.close()
        assert receiver.paths == {"/v1/traces"}
        assert {one.trace_id for one in receiver.spans} == {trace_id, last}


def test_the_opening_of_a_socket_is_a_span_however_long_it_stays_open(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        settings = {"BANYAN_TRACE_SAMPLE": "0", "BANYAN_OTLP_ENDPOINT": receiver.url}
        with RunningServer(tmp_path, settings) as server:
            ada = register(server.url)
            address = f"{server.url.replace('http', 'ws', 1)}/ws"

            def recorded(trace_id: str) -> ReceivedSpan:
                spans = receiver.wait_for(trace_id, "GET /ws")
                assert "secret" not in str(spans)
                return next(span for span in spans if span.name == "GET /ws")

            opened, refused = secrets.token_hex(16), secrets.token_hex(16)
            told = {"authorization": f"Bearer {ada.access_token}", "traceparent": f"00-{opened}-{CALLER}-01"}
            with connect(address, additional_headers=told):
                span = recorded(opened)
            assert (span.kind, span.parent_id) == (2, CALLER)
            assert span.attributes["http.response.status_code"] == 101
            assert span.attributes["url.path"] == "/ws"
            with pytest.raises(InvalidStatus):
                connect(
                    f"{address}?ticket=secret",
                    additional_headers={"traceparent": f"00-{refused}-{CALLER}-01"},
                )
            assert recorded(refused).attributes["http.response.status_code"] == 401
            ada.client.close()


def test_a_receiver_that_is_away_costs_a_line_in_the_log(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = {"BANYAN_TRACE_SAMPLE": "1", "BANYAN_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    with RunningServer(tmp_path, settings) as server:
        ada = register(server.url)
        assert ada.client.post("/todos", json={"title": "Water"}).status_code == 201
        ada.client.close()
        assert server.terminate() == 0
        assert server.log_text().count("traces_not_sent") == 1
        assert "library_message" not in server.log_text()
