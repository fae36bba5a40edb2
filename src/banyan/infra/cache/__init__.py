"""Caches of this process, valid by position and bounded by size."""
