"""To-dos for tests: made, and read page by page, through the API."""

from collections.abc import Iterator
from typing import Any

import httpx


def create(client: httpx.Client, title: str = "Water the banyan", **fields: Any) -> dict[str, Any]:
    """A new to-do, as the server answers it."""
    answer = client.post("/todos", json={"title": title, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def pages(client: httpx.Client, **query: Any) -> Iterator[list[dict[str, Any]]]:
    """Each page of GET /todos with this query, by its `Link`."""
    answer = client.get("/todos", params=query)
    seen: set[str] = set()
    while True:
        assert answer.status_code == 200, answer.text
        yield answer.json()
        following = answer.links.get("next")
        if following is None:
            return
        assert following["url"] not in seen, "the pages go in a circle"
        seen.add(following["url"])
        answer = client.get(following["url"])


def all_of(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """Every to-do that the query finds, page by page."""
    return [todo for page in pages(client, **query) for todo in page]


def titles(todos: list[dict[str, Any]]) -> list[str]:
    return [todo["title"] for todo in todos]


def in_list_order(todos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """To-dos given in the order of their making, sorted as GET /todos sorts them."""
    newest_first = list(reversed(todos))
    return [todo for todo in newest_first if todo["order"] is None] + sorted(
        (todo for todo in newest_first if todo["order"] is not None), key=lambda todo: todo["order"]
    )
