"""The to-dos module, put together."""

from collections.abc import Sequence

from banyan.infra.cache.following import Follower
from banyan.infra.cache.response_cache import ResponseCache
from banyan.infra.capabilities import Capabilities
from banyan.infra.db.transaction import Transaction
from banyan.infra.http.cached import CachedAnswers
from banyan.infra.module import Fold, Module, State
from banyan.infra.tasks.worker import TaskKind
from banyan.kernel.events import Event
from banyan.modules.todos import list_store, stats, store
from banyan.modules.todos.contract import STREAM, Todos
from banyan.modules.todos.handlers import account_deletion
from banyan.modules.todos.hot_routes import HotTodos
from banyan.modules.todos.internal_routes import internal_todos_router
from banyan.modules.todos.list_following import follow
from banyan.modules.todos.list_routes import list_router
from banyan.modules.todos.list_service import ListService
from banyan.modules.todos.model import apply_event
from banyan.modules.todos.reminders import Reminders
from banyan.modules.todos.routes import todo_router
from banyan.modules.todos.service import TodoService
from banyan.modules.todos.tasks import ReminderHandover, reminder_kind


def build(infra: Capabilities) -> Module:
    log = infra.logs[STREAM]
    service = TodoService(infra.shards, log, infra.clock)
    cache = ResponseCache(max_bytes=infra.settings.cache_max_bytes)
    follower = Follower(STREAM, follow)
    answers = CachedAnswers(STREAM, infra.positions, cache, infra.shared_cache, follower=follower)
    answers.measured(infra.metrics, "todos")
    hot = HotTodos(service, infra.cursors, answers)
    reminders = Reminders(infra.shards, log, infra.clock)
    # With a task queue this process only finds what is due, and workers tell it.
    finder = reminders if infra.tasks is None else ReminderHandover(infra.shards, infra.clock, infra.tasks)

    def on_commit(events: Sequence[Event]) -> None:
        follower.observe(events)
        finder.observe(events)

    return Module(
        name="todos",
        contract=reminders,
        log=log,
        routers=[
            todo_router(service, hot, stats.Statistics(infra.shards, infra.clock)),
            list_router(ListService(infra.shards, log, infra.clock)),
        ],
        consumers=[stats.PROJECTION.consumer, account_deletion(log)],
        loops=[finder.loop()],
        internal=[internal_todos_router(reminders, infra.service_tokens)],
        folds=[Fold(STREAM, apply_event, stored)],
        projections=[stats.PROJECTION],
        on_commit=on_commit,
    )


def task_kinds(todos: Todos) -> list[TaskKind]:
    """What a worker does for this module. todos: here, or in a service elsewhere."""
    return [reminder_kind(todos)]


async def stored(tx: Transaction, user_id: str) -> State:
    """What the tables hold of a user, in the form that events fold to."""
    state: State = {f"todo/{todo_id}": todo for todo_id, todo in (await store.all_of(tx, user_id)).items()}
    state |= {f"list/{found['id']}": found for found in await list_store.all_of(tx, user_id)}
    return state
