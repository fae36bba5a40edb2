# ruff: noqa: N802 (aiosmtpd names its hooks after SMTP's commands)
"""What every MailTransport promises, and for SMTP: how the answers of a real server over a socket are understood."""

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from banyan.infra.mail.mail import Mail, MailRefused, MailTransport, MailUnavailable
from banyan.infra.mail.memory import MemoryTransport
from banyan.infra.mail.outbox import DevelopmentOutbox
from banyan.infra.mail.smtp import SmtpTransport
from banyan.kernel.errors import RetryLater

FROM = "Banyan <no-reply@banyan.example>"


def mail(to: str = "anna@example.com", **changes: Any) -> Mail:
    given = {"subject": "Grüße", "text": "Hallo, Anna.\n.\n..dots\n", "html": "<p>Hallo</p>\n", **changes}
    return Mail(to=to, **given)


class Inbox:
    """The handler of an aiosmtpd server: keeps what it takes, and answers as it is told."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.envelopes.append(envelope)
        return "250 OK"


class Server:
    def __init__(self, inbox: Inbox, port: int) -> None:
        self.inbox = inbox
        self.port = port

    def transport(self, **options: Any) -> SmtpTransport:
        given = {"host": "127.0.0.1", "port": self.port, "sender": FROM, "encryption": "none", **options}
        return SmtpTransport(**given)


@contextlib.asynccontextmanager
async def listening(factory: Callable[[], asyncio.Protocol], **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    inbox = Inbox()
    async with listening(lambda: SMTP(inbox, hostname="mx.test", enable_SMTPUTF8=True)) as port:
        yield Server(inbox, port)


# --- the contract


class Subject:
    """One transport, and how to look at what arrived."""

    def __init__(self, transport: MailTransport, arrived: Callable[[], list[EmailMessage]]) -> None:
        self.transport = transport
        self.arrived = arrived


@pytest.fixture(params=["memory", "outbox", "smtp"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemoryTransport()

        def as_messages() -> list[EmailMessage]:
            found = []
            for sent in memory.sent:
                message = EmailMessage()
                message["To"], message["Subject"] = sent.to, sent.subject
                message.set_content(sent.text)
                message.add_alternative(sent.html, subtype="html")
                message["X-Id"] = sent.id
                found.append(message)
            return found

        yield Subject(memory, as_messages)
    elif request.param == "outbox":
        outbox = DevelopmentOutbox(tmp_path)
        yield Subject(
            outbox,
            lambda: [parsed(outbox.read(entry.id).path.read_bytes()) for entry in reversed(outbox.entries())],
        )
    else:
        inbox = Inbox()
        async with listening(lambda: SMTP(inbox, enable_SMTPUTF8=True)) as port:
            transport = Server(inbox, port).transport()
            yield Subject(transport, lambda: [parsed(content(envelope)) for envelope in inbox.envelopes])


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def content(envelope: Envelope) -> bytes:
    assert isinstance(envelope.content, bytes)
    return envelope.content


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


async def test_a_sent_mail_arrives_whole(subject: Subject) -> None:
    await subject.transport.send(mail())
    [message] = subject.arrived()
    assert (message["To"], message["Subject"]) == ("anna@example.com", "Grüße")
    assert body(message, "plain") == "Hallo, Anna.\n.\n..dots\n"
    assert body(message, "html") == "<p>Hallo</p>\n"


async def test_mails_arrive_in_the_order_of_sending(subject: Subject) -> None:
    for index in range(3):
        await subject.transport.send(mail(subject=str(index)))
    assert [message["Subject"] for message in subject.arrived()] == ["0", "1", "2"]


async def test_mails_sent_at_once_all_arrive(subject: Subject) -> None:
    await asyncio.gather(*(subject.transport.send(mail(subject=str(index))) for index in range(10)))
    assert sorted(message["Subject"] for message in subject.arrived()) == [str(index) for index in range(10)]


async def test_an_address_in_another_script_is_served(subject: Subject) -> None:
    await subject.transport.send(mail("анна@пример.рф"))
    assert subject.arrived()[0]["To"] == "анна@пример.рф"


async def test_the_twin_can_fail_in_both_ways() -> None:
    memory = MemoryTransport()
    memory.refuse.add("anna@example.com")
    with pytest.raises(MailRefused):
        await memory.send(mail())
    memory.unavailable = True
    with pytest.raises(MailUnavailable):
        await memory.send(mail("berta@example.com"))
    assert memory.sent == []


# --- SMTP: what the server's answers mean


async def test_the_envelope_has_the_bare_addresses(server: Server) -> None:
    await server.transport().send(mail())
    [envelope] = server.inbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@banyan.example", ["anna@example.com"])


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", ["550 5.1.1 No such user", "552 Full", "554 No"])
async def test_a_permanent_answer_is_a_refusal(server: Server, step: str, answer: str) -> None:
    server.inbox.answers[step] = answer
    with pytest.raises(MailRefused) as caught:
        await server.transport().send(mail())
    assert caught.value.facts["smtp_code"] == int(answer[:3])
    # What the server says may hold the address; it is for nobody's log.
    assert "anna" not in str(caught.value) + str(caught.value.facts)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", ["450 4.2.0 Greylisted", "421 Shutting down", "530 Log in first"])
async def test_a_temporary_answer_asks_for_another_try(server: Server, step: str, answer: str) -> None:
    server.inbox.answers[step] = answer
    with pytest.raises(MailUnavailable) as caught:
        await server.transport().send(mail())
    assert isinstance(caught.value, RetryLater)
    del server.inbox.answers[step]
    await server.transport().send(mail())
    assert len(server.inbox.envelopes) == 1


async def test_a_refused_connection_asks_for_another_try() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound, not listening: nobody else gets the port, and it refuses.
        with pytest.raises(MailUnavailable):
            await Server(Inbox(), taken.getsockname()[1]).transport().send(mail())


async def test_an_unknown_host_asks_for_another_try() -> None:
    with pytest.raises(MailUnavailable):
        await SmtpTransport(host="mx.invalid", sender=FROM, encryption="none", timeout_seconds=5).send(mail())


class Silent(asyncio.Protocol):
    """A server that accepts and never says a word."""


async def test_a_silent_server_is_given_up_in_time() -> None:
    async with listening(Silent) as port:
        with pytest.raises(MailUnavailable):
            await asyncio.wait_for(Server(Inbox(), port).transport(timeout_seconds=0.2).send(mail()), 5)


class Dripping(asyncio.Protocol):
    """A server that never stops greeting: each line is in time, the whole never ends."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.drip()

    def drip(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"220-wait\r\n")
            asyncio.get_running_loop().call_later(0.02, self.drip)


async def test_a_server_that_drips_is_given_up_at_the_deadline() -> None:
    async with listening(Dripping) as port:
        transport = Server(Inbox(), port).transport(timeout_seconds=60, deadline_seconds=0.3)
        with pytest.raises(MailUnavailable):
            await asyncio.wait_for(transport.send(mail()), 5)


class Rejecting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"554 No SMTP service here\r\n")
        transport.close()


async def test_a_server_that_takes_no_connection_is_no_reason_to_drop_the_mail() -> None:
    async with listening(Rejecting) as port:
        with pytest.raises(MailUnavailable):
            await Server(Inbox(), port).transport().send(mail())


async def test_a_server_without_smtputf8_refuses_an_address_in_another_script() -> None:
    inbox = Inbox()
    async with listening(lambda: SMTP(inbox, enable_SMTPUTF8=False)) as port:
        with pytest.raises(MailRefused):
            await Server(inbox, port).transport().send(mail("анна@пример.рф"))


# --- SMTP: encryption and log-in


class Certificate:
    """A self-signed certificate for 127.0.0.1, as files and as the context of a server."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.test")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .sign(key, hashes.SHA256())
        )
        both = folder / "both.pem"
        both.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(both)


class Accounts:
    """The authenticator of an aiosmtpd server; it remembers who came."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []

    def __call__(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


async def test_starttls_encrypts_and_logs_in(tmp_path: Path) -> None:
    inbox, accounts, tls = Inbox(), Accounts(), Certificate(tmp_path).context
    async with listening(
        lambda: SMTP(
            inbox, tls_context=tls, require_starttls=True, authenticator=accounts, auth_required=True
        )
    ) as port:
        transport = Server(inbox, port).transport(
            encryption="starttls", username="banyan", password="right", verify_certificate=False
        )
        await transport.send(mail())
    assert len(inbox.envelopes) == 1
    assert accounts.seen == [(b"banyan", b"right")]


async def test_implicit_tls_encrypts(tmp_path: Path) -> None:
    inbox = Inbox()
    async with listening(lambda: SMTP(inbox), ssl=Certificate(tmp_path).context) as port:
        await Server(inbox, port).transport(encryption="tls", verify_certificate=False).send(mail())
    assert len(inbox.envelopes) == 1


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_stops_the_mail(tmp_path: Path, encryption: str) -> None:
    inbox, tls = Inbox(), Certificate(tmp_path).context
    options = {"ssl": tls} if encryption == "tls" else {}
    factory = (lambda: SMTP(inbox)) if encryption == "tls" else (lambda: SMTP(inbox, tls_context=tls))
    async with listening(factory, **options) as port:
        with pytest.raises(MailUnavailable):
            await Server(inbox, port).transport(encryption=encryption).send(mail())
    assert inbox.envelopes == []


async def test_a_server_without_starttls_gets_nothing_in_clear_text(server: Server) -> None:
    with pytest.raises(MailUnavailable):
        await server.transport(encryption="starttls").send(mail())
    assert server.inbox.envelopes == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_our_own_wrong_password_is_no_reason_to_drop_the_mail() -> None:
    inbox, accounts = Inbox(), Accounts()
    async with listening(
        lambda: SMTP(inbox, authenticator=accounts, auth_required=True, auth_require_tls=False)
    ) as port:
        with pytest.raises(MailUnavailable) as caught:
            await Server(inbox, port).transport(username="banyan", password="wrong").send(mail())
    assert set(accounts.seen) == {(b"banyan", b"wrong")}
    assert caught.value.facts == {"reason": "SMTPAuthenticationError"}
    shown = str(caught.value) + str(caught.value.facts)
    assert "wrong" not in shown
    assert base64.b64encode(b"wrong").decode() not in shown


def test_a_password_is_not_sent_over_an_open_network() -> None:
    with pytest.raises(ValueError, match="encryption"):
        SmtpTransport(host="mx.example", sender=FROM, encryption="none", username="a", password="b")
