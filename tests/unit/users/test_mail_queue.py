from datetime import timedelta

import pytest
from sqlalchemy import select

from banyan.infra.mail.mail import Mail, MailQueueBusy
from banyan.infra.mail.memory import MemoryTransport
from banyan.kernel.clock import to_text
from banyan.modules.users.service.mail_queue import KEPT, LEASE, PAUSES, MailQueue
from banyan.modules.users.store.mails import lease_due
from banyan.modules.users.tables import outgoing_mails

USER = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
async def queue(banyan):
    """A queue of our own with a transport that can be made to fail; Banyan's own loops are not started."""
    async with banyan(background=False) as running:
        transport = MemoryTransport()
        infra = running.app.infra
        yield running, MailQueue(infra.shards, infra.clock, transport), transport


async def put(running, queue: MailQueue, to: str = "ada@example.org") -> Mail:
    mail = Mail(to=to, subject="Hello", text="a secret link", html="<p>a secret link</p>")
    await running.app.infra.shards.transact(USER, queue.put, USER, mail)
    return mail


async def rows(running) -> list:
    async def read(tx):
        return await tx.all(select(outgoing_mails))

    return await running.app.infra.shards.read(USER, read)


async def test_a_mail_is_sent_once_and_what_it_said_is_wiped(queue):
    running, mails, transport = queue
    mail = await put(running, mails)
    assert await mails.send_due() == 1
    assert transport.sent == [mail]
    assert await mails.send_due() == 0
    (row,) = await rows(running)
    assert (row["state"], row["text"], row["html"]) == ("sent", "", None)


async def test_a_mail_that_nobody_took_is_tried_again_later_and_given_up_in_the_end(queue):
    running, mails, transport = queue
    mail = await put(running, mails)
    transport.unavailable = True
    for pause in PAUSES:
        assert await mails.send_due() == 1
        assert await mails.send_due() == 0, "not before its pause is over"
        running.clock.advance(pause)
    assert await mails.send_due() == 1
    (row,) = await rows(running)
    assert (row["state"], row["attempts"], row["text"], row["error"]) == (
        "failed",
        len(PAUSES) + 1,
        "",
        "mail_unavailable",
    )
    transport.unavailable = False
    running.clock.advance(timedelta(days=1))
    assert await mails.send_due() == 0
    assert mail not in transport.sent


async def test_a_mail_that_recovers_keeps_its_message_id(queue):
    running, mails, transport = queue
    mail = await put(running, mails)
    transport.unavailable = True
    await mails.send_due()
    transport.unavailable = False
    running.clock.advance(PAUSES[0])
    await mails.send_due()
    assert [sent.id for sent in transport.sent] == [mail.id]


async def test_a_refused_mail_is_given_up_at_once_and_does_not_hold_up_the_others(queue):
    running, mails, transport = queue
    transport.refuse.add("nobody@example.org")
    await put(running, mails, to="nobody@example.org")
    good = await put(running, mails)
    await mails.send_due()
    assert transport.sent == [good]
    assert {row["to_address"]: row["state"] for row in await rows(running)} == {
        "nobody@example.org": "failed",
        "ada@example.org": "sent",
    }


async def test_a_mail_whose_sender_died_is_sent_again_when_its_lease_is_over(queue):
    running, mails, transport = queue
    await put(running, mails)

    now = running.clock.now()
    # What a process does before it sends; this one dies then.
    lease = {"now": to_text(now), "lease_until": to_text(now + LEASE), "limit": 10}
    assert len(await running.app.infra.shards.transact(USER, lease_due, **lease)) == 1
    assert await mails.send_due() == 0
    running.clock.advance(LEASE)
    assert await mails.send_due() == 1
    assert len(transport.sent) == 1


async def test_sent_mails_are_forgotten_after_a_month(queue):
    running, mails, _ = queue
    await put(running, mails)
    await mails.send_due()
    running.clock.advance(KEPT)
    await put(running, mails)
    await running.app.infra.shards.transact(USER, mails.forget_old)
    assert [row["state"] for row in await rows(running)] == ["queued"]


class BusyTransport:
    """A task queue on the way that takes nothing."""

    async def send(self, mail: Mail) -> None:
        raise MailQueueBusy()


async def test_a_queue_on_the_way_that_takes_nothing_costs_the_mail_no_try_and_no_time(queue):
    running, mails, transport = queue
    mail = await put(running, mails)
    infra = running.app.infra
    busy = MailQueue(infra.shards, infra.clock, BusyTransport())
    for _ in range(len(PAUSES) + 2):
        assert await busy.send_due() == 1
    (row,) = await rows(running)
    assert (row["state"], row["attempts"], row["text"]) == ("queued", 0, "a secret link")
    assert await mails.send_due() == 1
    assert transport.sent == [mail]
