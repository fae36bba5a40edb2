"""When a to-do asks for attention: at `remind_at` and at `due_at`, once each."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.kernel.clock import to_text
from banyan.modules.todos.model import (
    PAST_GRACE,
    changes_of,
    first_reminder,
    new_todo,
    reminder_after,
    reminder_after_change,
    reminder_kind,
)

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
NOW = to_text(NOON)
GRACE = PAST_GRACE.total_seconds()
MOMENT = timedelta(microseconds=1).total_seconds()


def at(seconds: float) -> str:
    """The time so many seconds from now."""
    return to_text(NOON + timedelta(seconds=seconds))


def todo(**fields: Any) -> dict[str, Any]:
    return new_todo("an-id", {"title": "x", **fields}, at(-86_400))


def after(before: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    return {**before, **changes_of(before, wanted, NOW)}


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({}, None),
        ({"due_at": at(60)}, at(60)),
        ({"remind_at": at(60)}, at(60)),
        ({"remind_at": at(30), "due_at": at(60)}, at(30)),
        ({"remind_at": at(90), "due_at": at(60)}, at(60)),
        ({"remind_at": at(60), "due_at": at(60)}, at(60)),
        # A moment ago counts: the request was on its way when it came.
        ({"due_at": NOW}, NOW),
        ({"due_at": at(-60)}, at(-60)),
        ({"due_at": at(-GRACE + MOMENT)}, at(-GRACE + MOMENT)),
        # Long past does not: importing old to-dos must not ring.
        ({"due_at": at(-GRACE)}, None),
        ({"due_at": at(-GRACE - 1)}, None),
        ({"remind_at": at(-GRACE - 1), "due_at": at(60)}, at(60)),
        ({"remind_at": at(-86_400), "due_at": at(-86_400)}, None),
        ({"due_at": at(60), "completed": True}, None),
    ],
)
def test_the_first_reminder_of_a_new_to_do(fields: dict[str, Any], first: str | None) -> None:
    assert first_reminder(todo(**fields), NOW) == first


def test_after_the_reminder_comes_the_due_time() -> None:
    both = todo(remind_at=at(30), due_at=at(60))
    assert reminder_after(both, at(30)) == at(60)
    assert reminder_after(both, at(60)) is None


def test_two_times_that_are_one_moment_are_told_once() -> None:
    assert reminder_after(todo(remind_at=at(60), due_at=at(60)), at(60)) is None


def test_the_moment_of_the_due_time_is_told_as_due() -> None:
    assert reminder_kind(todo(remind_at=at(30), due_at=at(60)), at(30)) == "reminder"
    assert reminder_kind(todo(remind_at=at(30), due_at=at(60)), at(60)) == "due"
    assert reminder_kind(todo(remind_at=at(60), due_at=at(60)), at(60)) == "due"


class TestAfterAChange:
    def test_what_has_nothing_to_do_with_time_leaves_a_pending_reminder(self) -> None:
        before = todo(due_at=at(60))
        assert reminder_after_change(before, after(before, title="y"), at(60), NOW) == at(60)

    def test_a_reminder_that_is_due_but_not_yet_told_is_not_lost(self) -> None:
        # The loop has not come round since: the change must not count as having been told.
        before = todo(due_at=at(-3600))
        assert reminder_after_change(before, after(before, title="y"), at(-3600), NOW) == at(-3600)

    def test_what_was_told_is_not_told_again(self) -> None:
        before = todo(due_at=at(-10))
        assert reminder_after_change(before, after(before, title="y"), None, NOW) is None

    def test_what_was_told_is_not_told_again_with_the_next_one(self) -> None:
        before = todo(remind_at=at(-10), due_at=at(60))
        assert reminder_after_change(before, after(before, title="y"), at(60), NOW) == at(60)

    def test_a_time_that_is_set_anew_is_told(self) -> None:
        before = todo(due_at=at(-10))
        assert reminder_after_change(before, after(before, due_at=at(60)), None, NOW) == at(60)
        assert reminder_after_change(before, after(before, due_at=at(-5)), None, NOW) == at(-5)

    def test_a_time_that_is_set_far_into_the_past_is_not_told(self) -> None:
        before = todo(due_at=at(60))
        assert reminder_after_change(before, after(before, due_at=at(-GRACE - 1)), at(60), NOW) is None

    def test_a_time_that_is_set_to_what_it_was_is_not_told_again(self) -> None:
        before = todo(due_at=at(-10))
        assert changes_of(before, {"due_at": at(-10)}, NOW) == {}

    def test_a_time_that_was_cleared_and_set_again_is_told_again(self) -> None:
        before = todo()
        assert reminder_after_change(before, after(before, due_at=at(-10)), None, NOW) == at(-10)

    def test_the_other_time_stays_pending(self) -> None:
        before = todo(remind_at=at(30), due_at=at(60))
        assert reminder_after_change(before, after(before, remind_at=None), at(30), NOW) == at(60)
        assert reminder_after_change(before, after(before, due_at=None), at(30), NOW) == at(30)
        assert reminder_after_change(before, after(before, remind_at=at(90)), at(30), NOW) == at(60)

    def test_moving_one_time_does_not_tell_the_other_again(self) -> None:
        before = todo(remind_at=at(-10), due_at=at(60))
        assert reminder_after_change(before, after(before, due_at=at(90)), at(60), NOW) == at(90)

    def test_a_time_set_anew_to_before_one_that_was_told_does_not_tell_that_one_twice(self) -> None:
        before = todo(due_at=at(-10))
        assert reminder_after_change(before, after(before, remind_at=at(-20)), None, NOW) is None
        assert reminder_after_change(before, after(before, remind_at=at(-10)), None, NOW) is None
        assert reminder_after_change(before, after(before, remind_at=at(-5)), None, NOW) == at(-5)

    def test_a_time_set_anew_to_before_one_that_is_not_yet_told_is_told_before_it(self) -> None:
        before = todo(due_at=at(-10))
        changed = after(before, remind_at=at(-20))
        assert reminder_after_change(before, changed, at(-10), NOW) == at(-20)
        assert reminder_after(changed, at(-20)) == at(-10)

    def test_a_clear_to_do_asks_for_nothing(self) -> None:
        before = todo(remind_at=at(30), due_at=at(60))
        assert reminder_after_change(before, after(before, remind_at=None, due_at=None), at(30), NOW) is None

    def test_a_completed_to_do_asks_for_nothing(self) -> None:
        before = todo(due_at=at(60))
        assert reminder_after_change(before, after(before, completed=True), at(60), NOW) is None
        assert (
            reminder_after_change(before, after(before, completed=True, due_at=at(90)), at(60), NOW) is None
        )

    def test_a_to_do_that_is_opened_again_asks_for_what_is_still_to_come(self) -> None:
        before = todo(completed=True, remind_at=at(30), due_at=at(60))
        assert reminder_after_change(before, after(before, completed=False), None, NOW) == at(30)

    def test_what_went_by_while_it_was_completed_is_not_told(self) -> None:
        before = todo(completed=True, remind_at=at(-30), due_at=at(60))
        assert reminder_after_change(before, after(before, completed=False), None, NOW) == at(60)
        gone = todo(completed=True, due_at=at(-30))
        assert reminder_after_change(gone, after(gone, completed=False), None, NOW) is None

    def test_opened_again_with_a_new_time_it_is_told(self) -> None:
        before = todo(completed=True, due_at=at(-30))
        assert reminder_after_change(before, after(before, completed=False, due_at=at(-1)), None, NOW) == at(
            -1
        )


# A life of a to-do: steps of whole seconds, in each of which its owner may set times, complete it or open it again.
TIMES = st.none() | st.integers(0, 40)
STEPS = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.one_of(
            st.fixed_dictionaries({"due_at": TIMES}),
            st.fixed_dictionaries({"remind_at": TIMES}),
            st.fixed_dictionaries({"completed": st.booleans()}),
            st.fixed_dictionaries({"priority": st.integers(0, 4)}),
            st.just({}),
        ),
    ),
    max_size=12,
)


@given(STEPS)
def test_over_a_whole_life_each_time_that_comes_while_open_is_told_exactly_once(
    steps: list[tuple[int, dict[str, Any]]],
) -> None:
    """A simple model beside the rules: with a loop that looks every second, what is told is what came to pass."""
    now = 0
    current = todo()
    pending: str | None = None
    told: list[tuple[str, int]] = []
    expected: list[tuple[str, int]] = []
    untold: set[str] = set()  # the fields whose present value has not been told

    def tick() -> None:
        nonlocal pending
        while pending is not None and pending <= at(now):
            told.append((pending, now))
            pending = reminder_after(current, pending)
        due = {current[name] for name in untold if current[name] is not None and current[name] <= at(now)}
        if not current["completed"]:
            expected.extend((time, now) for time in sorted(due))
        for name in list(untold):
            if current[name] is not None and current[name] <= at(now):
                untold.discard(name)

    for seconds, wish in steps:
        for _ in range(seconds):
            now += 1
            tick()
        wanted = {
            name: at(value) if name.endswith("_at") and value is not None else value
            for name, value in wish.items()
        }
        changes = changes_of(current, wanted, at(now))
        if changes:
            changed = {**current, **changes}
            pending = reminder_after_change(current, changed, pending, at(now))
            gone = {
                current[name]
                for name in ("due_at", "remind_at")
                if name not in untold
                and current[name] is not None
                and current[name] in (changed["due_at"], changed["remind_at"])
            }
            current = changed
            for name in ("due_at", "remind_at"):
                if name in changes:
                    untold.discard(name)
                    # Set to a moment that is over, and no later than one that has gone by, it has nothing to tell.
                    if current[name] is not None and not any(current[name] <= time for time in gone):
                        untold.add(name)
            tick()
    for _ in range(60):
        now += 1
        tick()
    # Told at one moment, two times may come in either order of their names; as moments they are the same.
    assert told == expected
