"""Where the numbers are kept: `latest.json`, a list of rows, and beside it `run.json`, which says how they came about."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.speed.row import Row

FOLDER = Path(__file__).resolve().parents[1] / "results"


def write(case: str, rows: Sequence[Row], command: str, seconds: float, folder: Path = FOLDER) -> None:
    """Put a case's rows in the place of those that it had; the other cases keep theirs, with the date of their own run.

    Raises ValueError when it names a row's case as another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept, runs = read(folder)
    others = {name for other, run in runs.items() if other != case for name in run["cases"]}
    twice = others.intersection(row.case for row in rows)
    if twice:
        raise ValueError(f"{case} would replace another's rows: {', '.join(sorted(twice))}")
    before = set(runs.get(case, {}).get("cases", ()))
    now = list(dict.fromkeys(row.case for row in rows))
    replaced = before.union(now)
    place = next((number for number, row in enumerate(kept) if row["case"] in replaced), len(kept))
    after = [row for row in kept[place:] if row["case"] not in replaced]
    kept = [*kept[:place], *(row.as_json() for row in rows), *after]
    runs[case] = {
        "cases": now,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seconds": round(seconds),
        "machine": machine(),
    }
    _save(folder / "latest.json", kept)
    _save(folder / "run.json", runs)


def read(folder: Path = FOLDER) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The rows, and for each case file how it was run."""
    return _load(folder / "latest.json", []), _load(folder / "run.json", {})


def machine() -> dict[str, str | int | float]:
    """What the numbers depend on: processor, system, versions."""
    facts: dict[str, str | int | float] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }
    for name, words in {"node": ["node", "--version"], "wrk": ["wrk", "--version"]}.items():
        if shutil.which(name):
            printed = subprocess.run(words, capture_output=True, text=True, check=False).stdout
            first = (printed.splitlines() or [""])[0].partition(" [")[0]
            facts[name] = first.removeprefix(name).strip()
    return facts


def command_line() -> str:
    """The command of this process, as somebody would type it in the project's folder."""
    return " ".join(["python -m benchmarks.speed.run", *sys.argv[1:]])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _load(path: Path, empty: Any) -> Any:
    return json.loads(path.read_text()) if path.exists() else empty


def _save(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
