"""Taking a backup, beside whatever serves."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from banyan import __version__
from banyan.backup import manifest
from banyan.backup.errors import BackupError
from banyan.backup.manifest import DatabaseEntry, Manifest
from banyan.backup.place import new_backup, require_free
from banyan.infra.auth.derive import derive_key
from banyan.infra.db.migrate import status
from banyan.infra.db.promotion_record import read_record
from banyan.infra.db.sqlite_copy import DamagedFile, copy
from banyan.settings import Settings, database_label
from banyan.targets import MODULES

SECRET_FILE = "secret.key"  # noqa: S105 - a name
MAIL_FOLDER = "mail"


@dataclass(frozen=True, slots=True)
class Progress:
    """done and total: pages of a SQLite file, or tables of a PostgreSQL database."""

    database: str
    done: int
    total: int


Tell = Callable[[Progress], None]


async def back_up(settings: Settings, target: Path, tell: Tell, *, force: bool = False) -> Manifest:
    """Write everything that this installation needs to start again to `target`, whole or not at all.

    It is as of one moment, later than the call; so everything that was acknowledged before is in it. Only a SQLite file beside
    PostgreSQL is of a moment of its own. Raises BackupError, and Unavailable when a server does not answer.
    """
    require_free(target, force=force)
    places = {place: _modules_in(settings, place) for place in settings.databases(MODULES)}
    with new_backup(target) as folder:
        (folder / "databases").mkdir()
        async with _one_moment(list(places)) as snapshots:
            entries = [
                await _database(place, modules, folder, number, tell, snapshots)
                for number, (place, modules) in enumerate(places.items(), start=1)
            ]
        _copy_data_folder(settings, folder)
        made = Manifest(
            version=__version__,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            secret_in="file" if settings.secret_key is None else "environment",
            secret_mark=secret_mark(settings.secret()),
            databases=tuple(entries),
            one_moment=len({entry.kind for entry in entries}) == 1,
            files=manifest.checksums(folder),
        )
        made.write(folder)
    return made


def secret_mark(secret: str) -> str:
    """Tells whether two secrets are the same; nothing can be opened with it."""
    return derive_key(secret, "backup mark").hex()[:16]


def _modules_in(settings: Settings, place: Path | str) -> tuple[str, ...]:
    return tuple(module for module in MODULES if settings.database_of(module) == place)


def _one_moment(places: Sequence[Path | str]) -> AbstractAsyncContextManager[Mapping[str, str]]:
    """Snapshots to take the databases from, when there are several on PostgreSQL."""
    urls = [place for place in places if isinstance(place, str)]
    if len(urls) < 2:
        return nullcontext({})
    # Imported here: its driver is an extra.
    from banyan.backup.one_moment import one_moment

    return one_moment(urls)


async def _database(
    place: Path | str,
    modules: tuple[str, ...],
    folder: Path,
    number: int,
    tell: Tell,
    snapshots: Mapping[str, str],
) -> DatabaseEntry:
    label = database_label(place)
    if isinstance(place, Path):
        return _sqlite(place, label, modules, folder, tell)
    # Imported here: its driver is an extra.
    from banyan.backup.postgres_tools import facts, revision, tools

    found = await facts(place)
    file, done = f"databases/{number}.pgdump", 0

    def count() -> None:
        nonlocal done
        done += 1
        tell(Progress(label, done, found.tables))

    tools(found.major).dump(place, folder / file, count, snapshot=snapshots.get(place))
    return DatabaseEntry(file, "postgresql", modules, await revision(place) or "", found.major)


def _sqlite(place: Path, label: str, modules: tuple[str, ...], folder: Path, tell: Tell) -> DatabaseEntry:
    copied = folder / "databases" / place.name
    try:
        copy(place, copied, lambda done, total: tell(Progress(label, done, total)))
    except DamagedFile as error:
        raise BackupError(
            f"{label} is damaged, and was not backed up: {error}.", "Restore the newest backup that is whole."
        ) from error
    moved = read_record(copied)
    if moved is not None and moved.has_moved:
        raise BackupError(f"the data moved to {moved.target} meanwhile.", "Take the backup again.")
    revision = status(copied).current
    if revision is None:
        raise BackupError(f"{label} holds no data of Banyan.")
    return DatabaseEntry(f"databases/{place.name}", "sqlite", modules, revision)


def _copy_data_folder(settings: Settings, folder: Path) -> None:
    if settings.secret_key is None:
        settings.secret()  # a development secret is made when it is first needed
        shutil.copy(settings.data_dir / SECRET_FILE, folder / SECRET_FILE)
        (folder / SECRET_FILE).chmod(0o600)
    mails = settings.data_dir / MAIL_FOLDER
    if mails.is_dir():
        shutil.copytree(mails, folder / MAIL_FOLDER)
