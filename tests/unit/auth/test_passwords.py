import asyncio
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher as Argon2

from banyan.infra.auth.hashing_pool import HashingPool
from banyan.infra.auth.passwords import MIN_MEMORY_KIB, PasswordHasher


class CountingArgon2:
    """The real argon2, with its calls written down."""

    def __init__(self, inner: Argon2) -> None:
        self.inner = inner
        self.calls: list[str] = []

    def hash(self, secret: bytes) -> str:
        self.calls.append("hash")
        return self.inner.hash(secret)

    def verify(self, stored: str, secret: bytes) -> bool:
        result = self.inner.verify(stored, secret)
        self.calls.append("verify")
        return result

    def check_needs_rehash(self, stored: str) -> bool:
        return self.inner.check_needs_rehash(stored)


@pytest.fixture
def pool() -> Iterator[HashingPool]:
    pool = HashingPool(max_wait_seconds=10)
    yield pool
    pool.close()


@pytest.fixture
def hasher(pool: HashingPool) -> PasswordHasher:
    return PasswordHasher(pool)


async def test_a_hash_is_argon2id_at_the_floor_or_above(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("correct horse battery staple")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert stored != await hasher.hash("correct horse battery staple")


async def test_only_the_right_password_is_right(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("correct horse battery staple")
    assert await hasher.verify("correct horse battery staple", stored) == await hasher.verify(
        "correct horse battery staple", stored
    )
    assert (await hasher.verify("correct horse battery staple", stored)).ok
    for wrong in (
        "correct horse battery stapl",
        "Correct horse battery staple",
        "correct horse battery staple ",
        "",
    ):
        assert not (await hasher.verify(wrong, stored)).ok


async def test_nothing_is_cut_off_a_long_password(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("a" * 1023 + "b")
    assert (await hasher.verify("a" * 1023 + "b", stored)).ok
    assert not (await hasher.verify("a" * 1023 + "c", stored)).ok
    assert not (await hasher.verify("a" * 1023 + "bb", stored)).ok


async def test_two_spellings_of_one_text_are_one_password(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("caf\u00e9 au lait, please")
    assert (await hasher.verify("cafe\u0301 au\u00a0lait, please", stored)).ok


@pytest.mark.parametrize(
    ("password", "stored"),
    [
        ("right password", None),
        ("right password", "!"),
        ("right password", ""),
        ("right password", "$2b$12$abcdefghijklmnopqrstuv"),
        ("right password", "é"),
        ("\ud800 lone surrogate", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0"),
        ("x" * 1025, "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0"),
    ],
    ids=repr,
)
async def test_a_refusal_without_a_comparison_costs_exactly_one_hash(
    hasher: PasswordHasher, password: str, stored: str | None
) -> None:
    counting = CountingArgon2(hasher._argon2)
    hasher._argon2 = counting  # pyright: ignore[reportAttributeAccessIssue]
    assert not (await hasher.verify(password, stored)).ok
    assert counting.calls == ["hash"]


async def test_a_wrong_password_costs_exactly_one_verification(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("right password")
    counting = CountingArgon2(hasher._argon2)
    hasher._argon2 = counting  # pyright: ignore[reportAttributeAccessIssue]
    assert not (await hasher.verify("wrong password", stored)).ok
    assert counting.calls == []  # The inner verification raised; nothing was hashed besides.
    assert (await hasher.verify("right password", stored)).ok
    assert counting.calls == ["verify"]


async def test_a_hash_of_other_costs_is_renewed_at_a_right_login_only(pool: HashingPool) -> None:
    old = PasswordHasher(pool, passes=3)
    stored = await old.hash("right password")
    hasher = PasswordHasher(pool)
    assert (await hasher.verify("wrong password", stored)).rehash is None
    verdict = await hasher.verify("right password", stored)
    assert verdict.ok
    assert verdict.rehash is not None
    again = await hasher.verify("right password", verdict.rehash)
    assert again.ok
    assert again.rehash is None


@pytest.mark.parametrize(
    "costs", [{"memory_kib": MIN_MEMORY_KIB - 1}, {"passes": 1}, {"parallelism": 0}], ids=str
)
def test_costs_under_the_floor_are_refused(pool: HashingPool, costs: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        PasswordHasher(pool, **costs)


async def test_the_event_loop_goes_on_while_passwords_are_hashed(hasher: PasswordHasher) -> None:
    hashing = asyncio.gather(*(hasher.hash(f"password {index}") for index in range(8)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
