"""Many people log in at the same moment, and again every second. A program of its own: it takes no time from who measures.

    python -m benchmarks.speed.login_burst URL TIMES

Reads a line of JSON, [[e-mail, password], …], connects, prints `ready`, and begins at the moment of time.monotonic that the next
line says. Prints a line of JSON for each time: of each login its status, the seconds until the whole answer was there, and
whether it was told when to come again.
"""

import json
import select
import socket
import sys
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

# The default settings let so many people of one address log in at once; each address of 127.0.0.0/8 is another.
PER_ADDRESS = 10
GIVE_UP_SECONDS = 10.0


@dataclass(slots=True)
class Login:
    connection: socket.socket
    request: bytes
    answer: bytes = b""
    seconds: float | None = None


def main() -> None:
    url, times = sys.argv[1], int(sys.argv[2])
    logins = [_connected(url, number, *who) for number, who in enumerate(json.loads(sys.stdin.readline()))]
    print("ready", flush=True)
    at = float(sys.stdin.readline())
    for number in range(times):
        time.sleep(max(0.0, at + number - time.monotonic()))
        _log_in(logins)
        print(json.dumps([_facts(login) for login in logins]), flush=True)


def _log_in(logins: list[Login]) -> None:
    by_file = {login.connection.fileno(): login for login in logins}
    with select.epoll() as poll:
        for file, login in by_file.items():
            login.answer, login.seconds = b"", None
            poll.register(file, select.EPOLLIN)
        began = time.monotonic()
        for login in logins:
            login.connection.sendall(login.request)
        left = len(logins)
        while left and (wait := began + GIVE_UP_SECONDS - time.monotonic()) > 0:
            for file, _ in poll.poll(wait):
                login = by_file[file]
                login.answer += login.connection.recv(65536)
                if _is_whole(login.answer):
                    login.seconds = time.monotonic() - began
                    poll.unregister(file)
                    left -= 1


def _connected(url: str, number: int, email: str, password: str) -> Login:
    parts = urlsplit(url)
    connection = socket.socket()
    connection.bind((f"127.0.2.{1 + number // PER_ADDRESS}", 0))
    connection.connect((parts.hostname, parts.port))
    body = json.dumps({"email": email, "password": password}).encode()
    head = f"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return Login(connection, head.encode() + body)


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


def _facts(login: Login) -> tuple[int, float | None, bool]:
    status = int(login.answer.split(b" ", 2)[1]) if login.seconds is not None else 0
    return status, login.seconds, b"\r\nretry-after: " in login.answer.lower()


if __name__ == "__main__":
    main()
