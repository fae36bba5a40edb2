"""Access tokens are judged at the gateway: what is bad is refused there, what it cannot judge is the service's affair."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.gateway.conftest import Front, Tokens
from tests.support.accounts import client_of
from tests.support.eventually import eventually
from tests.support.gateway import everything_at, gateway
from tests.support.problems import assert_problem
from tests.support.replica import Replica

from banyan.infra.auth.keys import KeyRing, SigningKey


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def same_kid(tokens: Tokens) -> KeyRing:
    """Another key under the name of the right one."""
    (known,) = tokens.ring.keys
    return KeyRing([replace(SigningKey.generate("active"), kid=known.kid)])


def test_a_good_token_goes_on_to_the_service(front: Front) -> None:
    token = front.tokens.issue()
    assert front.client.get("/todos", headers=bearer(token)).status_code == 200
    (arrived,) = front.replicas["todos"].arrived
    assert arrived.headers["authorization"] == f"Bearer {token}"


@pytest.mark.parametrize(
    "make",
    [
        lambda tokens: tokens.issue(age=timedelta(minutes=15)),
        lambda tokens: tokens.issue(audience="another-service"),
        lambda tokens: tokens.issue(issuer="https://elsewhere.example"),
        lambda tokens: tokens.issue(age=timedelta(minutes=-5)),
        lambda tokens: tokens.issue(ring=same_kid(tokens)),
        lambda tokens: "eyJhbGciOiJub25lIn0." + tokens.issue().split(".")[1] + ".",
        lambda tokens: "x.y.z",
        lambda tokens: "rubbish",
    ],
    ids=["expired", "audience", "issuer", "not yet", "signature", "alg none", "no JWT", "no dots"],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/todos"), ("POST", "/todos/batch"), ("GET", "/events")]
)
def test_a_bad_token_is_refused_before_the_service(front: Front, make, method: str, path: str) -> None:
    answer = front.client.request(method, path, headers=bearer(make(front.tokens)))
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="banyan"'
    assert answer.headers["cache-control"] == "no-store"
    assert front.arrived() == []


def test_a_missing_token_is_the_services_affair(front: Front) -> None:
    assert front.client.get("/todos").status_code == 200
    assert front.client.get("/todos", headers={"authorization": "Basic YTpi"}).status_code == 200
    assert front.arrived() == ["todos", "todos"]


def test_a_ticket_in_the_address_is_left_alone(front: Front) -> None:
    """Envoy looks for tokens in the query, too, unless it is told where to look."""
    assert front.client.get("/ws?ticket=rubbish&access_token=rubbish").status_code == 200
    assert front.client.get("/todos?access_token=rubbish").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/auth/refresh"), ("POST", "/auth/login"), ("GET", "/"), ("POST", "/users")]
)
def test_public_operations_take_no_notice_of_it(front: Front, method: str, path: str) -> None:
    """A client whose token has expired sends it along when it asks for a new one."""
    expired = bearer(front.tokens.issue(age=timedelta(hours=1)))
    assert front.client.request(method, path, headers=expired).status_code == 200


def test_a_key_that_the_gateway_does_not_know_yet_is_judged_by_the_service(front: Front) -> None:
    """After a lost secret new keys sign at once; the gateway's list may be a minute old."""
    unknown = front.tokens.issue(ring=KeyRing([SigningKey.generate("active")]))
    assert front.client.get("/todos", headers=bearer(unknown)).status_code == 200
    assert front.arrived() == ["todos"]


def test_without_the_keys_services_judge_for_themselves(tmp_path: Path, tokens: Tokens) -> None:
    """The gateway starts while `users` is away: nobody is logged out by that. Once it has the keys, it judges."""
    forged = bearer(tokens.issue(ring=same_kid(tokens)))
    with (
        Replica() as replica,
        gateway(tmp_path, everything_at(replica.port)) as made,
        client_of(made.url) as client,
    ):
        assert client.get("/todos", headers=bearer(tokens.issue())).status_code == 200
        assert client.get("/todos", headers=forged).status_code == 200
        replica.keys = tokens.jwks

        def refused() -> httpx.Response | None:
            answer = client.get("/todos", headers=forged)
            return answer if answer.status_code == 401 else None

        eventually(refused, "the gateway fetched the keys")
        assert client.get("/todos", headers=bearer(tokens.issue())).status_code == 200


def test_known_keys_go_on_being_used_while_users_is_away(tmp_path: Path, tokens: Tokens) -> None:
    with Replica("todos", tokens.jwks) as todos, Replica("users", tokens.jwks) as users:
        places = {**everything_at(todos.port), "users": everything_at(users.port)["users"]}
        with gateway(tmp_path, places) as made, client_of(made.url) as client:
            users.behave = lambda _: 503
            users.keys = None
            users.ready = False
            expired = bearer(tokens.issue(age=timedelta(hours=1)))
            assert client.get("/todos", headers=bearer(tokens.issue())).status_code == 200
            assert client.get("/todos", headers=expired).status_code == 401
