"""The lock of a data folder."""

import os
from pathlib import Path

import pytest

from banyan.infra.db.data_lock import DataDirBusy, DataLock, Holder


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    first, second = DataLock(tmp_path / "data"), DataLock(tmp_path / "data")
    first.acquire()
    first.announce("http://127.0.0.1:8000")
    with pytest.raises(DataDirBusy) as busy:
        second.acquire()
    assert busy.value.holder == Holder(os.getpid(), "http://127.0.0.1:8000")
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_a_folder_made_here_is_for_its_owner_only(tmp_path: Path) -> None:
    lock = DataLock(tmp_path / "data")
    lock.acquire()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    lock.release()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"surprise": 1}'])
def test_a_file_that_says_nothing_useful_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "banyan.lock").write_text(text)
    first, second = DataLock(tmp_path), DataLock(tmp_path)
    first.acquire()
    (tmp_path / "banyan.lock").write_text(text)
    with pytest.raises(DataDirBusy) as busy:
        second.acquire()
    assert busy.value.holder is None
    first.release()
