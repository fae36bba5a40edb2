"""The page of the guide that the results are written into."""

import json

import pytest
from benchmarks.speed import report, results
from benchmarks.speed.row import GREATER, LESS, Goal, Row

EXPRESS = Row("list", "requests/s", [(60, 10), (80, 10)], "Express", Goal(GREATER, 6))
FASTIFY = Row("list", "requests/s", [(60, 50), (80, 50)], "Fastify")
SLOW = Row("list", "p99 ms", [(9, 8)], "Express", Goal(LESS, 1))
START = Row.alone("start", "seconds", [1.25])


@pytest.mark.parametrize("row", [EXPRESS, FASTIFY, SLOW, START])
def test_a_row_comes_back_as_it_was_kept(row: Row):
    assert report.row_of(json.loads(json.dumps(row.as_json()))).as_json() == row.as_json()


def test_goals_come_first_and_a_case_has_a_line_for_each_server_and_a_column_for_each_metric():
    text = report.markdown([row.as_json() for row in (EXPRESS, SLOW, FASTIFY, START)], {})
    assert "| list | Express | requests/s | 70.00 | 10.00 | 7.00× | 6.00–8.00× | ≥ 6 | met |" in text
    assert "| list | Express | p99 ms | 9.00 | 8.00 | 1.12× | 1.12–1.12× | ≤ 1 | **missed** |" in text
    table = text.partition("### List\n\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [
        "|  | requests/s | p99 ms |",
        "| --- | ---: | ---: |",
        "| **Banyan** | 70.00 | 9.00 |",
        "| Express | 10.00 | 8.00 |",
        "| Fastify | 50.00 |  |",
    ]
    assert "| seconds | 1.25 |" in text


def test_only_what_is_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    results.write("starts", [START], "make bench", 3, tmp_path)
    report.update(page, tmp_path)
    once = page.read_text()
    assert once.startswith(f"before\n{report.BEGIN}\n")
    assert once.endswith(f"{report.END}\nafter\n")
    assert "old" not in once
    assert "| seconds | 1.25 |" in once
    assert "`make bench`" in once
    report.update(page, tmp_path)
    assert page.read_text() == once


def test_a_page_without_marks_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before")
    with pytest.raises(ValueError, match="no place"):
        report.update(page, tmp_path)
    assert page.read_text() == "before"
