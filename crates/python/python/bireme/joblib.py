"""joblib on a cluster: `joblib.parallel_config(backend="bireme")`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, register_parallel_backend

from .client import Client
from .future import Future
from .task import PENDING


class BiremeBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs the batches of a `joblib.Parallel` as tasks."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = False
    uses_threads = False
    supports_sharedmem = False
    # As many as the cluster has cpus, where nobody says otherwise.
    default_n_jobs = -1

    def __init__(self, client: Client | None = None, nesting_level: int | None = None, **options: Any) -> None:
        super().__init__(nesting_level=nesting_level)
        self._given = client
        self._options = options
        self._running: set[Future[Any]] = set()

    @property
    def client(self) -> Client:
        """The client that it was given, or the one that was made last."""
        if self._given is None:
            self._given = Client.current()
        return self._given

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many jobs run at a time."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        cpus = sum(self.client.nthreads().values())
        wanted = -1 if n_jobs is None else n_jobs
        return max(cpus + 1 + wanted, 1) if wanted < 0 else wanted

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Prepares for a `Parallel`."""
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """Sends a batch."""
        future: Future[Any] = self.client.submit(_run_batch, func, pure=False, **self._options)
        self._running.add(future)

        def end(future: Future[Any]) -> None:
            self._running.discard(future)
            if callback is not None:
                callback(future)

        future.add_done_callback(end)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The results of a batch."""
        return self.client._result(out.task, None)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancels what runs."""
        running = [future for future in list(self._running) if future.status == PENDING]
        self._running.clear()
        if running:
            self.client._cancel(running)

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Within a batch, calls follow each other: its worker has other batches for its other cpus."""
        from joblib._parallel_backends import SequentialBackend

        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def __reduce__(self) -> tuple[Any, ...]:
        return BiremeBackend, (), {}


def _run_batch(batch: Callable[[], Any]) -> Any:
    return batch()


def register() -> None:
    """Makes the name `bireme` known to joblib."""
    register_parallel_backend("bireme", BiremeBackend)


register()
