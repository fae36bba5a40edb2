"""Brings the JSON Schemas of events in docs/schemas up to date:

    .venv/bin/python scripts/schemas.py              rewrite them
    .venv/bin/python scripts/schemas.py --check      only say what is wrong; exit code 1 when something is
    .venv/bin/python scripts/schemas.py --release    make them the ones that the next changes are compared with

A change that consumers of the released schemas cannot live with is refused in each case.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from banyan.bootstrap.schemas import event_schemas
from banyan.infra.bus.schemas import incompatibilities

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "schemas"


def problems(folder: Path) -> list[str]:
    """Why these schemas cannot be built with; empty when they can."""
    present = event_schemas()
    files = {path.stem: json.loads(path.read_text("utf-8")) for path in (folder / "events").glob("*.json")}
    stale = [name for name in sorted(present.keys() | files.keys()) if present.get(name) != files.get(name)]
    return incompatibilities(_released(folder), present) + [
        f"{name}: docs/schemas is behind the code; run scripts/schemas.py" for name in stale
    ]


def write(folder: Path) -> None:
    present = event_schemas()
    (folder / "events").mkdir(parents=True, exist_ok=True)
    for path in (folder / "events").glob("*.json"):
        if path.stem not in present:
            path.unlink()
    for name, schema in present.items():
        (folder / "events" / f"{name}.json").write_text(_text(schema), "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--release", action="store_true")
    chosen = parser.parse_args()
    found = problems(FOLDER) if chosen.check else incompatibilities(_released(FOLDER), event_schemas())
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        return 1
    if not chosen.check:
        write(FOLDER)
    if chosen.release:
        (FOLDER / "released.json").write_text(_text(event_schemas()), "utf-8")
    return 0


def _released(folder: Path) -> dict[str, Any]:
    path = folder / "released.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main())
