"""What every error looks like, checked wherever a test meets one."""

from typing import Any

import httpx


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The answer is a problem (RFC 9457) of this status and code; returns it."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert problem["status"] == status
    assert problem["detail"]
    for fault in problem.get("errors", []):
        assert set(fault) == {"pointer", "detail"}
    if code is not None:
        assert problem["code"] == code
    return problem


def pointers(problem: dict[str, Any]) -> list[str]:
    """The places that a problem names."""
    return [fault["pointer"] for fault in problem.get("errors", [])]
