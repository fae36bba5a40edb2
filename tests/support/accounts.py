"""People for tests: registered and logged in through the API."""

import itertools
import os
from dataclasses import dataclass, field

import httpx
from tests.support.eventually import eventually

PASSWORD = "tangerine-lighthouse-42"  # long enough, and on no list of common passwords

_numbers = itertools.count(1)


def unused_email(name: str = "user") -> str:
    """An address that no other test uses, in this process or in one beside it."""
    return f"{name}-{os.getpid()}-{next(_numbers)}@example.org"


@dataclass(slots=True)
class Account:
    """A registered user. client: sends this user's access token with each request; close it with the account."""

    id: str
    name: str
    email: str
    password: str
    access_token: str
    refresh_token: str
    session_id: str
    client: httpx.Client = field(repr=False)

    def log_in(self, **fields: str) -> dict[str, str]:
        """Another session of this user: the answer of POST /auth/login."""
        credentials = {"email": self.email, "password": self.password, **fields}
        with client_of(str(self.client.base_url)) as anonymous:
            answer = anonymous.post("/auth/login", json=credentials)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def use_new_session(self) -> None:
        """Log in again and use that session from now on: a role that was changed meanwhile takes effect."""
        session = self.log_in()
        self.access_token, self.refresh_token = session["access_token"], session["refresh_token"]
        self.session_id = session["session_id"]
        self.client.headers["authorization"] = f"Bearer {self.access_token}"


def client_of(url: str, access_token: str | None = None) -> httpx.Client:
    """A client for the server at `url`; it ignores proxies of the machine."""
    headers = {"authorization": f"Bearer {access_token}"} if access_token else {}
    # Plain HTTP, and a context for TLS takes longer to make than most requests here take.
    return httpx.Client(base_url=url, headers=headers, timeout=15, trust_env=False, verify=False)


def wait_refused(api: httpx.Client, access_token: str) -> None:
    """Return when every part refuses this token: at once in one process, within a second in a fleet."""
    for path in ("/users/me", "/todos", "/notifications"):
        eventually(
            lambda path=path: (
                api.get(path, headers={"authorization": f"Bearer {access_token}"}).status_code == 401 or None
            ),
            f"{path} refuses the token of an ended session",
            within_seconds=1,
        )


def register(
    url: str, *, name: str = "Ada Example", email: str | None = None, password: str = PASSWORD
) -> Account:
    """A new user of the server at `url`, logged in."""
    email = email or unused_email()
    with client_of(url) as anonymous:
        made = anonymous.post("/users/", json={"name": name, "email": email, "password": password})
        assert made.status_code == 201, made.text
        session = anonymous.post("/auth/login", json={"email": email, "password": password})
        assert session.status_code == 200, session.text
    tokens = session.json()
    return Account(
        id=made.json()["id"],
        name=name,
        email=email,
        password=password,
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        session_id=tokens["session_id"],
        client=client_of(url, tokens["access_token"]),
    )


def welcomed(account: Account) -> Account:
    """The same account, once its welcome is in the inbox: a channel that is added later does not get that too."""
    eventually(lambda: account.client.get("/notifications").json() or None, "the welcome is there")
    return account
