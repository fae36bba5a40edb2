"""Promotion: moving a running installation from SQLite to PostgreSQL."""
