"""What notifications do when something happened elsewhere."""

from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.consumers import Consumer, forget_set_aside
from banyan.kernel.events import Event
from banyan.modules.notifications.contract import Kind, NewNotification
from banyan.modules.notifications.service import NotificationService
from banyan.modules.todos.contract import STREAM as TODOS
from banyan.modules.todos.contract import TODO_REMINDED
from banyan.modules.users.contract import PASSWORD_CHANGED, USER_DELETED, USER_REGISTERED
from banyan.modules.users.contract import STREAM as USERS


def consumer(service: NotificationService) -> Consumer:
    """Each event makes at most one notification, whose id is the event's own."""

    async def handle(tx: Transaction, event: Event) -> None:
        if event.type == USER_DELETED:
            await forget_set_aside(tx, event)
            await service.erase(tx, event.user_id)
        else:
            await service.create_from_event(tx, event.user_id, notification_of(event), event.id)

    return Consumer(
        name="notifications",
        streams=frozenset({TODOS, USERS}),
        types=frozenset({TODO_REMINDED, USER_REGISTERED, PASSWORD_CHANGED, USER_DELETED}),
        handle=handle,
        group="notification-group",
    )


def notification_of(event: Event) -> NewNotification:
    """What a person is told of an event. Raises KeyError for an event that lacks what its contract promises."""
    if event.type == TODO_REMINDED:
        kind: Kind = "due" if event.data["kind"] == "due" else "reminder"
        return NewNotification(
            kind=kind,
            title="Due now" if kind == "due" else "Reminder",
            message=event.data["title"],
            data={"todo_id": event.subject, "due_at": event.data["due_at"]},
        )
    if event.type == USER_REGISTERED:
        return NewNotification(
            kind="welcome",
            title="Welcome to Banyan",
            message="Add your first to-do, give it a date, and you will be reminded here.",
        )
    return NewNotification(
        kind="security",
        title="Your password was changed",
        message="If this was not you, reset your password now and end the sessions that you do not know.",
    )
