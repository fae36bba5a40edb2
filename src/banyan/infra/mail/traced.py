"""A mail's sending as a span."""

from banyan.infra.mail.mail import Mail, MailTransport
from banyan.infra.telemetry.trace import span


class TracedMail:
    """MailTransport around one that really sends."""

    def __init__(self, transport: MailTransport) -> None:
        self._transport = transport

    async def send(self, mail: Mail) -> None:
        with span("deliver mail", "client", {"banyan.mail.id": mail.id}):
            await self._transport.send(mail)
