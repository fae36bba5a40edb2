"""RabbitMQ and workers killed, stuck and filled up: no task is lost, and a bad one harms nobody but itself."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.eventually import soon
from tests.support.rabbitmq import RunningRabbitMQ, emptied_rabbitmq

from banyan.infra.tasks import rabbitmq as rabbitmq_module
from banyan.infra.tasks.backoff import Backoff
from banyan.infra.tasks.protocol import DELIVERY_LIMIT, DeadTask, QueueFull
from banyan.infra.tasks.rabbitmq import RabbitTasks
from banyan.infra.tasks.task import Task
from banyan.kernel.errors import Unavailable

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "tests" / "support" / "task_worker.py"
BROKEN_WORKER = ROOT / "tests" / "support" / "acknowledges_before_effect.py"
ADA = "01890a5d-ac96-774b-bcce-b302099a8057"
WITHIN_SECONDS = 60.0

MakeQueue = Callable[..., RabbitTasks]


class Worker:
    """A worker process that can be killed. notes: what it and its successors did, line by line."""

    def __init__(self, url: str, folder: Path, program: Path = WORKER) -> None:
        self._command = [sys.executable, str(program), url, str(folder / "notes")]
        self._path = folder / "notes"
        self._log = folder / "worker.log"
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)

    def notes(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def url() -> str:
    """A broker without any task."""
    return emptied_rabbitmq().url


@pytest.fixture
def make_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(url: str, program: Path = WORKER) -> Worker:
        made.append(Worker(url, tmp_path, program))
        return made[-1]

    yield make
    for worker in made:
        with suppress(subprocess.TimeoutExpired):
            worker.stop()
        worker.kill9()


@pytest.fixture
async def make_queue() -> AsyncIterator[MakeQueue]:
    made: list[RabbitTasks] = []

    def make(url: str, max_length: int = 100_000) -> RabbitTasks:
        made.append(RabbitTasks(url, max_length=max_length))
        return made[-1]

    yield make
    for queue in made:
        await queue.close()


def note(number: int) -> Task:
    return Task("note", ADA, {"number": number})


async def put_until_taken(queue: RabbitTasks, tasks: list[Task], refusals: list[str] | None = None) -> None:
    """As a producer does whose database keeps them: the same ones again until the queue has them."""
    backoff = Backoff()
    while True:
        try:
            await queue.put(tasks)
        except Unavailable as error:
            if refusals is not None:
                refusals.append(error.code)
            backoff.refused()
            await backoff.wait(asyncio.Event())
        else:
            return


async def done(worker: Worker, tasks: list[Task]) -> list[str]:
    """The worker's notes once every task is in them."""
    wanted = {task.id for task in tasks}

    async def look() -> list[str] | None:
        notes = worker.notes()
        return notes if wanted <= set(notes) else None

    return await soon(look, f"{len(wanted)} tasks are done", within_seconds=WITHIN_SECONDS)


async def dead(queue: RabbitTasks) -> list[DeadTask]:
    async def look() -> list[DeadTask] | None:
        return await queue.dead_tasks(100) or None

    return await soon(look, "a dead task", within_seconds=WITHIN_SECONDS)


async def lost_by_a_kill(worker: Worker, queue: RabbitTasks) -> bool:
    """Kill a worker while it has a task in hand; whether another one never gets it."""
    task = Task("slow", ADA, {"seconds": 2})
    await queue.put([task])

    async def began() -> bool | None:
        return f"began {task.id}" in worker.notes() or None

    await soon(began, "the task is begun", within_seconds=WITHIN_SECONDS)
    worker.kill9()
    assert task.id not in worker.notes()
    worker.start()
    try:
        notes = await asyncio.wait_for(done(worker, [task]), 12)
    except TimeoutError:
        return True
    assert notes.count(task.id) == 1
    return False


async def test_a_task_in_the_hands_of_a_killed_worker_is_done_by_the_next(
    url: str, make_worker: Callable[..., Worker], make_queue: MakeQueue
):
    assert not await lost_by_a_kill(make_worker(url), make_queue(url))


async def test_a_worker_that_acknowledges_before_the_effect_is_found_out(
    url: str, make_worker: Callable[..., Worker], make_queue: MakeQueue
):
    assert await lost_by_a_kill(make_worker(url, BROKEN_WORKER), make_queue(url))


async def test_what_kills_its_workers_is_set_aside_alone(
    url: str, make_worker: Callable[..., Worker], make_queue: MakeQueue
):
    queue, worker = make_queue(url), make_worker(url)
    poison, others = Task("kill", ADA, {}), [note(number) for number in range(40)]
    await queue.put([*others[:20], poison, *others[20:]])
    deaths = 0
    while not await queue.dead_tasks(10):
        if worker.process.poll() is not None:
            deaths += 1
            assert deaths <= DELIVERY_LIMIT
            worker.start()
        await asyncio.sleep(0.05)
    (found,) = await dead(queue)
    assert (found.id, found.tries, found.error) == (poison.id, DELIVERY_LIMIT, "WorkerLost")
    if worker.process.poll() is not None:
        worker.start()
    await done(worker, others)
    assert [one.id for one in await queue.dead_tasks(100)] == [poison.id]
    # When its reason is mended it is done like any other; here it is not, and it is set aside again.
    assert await queue.redrive() == 1


async def test_what_fails_holds_up_nobody_and_is_set_aside(
    url: str, make_worker: Callable[..., Worker], make_queue: MakeQueue
):
    queue, worker = make_queue(url), make_worker(url)
    failing = [Task("fail", ADA, {}) for _ in range(20)]
    await queue.put(failing)
    others = [note(number) for number in range(100)]
    await queue.put(others)
    await done(worker, others)

    async def all_dead() -> list[DeadTask] | None:
        found = await queue.dead_tasks(100)
        return found if len(found) == len(failing) else None

    found = await soon(all_dead, "all are dead", within_seconds=WITHIN_SECONDS)
    assert {(one.id, one.tries, one.error) for one in found} == {
        (task.id, 3, "ValueError") for task in failing
    }


async def test_a_stopping_worker_finishes_what_it_has_and_leaves_the_rest(
    url: str, make_worker: Callable[..., Worker], make_queue: MakeQueue
):
    queue, worker = make_queue(url), make_worker(url)
    tasks = [Task("slow", ADA, {"seconds": 0.5}) for _ in range(20)]
    await queue.put(tasks)

    def begun() -> set[str]:
        return {line.removeprefix("began ") for line in worker.notes() if line.startswith("began ")}

    async def some() -> bool | None:
        return bool(begun()) or None

    await soon(some, "some are begun", within_seconds=WITHIN_SECONDS)
    assert worker.stop() == 0
    finished = {line for line in worker.notes() if not line.startswith("began ")}
    assert finished == begun()
    assert len(finished) < len(tasks)
    worker.start()
    notes = await done(worker, tasks)
    assert sorted(line for line in notes if not line.startswith("began ")) == sorted(
        task.id for task in tasks
    )


async def test_a_broker_that_is_killed_under_load_loses_nothing(
    make_worker: Callable[..., Worker], make_queue: MakeQueue
):
    with RunningRabbitMQ() as broker:
        queue, worker = make_queue(broker.url), make_worker(broker.url)
        put: list[Task] = []
        repeated: list[str] = []
        stop = asyncio.Event()

        async def produce() -> None:
            while not stop.is_set():
                batch = [note(number) for number in range(20)]
                await put_until_taken(queue, batch, repeated)
                put.extend(batch)

        producers = [asyncio.create_task(produce()) for _ in range(3)]
        for _ in range(3):
            taken = len(put)

            async def goes_on(taken: int = taken) -> bool | None:
                return len(put) > taken + 200 or None

            await soon(goes_on, "tasks are taken", within_seconds=WITHIN_SECONDS)
            broker.kill9()
            await asyncio.to_thread(broker.start)
        back_at = time.monotonic()
        stop.set()
        await asyncio.gather(*producers)
        notes = await done(worker, put)
        assert repeated, "no put was under way when the broker died"
        assert time.monotonic() - back_at < 30
        print(f"{len(put)} put, {len(notes) - len(set(notes))} done twice, {len(repeated)} puts repeated")


async def test_an_outage_is_an_answer_within_a_second_and_then_at_once(make_queue: MakeQueue):
    with RunningRabbitMQ() as broker:
        queue = make_queue(broker.url)
        await queue.put([note(0)])
        broker.kill9()
        slowest = 0.0
        for attempt in range(20):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await queue.put([note(attempt)])
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1.0
        await asyncio.to_thread(broker.start)
        await asyncio.wait_for(put_until_taken(queue, [note(1)]), 10)


async def test_a_broker_that_hangs_is_given_up_and_found_again(
    make_worker: Callable[..., Worker], make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rabbitmq_module, "CONFIRM_SECONDS", 1.0)
    with RunningRabbitMQ() as broker:
        queue, worker = make_queue(broker.url), make_worker(broker.url)
        first = [note(number) for number in range(10)]
        await queue.put(first)
        await done(worker, first)
        broker.pause()
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await queue.put([note(0)])
        assert time.monotonic() - began < 2.0
        broker.go_on()
        second = [note(number) for number in range(10)]
        await asyncio.wait_for(put_until_taken(queue, second), 20)
        await done(worker, second)


async def test_a_full_queue_slows_its_producers_and_loses_nothing(
    url: str, make_worker: Callable[..., Worker], make_queue: MakeQueue
):
    queue = make_queue(url, max_length=50)
    tasks = [note(number) for number in range(400)]
    refusals: list[str] = []

    async def produce(share: list[Task]) -> None:
        for start in range(0, len(share), 10):
            await put_until_taken(queue, share[start : start + 10], refusals)

    producing = asyncio.gather(*(produce(tasks[part::4]) for part in range(4)))

    async def refused() -> bool | None:
        return len(refusals) > 4 or None

    await soon(refused, "the queue refuses", within_seconds=WITHIN_SECONDS)
    with pytest.raises(QueueFull):
        await queue.put([note(0)])
    assert set(refusals) == {QueueFull.code}
    (main, *_) = [one for one in await queue.status() if one.name == "tasks"]
    assert main.waiting < 150, "it holds little more than it may"
    worker = make_worker(url)
    await producing
    await done(worker, tasks)
