import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.kernel import ids
from banyan.kernel.ids import is_id, new_id


def test_an_id_is_a_uuid_of_version_7_and_of_the_variant_of_rfc_9562() -> None:
    for _ in range(1000):
        made = uuid.UUID(new_id())
        assert made.version == 7
        assert made.variant == uuid.RFC_4122


def test_an_id_is_written_canonically() -> None:
    made = new_id()
    assert made == str(uuid.UUID(made))
    assert is_id(made)


def test_an_id_begins_with_the_milliseconds_of_its_making() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000
    # The counter may have run a little ahead of the clock when many ids are made at one moment.
    assert before <= made.int >> 80 <= after + 2


def test_ids_of_one_process_only_grow() -> None:
    made = [new_id() for _ in range(20_000)]  # several milliseconds, and more than one counter holds
    assert made == sorted(set(made))


def test_ids_grow_when_the_clock_stands_still_and_when_it_runs_backwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter([5_000_000_000, *[5_000_000_000] * 5000, *range(5_000_000_000, 0, -1_000_000)])
    monkeypatch.setattr(ids, "_sequence", ids._Sequence())
    monkeypatch.setattr(ids.time, "time_ns", lambda: next(moments))
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_threads_never_make_the_same_id() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def make(own: list[str]) -> None:
        own.extend(new_id() for _ in range(5000))

    threads = [threading.Thread(target=make, args=(own,)) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for own in made for one in own}) == 20_000
    assert all(own == sorted(own) for own in made)


@given(st.uuids(allow_nil=True))
def test_every_uuid_in_canonical_form_is_an_id(value: uuid.UUID) -> None:
    assert is_id(str(value))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01890a5d-ac96-774b-bcce-b302099a805",
        "01890a5d-ac96-774b-bcce-b302099a80577",
        "01890a5d-ac96-774b-bcce-b302099a8057\n",
        "01890A5D-AC96-774B-BCCE-B302099A8057",
        "01890a5dac96774bbcceb302099a8057",
        "{01890a5d-ac96-774b-bcce-b302099a8057}",
        "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a805g",
        "٠1890a5d-ac96-774b-bcce-b302099a8057",
        "../../etc/passwd",
    ],
    ids=repr,
)
def test_other_text_is_no_id(text: str) -> None:
    assert not is_id(text)
