"""The rows as a table of text or Markdown."""

from collections.abc import Iterable, Sequence

from benchmarks.speed.row import Row

HEADINGS = ("case", "peer", "metric", "Banyan", "peer's", "ratio", "pair by pair", "goal", "")


def number(value: float | None) -> str:
    """Three digits that count, whole from 100 on: 0.0471, 3.14, 21,594."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def cells(row: Row) -> tuple[str, ...]:
    """One line. Pair by pair: the smallest and the largest ratio of a round, which is what the machine's noise does."""
    pairs = row.pair_ratios
    spread = f"{number(min(pairs))}–{number(max(pairs))}×" if pairs else ""
    verdict = {None: "", True: "met", False: "missed"}[row.is_met]
    ratio = "" if row.ratio is None else f"{number(row.ratio)}×"
    theirs = "" if row.peer is None else number(row.peer_value)
    goal = "" if row.goal is None else str(row.goal)
    return (row.case, row.peer or "", row.metric, number(row.banyan), theirs, ratio, spread, goal, verdict)


def as_text(rows: Iterable[Row]) -> str:
    return aligned([HEADINGS, *map(cells, rows)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell: words to the left, the numbers of columns 3 to 7 to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = []
    for line in lines:
        padded = [
            text.rjust(width) if 3 <= column <= 7 else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        shown.append("  ".join(padded).rstrip())
    return "\n".join(shown)
