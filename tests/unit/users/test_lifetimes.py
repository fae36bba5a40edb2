"""What runs out, and when: sessions, refresh tokens, links and tickets, with a clock that is turned."""

import asyncio
from datetime import timedelta

from tests.support.accounts import PASSWORD
from tests.support.mailbox import token_in
from tests.unit.users.conftest import EMAIL

from banyan.kernel.clock import ManualClock
from banyan.modules.users.service.endings import SessionEndings


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


async def test_the_predecessor_gets_the_same_successor_for_ten_seconds_and_then_ends_the_session(banyan):
    async with banyan() as running:
        await running.register()
        first = (await running.log_in())["refresh_token"]
        second = (await running.refresh(first)).json()["refresh_token"]
        running.clock.advance(seconds(10))
        again = await running.refresh(first)
        assert (again.status_code, again.json()["refresh_token"]) == (200, second)
        running.clock.advance(seconds(0.001))
        assert (await running.refresh(first)).status_code == 401
        assert (await running.refresh(second)).status_code == 401, "reuse ends the whole session"


async def test_the_token_before_the_predecessor_ends_the_session_at_once(banyan):
    async with banyan() as running:
        await running.register()
        login = await running.log_in()
        second = (await running.refresh(login["refresh_token"])).json()["refresh_token"]
        third = (await running.refresh(second)).json()
        refused = await running.refresh(login["refresh_token"])
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_refresh_token")
        assert (await running.refresh(third["refresh_token"])).status_code == 401
        me = await running.api.get("/users/me", headers={"authorization": f"Bearer {third['access_token']}"})
        assert me.status_code == 401, "its access tokens are refused as well"


async def test_a_refresh_keeps_a_session_alive_and_thirty_idle_days_end_it(banyan):
    async with banyan() as running:
        await running.register()
        token = (await running.log_in())["refresh_token"]
        for _ in range(3):
            running.clock.advance(timedelta(days=29))
            answer = await running.refresh(token)
            assert answer.status_code == 200
            token = answer.json()["refresh_token"]
        running.clock.advance(timedelta(days=30))
        assert (await running.refresh(token)).status_code == 401


async def test_expired_sessions_are_swept_with_an_event_each(banyan):
    async with banyan() as running:
        user_id = await running.register()
        session_id = (await running.log_in())["session_id"]
        running.clock.advance(timedelta(days=31))
        fresh = await running.log_in()
        infra = running.app.infra
        log = infra.logs["users"]
        ended = await infra.shards.transact(user_id, SessionEndings(log, infra.clock).end_expired, 10)
        assert ended == 1
        events = await infra.shards.read(user_id, log.read, user_id, after=0)
        last = events[-1]
        assert (last.type, last.subject, last.data) == ("SessionRevoked", session_id, {"reason": "expired"})
        listed = await running.api.get(
            "/auth/sessions", headers={"authorization": f"Bearer {fresh['access_token']}"}
        )
        assert [session["id"] for session in listed.json()] == [fresh["session_id"]]


async def test_an_access_token_expires(banyan):
    async with banyan() as running:
        await running.register()
        token = (await running.log_in())["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        running.clock.advance(timedelta(minutes=10, seconds=29))
        assert (await running.api.get("/users/me", headers=headers)).status_code == 200, "30 s of leeway"
        running.clock.advance(seconds(2))
        refused = await running.api.get("/users/me", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


async def test_a_revoked_session_stays_revoked_across_a_restart(banyan):
    clock = ManualClock()
    async with banyan(clock) as running:
        await running.register()
        headers = {"authorization": f"Bearer {(await running.log_in())['access_token']}"}
        assert (await running.api.post("/auth/logout", headers=headers)).status_code == 204
    clock.advance(timedelta(minutes=5))
    async with banyan(clock) as running:
        # The revocation set compares with the machine's own time; what counts is that it was loaded.
        assert len(running.app.infra.revocations) == 1
        assert (await running.api.get("/users/me", headers=headers)).status_code == 401


async def test_the_sessions_of_a_deleted_account_stay_revoked_across_a_restart(banyan):
    clock = ManualClock()
    async with banyan(clock) as running:
        await running.register()
        headers = {"authorization": f"Bearer {(await running.log_in())['access_token']}"}
        gone = await running.api.request("DELETE", "/users/me", headers=headers, json={"password": PASSWORD})
        assert gone.status_code == 204
    async with banyan(clock) as running:
        assert (await running.api.get("/todos", headers=headers)).status_code == 401


async def mailed_token(running, subject: str) -> str:
    mail = await asyncio.to_thread(running.mailbox.wait_for, EMAIL, subject=subject)
    return token_in(mail)


async def test_a_reset_link_is_good_for_one_hour(banyan):
    async with banyan() as running:
        await running.register()
        await running.api.post("/auth/forgot", json={"email": EMAIL})
        token = await mailed_token(running, "new password")
        running.clock.advance(timedelta(hours=1))
        late = await running.api.post(
            "/auth/reset", json={"token": token, "new_password": "a quite different one"}
        )
        assert (late.status_code, late.json()["code"]) == (422, "invalid_token")
        await running.log_in()


async def test_a_confirmation_link_is_good_for_48_hours(banyan):
    async with banyan() as running:
        await running.register()
        token = await mailed_token(running, "Confirm")
        running.clock.advance(timedelta(hours=48))
        late = await running.api.post("/auth/verify", json={"token": token})
        assert (late.status_code, late.json()["code"]) == (422, "invalid_token")


async def test_a_ticket_is_good_for_thirty_seconds_and_once(banyan):
    async with banyan() as running:
        user_id = await running.register()
        headers = {"authorization": f"Bearer {(await running.log_in())['access_token']}"}
        users = next(module.contract for module in running.app.modules if module.name == "users")

        async def ticket() -> str:
            return (await running.api.post("/auth/ticket", headers=headers)).json()["ticket"]

        good = await ticket()
        running.clock.advance(seconds(29))
        assert (await users.redeem_ticket(good)).user_id == user_id
        assert await refused(users, good), "a second time"
        late = await ticket()
        running.clock.advance(seconds(30))
        assert await refused(users, late)
        void = await ticket()
        await running.api.post("/auth/logout", headers=headers)
        assert await refused(users, void), "its session has ended"
        assert await refused(users, "bnt_" + "A" * 65)


async def refused(users, ticket: str) -> bool:
    try:
        await users.redeem_ticket(ticket)
    except Exception as error:
        return getattr(error, "code", "") == "invalid_ticket"
    return False
