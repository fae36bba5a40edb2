"""AWS Lambda on this machine: its runtime API for one execution environment, and a function that the real runtime client runs.

The client (`awslambdaric`) asks for the next invocation, calls the handler, and hands in the result. While nobody invokes, it
waits for the next one, as a frozen environment does.
Source: "Using the Lambda runtime API for custom runtimes", version 2018-06-01, of the AWS Lambda Developer Guide.
"""

import base64
import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.support.server import banyan_environment

API = "/2018-06-01/runtime"
START_SECONDS = 60.0
SECRET = "one-secret-that-all-functions-of-a-test-run-share"


class FunctionFailed(Exception):
    """The handler, or the init phase, ended with an error. Its text is the one that Lambda would log."""


class Answer(NamedTuple):
    """The result of the HTTP function, as API Gateway would hand it to the client."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _Invocation:
    def __init__(self, event: Any, seconds: float) -> None:
        self.event = event
        self.seconds = seconds
        self.result: Any = None
        self.error: dict[str, Any] | None = None
        self.done = threading.Event()


class _RuntimeApi(ThreadingHTTPServer):
    """waiting: invocations that are to come. asked: set when the client has asked for the first one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.waiting: queue.SimpleQueue[_Invocation | None] = queue.SimpleQueue()
        self.under_way: dict[str, _Invocation] = {}
        self.asked = threading.Event()
        self.init_error: dict[str, Any] | None = None
        self.numbers = itertools.count(1)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A function that was killed has let go of its connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is its head, and then its body: the second would wait for the client to confirm the first.
    disable_nagle_algorithm = True
    server: _RuntimeApi  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass

    def do_GET(self) -> None:
        assert self.path == f"{API}/invocation/next", self.path
        self.server.asked.set()
        invocation = self.server.waiting.get()
        if invocation is None:
            self.close_connection = True
            return
        request_id = f"request-{next(self.server.numbers)}"
        self.server.under_way[request_id] = invocation
        body = json.dumps(invocation.event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + invocation.seconds) * 1000)))
        self.send_header(
            "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:1:function:banyan"
        )
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"null")
        if self.path == f"{API}/init/error":
            self.server.init_error = body
            self.server.asked.set()
        else:
            request_id, kind = self.path.removeprefix(f"{API}/invocation/").split("/")
            invocation = self.server.under_way.pop(request_id)
            if kind == "response":
                invocation.result = body
            else:
                invocation.error = body
            invocation.done.set()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()


class LambdaFunction:
    """A context manager: an execution environment of `banyan.aws_lambda.NAME` is there inside.

    On entering, its init phase is over. Raises FunctionFailed when that failed.
    """

    def __init__(self, name: str, folder: Path, settings: Mapping[str, str]) -> None:
        self._handler = f"banyan.aws_lambda.{name}"
        self._log_path = folder / f"{name}.log"
        self._environment = banyan_environment(
            folder / "data", {"BANYAN_SECRET_KEY": SECRET, "BANYAN_LOG_FORMAT": "json", **settings}
        )
        self._api = _RuntimeApi()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._api.serve_forever, args=(0.05,), daemon=True).start()
        host, port = self._api.server_address[:2]
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", self._handler],
                env={**self._environment, "AWS_LAMBDA_RUNTIME_API": f"{host!s}:{port}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if not self._api.asked.wait(START_SECONDS) or self._api.init_error is not None:
            self.__exit__(None, None, None)
            raise FunctionFailed((self._api.init_error or {}).get("errorMessage") or self.log_text())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._api.waiting.put(None)
        self._api.shutdown()
        self._api.server_close()

    def invoke(self, event: Any = None, *, seconds: float = 30.0) -> Any:
        """What the handler returns. seconds: the function's time-out. Raises FunctionFailed."""
        invocation = _Invocation(event if event is not None else {}, seconds)
        self._api.waiting.put(invocation)
        # As Lambda: whoever is not done by then has failed, and his environment ends.
        if not invocation.done.wait(seconds):
            raise FunctionFailed(f"Task timed out after {seconds:g} seconds\n{self.log_text()}")
        if invocation.error is not None:
            raise FunctionFailed(f"{invocation.error['errorType']}: {invocation.error['errorMessage']}")
        return invocation.result

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 30.0,
    ) -> Answer:
        """The answer to a request that came through an HTTP API or a function URL."""
        result = self.invoke(http_event(method, path, body, token=token, headers=headers), seconds=seconds)
        text = result.get("body", "")
        content = base64.b64decode(text) if result["isBase64Encoded"] else text.encode()
        return Answer(result["statusCode"], result["headers"], content)

    def log_text(self) -> str:
        return self._log_path.read_text("utf-8", errors="replace") if self._log_path.exists() else ""


def http_event(
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An event of payload format 2.0, which HTTP APIs and function URLs have in common. body: JSON, or a text as it is."""
    path, _, query = path.partition("?")
    sent = {
        "host": "abc123.execute-api.eu-central-1.amazonaws.com",
        "x-forwarded-proto": "https",
        **(headers or {}),
    }
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": sent,
        "requestContext": {
            "domainName": sent["host"],
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7"},
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        text = body if isinstance(body, str) else json.dumps(body)
        sent.setdefault("content-type", "application/json")
        sent.setdefault("content-length", str(len(text.encode())))
        event["body"] = text
    return event
