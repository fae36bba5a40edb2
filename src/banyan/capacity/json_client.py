"""A JSON request now and then, for what happens around a measurement."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30.0


class AnswerError(Exception):
    """The server did not do what it was asked. status: None when there was no answer."""

    def __init__(self, what: str, status: int | None, detail: str) -> None:
        self.status = status
        super().__init__(f"{what}: {detail}" if status is None else f"{what}: {status} {detail}")


def ask(url: str, method: str, path: str, body: object = None, token: str | None = None) -> bytes:
    """The body of a good answer. Raises AnswerError."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_SECONDS)
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    if body is not None:
        headers["content-type"] = "application/json"
    what = f"{method} {path}"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        found = answer.read()
    except (OSError, HTTPException) as error:
        raise AnswerError(what, None, str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise AnswerError(what, answer.status, _detail(found))
    return found


def ask_json(url: str, method: str, path: str, body: object = None, token: str | None = None) -> Any:
    return json.loads(ask(url, method, path, body, token))


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
