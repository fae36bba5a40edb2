"""To-dos, step by step, beside a dictionary that does the same.

Hypothesis makes up lives of one user's to-dos through the API. After every step the answer must be what the model says,
and at the end of each life the event log must tell the same story: positions 1, 2, 3, … without a gap, each event told
to its to-do, and all events folded together exactly what GET /todos shows.
"""

from typing import Any
from uuid import UUID

import httpx
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.support.accounts import Account, register
from tests.support.server import RunningServer
from tests.support.todos import all_of, in_list_order

from banyan.kernel.events import Event
from banyan.modules.todos.model import DEFAULTS, apply_event

TITLES = st.sampled_from(["a", "b", "Äpfel", "100%", "under_score", "x" * 500]) | st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=8
).filter(lambda text: text.strip() != "")
TIMES = st.none() | st.sampled_from(["2090-01-01T00:00:00.000000Z", "2090-01-02T00:00:00.000000Z"])
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "completed": st.booleans(),
    "order": st.none() | st.integers(-2, 2),
    "notes": st.none() | st.sampled_from(["", "äpfel", "see 100%"]),
    "due_at": TIMES,
    "remind_at": TIMES,
    "priority": st.integers(0, 4),
    "labels": st.lists(st.sampled_from(["x", "y", "ä"]), unique=True, max_size=3),
}
FIELDS = st.fixed_dictionaries({"title": TITLES}, optional=OPTIONAL)
CHANGES = st.fixed_dictionaries({}, optional={"title": TITLES, **OPTIONAL})
# A small set, so that the same id is chosen again, also after its to-do was deleted.
OWN_IDS = st.integers(1, 6).map(lambda number: str(UUID(int=number)))
DECIDED_BY_BANYAN = ("created_at", "updated_at", "completed_at", "url")

NO_SUCH = "ffffffff-ffff-4fff-8fff-ffffffffffff"


class Todos(RuleBasedStateMachine):
    """One user. known: id → to-do as it must be, in the order of making. position: how many events there must be."""

    ids = Bundle("ids")

    def __init__(self, server: RunningServer) -> None:
        super().__init__()
        self.server = server
        self.account: Account
        self.client: httpx.Client
        self.known: dict[str, dict[str, Any]] = {}
        self.ever: set[str] = set()
        self.position = 0

    @initialize()
    def begin(self) -> None:
        self.account = register(self.server.url)
        self.client = self.account.client

    # --- what a client does

    @rule(target=ids, fields=FIELDS)
    def create(self, fields: dict[str, Any]) -> str:
        answer = self.client.post("/todos", json=fields)
        assert answer.status_code == 201, answer.text
        return self._born(answer.json(), fields)

    @rule(target=ids, own_id=OWN_IDS, fields=FIELDS)
    def create_with_an_id(self, own_id: str, fields: dict[str, Any]) -> str:
        answer = self.client.post("/todos", json={"id": own_id, **fields})
        if own_id in self.known:
            assert answer.status_code == 200, answer.text
            self._agrees(answer.json(), self.known[own_id])
            return own_id
        assert answer.status_code == 201, answer.text
        return self._born(answer.json(), {"id": own_id, **fields})

    @rule(todo_id=ids, changes=CHANGES, version=st.sampled_from(["none", "right", "wrong", "*"]))
    def patch(self, todo_id: str, changes: dict[str, Any], version: str) -> None:
        headers = self._if_match(todo_id, version)
        self._change(
            self.client.patch(f"/todos/{todo_id}", json=changes, headers=headers), todo_id, changes, version
        )

    @rule(todo_id=ids, fields=FIELDS, version=st.sampled_from(["none", "right", "wrong"]))
    def put(self, todo_id: str, fields: dict[str, Any], version: str) -> None:
        headers = self._if_match(todo_id, version)
        answer = self.client.put(f"/todos/{todo_id}", json=fields, headers=headers)
        self._change(answer, todo_id, {**DEFAULTS, **fields}, version)

    @rule(todo_id=consumes(ids))
    def delete(self, todo_id: str) -> None:
        answer = self.client.delete(f"/todos/{todo_id}")
        assert answer.status_code == (204 if todo_id in self.known else 404)
        self._gone([todo_id])

    @rule(completed=st.sampled_from(["true", "false"]))
    def delete_some(self, completed: str) -> None:
        assert self.client.delete("/todos", params={"completed": completed}).status_code == 204
        self._gone([i for i, todo in self.known.items() if todo["completed"] == (completed == "true")])

    @rule(
        target=ids,
        steps=st.lists(
            st.tuples(st.just("create"), st.none() | OWN_IDS, FIELDS)
            | st.tuples(st.just("update"), ids, CHANGES)
            | st.tuples(st.just("delete"), ids, st.none()),
            min_size=1,
            max_size=5,
        ),
        broken=st.integers(0, 9),
    )
    def batch(self, steps: list[tuple[str, str | None, Any]], broken: int) -> Any:
        """broken: at this step, if there is one, stands an operation that cannot be done."""
        operations: list[dict[str, Any]] = []
        for op, todo_id, fields in steps:
            if op == "create":
                operations.append({"op": op, "todo": {**({"id": todo_id} if todo_id else {}), **fields}})
            elif op == "update":
                operations.append({"op": op, "id": todo_id, "changes": fields})
            else:
                operations.append({"op": op, "id": todo_id})
        if broken < len(operations):
            operations.insert(broken, {"op": "delete", "id": NO_SUCH})
        answer = self.client.post("/todos/batch", json={"operations": operations})
        failing = self._first_impossible(operations)
        if failing is not None:
            assert answer.status_code == 404, answer.text
            assert answer.json()["detail"].startswith(f"Operation {failing}: ")
            return multiple()
        assert answer.status_code == 200, answer.text
        return multiple(
            *[self._result(*pair) for pair in zip(operations, answer.json()["results"], strict=True)]
        )

    # --- what a client sees

    @rule(
        query=st.fixed_dictionaries(
            {"limit": st.sampled_from([1, 2, 200])},
            optional={
                "completed": st.sampled_from(["true", "false"]),
                "q": st.sampled_from(["A", "ÄPFEL", "%", "_", "100%"]),
                "label": st.sampled_from(["x", "ä"]),
                "due_before": st.just("2090-01-02T00:00:00Z"),
                "due_after": st.just("2090-01-02T00:00:00Z"),
            },
        )
    )
    def list_some(self, query: dict[str, Any]) -> None:
        expected = [todo for todo in in_list_order(list(self.known.values())) if _matches(todo, query)]
        assert all_of(self.client, **query) == expected

    @rule(todo_id=ids)
    def read(self, todo_id: str) -> None:
        answer = self.client.get(f"/todos/{todo_id}")
        if todo_id in self.known:
            assert answer.json() == self.known[todo_id]
            assert answer.headers["etag"] == f'"{self.known[todo_id]["version"]}"'
        else:
            assert answer.status_code == 404

    @invariant()
    def the_stream_is_where_the_model_is(self) -> None:
        """And the list, which may come from a cache, holds what it must."""
        answer = self.client.get("/todos", params={"limit": 200})
        assert int(answer.headers["etag"].strip('"').split("-")[0]) == self.position
        assert answer.json() == in_list_order(list(self.known.values()))
        again = self.client.get(
            "/todos", params={"limit": 200}, headers={"if-none-match": answer.headers["etag"]}
        )
        assert again.status_code == 304

    def teardown(self) -> None:
        """The log tells the same story."""
        if not hasattr(self, "account"):
            return
        events: list[Event] = []
        for todo_id in self.ever:
            after = 0
            while history := self.client.get(
                f"/todos/{todo_id}/history", params={"after": after, "limit": 7} if after else {"limit": 7}
            ).json():
                for entry in history:
                    after = entry["position"]
                    assert entry["actor"] == self.account.session_id
                    events.append(
                        Event(
                            "",
                            self.account.id,
                            "todos",
                            after,
                            entry["type"],
                            todo_id,
                            entry["data"],
                            None,
                            entry["at"],
                        )
                    )
        events.sort(key=lambda event: event.position)
        assert [event.position for event in events] == list(range(1, self.position + 1))
        assert [event.at for event in events] == sorted(event.at for event in events)
        folded: dict[str, dict[str, Any]] = {}
        for event in events:
            apply_event(folded, event)
        shown = {todo["id"]: todo for todo in all_of(self.client)}
        assert {key: _without(todo, "created_position") for key, todo in folded.items()} == {
            f"todo/{todo_id}": _without(todo, "url") for todo_id, todo in shown.items()
        }
        self.client.close()

    # --- the model

    def _born(self, shown: dict[str, Any], fields: dict[str, Any]) -> str:
        todo_id = shown["id"]
        note(f"made {todo_id}")
        assert todo_id not in self.known
        self._agrees(shown, {**DEFAULTS, **fields, "id": todo_id, "version": 1, "list_id": None})
        assert (shown["completed_at"] is not None) == shown["completed"]
        self.known[todo_id] = shown
        self.ever.add(todo_id)
        self.position += 1
        return todo_id

    def _change(self, answer: httpx.Response, todo_id: str, wanted: dict[str, Any], version: str) -> None:
        if todo_id not in self.known:
            assert answer.status_code == 404, answer.text
        elif version == "wrong":
            assert answer.status_code == 412, answer.text
        else:
            assert answer.status_code == 200, answer.text
            self._changed(todo_id, wanted, answer.json())

    def _changed(self, todo_id: str, wanted: dict[str, Any], shown: dict[str, Any]) -> None:
        before = self.known[todo_id]
        if all(before[name] == value for name, value in wanted.items()):
            assert shown == before
            return
        self._agrees(shown, {**before, **wanted, "version": before["version"] + 1})
        assert shown["updated_at"] > before["updated_at"]
        assert shown["created_at"] == before["created_at"]
        if shown["completed"] == before["completed"]:
            assert shown["completed_at"] == before["completed_at"]
        else:
            assert shown["completed_at"] == (shown["updated_at"] if shown["completed"] else None)
        self.known[todo_id] = shown
        self.position += 1

    def _gone(self, ids: list[str]) -> None:
        for todo_id in ids:
            if self.known.pop(todo_id, None) is not None:
                self.position += 1

    def _agrees(self, shown: dict[str, Any], expected: dict[str, Any]) -> None:
        assert shown["url"] == f"{self.server.url}/todos/{shown['id']}"
        assert _without(shown, *DECIDED_BY_BANYAN) == _without(expected, *DECIDED_BY_BANYAN)

    def _if_match(self, todo_id: str, version: str) -> dict[str, str]:
        if version == "none":
            return {}
        if version == "*":
            return {"if-match": "*"}
        current = self.known[todo_id]["version"] if todo_id in self.known else 1
        return {"if-match": f'"{current if version == "right" else current + 1}"'}

    def _first_impossible(self, operations: list[dict[str, Any]]) -> int | None:
        there = set(self.known)
        for number, operation in enumerate(operations):
            if operation["op"] == "create":
                there.add(operation["todo"].get("id", ""))
            elif operation["id"] not in there:
                return number
            elif operation["op"] == "delete":
                there.discard(operation["id"])
        return None

    def _result(self, operation: dict[str, Any], result: dict[str, Any]) -> str:
        assert result["op"] == operation["op"]
        todo_id: str = result["id"]
        shown = result["todo"]
        if operation["op"] == "delete":
            assert (todo_id, shown) == (operation["id"], None)
            self._gone([todo_id])
        elif operation["op"] == "update":
            self._changed(operation["id"], operation["changes"], shown)
        elif todo_id in self.known:
            assert shown == self.known[todo_id]
        else:
            self._born(shown, operation["todo"])
        return todo_id


def _matches(todo: dict[str, Any], query: dict[str, Any]) -> bool:
    wanted = query.get("q", "").lower()
    return (
        ("completed" not in query or todo["completed"] == (query["completed"] == "true"))
        and (wanted in todo["title"].lower() or wanted in (todo["notes"] or "").lower())
        and ("label" not in query or query["label"] in todo["labels"])
        and ("due_before" not in query or (todo["due_at"] or "9") < query["due_before"][:10])
        and ("due_after" not in query or (todo["due_at"] or "") >= query["due_after"][:10])
    )


def _without(todo: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in todo.items() if name not in names}


def test_any_life_of_to_dos_goes_as_the_model_says(server: RunningServer) -> None:
    class Here(Todos):
        def __init__(self) -> None:
            super().__init__(server)

    run_state_machine_as_test(
        Here,
        settings=settings(
            # The same lives each time: a run that fails is repeated by running it again.
            derandomize=True,
            # A life of 30 steps can be read as it is; making it shorter would take minutes of a failing run.
            phases=[Phase.generate],
            max_examples=80,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.filter_too_much,
            ],
        ),
    )
