"""Settings on Lambda: what must be there, what cannot be, and what has another default."""

from pathlib import Path

from banyan.settings import Settings, SettingsError, load_settings
from banyan.targets import MODULES

# One request at a time; what it asks side by side, and what outlives it for a moment.
HTTP_POOL_SIZE = 2

# A process that is frozen between invocations keeps no lease, follows no log and consumes no queue.
REFUSED = {
    "redis_url": "positions in Redis need a lease that is renewed ten times a second: unset it, the database is asked",
    "kafka_servers": "Kafka needs consumers that stay: unset it, the scheduled function delivers events by itself",
    "amqp_url": "RabbitMQ needs workers that stay: unset it, the scheduled function does their work",
}


def lambda_settings(function: str) -> Settings:
    """The settings of the environment, for `handler`, `relay` or `migrate`. Raises SettingsError, one line for each fault."""
    settings = load_settings()
    faults = [
        f"BANYAN_{name.upper()}: {reason}."
        for name, reason in REFUSED.items()
        if getattr(settings, name) not in (None, ())
    ]
    if any(isinstance(database, Path) for database in settings.databases(MODULES)):
        faults.append(
            "BANYAN_DATABASE_URL is missing: on AWS Lambda each environment would have a SQLite file of its own, and lose it;"
            " set it to a PostgreSQL database."
        )
    if settings.secret_key is None:
        faults.append(
            "BANYAN_SECRET_KEY is missing: each environment would make its own, and refuse what the others have signed."
        )
    if function == "relay" and settings.smtp_host is None:
        faults.append(
            "BANYAN_SMTP_HOST is missing: mail would be written to a folder that goes with the environment."
        )
    if faults:
        raise SettingsError("\n".join(faults))
    if function == "handler" and "database_pool_size" not in settings.model_fields_set:
        return settings.model_copy(update={"database_pool_size": HTTP_POOL_SIZE})
    return settings
