"""The contract of a task broker: what is put is delivered until it is done, what fails comes again, what is hopeless is
set aside. RabbitMQ on a real server, and its twin."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.support.eventually import soon
from tests.support.rabbitmq import shared_rabbitmq

from banyan.infra.tasks.memory import MemoryTasks
from banyan.infra.tasks.protocol import DELIVERY_LIMIT, DeadTask, QueueFull, TakenTask, TaskBroker
from banyan.infra.tasks.rabbitmq import RabbitTasks
from banyan.infra.tasks.task import Task
from banyan.kernel.errors import Unavailable
from banyan.kernel.ids import new_id

ADA = "01890a5d-ac96-774b-bcce-b302099a8057"
SOON = timedelta(seconds=1)
WITHIN_SECONDS = 15.0
_names = itertools.count(1)

MakeBroker = Callable[[], TaskBroker]


@pytest.fixture(params=["in process", "rabbitmq"])
async def make_broker(request: pytest.FixtureRequest) -> AsyncIterator[MakeBroker]:
    """Brokers on the same queues, which only this test has; each is one process's."""
    made: list[TaskBroker] = []
    memory = MemoryTasks(max_waiting=20)
    name = f"test-{os.getpid()}-{next(_names)}"

    def make() -> TaskBroker:
        if request.param == "in process":
            made.append(memory)
        else:
            made.append(RabbitTasks(shared_rabbitmq().url, max_length=20, name=name))
        return made[-1]

    yield make
    for broker in made:
        await broker.close()


@pytest.fixture
def broker(make_broker: MakeBroker) -> TaskBroker:
    return make_broker()


class Hands:
    """A worker that keeps what it takes in its hands until the test says what becomes of it."""

    def __init__(self, broker: TaskBroker, at_once: int) -> None:
        self._broker = broker
        self._taken: asyncio.Queue[TakenTask] = asyncio.Queue()
        self._stop = asyncio.Event()
        self._loop = asyncio.create_task(
            broker.take(self._taken.put_nowait, at_once=at_once, stop=self._stop)
        )

    async def next(self, within: float = WITHIN_SECONDS) -> TakenTask:
        return await asyncio.wait_for(self._taken.get(), within)

    async def has_nothing(self) -> bool:
        """Whether nothing is handed out for a while; only for what must not come."""
        try:
            await self.next(within=0.3)
        except TimeoutError:
            return True
        return False

    async def stop(self) -> None:
        self._stop.set()
        await self._loop


@asynccontextmanager
async def taking(broker: TaskBroker, at_once: int = 10) -> AsyncIterator[Hands]:
    hands = Hands(broker, at_once)
    try:
        yield hands
    finally:
        await hands.stop()


def some_task(number: int = 1) -> Task:
    return Task("greet", ADA, {"number": number})


async def dead_ones(broker: TaskBroker, count: int) -> list[tuple[str | None, int, str]]:
    """The dead tasks, once there are so many: what a broker sets aside by itself takes it a moment."""

    async def look() -> list[DeadTask] | None:
        found = await broker.dead_tasks(100)
        return found if len(found) >= count else None

    return [(dead.id, dead.tries, dead.error) for dead in await soon(look, f"{count} dead tasks")]


async def test_what_is_put_is_taken_whole(broker: TaskBroker):
    task = Task("greet", ADA, {"name": "Grüße", "n": [1, None]}, new_id(), f"00-{'a' * 32}-{'b' * 16}-01")
    await broker.put([task])
    async with taking(broker) as hands:
        taken = await hands.next()
        assert Task.decode(taken.body) == task
        assert taken.tries == 1
        await taken.done()


async def test_what_is_done_does_not_come_again(make_broker: MakeBroker):
    broker = make_broker()
    await broker.put([some_task()])
    async with taking(broker) as hands:
        await (await hands.next()).done()
        assert await hands.has_nothing()
    await broker.close()
    async with taking(make_broker()) as hands:
        assert await hands.has_nothing()


async def test_tasks_are_taken_in_the_order_in_which_they_were_put(broker: TaskBroker):
    tasks = [some_task(number) for number in range(5)]
    for task in tasks:
        await broker.put([task])
    async with taking(broker) as hands:
        assert [Task.decode((await hands.next()).body) for _ in tasks] == tasks


async def test_no_more_are_handed_out_than_may_be_done_at_once(broker: TaskBroker):
    await broker.put([some_task(number) for number in range(4)])
    async with taking(broker, at_once=3) as hands:
        first, *_ = [await hands.next() for _ in range(3)]
        assert await hands.has_nothing()
        await first.done()
        await hands.next()


async def test_what_a_lost_worker_had_is_delivered_to_another(make_broker: MakeBroker):
    lost, other = make_broker(), make_broker()
    await other.put([some_task()])
    async with taking(lost) as hands:
        await hands.next()
    await lost.close()
    async with taking(other) as hands:
        again = await hands.next()
        assert again.tries == 2
        await again.done()
        assert await hands.has_nothing()


async def test_after_its_stop_nothing_more_is_handed_out_and_what_was_can_be_done(broker: TaskBroker):
    await broker.put([some_task(1)])
    hands = Hands(broker, 10)
    taken = await hands.next()
    await hands.stop()
    await broker.put([some_task(2)])
    assert await hands.has_nothing()
    await taken.done()
    async with taking(broker) as others:
        assert Task.decode((await others.next()).body).data == {"number": 2}


async def test_what_failed_comes_again_after_its_pause(broker: TaskBroker):
    await broker.put([some_task(1)])
    async with taking(broker) as hands:
        loop = asyncio.get_running_loop()
        failed_at = loop.time()
        await (await hands.next()).again(SOON, "SomeError")
        await broker.put([some_task(2)])
        assert Task.decode((await hands.next()).body).data == {"number": 2}
        again = await hands.next()
        assert loop.time() - failed_at >= 0.95
        assert (Task.decode(again.body).data, again.tries) == ({"number": 1}, 2)
        await again.again(SOON, "SomeError")
        assert (await hands.next()).tries == 3


async def test_what_is_hopeless_is_set_aside_and_shown(broker: TaskBroker):
    task = some_task()
    await broker.put([task])
    async with taking(broker) as hands:
        await (await hands.next()).dead("SomeError")
        for _ in range(2):  # showing it leaves it there
            assert await dead_ones(broker, 1) == [(task.id, 1, "SomeError")]
        assert await hands.has_nothing()
    (shown,) = await broker.dead_tasks(100)
    assert (shown.kind, shown.user_id) == ("greet", ADA)


async def test_an_operator_lets_dead_tasks_be_done_again_with_all_their_tries(broker: TaskBroker):
    tasks = [some_task(number) for number in range(3)]
    await broker.put(tasks)
    async with taking(broker) as hands:
        for _ in tasks:
            await (await hands.next()).dead("SomeError")
        await dead_ones(broker, 3)
        assert await broker.redrive([tasks[1].id]) == 1
        again = await hands.next()
        assert (Task.decode(again.body), again.tries) == (tasks[1], 1)
        await again.done()
        assert {id_ for id_, _, _ in await dead_ones(broker, 2)} == {tasks[0].id, tasks[2].id}
        assert await broker.redrive() == 2
        assert {Task.decode((await hands.next()).body).id for _ in range(2)} == {tasks[0].id, tasks[2].id}
        assert await broker.dead_tasks(100) == []


async def test_an_operator_forgets_dead_tasks(broker: TaskBroker):
    await broker.put([some_task(1), some_task(2)])
    async with taking(broker) as hands:
        for _ in range(2):
            await (await hands.next()).dead("SomeError")
    await dead_ones(broker, 2)
    assert await broker.purge_dead() == 2
    assert await broker.dead_tasks(100) == []


async def test_a_task_that_costs_its_workers_their_lives_is_set_aside(make_broker: MakeBroker):
    task = some_task()
    watch = make_broker()
    await watch.put([task])
    deliveries = 0
    while deliveries < DELIVERY_LIMIT:
        doomed = make_broker()
        async with taking(doomed) as hands:
            taken = await hands.next()
            deliveries += 1
            assert taken.tries == deliveries
            if isinstance(doomed, MemoryTasks):
                await taken.give_back()
        await doomed.close()
    ((dead_id, tries, _error),) = await dead_ones(watch, 1)
    assert (dead_id, tries) == (task.id, DELIVERY_LIMIT)
    async with taking(watch) as hands:
        assert await hands.has_nothing()


async def fill(broker: TaskBroker) -> int:
    """Put tasks until the queue refuses one; returns how many it took. It holds 20, and may see that a little late."""
    for number in range(200):
        try:
            await broker.put([some_task(number)])
        except QueueFull:
            assert number >= 20
            return number
    raise AssertionError("it took 200")


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(broker: TaskBroker):
    put = await fill(broker)
    async with taking(broker, at_once=200) as hands:
        for number in range(put):  # every one that was acknowledged is there
            taken = await hands.next()
            assert Task.decode(taken.body).data == {"number": number}
            await taken.done()

        async def put_another() -> bool | None:
            try:
                await broker.put([some_task(put)])
            except QueueFull:
                return None
            return True

        await soon(put_another, "there is room")
        assert Task.decode((await hands.next()).body).data == {"number": put}


async def test_it_tells_how_much_is_waiting(broker: TaskBroker):
    await broker.put([some_task(number) for number in range(3)])

    async def all_wait() -> bool | None:
        return sum(queue.waiting for queue in await broker.status()) == 3 or None

    await soon(all_wait, "3 are waiting")
    async with taking(broker) as hands:
        for _ in range(3):
            await hands.next()
        assert max(queue.consumers for queue in await broker.status()) == 1


async def test_the_twin_can_be_away():
    memory = MemoryTasks()
    memory.unavailable = True
    with pytest.raises(Unavailable):
        await memory.put([some_task()])
    with pytest.raises(Unavailable):
        await memory.check()
