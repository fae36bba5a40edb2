"""Restoring a backup into an installation that is stopped."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from banyan.backup import manifest
from banyan.backup.backup import MAIL_FOLDER, SECRET_FILE, Progress, Tell, secret_mark
from banyan.backup.errors import BackupError
from banyan.backup.manifest import DatabaseEntry, Manifest
from banyan.backup.place import opened
from banyan.infra.db.data_lock import DataLock
from banyan.infra.db.migrate import newest_revision
from banyan.infra.db.sqlite_copy import DamagedFile, check, flush, put_in_place
from banyan.settings import Settings, database_label
from banyan.targets import MODULES


@dataclass(frozen=True, slots=True)
class Restored:
    """needs_migration: the backup is of an older version. same_secret: whether what the secret has sealed can be opened."""

    manifest: Manifest
    needs_migration: bool
    same_secret: bool


async def restore(settings: Settings, source: Path, tell: Tell, *, force: bool = False) -> Restored:
    """Make the installation of `settings` what it was when the backup was taken.

    Everything is checked before anything is changed. force: overwrite data that are there; without it they are refused.
    Raises BackupError, Unavailable, and DataDirBusy while a server runs on the data folder.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DataLock(settings.data_dir)
    lock.acquire()
    try:
        with opened(source, settings.data_dir) as folder:
            return await _restore(settings, folder, tell, force=force)
    finally:
        lock.release()


async def _restore(settings: Settings, folder: Path, tell: Tell, *, force: bool) -> Restored:
    found = manifest.read(folder)
    manifest.compare(folder, found)
    targets = _targets(settings, found)
    for entry, place in targets:
        await _require_usable(entry, place, folder, force=force)
    # The secret first: a database without its secret would get another one at the next start, and be of no use.
    same_secret = _restore_secret(settings, folder, found, force=force)
    if (folder / MAIL_FOLDER).is_dir():
        shutil.copytree(folder / MAIL_FOLDER, settings.data_dir / MAIL_FOLDER, dirs_exist_ok=True)
    for number, (entry, place) in enumerate(targets, start=1):
        await _restore_database(entry, place, folder, settings, replace=force)
        tell(Progress(database_label(place), number, len(targets)))
    is_older = any(entry.revision < newest_revision() for entry, _ in targets)
    return Restored(found, needs_migration=is_older, same_secret=same_secret)


def _targets(settings: Settings, found: Manifest) -> list[tuple[DatabaseEntry, Path | str]]:
    """Where each database of the backup goes: to where the settings have its modules."""
    targets: list[tuple[DatabaseEntry, Path | str]] = []
    for entry in found.databases:
        places = {settings.database_of(module) for module in entry.modules}
        if len(places) != 1:
            raise BackupError(
                f"{', '.join(entry.modules)} shared a database, and these settings have one for each.",
                "Set BANYAN_DATABASE_URL alone.",
            )
        targets.append((entry, places.pop()))
    if len({place for _, place in targets}) != len(found.databases):
        raise BackupError(
            f"the backup holds {len(found.databases)} databases, and these settings have {len(settings.databases(MODULES))}.",
            "Set BANYAN_USERS_DATABASE_URL and the like as they were.",
        )
    return targets


async def _require_usable(entry: DatabaseEntry, place: Path | str, folder: Path, *, force: bool) -> None:
    """Raises BackupError unless this database of the backup can go to this place."""
    if entry.revision > newest_revision():
        raise BackupError(
            f"the backup is at migration {entry.revision}, and this version knows {newest_revision()}.",
            "Install the version that took the backup, or a later one.",
        )
    label, file = database_label(place), folder / entry.file
    if (entry.kind == "sqlite") != isinstance(place, Path):
        raise BackupError(
            f"the backup is of {'SQLite' if entry.kind == 'sqlite' else 'PostgreSQL'}, and the settings name {label}.",
            "Restore it without BANYAN_DATABASE_URL, start, and move it with `banyan promote`."
            if entry.kind == "sqlite"
            else "Set BANYAN_DATABASE_URL to an empty PostgreSQL database.",
        )
    if isinstance(place, Path):
        is_taken = place.exists()  # noqa: ASYNC240 - a command, with nothing else to do
        try:
            check(file)
        except DamagedFile as error:
            raise BackupError(
                f"{entry.file} of the backup is damaged: {error}.", "Take another one."
            ) from error
    else:
        from banyan.backup.postgres_tools import facts, tools

        now = await facts(place)
        tools(now.major).check(file)
        is_taken = now.tables > 0
        if entry.server_version is not None and now.major < entry.server_version:
            raise BackupError(
                f"the backup is of PostgreSQL {entry.server_version}, and the server is {now.major}.",
                "Restore it to that version or a later one.",
            )
        if now.busy:
            raise BackupError(f"Banyan has {now.busy} connections to {label}.", "Stop its processes first.")
    if is_taken and not force:
        raise BackupError(
            f"there are data in {label} already.",
            "Restore into an empty place, or overwrite them, for good, with --force.",
        )


def _restore_secret(settings: Settings, folder: Path, found: Manifest, *, force: bool) -> bool:
    """Returns whether the installation has the secret of the backup afterwards."""
    saved, path = folder / SECRET_FILE, settings.data_dir / SECRET_FILE
    if found.secret_in == "file" and settings.secret_key is None:  # noqa: S105 - a place
        if path.exists() and path.read_bytes() != saved.read_bytes() and not force:
            raise BackupError(
                f"there is another secret in {path}.", "Move it away, or overwrite it with --force."
            )
        made = path.with_suffix(".new")
        made.touch(mode=0o600)
        made.write_bytes(saved.read_bytes())
        flush(made)
        made.rename(path)
        flush(path.parent)
        return True
    if settings.secret_key is None and not path.exists():
        # Do not let one be made here: it would look as if it were right.
        return False
    return secret_mark(settings.secret()) == found.secret_mark


async def _restore_database(
    entry: DatabaseEntry, place: Path | str, folder: Path, settings: Settings, *, replace: bool
) -> None:
    if isinstance(place, Path):
        copied = settings.data_dir / f".{place.name}.restored"
        shutil.copy(folder / entry.file, copied)
        flush(copied)
        put_in_place(copied, place)
        return
    from banyan.backup.postgres_tools import facts, tools

    now = await facts(place)
    tools(now.major).restore(place, folder / entry.file, replace=replace and now.tables > 0)
