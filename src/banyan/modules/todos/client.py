"""To-dos over HTTP: the contract, asked of the service that serves it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from banyan.infra.services.client import ServiceClient


class TodosClient:
    """contract.Todos; every method raises Unavailable too."""

    def __init__(self, client: "ServiceClient") -> None:
        self._client = client

    async def tell_reminders(self, user_id: str, todo_ids: Sequence[str]) -> int:
        asked = {"user_id": user_id, "todo_ids": list(todo_ids)}
        return (await self._client.ask("tell-reminders", asked))["told"]
