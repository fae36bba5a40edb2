"""Mail by way of the task queue: put there by whoever writes it, sent by a worker."""

import json
from dataclasses import asdict
from datetime import timedelta

from banyan.infra.auth.secret_box import SealedDataUnreadable, SecretBox, WrongSecret
from banyan.infra.mail.mail import Mail, MailQueueBusy, MailRefused, MailTransport
from banyan.infra.tasks.protocol import PAUSES, TaskQueue
from banyan.infra.tasks.task import Task
from banyan.infra.tasks.worker import Hopeless, TaskKind
from banyan.infra.telemetry.trace import current_traceparent
from banyan.kernel.errors import Unavailable

KIND = "mail"
# A mail server may be away for hours: ten tries over about nine of them.
MAIL_PAUSES = (*PAUSES, *PAUSES[-1:] * 3)
# Longer than any transport takes for a mail (30 s).
MAIL_TIMEOUT = timedelta(seconds=40)


class MailByTask:
    """MailTransport that makes each mail a task. When it returns, a worker is responsible for the mail.

    A mail holds links that open an account, so what it says is sealed: the broker, and whoever may look into it, sees
    its id and nothing else.
    """

    def __init__(self, tasks: TaskQueue, box: SecretBox) -> None:
        self._tasks = tasks
        self._box = box

    async def send(self, mail: Mail) -> None:
        """Raises MailQueueBusy."""
        sealed = self._box.seal(json.dumps(asdict(mail)).encode(), _context(mail.id))
        try:
            await self._tasks.put([Task(KIND, "", {"sealed": sealed}, mail.id, current_traceparent())])
        except Unavailable as error:
            raise MailQueueBusy(reason=error.code) from error


def mail_kind(transport: MailTransport, box: SecretBox) -> TaskKind:
    """How a worker does such a task: by a transport that really sends."""

    async def handle(task: Task) -> None:
        try:
            mail = Mail(**json.loads(box.open(task.data["sealed"], _context(task.id))))
        except WrongSecret:
            raise  # an operator's slip, which can be mended before the last try
        except (SealedDataUnreadable, KeyError) as error:
            raise Hopeless(reason="SealedDataUnreadable") from error
        try:
            await transport.send(mail)
        except MailRefused as error:
            raise Hopeless(reason="MailRefused") from error

    return TaskKind(KIND, handle, MAIL_TIMEOUT, MAIL_PAUSES)


def _context(mail_id: str) -> str:
    return f"mail/{mail_id}"
