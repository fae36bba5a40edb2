"""What a backup says about itself: `manifest.json`."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from banyan.backup.errors import BackupError

FILE = "manifest.json"
FORMAT = 1

Kind = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class DatabaseEntry:
    """One database. file: its name in the backup. modules: whose data it holds. revision: its migration.
    server_version: PostgreSQL's major version; None for SQLite."""

    file: str
    kind: Kind
    modules: tuple[str, ...]
    revision: str
    server_version: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """secret_in: where the secret of this installation was: in its data folder, and so in the backup, or in the environment.
    secret_mark: tells whether another secret is the same one, and nothing else about it.
    one_moment: whether all databases are as of the same moment.
    files: the SHA-256 of each file, by its path in the backup."""

    version: str
    made_at: str
    secret_in: Literal["file", "environment"]
    secret_mark: str
    databases: tuple[DatabaseEntry, ...]
    files: dict[str, str]
    one_moment: bool = False
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")


def read(folder: Path) -> Manifest:
    """Raises BackupError for what is no backup, or one that this version does not know."""
    try:
        said = json.loads((folder / FILE).read_text("utf-8"))
        if said["format"] != FORMAT:
            raise BackupError(
                f"the backup has the format {said['format']}, and this version reads {FORMAT}.",
                f"Restore it with Banyan {said['version']}.",
            )
        databases = tuple(
            DatabaseEntry(**{**entry, "modules": tuple(entry["modules"])}) for entry in said["databases"]
        )
        return Manifest(**{**said, "databases": databases})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BackupError(
            f"{folder} is no backup: its {FILE} cannot be read ({error}).",
            "Name what `banyan backup` has written.",
        ) from error


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """Of every file but the manifest, by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / FILE)
    return {path.relative_to(folder).as_posix(): checksum(path) for path in files}


def compare(folder: Path, manifest: Manifest) -> None:
    """Raises BackupError unless every file is there, as it was written, and no other."""
    found = checksums(folder)
    wrong = sorted(name for name in {*found, *manifest.files} if found.get(name) != manifest.files.get(name))
    if wrong:
        raise BackupError(
            f"the backup is damaged: {', '.join(wrong)} is missing or not what was written.",
            "Take another one.",
        )
