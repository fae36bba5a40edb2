"""The command `banyan` for tests: in this process, which is quick, or as a process of its own, which is what people run."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.server import banyan_environment


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one JSON document on standard output."""
        (document,) = self.json_lines()
        return document

    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def banyan(
    arguments: Sequence[str],
    data_dir: Path,
    settings: Mapping[str, str] | None = None,
    *,
    stdin: str = "",
    timeout_seconds: float = 60,
) -> Finished:
    """Run `banyan …` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "banyan", *arguments],
        env=banyan_environment(data_dir, settings),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)
