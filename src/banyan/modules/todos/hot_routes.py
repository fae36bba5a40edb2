"""The lean handlers of the most used operations: `GET /todos` and `POST /todos`. See infra/http/hot.py."""

from pydantic import TypeAdapter, ValidationError

from banyan.infra.auth.cursors import CursorSigner
from banyan.infra.cache.response_cache import Entry
from banyan.infra.db.idempotency import idempotent_request
from banyan.infra.http.cached import CachedAnswers, Loaded
from banyan.infra.http.hot import JSON, Answer, Headers, HotRequest
from banyan.infra.http.json_body import read_json, require_json
from banyan.infra.http.problems import from_pydantic
from banyan.infra.http.query import next_link, parse_query
from banyan.modules.todos.creation import Actor, CreateTodo
from banyan.modules.todos.list_following import tag
from banyan.modules.todos.service import TodoService
from banyan.modules.todos.store import Filters
from banyan.modules.todos.views import TodoCreate, TodoQuery

_CREATE = TypeAdapter(TodoCreate)


class HotTodos:
    def __init__(self, service: TodoService, cursors: CursorSigner, answers: CachedAnswers) -> None:
        self._service = service
        self._cursors = cursors
        self.list_todos = answers.route(_key_of, self._load)

    async def create_todo(self, request: HotRequest) -> Answer:
        require_json(request.header(b"content-type"))
        body = await request.body()
        try:
            new = _CREATE.validate_python(read_json(body))
        except ValidationError as error:
            raise from_pydantic(error) from error
        fields = new.model_dump(exclude_unset=True)
        todo_id = fields.pop("id", None)
        actor = actor_of(request)
        key = request.header(b"idempotency-key")
        idempotent = idempotent_request(
            actor.user_id, None if key is None else key.decode("latin-1"), "POST /todos", body
        )
        answer = await self._service.create(CreateTodo(actor, todo_id, fields, idempotent))
        headers: Headers = [JSON]
        if answer.location is not None and answer.etag is not None:
            headers += [(b"location", answer.location.encode()), (b"etag", answer.etag.encode())]
        return Answer(answer.status, headers, answer.body)

    async def _load(self, request: HotRequest, key: tuple[bytes, str]) -> Loaded:
        query = parse_query(request.query, TodoQuery)
        actor = actor_of(request)
        filters = Filters(
            query.completed, query.q, query.list, query.label, query.due_before, query.due_after
        )
        purpose = "todos?" + repr(filters)
        after = None
        if query.cursor is not None:
            order, position = self._cursors.open(purpose, actor.user_id, query.cursor)
            after = (order, position)
        page = await self._service.page(actor, filters, after, query.limit)
        link = None
        if page.next_place is not None:
            cursor = self._cursors.sign(purpose, actor.user_id, list(page.next_place))
            link = next_link(actor.base_url + "/todos", request.query, cursor)
        return Loaded(page.position, Entry(tag(page.position, key), f"[{page.todos}]".encode(), link))


def _key_of(query: bytes, base_url: str) -> tuple[bytes, str]:
    return query, base_url


def actor_of(request: HotRequest) -> Actor:
    principal = request.principal
    return Actor(principal.user_id, principal.session_id, request.scope["banyan.base_url"])
