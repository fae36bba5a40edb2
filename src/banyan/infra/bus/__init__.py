"""The bus: how events reach the consumers of every module."""

from banyan.infra.bus.protocol import Bus

__all__ = ["Bus"]
