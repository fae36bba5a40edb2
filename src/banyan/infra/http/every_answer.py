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
    headers = common(headers, is_secure=scope["banyan.base_url"].startswith("https://"))
    headers.append((b"x-request-id", request_id_of(scope)))
    return headers


def common(headers: Headers, *, is_secure: bool) -> Headers:
    """The headers of an answer, with those that every answer has but for the id of its request."""
    if header(headers, b"content-security-policy") is None:
        headers.append((b"content-security-policy", API_CSP))
    if header(headers, b"cache-control") is None:
        headers.append((b"cache-control", b"no-store"))
    if is_secure:
        headers.append(HSTS)
    headers.extend(SECURITY_HEADERS)
    return headers
