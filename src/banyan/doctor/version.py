"""Versions of servers, as they write them."""

import re

from banyan.doctor.finding import Finding, State


def is_older(version: str, least: tuple[int, ...]) -> bool:
    """Whether `7.2.4-alpine` or `15.4 (Debian 15.4-1)` is before `least`. A text without a number is not."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version.partition(" ")[0]))
    return bool(numbers) and numbers[: len(least)] < least


def answers(check: str, where: str, name: str, version: str, least: tuple[int, ...]) -> Finding:
    """What a server that lets us in is, and whether it is new enough. where: its address, without a password."""
    state: State = "fail" if is_older(version, least) else "ok"
    oldest = ".".join(map(str, least))
    return Finding(
        check,
        state,
        f"{where} lets us in; {name} {version}, and {oldest} or later is needed.",
        None if state == "ok" else f"Upgrade it to {oldest} or later.",
    )
