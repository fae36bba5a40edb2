"""Real brokers for tests: one for the whole run, and brokers of a test's own that it may kill."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.programs import missing
from tests.support.running import Running

from banyan.fleet.ports import free_port
from banyan.fleet.servers import kafka
from banyan.fleet.servers.server import MissingProgram


class Broker(Running):
    """A running broker. Started again it is empty: it keeps everything in memory."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        try:
            server = kafka.describe(folder, self.port)
        except MissingProgram as reason:
            missing(str(reason))
        super().__init__(server)


@contextmanager
def running_broker() -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="banyan-kafka-") as folder, Broker(Path(folder)) as broker:
        yield broker
