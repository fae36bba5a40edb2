"""`banyan events`: the log is shown, compared with the tables, and replayed."""

import base64
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banyan.infra.streams.log import event_to_text
from banyan.infra.streams.verify import differences
from banyan.kernel.events import Event


@contextmanager
def tampering(data_dir: Path) -> Iterator[sqlite3.Connection]:
    """The database behind Banyan's back."""
    connection = sqlite3.connect(data_dir / "banyan.sqlite3")
    with connection:
        yield connection
    connection.close()


@pytest.fixture
def user_id(make_user: Callable[[str], str]) -> str:
    return make_user("ada@example.org")


def test_tail_shows_the_newest_events_in_order(cli, make_user: Callable[[str], str]) -> None:
    first, second = make_user("a@example.org"), make_user("b@example.org")
    cli("users", "disable", first)
    events = cli("events", "tail", "--json").json_lines()
    assert [event["sequence"] for event in events] == sorted(event["sequence"] for event in events)
    assert events[-1]["type"] == "UserDisabled"
    assert {event["user_id"] for event in events} == {first, second}
    assert cli("events", "tail", "-n", "1", "--json").json()["type"] == "UserDisabled"
    by_mail = cli("events", "tail", "--user", "b@example.org", "--json").json_lines()
    assert {event["user_id"] for event in by_mail} == {second}
    assert cli("events", "tail", "--stream", "todos", "--json").out == ""
    assert "UserRegistered" in cli("events", "tail").out


def test_verify_agrees_with_what_the_services_wrote(cli, user_id: str) -> None:
    cli("users", "disable", user_id)
    cli("users", "enable", user_id)
    done = cli("events", "verify", "--json")
    assert (done.code, done.json()["differences"], done.json()["users"]) == (0, 0, 1)
    assert "agree" in cli("events", "verify").out


def test_verify_finds_a_row_that_was_changed_without_an_event(cli, user_id: str, data_dir: Path) -> None:
    with tampering(data_dir) as database:
        database.execute("UPDATE users SET name = 'Mallory'")
    done = cli("events", "verify", "--json")
    difference, summary = done.json_lines()
    assert (done.code, summary["differences"]) == (1, 1)
    assert difference["place"] == f"user/{user_id}/name"
    assert (difference["by_log"], difference["by_tables"]) == ("ada", "Mallory")
    shown = cli("events", "verify")
    assert "Mallory" in shown.out
    assert "1 differences" in shown.out


def test_verify_finds_an_event_that_is_gone(cli, user_id: str, data_dir: Path) -> None:
    cli("users", "disable", user_id)
    with tampering(data_dir) as database:
        database.execute("DELETE FROM events WHERE type = 'UserDisabled'")
    found = cli("events", "verify", "--user", user_id, "--json")
    assert found.code == 1
    assert {line["place"] for line in found.json_lines()[:-1]} >= {"positions", f"user/{user_id}/disabled_at"}


def test_verify_finds_a_consumer_that_is_ahead_of_the_log(cli, user_id: str, data_dir: Path) -> None:
    with tampering(data_dir) as database:
        database.execute("INSERT INTO inbox VALUES (?, 'todos', 'todo-stats', 7)", (user_id,))
    (difference, _) = cli("events", "verify", "--json").json_lines()
    assert difference["place"] == "inbox/todo-stats"


def test_differences_are_found_field_by_field() -> None:
    folded = {"todo/1": {"title": "a", "done": False}, "todo/2": {"title": "b"}, "todo/4": {"title": "d"}}
    stored = {
        "todo/1": {"title": "a", "done": True},
        "todo/3": {"title": "c"},
        "todo/4": {"title": "d", "x": 1},
    }
    assert differences(folded, stored) == [
        ("todo/1/done", False, True),
        ("todo/2", {"title": "b"}, "(absent)"),
        ("todo/3", "(absent)", {"title": "c"}),
        ("todo/4/x", "(absent)", 1),
    ]
    assert differences(stored, stored) == []


def test_rebuild_names_what_can_be_rebuilt(cli, user_id: str) -> None:
    for arguments in ((), ("nonsense",)):
        done = cli("events", "rebuild", *arguments)
        assert done.code == 2
        assert "todo-stats" in done.err


def test_nothing_is_set_aside_in_a_fresh_database(cli, user_id: str) -> None:
    assert cli("events", "parked", "--json").out == ""
    assert "Nothing" in cli("events", "parked").out
    assert cli("events", "redrive", "--json").json() == {"redriven": 0}


def test_parked_events_are_listed_and_redriven(cli, user_id: str, data_dir: Path) -> None:
    with tampering(data_dir) as database:
        at = "2030-01-01T00:00:00.000000Z"
        event = Event("e", user_id, "users", 1, "UserRegistered", user_id, {}, None, at)
        row = (user_id, "users", 1, "welcome", "parked", 5, at, "ValueError", event_to_text(event))
        database.execute("INSERT INTO failed_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    (parked,) = cli("events", "parked", "--json").json_lines()
    assert (parked["consumer"], parked["state"], parked["error"]) == ("welcome", "parked", "ValueError")
    assert cli("events", "lag", "--json").json()["parked"] == 1
    assert "parked" in cli("events", "parked").out
    assert cli("events", "redrive", "--json").json() == {"redriven": 1}
    (retrying,) = cli("events", "parked", "--json").json_lines()
    assert (retrying["state"], retrying["attempts"]) == ("retrying", 0)


def test_lag_counts_what_the_relay_has_not_published(cli, user_id: str) -> None:
    # No server has run: the registration waits.
    assert cli("events", "lag", "--json").json()["relay"] >= 1
    assert "relay" in cli("events", "lag").out


def test_dead_letters_are_listed_and_redriven(cli, user_id: str, data_dir: Path) -> None:
    with tampering(data_dir) as database:
        at = "2030-01-01T00:00:00.000000Z"
        message = base64.b64encode(b"\xffnonsense").decode()
        row = ("welcome", "x", "todo-events", 3, 14, message, "parked", "malformed", at)
        database.execute("INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    (letter,) = cli("events", "parked", "--json").json_lines()
    assert (letter["error"], letter["message"], letter["offset"]) == ("malformed", "\\xffnonsense", 14)
    assert cli("events", "lag", "--json").json()["parked"] == 1
    shown = cli("events", "parked").out
    assert "todo-events" in shown
    assert "3/14" in shown
    assert cli("events", "redrive", "--json").json() == {"redriven": 1}
    (letter,) = cli("events", "parked", "--json").json_lines()
    assert letter["state"] == "retrying"
