"""One process of the fleet: started, watched, and started again when it dies."""

import asyncio
import os
import pwd
import signal
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from banyan.fleet import remains
from banyan.fleet.backoff import Backoff
from banyan.fleet.logs import opened_log, tail_of
from banyan.fleet.plan import Planned

T = TypeVar("T")

READY_SECONDS = 60.0
LOOK_SECONDS = 0.1
# Deaths before it was ready once, after which the start of the fleet is given up.
FIRST_ATTEMPTS = 3


class State(StrEnum):
    """What a process does, as `banyan fleet status` tells it. Drawn in docs/state_machines.md."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    RESTARTING = "restarting"
    CRASH_LOOP = "crash loop"
    STOPPING = "stopping"
    STOPPED = "stopped"


class StartFailed(Exception):
    """A process does not become ready. log: its last lines."""

    def __init__(self, name: str, reason: str, log: str) -> None:
        super().__init__(f"{name} does not start: {reason}")
        self.name = name
        self.log = log


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all processes of a run have in common.

    environment: what each one gets besides its own. executor: for what blocks. told: a sentence for people. changed: called
    after each change of a process's state, before anything else happens to it.
    """

    run_id: str
    environment: dict[str, str]
    log_of: Callable[[str], Path]
    executor: Executor
    told: Callable[[str], None]
    changed: Callable[["Supervised"], None]


class Supervised:
    """`start()` keeps it running until `stop()`; both may be repeated, in turn."""

    def __init__(self, planned: Planned, around: Surroundings) -> None:
        self.planned = planned
        self.state = State.WAITING
        self.pid: int | None = None
        self.restarts = 0
        self.last_exit: str | None = None
        self._around = around
        self._backoff = Backoff()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._first_ready: asyncio.Future[None] | None = None
        self._started_at = 0.0
        self._log_began = 0

    @property
    def name(self) -> str:
        return self.planned.name

    @property
    def is_serving(self) -> bool:
        """Whether requests may be sent to it; what it cannot do just now it says itself."""
        return self.state in (State.READY, State.NOT_READY)

    @property
    def uptime_seconds(self) -> float | None:
        return time.monotonic() - self._started_at if self.pid is not None else None

    def start(self) -> None:
        """Start it, and from now on again whenever it dies. Returns at once."""
        self._leaving.clear()
        self._backoff = Backoff()
        self._first_ready = asyncio.get_running_loop().create_future()
        self._set(State.STARTING)
        self._task = asyncio.create_task(self._keep_running(), name=self.name)

    async def ready(self) -> None:
        """Return when it was ready for the first time. Raises StartFailed; it is tried again all the same."""
        assert self._first_ready is not None, "ready() comes after start()"
        await asyncio.shield(self._first_ready)

    async def stop(self) -> None:
        """End it, in good order if it does so in time. Returns when nothing of it is left."""
        if self._task is None:
            return
        self._leaving.set()
        self._set(State.STOPPING)
        # Not awaited itself: whoever is cancelled here must not take it along.
        await asyncio.wait({self._task})
        self._task = None
        self._set(State.STOPPED)

    def kill9(self) -> None:
        """SIGKILL to it and to what it has started."""
        if self.pid is not None:
            remains.kill_tree(self.pid)

    async def look(self) -> None:
        """Ask once whether it is still ready."""
        if self.is_serving:
            pid = self.pid
            is_ready = await self._in_thread(self.planned.server.is_ready)
            if self.is_serving and self.pid == pid:
                self._backoff.lives(self.uptime_seconds or 0)
                self._set(State.READY if is_ready else State.NOT_READY)

    # Running

    async def _keep_running(self) -> None:
        while not self._leaving.is_set():
            began = time.monotonic()
            try:
                self.last_exit = await self._live()
            except Exception as error:
                # A program that cannot be started, or a folder that cannot be prepared: like a death at once.
                self.last_exit = f"{error}"
            if self._leaving.is_set():
                break
            pause = self._backoff.died(time.monotonic() - began)
            self.restarts += 1
            self._give_up_at_first()
            self._set(State.CRASH_LOOP if self._backoff.is_crash_loop else State.RESTARTING)
            self._around.told(f"{self.name} ended ({self.last_exit}); it is started again in {pause:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), pause)
        if self._first_ready is not None and not self._first_ready.done():
            self._first_ready.set_exception(StartFailed(self.name, "it was told to stop", ""))
            self._first_ready.exception()

    async def _live(self) -> str:
        """One life, from its start to its end; returns how it ended."""
        await self._in_thread(self.planned.server.prepare)
        process = await self._spawn()
        ended = asyncio.create_task(process.wait())
        leaving = asyncio.create_task(self._leaving.wait())
        coming = asyncio.create_task(self._become_ready())
        try:
            await asyncio.wait({ended, leaving, coming}, return_when=asyncio.FIRST_COMPLETED)
            too_slow = coming.done() and not coming.result()
            if coming.done() and coming.result():
                await asyncio.wait({ended, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done() and not ended.done():
                await self._end(process, ended)
            elif too_slow:
                self.kill9()
            code = await ended
        finally:
            coming.cancel()
            leaving.cancel()
            self._process, self.pid = None, None
            self._set(State.RESTARTING)
            # A daemon of its own, or children that outlived it, would hold its ports and files.
            await self._in_thread(lambda: remains.kill(remains.marked(self._around.run_id, self.name)))
        return f"not ready within {READY_SECONDS:g} s" if too_slow else how_it_ended(code)

    async def _spawn(self) -> asyncio.subprocess.Process:
        server = self.planned.server
        owner = pwd.getpwnam(server.runs_as) if server.runs_as else None
        as_user: dict[str, Any] = (
            {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
        )
        marks = {remains.RUN_VARIABLE: self._around.run_id, remains.PROCESS_VARIABLE: self.name}
        server.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with opened_log(self._around.log_of(self.name)) as log:
            self._log_began = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *server.argv,
                cwd=server.folder,
                env={**self._around.environment, **server.environment, **marks},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C is for the supervisor, who then ends them in order.
                start_new_session=True,
                **as_user,
            )
        self.pid = self._process.pid
        self._started_at = time.monotonic()
        self._set(State.STARTING)
        return self._process

    async def _become_ready(self) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while not await self._in_thread(self.planned.server.is_ready):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        self._set(State.READY)
        if self._first_ready is not None and not self._first_ready.done():
            self._first_ready.set_result(None)
        return True

    async def _end(self, process: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
        await self._in_thread(self.planned.server.before_stop)
        with suppress(ProcessLookupError):
            process.send_signal(self.planned.server.stop_signal)
        done, _ = await asyncio.wait({ended}, timeout=self.planned.server.stop_seconds)
        if not done:
            self._around.told(
                f"{self.name} did not end within {self.planned.server.stop_seconds:g} s; it is killed"
            )
            self.kill9()

    def _give_up_at_first(self) -> None:
        waiting = self._first_ready
        if waiting is not None and not waiting.done() and self.restarts >= FIRST_ATTEMPTS:
            log = tail_of(self._around.log_of(self.name), since=self._log_began)
            waiting.set_exception(StartFailed(self.name, self.last_exit or "", log))
            # Whoever waits gets it; nobody need.
            waiting.exception()

    def _set(self, state: State) -> None:
        if self._leaving.is_set() and state not in (State.STOPPING, State.STOPPED):
            return
        if state != self.state or state is State.STARTING:
            self.state = state
            self._around.changed(self)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._around.executor, work)


def how_it_ended(code: int) -> str:
    """An exit code, for people."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def clean_environment() -> dict[str, str]:
    """The environment that every process starts from: the caller's, without settings of Banyan."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
