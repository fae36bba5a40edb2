"""What the gateway answers by itself: problems (RFC 9457) of the same shape and with the same headers as the services'."""

import math
from http import HTTPStatus
from typing import Any

from banyan.gateway.plan import Plan
from banyan.infra.http.every_answer import API_CSP, HSTS, SECURITY_HEADERS
from banyan.infra.http.problems import MEDIA_TYPE, problem
from banyan.kernel import errors
from banyan.kernel.errors import BanyanError, RetryLater

# What services have no word for, because it only happens in front of them.
EDGE_PROBLEMS = {
    408: ("request_timeout", "The request did not arrive within the time that it may take: send it again."),
    414: ("uri_too_long", "The address is longer than this server accepts."),
    426: ("upgrade_required", "This is only spoken over an upgraded connection."),
    431: ("headers_too_large", "The headers are larger than this server accepts."),
    502: ("bad_gateway", "The part that was to answer gave no proper answer: try again shortly."),
    504: (
        "gateway_timeout",
        "The part that was to answer took too long; the request may still be carried out.",
    ),
}
UNKNOWN = ("error", "The request could not be done.")
RETRY_SECONDS = 1
# jwt_authn and RBAC refuse a token with 403; it is 401 everywhere else here.
REFUSED_TOKEN = 403


def local_replies(plan: Plan) -> dict[str, Any]:
    """Envoy's `LocalReplyConfig`."""
    mappers = [
        _mapper(plan, status, problem(error)[0], *_said(error)) for status, error in _ours(plan).items()
    ]
    mappers += [_mapper(plan, status, status, code, text) for status, (code, text) in EDGE_PROBLEMS.items()]
    # Whatever is left keeps its status.
    mappers.append(_mapper(plan, None, None, *UNKNOWN))
    return {"mappers": mappers}


def _ours(plan: Plan) -> dict[int, BanyanError]:
    """Envoy's status → the error that a service would answer."""
    wait = plan.address_rate.interval_ns / 1_000_000_000
    return {
        400: errors.MalformedRequest("This is not a valid HTTP request."),
        401: errors.Unauthenticated(),
        REFUSED_TOKEN: errors.Unauthenticated(),
        404: errors.NotFound(),
        405: errors.MethodNotAllowed(),
        413: errors.TooLarge(
            f"The body is larger than the {plan.max_body_bytes} bytes that this server accepts."
        ),
        429: errors.RateLimited(retry_after_seconds=max(1, math.ceil(wait))),
        500: errors.Unavailable(retry_after_seconds=RETRY_SECONDS),
        503: errors.Unavailable(retry_after_seconds=RETRY_SECONDS),
    }


def _said(error: BanyanError) -> tuple[str, str, float | None]:
    return error.code, error.detail, error.retry_after_seconds if isinstance(error, RetryLater) else None


def _mapper(
    plan: Plan, met: int | None, status: int | None, code: str, detail: str, wait: float | None = None
) -> dict[str, Any]:
    """met: the status that Envoy chose, None for any. status: the one that it becomes."""
    headers = [
        ("cache-control", "no-store"),
        ("content-security-policy", API_CSP.decode()),
        *((name.decode(), value.decode()) for name, value in SECURITY_HEADERS),
    ]
    if plan.is_secure:
        headers.append((HSTS[0].decode(), HSTS[1].decode()))
    if wait is not None:
        headers.append(("retry-after", str(math.ceil(wait))))
    if status == 401:
        headers.append(("www-authenticate", 'Bearer realm="banyan"'))
    mapper: dict[str, Any] = {
        "filter": _any_status() if met is None else _status("EQ", met),
        "headers_to_add": [set_header(name, value) for name, value in headers],
        "body_format_override": {
            "content_type": MEDIA_TYPE,
            "json_format": {
                "type": "about:blank",
                "title": "Error" if status is None else HTTPStatus(status).phrase,
                "status": "%RESPONSE_CODE%" if status is None else status,
                "code": code,
                "detail": detail,
            },
        },
    }
    if status != met:
        mapper["status_code"] = status
    return mapper


def _any_status() -> dict[str, Any]:
    return _status("GE", 100)


def _status(comparison: str, status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"banyan.status_{status}"}
    return {"status_code_filter": {"comparison": {"op": comparison, "value": value}}}


def set_header(name: str, value: str) -> dict[str, Any]:
    """Envoy's `HeaderValueOption` that leaves one header of that name, with that value."""
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
