"""A small program that stands in for a server or service: it answers `/readyz` on a port until SIGTERM.

Files in its working folder change what it does: `crash` ends it at its start, `unready` makes it answer 503, `deaf` lets it
ignore SIGTERM, `daemon` makes it start a process that leaves its session. `asked-to-end` is written by itself, with
the time.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType


def asked_to_end(_signal: int, _frame: FrameType | None) -> None:
    Path("asked-to-end").write_text(str(time.time()))
    if not Path("deaf").exists():
        sys.exit(0)


def main(port: int) -> None:
    if Path("crash").exists():
        print("it cannot be done: the stand-in was told to crash", flush=True)
        sys.exit(3)
    signal.signal(signal.SIGTERM, asked_to_end)
    if Path("daemon").exists():
        subprocess.Popen(["sleep", "600"], start_new_session=True)
    # A child of the ordinary kind, which outlives a parent that is killed.
    subprocess.Popen(["sleep", "600"])
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(64)
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} pid {os.getpid()} listens on {port}", flush=True)
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                status = b"503 Not ready" if Path("unready").exists() else b"200 OK"
                connection.sendall(
                    b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]))
