"""Imports that a server can do without."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let a package seem not to be installed, to importers that can do without it.

    structlog draws tracebacks with rich where there is rich. A server neither needs that (with the values of local
    variables, it would log what nobody should read) nor the fifth of a second that it takes to import.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment] # what the import system takes for "not there"
    try:
        yield
    finally:
        del sys.modules[package]
