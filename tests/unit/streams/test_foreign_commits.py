"""Commits of another process are told to this one's listeners; its own are not told twice for nothing."""

from pathlib import Path

from tests.support.databases import opened_shards

from banyan.infra.db.shards import Shards
from banyan.infra.streams.foreign_commits import ForeignCommits
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.positions import ProcessPositions
from banyan.kernel.clock import ManualClock
from banyan.kernel.events import Event, NewEvent
from banyan.kernel.ids import new_id

LOG = EventLog("todos", ManualClock())


async def happen(shards: Shards, user_id: str, count: int = 1) -> None:
    events = [NewEvent("TodoCreated", new_id(), {"number": number}) for number in range(count)]
    await shards.transact(user_id, LOG.append, user_id, events)


async def test_events_of_another_process_are_told_in_order(tmp_path: Path) -> None:
    user_id = new_id()
    async with opened_shards(tmp_path) as ours, opened_shards(tmp_path) as theirs:
        foreign = ForeignCommits(ours)
        await foreign.look()
        heard: list[Event] = []
        ours.on_commit(heard.extend)
        # More than one page of what is read at a time.
        await happen(theirs, user_id, 1200)
        assert await foreign.look() == 1200
        assert [event.position for event in heard] == list(range(1, 1201))
        assert await foreign.look() == 0


async def test_own_commits_are_not_looked_at_again(tmp_path: Path) -> None:
    user_id = new_id()
    async with opened_shards(tmp_path) as ours:
        foreign = ForeignCommits(ours)
        await foreign.look()
        heard: list[Event] = []
        ours.on_commit(heard.extend)
        await happen(ours, user_id)
        assert await foreign.look() == 0
        assert len(heard) == 1


async def test_what_was_there_before_the_start_is_not_news(tmp_path: Path) -> None:
    user_id = new_id()
    async with opened_shards(tmp_path) as theirs:
        await happen(theirs, user_id)
        async with opened_shards(tmp_path) as ours:
            foreign = ForeignCommits(ours)
            assert await foreign.look() == 0
            await happen(theirs, user_id)
            assert await foreign.look() == 1


async def test_a_position_that_another_process_moved_is_known_after_the_look(tmp_path: Path) -> None:
    user_id = new_id()
    async with opened_shards(tmp_path) as ours, opened_shards(tmp_path) as theirs:
        positions, foreign = ProcessPositions(ours), ForeignCommits(ours)
        ours.on_commit(positions.observe)
        await foreign.look()
        await happen(ours, user_id)
        await happen(theirs, user_id, 2)
        assert positions.known(user_id, "todos") == 1
        await foreign.look()
        assert positions.known(user_id, "todos") == 3


async def test_foreign_events_between_own_ones_are_not_missed(tmp_path: Path) -> None:
    """A foreign event below a position that is known already is told all the same."""
    user_id = new_id()
    async with opened_shards(tmp_path) as ours, opened_shards(tmp_path) as theirs:
        foreign = ForeignCommits(ours)
        await foreign.look()
        heard: list[int] = []
        ours.on_commit(lambda events: heard.extend(event.position for event in events))
        await happen(theirs, user_id)
        await happen(ours, user_id)
        await foreign.look()
        assert set(heard) == {1, 2}
