"""The mails of a test server, as they lie in its development outbox."""

import re
import time
from pathlib import Path

from banyan.infra.mail.outbox import DevelopmentOutbox, OutboxMail

ARRIVES_WITHIN_SECONDS = 10.0
LOOK_SECONDS = 0.02


class Mailbox:
    """Reads what a server has sent. data_dir: the server's."""

    def __init__(self, data_dir: Path) -> None:
        self._outbox = DevelopmentOutbox(data_dir / "mail")

    def to(self, address: str, *, subject: str = "") -> list[OutboxMail]:
        """The mails to an address whose subject holds `subject`, newest first."""
        return [
            self._outbox.read(entry.id)
            for entry in self._outbox.entries(limit=500)
            if entry.to == address and subject in entry.subject
        ]

    def wait_for(self, address: str, *, subject: str = "", count: int = 1) -> OutboxMail:
        """The newest such mail, once there are `count` of them."""
        deadline = time.monotonic() + ARRIVES_WITHIN_SECONDS
        while time.monotonic() < deadline:
            found = self.to(address, subject=subject)
            if len(found) >= count:
                return found[0]
            time.sleep(LOOK_SECONDS)
        raise AssertionError(f"no {count} mails {subject!r} to {address} within {ARRIVES_WITHIN_SECONDS:g} s")


def token_in(mail: OutboxMail) -> str:
    """The token of the link in a mail."""
    found = re.search(r"[?&]token=([A-Za-z0-9_-]+)", mail.text)
    assert found is not None, mail.text
    return found[1]
