"""The webhook as a channel: signed as Standard Webhooks has it, and each kind of answer told apart."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.webhooks import verified

from banyan.infra.outbound.addresses import AddressGuard
from banyan.infra.outbound.errors import AddressRefused, NotReached
from banyan.infra.outbound.post import Outbound
from banyan.kernel.clock import ManualClock, to_text
from banyan.modules.notifications.channel_model import WebhookSecrets, new_secret
from banyan.modules.notifications.channels import Gone, TryLater, Undeliverable
from banyan.modules.notifications.channels.webhook import WebhookChannel, payload, signatures
from banyan.modules.notifications.model import Notification, first_delivery

NOW = datetime.now(UTC)
NOTE = Notification("ada", "n", "message", "Garden", "Grüße", {"plant": "banyan"}, to_text(NOW))
DELIVERY = first_delivery(NOTE, "d", "webhook", delivered=False, channel_id="c")
URL = "https://example.org/hook"


class Answering(Outbound):
    """Does not send: answers with this status, or raises."""

    def __init__(self, answer: int | Exception) -> None:
        super().__init__(AddressGuard(), http=False, timeout=timedelta(seconds=1))
        self.answer = answer
        self.posts: list[tuple[str, dict[str, str], bytes]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.posts.append((url, dict(headers), body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def attempt(answer: int | Exception, *secrets: str) -> tuple[str, dict[str, str], bytes]:
    outbound = Answering(answer)
    channel = WebhookChannel(outbound, ManualClock(NOW))
    await channel.send(DELIVERY, NOTE, {"url": URL, "secrets": list(secrets or [new_secret()])})
    (post,) = outbound.posts
    return post


def test_the_signature_is_the_one_of_the_specification() -> None:
    """The example of github.com/standard-webhooks, whose libraries all have it in their tests."""
    signed = signatures(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_receivers_verify_it_with_the_library() -> None:
    secret, former = new_secret(), new_secret()
    url, headers, body = await attempt(200, secret, former)
    assert url == URL
    for one in (secret, former):
        assert verified(one, headers, body)["data"]["message"] == "Grüße"
    assert verified(new_secret(), headers, body) is None
    assert verified(secret, headers, body + b" ") is None
    assert verified(secret, headers | {"webhook-id": "another"}, body) is None
    assert headers["webhook-id"] == DELIVERY.id


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_delivered(status: int) -> None:
    await attempt(status)


@pytest.mark.parametrize("status", [301, 302, 304, 307, 400, 401, 404, 408, 429, 500, 503])
async def test_every_other_answer_is_tried_again(status: int) -> None:
    with pytest.raises(TryLater, match=f"^Status{status}$"):
        await attempt(status)


async def test_gone_is_gone() -> None:
    with pytest.raises(Gone, match=r"^Status410$"):
        await attempt(410)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (NotReached("ReceiverDown"), TryLater, "ReceiverDown"),
        (TimeoutError(), TryLater, "TimedOut"),
        (AddressRefused(), Undeliverable, "AddressRefused"),
    ],
)
async def test_what_went_wrong_is_a_word(error: Exception, kind: type[Exception], reason: str) -> None:
    with pytest.raises(kind, match=f"^{reason}$"):
        await attempt(error)


async def test_a_url_that_the_settings_forbid_now_is_useless_to_try() -> None:
    channel = WebhookChannel(Outbound(AddressGuard(), http=False, timeout=timedelta(1)), ManualClock(NOW))
    with pytest.raises(Undeliverable, match=r"^UrlRefused$"):
        await channel.send(DELIVERY, NOTE, {"url": "http://example.org/", "secrets": [new_secret()]})


def test_every_attempt_has_the_same_bytes() -> None:
    read = Notification(
        "ada", "n", "message", "Garden", "Grüße", {"plant": "banyan"}, NOTE.created_at, to_text(NOW), 7
    )
    assert payload(read) == payload(NOTE)
    assert "Grüße".encode() in payload(NOTE)


def test_the_former_secret_signs_for_a_day() -> None:
    first = WebhookSecrets(URL, new_secret())
    second = first.rotated(NOW)
    assert second.secret != first.secret
    assert second.signing(NOW) == [second.secret, first.secret]
    assert second.signing(NOW + timedelta(hours=23, minutes=59)) == [second.secret, first.secret]
    assert second.signing(NOW + timedelta(hours=24)) == [second.secret]
    third = second.rotated(NOW)
    assert third.signing(NOW) == [third.secret, second.secret]
    assert WebhookSecrets.from_json(third.as_json()) == third


def test_no_two_secrets_are_the_same() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(len(secret) == len("whsec_") + 44 for secret in made)
