"""A picture of a measurement: latency and processors by rate, and where the knee is. Needs matplotlib, an extra."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from banyan.capacity.machine import APPLICATION
from banyan.capacity.measure import Measurement, Step

LEAST_SHOWN_CORES = 0.02
HELD, FAILED, KNEE = "#1b7f5c", "#c0392b", "#666666"


def draw(measurement: Measurement, title: str, path: Path) -> None:
    """Raises ImportError without matplotlib, and OSError when the file cannot be written."""
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports] - an extra

    figure = Figure(figsize=(8, 6), dpi=120, layout="constrained")
    latency, processors = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    _draw_latency(latency, measurement)
    _draw_processors(processors, measurement.steps)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)


def _draw_latency(axes: Any, measurement: Measurement) -> None:
    target = measurement.plan.target_p99 * 1000
    steps = sorted(measurement.steps, key=lambda step: step.run.rate)
    _draw_medians(
        axes,
        [(step.run.rate, step.run.latency.percentile(50) * 1000) for step in steps],
        color="#5b8def",
        label="p50",
    )
    for held, color, label in ((True, HELD, "p99, held"), (False, FAILED, "p99, did not hold")):
        chosen = [step for step in steps if step.held is held]
        axes.scatter(
            [step.run.rate for step in chosen],
            [step.p99 * 1000 for step in chosen],
            color=color,
            label=label,
            zorder=3,
            s=22,
        )
    axes.axhline(target, color=KNEE, ls="--", lw=1, label=f"target p99 {target:g} ms")
    _mark_knee(axes, measurement)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel("latency from the planned time, ms")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8, loc="upper left")


def _mark_knee(axes: Any, measurement: Measurement) -> None:
    held = measurement.found.held
    if held is None:
        return
    axes.axvline(held, color=KNEE, lw=1)
    axes.annotate(
        f"{held:,.0f}/s",
        (held, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-4, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=10,
        fontweight="bold",
    )


def _draw_processors(axes: Any, steps: Sequence[Step]) -> None:
    known = sorted((step for step in steps if step.usage.machine is not None), key=lambda step: step.run.rate)
    names = [
        APPLICATION,
        *sorted({name for step in known for name in step.usage.parts or ()} - {APPLICATION}),
    ]
    lines = {name: [(step.usage.parts or {}).get(name, 0.0) for step in known] for name in names}
    lines["load generator"] = [step.usage.generator or 0.0 for step in known]
    lines["other programs"] = [step.usage.others or 0.0 for step in known]
    for name, values in lines.items():
        # Programs that are there and do nothing would be lines at the bottom.
        if max(values, default=0.0) > LEAST_SHOWN_CORES:
            rates = [step.run.rate for step in known]
            _draw_medians(axes, list(zip(rates, values, strict=True)), label=name)
    if known:
        axes.axhline(known[0].usage.cores, color=KNEE, ls=":", lw=1, label="all cores")
    axes.set_xlabel("requests a second")
    axes.set_ylabel("processors, cores")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8, loc="upper left")


def _draw_medians(axes: Any, points: Sequence[tuple[float, float]], **looks: Any) -> None:
    """A line through the middle of what was seen at each rate."""
    at: dict[float, list[float]] = {}
    for rate, value in points:
        at.setdefault(rate, []).append(value)
    axes.plot(list(at), [median(values) for values in at.values()], marker="o", ms=3, lw=1, **looks)
