"""What the running system emits is what its schemas say, of every type and with no field that they do not name."""

import json
from datetime import UTC, datetime, timedelta

from jsonschema_rs import validator_for
from tests.support.accounts import PASSWORD
from tests.support.command_line import banyan
from tests.support.eventually import eventually
from tests.support.mailbox import Mailbox, token_in

from banyan.bootstrap.schemas import EVENTS, event_schemas


def test_every_event_matches_its_schema(make_server, new_user):
    server = make_server()
    ada, bob, eve, admin = (new_user(server=server, name=name) for name in ("Ada", "Bob", "Eve", "Admin"))
    mailbox = Mailbox(server.data_dir)
    done = banyan(
        ["users", "create-admin", admin.email, "--password-stdin"],
        server.data_dir,
        server.settings,
        stdin="x",
    )
    assert done.code == 0, done.err
    admin.use_new_session()

    ada.client.patch("/users/me", json={"name": "Ada B", "avatar_url": None}).raise_for_status()
    token = token_in(mailbox.wait_for(ada.email, subject="Confirm"))
    ada.client.post("/auth/verify", json={"token": token}).raise_for_status()
    other = "another-lighthouse-42"
    ada.client.post(
        "/users/me/password", json={"current_password": PASSWORD, "new_password": other}
    ).raise_for_status()
    for verb in ("disable", "enable"):
        admin.client.post(f"/admin/users/{eve.id}/{verb}").raise_for_status()

    made = ada.client.post("/lists", json={"name": "Garden", "color": "#00ff00"}).json()
    ada.client.patch(f"/lists/{made['id']}", json={"name": "House"}).raise_for_status()
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    todo = ada.client.post(
        "/todos", json={"title": "a", "list_id": made["id"], "labels": ["x"], "remind_at": soon}
    ).json()
    ada.client.patch(f"/todos/{todo['id']}", json={"notes": "n", "order": 3, "completed": False})
    eventually(
        lambda: "reminder" in [one["kind"] for one in ada.client.get("/notifications").json()] or None,
        "the reminder",
    )
    ada.client.patch(f"/todos/{todo['id']}", json={"completed": True}).raise_for_status()
    ada.client.delete(f"/lists/{made['id']}").raise_for_status()
    ada.client.delete(f"/todos/{todo['id']}").raise_for_status()
    inbox = ada.client.get("/notifications").json()
    for read in (True, False):
        ada.client.patch(f"/notifications/{inbox[0]['id']}", json={"read": read}).raise_for_status()
    ada.client.delete(f"/notifications/{inbox[0]['id']}").raise_for_status()
    hook = {"kind": "webhook", "url": "https://example.org/"}
    channel = f"/notifications/channels/{ada.client.post('/notifications/channels', json=hook).json()['id']}"
    moved = {"name": "Bell", "url": "https://example.com/", "enabled": False}
    ada.client.patch(channel, json=moved).raise_for_status()
    ada.client.delete(channel).raise_for_status()
    bob.client.request("DELETE", "/users/me", json={"password": PASSWORD}).raise_for_status()

    emitted = server.rows("SELECT stream, type, data FROM events")
    schemas = {
        name: validator_for({**schema, "additionalProperties": False})
        for name, schema in event_schemas().items()
    }
    for stream, event_type, data in emitted:
        assert event_type in EVENTS[stream]
        faults = [error.message for error in schemas[event_type].iter_errors(json.loads(data))]
        assert faults == [], f"{event_type}: {data}"
    assert {event_type for _, event_type, _ in emitted} == set(schemas)
