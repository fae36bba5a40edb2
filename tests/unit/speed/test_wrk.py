"""What wrk printed, and what counts as a failure."""

import json

import pytest
from benchmarks.speed.wrk import LoadFailed, Request, parse, write_requests

GOOD = {"requests": 900, "seconds": 3.0, "p50_ms": 1.5, "p99_ms": 9.25, "bad_status": 0, "socket_errors": 0}


def printed(**facts: float) -> str:
    return "Running 3s test @ http://127.0.0.1:1\n  300 requests/sec\n" + json.dumps(GOOD | facts) + "\n"


def test_the_last_line_says_what_was_seen():
    load = parse(printed())
    assert (load.requests, load.per_second, load.p50_ms, load.p99_ms) == (900, 300, 1.5, 9.25)


@pytest.mark.parametrize("fault", [{"bad_status": 1}, {"socket_errors": 1}, {"requests": 0}])
def test_one_request_that_failed_or_none_that_was_answered_fails_the_run(fault: dict[str, int]):
    with pytest.raises(LoadFailed):
        parse(printed(**fault))


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:1", "[]"])
def test_output_without_numbers_fails_the_run(text: str):
    with pytest.raises(LoadFailed):
        parse(text)


def test_a_request_is_a_line_of_the_file(tmp_path):
    requests = [
        Request("GET", "/todos?limit=20", {"X-User-Id": "ada"}),
        Request("POST", "/todos", {"A": "1", "B": "2: 3"}, '{"title": "a b"}'),
    ]
    assert write_requests(tmp_path / "list", requests).read_text().splitlines() == [
        "GET\t/todos?limit=20\t\tX-User-Id: ada",
        'POST\t/todos\t{"title": "a b"}\tA: 1\tB: 2: 3',
    ]
