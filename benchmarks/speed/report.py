"""The results for the guide: what is kept in benchmarks/results, as Markdown between two marks of a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import results
from benchmarks.speed.row import Goal, Row
from benchmarks.speed.table import cells, number

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "performance.md"
BEGIN = "<!-- Written by `make bench` from benchmarks/results. -->"
END = "<!-- End of what `make bench` writes. -->"


def update(page: Path = PAGE, folder: Path = results.FOLDER) -> None:
    """Put the kept results into the page. Raises ValueError when the page has no place for them."""
    text = page.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for results, which is between {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{markdown(*results.read(folder))}\n{END}{after}", "utf-8")


def markdown(kept: Sequence[Mapping[str, Any]], runs: Mapping[str, Mapping[str, Any]]) -> str:
    """First every goal and whether it was met; then each case with what each server did; then how it was run."""
    rows = [row_of(one) for one in kept]
    goals = [row for row in rows if row.goal is not None]
    parts = []
    if goals:
        parts += ["### Goals", _table(_GOAL_HEADINGS, [_goal_line(row) for row in goals])]
    for case in dict.fromkeys(row.case for row in rows):
        parts += [f"### {case[:1].upper()}{case[1:]}", _case_table([row for row in rows if row.case == case])]
    parts += ["### The runs", _runs_table(runs)] if runs else []
    return "\n\n".join(parts) + "\n"


def row_of(kept: Mapping[str, Any]) -> Row:
    """The row that `Row.as_json` gave."""
    goal = None
    if kept["goal"] is not None:
        relation, _, bound = kept["goal"].partition(" ")
        goal = Goal(relation, float(bound))
    rounds = [(ours, theirs) for ours, theirs in kept["rounds"]]
    return Row(kept["case"], kept["metric"], rounds, kept["peer"], goal)


_GOAL_HEADINGS = ("case", "over", "metric", "Banyan", "the other", "ratio", "pair by pair", "goal", "")
_GOAL_NUMBERS = range(3, 8)


def _goal_line(row: Row) -> list[str]:
    line = list(cells(row))
    line[7] = line[7].replace(">=", "≥").replace("<=", "≤")
    line[8] = {"met": "met", "missed": "**missed**"}[line[8]]
    return line


def _case_table(rows: Sequence[Row]) -> str:
    """A line for each server, a column for each metric; for a case without peers, a line for each metric."""
    if all(row.peer is None for row in rows):
        return _table(("", "Banyan"), [[row.metric, number(row.banyan)] for row in rows], numbers=[1])
    metrics = list(dict.fromkeys(row.metric for row in rows))
    ours = {row.metric: number(row.banyan) for row in rows}
    lines = [["**Banyan**", *(ours[metric] for metric in metrics)]]
    for peer in dict.fromkeys(row.peer for row in rows if row.peer is not None):
        theirs = {row.metric: number(row.peer_value) for row in rows if row.peer == peer}
        lines.append([peer, *(theirs.get(metric, "") for metric in metrics)])
    return _table(("", *metrics), lines, numbers=range(1, len(metrics) + 1))


def _runs_table(runs: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, run in runs.items():
        machine = run["machine"]
        place = f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, {machine['system']}"
        versions = ", ".join(
            f"{what} {machine[what]}" for what in ("python", "node", "wrk") if what in machine
        )
        when = run["date"].replace("T", " ").replace("+00:00", " UTC")
        how = [f"`{name}`", when, f"{run['seconds']} s", f"`{run['command']}`"]
        lines.append([*how, f"{place}; {versions}", number(machine["load_average"])])
    return _table(("case", "finished", "took", "command", "machine", "load average then"), lines, [5])


def _table(
    headings: Sequence[str], lines: Sequence[Sequence[str]], numbers: Sequence[int] = _GOAL_NUMBERS
) -> str:
    rules = ["---:" if column in numbers else "---" for column in range(len(headings))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, rules, *lines))


if __name__ == "__main__":
    update()
