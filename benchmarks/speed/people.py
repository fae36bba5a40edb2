"""The people of a comparison: each has twenty to-dos and, at Banyan, an account and an access token."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import aiohttp

from banyan.bootstrap import Application, build
from banyan.modules.users.contract import UserAdministration
from banyan.settings import Settings

TODOS = 20
AT_ONCE = 8
PASSWORD = "tangerine-lighthouse-42"


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    token: str


def title(number: int) -> str:
    """The title of one of the twenty."""
    return f"To-do {number} of a list that is as long as a screen"


def register(settings: Settings, count: int) -> list[Person]:
    """New accounts, made by Banyan's own service in this process, in a database that is migrated already.

    One password hash serves all of them, as a thousand would take most of a minute. Their access tokens are signed by the key
    that the server signs with, and no other than those that a login gives.
    """
    return asyncio.run(_register(settings, count))


async def _register(settings: Settings, count: int) -> list[Person]:
    application = build(settings)
    async with application.running(background=False):
        made = await application.infra.passwords.hash(PASSWORD)

        async def the_same(_password: str) -> str:
            return made

        application.infra.passwords.hash = the_same
        numbers = iter(range(count))
        shares = await asyncio.gather(*(_make_some(application, numbers) for _ in range(AT_ONCE)))
    return [person for share in shares for person in share]


async def _make_some(application: Application, numbers: Iterable[int]) -> list[Person]:
    users = cast(
        UserAdministration, next(module.contract for module in application.modules if module.name == "users")
    )
    people = []
    for number in numbers:
        account = await users.create_user(
            name="Load Test", email=f"person-{number}@example.org", password=PASSWORD
        )
        token, _ = application.infra.token_issuer.issue(account.id, account.id)
        people.append(Person(account.id, token))
    return people


def give_todos(url: str, people: Iterable[Person]) -> None:
    """Twenty to-dos for each, through the API of the server at `url`."""
    asyncio.run(_give_todos(url, people))


async def _give_todos(url: str, people: Iterable[Person]) -> None:
    operations = [{"op": "create", "todo": {"title": title(number)}} for number in range(TODOS)]
    left = iter(list(people))

    async def some(session: aiohttp.ClientSession) -> None:
        for person in left:
            headers = {"authorization": f"Bearer {person.token}"}
            call = session.post(f"{url}/todos/batch", json={"operations": operations}, headers=headers)
            async with call as answer:
                if answer.status != 200:
                    raise AssertionError(f"{answer.status}: {await answer.text()}")
                await answer.read()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(some(session) for _ in range(AT_ONCE)))
