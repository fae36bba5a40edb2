"""Backups: everything that an installation needs to start again, in one folder or one file."""
