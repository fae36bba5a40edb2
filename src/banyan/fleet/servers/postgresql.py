"""PostgreSQL, as Debian packages it, in a folder of its own: no system service, nothing outside of the folder.

PostgreSQL refuses to run as root. Root's own server runs as the user that its package makes; where that user may not
enter the folder (below /root, say), it runs in a user namespace, in which root is somebody else.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from banyan.fleet.servers.password import kept_password
from banyan.fleet.servers.server import MissingProgram, Server

PACKAGES = Path("/usr/lib/postgresql")
USER = "banyan"
SYSTEM_USER = "postgres"
MAX_CONNECTIONS = 500
PROBE_SECONDS = 2.0
# Of the language of its messages, which are read below.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
# What the kernel takes as the path of a Unix socket, less the name that PostgreSQL gives it.
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.65535")

STARTUP_PACKET_VERSION = 3 << 16
ASKS_WHO_I_AM = b"R"


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who runs the server. user: to change to first. prefix: of every command line."""

    user: str | None
    prefix: tuple[str, ...] = ()


def describe(folder: Path, port: int, databases: Sequence[str] = ()) -> Server:
    """A server on 127.0.0.1:`port` with its data in `folder`, in which `databases` exist once it is ready.

    Its one user has a password, which is made at the first start and kept in the folder. A commit is on disk before it is
    acknowledged. Raises MissingProgram.
    """
    binaries = _binaries(folder)
    identity = _identity(folder)
    return Server(
        name="postgresql",
        argv=[
            *identity.prefix,
            str(binaries / "postgres"),
            "-D",
            str(folder / "data"),
            *_options(folder, port),
        ],
        folder=folder,
        is_ready=lambda: answers(port),
        prepare=lambda: _prepare(folder, binaries, identity, databases),
        environment=ENVIRONMENT,
        user=identity.user,
        # "Fast": connections are cut, nothing is lost. SIGTERM would wait for the clients to leave.
        stop_signal=signal.SIGINT,
    )


def url(folder: Path, port: int, database: str) -> str:
    """The address of one of its databases, as `BANYAN_DATABASE_URL` takes it."""
    return f"postgresql://{USER}:{kept_password(folder)}@127.0.0.1:{port}/{database}"


def answers(port: int) -> bool:
    """Whether a PostgreSQL on this port takes connections.

    One that is still recovering answers too, with an error; one that asks for a password is ready.
    """
    names = f"user\0{USER}\0database\0postgres\0\0".encode()
    packet = struct.pack("!ii", 8 + len(names), STARTUP_PACKET_VERSION) + names
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS) as probe:
            probe.sendall(packet)
            return probe.recv(1) == ASKS_WHO_I_AM
    except OSError:
        return False


def _options(folder: Path, port: int) -> list[str]:
    """Settings on the command line: they hold for this start, whatever was written into the data folder."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(folder) if len(bytes(folder)) <= LONGEST_SOCKET_FOLDER else "",
        "unix_socket_permissions": "0700",
        "max_connections": str(MAX_CONNECTIONS),
        "shared_buffers": "128MB",
        "fsync": "on",
        "synchronous_commit": "on",
        "log_line_prefix": "%m [%p] %u@%d ",
        "log_timezone": "UTC",
        "logging_collector": "off",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


# Programs


def _binaries(folder: Path) -> Path:
    """The folder of initdb and postgres: BANYAN_POSTGRES, the PATH's, or the newest of Debian's packages; but of the
    version that made the data, when there are data."""
    candidates = list(_candidates())
    made_by = _version_of_data(folder)
    found = next((path for path in candidates if made_by in (None, _version_of_programs(path))), None)
    if found is not None:
        return found
    if candidates and made_by is not None:
        raise MissingProgram(
            f"The data in {folder} were made by PostgreSQL {made_by}, which is not on this machine (Debian: apt-get install"
            f" postgresql-{made_by})."
        )
    raise MissingProgram(
        "PostgreSQL is not on this machine (Debian: apt-get install postgresql; or name the folder of its programs in"
        " BANYAN_POSTGRES)."
    )


def _candidates() -> list[Path]:
    named = os.environ.get("BANYAN_POSTGRES")
    on_path = shutil.which("initdb")
    packaged = sorted(PACKAGES.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    folders = [Path(named)] if named else []
    folders += [Path(on_path).resolve().parent] if on_path else []
    return [path for path in (*folders, *packaged) if (path / "postgres").exists()]


def _version_of_programs(binaries: Path) -> str:
    """The major version, such as `15`."""
    if binaries.parent.parent == PACKAGES:
        return binaries.parent.name
    text = subprocess.run(  # noqa: S603 - programs that we found
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return text.split()[2].partition(".")[0]


def _version_of_data(folder: Path) -> str | None:
    try:
        return (folder / "data" / "PG_VERSION").read_text("ascii").strip()
    except OSError:
        return None


# Users


def _identity(folder: Path) -> _Identity:
    if os.geteuid() != 0:
        return _Identity(user=None)
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        has_user = False
    else:
        has_user = True
    if has_user and _may_enter(folder):
        return _Identity(user=SYSTEM_USER)
    # In the namespace everything that is root's, this folder too, belongs to the user 1000, who is not root.
    prefix = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
    with contextlib.suppress(OSError):
        tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)  # noqa: S603
        if tried.returncode == 0:
            return _Identity(user=None, prefix=prefix)
    reason = (
        f"the user {SYSTEM_USER} may not enter {folder}" if has_user else f"there is no user {SYSTEM_USER}"
    )
    raise MissingProgram(
        f"PostgreSQL does not run as root, and {reason}: start as another user, or choose another data folder with"
        " BANYAN_DATA_DIR."
    )


def _may_enter(folder: Path) -> bool:
    """Whether PostgreSQL's own user gets as far as the folder; the folder itself will be its own."""
    existing = next(parent for parent in folder.absolute().parents if parent.exists())
    done = subprocess.run(  # noqa: S603 - programs that we found
        ["/usr/bin/test", "-x", existing],
        user=SYSTEM_USER,
        group=SYSTEM_USER,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return done.returncode == 0


# The data


def _prepare(folder: Path, binaries: Path, identity: _Identity, databases: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept_password(folder)
    _own(folder, identity)
    if not (folder / "data").exists():
        _make_cluster(folder, binaries, identity)
    _make_databases(folder, binaries, identity, databases)


def _make_cluster(folder: Path, binaries: Path, identity: _Identity) -> None:
    """initdb, as a whole or not at all: a start that was interrupted begins anew."""
    unfinished = folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    initdb = [binaries / "initdb", "-D", unfinished, "-U", USER, "--pwfile", folder / "password"]
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--data-checksums"]
    _run([*initdb, *options], folder, identity)
    unfinished.rename(folder / "data")


def _make_databases(folder: Path, binaries: Path, identity: _Identity, databases: Sequence[str]) -> None:
    """Without a running server: it is ready only when all is there."""
    note = folder / "databases"
    made = note.read_text("utf-8").split() if note.exists() else []
    wanted = [name for name in databases if name not in made]
    if not wanted:
        return
    single = [binaries / "postgres", "--single", "-D", folder / "data", "-c", "exit_on_error=on", "postgres"]
    for name in wanted:
        done = _run(single, folder, identity, stdin=f'CREATE DATABASE "{name}"\n', check=False)
        # An earlier start may have made it, and ended before it wrote that down.
        if "ERROR" in done.stderr and "already exists" not in done.stderr:
            raise RuntimeError(f"PostgreSQL did not make the database {name}:\n{done.stderr}")
        made.append(name)
        note.write_text("\n".join(made) + "\n", "utf-8")


def _own(folder: Path, identity: _Identity) -> None:
    """Give the folder to whoever runs the server; nobody else may enter it."""
    folder.chmod(0o700)
    if os.geteuid() != 0:
        return
    owner = pwd.getpwnam(identity.user) if identity.user else pwd.getpwuid(0)
    if folder.stat().st_uid == owner.pw_uid and (folder / "password").stat().st_uid == owner.pw_uid:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)


def _run(
    command: Sequence[str | Path], folder: Path, identity: _Identity, *, stdin: str = "", check: bool = True
) -> "subprocess.CompletedProcess[str]":
    owner = pwd.getpwnam(identity.user) if identity.user else None
    done = subprocess.run(  # noqa: S603 - programs that we found
        [*identity.prefix, *map(str, command)],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        **({"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}),
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{done.stderr or done.stdout}")
    return done
