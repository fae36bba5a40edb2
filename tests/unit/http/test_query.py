"""Query strings of lean handlers."""

from typing import Annotated

import pytest
from pydantic import BeforeValidator

from banyan.infra.http.fields import Body
from banyan.infra.http.query import MAX_PARAMETERS, next_link, parse_query, true_or_false
from banyan.kernel.errors import InvalidInput


class Query(Body):
    limit: int = 5
    flag: Annotated[bool | None, BeforeValidator(true_or_false)] = None
    text: str | None = None


def test_nothing_is_the_defaults():
    assert parse_query(b"", Query) == Query()


def test_values_are_read_as_their_fields_are():
    assert parse_query(b"limit=7&flag=false&text=a%20%C3%BC+b", Query) == Query(
        limit=7, flag=False, text="a ü b"
    )


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        (b"limit=x", "query/limit"),
        (b"flag=1", "query/flag"),
        (b"flag=True", "query/flag"),
        (b"limit=1&limit=1", "query/limit"),
        (b"unknown=1", "query/unknown"),
        (b"text=%ff", "query"),
        (b"text=\xff", "query"),
        (b"&".join(b"a%d=1" % number for number in range(MAX_PARAMETERS + 1)), "query"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(query: bytes, pointer: str):
    with pytest.raises(InvalidInput) as refused:
        parse_query(query, Query)
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_the_next_page_has_the_same_query_and_another_cursor():
    link = next_link("http://x/y", b"limit=2&cursor=old&unread=true", "new")
    assert link == b'<http://x/y?limit=2&unread=true&cursor=new>; rel="next"'
    assert next_link("http://x/y", b"", "new") == b'<http://x/y?cursor=new>; rel="next"'
