"""The program runs as the chart starts it: the migration, then a pod, its probes, and its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.chart import Manifest, of_kind, pods, render, values_of
from tests.support.chart_drift import environment
from tests.support.eventually import eventually
from tests.support.postgres import postgres_server

from banyan.fleet.ports import free_port

# Long enough for two requests of this test on a busy machine.
DRAIN_SECONDS = 3


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    values = values_of("small")
    return render(
        values | {"drain": {"preStopSeconds": 0, "delaySeconds": DRAIN_SECONDS, "timeoutSeconds": 5}}
    )


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What this machine has in place of the cluster: its addresses, and nothing else of its environment."""
    return {
        "BANYAN_DATABASE_URL": postgres_server().new_database(),
        "BANYAN_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "BANYAN_HOST": "127.0.0.1",
        "BANYAN_PORT": str(free_port()),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }


def started(pod: Manifest, machine: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    (container,) = pod["containers"]
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "banyan", *container["args"]],
            env=environment(container) | machine,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


@pytest.fixture
def pod(manifests: list[Manifest], machine: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    ((_, job),) = pods(of_kind(manifests, "Job"))
    migration = started(job, machine, tmp_path / "migrate.log")
    assert migration.wait(60) == 0, (tmp_path / "migrate.log").read_text()
    ((_, served),) = pods(of_kind(manifests, "Deployment"))
    process = started(served, machine, tmp_path / "pod.log")
    try:
        yield served, process, tmp_path / "pod.log"
    finally:
        process.kill()
        process.wait()


def test_a_pod_starts_answers_its_probes_and_leaves_in_time(pod: Any, machine: dict[str, str]) -> None:
    served, process, log = pod
    (container,) = served["containers"]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")
    }
    with httpx.Client(base_url=f"http://127.0.0.1:{machine['BANYAN_PORT']}", timeout=5) as client:

        def status(path: str) -> int | None:
            assert process.poll() is None, log.read_text()
            try:
                return client.get(path).status_code
            except httpx.TransportError:
                return None

        eventually(lambda: status(paths["startup"]) == 200 or None, "the pod has started", within_seconds=30)
        assert status(paths["readiness"]) == status(paths["liveness"]) == 200
        # A variable that is none of the program's settings is told in its log.
        assert "unknown_setting" not in log.read_text()

        process.send_signal(signal.SIGTERM)

        # Alive, and not ready: whoever balances the load sends others elsewhere.
        eventually(lambda: status(paths["readiness"]) == 503 or None, "the pod is not ready")
        assert status(paths["liveness"]) == 200
    assert process.wait(served["terminationGracePeriodSeconds"]) == 0
