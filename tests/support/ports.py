"""Free ports, for servers that want to be told theirs."""

from banyan.fleet.ports import free_port


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1, each another, on which nobody listens just now."""
    taken: set[int] = set()
    return [free_port(taken) for _ in range(count)]
