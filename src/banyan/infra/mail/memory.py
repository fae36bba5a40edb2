"""MailTransport that keeps the mails: the twin for tests."""

from banyan.infra.mail.mail import Mail, MailRefused, MailUnavailable


class MemoryTransport:
    """Keeps what was sent, oldest first, in `sent`; the last 1,000. `refuse` and `unavailable` make it fail."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.refuse: set[str] = set()
        self.unavailable = False

    async def send(self, mail: Mail) -> None:
        if self.unavailable:
            raise MailUnavailable()
        if mail.to in self.refuse:
            raise MailRefused()
        self.sent.append(mail)
        del self.sent[:-1000]
