"""At the start of a server: what a promotion that was interrupted has left is brought to its end."""

from banyan.infra.db.promotion_record import read_address, read_record
from banyan.promotion.control import abandon_what_was_left
from banyan.promotion.errors import Refused
from banyan.promotion.moved_tables import moved_tables
from banyan.settings import Settings, database_label
from banyan.targets import MODULES


async def settle(settings: Settings) -> None:
    """Before the databases are opened, with the data folder locked. Raises Refused, Unavailable."""
    await abandon_what_was_left(settings)
    record, address = read_record(settings.database_path), read_address(settings.data_dir)
    for place in settings.databases(MODULES):
        if not isinstance(place, str):
            continue
        # What an installation on SQLite alone need not have.
        from banyan.promotion.postgres_side import PostgresSide

        postgres = PostgresSide(place, {table.name: table for table in moved_tables()})
        await postgres.open()
        try:
            theirs = await postgres.record()
            if theirs is None:
                continue
            if record is not None and record.has_moved and record.id == theirs.id:
                # The file decides; a crash can have come between its commit and the other database's.
                if record.phase == "moved":
                    await postgres.stop_noting()
                elif theirs.state != "live":
                    await postgres.set_state("live")
            elif theirs.state != "live":
                raise _not_the_true_one(
                    place, theirs.state, ours=address is not None and address.id == theirs.id
                )
        finally:
            await postgres.close()


def _not_the_true_one(url: str, state: str, *, ours: bool) -> Refused:
    label = database_label(url)
    if state == "rolled_back":
        return Refused(
            f"{label} was rolled back: the data is in the SQLite file that it was promoted from.",
            "Unset BANYAN_DATABASE_URL." if ours else "Serve from the data folder that holds that file.",
        )
    return Refused(f"{label} is being filled by `banyan promote`.", "Start after that has ended.")
