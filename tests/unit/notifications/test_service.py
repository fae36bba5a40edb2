"""Use cases of notifications: a change and its event together, or neither."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.inboxes import ADA, BOB, NOBODY, Inboxes, opened_inboxes

from banyan.infra.bus.in_process import InProcessBus
from banyan.infra.db.idempotency import IdempotencyKeyReused, IdempotentRequest
from banyan.infra.module import State
from banyan.infra.streams.consumers import ConsumerRunner
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.relay import Relay
from banyan.kernel.errors import InvalidInput
from banyan.kernel.events import Event, NewEvent
from banyan.modules.notifications import handlers
from banyan.modules.notifications import service as service_module
from banyan.modules.notifications.contract import NewNotification, NotificationNotFound
from banyan.modules.notifications.fold import FOLD
from banyan.modules.users.contract import UserNotFound

HELLO = NewNotification("message", "Hello", "Title", {"a": [1, {"b": None}]})


@pytest.fixture
async def inboxes(tmp_path: Path) -> AsyncIterator[Inboxes]:
    async with opened_inboxes(tmp_path) as opened:
        yield opened


async def fold_matches(inboxes: Inboxes, user: str = ADA) -> bool:
    state: State = {}
    for event in await inboxes.events(user):
        FOLD.apply(state, event)
    return state == await inboxes.shards.read(user, FOLD.stored, user)


async def test_a_notification_its_event_and_its_ledger_are_one(inboxes: Inboxes):
    sent = await inboxes.service.notify(ADA, HELLO)
    found = await inboxes.service.get(ADA, sent)
    (event,) = await inboxes.events()
    assert (event.type, event.subject, event.data) == ("NotificationCreated", sent, found.as_view())
    assert found.created_position == event.position == 1
    assert (found.title, found.message, found.data, found.read_at) == ("Title", "Hello", HELLO.data, None)
    assert await inboxes.states(sent) == {"in_app": ("delivered", 1)}


async def test_many_at_once_are_all_stored_newest_first_by_position(inboxes: Inboxes):
    sent = await asyncio.gather(*(inboxes.send(str(number), (ADA, BOB)[number % 2]) for number in range(100)))
    assert len(set(sent)) == 100
    for user, rest in ((ADA, 0), (BOB, 1)):
        assert sorted(await inboxes.messages(user), key=int) == [str(n) for n in range(100) if n % 2 == rest]
        assert [event.position for event in await inboxes.events(user)] == list(range(1, 51))
        assert await fold_matches(inboxes, user)


async def test_the_same_id_again_changes_nothing(inboxes: Inboxes):
    mine = "01890a5d-ac96-774b-bcce-000000000001"
    for _ in range(3):
        assert await inboxes.service.notify(ADA, HELLO, notification_id=mine) == mine
    await asyncio.gather(*(inboxes.service.notify(ADA, HELLO, notification_id=mine) for _ in range(10)))
    assert len(await inboxes.events()) == 1


async def test_nobody_is_told_nothing(inboxes: Inboxes):
    for unknown in (NOBODY, "no id", ""):
        with pytest.raises(UserNotFound):
            await inboxes.service.notify(unknown, HELLO)
    assert await inboxes.events(NOBODY) == []


async def test_an_unknown_channel_is_refused_with_those_that_exist(inboxes: Inboxes):
    with pytest.raises(InvalidInput) as refused:
        await inboxes.service.notify(ADA, NewNotification("message", "x", channels=("pigeon",)))
    assert (
        refused.value.errors[0].detail == "pigeon is not available; available: in_app, memory, webhook, email"
    )


async def test_one_key_has_one_effect_and_one_answer(inboxes: Inboxes):
    request = IdempotentRequest(ADA, "key", "fingerprint")
    answers = await asyncio.gather(
        *(inboxes.service.send(ADA, HELLO, actor="s", idempotency=request) for _ in range(20))
    )
    assert len({answer.body for answer in answers}) == 1
    assert len(await inboxes.messages()) == 1
    with pytest.raises(IdempotencyKeyReused):
        await inboxes.service.send(
            ADA, HELLO, actor="s", idempotency=IdempotentRequest(ADA, "key", "another")
        )
    await inboxes.service.send(ADA, HELLO, actor="s", idempotency=IdempotentRequest(BOB, "key", "another"))


async def test_reading_and_unreading(inboxes: Inboxes):
    sent = await inboxes.send()
    inboxes.clock.advance(timedelta(minutes=1))
    read = await inboxes.service.set_read(ADA, sent, read=True, actor="s")
    assert read.read_at == "2030-01-01T00:01:00.000000Z"
    inboxes.clock.advance(timedelta(minutes=1))
    assert await inboxes.service.set_read(ADA, sent, read=True, actor="s") == read
    assert (await inboxes.service.unread_count(ADA))[0] == 0
    assert (await inboxes.service.set_read(ADA, sent, read=False, actor="s")).read_at is None
    assert await inboxes.service.unread_count(ADA) == (1, 3)
    events = await inboxes.events()
    assert [event.type for event in events] == [
        "NotificationCreated",
        "NotificationRead",
        "NotificationUnread",
    ]
    assert [event.actor for event in events] == [None, "s", "s"]
    assert await fold_matches(inboxes)


async def test_another_persons_notification_is_not_there(inboxes: Inboxes):
    sent = await inboxes.send(user=BOB)
    for attempt in (
        inboxes.service.get(ADA, sent),
        inboxes.service.set_read(ADA, sent, read=True, actor="s"),
        inboxes.service.delete(ADA, sent, actor="s"),
        inboxes.service.deliveries(ADA, sent),
    ):
        with pytest.raises(NotificationNotFound):
            await attempt
    assert await inboxes.messages(BOB) == ["Hello"]


@pytest.mark.parametrize("rows", [1, 3, 7, 500])
async def test_marking_and_deleting_all_goes_through_every_batch(
    inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch, rows: int
):
    monkeypatch.setattr(service_module, "ROWS_PER_TRANSACTION", rows)
    sent = [await inboxes.send(str(number)) for number in range(14)]
    for one in sent[::2]:
        await inboxes.service.set_read(ADA, one, read=True, actor="s")
    assert await inboxes.service.read_all(ADA, actor="s") == 7
    assert await inboxes.service.read_all(ADA, actor="s") == 0
    assert await fold_matches(inboxes)
    await inboxes.service.set_read(ADA, sent[0], read=False, actor="s")
    await inboxes.service.delete_all(ADA, read=True, actor="s")
    assert await inboxes.messages() == ["0"]
    await inboxes.send("new")
    await inboxes.service.delete_all(ADA, read=False, actor="s")
    assert await inboxes.messages() == []
    assert await fold_matches(inboxes)


async def test_deleting_all_leaves_others_alone_and_takes_the_ledgers_along(inboxes: Inboxes):
    sent = await inboxes.send()
    await inboxes.send(user=BOB)
    await inboxes.service.delete_all(ADA, read=None, actor="s")
    assert await inboxes.messages(BOB) == ["Hello"]
    with pytest.raises(NotificationNotFound):
        await inboxes.service.deliveries(ADA, sent)
    assert [event.type for event in await inboxes.events()] == ["NotificationCreated", "NotificationDeleted"]


async def test_pages_follow_each_other_without_gap_or_repeat_while_new_ones_come(inboxes: Inboxes):
    for number in range(25):
        await inboxes.send(str(number))
    seen: list[str] = []
    before: int | None = None
    while True:
        page = await inboxes.service.page(ADA, unread_only=False, before=before, limit=10)
        seen += [one.message for one in page.notifications]
        if not page.has_more:
            break
        before = page.notifications[-1].created_position
        await inboxes.send("new")
    assert seen == [str(number) for number in reversed(range(25))]


# What other modules' events bring about


class Others:
    """The other modules' streams, relayed to the notifications consumer as in a running process."""

    def __init__(self, inboxes: Inboxes) -> None:
        self.inboxes = inboxes
        runner = ConsumerRunner(handlers.consumer(inboxes.service), inboxes.shards, inboxes.clock)
        self.relay = Relay(inboxes.shards, InProcessBus([runner]))
        self.runner = runner

    async def tell(
        self, stream: str, type_: str, subject: str = ADA, user: str = ADA, **data: object
    ) -> Event:
        log = EventLog(stream, self.inboxes.clock)
        await self.inboxes.shards.transact(user, log.append, user, [NewEvent(type_, subject, dict(data))])
        await self.relay.publish_waiting()
        events = await self.inboxes.shards.read(user, log.read, user, after=0)
        return events[-1]


REMINDED = {"title": "Water the banyan", "due_at": "2030-01-02T00:00:00.000000Z", "remind_at": None}


@pytest.mark.parametrize(("kind", "title"), [("due", "Due now"), ("reminder", "Reminder")])
async def test_a_reminder_arrives_once_however_often_it_is_delivered(inboxes: Inboxes, kind: str, title: str):
    others = Others(inboxes)
    event = await others.tell("todos", "TodoReminded", "todo-1", kind=kind, **REMINDED)
    await others.runner.deliver([event, event])
    (found,) = (await inboxes.service.page(ADA, unread_only=True, before=None, limit=10)).notifications
    assert (found.id, found.kind, found.title, found.message) == (event.id, kind, title, "Water the banyan")
    assert found.data == {"todo_id": "todo-1", "due_at": "2030-01-02T00:00:00.000000Z"}


async def test_a_reminder_arrives_once_even_if_the_inbox_position_is_lost(inboxes: Inboxes):
    """The notification's id is the event's own: a consumer under another name makes no second one."""
    others = Others(inboxes)
    event = await others.tell("todos", "TodoReminded", "todo-1", kind="due", **REMINDED)
    consumer = handlers.consumer(inboxes.service)
    renamed = type(consumer)("renamed", consumer.streams, consumer.handle, consumer.types)
    await ConsumerRunner(renamed, inboxes.shards, inboxes.clock).deliver([event])
    assert await inboxes.messages() == ["Water the banyan"]


async def test_people_are_welcomed_and_warned(inboxes: Inboxes):
    others = Others(inboxes)
    await others.tell("users", "UserRegistered", name="Ada")
    await others.tell("users", "PasswordChanged", by="reset")
    await others.tell("users", "SessionStarted", "session")
    page = await inboxes.service.page(ADA, unread_only=True, before=None, limit=10)
    assert [one.kind for one in page.notifications] == ["security", "welcome"]
    assert await fold_matches(inboxes)


async def test_nothing_is_left_of_a_deleted_account_and_nothing_comes_after_it(inboxes: Inboxes):
    others = Others(inboxes)
    await inboxes.send(through_memory=True)
    await inboxes.send(user=BOB)
    await others.tell("users", "UserDeleted")
    assert await inboxes.messages() == []
    assert await inboxes.events() == []
    assert await inboxes.loop.deliver_due() == 0
    # A reminder that was on its way, and a sender who had looked up the account just before.
    await others.tell("todos", "TodoReminded", "todo-1", kind="due", **REMINDED)
    with pytest.raises(UserNotFound):
        await inboxes.send()
    with pytest.raises(UserNotFound):
        await inboxes.service.notify(ADA, HELLO, notification_id=NOBODY)
    assert await inboxes.messages() == []
    assert await inboxes.events() == []
    assert await inboxes.messages(BOB) == ["Hello"]


async def test_in_a_batch_only_the_closed_inbox_is_refused(inboxes: Inboxes):
    await Others(inboxes).tell("users", "UserDeleted")
    results = await asyncio.gather(
        *(inboxes.send(user=user) for user in (BOB, ADA, BOB)), return_exceptions=True
    )
    assert [type(result) for result in results] == [str, UserNotFound, str]
