"""Banyan beside its peers, measured in turns on this machine: `make bench`.

    python -m benchmarks.speed.run [--rounds 5] [--seconds 3] [--only CASE …] [--quick] [--list]

Prints a table of medians and ratios, and keeps it in benchmarks/results. Nothing asserts a time; a request that fails, or a
wrong answer, makes the run fail.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks.speed import results
from benchmarks.speed.cases import CASES
from benchmarks.speed.options import Options
from benchmarks.speed.plots import draw
from benchmarks.speed.report import update
from benchmarks.speed.row import Row
from benchmarks.speed.table import as_text

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "guide" / "images"
QUICK_PLOTS = Path(__file__).resolve().parents[2] / ".cache" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    if asked.list:
        for case in CASES:
            print(f"{case.NAME:16} {first_line(case)}")
        return 0
    chosen = [case for case in CASES if not asked.only or case.NAME in asked.only]
    options = options_of(asked)
    options.plots.mkdir(parents=True, exist_ok=True)
    rows, failed = [], []
    for case in chosen:
        began = time.monotonic()
        print(f"== {case.NAME}: {first_line(case)}", file=sys.stderr)
        found: list[Row] = []
        try:
            found.extend(case.measure(options))
        except Exception:
            # The others are still worth having, and what it has found is worth seeing; the run as a whole has failed.
            traceback.print_exc()
            failed.append(case.NAME)
        took = time.monotonic() - began
        print(f"{as_text(found)}\n({took:.0f} s)\n", file=sys.stderr)
        rows += found
        if not options.is_quick and case.NAME not in failed:
            results.write(case.NAME, found, results.command_line(), took)
    print(as_text(rows))
    if not options.is_quick:
        kept, _ = results.read()
        for picture in draw(kept, options.plots):
            print(picture, file=sys.stderr)
        update()
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    cases = "\n".join(f"  {case.NAME:16} {first_line(case)}" for case in CASES)
    made = argparse.ArgumentParser(
        prog="make bench BENCH_ARGS=…",
        description=f"{__doc__}\ncases:\n{cases}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--rounds", type=int, help="how often each thing is measured (5; 2 when quick)")
    made.add_argument("--seconds", type=float, help="of one measurement (3; 1 when quick)")
    made.add_argument("--only", nargs="+", metavar="CASE", choices=[case.NAME for case in CASES])
    made.add_argument(
        "--quick", action="store_true", help="small, to see that it works; nothing is written down"
    )
    made.add_argument("--list", action="store_true", help="name the cases and stop")
    return made


def options_of(asked: argparse.Namespace) -> Options:
    return Options(
        rounds=asked.rounds or (2 if asked.quick else 5),
        seconds=asked.seconds or (1.0 if asked.quick else 3.0),
        is_quick=asked.quick,
        plots=QUICK_PLOTS if asked.quick else IMAGES,
    )


def first_line(case: ModuleType) -> str:
    return (case.__doc__ or "").strip().partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
