"""The guardian: a small process that ends the fleet when its supervisor is gone without having done so.

It waits at a pipe of which the supervisor holds the other end. The kernel closes that end however the supervisor dies,
SIGKILL included; unlike a signal at the parent's death it then reaches every process, and in good order.
"""

import signal
import sys
from pathlib import Path

from banyan.fleet.remains import end, read_run

# What the supervisor writes when it has ended everything itself.
FAREWELL = b"done"
STAGE_SECONDS = 5.0


def main(run_file: Path, run_id: str) -> None:
    """Wait for the supervisor's end, then end what it left. Nothing is done for another run than `run_id`."""
    # They are meant for the supervisor, whose terminal is not ours.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == FAREWELL:
        return
    run = read_run(run_file)
    if run is None or run.id != run_id:
        return
    end(run, STAGE_SECONDS)
    # A new supervisor may have begun meanwhile.
    run = read_run(run_file)
    if run is not None and run.id == run_id:
        run_file.unlink(missing_ok=True)
        run_file.with_name("control.sock").unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
