"""The function `migrate`: brings the databases up to date. Invoked before a new version serves."""

from typing import Any

from banyan.aws_lambda.settings import lambda_settings
from banyan.infra.db.migrate import status, upgrade
from banyan.settings import database_label
from banyan.targets import MODULES


def migrate(_event: Any, _context: Any) -> dict[str, Any]:
    """Repeating it is safe. Raises SettingsError, Unavailable, and what a migration raises."""
    settings = lambda_settings("migrate")
    return {
        database_label(database): {"migrated": upgrade(database), "at": status(database).current}
        for database in settings.databases(MODULES)
    }
