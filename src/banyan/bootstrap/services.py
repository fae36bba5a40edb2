"""Services: the contracts of modules that run in other processes, spoken over HTTP."""

from typing import TYPE_CHECKING

from banyan.bootstrap import meters
from banyan.infra.auth.service_tokens import ServiceTokens
from banyan.infra.http.internal_streams import RemoteStream
from banyan.infra.streams.sources import StreamSource
from banyan.infra.telemetry.metrics import Metrics
from banyan.modules.notifications.client import DeliveriesClient
from banyan.modules.notifications.contract import Deliveries
from banyan.modules.todos.client import TodosClient
from banyan.modules.todos.contract import Todos
from banyan.modules.users.client import UsersClient
from banyan.modules.users.contract import Users
from banyan.settings import Settings, SettingsError

if TYPE_CHECKING:
    from banyan.infra.services.client import ServiceClient


class Services:
    """Clients of other services, one for each, made when they are first asked for.

    name: who we are to them. Raises SettingsError for a service whose address is not set.
    """

    def __init__(self, settings: Settings, name: str, tokens: ServiceTokens, metrics: Metrics) -> None:
        self._settings = settings
        self._name = name
        self._tokens = tokens
        self._metrics = metrics
        self._clients: dict[str, ServiceClient] = {}

    def users(self) -> Users:
        return UsersClient(self._client("users"))

    def todos(self) -> Todos:
        return TodosClient(self._client("todos"))

    def deliveries(self) -> Deliveries:
        return DeliveriesClient(self._client("notifications"))

    def stream(self, module: str) -> StreamSource:
        return RemoteStream(self._client(module))

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    def _client(self, service: str) -> "ServiceClient":
        if service not in self._clients:
            address: str | None = getattr(self._settings, f"{service}_url")
            if address is None:
                variable = f"BANYAN_{service.upper()}_URL"
                raise SettingsError(
                    f"{variable} is missing: `{self._name}` asks the service `{service}`; set it to its address"
                )
            # Its library comes with the extra `services`, which one process has no use for.
            from banyan.infra.services.client import ServiceClient

            self._clients[service] = client = ServiceClient(
                service, address, self._tokens, timeout=self._settings.service_timeout
            )
            meters.breaker(self._metrics, service, client.breaker)
            meters.retries(self._metrics, service, client.budget)
        return self._clients[service]
