"""A fleet in this process: the lock on the folder, what an earlier run left, signals, the control socket, the supervisor."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from banyan.fleet import control, remains
from banyan.fleet.folder import FleetFolder
from banyan.fleet.plan import Plan
from banyan.fleet.process import Supervised
from banyan.fleet.report import Event, Report
from banyan.fleet.status import FleetStatus, ProcessStatus
from banyan.fleet.supervisor import FleetError, Supervisor
from banyan.fleet.usage import Usage

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A look costs a few milliseconds; two watchers share one.
USAGE_SECONDS = 1.0
CLEAN_UP_SECONDS = 5.0

Watcher = Callable[["Runner"], Coroutine[Any, Any, None]]


def clean_up(folder: FleetFolder) -> int:
    """End what a run has left whose supervisor is gone; returns how many processes it was. Nobody holds the folder's lock."""
    run = remains.read_run(folder.run_file)
    ended = remains.end(run, CLEAN_UP_SECONDS) if run is not None else 0
    folder.run_file.unlink(missing_ok=True)
    folder.control_socket.unlink(missing_ok=True)
    return ended


class Runner:
    """Runs a plan until a signal or `banyan fleet down`. The caller holds the folder's lock."""

    def __init__(self, plan: Plan, folder: FleetFolder, report: Report) -> None:
        self.plan = plan
        self._folder = folder
        self._report = report
        self._usage = Usage()
        self._used: dict[int, Any] = {}
        self._looked = 0.0
        self._supervisor: Supervisor | None = None

    def run(self, watcher: Watcher | None = None) -> None:
        """Returns when everything has ended. watcher: runs beside it while it is up. Raises StartFailed."""
        asyncio.run(self._run(watcher))

    @property
    def is_up(self) -> bool:
        return self._supervisor is not None and self._supervisor.state == "up"

    async def status(self) -> FleetStatus:
        supervisor = self._running()
        pids = [process.pid for process in supervisor.processes.values() if process.pid is not None]
        if time.monotonic() - self._looked >= USAGE_SECONDS or not self._used.keys() >= set(pids):
            self._used = await asyncio.to_thread(self._usage.look, pids)
            self._looked = time.monotonic()
        uptime = time.monotonic() - supervisor.began
        ordered = sorted(supervisor.processes.values(), key=lambda process: process.planned.stage)
        return FleetStatus(
            state=supervisor.state,
            url=self.plan.url,
            pid=os.getpid(),
            data_dir=str(self._folder.data_dir),
            started_at=supervisor.started_at.isoformat(timespec="seconds"),
            uptime_seconds=round(uptime, 1),
            processes=tuple(self._status_of(process) for process in ordered),
        )

    async def _run(self, watcher: Watcher | None) -> None:
        supervisor = self._supervisor = Supervisor(self.plan, self._folder, self._report)
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, supervisor.request_stop)
        watching = asyncio.create_task(watcher(self)) if watcher is not None else None
        try:
            async with control.served(self._folder.control_socket, self._handle):
                await supervisor.run()
        finally:
            if watching is not None:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
        self._report(Event("ended"))

    def _running(self) -> Supervisor:
        assert self._supervisor is not None, "nothing runs yet"
        return self._supervisor

    async def _handle(self, request: dict[str, Any], report: Report) -> Any:
        """What a request asks for; tells the one who asked what happens meanwhile."""
        supervisor = self._running()
        match request:
            case {"command": "status"}:
                return asdict(await self.status())
            case {"command": "environment"}:
                return dict(self.plan.environment)
            case {"command": "kill", "name": str(name)}:
                return supervisor.kill(name)
            case {"command": "scale", "replicas": dict(replicas)}:
                return await self._told(report, supervisor.scale(replicas))
            case {"command": "restart", "name": str(name)}:
                return await self._told(report, supervisor.restart(name))
            case {"command": "stop"}:
                supervisor.request_stop()
                return await self._told(report, supervisor.ended())
        raise FleetError(f"this is no request: {request!r}.")

    async def _told(self, report: Report, work: Awaitable[None]) -> None:
        supervisor = self._running()
        supervisor.listeners.add(report)
        try:
            await work
        finally:
            supervisor.listeners.discard(report)

    def _status_of(self, process: Supervised) -> ProcessStatus:
        used = self._used.get(process.pid) if process.pid is not None else None
        uptime = process.uptime_seconds
        return ProcessStatus(
            name=process.name,
            service=process.planned.service,
            replica=process.planned.replica,
            stage=process.planned.stage.name.lower(),
            state=process.state,
            port=process.planned.port,
            pid=process.pid,
            uptime_seconds=round(uptime, 1) if uptime is not None else None,
            restarts=process.restarts,
            cpu_percent=used.cpu_percent if used else None,
            memory_bytes=used.memory_bytes if used else None,
            last_exit=process.last_exit,
            log=str(self._folder.log_of(process.name)),
        )
