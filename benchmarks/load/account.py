"""Accounts for load tests: registers people at a server on this machine and prints their access tokens, a line each.

python benchmarks/load/account.py http://127.0.0.1:8000 --count 4 --todos 20
"""

import argparse
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from ipaddress import ip_address
from urllib.parse import urlsplit

PASSWORD = "tangerine-lighthouse-42"
# A server sheds password hashes that it could not do in time; whoever comes back as told gets in.
TRIES = 20

# The machine's proxy settings have no business on the loopback interface.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def require_loopback(url: str) -> str:
    """The URL without its last slash. Raises SystemExit for a server elsewhere: load tests are for one's own machine."""
    host = urlsplit(url).hostname or ""
    is_loopback = host == "localhost"
    if not is_loopback:
        try:
            is_loopback = ip_address(host).is_loopback
        except ValueError:
            is_loopback = False
    if not is_loopback:
        raise SystemExit(f"{url} is not on this machine: these load tests use the loopback interface only.")
    return url.rstrip("/")


def call(method: str, url: str, body: object = None, token: str | None = None) -> dict:
    """The JSON answer. Waits and repeats while the server says 429 or 503. Raises HTTPError for other errors."""
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    for left in reversed(range(TRIES)):
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with _opener.open(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503) or left == 0:
                raise
            time.sleep(float(error.headers.get("retry-after", 1)))
    raise AssertionError("the last try answers or raises")


def make_account(base: str, todos: int = 0) -> str:
    """Register, log in, create some to-dos; returns the access token."""
    email = f"load-{secrets.token_hex(8)}@example.org"
    call("POST", f"{base}/users/", {"name": "Load Test", "email": email, "password": PASSWORD})
    token = call("POST", f"{base}/auth/login", {"email": email, "password": PASSWORD})["access_token"]
    if todos:
        operations = [{"op": "create", "todo": {"title": f"To-do {number}"}} for number in range(todos)]
        call("POST", f"{base}/todos/batch", {"operations": operations}, token)
    return token


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=1, help="how many accounts")
    parser.add_argument("--todos", type=int, default=20, help="to-dos of each, up to 500")
    options = parser.parse_args()
    base = require_loopback(options.url)
    for _ in range(options.count):
        sys.stdout.write(make_account(base, options.todos) + "\n")


if __name__ == "__main__":
    main()
