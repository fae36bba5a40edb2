"""The command line of the tests of commands, here too."""

from tests.cli.conftest import cli, data_dir

__all__ = ["cli", "data_dir"]
