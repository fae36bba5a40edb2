import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.server import migrated_data_dir

from banyan.bootstrap import build
from banyan.infra.auth.secret_box import WrongSecret
from banyan.kernel.clock import ManualClock
from banyan.settings import Settings


def users_of(app):
    return next(module.contract for module in app.modules if module.name == "users")


def headers_of(login: dict[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {login['access_token']}"}


async def test_two_first_processes_agree_on_the_keys(tmp_path: Path):
    migrated_data_dir(tmp_path)
    apps = [build(Settings(data_dir=tmp_path)) for _ in range(2)]  # pyright: ignore[reportCallIssue]
    try:
        for app in apps:
            await app.infra.shards.start()
        starts = [
            module.start for app in apps for module in app.modules if module.name == "users" and module.start
        ]
        await asyncio.gather(*(start() for start in starts))
        one, other = ({(key.kid, key.state) for key in app.infra.keys.keys} for app in apps)
        assert one == other
        assert sorted(state for _, state in one) == ["active", "next"]
    finally:
        for app in apps:
            await app.infra.shards.close()


async def test_a_rotation_logs_nobody_out_and_the_old_key_goes_when_its_last_token_has_expired(banyan):
    async with banyan(background=False) as running:
        users = users_of(running.app)
        await running.register()
        before = await running.log_in()
        old = [key.kid for key in await users.list_keys()]
        keys = await users.rotate_keys()
        assert [key.state for key in keys] == ["active", "next", "retired"]
        assert keys[0].kid == old[1], "the key that was published as the next one signs now"
        assert keys[2].kid == old[0]
        after = await running.log_in()
        for login in (before, after):
            assert (await running.api.get("/users/me", headers=headers_of(login))).status_code == 200
        published = (await running.api.get("/.well-known/jwks.json")).json()["keys"]
        assert [key["kid"] for key in published] == [key.kid for key in keys]
        assert all(set(key) == {"kty", "crv", "x", "kid", "use", "alg"} for key in published), (
            "public halves only"
        )

        running.clock.advance(timedelta(minutes=20))
        start = next(module.start for module in running.app.modules if module.name == "users")
        assert start is not None
        await start()
        assert [key.state for key in await users.list_keys()] == ["active", "next"]


async def test_withdrawn_keys_verify_nothing_any_more_and_sessions_go_on(banyan):
    async with banyan(background=False) as running:
        users = users_of(running.app)
        await running.register()
        login = await running.log_in()
        assert (await running.api.get("/users/me", headers=headers_of(login))).status_code == 200, (
            "and is remembered"
        )
        former = {key.kid for key in await users.list_keys()}
        assert not former & {key.kid for key in await users.rotate_keys(withdraw=True)}
        assert (await running.api.get("/users/me", headers=headers_of(login))).status_code == 401
        renewed = (await running.refresh(login["refresh_token"])).json()
        assert (await running.api.get("/users/me", headers=headers_of(renewed))).status_code == 200


async def test_another_process_takes_over_a_rotation(banyan):
    clock = ManualClock()
    async with banyan(clock, background=False) as one, banyan(clock, background=False) as other:
        await users_of(one.app).rotate_keys()
        start = next(module.start for module in other.app.modules if module.name == "users")
        assert start is not None
        await start()
        assert other.app.infra.keys.active().kid == one.app.infra.keys.active().kid


async def test_keys_at_rest_are_sealed_and_another_secret_is_told_so(banyan):
    async with banyan(secret_key="s" * 40) as running:
        private = running.app.infra.keys.active().private_bytes()
        path = running.app.infra.settings.database_path
    assert private not in path.read_bytes()
    with pytest.raises(WrongSecret):
        async with banyan(secret_key="t" * 40):
            pass
