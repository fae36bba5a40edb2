"""MailTransport over SMTP."""

import asyncio
import socket
from typing import Literal

import aiosmtplib
from aiosmtplib import errors as smtp

from banyan.infra.mail.mail import Mail, MailRefused, MailUnavailable, Sender, to_message
from banyan.kernel.clock import Clock, SystemClock

Encryption = Literal["starttls", "tls", "none"]

# 530, 534, 535, 538: log in first, or otherwise (RFC 4954, section 6). That is our configuration, not this mail.
_LOGIN_CODES = frozenset({530, 534, 535, 538})
_DEFAULT_PORTS: dict[Encryption, int] = {"starttls": 587, "tls": 465, "none": 25}


class SmtpTransport:
    """Sends each mail over a connection of its own: a few mails a minute do not repay a pool that must be kept alive.

    An SMTP answer of 5xx to the sender, the recipient or the content is MailRefused; everything else that goes wrong is
    MailUnavailable (RFC 5321, section 4.2.1), a wrong password of ours included: it will be mended, and the mail is good.
    """

    def __init__(
        self,
        *,
        host: str,
        sender: str,
        port: int | None = None,
        encryption: Encryption = "starttls",
        username: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 10.0,
        deadline_seconds: float = 30.0,
        verify_certificate: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """encryption: `starttls` refuses a server without it; nothing falls back to clear text. port: 587, 465 or 25 by
        `encryption` unless said. sender: `Banyan <no-reply@example.org>`.
        timeout_seconds: for each answer of the server. deadline_seconds: for the whole mail; more than the former.
        Raises ValueError for a malformed sender, or for a password that would travel unencrypted.
        """
        if password and encryption == "none" and host not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError("an SMTP password is not sent without encryption; use starttls or tls")
        self._host = host
        self._port = port or _DEFAULT_PORTS[encryption]
        self._sender = Sender.parse(sender)
        self._encryption: Encryption = encryption
        self._username = username
        self._password = password
        self._timeout_seconds = timeout_seconds
        self._deadline_seconds = deadline_seconds
        self._verify_certificate = verify_certificate
        self._clock = clock or SystemClock()
        # Given, because the library's default asks the name server, and blocks the event loop for as long.
        self._local_name = socket.gethostname() or "localhost"

    async def check(self, timeout_seconds: float) -> None:
        """Connect, encrypt and log in as for a mail, and send none. timeout_seconds: for each answer.

        Raises MailUnavailable, whatever is wrong.
        """
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            local_hostname=self._local_name,
            timeout=timeout_seconds,
            use_tls=self._encryption == "tls",
            start_tls=self._encryption == "starttls",
            validate_certs=self._verify_certificate,
        )
        try:
            async with asyncio.timeout(self._deadline_seconds), client:
                await client.noop()
        except (smtp.SMTPException, OSError) as error:
            raise MailUnavailable(reason=type(error).__name__) from error

    async def send(self, mail: Mail) -> None:
        message = to_message(mail, self._sender, self._clock.now())
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await aiosmtplib.send(
                    message,
                    hostname=self._host,
                    port=self._port,
                    username=self._username,
                    password=self._password,
                    local_hostname=self._local_name,
                    timeout=self._timeout_seconds,
                    use_tls=self._encryption == "tls",
                    start_tls=self._encryption == "starttls",
                    validate_certs=self._verify_certificate,
                )
        except smtp.SMTPRecipientsRefused as error:
            raise _by_code(error.recipients[0].code, error) from error
        except (smtp.SMTPAuthenticationError, smtp.SMTPHeloError, smtp.SMTPConnectError) as error:
            raise MailUnavailable(reason=type(error).__name__) from error
        except smtp.SMTPResponseException as error:
            raise _by_code(error.code, error) from error
        except smtp.SMTPNotSupported as error:
            raise MailRefused("The mail server cannot deliver to such an address.") from error
        except (smtp.SMTPException, OSError) as error:  # TimeoutError and ssl.SSLError are OSErrors.
            raise MailUnavailable(reason=type(error).__name__) from error


def _by_code(code: int, error: Exception) -> MailRefused | MailUnavailable:
    # The server's words may hold the address; they stay in the cause and out of the facts.
    if 500 <= code <= 599 and code not in _LOGIN_CODES:
        return MailRefused(smtp_code=code, reason=type(error).__name__)
    return MailUnavailable(smtp_code=code, reason=type(error).__name__)
