"""Programs that a test needs from the machine."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def need_program(*names: str, variable: str | None = None, hint: str = "") -> str:
    """The path of the first of these programs that is there. variable: an environment variable that may name it.

    Without one the test is skipped, and says why; with BANYAN_CI=1 it fails, so that a CI run cannot be green by
    leaving tests out.
    """
    wished = os.environ.get(variable, "") if variable else ""
    for name in filter(None, (wished, *names)):
        found = shutil.which(name)
        if found is not None:
            return found
    wanted = " or ".join(Path(name).name for name in names)
    return missing(
        f"{wanted} is not on this machine{f' (or name it in {variable})' if variable else ''}. {hint}".strip()
    )


def missing(reason: str) -> NoReturn:
    """Skip the test because the machine lacks something; fail in CI."""
    if os.environ.get("BANYAN_CI") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
