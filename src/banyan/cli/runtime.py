"""How commands reach the application: the settings, a database that fits, and the same services that the server has."""

import asyncio
import difflib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from banyan.cli.console import command
from banyan.cli.problems import CliError

if TYPE_CHECKING:
    from banyan.bootstrap import Application
    from banyan.settings import Settings

T = TypeVar("T")

# Variables that the tests and build scripts read.
NOT_SETTINGS = frozenset({"BANYAN_CI", "BANYAN_CHROMIUM", "BANYAN_POSTGRES", "BANYAN_TEST_AGAINST"})


def load_settings() -> "Settings":
    """The settings of the environment, with the database that the data folder's data was promoted to.

    Raises SettingsError.
    """
    from pydantic import SecretStr

    from banyan import settings
    from banyan.infra.db.promotion_record import AddressLost, followed

    loaded = settings.load_settings()
    if loaded.database_url is not None:
        return loaded
    try:
        address = followed(loaded.data_dir, loaded.database_path)
    except AddressLost as error:
        raise CliError(
            f"the data of {loaded.data_dir.resolve()} has moved to {error.record.target}.",
            "Set BANYAN_DATABASE_URL to that database.",
        ) from error
    return loaded if address is None else loaded.model_copy(update={"database_url": SecretStr(address.url)})


def unknown_variables() -> list[str]:
    """A sentence for each BANYAN_ variable of the environment that is no setting: probably a slip of the pen."""
    from banyan.settings import Settings

    known = {f"BANYAN_{name.upper()}" for name in Settings.model_fields}
    sentences = []
    for name in sorted(os.environ):
        if name.startswith("BANYAN_") and name not in known | NOT_SETTINGS:
            close = difflib.get_close_matches(name, known, n=1)
            sentences.append(f"{name} is no setting" + (f"; is {close[0]} meant?" if close else "."))
    return sentences


def require_migrated(settings: "Settings", modules: "Sequence[str] | None" = None) -> None:
    """Raises CliError when there is no database, or one that this version cannot use. modules: whose; None for all."""
    from banyan.infra.db.migrate import status
    from banyan.settings import database_label
    from banyan.targets import MODULES

    for database in settings.databases(modules or MODULES):
        if isinstance(database, Path) and not database.exists():
            raise CliError(
                f"there is no database in {settings.data_dir.resolve()}.",
                f"Start Banyan once with `{command('up')}`, or make an empty database with `{command('migrate')}`.",
            )
        found = status(database)
        if not found.is_pending:
            continue
        raise CliError(
            f"the database {database_label(database)} is at migration {found.current or 'none'}, and this version needs {found.newest}.",
            f"Bring it up to date with `{command('migrate')}`, or start with `{command('up')}`, which does it too.",
        )


def run(work: "Callable[[Application], Awaitable[T]]", *, start_modules: bool = True) -> T:
    """Do something with the application, beside a server that may be running on the same data.

    The application is whole but answers no requests and runs no loops: deliveries stay the server's work.
    start_modules: false for what must work although a module cannot start.
    """
    settings = load_settings()
    require_migrated(settings)
    from banyan.bootstrap import build
    from banyan.infra.telemetry.log import configure_logging

    configure_logging("WARNING", as_json=False)

    async def inside() -> T:
        application = build(settings)
        async with application.running(background=False) if start_modules else application.opened():
            return await work(application)

    return asyncio.run(inside())
