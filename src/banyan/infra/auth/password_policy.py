"""Which passwords are accepted: long ones that nobody would guess first. No other rules.

Source: NIST SP 800-63B-4, section 3.1.1.2: a minimum length, at least 64 characters accepted, a blocklist, and no rules
about which characters must be in it. Unicode follows RFC 8265, section 4.2 (OpaqueString): other spaces become U+0020,
then NFC. NFC rather than NFKC: it makes what two keyboards produce for the same text equal ("é" in one or two code
points), and folds nothing else ("²" stays different from "2").
"""

import gzip
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import pairwise

from banyan.kernel.errors import FieldError, InvalidInput

DEFAULT_MIN_LENGTH = 12
LOWEST_MIN_LENGTH = 8
MAX_PASSWORD_CHARS = 1024

_MIN_HINT_LETTERS = 4


class WeakPassword(InvalidInput):
    code = "weak_password"
    detail = "This password cannot be accepted; see `errors`."


def normalized(password: str) -> str:
    """The form of a password that is counted, compared and hashed. Applying it twice changes nothing."""
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in password)
    return unicodedata.normalize("NFC", spaced)


def check_password(
    password: str,
    *,
    hints: Iterable[str] = (),
    min_length: int = DEFAULT_MIN_LENGTH,
    pointer: str = "/password",
) -> None:
    """Accept `password` for an account, or raise WeakPassword with the reason at `pointer`.

    hints: what belongs to the account, its e-mail address and name: a password that is one of them, or one of them with
    digits and signs around, is refused. min_length: in code points after normalising; ValueError when under 8.
    Everything up to 1,024 characters is accepted whole: nothing is cut off.
    """
    if min_length < LOWEST_MIN_LENGTH:
        raise ValueError(f"the minimum length of passwords must not be under {LOWEST_MIN_LENGTH}")
    fault = _fault(password, tuple(hints), min_length)
    if fault is not None:
        raise WeakPassword(errors=[FieldError(pointer, fault)])


def _fault(password: str, hints: tuple[str, ...], min_length: int) -> str | None:
    if len(password) > MAX_PASSWORD_CHARS:
        return f"must have at most {MAX_PASSWORD_CHARS} characters"
    # Cc: control characters, which RFC 8265 refuses and no keyboard types on purpose. Cs: lone surrogates, not text.
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in password):
        return "must not have control characters or broken text in it"
    text = normalized(password)
    if len(text) < min_length:
        return f"must have at least {min_length} characters"
    folded = text.casefold()
    if folded in common_passwords():
        return "is one of the passwords that are guessed first; choose another"
    if _is_a_pattern(folded):
        return "repeats itself or counts up; choose one that is harder to guess"
    if _is_a_hint(folded, hints):
        return "is your own name or e-mail address; choose one that others cannot know"
    return None


@cache
def common_passwords() -> frozenset[str]:
    """The bundled list of common passwords of 8 characters and more, in lower case; read at the first use."""
    packed = files("banyan.infra.auth").joinpath("common-passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode("utf-8").split("\n"))


def _is_a_pattern(text: str) -> bool:
    """True for a unit of up to four characters, or a common password, over and over; and for a run like 123… or cba…."""
    period = (text + text).find(text, 1)
    if period < len(text) and (period <= 4 or text[:period] in common_passwords()):
        return True
    steps = {(ord(right) - ord(left)) for left, right in pairwise(text)}
    # Digits wrap: after 9 comes 0.
    if text.isascii() and text.isdigit():
        steps = {step % 10 for step in steps}
        return len(steps) == 1 and steps <= {1, 9}
    return steps in ({1}, {-1})


def _is_a_hint(text: str, hints: tuple[str, ...]) -> bool:
    letters = _letters(text)
    for hint in hints:
        folded = normalized(hint).casefold().strip()
        for form in (folded, folded.partition("@")[0]):
            if form and (
                text == form or (len(_letters(form)) >= _MIN_HINT_LETTERS and letters == _letters(form))
            ):
                return True
    return False


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalpha())
