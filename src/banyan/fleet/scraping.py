"""Whom Prometheus asks: a file that its `file_sd_configs` reads, and reads again whenever it is replaced."""

import json
from collections.abc import Iterable
from pathlib import Path

from banyan.fleet.plan import Planned, Stage

# As deploy/ names them everywhere; rules and dashboards go by it.
JOBS = {Stage.SERVICES: "banyan", Stage.GATEWAY: "banyan-gateway"}


def write_targets(path: Path, processes: Iterable[Planned]) -> None:
    """Those that tell metrics, whether they run at the moment or not; replaced as a whole, and only when it differs."""
    groups = [
        {
            "targets": [f"127.0.0.1:{planned.metrics_port}"],
            # A process keeps its name when it is started again.
            "labels": {"job": JOBS[planned.stage], "instance": planned.name},
        }
        for planned in processes
        if planned.metrics_port is not None
    ]
    text = json.dumps(groups, indent=1)
    if path.exists() and path.read_text("utf-8") == text:
        return
    beside = path.with_suffix(".new")
    beside.write_text(text, "utf-8")
    beside.replace(path)
