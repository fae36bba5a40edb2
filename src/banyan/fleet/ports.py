"""Ports for the processes of a fleet."""

import random
import socket
from contextlib import suppress

# Below the ports that the kernel gives to outgoing connections (32768 and up on Linux, 49152 elsewhere): one of those
# could take the port of a process that is just being started again.
FIRST, LAST = 20000, 32000


def free_port(taken: set[int] | None = None) -> int:
    """A port of 127.0.0.1 on which nobody listens and that is not in `taken`, to which it is added."""
    taken = set() if taken is None else taken
    while True:
        port = random.randint(FIRST, LAST)
        if port not in taken and is_free("127.0.0.1", port):
            taken.add(port)
            return port


def is_free(host: str, port: int) -> bool:
    """Whether one could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return True
    return False
