"""The two HTML pages of the API documentation. All their scripts and styles are files: see the CSP in `routes.py`."""

from html import escape


def index_page(*, title: str, base: str, openapi_url: str, asset_version: str) -> str:
    """The documentation itself. base: where `/docs` is mounted. Every value is escaped."""
    asset = f"{escape(base)}/assets"
    version = escape(asset_version)
    name = escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name} · API</title>
<link rel="icon" type="image/svg+xml" href="{asset}/banyan.svg?v={version}">
<link rel="stylesheet" href="{asset}/swagger-ui.css?v={version}">
<link rel="stylesheet" href="{asset}/docs.css?v={version}">
<script src="{asset}/theme.js?v={version}"></script>
</head>
<body>
<header class="banyan-bar">
<a class="banyan-brand" href="{escape(base).removesuffix("/docs") or "/"}"><img src="{asset}/banyan.svg?v={version}" alt=""
 width="28" height="28"><span>{name}</span></a>
<span class="banyan-kind">API</span>
<a class="banyan-link" href="{escape(openapi_url)}">openapi.json</a>
</header>
<main id="swagger-ui" data-openapi="{escape(openapi_url)}" data-redirect="{escape(base)}/oauth2-redirect">
<noscript><p class="banyan-note">This page needs JavaScript. The same, for programs:
<a href="{escape(openapi_url)}">openapi.json</a>.</p></noscript>
</main>
<script src="{asset}/swagger-ui-bundle.js?v={version}"></script>
<script src="{asset}/init.js?v={version}"></script>
</body>
</html>
"""


def redirect_page(*, base: str, asset_version: str) -> str:
    """Where an OAuth 2.0 provider sends the pop-up back to; Swagger UI's own script hands the answer to the opener."""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Logging in</title></head>
<body><script src="{escape(base)}/assets/oauth2-redirect.js?v={escape(asset_version)}"></script></body>
</html>
"""
