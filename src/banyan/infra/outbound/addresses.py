"""Which network addresses may be reached on behalf of somebody outside.

Only addresses that everybody on the Internet may reach. What is inside an address counts as well: an IPv6 address that
stands for an IPv4 address (mapped, NAT64, 6to4) leads to that one.
Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190); RFC 4291, 6052, 3056, 4380.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Written down rather than asked of `is_global`, whose answers differ between versions of Python.
_REFUSED = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches this very machine
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT, and some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # public in form, and Azure's own services to its machines
        "169.254.0.0/16",  # link-local: the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# Of IPv6 nothing else is given out to be reached from everywhere.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# Interface identifiers of ISATAP (RFC 5214) end in an IPv4 address; the bit tells a local one from a universal one.
_ISATAP = (0x00005EFE, 0x02005EFE)


class AddressGuard:
    """allowed: networks that may be reached although they are not public, such as a developer's own machine."""

    def __init__(self, allowed: Iterable[str | Network] = ()) -> None:
        self._allowed = tuple(ip_network(one) for one in allowed)

    def permits(self, address: str | Address) -> bool:
        """Whether this address may be reached. Raises ValueError for what is no address."""
        literal = ip_address(address)
        meant = _meant(literal)
        return any(one in network for network in self._allowed for one in (literal, meant)) or _is_public(
            meant
        )


def _meant(address: Address) -> Address:
    """Where a packet to it ends up."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    low = int(address) & 0xFFFF_FFFF
    if address in _NAT64 or (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return IPv4Address(low)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address.scope_id is not None):
        return False
    return not any(address in network for network in _REFUSED)
