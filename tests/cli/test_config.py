"""`banyan config`."""

import pytest

from banyan.settings import Settings


def test_it_explains_every_setting(cli) -> None:
    rows = {row["name"]: row for row in cli("config", "--json").json_lines()}
    assert set(rows) == {f"BANYAN_{name.upper()}" for name in Settings.model_fields}
    assert [name for name, row in rows.items() if len(row["description"]) < 10] == []


def test_it_shows_present_values_and_where_they_come_from(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANYAN_PORT", "9123")
    (port,) = [row for row in cli("config", "port", "--json").json_lines() if row["name"] == "BANYAN_PORT"]
    assert (port["value"], port["default"], port["set"]) == ("9123", "8000", True)
    assert "BANYAN_PORT = 9123" in cli("config").out


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_it_never_shows_a_secret(cli, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    secret = "s3cr3t-" * 8
    monkeypatch.setenv("BANYAN_SECRET_KEY", secret)
    monkeypatch.setenv("BANYAN_SMTP_PASSWORD", secret)
    for broken in ("8000", "not a port"):
        monkeypatch.setenv("BANYAN_PORT", broken)
        done = cli("config", *options)
        assert secret not in done.out + done.err
        assert "(hidden)" in done.out


def test_settings_that_cannot_be_used_are_named_and_still_explained(
    cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANYAN_PORT", "many")
    done = cli("config")
    assert done.code == 2
    assert "BANYAN_PORT" in done.err
    assert "BANYAN_PORT = many" in done.out


def test_check_says_yes_or_no(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("config", "--check").code == 0
    monkeypatch.setenv("BANYAN_ENV", "production")
    done = cli("config", "--check")
    assert done.code == 2
    assert "BANYAN_SECRET_KEY" in done.err


def test_a_slip_in_a_name_is_noticed(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANYAN_PROT", "9000")
    done = cli("config", "--check")
    assert done.code == 0
    assert "BANYAN_PROT is no setting; is BANYAN_PORT meant?" in done.err


@pytest.mark.parametrize("command", [("serve",), ("users", "list"), ("migrate",), ("mail", "list")])
def test_every_command_refuses_broken_settings_in_one_sentence(
    cli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("BANYAN_PORT", "many")
    done = cli(*command)
    assert done.code == 2
    assert "BANYAN_PORT" in done.err
    assert "Traceback" not in done.err
