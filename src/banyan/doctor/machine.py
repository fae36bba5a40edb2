"""This machine: the data folder, its disk, open files."""

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator

from banyan.doctor.finding import Finding
from banyan.infra.db.sqlite_copy import DamagedFile, check
from banyan.settings import MIN_SECRET_CHARS, PLACEHOLDERS, Settings

MIB = 1024 * 1024
# Below the first a checkpoint or a backup may not fit; below the second it is time to order a disk.
DISK_FAIL_BYTES = 64 * MIB
DISK_WARN_BYTES = 1024 * MIB
FILES_WARN = 4096


def look(settings: Settings) -> Iterator[Finding]:
    yield _secret(settings)
    yield _writable(settings)
    yield _disk(settings)
    yield _open_files()
    if settings.database_path.exists() and settings.database_url is None:
        yield _file(settings)


def _secret(settings: Settings) -> Finding:
    if settings.secret_key is None:
        path = settings.data_dir / "secret.key"
        if path.exists() and path.stat().st_mode & 0o077:
            return Finding("secret", "fail", f"Others may read {path}.", f"chmod 600 {path}")
        return Finding(
            "secret",
            "ok" if settings.database_url is None else "warn",
            "The secret of the data folder is used.",
            None
            if settings.database_url is None
            else "Set BANYAN_SECRET_KEY: other machines need the same one.",
        )
    secret = settings.secret_key.get_secret_value()
    if secret.strip().lower() in PLACEHOLDERS or len(secret) < MIN_SECRET_CHARS or len(set(secret)) < 8:
        return Finding(
            "secret",
            "fail",
            "BANYAN_SECRET_KEY can be guessed.",
            "Set it to the output of: openssl rand -base64 48",
        )
    return Finding("secret", "ok", "BANYAN_SECRET_KEY is set.")


def _writable(settings: Settings) -> Finding:
    folder = settings.data_dir
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Finding(
            "data folder",
            "fail",
            f"{folder.resolve()} cannot be written to: {error.strerror}.",
            "Make it, and give it to the user that runs Banyan; or name another in BANYAN_DATA_DIR.",
        )
    return Finding("data folder", "ok", f"{folder.resolve()} can be written to.")


def _disk(settings: Settings) -> Finding:
    folder = settings.data_dir.resolve()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    state = "fail" if free < DISK_FAIL_BYTES else "warn" if free < DISK_WARN_BYTES else "ok"
    todo = None if state == "ok" else "Make room, or move the data folder to a larger disk."
    return Finding("disk", state, f"{free // MIB:,} MiB are free.", todo)


def _open_files() -> Finding:
    # A server raises its limit to the hard one by itself.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= FILES_WARN:
        return Finding("open files", "ok", "Enough files may be open for thousands of connections.")
    return Finding(
        "open files",
        "warn",
        f"{most} files may be open, and each connection is one.",
        "Raise it: LimitNOFILE=65536 in the systemd unit, or ulimit -Hn 65536.",
    )


def _file(settings: Settings) -> Finding:
    try:
        check(settings.database_path)
    except DamagedFile as error:
        return Finding(
            "database file",
            "fail",
            f"{settings.database_path} is damaged: {error}.",
            "Stop the server, and restore the newest backup: banyan restore",
        )
    return Finding("database file", "ok", "SQLite's integrity check finds nothing.")
