"""Following: the answer of an earlier position, with every event since; never with a gap."""

from collections.abc import Hashable, Sequence

from banyan.infra.cache.following import MOST_STEPS, Follower
from banyan.infra.cache.response_cache import Entry
from banyan.kernel.events import Event

MADE = Entry(b'"1"', b"1")


def event(position: int, *, user_id: str = "ada", stream: str = "todos") -> Event:
    return Event(
        f"{user_id}{position}", user_id, stream, position, "Counted", "x", {"n": position}, None, "now"
    )


def applied(_key: Hashable, entry: Entry, events: Sequence[Event]) -> Entry:
    """The numbers of all events, one after another."""
    return Entry(b'"n"', b",".join([entry.body, *(b"%d" % one.data["n"] for one in events)]))


def follower(*events: Event, max_events: int = 100) -> Follower:
    made = Follower("todos", applied, max_events=max_events)
    made.observe(events)
    return made


def body(found: Entry | None) -> bytes | None:
    return None if found is None else found.body


def test_events_are_applied_in_their_order_however_they_were_heard():
    heard = follower(event(3), event(2), event(4), event(3))
    assert body(heard.brought_up("ada", "q", 1, MADE, 4)) == b"1,2,3,4"
    assert body(heard.brought_up("ada", "q", 1, MADE, 2)) == b"1,2"


def test_with_an_event_missing_it_is_to_be_loaded():
    assert follower(event(2), event(4)).brought_up("ada", "q", 1, MADE, 4) is None
    assert follower(event(2)).brought_up("ada", "q", 1, MADE, 3) is None


def test_events_of_others_and_of_other_streams_are_not_its_own():
    assert follower(event(2, user_id="bob")).brought_up("ada", "q", 1, MADE, 2) is None
    assert follower(event(2, stream="users")).brought_up("ada", "q", 1, MADE, 2) is None


def test_an_answer_of_a_later_position_is_not_led_back():
    assert follower(event(1), event(2)).brought_up("ada", "q", 2, MADE, 1) is None


def test_many_events_are_not_followed_and_old_ones_are_forgotten():
    many = [event(position) for position in range(2, MOST_STEPS + 3)]
    assert follower(*many).brought_up("ada", "q", 1, MADE, MOST_STEPS + 1) is not None
    assert follower(*many).brought_up("ada", "q", 1, MADE, MOST_STEPS + 2) is None
    assert follower(event(2), event(3), max_events=1).brought_up("ada", "q", 1, MADE, 3) is None
