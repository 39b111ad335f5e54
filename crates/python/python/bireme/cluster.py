"""A cluster of one machine, for programs that have none: a scheduler and workers as child processes."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import sys
import tempfile
import weakref
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .daemon import Daemon
from .units import size

if TYPE_CHECKING:
    from typing_extensions import Self

    from .client import Client

_clusters: weakref.WeakSet[LocalCluster] = weakref.WeakSet()


class LocalCluster:
    """A scheduler and workers that end with this process.

    Nobody else finds it: it listens on loopback, on ports of the system's choice, and keeps its token in a directory of
    its own.
    """

    def __init__(
        self,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        memory_limit: int | float | str | None = "auto",
        *,
        resources: dict[str, float] | None = None,
        worker_options: list[str] | None = None,
        asynchronous: bool = False,
        processes: bool | None = None,
        dashboard_address: str | None = None,
    ) -> None:
        """Starts `n_workers` workers (one, unless said otherwise), each with `threads_per_worker` cpus: that many tasks at
        a time, each in a process of its own. `memory_limit` is that of each worker. `worker_options` are further
        arguments of `bireme-worker`.
        """
        if processes is False:
            raise NotImplementedError("processes=False is not supported: every task runs in a process apart; leave it out")
        if dashboard_address is not None:
            raise NotImplementedError("dashboard_address is not supported: there is no dashboard yet; leave it out")
        count = 1 if n_workers is None else n_workers
        if count < 0:
            raise ValueError(f"n_workers is {count}; give 0 or more")
        self.asynchronous = asynchronous
        self._owner = os.getpid()
        self.directory = Path(tempfile.mkdtemp(prefix="bireme-"))
        self.access_file = self.directory / "access.toml"
        self._workers: list[Daemon] = []
        self._schedulers: list[Daemon] = []
        self._stop = weakref.finalize(self, _stop, self._owner, self.directory, self._workers, self._schedulers)
        self._names = 0
        self._arguments = _worker_arguments(threads_per_worker, count, memory_limit, resources, worker_options)
        # At exit clients go first, see below.
        self._stop.atexit = False
        _clusters.add(self)
        try:
            self.address = self._start_scheduler()
            self.scale(count)
        except BaseException:
            self._stop()
            raise

    @property
    def scheduler_address(self) -> str:
        """Where clients find the scheduler."""
        return f"http://{self.address}"

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return not self._stop.alive

    def scale(self, n: int) -> None:
        """Starts workers until there are `n`, or ends those that are too many."""
        self._check_process()
        surplus = self._workers[n:]
        del self._workers[n:]
        for worker in surplus:
            worker.ask_to_end()
        started = [self._start_worker() for _ in range(n - len(self._workers))]
        for worker in started:
            worker.wait_ready()
        for worker in surplus:
            worker.wait_end()

    def restart(self) -> int:
        """Ends all workers and starts as many anew. Returns how many."""
        count = len(self._workers)
        self.scale(0)
        self.scale(count)
        return count

    def get_client(self) -> Client:
        """A client of this cluster."""
        from .client import Client

        return Client(self, asynchronous=self.asynchronous)

    def close(self, timeout: float | None = None) -> None:
        """Ends the workers, then the scheduler, and removes what they kept."""
        self._check_process()
        self._stop()

    def _start_scheduler(self) -> str:
        scheduler = Daemon(
            "bireme-scheduler",
            ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--access-file", str(self.access_file), "--log", "warn"],
            self.directory / "scheduler.log",
            _environment(),
        )
        self._schedulers.append(scheduler)
        return scheduler.wait_ready()

    def _start_worker(self) -> Daemon:
        self._names += 1
        name = f"local-{self._names}"
        worker = Daemon(
            "bireme-worker",
            ["--name", name, *self._arguments],
            self.directory / f"{name}.log",
            # By which tasks find the cluster that they run in.
            {**_environment(), "BIREME_ACCESS_FILE": str(self.access_file)},
        )
        self._workers.append(worker)
        return worker

    def _check_process(self) -> None:
        if os.getpid() != self._owner:
            raise RuntimeError("this cluster belongs to the process that forked this one; start another here")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, behind: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"{len(self._workers)} workers"
        return f"<LocalCluster: {self.scheduler_address}, {state}>"

    def _repr_html_(self) -> str:
        return f"<b>LocalCluster</b> <code>{escape(self.scheduler_address)}</code>: {len(self._workers)} workers"


def _worker_arguments(
    threads: int | None,
    workers: int,
    memory: int | float | str | None,
    resources: dict[str, float] | None,
    further: list[str] | None,
) -> list[str]:
    cpus = threads or max(len(os.sched_getaffinity(0)) // max(workers, 1), 1)
    arguments = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "warn", "--cpus", str(cpus)]
    arguments += ["--runtime", f"python={shlex.join([sys.executable, '-m', 'bireme.executor'])}"]
    if memory not in (None, "auto", 0):
        arguments += ["--memory", f"{_bytes(memory)}B"]
    for name, amount in (resources or {}).items():
        arguments += ["--resource", f"{name}={amount:g}"]
    return arguments + list(further or ())


def _bytes(memory: int | float | str | None) -> int:
    """A limit of memory: bytes, or a share of the machine's."""
    if isinstance(memory, float) and memory <= 1.0:
        return int(memory * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return size(memory or 0)


def _environment() -> dict[str, str]:
    """That of this process, without what would lead daemons elsewhere, and with the modules that this process finds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BIREME_")}
    kept["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return kept


def _stop(owner: int, directory: Path, workers: list[Daemon], schedulers: list[Daemon]) -> None:
    if os.getpid() != owner:
        return
    for daemons in (workers, schedulers):
        for daemon in daemons:
            daemon.ask_to_end()
        for daemon in daemons:
            daemon.wait_end()
    shutil.rmtree(directory, ignore_errors=True)


# Registered before the one that closes clients, and so called after it.
@atexit.register
def _stop_all() -> None:
    for cluster in list(_clusters):
        cluster._stop()
