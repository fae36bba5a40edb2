"""The RabbitMQ of the test run: started when it is first needed, gone when the run ends."""

import atexit
import functools
import shutil
import socket
import tempfile
from pathlib import Path

from tests.support.programs import missing
from tests.support.running import Running

from banyan.fleet.servers import rabbitmq
from banyan.fleet.servers.server import MissingProgram


class RunningRabbitMQ(Running):
    """A broker that runs. url: as `BANYAN_AMQP_URL` takes it."""

    def __init__(self) -> None:
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="banyan-rabbitmq-"))
        self.url = rabbitmq.url(self.port)
        try:
            super().__init__(rabbitmq.describe(self.folder, self.port))
        except MissingProgram as error:
            missing(str(error))

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def shared_rabbitmq() -> RunningRabbitMQ:
    """The broker that tests share which neither stop it nor fill it up."""
    running = RunningRabbitMQ()
    atexit.register(running.stop)
    running.start()
    return running


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
