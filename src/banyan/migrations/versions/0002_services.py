"""Services: what a consumer set aside is kept with its event, whose log may lie in another service's database."""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = ("user_id", "stream", "position")


def upgrade() -> None:
    with op.batch_alter_table("failed_events") as table:
        table.add_column(sa.Column("event", sa.Text(), nullable=True))
    _fill(op.get_bind())
    # From here on a process of the former version cannot set an event aside: it delivers it again, and nothing is lost.
    with op.batch_alter_table("failed_events") as table:
        table.alter_column("event", existing_type=sa.Text(), nullable=False)


def _fill(connection: sa.Connection) -> None:
    events = sa.Table("events", sa.MetaData(), autoload_with=connection)
    failed = sa.Table("failed_events", sa.MetaData(), autoload_with=connection)
    same = sa.and_(*(events.c[name] == failed.c[name] for name in _KEY))
    for row in connection.execute(sa.select(events).join(failed, same).distinct()).mappings().all():
        event = {**row, "data": json.loads(row["data"])}
        this = sa.and_(*(failed.c[name] == row[name] for name in _KEY))
        connection.execute(failed.update().where(this).values(event=json.dumps(event)))
    # Their events are erased: with the account that they belonged to.
    connection.execute(failed.delete().where(failed.c.event.is_(None)))


def downgrade() -> None:
    with op.batch_alter_table("failed_events") as table:
        table.drop_column("event")
