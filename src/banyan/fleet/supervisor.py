"""The supervisor: starts a plan in order, keeps it running, changes it while it runs, and ends it in order."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from banyan.fleet import remains
from banyan.fleet.folder import FleetFolder
from banyan.fleet.logs import opened_log, tail_of
from banyan.fleet.plan import Job, Plan, Planned, Stage
from banyan.fleet.ports import free_port
from banyan.fleet.process import StartFailed, Supervised, Surroundings, clean_environment, how_it_ended
from banyan.fleet.report import STOP, Event, Report
from banyan.fleet.scraping import write_targets

LOOK_SECONDS = 2.0
MAX_REPLICAS = 50
GUARDIAN_PAUSE_SECONDS = 0.5


class FleetError(Exception):
    """Something that was asked of the fleet cannot be done; next_step: what can."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step


class Supervisor:
    """One run of a fleet. `run()` is its whole life; the other methods change it meanwhile, one at a time."""

    def __init__(self, plan: Plan, folder: FleetFolder, report: Report) -> None:
        self.plan = plan
        self.run_id = secrets.token_hex(8)
        self.state = "starting"
        self.started_at = datetime.now(UTC)
        # Besides `report`: those who have asked for what is being done.
        self.listeners: set[Report] = set()
        self._report = report
        self.processes: dict[str, Supervised] = {}
        self.began = time.monotonic()
        self._folder = folder
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self._changing = asyncio.Lock()
        self._changer: asyncio.Task[object] | None = None
        self._births: dict[str, tuple[int, str]] = {}
        # Out of the gateway's sight before they are told to end.
        self._hidden: set[str] = set()
        self._published: dict[str, list[int]] = {}
        self._publishing = asyncio.Lock()
        self._publications: set[asyncio.Task[None]] = set()
        self._ports = {planned.port for planned in (*plan.servers, plan.gateway)}
        # Every process may be preparing, or being asked whether it is ready, at the same time.
        self._executor = ThreadPoolExecutor(32, "fleet")
        self._around = Surroundings(
            run_id=self.run_id,
            environment=clean_environment(),
            log_of=folder.log_of,
            executor=self._executor,
            told=lambda text: self._tell(Event("notice", text=text)),
            changed=self._changed,
        )
        self._guardian: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Start everything, then keep it until `request_stop()`. Nothing is left when it returns or raises.

        Raises StartFailed when the fleet does not come up.
        """
        self._write_run()
        async with self._guarded(), self._looking():
            try:
                if not await self._started_or_stopped():
                    return
                self.state = "up"
                self._tell(Event("up", text=self.plan.url, seconds=time.monotonic() - self.began))
                await self._stop.wait()
            finally:
                await self._end()

    def request_stop(self) -> None:
        """End the fleet; `run()` returns when it is done. A second time: without waiting for good order."""
        if self._stop.is_set():
            for process in self.processes.values():
                process.kill9()
        self._stop.set()

    async def ended(self) -> None:
        """Return when everything has ended."""
        await self._ended.wait()

    # Starting

    async def _started_or_stopped(self) -> bool:
        """False when it was told to stop before all of it ran."""
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                return True
            return False
        finally:
            stopping.cancel()
            starting.cancel()
            with suppress(asyncio.CancelledError, StartFailed):
                await starting

    async def _start(self) -> None:
        """Everything as soon as what it needs is there."""
        works: dict[str, tuple[tuple[str, ...], Callable[[], Coroutine[Any, Any, object]]]] = {}
        for job in self.plan.jobs:
            works[job.name] = (job.after, partial(self._run_job, job))
        services = [
            self._planned(name, number)
            for name, count in self.plan.replicas.items()
            for number in range(1, count + 1)
        ]
        for planned in (*self.plan.servers, *services):
            works[planned.name] = (planned.after, partial(self._start_one, planned))
        works[self.plan.gateway.name] = (self.plan.gateway.after, self._start_gateway)
        for planned in (*self.plan.servers, *services, self.plan.gateway):
            # Shown from the beginning, in this order.
            self.processes[planned.name] = Supervised(planned, self._around)
        async with self._changing:
            await _in_order(works)
            await self._publish(self.plan.routed)

    async def _start_gateway(self) -> None:
        """It begins with the replicas that are ready by then, and is told of the others when they are."""
        # Whatever was there before, its configuration has just been written anew.
        self._published.clear()
        await self._publish(self.plan.routed)
        await self._start_one(self.plan.gateway)

    def _planned(self, service: str, number: int) -> Planned:
        return self.plan.service(service, number, free_port(self._ports))

    async def _start_all(self, planned: Iterable[Planned]) -> None:
        await _all_of(self._start_one(each) for each in planned)

    async def _start_one(self, planned: Planned) -> Supervised:
        process = self.processes.setdefault(planned.name, Supervised(planned, self._around))
        await self._step(process)
        return process

    async def _step(self, process: Supervised) -> None:
        began = time.monotonic()
        self._tell(Event("begun", process.name))
        process.start()
        try:
            await process.ready()
        except StartFailed:
            self._tell(Event("failed", process.name, seconds=time.monotonic() - began))
            raise
        self._tell(Event("done", process.name, seconds=time.monotonic() - began))

    async def _run_job(self, job: Job) -> None:
        began = time.monotonic()
        self._tell(Event("begun", job.name))
        job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        marks = {remains.RUN_VARIABLE: self.run_id, remains.PROCESS_VARIABLE: job.name}
        path = self._folder.log_of(job.name)
        with opened_log(path) as log:
            offset = log.tell()
            process = await asyncio.create_subprocess_exec(
                *job.argv,
                cwd=job.folder,
                env={**self._around.environment, **job.environment, **marks},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if code != 0:
            self._tell(Event("failed", job.name, seconds=time.monotonic() - began))
            raise StartFailed(job.name, how_it_ended(code), tail_of(path, since=offset))
        self._tell(Event("done", job.name, seconds=time.monotonic() - began))

    # Changing

    async def scale(self, wanted: Mapping[str, int]) -> None:
        """Run as many replicas of these services; returns when that is so.

        One that has to go gets no more requests first, and then finishes those it has. Raises FleetError, StartFailed.
        """
        for service, count in wanted.items():
            if service not in self.plan.replicas:
                services = ", ".join(self.plan.replicas)
                raise FleetError(f"{service} cannot be scaled.", f"These can: {services}.")
            if not 0 <= count <= MAX_REPLICAS:
                raise FleetError(f"{service} can have 0 to {MAX_REPLICAS} replicas, not {count}.")
        async with self._change():
            for service, count in wanted.items():
                there = [process.planned.replica for process in self._replicas(service)]
                new = [number for number in range(1, count + 1) if number not in there]
                await self._start_all(self._planned(service, number) for number in new)
                await self._publish([service])
                gone = [process for process in self._replicas(service) if process.planned.replica > count]
                await asyncio.gather(*(self._remove(process) for process in gone))

    async def restart(self, name: str) -> None:
        """Start a process, or one replica of a service after the other, anew; raises FleetError, StartFailed.

        While the replicas of a service take their turn there is one more, so that none is missed.
        """
        chosen = self._named(name)
        async with self._change():
            service = chosen[0].planned.service
            if service not in self.plan.routed:
                for process in chosen:
                    await process.stop()
                    await self._step(process)
                return
            highest = max(process.planned.replica for process in self._replicas(service))
            spare = await self._start_one(self._planned(service, highest + 1))
            try:
                for process in chosen:
                    await self._publish([service])
                    await self._hide(process)
                    await process.stop()
                    self._hidden.discard(process.name)
                    await self._step(process)
                await self._publish([service])
            finally:
                await self._remove(spare)

    def kill(self, name: str) -> str:
        """SIGKILL one process; returns its name. Of a service's replicas it takes the first one. Raises FleetError."""
        process = next((process for process in self._named(name) if process.pid is not None), None)
        if process is None:
            raise FleetError(f"{name} does not run at this moment.")
        process.kill9()
        return process.name

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[None]:
        if self.state != "up":
            raise FleetError(f"the fleet is {self.state}.", "Try again when it is up.")
        async with self._changing:
            self._changer = asyncio.current_task()
            try:
                yield
            except asyncio.CancelledError:
                if not self._stop.is_set():
                    raise
                raise FleetError("the fleet is being stopped.") from None
            finally:
                self._changer = None

    def _replicas(self, service: str) -> list[Supervised]:
        found = [process for process in self.processes.values() if process.planned.service == service]
        return sorted(found, key=lambda process: process.planned.replica)

    def _named(self, name: str) -> list[Supervised]:
        """One process by its own name, or all replicas of a service."""
        found = [self.processes[name]] if name in self.processes else self._replicas(name)
        if not found:
            raise FleetError(f"nothing here is called {name}.", f"There are: {', '.join(self.processes)}.")
        return found

    async def _remove(self, process: Supervised) -> None:
        await self._hide(process)
        await process.stop()
        del self.processes[process.name]
        self._hidden.discard(process.name)
        self._ports.discard(process.planned.port)
        self._write_run()

    async def _hide(self, process: Supervised) -> None:
        self._hidden.add(process.name)
        if process.planned.service in self.plan.routed:
            await self._publish([process.planned.service])

    # The gateway's view

    async def _publish(self, services: Iterable[str]) -> None:
        """Tell the gateway who serves; nothing when it knows."""
        async with self._publishing:
            for service in services:
                ports = [
                    process.planned.port
                    for process in self._replicas(service)
                    if process.is_serving and process.name not in self._hidden
                ]
                if self._published.get(service) != ports:
                    await self.plan.endpoints.publish(service, ports)
                    self._published[service] = ports

    def _changed(self, process: Supervised) -> None:
        self._write_run()
        service = process.planned.service
        if service in self.plan.routed and not self._stop.is_set():
            # A replica that died is no longer asked; one that came back is.
            task = asyncio.create_task(self._publish([service]))
            self._publications.add(task)
            task.add_done_callback(self._publications.discard)

    # Ending

    async def _end(self) -> None:
        self.state = "stopping"
        if self._changer is not None:
            self._changer.cancel()
        # Until whoever changes it has let go; after that nobody may start anything.
        async with self._changing:
            await self._end_all()
        self._executor.shutdown()

    async def _end_all(self) -> None:
        for stage in sorted(Stage, reverse=True):
            leaving = [process for process in self.processes.values() if process.planned.stage is stage]
            await asyncio.gather(*(self._stop_one(process) for process in leaving))
        left = await asyncio.get_running_loop().run_in_executor(self._executor, remains.marked, self.run_id)
        remains.kill(left)

    async def _stop_one(self, process: Supervised) -> None:
        began = time.monotonic()
        self._tell(Event("begun", process.name, STOP))
        await process.stop()
        self._tell(Event("done", process.name, STOP, time.monotonic() - began))

    # Watching

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        async def look() -> None:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await asyncio.gather(*(process.look() for process in list(self.processes.values())))

        task = asyncio.create_task(look())
        try:
            yield
        finally:
            task.cancel()

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """While inside, a guardian stands by; it is started again when somebody ends it."""

        async def keep() -> None:
            while True:
                self._guardian = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "banyan.fleet.guardian",
                    str(self._folder.run_file),
                    self.run_id,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    start_new_session=True,
                )
                await self._guardian.wait()
                await asyncio.sleep(GUARDIAN_PAUSE_SECONDS)

        task = asyncio.create_task(keep())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if self._guardian is not None and self._guardian.returncode is None:
                await self._guardian.communicate(b"done")
            self._folder.run_file.unlink(missing_ok=True)
            self._ended.set()

    def _tell(self, event: Event) -> None:
        for report in (self._report, *self.listeners):
            report(event)

    def _write_run(self) -> None:
        started = []
        for process in self.processes.values():
            if process.pid is None:
                continue
            known = self._births.get(process.name)
            if known is None or known[0] != process.pid:
                known = self._births[process.name] = (process.pid, remains.birth_of(process.pid) or "")
            server = process.planned.server
            started.append(
                remains.Started(process.name, *known, int(process.planned.stage), int(server.stop_signal))
            )
        remains.write_run(self._folder.run_file, remains.Run(self.run_id, os.getpid(), tuple(started)))
        # Whoever is ended on purpose is missed by nobody; whoever dies stays in it.
        expected = () if self.state == "stopping" else self.processes.values()
        write_targets(self._folder.scrape_targets, [process.planned for process in expected])


async def _all_of(works: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Side by side. Raises the first failure at once, and lets the others go."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _in_order(
    works: Mapping[str, tuple[tuple[str, ...], Callable[[], Coroutine[Any, Any, object]]]],
) -> None:
    """Each one when those that it names are done, otherwise side by side. Raises the first failure at once."""
    done = {name: asyncio.Event() for name in works}

    async def work(name: str) -> None:
        after, begin = works[name]
        for other in after:
            if other in done:
                await done[other].wait()
        await begin()
        done[name].set()

    await _all_of(work(name) for name in works)
