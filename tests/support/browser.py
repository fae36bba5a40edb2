"""A window of the web application, driven by Playwright, that notices everything that should not happen in it."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect
from tests.support.accounts import Account

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What a browser itself reports when a request fails because there is no network, or no server.
NO_NETWORK = re.compile(
    r"net::ERR_(INTERNET_DISCONNECTED|CONNECTION_REFUSED|FAILED|NETWORK_CHANGED|CONNECTION_RESET|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING)"
)
# A renewal that the server refuses is how a window finds out that its session was ended.
SESSION_ENDED = re.compile(r"status of 401")

REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


class Window:
    """One page in a browser profile of its own. allowed: what the console may say in this test."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.allowed: list[re.Pattern[str]] = []
        self.faults: list[str] = []
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("request", self._see_request)
        self.page: Page = context.new_page()
        self.page.on("console", self._see_message)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))

    # --- watching

    def _see_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc != urlsplit(self.url).netloc:
            self.faults.append(f"request to another host: {request.url}")

    def _see_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text} ({message.location.get('url')})")

    def unexpected(self) -> list[str]:
        """What went wrong in this window, except for what the test allowed."""
        return [fault for fault in self.faults if not any(pattern.search(fault) for pattern in self.allowed)]

    # --- acting

    def find(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def log_in(self, account: Account) -> None:
        self.page.goto(self.url)
        form = self.find("login-form")
        form.get_by_label("E-mail").fill(account.email)
        form.get_by_role("textbox", name="Password").fill(account.password)
        form.get_by_role("button", name="Log in").click()
        expect(self.find("new-todo")).to_be_visible()

    def add(self, title: str) -> None:
        self.find("new-todo").fill(title)
        self.find("new-todo").press("Enter")
        expect(self.row(title)).to_be_visible()

    def row(self, title: str) -> Locator:
        """The row of a to-do, open or completed."""
        return self.find("todo-item").filter(has=self.page.get_by_text(title, exact=True))

    def expect_open(self, *titles: str) -> None:
        """The open to-dos, in this order."""
        expect(self.find("todo-list").get_by_test_id("todo-title")).to_have_text(list(titles))

    def expect_completed(self, *titles: str) -> None:
        expect(self.find("completed-list").get_by_test_id("todo-title")).to_have_text(list(titles))

    def wait_for_worker(self) -> None:
        """Until the service worker holds all files and serves this page."""
        self.page.wait_for_function("() => navigator.serviceWorker.controller?.state === 'activated'")
