"""Kafka: whether each broker answers in Kafka's protocol, can be reached where it says it is, and has the topics."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from banyan.doctor.finding import Finding
from banyan.targets import MODULES

if TYPE_CHECKING:
    from banyan.infra.bus.kafka.look import Seen

PATIENCE_SECONDS = 15.0


async def look(servers: Sequence[str], *, with_tls: bool) -> AsyncIterator[Finding]:
    # Imported here: its client is an extra.
    from banyan.infra.bus.kafka.look import ask
    from banyan.infra.bus.kafka.session import TROUBLE
    from banyan.infra.bus.kafka.topics import topics_of

    tls = ssl.create_default_context() if with_tls else None
    last: Seen | None = None
    for server in servers:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                last = await ask(server, topics_of(MODULES), tls=tls)
        except TROUBLE as error:
            yield Finding(
                "Kafka",
                "fail",
                f"{server} does not answer in Kafka's protocol ({type(error).__name__}); events wait in the database meanwhile.",
                "Look whether it runs, at BANYAN_KAFKA_SERVERS, and whether BANYAN_KAFKA_TLS fits its listener.",
            )
            continue
        yield _broker(server, last)
    if last is not None:
        yield _topics(last)


def _broker(server: str, seen: "Seen") -> Finding:
    if seen.too_old:
        return Finding(
            "Kafka",
            "fail",
            f"{server} answers, and does not know {', '.join(seen.too_old)}.",
            "Upgrade it to Kafka 0.11 or later.",
        )
    if seen.unreachable:
        return Finding(
            "Kafka",
            "fail",
            f"{server} answers, and sends us on to {', '.join(seen.unreachable)}, which cannot be reached from here.",
            "Set the brokers' advertised.listeners to addresses that Banyan reaches.",
        )
    versions = ", ".join(f"{name} {version}" for name, version in seen.versions.items())
    return Finding(
        "Kafka", "ok", f"{server} answers; it speaks {versions}, and leads to {seen.brokers} broker(s)."
    )


def _topics(seen: "Seen") -> Finding:
    from banyan.infra.bus.kafka.topics import PARTITIONS

    if seen.refused:
        return Finding(
            "Kafka topics",
            "fail",
            "; ".join(f"{topic}: {reason}" for topic, reason in seen.refused.items()) + ".",
            "Let Banyan's user describe, write and create these topics, or make them by hand.",
        )
    other = {topic: count for topic, count in seen.partitions.items() if count != PARTITIONS}
    if other:
        return Finding(
            "Kafka topics",
            "warn",
            ", ".join(f"{topic} has {count} partitions" for topic, count in other.items())
            + f", not {PARTITIONS}.",
            "They work, and say how many processes can share the work. Do not change it while events are under way.",
        )
    there = len(seen.partitions)
    made = (
        f"{len(seen.can_be_made)} can be made, by the first start."
        if seen.can_be_made
        else "None is missing."
    )
    return Finding("Kafka topics", "ok", f"{there} are there. {made}")
