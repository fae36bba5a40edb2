"""Clocks: how far this machine's is from a server's."""

import time

from banyan.doctor.finding import Finding

# Tokens and reminders go by the clock: a second is seen, half a minute ends sessions early.
CLOCK_WARN_SECONDS = 1.0
CLOCK_FAIL_SECONDS = 30.0


def ahead_of(theirs: float, asked_at: float) -> float:
    """By how many seconds a server's clock is ahead of ours. theirs: what it said. asked_at: by ours; it has answered now."""
    return theirs - (asked_at + time.time()) / 2


def clock(server: str, ahead_seconds: float) -> Finding:
    """ahead_seconds: how much the server's clock is ahead of ours."""
    apart = abs(ahead_seconds)
    state = "fail" if apart > CLOCK_FAIL_SECONDS else "warn" if apart > CLOCK_WARN_SECONDS else "ok"
    todo = None if state == "ok" else "Let both machines follow NTP (timedatectl set-ntp true)."
    return Finding("clock", state, f"{apart:.2f} s from {server}'s.", todo)
