"""Two pictures of the kept results: how many times the requests of a peer, and CPU time for each request."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.report import row_of
from benchmarks.speed.row import Row

THROUGHPUT, APPLICATION, DATABASE = "requests/s", "application CPU µs", "database CPU µs"
OURS, THEIRS, STORE, MISSED, NO_GOAL = "#2f6f4f", "#8c8c8c", "#d8c48a", "#b3412f", "#9dbfae"
DPI = 120
# What begins so is Banyan itself, with something left out.
OURSELVES = "without "


def draw(kept: Iterable[Mapping[str, Any]], folder: Path) -> list[Path]:
    """The pictures that these rows have enough for. Needs matplotlib."""
    rows = [row for row in map(row_of, kept) if row.peer is not None and not row.peer.startswith(OURSELVES)]
    throughput = [row for row in rows if row.metric == THROUGHPUT]
    if not throughput:
        return []
    made = [folder / "speed-throughput.png", folder / "speed-cpu.png"]
    draw_throughput(throughput, made[0])
    draw_cpu(rows, made[1])
    return made


def draw_throughput(rows: Sequence[Row], path: Path) -> None:
    """A bar for each case and peer: the ratio of the medians; whiskers: the pairs; a mark: the goal."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    figure = Figure(figsize=(9, 1.6 + 0.36 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        assert row.ratio is not None
        pairs = row.pair_ratios
        spread = [[max(0.0, row.ratio - min(pairs))], [max(0.0, max(pairs) - row.ratio)]]
        color = {True: OURS, False: MISSED, None: NO_GOAL}[row.is_met]
        axes.barh(place, row.ratio, height=0.62, color=color, xerr=spread, ecolor="#444444", capsize=3)
        end = max(*pairs, row.ratio)
        axes.annotate(
            f"{row.ratio:.1f}×",
            (end, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            weight="bold",
        )
        if row.goal is not None:
            axes.plot([row.goal.bound] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2.5)
    axes.set_yticks(range(len(rows)), [f"{row.case}\nover {row.peer}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1, color="#777777", linewidth=1, linestyle="--")
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("requests per second, as a multiple of the peer's (medians; whiskers: round by round)")
    axes.set_title("Throughput of Banyan over its peers, on the same two cores", loc="left", weight="bold")
    parts = {"goal met": OURS, "goal missed": MISSED, "no goal": NO_GOAL}
    legend: list[Any] = [Line2D([], [], color="black", linewidth=2.5, label="goal")]
    legend += [Patch(color=color, label=label) for label, color in parts.items()]
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False, fontsize=8)
    _plain(axes)
    figure.savefig(path, dpi=DPI)


def draw_cpu(rows: Sequence[Row], path: Path) -> None:
    """A panel for each case, a bar for each server: the application's CPU time, and the database's on top of it."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    cases = list(dict.fromkeys(row.case for row in rows if row.metric == APPLICATION))
    servers = {case: _servers(case, rows) for case in cases}
    heights = [len(servers[case]) + 1 for case in cases]
    figure = Figure(figsize=(9, 0.9 + 0.34 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(cases), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, case in zip(panels, cases, strict=True):
        shown = servers[case]
        most = max(application + database for _, application, database in shown)
        for place, (name, application, database) in enumerate(shown):
            axes.barh(place, application, height=0.66, color=OURS if name == "Banyan" else THEIRS)
            axes.barh(place, database, left=application, height=0.66, color=STORE)
            axes.text(
                application + database + most * 0.01,
                place,
                f"{application:,.0f}" + (f" + {database:,.0f}" if database else ""),
                va="center",
                fontsize=8,
            )
        axes.set_yticks(range(len(shown)), [name for name, _, _ in shown], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, most * 1.14)
        axes.set_title(case, loc="left", fontsize=9)
        _plain(axes)
    figure.suptitle("CPU for one request, in µs", x=0.01, ha="left", weight="bold")
    parts = {"Banyan": OURS, "peer": THEIRS, "database and Redis": STORE}
    figure.legend(
        handles=[Patch(color=color, label=label) for label, color in parts.items()],
        loc="outside upper right",
        ncols=len(parts),
        frameon=False,
        fontsize=8,
    )
    figure.savefig(path, dpi=DPI)


def _servers(case: str, rows: Sequence[Row]) -> list[tuple[str, float, float]]:
    """Name, application µs and database µs of everybody in a case, Banyan first."""
    found = [row for row in rows if row.case == case]
    application = [row for row in found if row.metric == APPLICATION]
    database = {row.peer: row for row in found if row.metric == DATABASE}
    first = database.get(application[0].peer)
    shown = [("Banyan", application[0].banyan, first.banyan if first else 0.0)]
    for row in application:
        store = database.get(row.peer)
        shown.append((row.peer or "", row.peer_value or 0.0, (store.peer_value or 0.0) if store else 0.0))
    return shown


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=8)
