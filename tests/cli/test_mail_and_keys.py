"""`banyan mail` and `banyan keys`."""

import asyncio
from pathlib import Path

import pytest
from tests.support.command_line import banyan

from banyan.infra.mail.mail import Mail
from banyan.infra.mail.outbox import DevelopmentOutbox
from banyan.kernel.ids import new_id


@pytest.fixture
def mail_id(data_dir: Path) -> str:
    mail = Mail(
        id=new_id(), to="ada@example.org", subject="Hello [bold]", text="Text part", html="<p>HTML part</p>"
    )
    asyncio.run(DevelopmentOutbox(data_dir / "mail").send(mail))
    return mail.id


def test_kept_mails_are_listed_and_shown(cli, mail_id: str) -> None:
    (entry,) = cli("mail", "list", "--json").json_lines()
    assert (entry["id"], entry["to"], entry["subject"]) == (mail_id, "ada@example.org", "Hello [bold]")
    # Data is no markup.
    assert "Hello [bold]" in cli("mail", "list").out
    assert "Text part" in cli("mail", "show", mail_id).out
    assert "Text part" in cli("mail", "show").out
    assert "<p>HTML part</p>" in cli("mail", "show", mail_id, "--html").out
    assert cli("mail", "show", mail_id, "--json").json()["text"].strip() == "Text part"


@pytest.mark.parametrize("wrong", ["nonsense", "../../etc/passwd", pytest.param(new_id(), id="another-id")])
def test_a_mail_that_is_not_there(cli, data_dir: Path, wrong: str) -> None:
    assert cli("mail", "show", wrong).code == 1
    assert "No mail" in cli("mail", "list").out


def test_with_an_smtp_server_nothing_is_kept(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANYAN_SMTP_HOST", "mail.example.org")
    done = cli("mail", "list")
    assert done.code == 1
    assert "mail.example.org" in done.err


def test_keys_rotate_one_step_at_a_time(cli, data_dir: Path) -> None:
    before = {key["state"]: key["kid"] for key in cli("keys", "list", "--json").json_lines()}
    assert set(before) == {"active", "next"}
    after = {key["state"]: key["kid"] for key in cli("keys", "rotate", "--json").json_lines()}
    assert (after["active"], after["retired"]) == (before["next"], before["active"])
    assert after["active"] in cli("keys", "list").out


def test_a_leaked_key_is_withdrawn_at_once(cli, data_dir: Path) -> None:
    before = {key["kid"] for key in cli("keys", "list", "--json").json_lines()}
    after = {key["kid"] for key in cli("keys", "rotate", "--withdraw", "--json").json_lines()}
    assert before & after == set()


def test_a_lost_secret_is_said_and_the_way_out_works(cli, data_dir: Path) -> None:
    before = {key["kid"] for key in cli("keys", "list", "--json").json_lines()}
    another = {"BANYAN_SECRET_KEY": "another secret, as long as it has to be"}
    refused = banyan(["up", "--port", "0"], data_dir, another)
    assert refused.code == 1
    assert "banyan keys rotate --withdraw" in refused.err.replace("\n", " ")
    assert "Traceback" not in refused.err + refused.out
    assert "is up" not in refused.out
    withdrawn = banyan(["keys", "rotate", "--withdraw", "--json"], data_dir, another)
    after = {key["kid"] for key in withdrawn.json_lines()}
    assert before & after == set()
    assert {key["kid"] for key in banyan(["keys", "list", "--json"], data_dir, another).json_lines()} == after
