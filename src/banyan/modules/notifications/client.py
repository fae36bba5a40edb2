"""Deliveries over HTTP: what a worker asks of the service that serves notifications."""

from typing import TYPE_CHECKING

from banyan.modules.notifications.contract import BegunDelivery, Outcome

if TYPE_CHECKING:
    from banyan.infra.services.client import ServiceClient


class DeliveriesClient:
    """contract.Deliveries; every method raises Unavailable too."""

    def __init__(self, client: "ServiceClient") -> None:
        self._client = client

    async def begin_delivery(
        self, user_id: str, notification_id: str, delivery_id: str, *, attempt: int
    ) -> BegunDelivery | None:
        names = _names(user_id, notification_id, delivery_id, attempt)
        begun = (await self._client.ask("begin-delivery", names))["begun"]
        return None if begun is None else BegunDelivery(**begun)

    async def settle_delivery(
        self,
        user_id: str,
        notification_id: str,
        delivery_id: str,
        *,
        attempt: int,
        outcome: Outcome,
        error: str | None = None,
    ) -> bool:
        names = _names(user_id, notification_id, delivery_id, attempt)
        return (await self._client.ask("settle-delivery", names | {"outcome": outcome, "error": error}))[
            "settled"
        ]


def _names(user_id: str, notification_id: str, delivery_id: str, attempt: int) -> dict[str, str | int]:
    return {
        "user_id": user_id,
        "notification_id": notification_id,
        "delivery_id": delivery_id,
        "attempt": attempt,
    }
