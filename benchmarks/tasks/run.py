"""How many tasks a second pass through RabbitMQ, and how long one takes: a broker of its own, nothing else.

    python benchmarks/tasks/run.py [--tasks 5000]

Producer and worker share this process, so both pay for one interpreter: two processes do better.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from banyan.fleet.servers import rabbitmq
from banyan.infra.tasks.metrics import TaskMetrics
from banyan.infra.tasks.rabbitmq import RabbitTasks
from banyan.infra.tasks.task import Task
from banyan.infra.tasks.worker import TaskKind, TaskWorker
from banyan.infra.telemetry.log import configure_logging

BATCH = 100
PACED = 300
PACE_SECONDS = 0.01


async def measure(url: str, count: int) -> dict[str, float]:
    queue = RabbitTasks(url, max_length=10 * count)
    began_at: dict[str, float] = {}
    all_done = asyncio.Event()

    async def note(task: Task) -> None:
        began_at[task.id] = time.perf_counter()
        if len(began_at) >= wanted:
            all_done.set()

    tasks = [Task("note", "", {"number": number}) for number in range(count)]
    start = time.perf_counter()
    for first in range(0, count, BATCH):
        await queue.put(tasks[first : first + BATCH])
    put_seconds = time.perf_counter() - start

    wanted = count
    metrics = TaskMetrics(CollectorRegistry())
    worker = TaskWorker(
        queue, [TaskKind("note", note)], concurrency=64, stop_timeout=timedelta(seconds=5), metrics=metrics
    )
    stop = asyncio.Event()
    start = time.perf_counter()
    running = asyncio.create_task(worker.run(stop))
    await all_done.wait()
    done_seconds = time.perf_counter() - start

    began_at.clear()
    all_done.clear()
    wanted = PACED
    put_at: dict[str, float] = {}
    confirms: list[float] = []
    for number in range(PACED):
        task = Task("note", "", {"number": number})
        put_at[task.id] = time.perf_counter()
        await queue.put([task])
        confirms.append(time.perf_counter() - put_at[task.id])
        await asyncio.sleep(PACE_SECONDS)
    await all_done.wait()
    latencies = sorted((began_at[task_id] - moment) * 1000 for task_id, moment in put_at.items())
    stop.set()
    await running
    await queue.close()
    return {
        "put_per_second": round(count / put_seconds),
        "done_per_second": round(count / done_seconds),
        "confirm_ms_p50": round(statistics.median(confirms) * 1000, 1),
        "put_to_begun_ms_p50": round(statistics.median(latencies), 1),
        "put_to_begun_ms_p99": round(latencies[int(len(latencies) * 0.99)], 1),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tasks", type=int, default=5000)
    count = arguments.parse_args().tasks
    configure_logging("ERROR", as_json=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="banyan-tasks-") as folder:
        server = rabbitmq.describe(Path(folder), port)
        server.prepare()
        process = subprocess.Popen(
            list(server.argv),
            env=dict(server.environment) | {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
            stdout=subprocess.DEVNULL,
        )
        try:
            while not server.is_ready():
                time.sleep(0.1)
            print(json.dumps(asyncio.run(measure(rabbitmq.url(port), count))))
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
