"""interim"""

from alembic import op
from banyan.infra.db.tables import metadata

revision = "0001"
down_revision = None


def upgrade():
    metadata.create_all(op.get_bind())
