"""A gateway in front of three replicas that tell what reached them: one for each service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.support.accounts import client_of
from tests.support.certificates import make_certificate
from tests.support.gateway import Gateway, everything_at, gateway
from tests.support.replica import Replica

from banyan.bootstrap import AUDIENCE
from banyan.gateway.plan import Address, Certificate
from banyan.infra.auth.keys import KeyRing, SigningKey
from banyan.infra.auth.tokens import TokenIssuer
from banyan.kernel.clock import ManualClock
from banyan.kernel.ids import new_id
from banyan.targets import MODULES


class Tokens:
    """Access tokens of an installation, made with the keys that its JWKS tells."""

    def __init__(self) -> None:
        self.ring = KeyRing([SigningKey.generate("active")])

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        return self.ring.jwks(datetime.now(UTC).timestamp())

    def issue(
        self,
        *,
        ring: KeyRing | None = None,
        issuer: str = "banyan",
        audience: str = AUDIENCE,
        age: timedelta = timedelta(0),
    ) -> str:
        made = TokenIssuer(
            ring or self.ring,
            issuer=issuer,
            audience=audience,
            lifetime=timedelta(minutes=10),
            clock=ManualClock(datetime.now(UTC) - age),
        )
        return made.issue(new_id(), new_id(), frozenset(), "user")[0]


@dataclass(frozen=True, slots=True)
class Front:
    gateway: Gateway
    replicas: dict[str, Replica]
    tokens: Tokens
    client: httpx.Client

    def forget(self) -> None:
        for replica in self.replicas.values():
            replica.arrived.clear()
            replica.behave = lambda _: None

    def arrived(self) -> list[str]:
        """The services that something reached, once for each request."""
        return [name for name, replica in self.replicas.items() for _ in replica.arrived]


@pytest.fixture(scope="session")
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture(scope="session")
def _front(tmp_path_factory: pytest.TempPathFactory, tokens: Tokens) -> Iterator[Front]:
    with ExitStack() as stack:
        replicas = {module: stack.enter_context(Replica(module, tokens.jwks)) for module in MODULES}
        places = {module: (Address("127.0.0.1", replica.port),) for module, replica in replicas.items()}
        made = stack.enter_context(gateway(tmp_path_factory.mktemp("gateway"), places, internal=MODULES))
        client = stack.enter_context(client_of(made.url))
        yield Front(made, replicas, tokens, client)


@pytest.fixture
def front(_front: Front) -> Front:
    """The shared one, with nothing arrived yet and every replica well."""
    _front.forget()
    return _front


@pytest.fixture
def replica(tokens: Tokens) -> Iterator[Replica]:
    with Replica("one", tokens.jwks) as made:
        yield made


@pytest.fixture
def other(tokens: Tokens) -> Iterator[Replica]:
    with Replica("two", tokens.jwks) as made:
        yield made


@pytest.fixture
def pair(replica: Replica, other: Replica, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway in front of two replicas of everything."""
    with gateway(tmp_path, everything_at(replica.port, other.port)) as made:
        yield made


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def new_certificate(tmp_path: Path) -> Callable[[str], Certificate]:
    """Makes one for a name, in place of the one before."""
    folder = tmp_path / "tls"
    folder.mkdir()
    return lambda name: make_certificate(folder, name)
