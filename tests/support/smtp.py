"""A mail server on a loopback port: it takes every mail and keeps it."""

import email
import email.policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from tests.support.ports import free_ports


class SmtpServer:
    """A context manager: it listens inside."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.mails: list[EmailMessage] = []
        self._controller = Controller(self, "127.0.0.1", self.port)

    @property
    def settings(self) -> dict[str, str]:
        """With which Banyan sends its mails here."""
        return {
            "BANYAN_SMTP_HOST": "127.0.0.1",
            "BANYAN_SMTP_PORT": str(self.port),
            "BANYAN_SMTP_SECURITY": "none",
        }

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        read = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(read, EmailMessage)
        self.mails.append(read)
        return "250 OK"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()
