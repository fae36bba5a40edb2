"""The headers that every answer has."""

from starlette.types import Scope

from banyan.infra.http.client import header
from banyan.infra.http.hot import Headers
from banyan.kernel.ids import new_id

API_CSP = b"default-src 'none'; frame-ancestors 'none'"
SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def request_id_of(scope: Scope) -> bytes:
    made = scope.get("banyan.request_id")
    if made is None:
        made = scope["banyan.request_id"] = new_id().encode()
    return made


def completed(headers: Headers, scope: Scope) -> Headers:
    """The headers of an answer, with those that every answer has."""
    if header(headers, b"content-security-policy") is None:
        headers.append((b"content-security-policy", API_CSP))
    if header(headers, b"cache-control") is None:
        headers.append((b"cache-control", b"no-store"))
    if scope["banyan.base_url"].startswith("https://"):
        headers.append(HSTS)
    headers.extend(SECURITY_HEADERS)
    headers.append((b"x-request-id", request_id_of(scope)))
    return headers
