"""The mails that Banyan writes: wording here, layout in `layout.py`.

A wording is data by language, so that a translation is another entry of `_WORDINGS`; a language without one gets English.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from banyan.infra.mail.layout import as_html, as_text
from banyan.infra.mail.mail import Mail

Kind = Literal["verify_address", "reset_password", "password_changed"]

_MAX_NAME_CHARS = 60
_LOOKS_LIKE_A_LINK = re.compile(r"://|www\.|\w\.\w", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wording:
    """The sentences of one mail. `{time}` stands for how long the link is good; `button` is None without a link."""

    subject: str
    greeting: str
    greeting_without_name: str
    paragraphs: tuple[str, ...]
    button: str | None
    footer: str


_EN: dict[Kind, Wording] = {
    "verify_address": Wording(
        subject="Confirm your e-mail address",
        greeting="Hello {name},",
        greeting_without_name="Hello,",
        paragraphs=("Please confirm that this is your e-mail address. The link is good for {time}.",),
        button="Confirm address",
        footer="You did not register? Then somebody mistyped their address: ignore this mail, and nothing happens.",
    ),
    "reset_password": Wording(
        subject="Choose a new password",
        greeting="Hello {name},",
        greeting_without_name="Hello,",
        paragraphs=(
            "Somebody, we hope you, asked to choose a new password for your account.",
            "The link is good for {time}, and only once.",
        ),
        button="Choose a new password",
        footer="It was not you? Ignore this mail: your password stays as it is.",
    ),
    "password_changed": Wording(
        subject="Your password was changed",
        greeting="Hello {name},",
        greeting_without_name="Hello,",
        paragraphs=(
            "The password of your account was changed just now, and your other devices were logged out.",
            "It was you? Then there is nothing to do.",
        ),
        button="Choose another password",
        footer="It was not you? Choose another password at once with the link above.",
    ),
}
_WORDINGS: dict[str, dict[Kind, Wording]] = {"en": _EN}


def verify_address(*, to: str, name: str, link: str, valid_for: timedelta, locale: str = "en") -> Mail:
    """Asks the owner of a new or changed address to confirm it."""
    return _mail("verify_address", to=to, name=name, link=link, valid_for=valid_for, locale=locale)


def reset_password(*, to: str, name: str, link: str, valid_for: timedelta, locale: str = "en") -> Mail:
    """The answer to a forgotten password."""
    return _mail("reset_password", to=to, name=name, link=link, valid_for=valid_for, locale=locale)


def password_changed(*, to: str, name: str, link: str, locale: str = "en") -> Mail:
    """The notice after a change; `link` leads to where another password can be asked for (no token in it)."""
    return _mail("password_changed", to=to, name=name, link=link, valid_for=None, locale=locale)


def _mail(kind: Kind, *, to: str, name: str, link: str, valid_for: timedelta | None, locale: str) -> Mail:
    if urlsplit(link).scheme not in {"http", "https"}:
        raise ValueError("the link of a mail must be http or https")
    wording = _WORDINGS.get(locale.replace("_", "-").partition("-")[0].lower(), _EN)[kind]
    shown = _name_to_show(name)
    greeting = wording.greeting.format(name=shown) if shown else wording.greeting_without_name
    time = _in_words(valid_for) if valid_for else ""
    paragraphs = [paragraph.format(time=time) for paragraph in wording.paragraphs]
    return Mail(
        to=to,
        subject=wording.subject,
        text=as_text(greeting, paragraphs, wording.button, link, wording.footer),
        html=as_html(wording.subject, greeting, paragraphs, wording.button, link, wording.footer),
    )


def _name_to_show(name: str) -> str:
    """The name, or nothing when it could be an advertisement.

    Anyone may register anyone's address under any name: a mail that repeats it whole would carry a stranger's text, and
    mail programs turn what looks like a link into one.
    """
    plain = " ".join("".join(char for char in name if unicodedata.category(char)[0] != "C").split())
    return "" if len(plain) > _MAX_NAME_CHARS or _LOOKS_LIKE_A_LINK.search(plain) else plain


def _in_words(time: timedelta) -> str:
    minutes = max(1, round(time / timedelta(minutes=1)))
    for size, unit in ((60 * 24, "day"), (60, "hour"), (1, "minute")):
        if minutes % size == 0 and minutes >= size:
            count = minutes // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("every whole number of minutes is a multiple of one minute")
