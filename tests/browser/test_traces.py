"""The web application's requests begin their traces, recorded as the server wants it."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Request
from tests.support.accounts import register
from tests.support.browser import Window
from tests.support.eventually import eventually
from tests.support.otlp import OtlpReceiver, ReceivedSpan
from tests.support.server import RunningServer

SHARE = 'document.querySelector("meta[name=trace-share]").content'


def is_creation(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/todos")


def test_what_a_person_does_begins_in_the_browser(tmp_path: Path, open_window: Callable[..., Window]) -> None:
    with OtlpReceiver() as receiver:
        settings = {"BANYAN_OTLP_ENDPOINT": receiver.url, "BANYAN_TRACE_SAMPLE": "1"}
        with RunningServer(tmp_path, settings) as server:
            ada = register(server.url)
            ada.client.close()
            window = open_window(server=server)

            def add(title: str) -> str | None:
                """The `traceparent` of the request that it makes."""
                with window.page.expect_request(is_creation) as asked:
                    window.add(title)
                return asked.value.headers.get("traceparent")

            window.log_in(ada)
            assert window.page.evaluate(SHARE) == "1"
            recorded = add("Water")
            window.page.evaluate(f"{SHARE} = '0'")
            unrecorded = add("Rake")
            window.page.evaluate(f"{SHARE} = ''")
            untold = add("Dig")
            assert untold is None
            assert unrecorded is not None
            assert unrecorded.endswith("-00")
            assert recorded is not None
            _, trace_id, span_id, flags = recorded.split("-")
            assert flags == "01"

            def request() -> ReceivedSpan | None:
                return next((span for span in receiver.of_trace(trace_id) if span.kind == 2), None)

            span = eventually(request, "the request is recorded", within_seconds=20)
            assert (span.name, span.parent_id) == ("POST /todos", span_id)
            assert receiver.of_trace(unrecorded.split("-")[1]) == []
