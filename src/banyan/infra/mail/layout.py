"""The look of Banyan's mails: plain text, and HTML that needs nothing from the network.

Styles are inline and the button is a table cell because mail programs honour little else. Every value is escaped here,
in the one place where HTML is made.
"""

from collections.abc import Sequence
from html import escape
from textwrap import fill

_GREEN = "#1f6f4a"
_INK = "#1c2420"
_MUTED = "#5d6a63"


def as_text(greeting: str, paragraphs: Sequence[str], button: str | None, link: str, footer: str) -> str:
    """Wrapped at 72 columns; the link stands on a line of its own and is never broken."""
    parts = [greeting, *(fill(paragraph, 72) for paragraph in paragraphs)]
    if button:
        parts.append(f"{button}:\n{link}")
    parts += [fill(footer, 72), "-- \nBanyan"]
    return "\n\n".join(parts) + "\n"


def as_html(
    title: str, greeting: str, paragraphs: Sequence[str], button: str | None, link: str, footer: str
) -> str:
    body = "".join(
        f'<p style="margin:0 0 16px">{escape(paragraph)}</p>' for paragraph in (greeting, *paragraphs)
    )
    action = _button(button, link) if button else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>{escape(title)}</title>
</head>
<body style="margin:0;padding:32px 16px;background:#f3f6f4;color:{_INK};\
font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif">
<table role="presentation" align="center" width="100%" cellpadding="0" cellspacing="0"
 style="max-width:520px;margin:0 auto;background:#ffffff;border-radius:12px">
<tr><td style="padding:28px 32px 0;font-weight:600;color:{_GREEN}">Banyan</td></tr>
<tr><td style="padding:12px 32px 0"><h1 style="margin:0 0 16px;font-size:22px;line-height:1.3">{escape(title)}</h1>
{body}{action}</td></tr>
<tr><td style="padding:8px 32px 28px;color:{_MUTED};font-size:14px">{escape(footer)}</td></tr>
</table>
</body>
</html>
"""


def _button(label: str, link: str) -> str:
    address = escape(link, quote=True)
    return (
        '<table role="presentation" cellpadding="0" cellspacing="0" style="margin:8px 0 20px"><tr>'
        f'<td style="border-radius:8px;background:{_GREEN}"><a href="{address}" '
        'style="display:inline-block;padding:12px 22px;color:#ffffff;font-weight:600;text-decoration:none">'
        f"{escape(label)}</a></td></tr></table>"
        f'<p style="margin:0 0 16px;color:{_MUTED};font-size:14px">Or open this address:<br>'
        f'<a href="{address}" style="color:{_GREEN};word-break:break-all">{address}</a></p>'
    )
