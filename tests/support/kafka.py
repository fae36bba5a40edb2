"""Real brokers for tests: one for the whole run, and brokers of a test's own that it may kill."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.support.programs import missing
from tests.support.running import Running

from banyan.fleet.ports import free_port
from banyan.fleet.servers import kafka
from banyan.fleet.servers.server import MissingProgram


class Broker(Running):
    """A running broker. Started again it is empty: it keeps everything in memory.

    advertised_port: under which it says that it can be reached, when that is another, such as a proxy's.
    """

    def __init__(self, folder: Path, *, port: int | None = None, advertised_port: int | None = None) -> None:
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        try:
            server = kafka.describe(folder, self.port)
        except MissingProgram as reason:
            missing(str(reason))
        if advertised_port is not None:
            kept = [part for part in server.argv if not part.startswith("--advertised-listener-url=")]
            server = replace(
                server, argv=[*kept, f"--advertised-listener-url=tcp://127.0.0.1:{advertised_port}"]
            )
        super().__init__(server)


@contextmanager
def running_broker() -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="banyan-kafka-") as folder, Broker(Path(folder)) as broker:
        yield broker
