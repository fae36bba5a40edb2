"""How `banyan bench` tells what it finds."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banyan.cli.problems import CliError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from banyan.capacity.measure import Measurement, Step


def note(text: str) -> None:
    """Something that the reader must know to read the result; on standard error."""
    from rich.text import Text

    from banyan.cli.console import error_console

    error_console().print(Text.assemble(("Note: ", "bold yellow"), text), soft_wrap=True)


class Teller:
    """Tells of each step: in a moving line where somebody watches, otherwise in plain lines; nothing when `quiet`."""

    def __init__(self, bar: "Progress | None", *, quiet: bool) -> None:
        self._bar = bar
        self._quiet = quiet
        self._task: TaskID | None = None if bar is None else bar.add_task("Registering people", total=None)
        self._people = 0
        self._has_looked_around = False

    def registered(self) -> None:
        self._people += 1
        self._move(f"Registering people: {self._people}")

    def step(self, step: "Step") -> None:
        self._warn_once(step)
        line = (
            f"{step.run.rate:>10,.0f}/s   p50 {_ms(step.run.latency.percentile(50)):>7}   p99 {_ms(step.p99):>7}"
            f"   {'held' if step.held else 'did not hold: ' + str(step.why)}"
        )
        if self._bar is not None:
            self._bar.console.print(line, markup=False)
            self._move(f"Looking for the knee near {step.run.rate:,.0f}/s")
        elif not self._quiet:
            print(line, file=sys.stderr, flush=True)

    def _warn_once(self, step: "Step") -> None:
        from banyan.capacity.verdict import is_crowded

        if self._has_looked_around:
            return
        self._has_looked_around = True
        if is_crowded(step.usage):
            note(
                f"Other programs use {_cores(step.usage.others)} of this machine's {step.usage.cores} cores. The result will be"
                " lower than on a quiet machine."
            )

    def left(self, emails: list[str]) -> None:
        note(f"The server did not erase {len(emails)} of the accounts: {', '.join(emails[:3])}, …")

    def _move(self, description: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=description)


@contextmanager
def telling(*, quiet: bool) -> Iterator[Teller]:
    if quiet or not sys.stderr.isatty():
        yield Teller(None, quiet=quiet)
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from banyan.cli.console import error_console

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=error_console(), transient=True) as bar:
        yield Teller(bar, quiet=quiet)


def show(measured: "Mapping[str, Measurement]", *, capacity: bool, interrupted: bool, as_json: bool) -> None:
    """Print the result; for scripts one document."""
    from banyan.cli.console import print_json, say

    if as_json:
        found: dict[str, Any] = {name: measurement.as_json() for name, measurement in measured.items()}
        if capacity:
            found = found.get("capacity", {})
        print_json({**found, "interrupted": interrupted})
        return
    if not measured:
        return
    if not capacity:
        _show_mixes(measured)
        return
    measurement = measured["capacity"]
    _show_steps(measurement.steps)
    say()
    _show_capacity(measurement)


def _show_steps(steps: "Sequence[Step]") -> None:
    """A row for each rate, with the middle of its steps by p99."""
    from banyan.cli.console import print_table

    by_rate: dict[float, list[Step]] = {}
    for step in steps:
        by_rate.setdefault(step.run.rate, []).append(step)
    rows = []
    for rate, same in sorted(by_rate.items()):
        middle = sorted(same, key=lambda step: step.p99)[len(same) // 2]
        rows.append(
            [
                f"{rate:,.0f}",
                _ms(middle.run.latency.percentile(50)),
                _ms(middle.p99),
                _cores(middle.usage.application),
                _cores((middle.usage.parts or {}).get("database")),
                _cores(middle.usage.generator),
                _share(middle.usage.machine),
                f"{sum(step.held for step in same)} of {len(same)}",
                next((step.why for step in same if not step.held and step.run.failed), None),
            ]
        )
    columns = ["Rate/s", "p50", "p99", "Application", "Database", "Generator", "Machine", "Held", ""]
    print_table(columns, rows, empty="No step was taken.")


def _show_capacity(measurement: "Measurement") -> None:
    from banyan.cli.console import say

    target = _ms(measurement.plan.target_p99)
    found, knee, verdict = measurement.found, measurement.at_the_knee, measurement.verdict
    if found.held is None:
        say(f"[bold red]No rate[/bold red] held p99 under {target}.")
    elif knee is not None:
        say(
            f"[bold green]{found.held:,.0f} requests a second[/bold green] with p99 under {target}"
            f" (p50 {_ms(knee.run.latency.percentile(50))}, p99 {_ms(knee.p99)}"
            + ("" if knee.application_us is None else f", {knee.application_us:,.0f} µs of processor each")
            + ")."
        )
    if found.failed is None and found.held is not None:
        say("It held every rate that was tried; nothing ran out.")
    elif found.failed is not None and found.held is not None and not found.is_narrow:
        say(f"The time was over before it was narrower: {found.failed:,.0f}/s did not hold. Raise --budget.")
    if verdict is not None:
        say(f"[bold]What ran out first:[/bold] {verdict.sentence}")


def _show_mixes(measured: "Mapping[str, Measurement]") -> None:
    from banyan.cli.console import command, print_table, say

    rows = []
    for name, measurement in measured.items():
        knee, verdict = measurement.at_the_knee, measurement.verdict
        if knee is None:
            rows.append([name, "none", None, None, None, None])
            continue
        cost = knee.application_us
        ran_out = "nothing" if verdict is None else verdict.code.replace("_", " ")
        rows.append(
            [
                name,
                f"{knee.run.rate:,.0f}",
                _ms(knee.run.latency.percentile(50)),
                _ms(knee.p99),
                None if cost is None else f"{cost:,.0f} µs",
                ran_out,
            ]
        )
    print_table(["", "Rate/s", "p50", "p99", "Processor each", "Ran out"], rows, empty="")
    say()
    say(f"Found coarsely, within 20 %. [bold]{command('bench --capacity')}[/bold] looks closer.")
    if Path("benchmarks/speed").is_dir():
        say("[bold]make bench[/bold] compares it with other servers.")


def require_matplotlib() -> None:
    """Raises CliError: before the measurement, not after it."""
    if find_spec("matplotlib") is None:
        raise CliError("--plot needs an extra.", "Install it with: pip install 'banyan-backend[plot]'")


def draw(measurement: "Measurement", title: str, path: Path, *, quiet: bool) -> None:
    """Raises CliError when the file cannot be written."""
    from banyan.capacity.plot import draw as draw_plot
    from banyan.cli.console import say

    try:
        draw_plot(measurement, title, path)
    except (OSError, ValueError) as error:
        raise CliError(f"the picture {path} could not be written: {error}.") from error
    if not quiet:
        say(f"Drawn: [bold]{path}[/bold]")


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:,.0f} ms"


def _cores(used: float | None) -> str | None:
    return None if used is None else f"{used:.2f}"


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"
