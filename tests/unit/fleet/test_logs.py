"""The logs of many processes, read as one."""

import itertools
import stat
from pathlib import Path

import pytest

from banyan.fleet import logs


def test_lines_of_all_processes_come_in_the_order_of_time(tmp_path: Path) -> None:
    texts = {
        "todos-1": '{"event": "third", "@timestamp": "2026-11-21T06:00:03.000Z"}\n',
        "postgresql": "2026-11-21 06:00:01.000 UTC [7] first\n  of two lines\n2026-11-21 06:00:04.000 UTC [7] fourth\n",
        "kafka": "[2026-11-21T06:00:02,500] second\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = logs.Reading({name: tmp_path / name for name in texts}).past(10)
    assert [line.name for line in found] == ["postgresql", "postgresql", "kafka", "todos-1", "postgresql"]
    last = logs.Reading({"postgresql": tmp_path / "postgresql"}).past(1)
    assert [line.text for line in last] == ["2026-11-21 06:00:04.000 UTC [7] fourth"]


def test_json_is_told_in_words_and_everything_else_as_it_is() -> None:
    line = '{"logger_name": "x", "url": "http://h", "why": "two words", "event": "serving", "level": "info", "@timestamp": "2026-11-21T06:59:31.4567Z"}'
    assert logs.for_people(line) == '06:59:31.456 info    serving  url=http://h why="two words"'
    ours = '{"@timestamp": "2026-11-21T06:59:31.4567Z", "log.level": "info", "message": "events read", "event.action": "events_read", "ecs.version": "8.17.0", "banyan.count": 3}'
    assert logs.for_people(ours) == "06:59:31.456 info    events_read  count=3"
    theirs = '{"log.level": "warning", "message": "Look out", "event.action": "library_message"}'
    assert logs.for_people(theirs) == 'warning library_message  message="Look out"'
    for text in ("plain", "{broken", "[1]", '{"no": "happening"}', ""):
        assert logs.for_people(text) == text


def test_following_sees_what_is_appended_what_appears_and_what_begins_anew(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before\n")
    reading = logs.Reading({"old": old, "new": new})
    lines = reading.coming()
    new.write_text("appeared\n")
    assert [line.text for line in reading.past(10)] == ["before"]
    assert next(lines).text == "appeared"
    with old.open("a") as file:
        file.write("appended\n")
    assert next(lines).text == "appended"
    old.unlink()
    old.write_text("anew\n")
    assert next(lines).text == "anew"


def test_a_large_log_is_put_aside_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 10)
    path = tmp_path / "logs" / "todos-1.log"
    for number in itertools.count():
        with logs.opened_log(path) as log:
            log.write(b"start %d, and so on\n" % number)
        if number == 5:
            break
    assert {file.name: file.read_text().split(",")[0] for file in path.parent.iterdir()} == {
        "todos-1.log": "start 5",
        "todos-1.log.1": "start 4",
        "todos-1.log.2": "start 3",
        "todos-1.log.3": "start 2",
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_small_log_goes_on(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        with logs.opened_log(tmp_path / "log") as log:
            log.write(text)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    assert logs.tail_of(tmp_path / "log", since=4) == "two"
