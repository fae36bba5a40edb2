"""Mail by way of the task queue: sealed on the way, sent by the worker, and not failed by a queue that is away."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry
from tests.support.eventually import soon

from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.mail.by_task import MailByTask, mail_kind
from banyan.infra.mail.mail import Mail, MailQueueBusy
from banyan.infra.mail.memory import MemoryTransport
from banyan.infra.tasks.memory import MemoryTasks
from banyan.infra.tasks.metrics import TaskMetrics
from banyan.infra.tasks.task import Task
from banyan.infra.tasks.worker import TaskWorker

BOX = SecretBox("a secret of more than thirty-two characters")
MAIL = Mail(
    "ada@example.org", "Reset your password", "https://x/#/reset?token=bnp_secret", "<p>bnp_secret</p>"
)


class Recording(MemoryTasks):
    def __init__(self) -> None:
        super().__init__(max_waiting=2)
        self.bodies: list[bytes] = []

    async def put(self, tasks: Sequence[Task]) -> None:
        await super().put(tasks)
        self.bodies += [task.encode() for task in tasks]


async def send_all(
    tasks: MemoryTasks, transport: MemoryTransport, box: SecretBox = BOX, *, retries: bool = True
) -> None:
    """Let a worker do what waits, until it is sent or dead, or with `retries` waits for another try."""
    metrics = TaskMetrics(CollectorRegistry())
    worker = TaskWorker(
        tasks,
        [mail_kind(transport, box)],
        concurrency=2,
        stop_timeout=mail_kind(transport, box).timeout,
        metrics=metrics,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))

    async def is_settled() -> bool | None:
        dead = await tasks.dead_tasks(10)
        retrying = retries and (await tasks.status())[1].waiting
        return bool(transport.sent or dead or retrying) or None

    await soon(is_settled, "the mail is settled")
    stop.set()
    await running


async def test_the_worker_sends_the_very_mail():
    tasks, transport = MemoryTasks(), MemoryTransport()
    await MailByTask(tasks, BOX).send(MAIL)
    await send_all(tasks, transport)
    assert transport.sent == [MAIL]


async def test_the_broker_sees_neither_the_mail_nor_its_receiver():
    tasks = Recording()
    await MailByTask(tasks, BOX).send(MAIL)
    (body,) = tasks.bodies
    for secret in (b"bnp_secret", b"ada@example.org", b"Reset"):
        assert secret not in body
    assert MAIL.id.encode() in body


async def test_a_queue_that_takes_nothing_is_no_fault_of_the_mail():
    full = MemoryTasks(max_waiting=0)
    away = MemoryTasks()
    away.unavailable = True
    for tasks in (full, away):
        with pytest.raises(MailQueueBusy):
            await MailByTask(tasks, BOX).send(MAIL)


async def test_a_mail_that_is_refused_for_good_is_tried_once():
    tasks, transport = MemoryTasks(), MemoryTransport()
    transport.refuse.add(MAIL.to)
    await MailByTask(tasks, BOX).send(MAIL)
    await send_all(tasks, transport)
    (dead,) = await tasks.dead_tasks(10)
    assert (dead.id, dead.tries, dead.error) == (MAIL.id, 1, "MailRefused")


async def test_a_mail_server_that_is_away_gets_it_later():
    tasks, transport = MemoryTasks(), MemoryTransport()
    transport.unavailable = True
    await MailByTask(tasks, BOX).send(MAIL)
    await send_all(tasks, transport)
    assert await tasks.dead_tasks(10) == []
    transport.unavailable = False
    await send_all(tasks, transport, retries=False)
    assert transport.sent == [MAIL]


async def test_another_secret_opens_nothing():
    tasks, transport = MemoryTasks(), MemoryTransport()
    await MailByTask(tasks, BOX).send(MAIL)
    await send_all(tasks, transport, SecretBox("another secret of more than thirty-two characters"))
    assert transport.sent == []
