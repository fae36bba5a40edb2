"""A task queue in memory whose tasks are done when the test likes."""

from collections.abc import Sequence

from banyan.infra.tasks.memory import MemoryTasks
from banyan.infra.tasks.task import Task


class Handed(MemoryTasks):
    """tasks: what was put and not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[Task] = []

    async def put(self, tasks: Sequence[Task]) -> None:
        await super().put(tasks)
        self.tasks += tasks

    def take_all(self) -> list[Task]:
        taken, self.tasks = self.tasks, []
        return taken
