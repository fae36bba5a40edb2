"""The fleet's folder: all that it keeps lies in `fleet/` of the data folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# What the kernel takes as the path of a Unix socket.
LONGEST_SOCKET_PATH = 107


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """Where things lie below the data folder, whose path is absolute: each process has a folder of its own."""

    data_dir: Path

    @property
    def root(self) -> Path:
        return self.data_dir / "fleet"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def supervisor_log(self) -> Path:
        return self.logs / "supervisor.log"

    @property
    def control_socket(self) -> Path:
        return self.root / "control.sock"

    @property
    def run_file(self) -> Path:
        """What runs now; see `remains.py`."""
        return self.root / "run.json"

    @property
    def scrape_targets(self) -> Path:
        """Whom Prometheus asks; see `scraping.py`."""
        return self.root / "prometheus.json"

    @property
    def mails(self) -> Path:
        """Where `banyan mail` looks, and so where every process keeps its mails."""
        return self.data_dir / "mail"

    def of_server(self, name: str) -> Path:
        return self.root / name

    def of_service(self, name: str) -> Path:
        """The data folder of one service process."""
        return self.root / "services" / name

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make what is missing. Nobody else may read in it; a server's own user may pass through what is made here."""
        for folder in (self.data_dir, self.root):
            folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        for folder in (self.logs, self.mails, self.root / "services"):
            folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The path of a Unix socket as the kernel takes it, however deep the folder lies."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
