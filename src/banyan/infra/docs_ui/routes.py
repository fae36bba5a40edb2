"""Routes of the API documentation: Swagger UI from our own disk, so that it works offline and under a strict policy."""

from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from banyan.infra.docs_ui.pages import index_page, redirect_page

SWAGGER_UI_VERSION = "5.35.0"

# What Swagger UI needs, found by leaving out one source after another in a real browser (see `assets/README.md`).
# style-src: no 'unsafe-inline'; it styles through the CSSOM, which CSP allows. img-src data: its stylesheet draws
# arrows and its icons with data URLs. connect-src: the description, /auth/token, and every "Try it out".
DOCS_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)

_ASSETS = Path(__file__).parent / "assets"
# Raise the second part with every change to our own files here: browsers keep an asset until its address changes.
_ASSET_VERSION = f"{SWAGGER_UI_VERSION}-1"


def docs_routes(
    *, title: str = "Banyan", path: str = "/docs", openapi_url: str = "/openapi.json"
) -> list[BaseRoute]:
    """`GET {path}`, `{path}/oauth2-redirect` and `{path}/assets/…`, to be put in front of an application's routes.

    The pages carry DOCS_CSP; whoever sets security headers for all answers must leave that one as it is. An unknown
    asset raises Starlette's HTTPException 404, for the application's handler. Paths are given a proxy's `root_path`.
    """

    async def index(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        return _page(
            index_page(
                title=title, base=root + path, openapi_url=root + openapi_url, asset_version=_ASSET_VERSION
            )
        )

    async def redirect(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        return _page(redirect_page(base=root + path, asset_version=_ASSET_VERSION))

    return [
        Route(path, index, methods=["GET"], include_in_schema=False),
        Route(f"{path}/oauth2-redirect", redirect, methods=["GET"], include_in_schema=False),
        Mount(f"{path}/assets", app=_Assets(directory=_ASSETS), name="docs-assets"),
    ]


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        # An address with a version never changes its content; without one the ETag is asked each time.
        versioned = scope.get("query_string", b"").startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response


def _page(html: str) -> Response:
    headers = Headers({"Content-Security-Policy": DOCS_CSP, "Cache-Control": "no-cache"})
    return HTMLResponse(html, headers=headers)
