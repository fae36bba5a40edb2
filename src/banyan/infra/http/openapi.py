"""The OpenAPI document: what FastAPI derives from the routes, made true in the places that it cannot know."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from banyan import __version__

DESCRIPTION = """
A backend for people, to-dos and notifications, with live updates.

Log in with the **Authorize** button (your e-mail address is the user name), or send an access token of `POST /auth/login`
as `Authorization: Bearer …`. Every error is `application/problem+json` with a stable `code`. Times are RFC 3339 in UTC,
ids are UUIDs. A path answers with and without its trailing slash.
"""

TAGS = [
    {"name": "users", "description": "Accounts and profiles."},
    {"name": "auth", "description": "Sessions and tokens."},
    {"name": "todos", "description": "To-dos of the caller."},
    {"name": "lists", "description": "Lists that group to-dos."},
    {"name": "notifications", "description": "The caller's inbox."},
    {"name": "live", "description": "Updates as they happen."},
    {"name": "admin", "description": "For administrators."},
    {"name": "health", "description": "For operators and probes."},
]


def describe(app: FastAPI, routes: Callable[[], Sequence[BaseRoute]]) -> None:
    """Give `app` the document of these routes; it is made at the first request and kept."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title="Banyan",
                version=__version__,
                openapi_version="3.1.0",
                summary="People, to-dos and notifications.",
                description=DESCRIPTION.strip(),
                license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
                routes=routes(),
                tags=TAGS,
            )
            _problems_only(document)
            _parameters_without_null(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi


def _parameters_without_null(document: dict[str, Any]) -> None:
    """A header or a query parameter that may be left out is not sent as null: there is no such thing in a URL."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                schema = parameter["schema"]
                choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
                if len(choices) == 1:
                    schema.update({**choices[0], **schema})
                elif choices:
                    schema["anyOf"] = choices


def _problems_only(document: dict[str, Any]) -> None:
    """Errors are problems and nothing else: drop the JSON twin that FastAPI adds beside each, and its own error models."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation.get("responses", {}).items():
                if status[:1] in "45" and "application/problem+json" in answer.get("content", {}):
                    answer["content"] = {
                        "application/problem+json": answer["content"]["application/problem+json"]
                    }
    schemas = document.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
