"""Which values PostgreSQL can hold, and how rows are compared."""

from typing import Any

import pytest

from banyan.promotion.moved_tables import MovedTable, Unstorable, checksum, moved_tables

TABLES: dict[str, MovedTable] = {table.name: table for table in moved_tables()}
TODO = {
    "user_id": "u",
    "id": "t",
    "created_position": 1,
    "title": "Milk",
    "completed": 0,
    "priority": 0,
    "labels": "[]",
    "created_at": "2030-01-01T00:00:00.000000Z",
    "updated_at": "2030-01-01T00:00:00.000000Z",
    "version": 1,
}


def todo(**changes: Any) -> tuple[Any, ...]:
    values = {**TODO, **changes}
    return tuple(values.get(name) for name in TABLES["todos"].names)


def test_a_flag_is_true_or_false_on_both_sides() -> None:
    table = TABLES["todos"]
    (row,) = table.from_sqlite([todo(completed=1)])
    assert row[table.names.index("completed")] is True
    assert table.key_of(row) == ("u", "t")


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("title", "a\x00b", "U\\+0000"),
        ("title", "x" * 501, "longer than 500"),
        ("notes", "\x00", "U\\+0000"),
        ("labels", '["a\\u0000"]', "U\\+0000"),
        ("labels", '["a\\\\\\u0000"]', "U\\+0000"),
        ("order", 2**31, "too large"),
        ("created_position", 2**63, "too large"),
        ("priority", "high", "no whole number"),
        ("title", 5, "no text"),
    ],
)
def test_a_value_that_postgresql_cannot_hold_is_named_with_its_place(
    column: str, value: Any, why: str
) -> None:
    with pytest.raises(Unstorable, match=why) as found:
        TABLES["todos"].check([todo(), todo(id="other", **{column: value})])
    assert found.value.place == f"todos (u, other), {column}"


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "x" * 500},
        {"title": "\\u0000"},  # six characters, not one
        {"labels": '["a\\\\u0000"]'},  # a backslash, and then letters
        {"order": -(2**31)},
        {"notes": None},
        {"title": "🌳" * 500},
    ],
)
def test_what_it_can_hold_is_let_through(fields: dict[str, Any]) -> None:
    TABLES["todos"].check(TABLES["todos"].from_sqlite([todo(**fields)]))


def test_the_event_log_may_quote_what_its_database_never_looks_into() -> None:
    table = TABLES["events"]
    row = {
        "sequence": 1,
        "id": "e",
        "user_id": "u",
        "stream": "todos",
        "position": 1,
        "type": "T",
        "subject": "s",
        "data": '{"title":"\\u0000"}',
        "at": "2030-01-01T00:00:00.000000Z",
    }
    table.check([tuple(row.get(name) for name in table.names)])
    assert table.counter == "sequence"


def test_a_checksum_tells_order_values_and_types_apart() -> None:
    rows = [("a", 1, True), ("b", 2, None)]
    sums = {
        checksum(rows),
        checksum(rows[::-1]),
        checksum([("a", 1, 1), ("b", 2, None)]),
        checksum([("a", 1, True), ("b", 2, "None")]),
        checksum(rows, before=checksum(rows)),
    }
    assert len(sums) == 5
