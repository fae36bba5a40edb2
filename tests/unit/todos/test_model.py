from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from banyan.kernel.events import Event
from banyan.modules.todos.model import DEFAULTS, WRITABLE, apply_event, changes_of, new_todo

NOW = "2030-01-01T12:00:00.000000Z"
LATER = "2030-01-01T12:00:01.000000Z"

FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["a", "b"]),
        "completed": st.booleans(),
        "order": st.none() | st.integers(0, 2),
        "labels": st.lists(st.sampled_from(["x", "y"]), unique=True),
        "notes": st.none() | st.just("n"),
    },
)


def test_a_title_is_enough() -> None:
    todo = new_todo("an-id", {"title": "x"}, NOW)
    assert {name: todo[name] for name in DEFAULTS} == DEFAULTS
    assert (todo["id"], todo["version"], todo["completed_at"]) == ("an-id", 1, None)
    assert todo["created_at"] == todo["updated_at"] == NOW


def test_two_new_to_dos_share_nothing() -> None:
    one, other = (new_todo("an-id", {"title": "x"}, NOW) for _ in range(2))
    one["labels"].append("only here")
    assert other["labels"] == []
    assert DEFAULTS["labels"] == []


def test_a_to_do_may_begin_completed() -> None:
    assert new_todo("an-id", {"title": "x", "completed": True}, NOW)["completed_at"] == NOW


def test_the_version_is_the_last_field() -> None:
    # The lean handler reads it from the end of the JSON.
    assert list(new_todo("an-id", {"title": "x", "labels": [], "list_id": None}, NOW))[-1] == "version"


def test_what_changes_nothing_is_no_change() -> None:
    todo = new_todo("an-id", {"title": "x", "labels": ["a"]}, NOW)
    assert changes_of(todo, {"title": "x", "labels": ["a"], "order": None}, LATER) == {}
    assert changes_of(todo, {}, LATER) == {}


def test_a_change_names_the_new_values_alone() -> None:
    todo = new_todo("an-id", {"title": "x"}, NOW)
    assert changes_of(todo, {"title": "y", "order": None}, LATER) == {
        "title": "y",
        "updated_at": LATER,
        "version": 2,
    }


def test_completing_is_dated_and_opening_again_takes_the_date_back() -> None:
    todo = new_todo("an-id", {"title": "x"}, NOW)
    done = {**todo, **changes_of(todo, {"completed": True}, LATER)}
    assert done["completed_at"] == LATER
    assert "completed_at" not in changes_of(done, {"completed": True, "title": "y"}, NOW)
    assert changes_of(done, {"completed": False}, LATER)["completed_at"] is None


@given(FIELDS, st.lists(FIELDS, max_size=6))
def test_the_events_of_a_to_do_fold_to_the_to_do(first: dict[str, Any], then: list[dict[str, Any]]) -> None:
    todo = new_todo("an-id", {"title": "a", **first}, NOW)
    state: dict[str, dict[str, Any]] = {}
    apply_event(state, event(7, "TodoCreated", todo))
    for number, wanted in enumerate(then):
        changes = changes_of(todo, wanted, LATER)
        if changes:
            todo = {**todo, **changes}
            apply_event(state, event(8 + number, "TodoChanged", changes))
    assert state == {"todo/an-id": {**todo, "created_position": 7}}
    apply_event(state, event(99, "TodoDeleted", {}))
    assert state == {}


def test_folding_leaves_the_events_as_they_are() -> None:
    todo = new_todo("an-id", {"title": "x"}, NOW)
    created = event(1, "TodoCreated", dict(todo))
    state: dict[str, dict[str, Any]] = {}
    apply_event(state, created)
    apply_event(state, event(2, "TodoChanged", {"title": "y"}))
    assert created.data == todo


def test_lists_fold_beside_to_dos_of_the_same_id() -> None:
    state: dict[str, dict[str, Any]] = {}
    apply_event(state, event(1, "TodoCreated", new_todo("an-id", {"title": "x"}, NOW)))
    apply_event(state, event(2, "ListCreated", {"id": "an-id", "name": "Garden"}))
    apply_event(state, event(3, "ListChanged", {"name": "Balcony"}))
    assert state["list/an-id"] == {"id": "an-id", "name": "Balcony"}
    apply_event(state, event(4, "ListDeleted", {}))
    assert list(state) == ["todo/an-id"]


def test_a_reminder_that_was_told_changes_nothing() -> None:
    state: dict[str, dict[str, Any]] = {}
    apply_event(state, event(1, "TodoReminded", {"kind": "due", "title": "x"}))
    assert state == {}


def test_every_writable_field_has_a_default_except_the_title() -> None:
    assert set(WRITABLE) == {"title", *DEFAULTS}


def event(position: int, kind: str, data: dict[str, Any]) -> Event:
    return Event("e", "u", "todos", position, kind, "an-id", data, None, NOW)
