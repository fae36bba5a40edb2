"""The table of a comparison, and what is kept of it."""

import json

import pytest
from benchmarks.speed import results
from benchmarks.speed.row import GREATER, Goal, Row
from benchmarks.speed.table import as_text, cells, number


def list_row(banyan: float) -> Row:
    return Row("list", "requests/s", [(banyan, 10), (banyan, 20)], "Express", Goal(GREATER, 6))


def test_numbers_have_three_digits_that_count():
    assert [number(value) for value in (21594.3, 312.4, 18.246, 3.14159, 0.04712, 0, None)] == [
        "21,594",
        "312",
        "18.25",
        "3.14",
        "0.047",
        "0",
        "–",
    ]


def test_a_line_has_the_medians_the_spread_of_the_pairs_and_the_verdict():
    assert cells(list_row(90)) == (
        "list", "Express", "requests/s", "90.00", "15.00", "6.00×", "4.50–9.00×", ">= 6", "met",
    )  # fmt: skip
    assert cells(list_row(60))[-1] == "missed"
    assert cells(Row.alone("start", "seconds", [1.5])) == ("start", "", "seconds", "1.50", "", "", "", "", "")


def test_columns_stand_below_each_other():
    heading, small, large = as_text([list_row(90), list_row(12345)]).splitlines()
    right = large.index("12,345") + len("12,345")
    assert heading[:right].endswith("Banyan")
    assert small[:right].endswith(" 90.00")
    assert small.index("met") == large.index("met")


def test_a_case_that_is_run_again_replaces_its_rows_and_leaves_the_others(tmp_path):
    start = Row.alone("start", "seconds", [1.5])
    results.write("pairs", [list_row(10), Row.alone("gone", "x", [1])], "first", 1, tmp_path)
    results.write("starts", [start], "second", 1, tmp_path)
    results.write("pairs", [list_row(20)], "third", 1, tmp_path)

    kept = json.loads((tmp_path / "latest.json").read_text())
    assert {(row["case"], row["banyan"]) for row in kept} == {("list", 20), ("start", 1.5)}
    runs = json.loads((tmp_path / "run.json").read_text())
    assert {name: (run["cases"], run["command"]) for name, run in runs.items()} == {
        "pairs": (["list"], "third"),
        "starts": (["start"], "second"),
    }
    assert runs["pairs"]["date"]
    assert runs["pairs"]["machine"]["cores"]


def test_a_case_may_not_replace_the_rows_of_another(tmp_path):
    results.write("pairs", [list_row(10)], "first", 1, tmp_path)
    with pytest.raises(ValueError, match="another's rows: list"):
        results.write("others", [list_row(20)], "second", 1, tmp_path)
    (row,) = json.loads((tmp_path / "latest.json").read_text())
    assert row["banyan"] == 10
