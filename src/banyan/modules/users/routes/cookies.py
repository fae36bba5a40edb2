"""Cookies: the refresh token of a browser, and what makes a device known.

`__Host-` cookies are sent over TLS only, and belong to exactly this host; browsers treat `localhost` as secure. In
development under another name without TLS the refresh cookie has neither the prefix nor `Secure`.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request, Response

from banyan.infra.http.origins import Origins
from banyan.kernel.errors import Forbidden

DEVICE_SECONDS = 365 * 24 * 3600


class Cookies:
    def __init__(self, origins: Origins, *, development: bool) -> None:
        self._origins = origins
        self._development = development

    def refresh_token(self, request: Request) -> str | None:
        """The refresh token of the browser that asks. Raises Forbidden when another site makes it ask."""
        token = request.cookies.get(self._name("refresh", request))
        if token is not None:
            self._refuse_other_sites(request)
        return token

    def known_device(self, request: Request) -> str | None:
        return request.cookies.get(self._name("device", request))

    def keep_refresh_token(self, request: Request, response: Response, token: str, seconds: int) -> None:
        self._set(request, response, "refresh", token, seconds)

    def keep_known_device(self, request: Request, response: Response, proof: str) -> None:
        self._set(request, response, "device", proof, DEVICE_SECONDS)

    def forget_refresh_token(self, request: Request, response: Response) -> None:
        if self._name("refresh", request) in request.cookies:
            self._set(request, response, "refresh", "", 0)

    def _set(self, request: Request, response: Response, kind: str, value: str, seconds: int) -> None:
        response.set_cookie(
            self._name(kind, request),
            value,
            max_age=seconds,
            path="/",
            secure=self._is_secure(request),
            httponly=True,
            samesite="strict",
        )

    def _name(self, kind: str, request: Request) -> str:
        return f"__Host-banyan_{kind}" if self._is_secure(request) else f"banyan_{kind}"

    def _is_secure(self, request: Request) -> bool:
        if not self._development:
            return True
        url = urlsplit(request.scope["banyan.base_url"])
        return url.scheme == "https" or _is_loopback(url.hostname or "")

    def _refuse_other_sites(self, request: Request) -> None:
        """`SameSite` lets pages of sibling domains send the cookie; only our own and the allowed ones may use it."""
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if origin is not None and self._origins.allows(origin, request.scope["banyan.base_url"]):
            return
        if origin is not None or site in ("same-site", "cross-site"):
            raise Forbidden("Another site may not use this cookie; see BANYAN_ALLOWED_ORIGINS.")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
