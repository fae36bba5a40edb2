"""Streams: the positions and events of each user and module, and what follows from them."""

from banyan.infra.streams.consumers import Consumer
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.positions import Positions

__all__ = ["Consumer", "EventLog", "Positions"]
