"""Databases: units of work on shards, group commit, and statements compiled once."""

from banyan.infra.db.coalescer import Coalescer
from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.shards import GLOBAL, Shards
from banyan.infra.db.transaction import Database, Row, Transaction, Work

__all__ = ["GLOBAL", "Coalescer", "Database", "Row", "Shards", "Transaction", "UniqueViolation", "Work"]
