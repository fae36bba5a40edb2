"""A client of one service: the whole price of a network between two modules is paid here.

    deadline ─▶ breaker ─▶ token ─▶ POST ─▶ proof checked ─▶ the answer, or the error that the service raised
       └── once more, while the retry budget lasts, when nobody answered or the service was unavailable

Every operation may be repeated: it only reads, or it names what it does by an id.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json

from banyan.infra.auth.service_tokens import PROOF_HEADER, TOKEN_HEADER, ServiceTokens
from banyan.infra.resilience import deadline
from banyan.infra.resilience.breaker import Breaker, CircuitOpen
from banyan.infra.resilience.retry_budget import RetryBudget
from banyan.infra.telemetry.trace import Span, outgoing_traceparent, span
from banyan.kernel.errors import BanyanError, Unavailable

if TYPE_CHECKING:
    import aiohttp

# Of a service's connections: the callers of one process share them.
MOST_CONNECTIONS = 32
TRIES = 2


class ServiceClient:
    """Asks the service `name` at `url`. timeout: of one question, all tries together.

    Every method raises Unavailable when the service does not answer in time, answers without a proof that it is one of
    ours, or fails by its own fault.
    """

    def __init__(self, name: str, url: str, tokens: ServiceTokens, *, timeout: timedelta) -> None:
        # Imported here: a process that serves every module asks no service, and need not have it in memory.
        import aiohttp

        self._http = aiohttp
        self._name = name
        self._url = url
        self._tokens = tokens
        place = urlsplit(url)
        self._address = {
            "server.address": place.hostname or "",
            "server.port": place.port or (443 if place.scheme == "https" else 80),
        }
        self._timeout = timeout.total_seconds()
        self._session: aiohttp.ClientSession | None = None
        self.breaker = Breaker(f"The service {name}", patience_seconds=self._timeout / 4)
        self.budget = RetryBudget()

    async def ask(
        self,
        operation: str,
        question: Mapping[str, Any],
        errors: Mapping[str, type[BanyanError]] | None = None,
    ) -> Any:
        """What the service answers. errors: what to raise for a problem's `code`, as the contract says.

        Raises Unavailable for a code that is not in it.
        """
        path = f"/internal/{self._name}/{operation}"
        body = to_json(question)
        async with deadline.within(self._timeout):
            status, content = await self._answer(path, body)
        if status == 200:
            return from_json(content)
        problem = from_json(content)
        kind = (errors or {}).get(problem.get("code"))
        if kind is None:
            raise Unavailable(f"The service {self._name} refused a question ({status}).")
        raise kind(problem.get("detail"))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.budget.tried()
        for left in reversed(range(TRIES)):
            try:
                return await self.breaker.run(lambda: self._try(path, body))
            except CircuitOpen:
                raise
            except Unavailable:
                if left == 0 or not self.budget.may_retry():
                    raise
        raise AssertionError("the last try returns or raises")

    async def _try(self, path: str, body: bytes) -> tuple[int, bytes]:
        with span(f"POST {path}", "client", {"http.request.method": "POST", **self._address}) as call:
            return await self._post(path, body, call)

    async def _post(self, path: str, body: bytes, call: Span | None) -> tuple[int, bytes]:
        token, call_id = self._tokens.issue(self._name, "POST", path, body)
        headers = {TOKEN_HEADER: token, "content-type": "application/json"}
        trace = outgoing_traceparent()
        if trace is not None:
            headers["traceparent"] = trace
        rest = deadline.to_header()
        if rest is not None:
            headers[rest[0].decode()] = rest[1].decode()
        try:
            async with self._connected().post(self._url + path, data=body, headers=headers) as answer:
                status, content = answer.status, await answer.read()
                proof = answer.headers.get(PROOF_HEADER)
        except (self._http.ClientError, OSError) as error:
            raise Unavailable(f"The service {self._name} does not answer.") from error
        if call is not None:
            call.note({"http.response.status_code": status, "url.template": path})
        if not self._tokens.is_proven(proof, call_id, status, content):
            # A gateway that has no replica to send it to, or somebody who is none of ours.
            raise Unavailable(f"What answered for the service {self._name} has not proven to be it.")
        if status >= 500:
            raise Unavailable(f"The service {self._name} cannot answer at the moment.")
        return status, content

    def _connected(self) -> "aiohttp.ClientSession":
        if self._session is None:
            # The deadline is ours: aiohttp's own of five minutes would only hide a missing one.
            self._session = self._http.ClientSession(
                connector=self._http.TCPConnector(limit=MOST_CONNECTIONS),
                timeout=self._http.ClientTimeout(total=None),
            )
        return self._session
