"""The password of a server that only this machine can reach."""

import os
import secrets
from pathlib import Path


def kept_password(folder: Path) -> str:
    """The password in this folder, made when there is none yet. Nobody but its owner can read it."""
    path = folder / "password"
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = secrets.token_urlsafe(24)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(made + "\n")
        return made
