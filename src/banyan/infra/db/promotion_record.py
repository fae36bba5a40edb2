"""Where the data of a SQLite file has gone, as the file itself says: `banyan promote` moves it to PostgreSQL.

The file holds one row, and that row alone decides which database is the true one:

    no row      this file
    copying     this file; a copy of it is being made
    promoted    PostgreSQL; this file can be brought up to date again and take over
    moved       PostgreSQL, for good

The address of the PostgreSQL database lies beside the file, since it may hold a password and a backup of the file
should not. See docs/decisions/0018-promotion.md.
"""

import json
import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Phase = Literal["copying", "promoted", "moved"]

ADDRESS_FILE = "promotion.json"


@dataclass(frozen=True, slots=True)
class PromotionRecord:
    """id: of this one promotion. target: the database for people to read, without a password."""

    id: str
    phase: Phase
    target: str

    @property
    def has_moved(self) -> bool:
        return self.phase != "copying"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a promotion goes. id: of that promotion."""

    id: str
    url: str


class AddressLost(Exception):
    """The data has moved, and the file that says where is not there."""

    def __init__(self, record: PromotionRecord) -> None:
        super().__init__(f"the data has moved to {record.target}")
        self.record = record


def read_record(path: Path) -> PromotionRecord | None:
    """What the SQLite file says; None when it says nothing, or is not there."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        try:
            row = connection.execute("SELECT id, phase, target FROM promotion").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return None
    return PromotionRecord(*row) if row else None


def read_address(data_dir: Path) -> Address | None:
    try:
        return Address(**json.loads((data_dir / ADDRESS_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_address(data_dir: Path, address: Address) -> None:
    """Write it down, on the disk when this returns, for nobody else to read."""
    path = data_dir / ADDRESS_FILE
    made = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        made.unlink()
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(address), file)
        file.flush()
        os.fsync(file.fileno())
    made.rename(path)
    folder = os.open(data_dir, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def followed(data_dir: Path, path: Path) -> Address | None:
    """The database to which the data of this SQLite file has moved; None while the file is the true one.

    Raises AddressLost.
    """
    record = read_record(path)
    if record is None or not record.has_moved:
        return None
    address = read_address(data_dir)
    if address is None or address.id != record.id:
        raise AddressLost(record)
    return address
