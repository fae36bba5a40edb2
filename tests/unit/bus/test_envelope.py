"""The envelope: an event survives the way through Kafka unchanged, and what is no event is told from one."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.infra.bus.kafka.envelope import NotAnEvent, decode, encode
from banyan.kernel.events import Event

EVENT = Event(
    id="0198c0de-0000-7000-8000-000000000001",
    user_id="0198c0de-0000-7000-8000-000000000002",
    stream="todos",
    position=7,
    type="TodoCreated",
    subject="0198c0de-0000-7000-8000-000000000003",
    data={"title": "Wässern", "order": None, "labels": ["a"]},
    actor="0198c0de-0000-7000-8000-000000000004",
    at="2030-01-02T03:04:05.000006Z",
    sequence=2**40,
    trace="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
)

texts = st.text(st.characters(codec="utf-8"))
names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=32)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
events = st.builds(
    Event,
    id=names,
    user_id=names,
    stream=names,
    position=st.integers(1, 2**63 - 1),
    type=names,
    subject=names,
    data=st.dictionaries(texts, values, max_size=6),
    actor=st.none() | names,
    at=st.datetimes().map(lambda at: at.isoformat(timespec="microseconds") + "Z"),
    sequence=st.integers(0, 10**18 - 1),
    trace=st.none() | st.just(EVENT.trace),
)


@given(events)
def test_an_event_comes_back_as_it_was(event: Event):
    assert decode(encode(event)) == event


def test_the_message_is_a_cloud_event():
    """Attribute names and types as CloudEvents 1.0.2 wants them."""
    envelope = json.loads(encode(EVENT))
    assert envelope["specversion"] == "1.0"
    assert envelope["source"] == "banyan/todos"
    assert envelope["type"] == "org.banyan.TodoCreated.v1"
    assert envelope["dataschema"] == "urn:banyan:event:TodoCreated:1"
    assert envelope["datacontenttype"] == "application/json"
    assert envelope["traceparent"] == EVENT.trace
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in envelope)
    assert all(value is not None for value in envelope.values())
    integers = [name for name, value in envelope.items() if isinstance(value, int)]
    assert integers == ["position"]


def test_what_is_not_there_is_left_out():
    envelope = json.loads(encode(replace(EVENT, actor=None, trace=None)))
    assert not {"actor", "traceparent"} & envelope.keys()


def changed(**fields: Any) -> bytes:
    envelope = json.loads(encode(EVENT))
    return json.dumps({**envelope, **fields}).encode()


def test_attributes_of_others_are_passed_over():
    assert decode(changed(partitionkey="x", knativearrivaltime="now")) == EVENT


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "malformed"),
        (b"", "malformed"),
        (b"\xff\x00nonsense", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed specversion"),
        (changed(specversion="0.3"), "malformed specversion"),
        (changed(position="7"), "malformed position"),
        (changed(position=0), "malformed position"),
        (changed(position=True), "malformed position"),
        (changed(position=1.5), "malformed position"),
        (changed(sequence=7), "malformed sequence"),
        (changed(sequence="x"), "malformed sequence"),
        (changed(userid=None), "malformed userid"),
        (changed(userid=""), "malformed userid"),
        (changed(userid="x" * 37), "malformed userid"),
        (changed(userid="a\0b"), "malformed userid"),
        (changed(subject="a\nb"), "malformed subject"),
        (changed(data="text"), "malformed data"),
        (changed(data=None), "malformed data"),
        (changed(time="yesterday"), "malformed time"),
        (changed(type="com.example.Other"), "malformed type"),
        (changed(type="org.banyan.TodoCreated.v2"), "unknown_version type"),
        (changed(dataschema="urn:banyan:event:TodoCreated:2"), "unknown_version dataschema"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(value: bytes | None, reason: str):
    with pytest.raises(NotAnEvent) as refused:
        decode(value)
    assert refused.value.reason == reason
    assert (refused.value.event is not None) == reason.startswith("unknown_version")


@given(st.binary(max_size=200) | st.recursive(values, st.lists).map(lambda v: json.dumps(v).encode()))
def test_nothing_that_is_sent_breaks_the_reader(value: bytes):
    with pytest.raises(NotAnEvent):
        decode(value)
