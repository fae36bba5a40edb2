"""RabbitMQ as `banyan fleet` and the tests run it: it comes, it goes, and it leaves nothing."""

import psutil
from tests.support.eventually import eventually
from tests.support.rabbitmq import RunningRabbitMQ

from banyan.fleet.servers import rabbitmq


def of_folder(running: RunningRabbitMQ) -> list[str]:
    """The names of the processes that were started for this broker."""
    names = []
    for process in psutil.process_iter(["name", "environ", "status"]):
        environment = process.info["environ"] or {}
        if environment.get("HOME") == str(running.folder) and process.info["status"] != "zombie":
            names.append(process.info["name"])
    return names


def test_two_run_side_by_side_and_each_takes_its_epmd_with_it() -> None:
    with RunningRabbitMQ() as one, RunningRabbitMQ() as other:
        assert rabbitmq.answers(one.port)
        assert rabbitmq.answers(other.port)
        assert {"epmd", "beam.smp"} <= set(of_folder(one))
        one.stop()
        assert one.process is not None
        assert one.process.returncode == 0
        assert of_folder(one) == []
        assert not rabbitmq.answers(one.port)
        assert rabbitmq.answers(other.port)
        other.kill9()
        # Erlang's helpers have a process group of their own; they go when they see that it has gone.
        eventually(lambda: of_folder(other) == [] or None, "its helpers are gone")


def test_what_is_no_broker_does_not_answer() -> None:
    with RunningRabbitMQ() as running:
        running.pause()
        assert not rabbitmq.answers(running.port)
        running.go_on()
        assert rabbitmq.answers(running.port)
