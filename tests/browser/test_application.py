"""A person with the web application: everything through what they see and press."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.support.accounts import PASSWORD, Account, client_of, unused_email
from tests.support.browser import NO_NETWORK, SESSION_ENDED, Window
from tests.support.eventually import eventually
from tests.support.server import RunningServer
from tests.support.todos import all_of, create, titles
from tests.support.webhooks import Receiver

pytestmark = pytest.mark.browser

NewUser = Callable[..., Account]
OpenWindow = Callable[..., Window]
MakeServer = Callable[..., RunningServer]


def expect_on_server(account: Account, *wanted: str, completed: bool = False) -> None:
    """The server comes to hold exactly these to-dos, in this order."""

    def look() -> bool | None:
        return titles(all_of(account.client, completed=str(completed).lower())) == list(wanted) or None

    eventually(look, f"the server holds {wanted}")


@pytest.fixture
def account(new_user: NewUser) -> Account:
    return new_user(name="Ada Example")


def test_a_new_person_registers_and_their_first_to_do_is_kept(
    open_window: OpenWindow, server: RunningServer
) -> None:
    window, email = open_window(), unused_email("browser")
    window.page.goto(server.url)
    window.page.get_by_role("link", name="Create an account").click()
    form = window.find("register-form")
    form.get_by_label("Name").fill("Grace Example")
    form.get_by_label("E-mail").fill(email)
    form.get_by_role("textbox", name="Password").fill("short")
    form.get_by_role("button").last.click()
    window.allowed = [re.compile(r"status of 422")]  # the browser reports a refused form as an error
    expect(form).to_contain_text("12 characters")
    form.get_by_role("textbox", name="Password").fill(PASSWORD)
    form.get_by_role("button", name="Create account").click()
    window.add("Water the banyan")
    window.page.reload()
    window.expect_open("Water the banyan")
    with client_of(server.url) as client:
        session = client.post("/auth/login", json={"email": email, "password": PASSWORD}).json()
    with client_of(server.url, session["access_token"]) as client:
        assert titles(all_of(client)) == ["Water the banyan"]


def test_a_wrong_password_is_explained(open_window: OpenWindow, account: Account) -> None:
    window = open_window()
    window.allowed = [SESSION_ENDED]
    window.page.goto(window.url)
    form = window.find("login-form")
    form.get_by_label("E-mail").fill(account.email)
    form.get_by_role("textbox", name="Password").fill("not the password at all")
    form.get_by_role("button", name="Log in").click()
    expect(window.find("form-error")).to_be_visible()
    expect(window.find("new-todo")).not_to_be_visible()


def test_to_dos_are_added_edited_completed_found_and_deleted(
    open_window: OpenWindow, account: Account
) -> None:
    window = open_window()
    window.log_in(account)
    for title in ("Water", "Prune", "Harvest"):
        window.add(title)
    window.expect_open("Harvest", "Prune", "Water")

    window.row("Prune").hover()
    window.row("Prune").get_by_test_id("todo-edit").click()
    window.find("todo-title-input").fill("Prune the <b>apple</b> tree")
    window.find("todo-title-input").press("Enter")
    window.expect_open("Harvest", "Prune the <b>apple</b> tree", "Water")

    window.row("Water").locator("label.check").click()
    window.expect_completed("Water")
    window.expect_open("Harvest", "Prune the <b>apple</b> tree")
    expect_on_server(account, "Harvest", "Prune the <b>apple</b> tree")
    expect_on_server(account, "Water", completed=True)

    window.find("search").fill("APPLE")
    window.expect_open("Prune the <b>apple</b> tree")
    window.find("search").press("Escape")
    window.expect_open("Harvest", "Prune the <b>apple</b> tree")

    window.find("filter-completed").click()
    window.expect_completed("Water")
    expect(window.find("todo-list")).to_be_hidden()
    window.find("filter-all").click()


def test_a_deletion_can_be_undone_and_is_done_when_it_is_not(
    open_window: OpenWindow, account: Account
) -> None:
    for title in ("keep", "lose"):
        create(account.client, title)
    window = open_window()
    window.log_in(account)
    window.expect_open("lose", "keep")
    window.row("keep").hover()
    window.row("keep").get_by_test_id("todo-delete").click()
    window.expect_open("lose")
    window.find("toast").filter(has_text="deleted").get_by_test_id("toast-action").click()
    window.expect_open("lose", "keep")
    window.row("lose").hover()
    window.row("lose").get_by_test_id("todo-delete").click()
    window.expect_open("keep")
    expect(window.find("toast").filter(has_text="“lose” deleted")).to_be_hidden(timeout=20_000)
    expect_on_server(account, "keep")


def test_to_dos_are_reordered_by_keyboard_alone(open_window: OpenWindow, account: Account) -> None:
    for title in "cba":
        create(account.client, title)
    window = open_window()
    window.log_in(account)
    window.expect_open("a", "b", "c")
    window.page.keyboard.press("Escape")
    window.find("todo-list").get_by_test_id("todo-item").first.focus()
    window.page.keyboard.press("ArrowDown")
    window.page.keyboard.press("ArrowDown")
    expect(window.row("c")).to_be_focused()
    window.page.keyboard.press("Alt+ArrowUp")
    window.expect_open("a", "c", "b")
    expect(window.row("c")).to_be_focused()
    window.page.keyboard.press("Alt+ArrowUp")
    window.expect_open("c", "a", "b")
    expect_on_server(account, "c", "a", "b")
    # And completed with the space bar.
    window.page.keyboard.press("Space")
    window.expect_open("a", "b")
    expect_on_server(account, "c", completed=True)


# Calls `window.afterSettling` in the narrow time when a change has left the stored queue and is not yet drawn.
AFTER_SETTLING = """
const remove = IDBObjectStore.prototype.delete;
IDBObjectStore.prototype.delete = function (...args) {
  if (this.name === "queue" && window.afterSettling) {
    this.transaction.addEventListener("complete", window.afterSettling);
    window.afterSettling = null;
  }
  return remove.apply(this, args);
};
"""


def test_a_change_made_while_the_answer_to_the_last_is_taken_in_is_no_conflict_with_it(
    open_window: OpenWindow, account: Account
) -> None:
    create(account.client, "a")
    window = open_window()
    window.context.add_init_script(AFTER_SETTLING)
    # No live event may bring the new version before the answer does.
    window.page.route("**/events*", lambda route: None)
    window.log_in(account)
    window.expect_open("a")
    window.page.keyboard.press("Escape")
    window.page.evaluate(
        """() => {
          const row = document.querySelector('[data-testid="todo-item"]');
          row.focus();
          const space = () => row.dispatchEvent(new KeyboardEvent("keydown", { key: " ", bubbles: true }));
          window.afterSettling = space;
          space();
        }"""
    )
    window.page.wait_for_function("() => window.afterSettling === null")
    # Completed and open again at once: only the version tells that both changes came.
    version_with_both = 3

    def both_changes() -> bool | None:
        (todo,) = all_of(account.client)
        return (todo["version"], todo["completed"]) == (version_with_both, False) or None

    eventually(both_changes, "the server holds both changes")
    # A refused If-Match would be found in the console: see `open_window`.


def test_two_windows_see_what_the_other_does_and_both_are_notified(
    open_window: OpenWindow, account: Account
) -> None:
    one, other = open_window(), open_window()
    for window in (one, other):
        window.log_in(account)
        expect(window.find("empty-state")).to_be_visible()
    one.add("from one")
    other.expect_open("from one")
    other.row("from one").locator("label.check").click()
    one.expect_completed("from one")
    other.add("from the other")
    one.expect_open("from the other")

    unread = account.client.get("/notifications/unread_count").json()["unread"]
    answer = account.client.post(
        f"/notify/{account.id}", json={"title": "Garden", "message": "The banyan is thirsty"}
    )
    assert answer.status_code == 202
    for window in (one, other):
        expect(window.find("unread-badge")).to_have_text(str(unread + 1))
        expect(window.find("toast").filter(has_text="The banyan is thirsty")).to_be_visible()
    one.find("notifications-button").click()
    item = one.find("notification-item").filter(has_text="The banyan is thirsty")
    expect(item).to_be_visible()
    one.find("notifications-read-all").click()
    for window in (one, other):
        expect(window.find("unread-badge")).to_be_hidden()


def test_without_a_network_it_is_read_and_changed_and_nothing_is_lost_or_doubled(
    open_window: OpenWindow, make_server: MakeServer, new_user: NewUser
) -> None:
    """The server is truly gone: killed, and started again on what it had kept."""
    server = make_server()
    account = new_user(server=server)
    create(account.client, "from before")
    window = open_window(server=server)
    window.allowed = [NO_NETWORK]
    window.log_in(account)
    window.expect_open("from before")
    window.wait_for_worker()

    server.kill9()
    window.context.set_offline(True)
    expect(window.find("offline-pill")).to_be_visible()
    window.add("made offline")
    window.row("from before").locator("label.check").click()
    window.expect_completed("from before")
    expect(window.find("offline-pill")).to_contain_text("2 changes waiting")

    window.page.reload()
    window.expect_open("made offline")
    window.expect_completed("from before")
    expect(window.find("offline-pill")).to_contain_text("2 changes waiting")

    server.start()
    window.context.set_offline(False)
    expect(window.find("offline-pill")).to_be_hidden(timeout=30_000)
    expect_on_server(account, "made offline")
    expect_on_server(account, "from before", completed=True)
    history = account.client.get(f"/todos/{all_of(account.client)[0]['id']}/history").json()
    assert [entry["type"] for entry in history] == ["TodoCreated"]
    window.page.reload()
    window.expect_open("made offline")


def test_a_session_that_is_ended_elsewhere_ends_at_once(open_window: OpenWindow, account: Account) -> None:
    mine, lost = open_window(), open_window()
    lost.allowed = [SESSION_ENDED]
    lost.log_in(account)
    lost.add("secret plans")
    mine.log_in(account)
    mine.page.goto(mine.url + "/#/settings")
    # The account's own session, made by the test through the API, is in the list too.
    expect(mine.find("session-item")).to_have_count(3)
    mine.find("sessions-revoke-others").click()
    mine.find("confirm-yes").click()
    expect(lost.find("login-form")).to_be_visible()
    expect(lost.page.get_by_text("secret plans")).to_have_count(0)
    expect(mine.find("session-item")).to_have_count(1)
    # Nothing of it is left in the browser that was thrown out.
    assert lost.page.evaluate("async () => (await indexedDB.databases()).length") == 0


def test_logging_out_leaves_nothing_behind(open_window: OpenWindow, account: Account) -> None:
    window = open_window()
    window.log_in(account)
    window.add("private")
    expect_on_server(account, "private")
    window.page.goto(window.url + "/#/settings")
    expect(window.page.get_by_text(account.email)).to_be_visible()
    window.find("account-button").click()
    window.find("account-logout").click()
    expect(window.find("login-form")).to_be_visible()
    assert window.page.evaluate("async () => (await indexedDB.databases()).length") == 0
    # What stays tells a known device from a stranger's; it opens nothing.
    assert [cookie.get("name", "").removeprefix("__Host-") for cookie in window.context.cookies()] == [
        "banyan_device"
    ]
    for text in ("private", account.name, account.email):
        expect(window.page.get_by_text(text)).to_have_count(0)
    window.page.reload()
    expect(window.find("login-form")).to_be_visible()


def test_a_phone_shows_the_same(open_window: OpenWindow, account: Account) -> None:
    window = open_window(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    window.log_in(account)
    window.add(
        "A to-do with a title that is much too long for one line of a phone, " + "really " * 20 + "it is"
    )
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(window.find("nav-today")).not_to_be_in_viewport()
    window.find("menu-button").tap()
    expect(window.find("nav-today")).to_be_in_viewport()
    window.find("nav-today").tap()
    expect(window.page.get_by_role("heading", name="Today")).to_be_visible()
    expect(window.find("nav-today")).not_to_be_in_viewport()
    window.find("notifications-button").tap()
    expect(window.find("notifications-panel")).to_be_in_viewport()
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_token_is_nowhere_that_a_script_could_keep_it(open_window: OpenWindow, account: Account) -> None:
    window = open_window()
    window.log_in(account)
    window.add("x")
    kept = window.page.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
    )
    for cookie in window.context.cookies():
        assert cookie.get("httpOnly"), cookie
        assert cookie.get("sameSite") in ("Strict", "Lax")
        assert cookie.get("value", "") not in kept
    assert "eyJ" not in kept  # no JWT


def test_a_webhook_is_added_tried_turned_off_and_deleted(open_window: OpenWindow, account: Account) -> None:
    window = open_window()
    window.log_in(account)
    window.page.goto(window.url + "/#/settings")
    window.find("channel-add-webhook").click()
    form = window.find("webhook-form")
    form.get_by_label("Address").fill("http://10.0.0.1/inside")
    window.allowed = [re.compile(r"status of 422")]  # the browser reports a refused form as an error
    window.find("webhook-form-submit").click()
    expect(form).to_contain_text("public on the Internet")
    with Receiver() as receiver:
        form.get_by_label("Address").fill(receiver.url)
        form.get_by_label("Name").fill("Door bell")
        window.find("webhook-form-submit").click()
        secret = window.find("webhook-secret").inner_text()
        window.page.get_by_role("button", name="I have kept it").click()
        expect(window.find("channel-item")).to_contain_text("Door bell")
        window.find("channel-test").click()
        (got,) = receiver.wait_for(1)
        assert got.verified(secret)["data"]["title"] == "Test message"
        # Its receiver wants nothing any more: the page learns so by itself.
        receiver.answers = [410]
        window.find("channel-test").click()
        expect(window.find("channel-item")).to_contain_text("wants nothing any more")
    window.find("channel-switch").click()
    expect(window.find("channel-test")).to_be_visible()
    window.find("channel-delete").click()
    window.find("confirm-yes").click()
    expect(window.find("channel-item")).to_have_count(0)
    assert account.client.get("/notifications/channels").json() == []
