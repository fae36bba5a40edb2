"""The channels that people set up: each change is its event, and what a delivery needs is found when it is sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.handed_tasks import Handed
from tests.support.inboxes import ADA, BOB, Inboxes, opened_inboxes

from banyan.infra.auth.secret_box import SealedDataUnreadable
from banyan.infra.module import State
from banyan.kernel.errors import InvalidInput, Unavailable
from banyan.modules.notifications.channel_model import (
    MOST_CHANNELS,
    AddressNotVerified,
    ChannelChangedMeanwhile,
    ChannelExists,
    ChannelNotFound,
    TooManyChannels,
)
from banyan.modules.notifications.channels import Gone, by_name
from banyan.modules.notifications.contract import BegunDelivery, NewNotification
from banyan.modules.notifications.fold import FOLD
from banyan.modules.notifications.targets import opened_target
from banyan.modules.notifications.tasks import DeliveryHandover, delivery_kind
from banyan.modules.users.contract import MailAddress, UserNotFound

URL = "https://example.org/hook?token=abc"
ADDRESS = MailAddress("ada@example.org", "Ada", "en")
SESSION = "session"


@pytest.fixture
async def inboxes(tmp_path: Path) -> AsyncIterator[Inboxes]:
    async with opened_inboxes(tmp_path) as opened:
        opened.users.addresses[ADA] = ADDRESS
        yield opened


async def add(inboxes: Inboxes, kind: str = "webhook", user: str = ADA) -> str:
    """The new channel's id."""
    url = URL if kind == "webhook" else None
    answer = await inboxes.own.create(user, SESSION, kind=kind, name=None, url=url, idempotency=None)  # pyright: ignore[reportArgumentType]
    return json.loads(answer.body)["id"]


async def notify(inboxes: Inboxes, *channels: str) -> str:
    return await inboxes.service.notify(ADA, NewNotification("message", "Hello", channels=channels))


async def fold_matches(inboxes: Inboxes) -> bool:
    state: State = {}
    for event in await inboxes.events():
        FOLD.apply(state, event)
    return state == await inboxes.shards.read(ADA, FOLD.stored, ADA)


async def begin(inboxes: Inboxes, sent: str, channel: str = "webhook") -> BegunDelivery | None:
    (delivery,) = [one for one in await inboxes.service.deliveries(ADA, sent) if one.channel == channel]
    return await inboxes.service.begin_delivery(ADA, sent, delivery.id, attempt=delivery.attempt)


async def test_every_change_is_an_event_that_folds_to_what_is_stored(inboxes: Inboxes):
    first, second = await add(inboxes), await add(inboxes, "email")
    await inboxes.own.change(ADA, SESSION, first, {"name": "Bell", "enabled": False}, None)
    await inboxes.own.change(ADA, SESSION, first, {"url": "https://other.example/"}, 2)
    await inboxes.own.rotate_secret(ADA, SESSION, first, None)
    assert await fold_matches(inboxes)
    await inboxes.own.delete(ADA, SESSION, second)
    assert await fold_matches(inboxes)
    events = await inboxes.events()
    assert [event.type for event in events] == [
        "ChannelCreated",
        "ChannelCreated",
        "ChannelChanged",
        "ChannelChanged",
        "ChannelChanged",
        "ChannelDeleted",
    ]
    assert {event.actor for event in events} == {SESSION}
    assert "token" not in repr(events)
    assert "sealed" not in repr(events)
    assert (await inboxes.own.get(ADA, first)).channel.version == 4


async def test_what_changes_nothing_is_no_event(inboxes: Inboxes):
    channel = await add(inboxes)
    await inboxes.own.change(ADA, SESSION, channel, {"name": None, "enabled": True, "url": URL}, None)
    assert len(await inboxes.events()) == 1


async def test_anothers_channel_is_not_there(inboxes: Inboxes):
    theirs = await add(inboxes, user=BOB)
    for attempt in (
        inboxes.own.get(ADA, theirs),
        inboxes.own.change(ADA, SESSION, theirs, {"enabled": False}, None),
        inboxes.own.rotate_secret(ADA, SESSION, theirs, None),
        inboxes.own.test(ADA, SESSION, theirs, None),
        inboxes.own.delete(ADA, SESSION, theirs),
    ):
        with pytest.raises(ChannelNotFound):
            await attempt
    assert await inboxes.own.all_of(ADA) == []
    assert (await inboxes.own.get(BOB, theirs)).channel.enabled


async def test_the_last_place_is_taken_once(inboxes: Inboxes):
    for _ in range(MOST_CHANNELS - 1):
        await add(inboxes)
    results = await asyncio.gather(*(add(inboxes) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, TooManyChannels) for result in results) == 4
    assert len(await inboxes.own.all_of(ADA)) == MOST_CHANNELS


async def test_mail_needs_a_confirmed_address_and_is_added_once(inboxes: Inboxes):
    with pytest.raises(AddressNotVerified):
        await add(inboxes, "email", BOB)
    await add(inboxes, "email")
    with pytest.raises(ChannelExists):
        await add(inboxes, "email")


async def test_a_lost_update_is_refused(inboxes: Inboxes):
    channel = await add(inboxes)
    await inboxes.own.change(ADA, SESSION, channel, {"name": "Bell"}, 1)
    with pytest.raises(ChannelChangedMeanwhile):
        await inboxes.own.change(ADA, SESSION, channel, {"name": "Door"}, 1)


async def test_an_inside_address_is_refused_when_it_is_typed(inboxes: Inboxes):
    channel = await add(inboxes)
    for url in ("https://10.0.0.1/", "http://example.org/"):
        with pytest.raises(InvalidInput):
            await inboxes.own.change(ADA, SESSION, channel, {"url": url}, None)


async def test_a_delivery_gets_what_is_true_when_it_is_sent(inboxes: Inboxes):
    channel = await add(inboxes)
    await add(inboxes, "email")
    sent = await notify(inboxes)
    rotated = json.loads((await inboxes.own.rotate_secret(ADA, SESSION, channel, None)).body)
    await inboxes.loop.deliver_due()
    (target,) = inboxes.webhook.targets.values()
    assert target["url"] == URL
    assert target["secrets"][0] == rotated["secret"]
    assert len(target["secrets"]) == 2
    assert list(inboxes.email.targets.values()) == [
        {"email": "ada@example.org", "name": "Ada", "locale": "en"}
    ]
    states = await inboxes.states(sent)
    assert (states["webhook"], states["email"]) == (("delivered", 1), ("delivered", 1))


async def test_without_a_target_there_is_nothing_to_try(inboxes: Inboxes):
    channel, mail = await add(inboxes), await add(inboxes, "email")
    sent = await notify(inboxes)
    await inboxes.own.change(ADA, SESSION, channel, {"enabled": False}, None)
    del inboxes.users.addresses[ADA]
    await inboxes.loop.deliver_due()
    errors = {one.channel: one.error for one in await inboxes.service.deliveries(ADA, sent)}
    assert (errors["webhook"], errors["email"]) == ("ChannelDisabled", "NoVerifiedAddress")
    later = await notify(inboxes)
    await inboxes.own.delete(ADA, SESSION, mail)
    assert await begin(inboxes, later, "email") is None
    errors = {one.channel: one.error for one in await inboxes.service.deliveries(ADA, later)}
    assert errors["email"] == "ChannelDeleted"
    assert inboxes.webhook.sendings == inboxes.email.sendings == 0


async def test_when_the_address_cannot_be_asked_for_it_is_tried_again(
    inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch
):
    await add(inboxes, "email")
    by_loop, by_worker = await notify(inboxes), await notify(inboxes)

    async def away(_user_id: str) -> MailAddress | None:
        raise Unavailable()

    with monkeypatch.context() as patched:
        patched.setattr(inboxes.users, "mail_address", away)
        assert await begin(inboxes, by_worker, "email") is None
        await inboxes.loop.deliver_due()
    for sent in (by_loop, by_worker):
        assert (await inboxes.states(sent))["email"] == ("retrying", 1)


async def test_a_worker_gets_the_target_sealed_for_this_delivery(inboxes: Inboxes):
    await add(inboxes)
    begun = await begin(inboxes, await notify(inboxes))
    assert begun is not None
    assert begun.target is not None
    assert "example.org" not in begun.target
    assert opened_target(inboxes.box, begun.id, begun.target)["url"] == URL
    with pytest.raises(SealedDataUnreadable):
        opened_target(inboxes.box, "another", begun.target)


async def test_gone_disables_the_channel_whoever_sends(inboxes: Inboxes):
    for through_queue in (False, True):
        channel = await add(inboxes)
        inboxes.webhook.faults.append(Gone("Status410"))
        sent = await notify(inboxes)
        if through_queue:
            queue = Handed()
            await DeliveryHandover(inboxes.shards, inboxes.clock, queue, inboxes.log).hand_over_due()
            (task,) = queue.take_all()
            await delivery_kind(inboxes.service, by_name([inboxes.webhook]), inboxes.box).handle(task)
        else:
            await inboxes.loop.deliver_due()
        assert (await inboxes.states(sent))["webhook"] == ("failed", 1)
        now = (await inboxes.own.get(ADA, channel)).channel
        assert (now.enabled, now.disabled_reason, now.version) == (False, "gone", 2)
        assert await fold_matches(inboxes)
        await inboxes.own.delete(ADA, SESSION, channel)


async def test_a_closed_inbox_has_no_channels_and_takes_none(inboxes: Inboxes):
    await add(inboxes)
    await inboxes.shards.transact(ADA, inboxes.service.erase, ADA)
    assert await inboxes.own.all_of(ADA) == []
    with pytest.raises(UserNotFound):
        await add(inboxes)
    assert await inboxes.events() == []
