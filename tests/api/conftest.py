"""A server with RabbitMQ, and workers beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.rabbitmq import RunningRabbitMQ, emptied_rabbitmq
from tests.support.server import RunningServer
from tests.support.workers import RunningWorker

MakeWorker = Callable[..., RunningWorker]


@pytest.fixture
def broker() -> RunningRabbitMQ:
    return emptied_rabbitmq()


@pytest.fixture
def api_server(make_server: Callable[..., RunningServer], broker: RunningRabbitMQ) -> RunningServer:
    return make_server({"BANYAN_AMQP_URL": broker.url})


@pytest.fixture
def make_worker(tmp_path: Path, api_server: RunningServer) -> Iterator[MakeWorker]:
    made: list[RunningWorker] = []

    def make(**settings: str) -> RunningWorker:
        made.append(RunningWorker(tmp_path, settings, beside=api_server))
        made[-1].start()
        return made[-1]

    yield make
    for worker in made:
        worker.stop()
