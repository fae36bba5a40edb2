import stat
from datetime import timedelta
from pathlib import Path

import pytest

from banyan.infra.mail.mail import Mail, MailUnavailable
from banyan.infra.mail.outbox import DevelopmentOutbox, MailNotFound
from banyan.kernel.clock import ManualClock
from banyan.kernel.ids import new_id


def mail(subject: str = "Hello") -> Mail:
    return Mail(
        to="anna@example.com", subject=subject, text="Grüße\nhttps://x/#/reset?token=1\n", html="<p>Grüße</p>"
    )


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_the_list_is_newest_first_and_tells_when_to_whom_and_what(tmp_path: Path) -> None:
    clock = ManualClock()
    outbox = DevelopmentOutbox(tmp_path / "mail", clock=clock)
    assert outbox.entries() == []
    for subject in ("one", "zwei ü", "three"):
        await outbox.send(mail(subject))
        clock.advance(timedelta(seconds=1))
    assert [entry.subject for entry in outbox.entries()] == ["three", "zwei ü", "one"]
    assert [entry.subject for entry in outbox.entries(limit=1)] == ["three"]
    assert outbox.entries()[2].at == "2030-01-01T00:00:00.000000Z"
    assert outbox.entries()[0].to == "anna@example.com"


async def test_a_mail_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    outbox = DevelopmentOutbox(tmp_path)
    sent = mail()
    await outbox.send(sent)
    read = outbox.read(sent.id)
    assert (read.entry.subject, read.text, read.html) == (sent.subject, sent.text, f"{sent.html}\n")
    assert b"Message-ID" in read.path.read_bytes()


async def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mail"
    await DevelopmentOutbox(folder).send(mail())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = files_in(folder)
    assert sorted(path.suffix for path in files) == [".eml", ".json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


async def test_a_mail_that_is_only_half_written_is_not_listed(tmp_path: Path) -> None:
    outbox = DevelopmentOutbox(tmp_path)
    whole = mail("whole")
    await outbox.send(whole)
    (tmp_path / f"{new_id()}.eml").write_text("no list entry yet")
    (tmp_path / f"{new_id()}.json").write_text("{")
    (tmp_path / f"{new_id()}.json").write_text('{"id": 1, "other": 2}')
    (tmp_path / "notes.json").write_text("{}")
    assert [entry.subject for entry in outbox.entries()] == ["whole"]


async def test_the_same_mail_again_replaces_the_former(tmp_path: Path) -> None:
    outbox = DevelopmentOutbox(tmp_path)
    once = mail()
    await outbox.send(once)
    await outbox.send(once)
    assert len(outbox.entries()) == 1


async def test_only_the_newest_mails_are_kept(tmp_path: Path) -> None:
    outbox = DevelopmentOutbox(tmp_path, keep=3)
    for index in range(6):
        await outbox.send(mail(str(index)))
    assert [entry.subject for entry in outbox.entries()] == ["5", "4", "3"]
    assert len(files_in(tmp_path)) == 6


@pytest.mark.parametrize("mail_id", ["", "../secret", "/etc/passwd", "x", "0" * 36], ids=repr)
def test_what_is_no_id_of_a_mail_is_not_found(tmp_path: Path, mail_id: str) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "secret.eml").write_text("x")
    (tmp_path / "secret.json").write_text('{"id": "", "at": "", "to": "", "subject": ""}')
    with pytest.raises(MailNotFound):
        DevelopmentOutbox(tmp_path / "mail").read(mail_id)


def test_an_unknown_mail_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(MailNotFound):
        DevelopmentOutbox(tmp_path).read(new_id())


async def test_a_folder_that_cannot_be_written_is_a_temporary_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MailUnavailable):
        await DevelopmentOutbox(tmp_path / "file").send(mail())
