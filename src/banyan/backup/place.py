"""Where a backup lies: a folder, or one file when its name ends in .tar or .tar.gz. It is there whole, or not at all."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from banyan.backup import manifest
from banyan.backup.errors import BackupError
from banyan.infra.db.sqlite_copy import flush

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz")


def is_file_name(path: Path) -> bool:
    return path.name.endswith(TAR_ENDINGS)


def require_free(target: Path, *, force: bool) -> None:
    """Raises BackupError when something is there that may not be overwritten."""
    if not target.parent.is_dir():
        raise BackupError(f"there is no folder {target.parent}.", f"Make it: mkdir -p {target.parent}")
    if not target.exists() or (target.is_dir() and not is_file_name(target) and not any(target.iterdir())):
        return
    if not force:
        raise BackupError(f"{target} is there already.", "Choose another name, or overwrite it with --force.")
    # So that a slip of the pen behind --force does not remove somebody's folder.
    if target.is_dir() and not (target / manifest.FILE).exists():
        raise BackupError(f"{target} is a folder, and no backup.", "Choose another name.")


@contextmanager
def new_backup(target: Path) -> Iterator[Path]:
    """A folder to fill; at the end, and only without an error, it takes the place of `target`. For its owner alone."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".partial", dir=target.parent) as work:
        folder = Path(work) / "backup"
        folder.mkdir(mode=0o700)
        yield folder
        if is_file_name(target):
            _move(
                _packed(folder, Path(work) / "backup.tar", compress=not target.name.endswith(".tar")), target
            )
        else:
            _flush_all(folder)
            if target.exists():
                # Two renames: killed in between, the former backup lies in the work folder beside.
                target.rename(Path(work) / "former")
            _move(folder, target)


@contextmanager
def opened(source: Path, beside: Path) -> Iterator[Path]:
    """The folder of a backup; one that is a file is unpacked into a folder in `beside`, gone at the end. Raises BackupError."""
    if source.is_dir():
        yield source
        return
    if not source.exists():
        raise BackupError(f"there is no {source}.", "Name what `banyan backup` has written.")
    with tempfile.TemporaryDirectory(prefix=".restore.", dir=beside) as work:
        try:
            with tarfile.open(source) as archive:
                for member in archive:
                    _refuse_strange(member)
                    archive.extract(member, work, set_attrs=False)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise BackupError(f"{source} cannot be read: {error}.", "Take another backup.") from error
        yield Path(work)


def _packed(folder: Path, path: Path, *, compress: bool) -> Path:
    path.touch(mode=0o600)
    with tarfile.open(path, "w:gz" if compress else "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.add(file, file.relative_to(folder).as_posix(), recursive=False)
    flush(path)
    return path


def _flush_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        flush(path)
    flush(folder)


def _move(made: Path, target: Path) -> None:
    if target.is_dir() and not made.is_dir():
        shutil.rmtree(target)
    made.rename(target)
    flush(target.parent)


def _refuse_strange(member: tarfile.TarInfo) -> None:
    """Raises TarError for what no backup holds: paths out of the folder, links, devices.

    The standard library's own filter for this is missing in early releases of Python 3.11, such as Debian's.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise tarfile.TarError(f"it holds {member.name!r}, which belongs to no backup")
