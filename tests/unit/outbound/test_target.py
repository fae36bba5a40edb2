"""What may be typed as a URL: one reading of it and no other, with no way to a machine of ours."""

import pytest

from banyan.infra.outbound.addresses import AddressGuard
from banyan.infra.outbound.target import MAX_URL_CHARS, Target, UrlRefused, UrlRules

RULES = UrlRules(AddressGuard(), http=True)

HOSTILE = [
    # Other schemes
    "ftp://example.org/",
    "file:///etc/passwd",
    "gopher://example.org/",
    "javascript:alert(1)",
    "//example.org/",
    "example.org/hook",
    "https:example.org/",
    "https:/example.org/",
    "",
    # User names, which make one host look like another
    "https://user@example.org/",
    "https://user:password@example.org/",
    "https://example.org@10.0.0.1/",
    "https://@example.org/",
    "https://example.org:443@127.0.0.1/",
    # What two programs read in two ways
    "https://example.org\\@127.0.0.1/",
    "https://example.org\\.evil.org/",
    "https://exa mple.org/",
    " https://example.org/",
    "https://example.org/\r\nHost: evil",
    "https://example.org/\tx",
    "https://example.org/\x00",
    "https://example.org/#fragment",
    "https://example.org#@127.0.0.1/",
    "https://exämple.org/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://%31%32%37.0.0.1/",
    "https://127.0.0.1%2f@example.org/",
    # No host, odd hosts, odd ports
    "https:///hook",
    "https://:443/",
    "https://.example.org/",
    "https://a..b/",
    "https://-a.org/",
    f"https://{'a' * 64}.org/",
    "https://example.org:0/",
    "https://example.org:/",
    "https://example.org:65536/",
    "https://example.org:80:90/",
    "https://example.org:８０/",
    # This machine and its neighbours, in every form
    "http://127.0.0.1/",
    "http://127.0.0.1:6379/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0X7F.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://2130706433/",
    "http://127.0.0.1./",
    "http://1.1.1.1.1/",
    "http://1.1.1.256/",
    "http://01.1.1.1/",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[::1/",
    "http://[v1.x]/",
    "http://localhost/",
    "http://LOCALHOST:8000/",
    "http://localhost./",
    "http://db.localhost/",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_what_leads_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        RULES.parse(url)


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://example.org", Target("https", "example.org", 443, "/"), "example.org"),
        ("https://Example.ORG./a%20b?c=d&e", Target("https", "example.org", 443, "/a%20b?c=d&e"), "example.org"),
        ("http://example.org:8080/x", Target("http", "example.org", 8080, "/x"), "example.org:8080"),
        ("https://example.org:443/", Target("https", "example.org", 443, "/"), "example.org"),
        ("https://xn--exmple-cua.org/", Target("https", "xn--exmple-cua.org", 443, "/"), "xn--exmple-cua.org"),
        ("https://1.1.1.1/", Target("https", "1.1.1.1", 443, "/"), "1.1.1.1"),
        ("https://[2606:4700:4700::1111]:8443/", Target("https", "2606:4700:4700::1111", 8443, "/"), "[2606:4700:4700::1111]:8443"),
        ("HTTPS://example.org/", Target("https", "example.org", 443, "/"), "example.org"),
    ],
)  # fmt: skip
def test_a_url_is_taken_apart_once(url: str, target: Target, authority: str) -> None:
    assert RULES.parse(url) == target
    assert target.authority == authority


def test_without_leave_for_http_only_https_will_do() -> None:
    rules = UrlRules(AddressGuard(), http=False)
    assert rules.parse("https://example.org/").is_https
    with pytest.raises(UrlRefused):
        rules.parse("http://example.org/")


def test_a_network_that_is_allowed_may_be_typed() -> None:
    rules = UrlRules(AddressGuard(["127.0.0.0/8"]), http=True)
    assert rules.parse("http://127.0.0.1:9000/").port == 9000
    assert rules.parse("http://localhost:9000/").host == "localhost"
    with pytest.raises(UrlRefused):
        rules.parse("http://[::1]:9000/")


def test_a_url_has_an_end() -> None:
    longest = "https://example.org/"
    longest += "x" * (MAX_URL_CHARS - len(longest))
    assert RULES.parse(longest)
    with pytest.raises(UrlRefused):
        RULES.parse(longest + "x")
