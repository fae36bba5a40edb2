"""The history checker is tried on histories that are known to be bad before it is believed about good ones."""

import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.history import once_faults, position_faults, register_faults, same_counts_faults
from tests.support.intent_log import IntentLog, Operation, Outcome


def history(*steps: tuple[Any, ...]) -> list[Operation]:
    """(kind, value, started, ended, outcome = done) of one place, in any order."""
    operations = []
    for number, (kind, value, started, ended, *rest) in enumerate(steps):
        outcome: Outcome = rest[0] if rest else "done"
        operations.append(Operation(number, "w", kind, "user/todo", value, started, ended, outcome))
    return operations


GOOD = {
    "a write is read": history(("write", "a", 0, 1), ("read", "a", 2, 3)),
    "nothing was ever written": history(("read", None, 0, 1)),
    "a deletion is final": history(("write", "a", 0, 1), ("delete", None, 2, 3), ("read", None, 4, 5)),
    "the last of several": history(("write", "a", 0, 1), ("write", "b", 2, 3), ("read", "b", 4, 5)),
    "two at once, either may be last": history(
        ("write", "a", 0, 9), ("write", "b", 1, 8), ("read", "a", 10, 11)
    ),
    "an unknown write that happened": history(("write", "a", 0, math.inf, "unknown"), ("read", "a", 2, 3)),
    "an unknown write that did not": history(("write", "a", 0, math.inf, "unknown"), ("read", None, 2, 3)),
    "an unknown write between known ones": history(
        ("write", "a", 0, 1), ("write", "b", 2, math.inf, "unknown"), ("read", "a", 4, 5), ("read", "b", 6, 7)
    ),
    "an unknown deletion that did not happen": history(
        ("write", "a", 0, 1), ("delete", None, 2, math.inf, "unknown"), ("read", "a", 4, 5)
    ),
    "a refused write is not there": history(
        ("write", "a", 0, 1), ("write", "b", 2, 3, "refused"), ("read", "a", 4, 5)
    ),
    "a refused deletion": history(
        ("write", "a", 0, 1), ("delete", None, 2, 3, "refused"), ("read", "a", 4, 5)
    ),
    "a read that overlaps the write may find either": history(
        ("write", "a", 0, 1), ("write", "b", 2, 5), ("read", "a", 3, 4), ("read", "b", 6, 7)
    ),
}

BAD = {
    "an acknowledged creation is gone": history(("write", "a", 0, 1), ("read", None, 2, 3)),
    "an acknowledged change is gone": history(
        ("write", "a", 0, 1), ("write", "b", 2, 3), ("read", "a", 4, 5)
    ),
    "an acknowledged deletion is undone": history(
        ("write", "a", 0, 1), ("delete", None, 2, 3), ("read", "a", 4, 5)
    ),
    "gone after it was read": history(
        ("write", "a", 0, math.inf, "unknown"), ("read", "a", 2, 3), ("read", None, 4, 5)
    ),
    "a refused write has an effect": history(("write", "a", 0, 1, "refused"), ("read", "a", 2, 3)),
    "a value from nowhere": history(("write", "a", 0, 1), ("read", "z", 2, 3)),
    "a read from the future": history(("read", "a", 0, 1), ("write", "a", 2, 3)),
    "back to an older value": history(
        ("write", "a", 0, 1), ("write", "b", 2, 3), ("read", "b", 4, 5), ("read", "a", 6, 7)
    ),
    "to and fro between two at once": history(
        ("write", "a", 0, 3),
        ("write", "b", 1, 4),
        ("read", "a", 5, 6),
        ("read", "b", 7, 8),
        ("read", "a", 9, 10),
    ),
    "there again after the deletion was seen": history(
        ("write", "a", 0, 1),
        ("delete", None, 2, math.inf, "unknown"),
        ("read", None, 3, 4),
        ("read", "a", 5, 6),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_right_history_has_no_fault(name: str) -> None:
    assert register_faults(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_history_is_found_out(name: str) -> None:
    assert register_faults(BAD[name]) != []


def test_places_are_judged_one_by_one() -> None:
    good, bad = GOOD["a write is read"], BAD["an acknowledged creation is gone"]
    elsewhere = [
        Operation(o.number + 10, "w", o.kind, "user/other", o.value, o.started, o.ended, o.outcome)
        for o in bad
    ]
    faults = register_faults([*good, *elsewhere])
    assert len(faults) == 1
    assert faults[0].startswith("user/other: ")


@pytest.mark.parametrize(
    ("outcome", "count", "is_right"),
    [
        ("done", 1, True),
        ("done", 0, False),
        ("done", 2, False),
        ("unknown", 0, True),
        ("unknown", 1, True),
        ("unknown", 2, False),
        ("refused", 0, True),
        ("refused", 1, False),
    ],
)
def test_a_notification_is_there_as_often_as_it_was_promised(
    outcome: Outcome, count: int, is_right: bool
) -> None:
    asked = [Operation(0, "w", "notify", "user", "hello", 0, 1, outcome)]
    assert (once_faults(asked, ["hello"] * count) == []) is is_right


def test_a_notification_from_nowhere_is_a_fault() -> None:
    assert once_faults([], ["hello"]) != []


@pytest.mark.parametrize("positions", [[2], [1, 3], [1, 1], [1, 2, 2, 3], [2, 1]])
def test_gaps_repeats_and_disorder_of_positions_are_faults(positions: list[int]) -> None:
    assert position_faults("todos", positions) != []


@pytest.mark.parametrize("positions", [[], [1], [1, 2, 3]])
def test_positions_without_gap_or_repeat_are_right(positions: list[int]) -> None:
    assert position_faults("todos", positions) == []


def test_counts_that_differ_are_faults() -> None:
    assert same_counts_faults("stats", {"a": 1, "b": 0}, {"a": 1}) == []
    assert len(same_counts_faults("stats", {"a": 1, "b": 1}, {"a": 2})) == 2


def test_an_intent_is_on_the_disk_before_its_request_may_leave(tmp_path: Path) -> None:
    log = IntentLog(tmp_path / "intents.jsonl")
    operation = log.intend("w", "write", "user/todo", "a")
    written = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [entry["intent"]["value"] for entry in written] == ["a"]
    log.settle(operation, "done")
    assert json.loads(log.path.read_text().splitlines()[1])["outcome"] == "done"
    assert log.operations()[0].outcome == "done"


def test_many_threads_share_the_log_and_lose_nothing(tmp_path: Path) -> None:
    log = IntentLog(tmp_path / "intents.jsonl")

    def work(worker: int) -> None:
        for number in range(25):
            log.settle(log.intend(str(worker), "write", f"{worker}/{number}", "v"), "done")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.operations()) == 200
    assert len({operation.number for operation in log.operations()}) == 200
    assert len(log.path.read_text().splitlines()) == 400
