"""Windows of the web application in the system's Chromium."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from tests.support.browser import ARGUMENTS, Window
from tests.support.programs import need_program
from tests.support.server import RunningServer

WAIT_MS = 10_000


# For a module, not longer: Playwright keeps an event loop running in this thread, and other tests want one of their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = need_program(
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        variable="BANYAN_CHROMIUM",
        hint="`make test` finds or installs it.",
    )
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS, headless=True)
        yield browser
        browser.close()


@pytest.fixture
def open_window(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Window]]:
    """Opens windows that share nothing: `open_window()`, `open_window(server=…, viewport=…)`.

    After the test none may have had an error in its console, broken its policy or asked another host for anything.
    """
    opened: list[Window] = []

    def make(*, server: RunningServer | None = None, **options: Any) -> Window:
        on: RunningServer = server or request.getfixturevalue("server")
        context = chromium.new_context(
            base_url=on.url, viewport=options.pop("viewport", {"width": 1200, "height": 800}), **options
        )
        context.set_default_timeout(WAIT_MS)
        opened.append(Window(context, on.url))
        return opened[-1]

    yield make
    faults = [window.unexpected() for window in opened]
    for window in opened:
        window.context.close()
    assert not any(faults), faults
