"""Banyan: a scalable backend for people, to-dos and notifications."""

__version__ = "0.1.0"
