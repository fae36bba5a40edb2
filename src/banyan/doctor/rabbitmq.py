"""RabbitMQ: whether it lets us in, and its version."""

from urllib.parse import urlsplit

from banyan.doctor.finding import Finding
from banyan.doctor.version import answers
from banyan.kernel.errors import BanyanError

# The first whose quorum queues expire and limit deliveries as Banyan's are declared.
OLDEST = (3, 10)


async def look(url: str) -> Finding:
    # Imported here: its driver is an extra.
    from banyan.infra.tasks.rabbitmq_link import Link, version_of

    async def declare_nothing(_connection: object) -> None:
        pass

    link = Link(url, "banyan doctor", declare_nothing)
    where = urlsplit(url).netloc.rpartition("@")[2]
    try:
        return answers("RabbitMQ", where, *version_of(await link.connection()), OLDEST)
    except BanyanError as error:
        return Finding(
            "RabbitMQ",
            "fail",
            f"{where} does not let us in ({error.facts.get('reason')}); tasks wait in the database meanwhile.",
            "Look whether it runs, and at BANYAN_AMQP_URL: address, user and password.",
        )
    finally:
        await link.close()
