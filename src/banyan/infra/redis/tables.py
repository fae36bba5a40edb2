"""The table by which processes agree on whether Redis can be believed; see trust.py. It has one row."""

from sqlalchemy import Column, Integer, String, Table

from banyan.infra.db.tables import Flag, metadata

cache_trust = Table(
    "cache_trust",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", String(36), nullable=False),
    Column("trusted", Flag, nullable=False),
    # The run_id of the Redis that the epoch is about.
    Column("server", String(64), nullable=False),
    # The process that turned trust off, and how often it has said that it still cannot reach Redis.
    Column("objector", String(36), nullable=False),
    Column("beat", Integer, nullable=False),
)
