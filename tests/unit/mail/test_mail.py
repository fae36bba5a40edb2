from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from banyan.infra.mail.mail import Mail, Sender, to_message

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SENDER = Sender.parse("Banyan <no-reply@banyan.example>")


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com\r\nBcc: b@example.com",
        "a@example.com\nSubject: x",
        "a@example.com\x00",
        "a@example.com, b@example.com",
        "a@example.com;b@example.com",
        "Anna <a@example.com>",
        '"a b"@example.com',
        "a@b@example.com",
        "a b@example.com",
        "a@[127.0.0.1]",
        "example.com",
        "@example.com",
        "a@",
        "",
        "a@example.com\u2028x",
        "a\ud800@example.com",
        "a" * 250 + "@example.com",
    ],
    ids=repr,
)
def test_a_mail_goes_to_exactly_one_plain_address(address: str) -> None:
    with pytest.raises(ValueError):
        Mail(to=address, subject="Hello", text="…")


@pytest.mark.parametrize(
    "subject", ["Hi\r\nBcc: b@example.com", "Hi\n", "Hi\x0bthere", "Hi\u2029", "\ud800"], ids=repr
)
def test_a_subject_cannot_add_a_header(subject: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        Mail(to="a@example.com", subject=subject, text="…")


def test_the_id_becomes_a_header_and_must_be_an_id() -> None:
    with pytest.raises(ValueError, match="id"):
        Mail(to="a@example.com", subject="Hi", text="…", id="x>\r\nBcc: b")


def test_a_message_has_what_a_receiver_expects() -> None:
    mail = Mail(to="anna@example.com", subject="Grüße", text="Hallo, schöne Welt\n", html="<p>Hallo</p>")
    raw = to_message(mail, SENDER, AT).as_bytes()
    assert raw.isascii()
    message = message_from_bytes(raw, policy=default)
    assert message["From"] == "Banyan <no-reply@banyan.example>"
    assert message["To"] == "anna@example.com"
    assert message["Subject"] == "Grüße"
    assert message["Date"].datetime == AT
    assert message["Message-ID"] == f"<{mail.id}@banyan.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_a_repeated_sending_has_the_same_message_id() -> None:
    mail = Mail(to="anna@example.com", subject="Hi", text="…")
    assert to_message(mail, SENDER, AT)["Message-ID"] == to_message(mail, SENDER, AT)["Message-ID"]


def test_an_address_in_another_script_is_written_as_it_is() -> None:
    mail = Mail(to="анна@пример.рф", subject="Hi", text="…")
    assert "анна@пример.рф" in to_message(mail, SENDER, AT).as_bytes().decode()


@pytest.mark.parametrize("text", ["", "Banyan", "Banyan <x>", "Banyan <a@b.c>\r\nBcc: d@e.f"], ids=repr)
def test_a_malformed_sender_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sender"):
        Sender.parse(text)
