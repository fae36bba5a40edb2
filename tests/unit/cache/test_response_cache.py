"""The cache of answers: right by position, bounded by size."""

from banyan.infra.cache.response_cache import OVERHEAD_BYTES, Entry, ResponseCache

OLD = Entry(b'"1"', b"[]")
NEW = Entry(b'"2"', b'["a"]', b"<x>")


def test_an_answer_is_found_at_its_own_position():
    cache = ResponseCache()
    cache.put("ada", "q", 1, OLD)
    assert cache.get("ada", "q", 1) is OLD


def test_an_answer_is_no_answer_once_the_stream_has_moved_and_the_next_one_takes_its_room():
    cache = ResponseCache()
    cache.put("ada", "q", 1, OLD)
    assert cache.get("ada", "q", 2) is None
    assert cache.at_any_position("ada", "q") == (1, OLD)
    cache.put("ada", "q", 2, NEW)
    assert len(cache) == 1
    assert cache.size_bytes == NEW.size


def test_a_reader_that_is_behind_neither_sees_nor_drops_the_newer_answer():
    cache = ResponseCache()
    cache.put("ada", "q", 2, NEW)
    assert cache.get("ada", "q", 1) is None
    assert cache.get("ada", "q", 2) is NEW


def test_users_and_keys_are_apart():
    cache = ResponseCache()
    cache.put("ada", "q", 1, OLD)
    assert cache.get("bob", "q", 1) is None
    assert cache.get("ada", "r", 1) is None


def test_a_newer_answer_replaces_and_a_slower_older_one_does_not():
    cache = ResponseCache()
    cache.put("ada", "q", 1, OLD)
    cache.put("ada", "q", 2, NEW)
    cache.put("ada", "q", 1, OLD)
    assert cache.get("ada", "q", 2) is NEW
    assert cache.size_bytes == NEW.size


def test_the_least_recently_used_goes_first():
    entry = Entry(b'"1"', b"x" * 100)
    cache = ResponseCache(max_bytes=entry.size * 10)
    for number in range(10):
        cache.put("ada", number, 1, entry)
    assert cache.get("ada", 0, 1) is entry
    cache.put("ada", 10, 1, entry)
    assert cache.get("ada", 1, 1) is None
    assert cache.get("ada", 0, 1) is entry
    assert len(cache) == 10


def test_it_never_holds_more_than_its_bytes():
    cache = ResponseCache(max_bytes=20 * (OVERHEAD_BYTES + 100))
    for number in range(500):
        cache.put(f"user-{number}", "q", number, Entry(b'"1"', b"x" * (number % 200)))
        assert cache.size_bytes <= 20 * (OVERHEAD_BYTES + 100)


def test_an_answer_that_would_push_out_all_others_is_not_kept():
    cache = ResponseCache(max_bytes=8 * OVERHEAD_BYTES)
    cache.put("ada", "small", 1, Entry(b"", b""))
    cache.put("ada", "huge", 1, Entry(b"", b"x" * OVERHEAD_BYTES))
    assert cache.get("ada", "huge", 1) is None
    assert cache.get("ada", "small", 1) is not None


def test_an_answer_that_has_become_too_large_does_not_leave_the_old_one():
    cache = ResponseCache(max_bytes=8 * OVERHEAD_BYTES)
    cache.put("ada", "q", 1, Entry(b"", b""))
    cache.put("ada", "q", 2, Entry(b"", b"x" * OVERHEAD_BYTES))
    assert len(cache) == 0
    assert cache.size_bytes == 0


def test_without_room_nothing_is_kept():
    cache = ResponseCache(max_bytes=0)
    cache.put("ada", "q", 1, OLD)
    assert cache.get("ada", "q", 1) is None
    assert cache.size_bytes == 0
