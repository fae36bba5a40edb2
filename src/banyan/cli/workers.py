"""Several server processes on one address: `banyan serve --workers N`.

The parent imports the program, opens the sockets, forks the workers, and starts again whichever dies. It answers no requests.

Each worker accepts on a listening socket of its own; the kernel spreads new connections over them (SO_REUSEPORT). The
parent keeps every socket open, so that one outlives its worker: who connects while that one is away waits in the socket's
queue for the next worker, and is not refused. See docs/decisions/0020-worker-processes.md.

    parent ─┬─ socket 1 ── worker 1        a pipe that only the parent can write to tells the workers,
            └─ socket 2 ── worker 2        by its end, that the parent is gone however it died
"""

import gc
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from banyan.cli.problems import report
from banyan.fleet.backoff import Backoff

# New connections wait for a worker that is away: it must not stay away for long, whatever keeps killing it.
LONGEST_PAUSE_SECONDS = 2.0
# Beyond what requests in flight get: for the loops, and for what they still have to write.
STOP_MARGIN_SECONDS = 10.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WATCHED = {*_STOP_SIGNALS, signal.SIGCHLD}

Serve = Callable[[int, Callable[[], None]], None]
"""What a worker does, given its number and what to call once it is ready. It returns after SIGTERM, everything closed."""


@dataclass(eq=False, slots=True)
class _Worker:
    number: int
    pid: int | None = None
    ready_pipe: int | None = None
    was_ready: bool = False
    started_at: float = 0.0
    starts_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(longest_seconds=LONGEST_PAUSE_SECONDS))


class Workers:
    """The parent's part.

    serve: what each worker does. sockets: of each worker, in the order of their numbers, which begin with 1; a worker
    keeps its own. stop_seconds: how long a worker may take to finish. on_ready: called once, when all are ready.
    told: hears that a worker ended, by its number, its exit code (negative: the signal) and the pause until it is started.
    """

    def __init__(
        self,
        serve: Serve,
        sockets: Sequence[Sequence[socket.socket]],
        *,
        stop_seconds: float,
        on_ready: Callable[[], None],
        told: Callable[[int, int, float], None],
    ) -> None:
        self._serve = serve
        self._sockets = sockets
        self._stop_seconds = stop_seconds
        self._on_ready = on_ready
        self._told = told
        self._workers = [_Worker(number) for number in range(1, len(sockets) + 1)]
        self._stops_by: float | None = None
        self._exit_code = 0

    def run(self) -> int:
        """Keep them running until a signal; returns the exit code once all are gone.

        A worker that refuses to start, before all of them were ready once, ends the others and gives its exit code.
        """
        # What was imported stays for good: no collection touches it, so its pages stay shared.
        gc.freeze()
        self._wake, wakes = socket.socketpair()
        self._alive, self._parent_alive = os.pipe()
        for end in (self._wake, wakes):
            end.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        for number in _WATCHED:
            signal.signal(number, lambda *_: None)
        # Alone: what keeps it from starting keeps the others from it too, and need be said only once.
        self._begin(self._workers[0])
        while self._stops_by is None or any(worker.pid is not None for worker in self._workers):
            self._wait()
            self._reap()
            self._begin_due()
        return self._exit_code

    def _stop(self) -> None:
        """Pass the signal on; a second one, too."""
        if self._stops_by is None:
            self._stops_by = time.monotonic() + self._stop_seconds + STOP_MARGIN_SECONDS
            for sockets in self._sockets:
                for sock in sockets:
                    sock.close()
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, number)

    def _wait(self) -> None:
        """Until a signal, a worker that is ready, or the next thing to do."""
        times = [worker.starts_at for worker in self._workers if worker.starts_at]
        if self._stops_by is not None:
            times = [self._stops_by]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        pipes = [worker.ready_pipe for worker in self._workers if worker.ready_pipe is not None]
        readable, _, _ = select.select([self._wake, *pipes], [], [], timeout)
        if self._wake in readable:
            for number in self._wake.recv(4096):
                if number in _STOP_SIGNALS:
                    self._stop()
        for worker in self._workers:
            if worker.ready_pipe in readable:
                self._hear(worker)
        if self._stops_by is not None and time.monotonic() >= self._stops_by:
            self._signal_all(signal.SIGKILL)
            self._stops_by = time.monotonic() + STOP_MARGIN_SECONDS

    def _hear(self, worker: _Worker) -> None:
        """A worker is ready; or it has ended without, of which the exit code tells more."""
        assert worker.ready_pipe is not None
        is_ready = os.read(worker.ready_pipe, 1) != b""
        os.close(worker.ready_pipe)
        worker.ready_pipe = None
        if not is_ready or worker.was_ready:
            return
        worker.was_ready = True
        if worker is self._workers[0]:
            for other in self._workers[1:]:
                self._begin(other)
        if all(one.was_ready for one in self._workers):
            self._on_ready()

    def _reap(self) -> None:
        for worker in self._workers:
            if worker.pid is None:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                worker.pid = None
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: _Worker, code: int) -> None:
        if worker.ready_pipe is not None:
            self._hear(worker)
        if self._stops_by is not None:
            if code:
                self._told(worker.number, code, 0.0)
            self._exit_code = self._exit_code or (1 if code < 0 else code)
            return
        if code > 0 and not all(one.was_ready for one in self._workers):
            self._exit_code = code
            self._stop()
            return
        pause = worker.backoff.died(time.monotonic() - worker.started_at)
        worker.starts_at = time.monotonic() + pause
        self._told(worker.number, code, pause)

    def _begin_due(self) -> None:
        for worker in self._workers:
            if self._stops_by is None and worker.starts_at and time.monotonic() >= worker.starts_at:
                self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        worker.starts_at = 0.0
        worker.started_at = time.monotonic()
        worker.ready_pipe, tells_ready = os.pipe()
        # A signal that came between the fork and the worker's own handlers would be taken for one to the parent.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        worker.pid = os.fork()
        if worker.pid == 0:
            self._be(worker.number, tells_ready, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(tells_ready)

    def _be(self, number: int, tells_ready: int, mask: Any) -> NoReturn:
        """Be the worker, in the forked process. Nothing of the parent's is unwound at its end."""
        code = 1
        try:
            # A group of its own: the terminal's Ctrl-C is for the parent, who passes it on once.
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in _STOP_SIGNALS:
                signal.signal(one, lambda *_: os._exit(0))
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._let_go(number)
            threading.Thread(target=_end_with_parent, args=[self._alive], daemon=True).start()
            self._serve(number, lambda: _tell(tells_ready))
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except Exception as error:
            code = _report(error)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _let_go(self, number: int) -> None:
        """Close what belongs to the parent and to the other workers."""
        os.close(self._parent_alive)
        for index, sockets in enumerate(self._sockets, start=1):
            if index != number:
                for sock in sockets:
                    sock.close()
        for worker in self._workers:
            if worker.ready_pipe is not None:
                os.close(worker.ready_pipe)


def _tell(pipe: int) -> None:
    os.write(pipe, b"r")
    os.close(pipe)


def _end_with_parent(alive: int) -> None:
    """Nothing ever comes out of the pipe but its end, when the parent is gone: then finish, as at its own signal."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _report(error: Exception) -> int:
    try:
        return report(error)
    except Exception:
        traceback.print_exc()
        return 1
