"""Deliveries: which states may follow which, and when they are due."""

from datetime import timedelta
from itertools import product

import pytest

from banyan.kernel.clock import ManualClock, to_text
from banyan.modules.notifications.model import (
    LEASE,
    MAX_ATTEMPTS,
    NEXT,
    RETRY_PAUSES,
    SEND_TIMEOUT,
    Delivery,
    IllegalTransition,
    Notification,
    Status,
    first_delivery,
)

NOW = ManualClock().now()
NOTE = Notification("ada", "n", "message", None, "Hello", {}, to_text(NOW))
QUEUED = first_delivery(NOTE, "d", "mail", delivered=False)


def in_state(status: Status, attempt: int = 1) -> Delivery:
    return Delivery("ada", "n", "d", "mail", status, attempt, to_text(NOW), None)


MOVES = {
    "claimed": (lambda delivery: delivery.claimed(NOW), Status.SENDING),
    "delivered": (lambda delivery: delivery.delivered(NOW), Status.DELIVERED),
    "refused": (lambda delivery: delivery.refused(NOW, "Oops"), Status.RETRYING),
    "refused for good": (lambda delivery: delivery.refused(NOW, "Oops", for_good=True), Status.FAILED),
    "redriven": (lambda delivery: delivery.redriven(NOW), Status.QUEUED),
}


@pytest.mark.parametrize(("before", "move"), list(product(Status, MOVES)))
def test_only_the_drawn_transitions_are_possible(before: Status, move: str):
    make, wanted = MOVES[move]
    if wanted in NEXT[before]:
        assert make(in_state(before)).status is wanted
    else:
        with pytest.raises(IllegalTransition):
            make(in_state(before))


def test_what_is_delivered_is_final():
    assert NEXT[Status.DELIVERED] == frozenset()


def test_the_inbox_is_delivered_from_the_start():
    delivery = first_delivery(NOTE, "d", "in_app", delivered=True)
    assert (delivery.status, delivery.attempt, delivery.due_at) == (Status.DELIVERED, 1, None)


def test_a_claim_leases_for_longer_than_a_sending_may_take():
    claimed = QUEUED.claimed(NOW)
    assert (claimed.status, claimed.attempt, claimed.due_at) == (Status.SENDING, 1, to_text(NOW + LEASE))
    assert LEASE > SEND_TIMEOUT


def test_pauses_grow_until_the_attempts_are_used_up():
    delivery, pauses = QUEUED, []
    while True:
        delivery = delivery.claimed(NOW).refused(NOW, "Oops")
        if delivery.status is Status.FAILED:
            break
        assert delivery.due_at is not None
        pauses.append(delivery.due_at)
    assert pauses == [to_text(NOW + pause) for pause in RETRY_PAUSES]
    assert list(RETRY_PAUSES) == sorted(RETRY_PAUSES)
    assert (delivery.attempt, delivery.due_at, delivery.error) == (MAX_ATTEMPTS, None, "Oops")


def test_leases_that_run_out_use_up_attempts_too():
    delivery = QUEUED
    for attempt in range(1, MAX_ATTEMPTS + 1):
        delivery = delivery.claimed(NOW + timedelta(hours=attempt))
        assert delivery.attempt == attempt
    failed = delivery.claimed(NOW)
    assert (failed.status, failed.error) == (Status.FAILED, "LeaseExpired")


def test_a_redriven_delivery_has_all_its_attempts_again():
    failed = QUEUED.claimed(NOW).refused(NOW, "Oops", for_good=True)
    again = failed.redriven(NOW)
    assert (again.status, again.attempt, again.due_at) == (Status.QUEUED, 0, to_text(NOW))


def test_a_success_forgets_the_error_before_it():
    claimed = QUEUED.claimed(NOW).refused(NOW, "Oops").claimed(NOW)
    assert claimed.error == "Oops"
    assert claimed.delivered(NOW).error is None
