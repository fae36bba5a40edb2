"""The web application's files, served with a policy that lets nothing inline run."""

import mimetypes
from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB = Path(__file__).parents[2] / "web"

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Checked again at each use: an upgrade must reach browsers at once, and a 304 is cheap.
REVALIDATE = {"cache-control": "no-cache", "content-security-policy": CSP}

# A minimal system's table of media types does not know these.
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("application/manifest+json", ".webmanifest")
mimetypes.add_type("font/woff2", ".woff2")


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        for name, value in REVALIDATE.items():
            response.headers[name] = value
        return response


@cache
def service_worker() -> str:
    """The service worker, with a version made of all the files that it keeps: browsers fetch them anew when any changed."""
    digest = sha256()
    for path in sorted(WEB.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(WEB)}\n".encode() + path.read_bytes())
    return (WEB / "sw.js").read_text().replace("{{version}}", digest.hexdigest()[:16])


def page(trace_share: float | None) -> str:
    """The page of the web application. trace_share: which share of its requests is to be recorded; None when none can be."""
    told = "" if trace_share is None else f"{trace_share:g}"
    return (WEB / "index.html").read_text().replace("{{trace-share}}", told)


def web_routes(trace_share: float | None = None) -> list[BaseRoute]:
    """`/`, the files that must lie at the root, and `/static/…`. trace_share: see `page`."""

    def at_root(path: str, file: str) -> Route:
        async def serve(_request: object) -> Response:
            return FileResponse(WEB / file, headers=REVALIDATE)

        return Route(path, serve, methods=["GET"])

    async def serve_page(_request: object) -> Response:
        return Response(page(trace_share), media_type="text/html", headers=REVALIDATE)

    async def serve_worker(_request: object) -> Response:
        return Response(service_worker(), media_type="text/javascript", headers=REVALIDATE)

    return [
        Route("/", serve_page, methods=["GET"]),
        Route("/sw.js", serve_worker, methods=["GET"]),
        at_root("/manifest.webmanifest", "manifest.webmanifest"),
        at_root("/favicon.svg", "favicon.svg"),
        at_root("/favicon.ico", "favicon.svg"),
        Mount("/static", _Assets(directory=WEB / "static"), name="static"),
    ]
