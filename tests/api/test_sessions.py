"""Logging in and out, refreshing, the list of sessions, tickets, and what reaches open streams."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpx
import pytest
from tests.support.accounts import Account
from tests.support.eventually import eventually
from tests.support.server import RunningServer, server_kind
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect


def problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def bearer(tokens: dict[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


def refresh(api: httpx.Client, token: str) -> httpx.Response:
    return api.post("/auth/refresh", json={"refresh_token": token})


# Logging in


def test_a_login_answers_tokens(new_user, api: httpx.Client):
    ada: Account = new_user()
    answer = api.post("/auth/login", json={"email": f" {ada.email.upper()} ", "password": ada.password})
    assert answer.status_code == 200
    tokens = answer.json()
    assert tokens.keys() == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "session_id",
        "user_id",
    }
    assert (tokens["token_type"], tokens["expires_in"], tokens["user_id"]) == ("Bearer", 600, ada.id)
    assert answer.headers["cache-control"] == "no-store"
    assert api.get("/users/me", headers=bearer(tokens)).json()["id"] == ada.id


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(new_user, api: httpx.Client):
    ada: Account = new_user()
    assert api.get("/users/me", headers={"authorization": f"Bearer {ada.refresh_token}"}).status_code == 401
    problem(refresh(api, ada.access_token), 401, "invalid_refresh_token")


@pytest.mark.parametrize("body", [{}, {"email": "a@b.org"}, {"email": 1, "password": "x"}, {"email": "a@b.org", "password": "x", "delivery": "pigeon"}, {"email": "a@b.org", "password": "x", "remember": True}])  # fmt: skip
def test_a_login_that_is_none_is_refused(api: httpx.Client, body: dict):
    problem(api.post("/auth/login", json=body), 422, "invalid_input")


def test_the_oauth_form_logs_in_and_refreshes(new_user, api: httpx.Client):
    ada: Account = new_user()
    form = {
        "grant_type": "password",
        "username": ada.email,
        "password": ada.password,
        "client_id": "swagger",
        "scope": "",
    }
    answer = api.post("/auth/token", data=form)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert tokens.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert tokens["token_type"] == "Bearer"
    assert api.get("/users/me", headers=bearer(tokens)).status_code == 200
    renewed = api.post(
        "/auth/token", data={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    )
    assert api.get("/users/me", headers=bearer(renewed.json())).status_code == 200
    assert renewed.json()["refresh_token"] != tokens["refresh_token"]


def test_the_oauth_form_is_refused_with_problems(new_user, api: httpx.Client):
    ada: Account = new_user()
    wrong = {"grant_type": "password", "username": ada.email, "password": "wrong"}
    problem(api.post("/auth/token", data=wrong), 401, "invalid_credentials")
    problem(
        api.post("/auth/token", data={"grant_type": "refresh_token", "refresh_token": "x"}),
        401,
        "invalid_refresh_token",
    )
    for form in (
        {},
        {"grant_type": "client_credentials"},
        {"grant_type": "password", "username": ada.email},
        {"grant_type": "refresh_token"},
        {"grant_type": "password", "username": "a\x00", "password": "x"},
    ):
        problem(api.post("/auth/token", data=form), 422, "invalid_input")
    answer = api.post("/auth/token", json=wrong)
    assert answer.status_code in (415, 422)
    assert answer.headers["content-type"] == "application/problem+json"


# Refreshing


def test_a_refresh_rotates_the_token_within_the_session(new_user, api: httpx.Client):
    ada: Account = new_user()
    answer = refresh(api, ada.refresh_token)
    assert answer.status_code == 200
    renewed = answer.json()
    assert renewed["session_id"] == ada.session_id
    assert renewed["refresh_token"] != ada.refresh_token
    assert renewed["access_token"] != ada.access_token
    assert api.get("/users/me", headers=bearer(renewed)).status_code == 200
    assert ada.client.get("/users/me").status_code == 200, "the former access token lives until it expires"


def test_fifty_refreshes_at_once_give_one_successor(new_user, server: RunningServer):
    ada: Account = new_user()

    def one(_: int) -> httpx.Response:
        return httpx.post(
            f"{server.url}/auth/refresh",
            json={"refresh_token": ada.refresh_token},
            timeout=30,
            trust_env=False,
        )

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, range(50)))
    assert {answer.status_code for answer in answers} == {200}
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert (
        httpx.post(
            f"{server.url}/auth/refresh", json={"refresh_token": successors.pop()}, trust_env=False
        ).status_code
        == 200
    )


def test_a_token_that_comes_back_ends_the_whole_session(new_user, api: httpx.Client):
    ada: Account = new_user()
    stolen = ada.refresh_token
    second = refresh(api, stolen).json()["refresh_token"]
    third = refresh(api, second).json()
    problem(refresh(api, stolen), 401, "invalid_refresh_token")
    problem(refresh(api, third["refresh_token"]), 401, "invalid_refresh_token")
    problem(ada.client.get("/users/me"), 401, "unauthenticated")
    problem(api.get("/users/me", headers=bearer(third)), 401, "unauthenticated")
    ada.log_in()


def test_a_made_up_refresh_token_ends_nobodys_session(new_user, api: httpx.Client):
    ada: Account = new_user()
    forged = ada.refresh_token[:60] + ("A" if ada.refresh_token[60] != "A" else "B") + ada.refresh_token[61:]
    for token in (forged, "", "x", "bnr_" + "A" * 107, "ü"):
        assert refresh(api, token).status_code == 401
    assert refresh(api, ada.refresh_token).status_code == 200


@pytest.mark.parametrize("body", [None, {}, {"refresh_token": None}])
def test_a_refresh_without_any_token_is_refused(api: httpx.Client, body: object):
    problem(
        api.post("/auth/refresh", json=body) if body is not None else api.post("/auth/refresh"),
        401,
        "invalid_refresh_token",
    )


# Logging out


def test_a_logout_by_access_token_ends_the_session(new_user, api: httpx.Client):
    ada: Account = new_user()
    assert ada.client.post("/auth/logout").status_code == 204
    problem(ada.client.get("/users/me"), 401, "unauthenticated")
    problem(refresh(api, ada.refresh_token), 401, "invalid_refresh_token")


def test_a_logout_by_refresh_token_ends_the_session_and_may_be_repeated(new_user, api: httpx.Client):
    ada: Account = new_user()
    for _ in range(2):
        assert api.post("/auth/logout", json={"refresh_token": ada.refresh_token}).status_code == 204
    problem(ada.client.get("/users/me"), 401, "unauthenticated")
    assert api.post("/auth/logout", json={"refresh_token": "nobody's"}).status_code == 204
    problem(api.post("/auth/logout"), 401, "unauthenticated")


# The list of sessions


def test_sessions_are_listed_and_ended(new_user, api: httpx.Client):
    ada: Account = new_user()
    phone, tablet = ada.log_in(device="Ada's phone"), ada.log_in(device="tablet\x07\u0000x"[:6])
    listed = ada.client.get("/auth/sessions").json()
    assert {session["id"] for session in listed} == {
        ada.session_id,
        phone["session_id"],
        tablet["session_id"],
    }
    assert [session["id"] for session in listed if session["current"]] == [ada.session_id]
    shown = next(session for session in listed if session["id"] == phone["session_id"])
    assert shown.keys() == {"id", "device", "address", "created_at", "last_used_at", "expires_at", "current"}
    assert shown["device"] == "Ada's phone"
    # Envoy calls a client of its own machine by the machine's address.
    assert ip_address(shown["address"]).is_loopback or server_kind() == "fleet"

    assert ada.client.delete(f"/auth/sessions/{phone['session_id']}").status_code == 204
    problem(api.get("/users/me", headers=bearer(phone)), 401, "unauthenticated")
    problem(ada.client.delete(f"/auth/sessions/{phone['session_id']}"), 404, "session_not_found")

    assert ada.client.delete("/auth/sessions").status_code == 204
    problem(api.get("/users/me", headers=bearer(tablet)), 401, "unauthenticated")
    assert [session["id"] for session in ada.client.get("/auth/sessions").json()] == [ada.session_id]


def test_nobody_ends_the_session_of_another(new_user):
    ada, bob = new_user(), new_user()
    for session_id in (bob.session_id, "01890a5d-ac96-774b-bcce-b302099a8057", "x"):
        problem(ada.client.delete(f"/auth/sessions/{session_id}"), 404, "session_not_found")
    assert bob.client.get("/users/me").status_code == 200


# Open streams


class Listener:
    """An open event stream, read by a thread of its own."""

    def __init__(self, server: RunningServer, access_token: str) -> None:
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.ended_at = 0.0
        self.names: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(server, access_token), daemon=True)
        self._thread.start()
        assert self.ready.wait(10), "the stream did not begin"

    def _read(self, server: RunningServer, access_token: str) -> None:
        headers = {"authorization": f"Bearer {access_token}"}
        with (
            httpx.Client(trust_env=False, timeout=30) as client,
            client.stream("GET", f"{server.url}/events", headers=headers) as response,
        ):
            for line in response.iter_lines():
                if line.startswith("event: "):
                    self.names.append(line.removeprefix("event: "))
                    if self.names[-1] == "ready":
                        self.ready.set()
        self.ended_at = time.monotonic()
        self.ended.set()


def test_a_revoked_session_closes_its_open_stream_within_a_second_and_no_other(
    new_user, server: RunningServer
):
    ada: Account = new_user()
    other = ada.log_in()
    mine, theirs = Listener(server, ada.access_token), Listener(server, other["access_token"])
    began = time.monotonic()
    assert ada.client.delete(f"/auth/sessions/{other['session_id']}").status_code == 204
    assert theirs.ended.wait(5)
    assert theirs.ended_at - began < 1.0
    assert theirs.names[-1] == "bye"
    eventually(lambda: "SessionRevoked" in mine.names or None, "the one that stays hears of the other's end")
    assert not mine.ended.is_set()
    ada.client.post("/auth/logout")
    assert mine.ended.wait(5)


@pytest.mark.parametrize("how", ["logout", "password", "delete"])
def test_every_way_to_end_a_session_closes_its_stream(new_user, server: RunningServer, how: str):
    ada: Account = new_user()
    other = ada.log_in()
    stream = Listener(server, other["access_token"])
    with httpx.Client(base_url=server.url, headers=bearer(other), trust_env=False) as client:
        if how == "logout":
            assert client.post("/auth/logout").status_code == 204
        elif how == "password":
            change = {"current_password": ada.password, "new_password": "quiet-herons-at-dawn-7"}
            assert ada.client.post("/users/me/password", json=change).status_code == 204
        else:
            assert (
                ada.client.request("DELETE", "/users/me", json={"password": ada.password}).status_code == 204
            )
    assert stream.ended.wait(2)


def read_to_the_end(socket: ClientConnection) -> None:
    while True:
        socket.recv(5)


def test_a_ticket_opens_one_socket_which_ends_with_the_session(new_user, server: RunningServer):
    ada: Account = new_user()
    answer = ada.client.post("/auth/ticket")
    assert answer.status_code == 201
    assert answer.json()["expires_in"] == 30
    url = f"{server.url.replace('http', 'ws')}/ws?ticket={answer.json()['ticket']}"
    with connect(url) as socket:
        assert json.loads(socket.recv(5))["event"] == "ready"
        with pytest.raises(InvalidStatus) as refused, connect(url):
            pass
        assert refused.value.response.status_code == 401, "a second time"
        began = time.monotonic()
        ada.client.post("/auth/logout")
        with pytest.raises(ConnectionClosed) as closed:
            read_to_the_end(socket)
        assert time.monotonic() - began < 1.0
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_a_ticket_needs_an_access_token(api: httpx.Client):
    problem(api.post("/auth/ticket"), 401, "unauthenticated")


# Cookies

REFRESH, DEVICE = "__Host-banyan_refresh", "__Host-banyan_device"


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    """Name → the whole Set-Cookie header."""
    return {header.partition("=")[0]: header for header in answer.headers.get_list("set-cookie")}


def value_of(header: str) -> str:
    return header.partition("=")[2].partition(";")[0]


def cookie_login(api: httpx.Client, ada: Account, **headers: str) -> httpx.Response:
    body = {"email": ada.email, "password": ada.password, "delivery": "cookie"}
    return api.post("/auth/login", json=body, headers=headers)


def test_a_browser_gets_its_refresh_token_in_a_cookie_that_scripts_and_other_sites_cannot_use(
    new_user, api: httpx.Client
):
    answer = cookie_login(api, new_user())
    assert answer.json()["refresh_token"] is None
    header = cookies_of(answer)[REFRESH]
    attributes = {part.strip().lower() for part in header.split(";")[1:]}
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= attributes
    assert not any(part.startswith("domain") for part in attributes)
    assert "max-age=2592000" in attributes


def test_a_cookie_refreshes_and_logs_out(new_user, api: httpx.Client):
    ada: Account = new_user()
    first = value_of(cookies_of(cookie_login(api, ada))[REFRESH])
    answer = api.post(
        "/auth/refresh", headers={"cookie": f"{REFRESH}={first}", "sec-fetch-site": "same-origin"}
    )
    assert answer.status_code == 200
    assert answer.json()["refresh_token"] is None
    second = value_of(cookies_of(answer)[REFRESH])
    assert second.startswith("bnr_")
    assert second != first
    gone = api.post(
        "/auth/logout", headers={"cookie": f"{REFRESH}={second}", "origin": str(api.base_url).rstrip("/")}
    )
    assert gone.status_code == 204
    assert value_of(cookies_of(gone)[REFRESH]) in ('""', "")
    assert "max-age=0" in cookies_of(gone)[REFRESH].lower()
    problem(api.get("/users/me", headers=bearer(answer.json())), 401, "unauthenticated")


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site", "origin": "https://evil.example"}, {"origin": "null"}])  # fmt: skip
@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_another_site_cannot_use_the_cookie(new_user, api: httpx.Client, path: str, headers: dict[str, str]):
    ada: Account = new_user()
    login = cookie_login(api, ada)
    token = value_of(cookies_of(login)[REFRESH])
    problem(api.post(path, headers={"cookie": f"{REFRESH}={token}", **headers}), 403, "forbidden")
    assert api.get("/users/me", headers=bearer(login.json())).status_code == 200
    assert refresh(api, token).status_code == 200, "it was not used up"


@pytest.mark.single_process  # a fleet has a public URL, and that name counts
def test_development_under_another_name_without_tls_has_a_plain_cookie(new_user, api: httpx.Client):
    answer = cookie_login(api, new_user(), host="banyan.lan:8000")
    header = cookies_of(answer)["banyan_refresh"].lower()
    assert "secure" not in header
    assert "httponly" in header
    assert "samesite=strict" in header


def test_production_sets_host_cookies_only(make_server, new_user):
    server = make_server(
        {
            "BANYAN_ENV": "production",
            "BANYAN_SECRET_KEY": "k" * 48,
            "BANYAN_PUBLIC_URL": "https://banyan.example",
        }
    )
    ada: Account = new_user(server=server)
    with httpx.Client(base_url=server.url, trust_env=False) as api:
        assert {REFRESH, DEVICE} <= cookies_of(cookie_login(api, ada, host="banyan.lan")).keys()
