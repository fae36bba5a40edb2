"""Scripts that run inside Redis: many calls in one round trip, known to the server by their digest."""

import hashlib
from collections.abc import Sequence
from typing import Any

import redis.asyncio as redis
from redis.exceptions import NoScriptError

from banyan.infra.redis.connection import RedisConnection

Call = Sequence[str | bytes | int | float]
"""The number of keys, the keys, the arguments."""


class Script:
    """One Lua script. Like every command it is atomic: nothing else runs in Redis meanwhile."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, connection: RedisConnection, calls: Sequence[Call]) -> list[Any]:
        """The result of each call; one that Redis refuses has the error as its result. Raises RedisUnavailable."""
        results = await connection.do(lambda client: _pipelined(client, "EVALSHA", self._digest, calls))
        lost = [index for index, result in enumerate(results) if isinstance(result, NoScriptError)]
        if lost:  # a server that has just begun does not know the script
            again = [calls[index] for index in lost]
            found = await connection.do(lambda client: _pipelined(client, "EVAL", self._text, again))
            for index, result in zip(lost, found, strict=True):
                results[index] = result
        return results


async def _pipelined(client: redis.Redis, verb: str, script: str, calls: Sequence[Call]) -> list[Any]:
    if len(calls) == 1:
        try:
            return [await client.execute_command(verb, script, *calls[0])]
        except NoScriptError as error:
            return [error]
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        pipeline.execute_command(verb, script, *call)
    return await pipeline.execute(raise_on_error=False)
