"""`banyan users`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.accounts import PASSWORD

pytestmark = pytest.mark.usefixtures("data_dir")


def test_the_first_administrator_is_made_here(cli) -> None:
    made = cli("users", "create-admin", "root@example.org", "--password-stdin", "--json", stdin=PASSWORD)
    assert made.code == 0
    assert (made.json()["role"], made.json()["name"]) == ("admin", "root")
    assert [row["email"] for row in cli("users", "list", "--json").json_lines()] == ["root@example.org"]


def test_an_account_that_is_there_becomes_an_administrator(cli, make_user: Callable[[str], str]) -> None:
    user_id = make_user("ada@example.org")
    made = cli("users", "create-admin", "ada@example.org", "--json")
    assert made.code == 0, made.err
    assert (made.json()["id"], made.json()["role"]) == (user_id, "admin")


def test_create_makes_plain_users_and_administrators(cli) -> None:
    plain = cli(
        "users", "create", "a@example.org", "--name", "Ada", "--password-stdin", "--json", stdin=PASSWORD
    )
    admin = cli("users", "create", "b@example.org", "--admin", "--password-stdin", "--json", stdin=PASSWORD)
    assert (plain.json()["role"], plain.json()["name"]) == ("user", "Ada")
    assert admin.json()["role"] == "admin"


def test_an_address_that_is_taken_is_refused(cli, make_user: Callable[[str], str]) -> None:
    make_user("ada@example.org")
    again = cli("users", "create", "ada@example.org", "--password-stdin", stdin=PASSWORD)
    assert again.code == 1
    assert "registered already" in again.err


def test_a_weak_password_is_refused_with_a_reason(cli) -> None:
    made = cli("users", "create", "a@example.org", "--password-stdin", stdin="short")
    assert made.code == 1
    assert "12" in made.err
    assert cli("users", "list", "--json").out == ""


def test_without_a_terminal_it_says_how_to_give_the_password(cli) -> None:
    made = cli("users", "create", "a@example.org")
    assert made.code == 2
    assert "--password-stdin" in made.err


def test_list_searches_and_pages(cli, make_user: Callable[[str], str]) -> None:
    ids = [make_user(f"user{number}@example.org") for number in range(3)]
    newest_first = [row["id"] for row in cli("users", "list", "--json").json_lines()]
    assert newest_first == ids[::-1]
    page = cli("users", "list", "--limit", "1", "--before", ids[2], "--json").json_lines()
    assert [row["id"] for row in page] == [ids[1]]
    assert [row["id"] for row in cli("users", "list", "--search", "user2", "--json").json_lines()] == [ids[2]]
    assert "user0@example.org" in cli("users", "list").out


@pytest.mark.parametrize("by", ["id", "email"])
def test_disable_and_enable(cli, make_user: Callable[[str], str], by: str) -> None:
    user_id = make_user("ada@example.org")
    who = user_id if by == "id" else "ada@example.org"
    assert cli("users", "disable", who, "--json").json()["disabled_at"] is not None
    assert "disabled" in cli("users", "show", who).out
    assert cli("users", "enable", who, "--json").json()["disabled_at"] is None


def test_set_password_replaces_the_hash(cli, make_user: Callable[[str], str], data_dir: Path) -> None:
    make_user("ada@example.org")
    done = cli(
        "users", "set-password", "ada@example.org", "--password-stdin", stdin="another-long-password-9"
    )
    assert done.code == 0
    assert "another-long-password-9" not in done.out
    tail = cli("events", "tail", "--json").json_lines()
    assert [event["type"] for event in tail][-1] == "PasswordChanged"


@pytest.mark.parametrize("command", ["show", "disable", "enable", "set-password"])
def test_nobody_is_named_as_such(cli, command: str) -> None:
    done = cli("users", command, "nobody@example.org")
    assert done.code == 1
    assert "User not found" in done.err
