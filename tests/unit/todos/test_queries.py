"""The query string of GET /todos, read by the lean handler itself."""

import pytest

from banyan.infra.http.query import next_link
from banyan.infra.http.query import parse_query as parse
from banyan.kernel.errors import InvalidInput
from banyan.modules.todos.views import TodoQuery


def parse_query(query: bytes) -> TodoQuery:
    return parse(query, TodoQuery)


def test_no_query_means_the_defaults() -> None:
    query = parse_query(b"")
    assert (query.limit, query.completed, query.cursor) == (100, None, None)


def test_all_parameters_together() -> None:
    query = parse_query(
        b"completed=false&q=%C3%84pfel+holen&list=01890A5D-AC96-774B-BCCE-B302099A8057&label=a%26b"
        b"&due_before=2030-01-31T09:00:00%2B02:00&due_after=2030-01-30T00:00:00Z&limit=7&cursor=abc"
    )
    assert query.completed is False
    assert query.q == "Äpfel holen"
    assert query.list == "01890a5d-ac96-774b-bcce-b302099a8057"
    assert query.label == "a&b"
    assert query.due_before == "2030-01-31T07:00:00.000000Z"
    assert query.due_after == "2030-01-30T00:00:00.000000Z"
    assert (query.limit, query.cursor) == (7, "abc")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        (b"completed=1", "query/completed"),
        (b"completed=True", "query/completed"),
        (b"completed=", "query/completed"),
        (b"completed", "query/completed"),
        (b"limit=0", "query/limit"),
        (b"limit=201", "query/limit"),
        (b"limit=-1", "query/limit"),
        (b"limit=ten", "query/limit"),
        (b"limit=1.5", "query/limit"),
        (b"limit=" + b"9" * 5000, "query/limit"),
        (b"limit=5&limit=6", "query/limit"),
        (b"q=", "query/q"),
        (b"q=%00", "query/q"),
        (b"q=" + b"x" * 201, "query/q"),
        (b"label=", "query/label"),
        (b"list=garden", "query/list"),
        (b"due_before=2030-01-31", "query/due_before"),
        (b"due_after=yesterday", "query/due_after"),
        # An unescaped plus sign is a space: the zone is gone.
        (b"due_after=2030-01-31T09:00:00+02:00", "query/due_after"),
        (b"cursor=" + b"x" * 2049, "query/cursor"),
        (b"colour=red", "query/colour"),
        (b"Completed=true", "query/Completed"),
        (b"q=%ff", "query"),
        (b"q=\xc3\xa4", "query"),
        (b"&".join(b"a=1" for _ in range(60)), "query"),
    ],
    ids=lambda value: value[:30].decode("latin-1") if isinstance(value, bytes) else value,
)
def test_what_is_no_query_of_ours_is_refused_and_says_where(query: bytes, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_query(query)
    assert [error.pointer for error in caught.value.errors] == [pointer]


def link_of(query: bytes) -> str:
    return next_link("http://here/todos", query, "NEXT").decode("ascii")


def test_the_next_page_is_the_same_query_with_another_cursor() -> None:
    assert link_of(b"") == '<http://here/todos?cursor=NEXT>; rel="next"'
    assert link_of(b"limit=5&cursor=OLD&q=a+b") == '<http://here/todos?limit=5&q=a+b&cursor=NEXT>; rel="next"'
    assert link_of(b"%63ursor=OLD&limit=5") == '<http://here/todos?limit=5&cursor=NEXT>; rel="next"'


@pytest.mark.parametrize(
    "query", [b'q=a>b"', b'q=<a>; rel="self", </x>', b"q=%3E%22%26", b"q=a%2Bb", b"q=%25"]
)
def test_no_query_can_break_out_of_the_link(query: bytes) -> None:
    link = link_of(query)
    address = link.removeprefix("<").removesuffix('>; rel="next"')
    assert not set(address) & set('<>" ')
    assert parse_query(address.partition("?")[2].encode()).q == parse_query(query).q
