"""Which addresses may be reached: public ones, whatever form they come in, and nothing else."""

import pytest

from banyan.infra.outbound.addresses import AddressGuard

REFUSED = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "this network": ["0.0.0.0", "0.1.2.3", "::"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00:ec2::254"],
    "link-local and metadata": ["169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "168.63.129.16"],
    "carrier's NAT": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.0.1", "4000::1", "fec0::1", "5f00::1"],
    "documentation and benchmarks": [
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "2001:db8::1",
        "3fff::1",
    ],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe"],
    "IPv4-compatible": ["::127.0.0.1", "::10.0.0.1"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::10.0.0.1"],
    "6to4 and Teredo": ["2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "ISATAP": ["2600::5efe:10.0.0.1", "2600::200:5efe:127.0.0.1"],
}
PUBLIC = [
    "1.1.1.1",
    "93.184.215.14",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2002:101:101::1",
]


@pytest.mark.parametrize(
    "address", [pytest.param(one, id=f"{kind} {one}") for kind, some in REFUSED.items() for one in some]
)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not AddressGuard().permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_permitted(address: str) -> None:
    assert AddressGuard().permits(address)


def test_a_network_that_is_allowed_is_permitted_and_no_other() -> None:
    guard = AddressGuard(["127.0.0.0/8", "fd00::/8"])
    assert guard.permits("127.0.0.1")
    assert guard.permits("::ffff:127.0.0.1")
    assert guard.permits("fd00::1")
    assert not guard.permits("10.0.0.1")
    assert not guard.permits("::1")


def test_what_is_no_address_is_an_error() -> None:
    for text in ("example.org", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", ""):
        with pytest.raises(ValueError):
            AddressGuard().permits(text)
