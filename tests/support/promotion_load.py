"""A server under load that is promoted, rolled back or killed meanwhile, and the judgement of what its clients were told."""

import random
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.accounts import register
from tests.support.command_line import Finished, banyan
from tests.support.crash_load import Follower, Person, Worker
from tests.support.crash_run import USERS, judge, make_workers
from tests.support.intent_log import IntentLog
from tests.support.server import RunningServer

BUSY_TIMEOUT_SECONDS = 30.0
LOOK_SECONDS = 0.02


class LoadedServer:
    """A context manager: the server runs and is loaded inside. `judge` ends the load."""

    def __init__(self, server: RunningServer, folder: Path, *, seed: int) -> None:
        self.server = server
        self.log = IntentLog(folder / "intents.jsonl")
        self._chance = random.Random(seed)
        self.people: list[Person] = []
        self.workers: list[Worker] = []
        self.followers: list[Follower] = []

    def __enter__(self) -> Self:
        self.server.start()
        self.people = [Person(register(self.server.url)) for _ in range(USERS)]
        self.workers = [
            worker
            for number, person in enumerate(self.people)
            for worker in make_workers(self.server.url, number, person, self.log, self._chance)
        ]
        self.followers = [Follower(self.server.url, person.account) for person in self.people]
        for thread in (*self.workers, *self.followers):
            thread.start()
        self.work(100)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_working()
        for follower in self.followers:
            follower.stop()
        for follower in self.followers:
            follower.join(10)
        for person in self.people:
            person.account.client.close()
        self.log.close()

    def work(self, operations: int) -> None:
        """Return when so many more operations were acknowledged."""
        wanted = self.acknowledged + operations
        deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
        while self.acknowledged < wanted:
            for thread in (*self.workers, *self.followers):
                if thread.error is not None:
                    raise thread.error
            assert time.monotonic() < deadline, f"no {operations} operations in {BUSY_TIMEOUT_SECONDS:g} s"
            time.sleep(LOOK_SECONDS)

    @property
    def acknowledged(self) -> int:
        return sum(operation.outcome == "done" for operation in self.log.operations())

    def promote(self, *arguments: str, settings: dict[str, str] | None = None) -> Finished:
        return banyan(["promote", *arguments], self.server.data_dir, settings, timeout_seconds=100)

    def promoted(self, *arguments: str) -> dict[str, Any]:
        """The last line of what the command said; it must have succeeded."""
        done = self.promote(*arguments, "--json")
        assert done.code == 0, f"{done.err}\n{self.server.log_text()[-3000:]}"
        return done.json_lines()[-1]

    def failures(self) -> list[str]:
        """Every request that was not answered as it should be, and every live stream that was cut."""
        cut = [
            f"{follower.name} was cut {follower.ended} times" for follower in self.followers if follower.ended
        ]
        return [failure for worker in self.workers for failure in worker.failures] + cut

    def judge(self) -> list[str]:
        """End the load; a sentence for each promise that was broken, failed requests aside."""
        self._stop_working()
        errors = [f"{worker.name}: {worker.error!r}" for worker in self.workers if worker.error is not None]
        return errors or judge(self.server, self.people, self.followers, self.log)

    def _stop_working(self) -> None:
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            worker.join(60)
