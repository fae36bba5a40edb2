from datetime import timedelta
from html.parser import HTMLParser

import pytest

from banyan.infra.mail import templates
from banyan.infra.mail.mail import Mail

LINK = "https://banyan.example/#/reset?token=abc_DEF-123&x=1"


class Addresses(HTMLParser):
    """Every tag, and every address that a mail program would open or load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "a":
            self.links.append(values["href"] or "")
        self.loads += [value or "" for name, value in attrs if name in {"src", "background", "srcset"}]


def reset(**changes: object) -> Mail:
    given = {
        "to": "anna@example.com",
        "name": "Anna",
        "link": LINK,
        "valid_for": timedelta(hours=1),
        **changes,
    }
    return templates.reset_password(**given)  # pyright: ignore[reportArgumentType]


def all_mails() -> list[Mail]:
    hour = timedelta(hours=1)
    return [
        templates.verify_address(to="anna@example.com", name="Anna", link=LINK, valid_for=hour),
        reset(),
        templates.password_changed(to="anna@example.com", name="Anna", link=LINK),
    ]


@pytest.mark.parametrize("mail", all_mails(), ids=lambda mail: mail.subject)
def test_each_mail_has_its_link_in_both_forms_and_loads_nothing(mail: Mail) -> None:
    assert mail.html is not None
    assert LINK in mail.text.splitlines()
    found = Addresses(mail.html)
    assert set(found.links) == {LINK}
    assert found.loads == []
    assert not {"img", "script", "link", "iframe", "form"} & set(found.tags)
    assert "url(" not in mail.html
    assert "Hello Anna," in mail.text
    assert "Hello Anna," in mail.html
    assert "{" not in mail.text + mail.subject


def test_a_name_is_escaped() -> None:
    mail = reset(name='<u onclick="x">Anna</u> & {time}')
    assert mail.html is not None
    assert "<u" not in mail.html
    assert "&lt;u onclick=&quot;x&quot;&gt;Anna&lt;/u&gt; &amp; {time}" in mail.html


def test_a_link_cannot_leave_its_attribute() -> None:
    mail = reset(link='https://banyan.example/?"><script>alert(1)</script>')
    assert mail.html is not None
    assert "<script" not in mail.html


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "//banyan.example", "", "ftp://x"]
)
def test_only_web_links_are_put_into_a_mail(link: str) -> None:
    with pytest.raises(ValueError, match="http"):
        reset(link=link)


@pytest.mark.parametrize(
    "name",
    [
        "Win at https://evil.example",
        "evil.example",
        "www.evil",
        "x" * 61,
        "",
        "  ",
        "\u200b\r\n",
        "go to Evil.Com now",
    ],
)
def test_a_name_that_could_be_an_advertisement_is_left_out(name: str) -> None:
    mail = reset(name=name)
    assert mail.text.startswith("Hello,\n")
    assert "evil" not in (mail.text + str(mail.html)).lower()


def test_a_name_of_several_lines_becomes_one() -> None:
    assert reset(name="Anna\r\n\tMaria  B.").text.startswith("Hello AnnaMaria B.,\n")


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(minutes=1), "1 minute,"),
        (timedelta(minutes=30), "30 minutes,"),
        (timedelta(hours=1), "1 hour,"),
        (timedelta(minutes=90), "90 minutes,"),
        (timedelta(days=2), "2 days,"),
        (timedelta(seconds=1), "1 minute,"),
    ],
)
def test_the_time_is_told_in_words(time: timedelta, words: str) -> None:
    assert words in " ".join(reset(valid_for=time).text.split())


@pytest.mark.parametrize("locale", ["en", "en-GB", "en_US", "xx", ""])
def test_a_language_without_a_wording_gets_english(locale: str) -> None:
    assert reset(locale=locale).subject == "Choose a new password"


def test_text_lines_are_short_enough_for_every_mail_program() -> None:
    assert all(len(line) <= 72 for mail in all_mails() for line in mail.text.splitlines() if line != LINK)
