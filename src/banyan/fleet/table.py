"""The table of what runs."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from banyan.fleet.process import State
from banyan.fleet.status import FleetStatus, ProcessStatus

STYLES = {
    State.READY: "green",
    State.WAITING: "dim",
    State.STARTING: "yellow",
    State.NOT_READY: "yellow",
    State.RESTARTING: "yellow",
    State.CRASH_LOOP: "bold red",
    State.STOPPING: "dim",
    State.STOPPED: "dim",
}
COLUMNS = ("NAME", "STATE", "PORT", "PID", "UP", "RESTARTS", "CPU", "MEMORY")
NUMBERS = COLUMNS[2:]
# Names of processes are told apart by these, in the table and in the logs.
COLORS = (
    "cyan",
    "magenta",
    "green",
    "yellow",
    "blue",
    "bright_cyan",
    "bright_magenta",
    "bright_green",
    "bright_blue",
)


def drawn(status: FleetStatus) -> RenderableType:
    """The processes, stage by stage, and a line for the whole."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=True)
    stage = None
    for process in status.processes:
        if stage is not None and process.stage != stage:
            table.add_row()
        stage = process.stage
        table.add_row(*_row(process))
    return Group(table, Text(), _summary(status), *_troubles(status))


def color_of(name: str, names: list[str]) -> str:
    return COLORS[names.index(name) % len(COLORS)] if name in names else "white"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `42 s`, `3 min 10 s`, `2 h 5 min`, `4 d 1 h`."""
    if seconds is None:
        return ""
    whole = int(seconds)
    for size, unit, next_size, next_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // next_size} {next_unit}"
    return f"{whole} s"


def megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1_000_000:.0f} MB"


def _row(process: ProcessStatus) -> list[Text]:
    return [
        Text(process.name, "bold"),
        Text(process.state, STYLES.get(State(process.state), "")),
        Text(str(process.port)),
        Text("" if process.pid is None else str(process.pid)),
        Text(duration(process.uptime_seconds)),
        Text(str(process.restarts), "bold yellow" if process.restarts else "dim"),
        Text("" if process.cpu_percent is None else f"{process.cpu_percent:.0f} %"),
        Text(megabytes(process.memory_bytes)),
    ]


def _summary(status: FleetStatus) -> Text:
    ready = sum(process.state == State.READY for process in status.processes)
    memory = sum(process.memory_bytes or 0 for process in status.processes)
    style = "green" if status.is_whole else "yellow"
    return Text.assemble(
        (f"{ready} of {len(status.processes)} ready", style),
        f"   {megabytes(memory)}   {status.state} for {duration(status.uptime_seconds)}   ",
        (status.url, "bold cyan underline"),
    )


def _troubles(status: FleetStatus) -> list[Text]:
    """A line for each process that does not stay up: how it ended, and where its words are."""
    return [
        Text.assemble(
            (f"{process.name} does not stay up: ", "red"), f"{process.last_exit}; see {process.log}"
        )
        for process in status.processes
        if process.state == State.CRASH_LOOP
    ]
