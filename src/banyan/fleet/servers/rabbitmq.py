"""RabbitMQ, as Debian packages it, in a folder of its own: no system service, no root, nothing outside of the folder.

Erlang nodes find each other through epmd, of which a machine usually has one. Here each server brings its own, on a
port of its own, and takes it away again: two of them side by side know nothing of each other.
"""

import shlex
import shutil
import socket
from pathlib import Path

from banyan.fleet.ports import free_port
from banyan.fleet.servers.server import MissingProgram, Server

# Debian's /usr/sbin/rabbitmq-server insists on the user `rabbitmq` and on /var; this one runs for anybody, anywhere.
PROGRAMS = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), Path("/opt/rabbitmq/sbin/rabbitmq-server"))
USER = "banyan"
PASSWORD = "banyan"  # noqa: S105 - of a broker that listens on the loopback address alone
PROBE_SECONDS = 2.0

# epmd runs in the foreground and in the server's process group, so that whoever kills the group kills it too.
# The server's script turns SIGTERM into an orderly stop; epmd goes when the server has gone.
SCRIPT = """#!/bin/sh
. "$RABBITMQ_CONF_ENV_FILE"
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" &
epmd=$!
until epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do kill -0 $epmd || exit 1; sleep 0.05; done
{program} &
server=$!
trap 'kill -TERM $server' TERM INT
# A signal ends `wait` early: once more, until the server has really ended.
wait $server; while kill -0 $server 2>/dev/null; do wait $server; done
kill $epmd
"""


def describe(folder: Path, port: int, *, user: str = USER, password: str = PASSWORD) -> Server:
    """A broker on 127.0.0.1:`port` with its data in `folder`. It knows one user, made at its first start.

    It runs as whoever starts it. Raises MissingProgram.
    """
    program = _program()
    return Server(
        name="rabbitmq",
        argv=["/bin/sh", str(folder / "run.sh")],
        folder=folder,
        is_ready=lambda: answers(port),
        prepare=lambda: _prepare(folder, port, program, user, password),
        environment=_environment(folder),
        stop_seconds=20.0,
    )


def url(port: int, *, user: str = USER, password: str = PASSWORD) -> str:
    """Its address, as `BANYAN_AMQP_URL` takes it."""
    return f"amqp://{user}:{password}@127.0.0.1:{port}/"


def answers(port: int) -> bool:
    """Whether an AMQP broker greets on this port: it answers the protocol's header with `Connection.Start`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            greeting = b""
            while len(greeting) < 11 and (part := probe.recv(11 - len(greeting))):
                greeting += part
    except OSError:
        return False
    # A method frame (1) of channel 0, and after the size: class 10, method 10.
    return greeting[:3] == b"\x01\x00\x00" and greeting[7:] == b"\x00\x0a\x00\x0a"


def _program() -> Path:
    found = next((path for path in PROGRAMS if path.exists()), None)
    if found is None or shutil.which("epmd") is None or shutil.which("erl") is None:
        raise MissingProgram("RabbitMQ is not on this machine (Debian: apt-get install rabbitmq-server).")
    return found


def _environment(folder: Path) -> dict[str, str]:
    return {
        # Erlang keeps its cookie, and nothing else, at home.
        "HOME": str(folder),
        # The name of its data, too: it stays, whatever the port.
        "RABBITMQ_NODENAME": "banyan@localhost",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
        "ERL_CRASH_DUMP_SECONDS": "0",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }


def _prepare(folder: Path, port: int, program: Path, user: str, password: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "enabled_plugins").write_text("[].\n")
    (folder / "advanced.config").write_text("[].\n")
    _write_private(
        folder / "rabbitmq.conf",
        f"listeners.tcp.local = 127.0.0.1:{port}\n"
        f"default_user = {user}\n"
        f"default_pass = {password}\n"
        "log.console.level = warning\n"
        # Whoever only asks whether it is there (`answers`) would leave two lines each time.
        "log.connection.level = error\n",
    )
    # Nobody else asks for these two ports, so each start takes what is free just now.
    epmd_port = free_port()
    distribution_port = free_port({epmd_port})
    (folder / "rabbitmq-env.conf").write_text(
        f"export ERL_EPMD_PORT={epmd_port}\n"
        f"export RABBITMQ_DIST_PORT={distribution_port}\n"
        "export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'\n"
    )
    (folder / "run.sh").write_text(SCRIPT.format(program=shlex.quote(str(program))))


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
