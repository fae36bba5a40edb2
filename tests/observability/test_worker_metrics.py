"""A worker that works on databases itself tells of them as a server does."""

import asyncio
from pathlib import Path

from tests.support.ports import free_ports
from tests.support.server import migrated_data_dir, settings_of

from banyan.bootstrap import worker


def test_a_worker_with_databases_of_its_own_tells_of_them(tmp_path: Path) -> None:
    # Nobody is there: what has to be asked of RabbitMQ is left out, and nothing else.
    amqp = f"amqp://guest:guest@127.0.0.1:{free_ports(1)[0]}/"
    built = worker(
        settings_of({"BANYAN_DATA_DIR": str(migrated_data_dir(tmp_path)), "BANYAN_AMQP_URL": amqp})
    )
    assert built.local is not None
    opened = built.local.opened()

    async def page() -> str:
        async with opened:
            try:
                return (await built.metrics.page()).decode()
            finally:
                await built.broker.close()

    told = asyncio.run(page())
    for name in (
        "banyan_database_connections_max",
        "banyan_database_waits_total",
        "banyan_relay_lag_events",
        "banyan_relay_lag_seconds",
        "banyan_events_parked",
        "banyan_dead_letters",
    ):
        assert f'\n{name}{{target="worker"}} 0.0\n' in told
    assert "banyan_task_queue_messages{" not in told
    samples = [line.rpartition(" ")[0] for line in told.splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples)), "Prometheus would take one of two"
