"""MailTransport for development: mails become files that `banyan mail` shows. Used when no SMTP server is set."""

import asyncio
import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from pathlib import Path

from banyan.infra.mail.mail import Mail, MailUnavailable, Sender, to_message
from banyan.kernel.clock import Clock, SystemClock, to_text
from banyan.kernel.errors import NotFound
from banyan.kernel.ids import is_id


class MailNotFound(NotFound):
    code = "mail_not_found"
    detail = "There is no mail of this id in the outbox."


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One line of the list. at: when it was written."""

    id: str
    at: str
    to: str
    subject: str


@dataclass(frozen=True, slots=True)
class OutboxMail:
    """One mail, read back. path: the .eml file, which any mail program opens."""

    entry: OutboxEntry
    text: str
    html: str | None
    path: Path


class DevelopmentOutbox:
    """Writes each mail to `<folder>/<id>.eml`, and what the list shows of it to `<folder>/<id>.json`.

    The JSON file is written last and moved into place, so a mail is either listed whole or not at all, also with several
    processes writing at once. Files are readable by their owner only: they hold reset links. The newest `keep` mails
    stay; older ones are deleted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sender: str = "Banyan <banyan@localhost>",
        keep: int = 500,
        clock: Clock | None = None,
    ) -> None:
        """folder: made at the first mail. Raises ValueError for a malformed sender."""
        self._folder = folder
        self._sender = Sender.parse(sender)
        self._keep = keep
        self._clock = clock or SystemClock()

    async def send(self, mail: Mail) -> None:
        """Raises MailUnavailable when the files cannot be written. The same mail again replaces the former."""
        try:
            await asyncio.to_thread(self._write, mail)
        except OSError as error:
            raise MailUnavailable(
                "The development outbox cannot be written.", reason=type(error).__name__
            ) from error

    def entries(self, limit: int = 50) -> list[OutboxEntry]:
        """The newest mails, newest first. Blocking: for the command line. A file that is not ours is passed over."""
        found: list[OutboxEntry] = []
        for path in self._listed():
            if len(found) >= limit:
                break
            with contextlib.suppress(OSError, ValueError, TypeError):
                found.append(OutboxEntry(**json.loads(path.read_text("utf-8"))))
        return found

    def read(self, mail_id: str) -> OutboxMail:
        """One mail. Raises MailNotFound, for anything that is not the id of a mail too. Blocking."""
        if not is_id(mail_id):  # Also what keeps `../` out of the path.
            raise MailNotFound()
        path = self._folder / f"{mail_id}.eml"
        try:
            entry = OutboxEntry(**json.loads(path.with_suffix(".json").read_text("utf-8")))
            message = message_from_bytes(path.read_bytes(), policy=default_policy)
        except (OSError, ValueError, TypeError) as error:
            raise MailNotFound() from error
        assert isinstance(message, EmailMessage)
        return OutboxMail(entry, _part(message, "plain") or "", _part(message, "html"), path)

    def _write(self, mail: Mail) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = self._clock.now()
        entry = OutboxEntry(mail.id, to_text(now), mail.to, mail.subject)
        _write_whole(self._folder / f"{mail.id}.eml", to_message(mail, self._sender, now).as_bytes())
        _write_whole(self._folder / f"{mail.id}.json", json.dumps(asdict(entry), ensure_ascii=False).encode())
        for path in self._listed()[self._keep :]:
            path.unlink(missing_ok=True)
            path.with_suffix(".eml").unlink(missing_ok=True)

    def _listed(self) -> list[Path]:
        # Ids are UUIDv7: their order is the order of time.
        return sorted((path for path in self._folder.glob("*.json") if is_id(path.stem)), reverse=True)


def _write_whole(path: Path, data: bytes) -> None:
    """Write through a temporary file (mode 0600) in the same folder: readers see the whole file or none."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _part(message: EmailMessage, subtype: str) -> str | None:
    body = message.get_body(preferencelist=(subtype,))
    return None if body is None else body.get_content().replace("\r\n", "\n")
