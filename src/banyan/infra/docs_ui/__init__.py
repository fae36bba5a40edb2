"""The API documentation at `/docs`: Swagger UI, served by Banyan itself."""

from banyan.infra.docs_ui.routes import DOCS_CSP, docs_routes

__all__ = ["DOCS_CSP", "docs_routes"]
