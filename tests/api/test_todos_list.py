"""GET /todos: order, filters, search, pages, cursors and entity tags."""

import itertools
import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from tests.support.accounts import Account, register
from tests.support.problems import assert_problem, pointers
from tests.support.server import RunningServer
from tests.support.todos import all_of, create, in_list_order, pages, titles

NewUser = Callable[..., Account]

HOW_MANY = 450
LABELS = ["home", "50 %", "ä"]
WORDS = ["Äpfel", "banyan", "50% off", "under_score", "back\\slash", "İstanbul", "Straße", "日本語"]


def test_without_an_order_the_newest_comes_first_and_before_all_that_have_one(new_user: NewUser) -> None:
    account = new_user()
    for title, order in [("a", 2), ("b", None), ("c", 1), ("d", None), ("e", 2), ("f", -1), ("g", 0)]:
        create(account.client, title, order=order)
    # d and b have none, the newest first; then by order; of the two with 2 the newer first.
    assert titles(all_of(account.client)) == ["d", "b", "f", "g", "c", "e", "a"]
    assert titles(all_of(account.client, limit=1)) == ["d", "b", "f", "g", "c", "e", "a"]


def test_a_to_do_moves_when_its_order_changes_and_not_otherwise(new_user: NewUser) -> None:
    account = new_user()
    a, b, c = (create(account.client, title) for title in "abc")
    account.client.patch(f"/todos/{a['id']}", json={"title": "a2"})
    assert titles(all_of(account.client)) == ["c", "b", "a2"]
    account.client.patch(f"/todos/{c['id']}", json={"order": 1})
    account.client.patch(f"/todos/{b['id']}", json={"order": 0})
    assert titles(all_of(account.client)) == ["a2", "b", "c"]


class Collection:
    """Many to-dos of one user, and the same in memory."""

    def __init__(self, account: Account) -> None:
        self.client = account.client
        chance = random.Random(20300131)
        self.lists = [self.client.post("/lists", json={"name": name}).json()["id"] for name in ("one", "two")]
        self.todos: list[dict[str, Any]] = []
        bodies = [self._body(chance, number) for number in range(HOW_MANY)]
        for start in range(0, HOW_MANY, 150):
            operations = [{"op": "create", "todo": body} for body in bodies[start : start + 150]]
            answer = self.client.post("/todos/batch", json={"operations": operations})
            assert answer.status_code == 200, answer.text
            self.todos += [result["todo"] for result in answer.json()["results"]]

    def _body(self, chance: random.Random, number: int) -> dict[str, Any]:
        word = chance.choice(WORDS)
        return {
            "title": f"{chance.choice([word, word.upper(), word.lower()])} {number}",
            "notes": chance.choice([None, None, "plain", f"see {chance.choice(WORDS)}"]),
            "completed": chance.random() < 0.3,
            "order": chance.choice([None, None, 0, 1, 1, 2, -7, 100]),
            "due_at": chance.choice(
                [None, "2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z"]
            ),
            "labels": chance.sample(LABELS, chance.randint(0, len(LABELS))),
            "list_id": chance.choice([None, *self.lists]),
        }

    def expected(self, **query: Any) -> list[dict[str, Any]]:
        return [todo for todo in in_list_order(self.todos) if _matches(todo, query)]


def _matches(todo: dict[str, Any], query: dict[str, Any]) -> bool:
    wanted = query.get("q", "").lower()
    due = todo["due_at"]
    return all(
        [
            "completed" not in query or todo["completed"] == (query["completed"] == "true"),
            wanted in todo["title"].lower() or wanted in (todo["notes"] or "").lower(),
            "list" not in query or todo["list_id"] == query["list"],
            "label" not in query or query["label"] in todo["labels"],
            "due_before" not in query or (due is not None and due < query["due_before"]),
            "due_after" not in query or (due is not None and due >= query["due_after"]),
        ]
    )


@pytest.fixture(scope="module")
def collection(server: RunningServer) -> Collection:
    return Collection(register(server.url))


CHOICES: dict[str, list[str]] = {
    "completed": ["true", "false"],
    "q": ["äpfel", "BANYAN", "50%", "_", "\\", "0"],
    "list": ["0", "1"],
    "label": ["50 %", "ä"],
    "due_before": ["2030-01-02T00:00:00.000000Z"],
    "due_after": ["2030-01-02T00:00:00.000000Z"],
}
COMBINATIONS = [
    names for count in range(len(CHOICES) + 1) for names in itertools.combinations(CHOICES, count)
]


@pytest.mark.parametrize("names", COMBINATIONS, ids=lambda names: "+".join(names) or "none")
def test_every_combination_of_filters_pages_through_what_a_sort_in_memory_gives(
    collection: Collection, names: tuple[str, ...]
) -> None:
    chance = random.Random(" ".join(names))
    query: dict[str, Any] = {name: chance.choice(CHOICES[name]) for name in names}
    if "list" in query:
        query["list"] = collection.lists[int(query["list"])]
    expected = collection.expected(**query)
    limit = chance.choice([7, 61, 200]) if len(expected) > 20 else chance.choice([1, 3])
    found = list(pages(collection.client, **query, limit=limit))
    assert [todo["id"] for page in found for todo in page] == [todo["id"] for todo in expected]
    assert [todo for page in found for todo in page] == expected
    # Full pages, and no empty one at the end.
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1] or not expected


def test_the_default_page_holds_100_and_the_largest_200(collection: Collection) -> None:
    assert [len(page) for page in pages(collection.client)] == [100, 100, 100, 100, 50]
    assert [len(page) for page in pages(collection.client, limit=200)] == [200, 200, 50]


def test_the_last_page_has_no_link(collection: Collection) -> None:
    answer = collection.client.get("/todos", params={"limit": 200, "label": "ä", "completed": "true"})
    assert "link" not in answer.headers


def test_paging_neither_skips_nor_repeats_when_others_come_and_go(new_user: NewUser) -> None:
    account = new_user()
    for number in range(30):
        create(account.client, f"t{number}", order=None if number % 2 else number // 10)
    before = all_of(account.client)
    seen = []
    for number, page in enumerate(pages(account.client, limit=5)):
        seen += page
        create(account.client, f"new {number}")
        # One that was shown goes; its neighbours must stay where they are.
        account.client.delete(f"/todos/{page[0]['id']}")
    assert [todo["id"] for todo in seen] == [todo["id"] for todo in before]


# --- search


@pytest.fixture(scope="module")
def library(server: RunningServer) -> Account:
    account = register(server.url)
    for title, notes in [
        ("Äpfel holen", None),
        ("STRASSE fegen", "in der Straße"),
        ("İstanbul", "TİCARET"),
        ("100% sure", None),
        ("100 percent", "snake_case"),
        ("snakeXcase", None),
        ("C:\\temp", None),
        ("Ёлка", "ПОКУПКИ"),
        ("Ὀδυσσεύς", None),
        ("日本語の本", None),
        ("naïve café", None),
    ]:
        create(account.client, title, notes=notes)
    return account


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("äpfel", ["Äpfel holen"]),
        ("ÄPFEL", ["Äpfel holen"]),
        ("pfel ho", ["Äpfel holen"]),
        ("straße", ["STRASSE fegen"]),
        ("strasse", ["STRASSE fegen"]),
        ("İSTANBUL", ["İstanbul"]),
        ("ticaret", []),
        ("tİcaret", ["İstanbul"]),
        ("ёЛКА", ["Ёлка"]),
        ("покупки", ["Ёлка"]),
        ("本語", ["日本語の本"]),
        ("CAFÉ", ["naïve café"]),
        # What means something to LIKE means itself.
        ("100%", ["100% sure"]),
        ("%", ["100% sure"]),
        ("snake_case", ["100 percent"]),
        ("_", ["100 percent"]),
        ("\\", ["C:\\temp"]),
        ("\\t", ["C:\\temp"]),
        ("%%%", []),
        ("'", []),
        ("nowhere", []),
        # Letters are compared, not normalized: an accent written separately is another text.
        ("cafe\u0301", []),
    ],
)
def test_search_finds_text_in_title_and_notes_whatever_the_case(
    library: Account, q: str, found: list[str]
) -> None:
    assert titles(all_of(library.client, q=q)) == found


# --- query parameters


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("completed=1", "query/completed"),
        ("completed=yes", "query/completed"),
        ("completed=TRUE", "query/completed"),
        ("completed=", "query/completed"),
        ("limit=0", "query/limit"),
        ("limit=201", "query/limit"),
        ("limit=x", "query/limit"),
        ("limit=1&limit=2", "query/limit"),
        ("q=", "query/q"),
        ("q=%00", "query/q"),
        ("q=%ED%A0%80", "query"),
        ("list=none", "query/list"),
        ("label=%20", "query/label"),
        ("due_before=2030", "query/due_before"),
        ("due_after=2030-01-01T00:00:00", "query/due_after"),
        ("page=2", "query/page"),
        ("user_id=me", "query/user_id"),
    ],
)
def test_a_query_that_cannot_be_accepted_is_named(library: Account, query: str, pointer: str) -> None:
    problem = assert_problem(library.client.get(f"/todos?{query}"), 422)
    assert pointers(problem) == [pointer]


def test_a_list_that_is_not_ones_own_holds_nothing(library: Account) -> None:
    assert all_of(library.client, list=str(uuid4())) == []


# --- cursors


def cursor_of(account: Account, **query: Any) -> str:
    answer = account.client.get("/todos", params={**query, "limit": 1})
    return answer.links["next"]["url"].split("cursor=")[1]


def test_a_cursor_is_good_for_its_own_user_and_query_only(library: Account, new_user: NewUser) -> None:
    other = new_user()
    cursor = cursor_of(library)
    assert library.client.get("/todos", params={"cursor": cursor}).status_code == 200
    assert_problem(other.client.get("/todos", params={"cursor": cursor}), 422, "invalid_cursor")
    for query in ({"completed": "true"}, {"q": "a"}, {"due_before": "2030-01-01T00:00:00Z"}, {"label": "x"}):
        answer = library.client.get("/todos", params={"cursor": cursor, **query})
        assert pointers(assert_problem(answer, 422, "invalid_cursor")) == ["query/cursor"]
    # How many a page holds may change on the way.
    assert library.client.get("/todos", params={"cursor": cursor, "limit": 3}).status_code == 200


def test_a_cursor_that_was_tampered_with_is_refused(library: Account) -> None:
    cursor = cursor_of(library)
    for index in range(0, len(cursor) - 1, 3):
        broken = cursor[:index] + ("A" if cursor[index] != "A" else "B") + cursor[index + 1 :]
        assert_problem(library.client.get("/todos", params={"cursor": broken}), 422, "invalid_cursor")


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "%00", "%F0%9F%8C%B3", "A" * 2048, "bnVsbA=="])
def test_a_cursor_that_is_none_is_refused(library: Account, cursor: str) -> None:
    assert_problem(library.client.get(f"/todos?cursor={cursor}"), 422, "invalid_cursor")


# --- entity tags


def test_an_unchanged_list_is_304_until_something_changes(new_user: NewUser) -> None:
    account = new_user()

    def read(tag: str) -> tuple[int, str]:
        answer = account.client.get("/todos", headers={"if-none-match": tag})
        assert (answer.content == b"") == (answer.status_code == 304)
        assert answer.headers["cache-control"] == "private, no-cache"
        # With this mark a list was followed and not loaded; another replica may load it, and knows it all the same.
        return answer.status_code, answer.headers["etag"].replace("~", "")

    status, tag = read('"none"')
    assert status == 200
    assert read(tag) == (304, tag)
    assert read(f'"x", W/{tag}') == (304, tag)
    assert read("*") == (304, tag)
    todo = create(account.client)
    changes: list[Callable[[], Any]] = [
        lambda: account.client.patch(f"/todos/{todo['id']}", json={"title": "y"}),
        lambda: account.client.post("/lists", json={"name": "x"}),
        lambda: account.client.delete(f"/todos/{todo['id']}"),
    ]
    for change in changes:
        status, tag = read(tag)
        assert status == 200
        assert read(tag) == (304, tag)
        change()
    assert read(tag)[0] == 200


@pytest.mark.single_process  # a fleet has a public URL, whatever the host
def test_tags_of_different_queries_and_hosts_differ(new_user: NewUser) -> None:
    account = new_user()
    create(account.client)
    tags = [
        account.client.get("/todos", params=query).headers["etag"]
        for query in ({}, {"limit": 1}, {"completed": "true"})
    ]
    tags.append(account.client.get("/todos", headers={"host": "other.example"}).headers["etag"])
    assert len(set(tags)) == 4


def test_what_changes_nothing_leaves_the_tag(new_user: NewUser) -> None:
    account = new_user()
    todo = create(account.client)
    tag = account.client.get("/todos").headers["etag"]
    account.client.patch(f"/todos/{todo['id']}", json={"title": todo["title"], "completed": False})
    account.client.patch(f"/todos/{todo['id']}", json={})
    assert account.client.get("/todos", headers={"if-none-match": tag}).status_code == 304


def test_the_to_dos_of_others_are_not_shown_and_do_not_change_ones_tag(new_user: NewUser) -> None:
    one, other = new_user(), new_user()
    create(one.client)
    tag = one.client.get("/todos").headers["etag"]
    create(other.client, "secret")
    assert one.client.get("/todos", headers={"if-none-match": tag}).status_code == 304
    assert "secret" not in one.client.get("/todos").text
