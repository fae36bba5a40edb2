"""A mail to one person, the Protocol of whatever sends it, and how sending fails."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from typing import Protocol

from banyan.kernel.errors import BanyanError, Unavailable
from banyan.kernel.ids import is_id, new_id

_MAX_ADDRESS_CHARS = 254
_ADDRESS = re.compile(r"[^\s\"(),:;<>@\[\\\]]+@[^\s\"(),:;<>@\[\\\]]+\Z")


class MailRefused(BanyanError):
    """The receiving side will never take this mail (a 5xx answer): trying again is useless."""

    code = "mail_refused"
    detail = "The mail server refuses to deliver this mail."


class MailUnavailable(Unavailable):
    """Nobody took the mail this time (4xx, no connection, time-out, our own log-in refused): try again later."""

    code = "mail_unavailable"
    detail = "The mail server does not take mail at the moment."


class MailQueueBusy(MailUnavailable):
    """The queue on the way to the mail server does not take it: full, or away. No try of the mail is used up."""

    code = "mail_queue_busy"
    detail = "The queue of outgoing mail takes nothing at the moment."


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one address, as text and perhaps as HTML.

    id: also the Message-ID, so that a receiver can tell a repeated sending from a second mail.
    Raises ValueError when the address is not exactly one plain address, or when address or subject hold a line break or
    any other control character: nothing that a person typed can add a header or a recipient.
    """

    to: str
    subject: str
    text: str
    html: str | None = None
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        for name, value in (("to", self.to), ("subject", self.subject)):
            if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in value):
                raise ValueError(f"`{name}` of a mail has control characters in it")
        if len(self.to) > _MAX_ADDRESS_CHARS or not _ADDRESS.match(self.to):
            raise ValueError("`to` is not one plain address")
        if not is_id(self.id):
            raise ValueError("the id of a mail is not an id")


class MailTransport(Protocol):
    async def send(self, mail: Mail) -> None:
        """Hand the mail over; when this returns, somebody else is responsible for it.

        Raises MailRefused when it is pointless to try again, MailUnavailable when it is not. After MailUnavailable the
        mail may have been sent all the same (the answer was lost): a repetition carries the same Message-ID.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sender:
    """`Banyan <no-reply@example.org>`, taken apart. Raises ValueError when it is not such a text."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> "Sender":
        name, address = parseaddr(text)
        if not _ADDRESS.match(address) or any(unicodedata.category(char) == "Cc" for char in text):
            raise ValueError(f"not a sender: {text!r}; write it like Banyan <no-reply@example.org>")
        return cls(name, address)

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def to_message(mail: Mail, sender: Sender, at: datetime) -> EmailMessage:
    """The RFC 5322 message: text, with HTML as the alternative when there is one.

    It says `Auto-Submitted: auto-generated` (RFC 3834), so that no out-of-office answer comes back.
    """
    # Raw UTF-8 headers only where an address leaves no choice (RFC 6531): every server understands the other form.
    plain = mail.to.isascii() and sender.address.isascii()
    message = EmailMessage(policy=SMTP if plain else SMTPUTF8)
    message["From"] = Address(sender.name, addr_spec=sender.address)
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{mail.id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte="quoted-printable")
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message
