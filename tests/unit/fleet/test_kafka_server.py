"""The broker that the fleet brings: found, ready when it says so, on the loopback address, and empty after a restart."""

import socket
import threading
from pathlib import Path

import psutil
import pytest
from tests.support.kafka import Broker, running_broker

from banyan.fleet.ports import free_port
from banyan.fleet.servers import kafka
from banyan.fleet.servers.server import MissingProgram


def test_it_is_ready_when_it_answers_and_not_before(tmp_path: Path):
    broker = Broker(tmp_path)
    assert not broker.server.is_ready()
    with broker:
        assert broker.server.is_ready()
        assert broker.process is not None
        broker.kill9()
        assert not broker.server.is_ready()
        broker.start()
        assert broker.server.is_ready()
    assert not broker.server.is_ready()


def test_something_else_on_the_port_is_not_ready_for_a_broker(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def talks_nonsense() -> None:
            connection, _ = other.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        threading.Thread(target=talks_nonsense, daemon=True).start()
        assert not kafka.describe(tmp_path, port).is_ready()


def test_only_this_machine_reaches_it():
    with running_broker() as broker:
        assert broker.process is not None
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(broker.process.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening == ["127.0.0.1"]


def test_it_leaves_nothing_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    with Broker(tmp_path / "kafka"):
        assert list(home.iterdir()) == []


def test_a_machine_without_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kafka, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match="pip install"):
        kafka.describe(tmp_path, free_port())
