"""All of Rankloop on one machine: servers, web, workers and beat as children of one process.

Signals are blocked and handled one at a time in a loop, not in signal handlers. The main thread starts all
children, because the parent-death signal is tied to the thread that starts a child. A child that ends is
started again after a delay that grows with each failure. If the supervisor is killed, its children end with
it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded import processes, web
from embedded.log_files import LogFiles
from embedded.postgres import Postgres
from embedded.processes import ServerError
from embedded.servers import Servers
from embedded.state import Running, StateFolder
from embedded.valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent
_STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_HANDLED = _STOP_SIGNALS | {signal.SIGCHLD}
_READY_SECONDS = 120.0  # on an idle machine with two processors, the web server is ready after 3 s
_READY_POLL_SECONDS = 0.05
# A worker finishes its current message and then ends. The training worker waits up to TRAINING_STOP_SECONDS
# (config/settings.py, with the same default) for its run to write a checkpoint. If that takes longer, the run
# is killed, and it resumes from its previous checkpoint when Rankloop starts again.
_GRACE_SECONDS = float(os.environ.get("RANKLOOP_TRAINING_STOP_SECONDS") or 12) + 3
_RESTART_DELAYS_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# A child that ran longer than this is restarted after the shortest delay.
_STEADY_SECONDS = 60.0
# One Python process uses only one processor at a time. With a second web process, sixteen annotators who work
# without pauses submit 20 to 25 % more answers. The second process starts only once the first process
# responds, so the second startup does not delay the first response.
_WEB, _WEB_TOO = "web-1", "web-2"
_LOG_WRITER = "log-writer"
_DEMO_MARKER = "demo-created"
_DEMO_LOGINS = "demo-logins.txt"


class StopRequested(Exception):
    """Raised when a stop signal arrives."""


@dataclass
class Service:
    """A child process that is started again whenever it ends."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    log: Path
    process: subprocess.Popen[bytes]
    started_at: float
    failures: int = 0
    restart_at: float | None = None


class Supervisor:
    def __init__(self, state: StateFolder, *, port: int, demo: bool) -> None:
        self.state = state
        self.demo = demo
        self.servers = Servers(state, open_log=lambda log: self._logs.open(log), leave_first_processor=True)
        names = (*self.servers.embedded, "migrate", _WEB, _WEB_TOO, *_PROGRAMS)
        self._logs = LogFiles([state.logs / f"{name}.log" for name in names])
        self._services: list[Service] = []
        self._one_shot: subprocess.Popen[bytes] | None = None
        self._listener = web.listen(port)
        self.address = f"http://{web.LOOPBACK}:{web.port_of(self._listener)}"

    def run(self) -> None:
        """Serve until a stop signal arrives. The caller must hold the state folder's lock."""
        began = time.monotonic()
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            writer = self._logs.start()
            self._services.append(
                Service(_LOG_WRITER, self._logs.start, self.state.logs, writer, time.monotonic())
            )
            self.servers.start()
            for name, server in self.servers.started.items():
                self._services.append(
                    Service(name, _restarter(server), server.log, server.process, time.monotonic())
                )
            self._migrate()
            database, broker = self.servers.database_url, self.servers.broker_url
            self.state.announce(Running(os.getpid(), "supervisor", database, broker, self.address))
            serve = web.program(self._listener)
            for name, argv in ({_WEB: serve} | _PROGRAMS).items():
                self._add(name, argv)
            self._wait_ready()
            self._add(_WEB_TOO, serve)
            _say(f"Rankloop is ready at {self.address} after {time.monotonic() - began:.1f} s.")
            _say(f"Logs: {self.state.logs}. Ctrl-C stops everything.")
            self._create_demo()
            while True:
                self._tend(self._next_restart())
        except StopRequested:
            _say("Stopping.")
        finally:
            self._stop()

    def _add(self, name: str, argv: Sequence[str]) -> None:
        log = self.state.logs / f"{name}.log"
        pass_fds = (self._listener.fileno(),) if name in (_WEB, _WEB_TOO) else ()

        kind = "web" if pass_fds else _KIND_OF_PROCESS[name]

        def start() -> subprocess.Popen[bytes]:
            return self._spawn(argv, log=log, pass_fds=pass_fds, kind=kind)

        self._services.append(Service(name, start, log, start(), time.monotonic()))

    def _spawn(
        self,
        argv: Sequence[str],
        *,
        log: Path | None,
        pass_fds: Sequence[int] = (),
        kind: str = "command",
    ) -> subprocess.Popen[bytes]:
        environment = os.environ | self.servers.environment
        environment |= {"RANKLOOP_STATE": str(self.state.path), "PYTHONUNBUFFERED": "1"}
        environment |= {"RANKLOOP_PROCESS": kind}
        return processes.spawn(
            [sys.executable, *argv],
            log=log,
            env=environment,
            cwd=ROOT,
            pass_fds=pass_fds,
            open_log=self._logs.open,
        )

    def _migrate(self) -> None:
        log = self.state.logs / "migrate.log"
        # The system checks, which import all views, are skipped. Without them, the command takes 0.5 s of
        # processor time instead of 1.0 s.
        migration = self._spawn(["manage.py", "migrate", "--no-input", "--skip-checks"], log=log)
        try:
            while migration.poll() is None:
                self._tend(None)
        finally:
            if migration.poll() is None:
                processes.stop(migration, [(signal.SIGTERM, _GRACE_SECONDS)])
        if migration.returncode != 0:
            raise ServerError(
                f"The database could not be migrated. The log, {log}, ends with:\n{processes.tail(log)}"
            )

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not web.healthy(web.port_of(self._listener)):
            self._tend(_READY_POLL_SECONDS)
            serving = next(service for service in self._services if service.name == _WEB)
            if serving.failures > 1 or time.monotonic() > deadline:
                raise ServerError(
                    f"The web server is not responding. Its log, {serving.log}, ends with:\n"
                    f"{processes.tail(serving.log)}"
                )

    def _create_demo(self) -> None:
        if (self.state.path / _DEMO_MARKER).exists():
            _say(f"The demo's logins are in {self.state.path / _DEMO_LOGINS}.")
        elif self.demo:
            _say("First start: creating the demo project.")
            self._one_shot = self._spawn(["manage.py", "create_demo"], log=None)

    def _tend(self, timeout: float | None) -> None:
        """Sleep until a signal arrives or `timeout` seconds pass (None: no limit). Then restart children that
        have ended, each after its delay."""
        signalled = (
            signal.sigwaitinfo(_HANDLED) if timeout is None else signal.sigtimedwait(_HANDLED, timeout)
        )
        if signalled is not None and signalled.si_signo in _STOP_SIGNALS:
            raise StopRequested
        now = time.monotonic()
        for service in self._services:
            if service.restart_at is None and service.process.poll() is not None:
                self._plan_restart(service, now)
            elif service.restart_at is not None and now >= service.restart_at:
                self._restart(service, now)
        if self._one_shot is not None and self._one_shot.poll() is not None:
            self._end_demo(self._one_shot.returncode)
            self._one_shot = None

    def _plan_restart(self, service: Service, now: float) -> None:
        if now - service.started_at > _STEADY_SECONDS:
            service.failures = 0
        delay = _RESTART_DELAYS_SECONDS[min(service.failures, len(_RESTART_DELAYS_SECONDS) - 1)]
        service.failures += 1
        service.restart_at = now + delay
        _say(
            f"{service.name} ended ({_how(service.process.returncode)}); starting it again in {delay:g} s. "
            f"Log: {service.log}"
        )

    def _restart(self, service: Service, now: float) -> None:
        service.restart_at = None
        service.started_at = now
        try:
            service.process = service.start()
        except ServerError as error:
            _say(str(error))
            self._plan_restart(service, now)

    def _next_restart(self) -> float | None:
        planned = [service.restart_at for service in self._services if service.restart_at is not None]
        return max(0.0, min(planned) - time.monotonic()) if planned else None

    def _end_demo(self, status: int) -> None:
        if status == 0:
            (self.state.path / _DEMO_MARKER).touch()
        else:
            _say(
                f"The demo project could not be created ({_how(status)}). "
                "Rankloop will try again the next time it starts."
            )

    def _stop(self) -> None:
        """Stop all programs in parallel, then the servers that they need."""
        servers = self.servers.started
        programs = [
            service.process for service in self._services if service.name not in (*servers, _LOG_WRITER)
        ]
        programs += [self._one_shot] if self._one_shot is not None else []
        for program in programs:
            if program.poll() is None:
                program.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for program in programs:
            try:
                program.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        self.servers.stop()
        self._listener.close()
        self._logs.close()


# The system checks are skipped, because they import all views and take a third of the startup time of a
# worker or beat. `--quiet` suppresses the banner, which is not a log line.
_CELERY = ("-m", "celery", "--app=config", "--skip-checks", "--quiet")
# The workers use threads. A pool process would be a grandchild, and the parent-death signal does not reach
# grandchildren. A training run is a child process started by the worker's thread. Gossip and mingle are off,
# because they help only fleets of workers and would lengthen the startup by a second.
_WORKER = (*_CELERY, "worker", "--pool=threads", "--without-gossip", "--without-mingle")
# The arguments to Python for each program. The key is the name of the program and of its log file.
# docker-compose.yml runs the same programs.
_PROGRAMS: dict[str, Sequence[str]] = {
    "worker": (*_WORKER, "--queues=default", "--concurrency=2", "--hostname=default@rankloop"),
    "imports": (*_WORKER, "--queues=imports", "--concurrency=1", "--hostname=imports@rankloop"),
    "training": (*_WORKER, "--queues=training", "--concurrency=1", "--hostname=training@rankloop"),
    # The schedule is kept in memory, because a file could become stale or be shared by two schedulers. When
    # beat restarts, each periodic job waits for its full interval again. The extra wait does little harm,
    # because almost all intervals are at most a minute.
    "beat": (*_CELERY, "beat", "--scheduler=celery.beat:Scheduler", "--pidfile="),
}

# The value of RANKLOOP_PROCESS for each program. This value determines the program's time limits in the
# database (config/database/limits.py).
_KIND_OF_PROCESS = {"worker": "worker", "imports": "worker", "training": "training", "beat": "worker"}


def _restarter(server: Postgres | Valkey) -> Callable[[], subprocess.Popen[bytes]]:
    def start() -> subprocess.Popen[bytes]:
        server.launch()
        return server.process

    return start


def _how(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def _say(message: str) -> None:
    try:
        sys.stdout.write(f"{message}\n")
        sys.stdout.flush()
    except OSError:  # the terminal was closed; the log files are still written
        pass
