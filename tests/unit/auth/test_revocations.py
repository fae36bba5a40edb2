from banyan.infra.auth.revocations import Revocations
from banyan.kernel.ids import new_id


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_revoked_session_stays_revoked_until_its_last_token_has_expired() -> None:
    time = Time()
    revocations = Revocations(unix_seconds=time)
    session = new_id()
    revocations.revoke(session, until=1600)
    time.now = 1599.9
    revocations.sweep()
    assert revocations.is_revoked(session)
    assert not revocations.is_revoked(new_id())
    time.now = 1600
    revocations.sweep()
    assert not revocations.is_revoked(session)
    assert len(revocations) == 0


def test_revoking_again_never_shortens() -> None:
    time = Time()
    revocations = Revocations(unix_seconds=time)
    for until in (1600, 1700, 1500):
        revocations.revoke("s", until)
    time.now = 1650
    revocations.sweep()
    assert revocations.is_revoked("s")
    time.now = 1700
    revocations.sweep()
    assert not revocations.is_revoked("s")


def test_memory_is_bounded_by_the_revocations_of_one_token_lifetime() -> None:
    time = Time()
    revocations = Revocations(unix_seconds=time)
    for index in range(5000):
        time.now += 1
        revocations.revoke(f"session-{index}", until=time.now + 600)
    assert len(revocations) <= 601
    assert len(revocations._order) <= 601
