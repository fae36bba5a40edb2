"""`banyan doctor` asks real servers in their own language: what is right is told, and what is wrong is found."""

import asyncio
import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.protocol.admin import CreateTopicsRequest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, AuthResult
from tests.support.certificates import make_certificate
from tests.support.kafka import Broker, running_broker
from tests.support.rabbitmq import shared_rabbitmq
from tests.support.server import migrated_postgres_url
from tests.support.valkey import command, new_valkey, url_of

from banyan.doctor import postgresql, rabbitmq, redis
from banyan.fleet.ports import free_port
from banyan.infra.bus.kafka import look as kafka_look
from banyan.infra.bus.kafka import session, topics

Found = list[dict[str, Any]]


@pytest.fixture
def doctor(cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    """What the doctor says with these settings, without what it says of the machine."""
    monkeypatch.setenv("BANYAN_SECRET_KEY", "0123456789abcdef" * 3)
    # As the command itself sets it; the fixture keeps it from touching the logs of the test run.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    def look(**settings: str) -> Found:
        for name, value in settings.items():
            monkeypatch.setenv(f"BANYAN_{name.upper()}", value)
        done = cli("doctor", "--json")
        assert "hidden" not in done.out + done.err
        return done.json_lines()

    return look


def of(found: Found, check: str) -> dict[str, Any]:
    """The one finding of a check; of several the one that is not ok."""
    findings = [one for one in found if one["check"] == check]
    assert findings, found
    return next((one for one in findings if one["state"] != "ok"), findings[0])


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Any]:
    with new_valkey(tmp_path) as server:
        yield server


def clock_that_is(monkeypatch: pytest.MonkeyPatch, ahead_seconds: float) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead_seconds)


# --- Redis


def test_redis_says_what_it_is_and_what_time_it_has(doctor, valkey) -> None:
    found = doctor(redis_url=url_of(valkey))
    assert (of(found, "Redis")["state"], of(found, "clock")["state"]) == ("ok", "ok")
    assert "Valkey " in of(found, "Redis")["what"]
    assert "6.0 or later" in of(found, "Redis")["what"]


def test_a_redis_that_is_too_old_fails(doctor, valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "OLDEST", (1000, 0))
    assert of(doctor(redis_url=url_of(valkey)), "Redis")["todo"] == "Upgrade it to 1000.0 or later."


def test_a_clock_that_is_not_redis_s_is_told(doctor, valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_is(monkeypatch, 90.0)
    told = of(doctor(redis_url=url_of(valkey)), "clock")
    assert (told["state"], "Redis's" in told["what"]) == ("fail", True)


def test_a_wrong_password_of_redis_fails(doctor, valkey) -> None:
    command(valkey, "CONFIG", "SET", "requirepass", "right")
    url = url_of(valkey).replace("redis://", "redis://:hidden@")
    assert of(doctor(redis_url=url), "Redis")["state"] == "fail"


@pytest.mark.parametrize(
    ("words", "state", "told"),
    [
        (("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "noeviction"), "warn", "noeviction"),
        (("REPLICAOF", "127.0.0.1", "1"), "fail", "replica"),
    ],
)
def test_a_redis_that_does_not_fit_is_told(
    doctor, valkey, words: tuple[str, ...], state: str, told: str
) -> None:
    assert command(valkey, *words).startswith(b"+OK")
    finding = of(doctor(redis_url=url_of(valkey)), "Redis")
    assert (finding["state"], told in finding["what"]) == (state, True)


# --- PostgreSQL


def test_postgresql_of_another_time_or_too_old_is_told(doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    url = migrated_postgres_url()
    assert of(doctor(database_url=url), "clock")["state"] == "ok"
    clock_that_is(monkeypatch, -5.0)
    monkeypatch.setattr(postgresql, "OLDEST", (1000,))
    found = doctor(database_url=url)
    assert (of(found, "clock")["state"], of(found, "PostgreSQL")["state"]) == ("warn", "fail")


# --- Kafka


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


def test_kafka_says_what_it_speaks_and_which_topics_there_are(doctor, broker: Broker) -> None:
    asyncio.run(session.ensure_topics([broker.address], ["user-events"]))
    found = doctor(kafka_servers=broker.address)
    assert (of(found, "Kafka")["state"], of(found, "Kafka topics")["state"]) == ("ok", "ok")
    assert "Produce 0–" in of(found, "Kafka")["what"]
    assert of(found, "Kafka topics")["what"] == "1 are there. 2 can be made, by the first start."


def test_something_else_on_kafka_s_port_fails(doctor, valkey) -> None:
    """A connection alone would not tell."""
    address = url_of(valkey).removeprefix("redis://").removesuffix("/0")
    assert "Kafka's protocol" in of(doctor(kafka_servers=address), "Kafka")["what"]


def test_one_broker_of_two_that_is_away_is_named(doctor, broker: Broker) -> None:
    away = f"127.0.0.1:{free_port()}"
    found = [one for one in doctor(kafka_servers=f"{broker.address},{away}") if one["check"] == "Kafka"]
    assert [(one["state"], one["what"].split()[0]) for one in found] == [
        ("ok", broker.address),
        ("fail", away),
    ]


def test_a_broker_that_sends_clients_elsewhere_fails(doctor, tmp_path: Path) -> None:
    elsewhere = free_port()
    broker = Broker(tmp_path)
    argv = [
        f"--advertised-listener-url=tcp://127.0.0.1:{elsewhere}" if word.startswith("--advertised") else word
        for word in broker.server.argv
    ]
    broker.server = replace(broker.server, argv=argv)
    with broker:
        finding = of(doctor(kafka_servers=broker.address), "Kafka")
    assert (finding["state"], f"127.0.0.1:{elsewhere}" in finding["what"]) == ("fail", True)
    assert "advertised.listeners" in finding["todo"]


def test_a_broker_without_what_we_send_fails(doctor, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kafka_look.NEEDED, 0, ("Produce", 1000))
    assert "does not know Produce 1000" in of(doctor(kafka_servers=broker.address), "Kafka")["what"]


def test_topics_of_another_shape_are_told(doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_broker() as broker:
        monkeypatch.setattr(session, "PARTITIONS", 3)
        asyncio.run(session.ensure_topics([broker.address], ["user-events"]))
        monkeypatch.undo()
        monkeypatch.setenv("BANYAN_SECRET_KEY", "0123456789abcdef" * 3)
        told = of(doctor(kafka_servers=broker.address), "Kafka topics")
    assert (told["state"], "user-events has 3 partitions" in told["what"]) == ("warn", True)


def test_a_topic_that_cannot_be_seen_fails(doctor, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "topics_of", lambda _streams: ["not a topic's name"])
    told = of(doctor(kafka_servers=broker.address), "Kafka topics")
    assert (told["state"], "not a topic's name: " in told["what"]) == ("fail", True)


def test_topics_that_we_may_not_make_fail(doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker here refuses nobody: what Kafka answers to a user without the right is put in its mouth."""
    real = AIOKafkaConnection.send

    def send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
        if not isinstance(request, CreateTopicsRequest):
            return real(self, request, expect_response)
        assert request.validate_only, "the doctor changes nothing"
        refused = [
            (topic, TopicAuthorizationFailedError.errno, None) for topic, *_ in request.create_topic_requests
        ]
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.set_result(SimpleNamespace(topic_errors=refused))
        return answer

    monkeypatch.setattr(AIOKafkaConnection, "send", send)
    with running_broker() as broker:
        told = of(doctor(kafka_servers=broker.address), "Kafka topics")
    assert (told["state"], "user-events: TopicAuthorizationFailedError" in told["what"]) == ("fail", True)


# --- RabbitMQ


def test_rabbitmq_says_what_it_is(doctor) -> None:
    finding = of(doctor(amqp_url=shared_rabbitmq().url), "RabbitMQ")
    assert finding["state"] == "ok", finding
    assert "RabbitMQ 3." in finding["what"]
    assert "3.10 or later" in finding["what"]


def test_a_rabbitmq_that_is_too_old_or_refuses_the_password_fails(
    doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = shared_rabbitmq().url
    wrong = of(doctor(amqp_url=f"amqp://banyan:hidden@{url.rpartition('@')[2]}"), "RabbitMQ")
    assert (wrong["state"], "password" in wrong["todo"]) == ("fail", True)
    monkeypatch.setattr(rabbitmq, "OLDEST", (1000, 0))
    assert of(doctor(amqp_url=url), "RabbitMQ")["todo"] == "Upgrade it to 1000.0 or later."


# --- SMTP


class OneAccount:
    def __call__(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"banyan", b"right"), handled=False)


class Mailserver(Controller):
    """implicit: TLS from the first byte, as on port 465."""

    def __init__(self, tls: ssl.SSLContext | None, *, implicit: bool = False, login: bool = False) -> None:
        self._options: dict[str, Any] = {"hostname": "mx.test"}
        if tls is not None and not implicit:
            self._options |= {"tls_context": tls, "require_starttls": True}
        if login:
            self._options |= {
                "authenticator": OneAccount(),
                "auth_required": True,
                "auth_require_tls": not implicit,
            }
        super().__init__(
            Sink(), hostname="127.0.0.1", port=free_port(), ssl_context=tls if implicit else None
        )

    def factory(self) -> SMTP:
        return SMTP(self.handler, **self._options)


@contextmanager
def running(mailserver: Mailserver) -> Iterator[str]:
    mailserver.start()
    try:
        yield str(mailserver.port)
    finally:
        mailserver.stop()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of a server whose certificate is believed."""
    files = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(files.chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    return context


def smtp(doctor, port: str, security: str, **settings: str) -> dict[str, Any]:
    return of(doctor(smtp_host="localhost", smtp_port=port, smtp_security=security, **settings), "SMTP")


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_mail_server_is_logged_in_to_over_tls(doctor, tls: ssl.SSLContext, security: str) -> None:
    with running(Mailserver(tls, implicit=security == "tls", login=True)) as port:
        account = {"smtp_user": "banyan", "smtp_password": "right"}
        assert smtp(doctor, port, security, **account)["state"] == "ok"
        refused = smtp(doctor, port, security, **{**account, "smtp_password": "hidden"})
    assert (refused["state"], "BANYAN_SMTP_PASSWORD" in refused["todo"]) == ("fail", True)


def test_a_mail_server_without_encryption_is_taken_when_that_is_what_is_set(doctor) -> None:
    with running(Mailserver(None)) as port:
        assert (
            smtp(doctor, port, "none")["what"]
            == f"localhost:{port} lets us in with no encryption, without a login."
        )


@pytest.mark.parametrize(
    ("asked", "has"), [("tls", None), ("tls", "starttls"), ("starttls", None), ("starttls", "tls")]
)
def test_another_encryption_than_the_port_s_fails(
    doctor, tls: ssl.SSLContext, asked: str, has: str | None
) -> None:
    with running(Mailserver(tls if has else None, implicit=has == "tls")) as port:
        refused = smtp(doctor, port, asked)
    assert (refused["state"], "tls for 465, starttls for 587" in refused["todo"]) == ("fail", True)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_that_nobody_vouches_for_fails(
    doctor, tls: ssl.SSLContext, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with running(Mailserver(tls, implicit=security == "tls")) as port:
        assert "certificate" in smtp(doctor, port, security)["todo"]
