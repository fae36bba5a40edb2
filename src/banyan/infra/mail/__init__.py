"""Sending mail: one Protocol; SMTP, a folder for development, and memory for tests behind it."""
