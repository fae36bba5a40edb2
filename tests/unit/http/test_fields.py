from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from banyan.infra.http.fields import Body, Flag, IdText, InstantText, Line, Text, Whole
from banyan.kernel.clock import to_text

instant, text, line, identifier = (TypeAdapter(kind) for kind in (InstantText, Text, Line, IdText))
ZONES = st.builds(timezone, st.integers(-1439, 1439).map(lambda minutes: timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES))  # noqa: DTZ001
def test_an_instant_becomes_utc_text(moment: datetime) -> None:
    assert instant.validate_python(moment.isoformat()) == to_text(moment)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2030-01-31T09:00:00Z", "2030-01-31T09:00:00.000000Z"),
        ("2030-01-31t09:00:00z", "2030-01-31T09:00:00.000000Z"),
        ("2030-01-31 09:00:00+02:00", "2030-01-31T07:00:00.000000Z"),
        ("2030-01-31T09:00:00.1Z", "2030-01-31T09:00:00.100000Z"),
        ("2030-12-31T23:30:00-01:00", "2031-01-01T00:30:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_an_rfc_3339_time_is_an_instant(sent: str, kept: str) -> None:
    assert instant.validate_python(sent) == kept


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "2030-01-31",
        "2030-01-31T09:00",
        "2030-01-31T09:00:00",
        "2030-02-30T09:00:00Z",
        "2030-01-31T25:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "20300131T090000Z-------",
        "1893456000",
        "1893456000000000000000",
        1893456000,
        1.5,
        True,
        None,
        ["2030-01-31T09:00:00Z"],
        datetime(2030, 1, 1, tzinfo=UTC),
    ],
    ids=repr,
)
def test_anything_else_is_no_instant(sent: object) -> None:
    with pytest.raises(ValidationError):
        instant.validate_python(sent)


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00")))
def test_text_is_kept_as_it_is(sent: str) -> None:
    assert text.validate_python(sent) == sent


@pytest.mark.parametrize(
    "sent", ["a\x00b", "\x00", "\ud800", "a\udfff", b"bytes", 1, None, True, []], ids=repr
)
def test_what_cannot_be_stored_is_no_text(sent: object) -> None:
    with pytest.raises(ValidationError):
        text.validate_python(sent)


@pytest.mark.parametrize("sent", ["", " ", "\t\n", "\u00a0", "\u2003"], ids=repr)
def test_a_line_is_not_blank(sent: str) -> None:
    with pytest.raises(ValidationError):
        line.validate_python(sent)


def test_an_id_is_kept_in_its_canonical_form() -> None:
    assert (
        identifier.validate_python("01890A5D-AC96-774B-BCCE-B302099A8057")
        == "01890a5d-ac96-774b-bcce-b302099a8057"
    )
    for sent in ("01890a5dac96774bbcceb302099a8057", "", "x", "\u0130" * 36, 5, None):
        with pytest.raises(ValidationError):
            identifier.validate_python(sent)


class _Sample(Body):
    flag: Flag = False
    number: Whole = 0


@pytest.mark.parametrize(
    "sent",
    [
        {"flag": "true"},
        {"flag": 1},
        {"flag": 0},
        {"flag": None},
        {"number": "1"},
        {"number": 1.0},
        {"number": True},
        {"surprise": 1},
        {"Flag": True},
        [],
        "flag",
        None,
    ],
    ids=repr,
)
def test_nothing_is_guessed_and_nothing_unknown_accepted(sent: object) -> None:
    with pytest.raises(ValidationError):
        _Sample.model_validate(sent)


def test_an_error_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(ValidationError) as caught:
        _Sample.model_validate({"number": "a secret"})
    assert "a secret" not in str(caught.value)
