"""Swagger UI: it works with the files that Banyan itself serves, its Authorize button included."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.support.accounts import Account
from tests.support.browser import Window
from tests.support.todos import create

pytestmark = pytest.mark.browser


def test_one_can_log_in_and_try_an_operation(
    open_window: Callable[..., Window], new_user: Callable[..., Account]
) -> None:
    account = new_user()
    create(account.client, "Water the banyan")
    window = open_window()
    page = window.page
    page.goto(window.url + "/docs")
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".modal-ux .auth-container")
    dialog.locator("#oauth_username").fill(account.email)
    dialog.locator("#oauth_password").fill(account.password)
    dialog.locator(".auth-btn-wrapper .authorize").click()
    expect(dialog.locator(".auth-btn-wrapper")).to_contain_text("Logout")
    dialog.locator(".btn-done").click()

    operation = page.locator(".opblock-get").filter(has=page.locator('[data-path="/todos"]'))
    operation.locator(".opblock-summary-control").click()
    # The fields are open already (tryItOutEnabled).
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer.locator(".response-col_status").nth(1)).to_contain_text("200")
    expect(answer).to_contain_text("Water the banyan")
