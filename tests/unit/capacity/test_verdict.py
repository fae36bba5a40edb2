"""What ran out first: one case for each verdict, and what wins when two could be meant."""

from dataclasses import replace

import pytest

from banyan.capacity.machine import Usage
from banyan.capacity.verdict import Seen, of_all, ran_out

# A server with room everywhere.
IDLE = Usage(
    cores=4,
    parts={"application": 0.3, "database": 0.2},
    busiest=0.3,
    generator=0.2,
    others=0.1,
    machine=0.2,
    disk=0.1,
)
QUIET = Seen(IDLE, planned=10_000, target_p99=0.05, pool_waiting=0.0, pool_refused=0.0)


def with_usage(**usage: object) -> Seen:
    return replace(QUIET, usage=replace(IDLE, **usage))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (QUIET, "unknown"),
        (replace(QUIET, refused=1), "rate_limit"),
        (replace(QUIET, shed=5), "shed"),
        (with_usage(busiest=0.95, parts={"application": 0.95}), "application_cpu"),
        (with_usage(parts={"application": 0.3, "database": 3.6}), "database_cpu"),
        (with_usage(generator=0.9), "load_generator"),
        (replace(QUIET, late_p99=0.04), "load_generator"),
        (with_usage(disk=0.95), "disk"),
        (with_usage(machine=1.0, parts={"application": 1.6}), "machine_cpu"),
        (with_usage(machine=1.0, others=1.5), "other_programs"),
        (replace(QUIET, pool_waiting=12.0), "connection_pool"),
        (replace(QUIET, pool_refused=900.0), "connection_pool"),
    ],
)
def test_one_thing_is_full(seen: Seen, code: str):
    assert ran_out(seen).code == code


def test_waiting_for_connections_is_a_consequence_of_a_database_that_is_busy():
    seen = with_usage(parts={"application": 0.3, "database": 3.7})
    assert ran_out(replace(seen, pool_waiting=12.0)).code == "database_cpu"


def test_a_generator_that_is_late_because_the_application_has_its_core_is_not_to_blame():
    seen = with_usage(busiest=1.0, parts={"application": 1.0})
    assert ran_out(replace(seen, late_p99=0.04)).code == "application_cpu"


def test_a_full_generator_is_named_even_when_the_application_is_full_too():
    """Who knows what the server would have held."""
    assert (
        ran_out(with_usage(busiest=1.0, parts={"application": 1.0}, generator=1.0)).code == "load_generator"
    )


def test_a_machine_that_others_fill_says_nothing_about_the_server():
    seen = with_usage(busiest=1.0, parts={"application": 1.0}, machine=1.0, others=2.0)
    assert ran_out(seen).code == "other_programs"


def test_a_database_that_fills_the_machine_with_the_rest_is_the_largest_part():
    seen = with_usage(machine=1.0, parts={"application": 0.8, "database": 2.2})
    assert ran_out(seen).code == "database_cpu"


def test_a_server_that_cannot_be_seen_is_not_blamed():
    verdict = ran_out(
        replace(QUIET, usage=Usage(cores=4, generator=0.2), pool_waiting=None, pool_refused=None)
    )
    assert verdict.code == "unknown"
    assert "cannot be seen" in verdict.sentence


def test_several_steps_say_what_most_of_them_show():
    full = with_usage(busiest=0.95, parts={"application": 0.95})
    verdict = of_all([QUIET, QUIET, full, full, replace(QUIET, shed=1)])
    assert verdict is not None
    assert verdict.code == "application_cpu"
    assert of_all([]) is None
