"""What goes wrong with backups."""


class BackupError(Exception):
    """message: one sentence about what. next_step: one about what to do. Nothing was changed, unless the message says so."""

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
