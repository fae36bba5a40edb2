import unicodedata

import pytest

from banyan.infra.module import State
from banyan.kernel.errors import InvalidInput
from banyan.kernel.events import Event
from banyan.modules.users.model import apply_event, email_key, parse_email


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.org", "ada@EXAMPLE.ORG"),
        (" ada@example.org ", "ada@example.org"),
        (unicodedata.normalize("NFD", "zoë@example.org"), unicodedata.normalize("NFC", "ZOË@example.org")),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str):
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("ada@example.org", "adb@example.org"), ("a.da@x.org", "ada@x.org")]
)
def test_different_addresses_have_different_keys(one: str, other: str):
    assert email_key(one) != email_key(other)


@pytest.mark.parametrize("text", ["", "ada", "ada@", "@example.org", "a b@example.org", "ada@example", "a@b@c.org", '"a"@b.org', "ada@[127.0.0.1]", "ada@example.org\r\nBcc: eve@example.org", "a" * 65 + "@example.org"])  # fmt: skip
def test_what_is_no_address_is_refused_at_its_field(text: str):
    with pytest.raises(InvalidInput) as refused:
        parse_email(text)
    assert [fault.pointer for fault in refused.value.errors] == ["/email"]


@pytest.mark.parametrize(
    "text", ["ada@intranet.local", "ada@service.test", "jörg@bücher.example", "a+b@example.org"]
)
def test_unusual_addresses_are_accepted(text: str):
    assert parse_email(text) == text


def test_any_text_has_a_key_so_that_a_login_can_be_tried_with_it():
    assert email_key("no address") == "no address"
    assert email_key("\ud800") == "\ud800"


USER = "01890a5d-ac96-774b-bcce-b302099a8057"
SESSION = "01890a5d-ac96-774b-bcce-b302099a8058"


def fold(*events: tuple[str, str, dict]) -> State:
    state: State = {}
    for position, (kind, subject, data) in enumerate(events, 1):
        apply_event(
            state,
            Event("e", USER, "users", position, kind, subject, data, None, "2030-01-01T00:00:00.000000Z"),
        )
    return state


REGISTERED = (
    "UserRegistered",
    USER,
    {"id": USER, "name": "Ada", "email": "ada@example.org", "email_verified": False},
)


def test_events_fold_to_the_account_and_its_living_sessions():
    state = fold(
        REGISTERED,
        ("SessionStarted", SESSION, {"device": "laptop", "created_at": "t"}),
        ("UserChanged", USER, {"name": "Ada King", "updated_at": "u"}),
        ("UserDisabled", USER, {"disabled_at": "d"}),
        ("SessionRevoked", SESSION, {"reason": "disabled"}),
        ("UserEnabled", USER, {}),
        ("PasswordChanged", USER, {"by": "owner"}),
    )
    assert state == {
        f"user/{USER}": {
            "id": USER,
            "name": "Ada King",
            "email": "ada@example.org",
            "email_verified": False,
            "updated_at": "u",
            "disabled_at": None,
        }
    }


def test_nothing_is_left_of_a_deleted_account():
    assert fold(REGISTERED, ("UserDeleted", USER, {"sessions": []})) == {}
    assert fold(("UserDeleted", USER, {"sessions": []})) == {}
