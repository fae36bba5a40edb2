"""The command line inside the test's own process: a command takes milliseconds instead of seconds."""

import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from tests.support.accounts import PASSWORD
from tests.support.command_line import Finished
from tests.support.server import TEST_SETTINGS, migrated_data_dir

from banyan.cli import main
from banyan.infra.telemetry import log as telemetry

Cli = Callable[..., Finished]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with an empty, migrated database."""
    return migrated_data_dir(tmp_path / "data")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Runs `banyan …`: `cli("users", "list", stdin=…)`. The data folder is `tmp_path / "data"`, made or not."""
    for name in list(os.environ):
        if name.startswith("BANYAN_"):
            monkeypatch.delenv(name)
    for name, value in {**TEST_SETTINGS, "BANYAN_DATA_DIR": str(tmp_path / "data")}.items():
        monkeypatch.setenv(name, value)
    # The real one is for the whole life of a process, and other tests in this one have their own idea of logs.
    monkeypatch.setattr(telemetry, "configure_logging", lambda *_arguments, **_options: None)
    logging_before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

    def run(*arguments: str, stdin: str | None = None) -> Finished:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin or ""))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        code = ended.value.code
        return Finished(code if isinstance(code, int) else 0 if code is None else 1, printed.out, printed.err)

    yield run
    structlog.configure(**logging_before)


@pytest.fixture
def make_user(cli: Cli, data_dir: Path) -> Callable[[str], str]:
    """Makes an account through the command line; returns its id."""

    def make(email: str) -> str:
        made = cli("users", "create", email, "--password-stdin", "--json", stdin=PASSWORD + "\n")
        assert made.code == 0, made.err
        return made.json()["id"]

    return make
