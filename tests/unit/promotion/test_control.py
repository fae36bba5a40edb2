"""The socket of the control channel: for its owner alone, in a folder of any name."""

import socket
from pathlib import Path

import pytest

from banyan.promotion.control import MAX_SOCKET_PATH_BYTES, SOCKET_NAME, listen, socket_path


@pytest.mark.parametrize("name", ["data", "d" * (MAX_SOCKET_PATH_BYTES + 20)])
def test_a_folder_of_any_length_has_its_socket(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for _ in range(2):  # the second finds the first one's socket left behind
        with listen(folder) as listening:
            listening.listen()
            with socket_path(folder) as path, socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
    assert (folder / SOCKET_NAME).stat().st_mode & 0o777 == 0o600
