"""The mails that Banyan writes: wording here, layout in `layout.py`.

A wording is data by language, so that a translation is another entry of `_WORDINGS`; a language without one gets English.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from banyan.infra.mail.layout import as_html, as_text
from banyan.infra.mail.mail import Mail
from banyan.kernel.ids import new_id

Kind = Literal["verify_address", "reset_password", "password_changed", "notification"]

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
    "notification": Wording(
        # Of one without a title.
        subject="A notification for you",
        greeting="Hello {name},",
        greeting_without_name="Hello,",
        # Its own, in the language that it was written in.
        paragraphs=(),
        button="Open Banyan",
        footer="You get this because you have added e-mail to your channels; you can disable it there.",
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


def notification(
    *,
    to: str,
    name: str,
    title: str | None,
    message: str,
    link: str,
    mail_id: str,
    locale: str = "en",
) -> Mail:
    """A notification; `link` leads to the inbox. mail_id: the same one again for the same notification."""
    wording = _wording("notification", locale)
    subject = _one_line(title or "") or wording.subject
    paragraphs = [line for line in map(_one_line, message.splitlines()) if line]
    return _made(wording, subject, paragraphs, to=to, name=name, link=link, mail_id=mail_id)


def _mail(kind: Kind, *, to: str, name: str, link: str, valid_for: timedelta | None, locale: str) -> Mail:
    wording = _wording(kind, locale)
    time = _in_words(valid_for) if valid_for else ""
    paragraphs = [paragraph.format(time=time) for paragraph in wording.paragraphs]
    return _made(wording, wording.subject, paragraphs, to=to, name=name, link=link, mail_id=new_id())


def _made(
    wording: Wording, subject: str, paragraphs: Sequence[str], *, to: str, name: str, link: str, mail_id: str
) -> Mail:
    if urlsplit(link).scheme not in {"http", "https"}:
        raise ValueError("the link of a mail must be http or https")
    shown = _name_to_show(name)
    greeting = wording.greeting.format(name=shown) if shown else wording.greeting_without_name
    return Mail(
        to=to,
        subject=subject,
        text=as_text(greeting, paragraphs, wording.button, link, wording.footer),
        html=as_html(subject, greeting, paragraphs, wording.button, link, wording.footer),
        id=mail_id,
    )


def _wording(kind: Kind, locale: str) -> Wording:
    return _WORDINGS.get(locale.replace("_", "-").partition("-")[0].lower(), _EN)[kind]


def _one_line(text: str) -> str:
    """Without line breaks and other control characters, which a header must not hold."""
    return " ".join("".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text).split())


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
