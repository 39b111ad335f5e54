"""What a client does with the cluster as a whole: its workers, the values that they have, what their processes run with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, cast

from . import fleet, holders
from .future import Future, futures_in
from .units import seconds

if TYPE_CHECKING:
    from .client import Client
    from .cluster import LocalCluster
    from .link import Link

#: Nothing was given; None is something.
_NO_DEFAULT: Any = object()


class ClusterMethods:
    """The methods of a client that are about the cluster."""

    cluster: LocalCluster | None
    _live: Callable[..., Link]
    _sync: Callable[..., Any]
    _futures: Callable[[], list[Future[Any]]]

    def scheduler_info(self, n_workers: int = -1) -> Any:
        """The scheduler's address and its workers, by their addresses."""
        return self._sync(fleet.scheduler_info, self._live().session, n_workers)

    def nthreads(self, workers: Iterable[str] | None = None) -> Any:
        """How many cpus the workers have, by their addresses."""
        return self._sync(fleet.nthreads, self._live().session, workers)

    def ncores(self, workers: Iterable[str] | None = None) -> Any:
        """Another name of `nthreads`."""
        return self.nthreads(workers)

    def wait_for_workers(self, n_workers: int = 1, timeout: float | str | None = None) -> Any:
        """Waits until the cluster has so many workers."""
        return self._sync(fleet.wait_for_workers, self._live().session, n_workers, seconds(timeout))

    def who_has(self, futures: Any = None) -> Any:
        """The addresses of the workers that have each value, by its key; of all that have keys of their own by default.

        Small values travel in messages: no worker is named for those that none has.
        """
        found = self._futures() if futures is None else futures_in(futures)
        return self._sync(holders.who_has, self._live().session, found)

    def has_what(self, workers: Iterable[str] | None = None) -> Any:
        """The keys of this client's values that workers have, by the workers' addresses."""
        return self._sync(holders.has_what, self._live().session, self._futures(), workers)

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        workers: str | Iterable[str] | None = None,
        wait: bool = True,
        nanny: bool = False,
        on_error: Literal["raise", "return", "ignore"] = "raise",
        **kwargs: Any,
    ) -> Any:
        """Calls a function once on every worker that runs Python, and returns the results by the workers' addresses.

        It runs in one of the worker's processes, beside what runs there. A function that has an argument `dask_worker` is
        given what `get_worker` gives.
        """
        if nanny:
            raise NotImplementedError("nanny=True is not supported: what starts workers runs no code of clients; leave it out")
        return self._sync(fleet.run, self, function, args, kwargs, workers, wait, on_error)

    # ---- copies of values -----------------------------------------------------------------------------------------

    def replicate(
        self,
        futures: Any,
        n: int | None = None,
        workers: str | Iterable[str] | None = None,
        branching_factor: int = 2,
    ) -> Any:
        """Has `n` workers have a copy of each value, all of these unless said otherwise. Waits for the tasks that make them.

        Workers take copies from each other as they come, so that `branching_factor` says nothing. A copy stays until the
        value is released.
        """
        return self._sync(holders.replicate, self, futures_in(futures), n, workers)

    def rebalance(self, futures: Any = None, workers: str | Iterable[str] | None = None) -> Any:
        """Moves values between workers until each of these has about as many bytes of them: of all values of this client by
        default, else of these, and waits for the tasks that make them.

        A worker whose memory is short writes values to disk by itself: this is for the speed of what comes next.
        """
        from . import rebalance

        return self._sync(rebalance.rebalance, self, None if futures is None else futures_in(futures), workers)

    # ---- what processes run with ----------------------------------------------------------------------------------

    def register_plugin(self, plugin: Any, name: str | None = None, idempotent: bool | None = None) -> Any:
        """Has every process that runs tasks of this client call `plugin.setup(worker)` before the first of them, on workers
        that come later too. `teardown(worker)` is called when another plugin of this name takes its place, when it is
        unregistered, and when the process leaves in order.

        Returns the addresses of the workers, each of which has set it up in one process by then; what `setup` raises there
        is raised here.
        """
        from . import plugins

        return self._sync(plugins.register, self, plugin, name, idempotent)

    def register_worker_plugin(self, plugin: Any, name: str | None = None, nanny: bool | None = None) -> Any:
        """Another name of `register_plugin`."""
        if nanny:
            raise NotImplementedError("nanny=True is not supported: what starts workers runs no code of clients; leave it out")
        return self.register_plugin(plugin, name)

    def unregister_worker_plugin(self, name: str, nanny: bool | None = None) -> Any:
        """Has each process take a plugin down before its next task of this client."""
        from . import plugins

        return self._sync(plugins.unregister, self, name)

    def upload_file(self, filename: str | os.PathLike[str], load: bool = True) -> Any:
        """Has imports find a module (`.py`), or an archive of modules (`.zip`, `.egg`), in every process that runs tasks of
        this client, on workers that come later too. With `load` a module is imported at once, again if an earlier one was.
        """
        from . import plugins

        return self._sync(plugins.upload_file, self, filename, load)

    # ---- datasets -------------------------------------------------------------------------------------------------

    def publish_dataset(self, *args: Any, name: str | None = None, override: bool = False, **datasets: Any) -> Any:
        """Leaves values in the cluster under names, for other clients and for later: collections, futures, and what holds
        such. Waits until they are computed; the cluster keeps a copy of its own until `unpublish_dataset`.
        """
        from . import datasets as module

        if name is not None:
            if len(args) != 1:
                raise ValueError(f"name={name!r} is for one dataset, and {len(args)} are given; give the others as name=value")
            datasets[name] = args[0]
        elif args:
            raise ValueError("a dataset has a name; give it as name=value, or one value and name=")
        return self._sync(module.publish, self, datasets, override)

    def get_dataset(self, name: str, default: Any = _NO_DEFAULT) -> Any:
        """A dataset that some client has published, of which the futures are this client's. KeyError where there is none,
        unless there is a `default`.
        """
        from . import datasets

        def found() -> Any:
            try:
                return datasets.get(cast("Client", self), name)
            except KeyError:
                if default is _NO_DEFAULT:
                    raise
                return default

        return self._sync(found)

    def list_datasets(self) -> Any:
        """The names of the datasets."""
        from . import datasets

        return self._sync(datasets.names, self)

    def unpublish_dataset(self, name: str) -> Any:
        """Drops a dataset. Futures of it have no values from then on."""
        from . import datasets

        return self._sync(datasets.unpublish, self, name)

    # ---- looking in -----------------------------------------------------------------------------------------------

    def get_versions(self, check: bool = False, packages: Iterable[str] = ()) -> Any:
        """Versions of Python and packages that client, scheduler and workers have. With `check`, ValueError where they do not
        fit.
        """
        from . import versions

        return self._sync(versions.get_versions, self, check, packages)

    def call_stack(self, futures: Any = None, keys: Iterable[Any] | None = None) -> Any:
        """Where the tasks that run are in their code, by workers' addresses and keys: of all, or of those of these futures or
        keys. A process of which native code holds the interpreter does not answer, and stands there by its number.
        """
        from . import stacks

        wanted = None if futures is None and keys is None else [*(keys or ()), *(future.key for future in futures_in(futures))]
        return self._sync(stacks.call_stack, self, wanted)

    def get_task_logs(self, future: Future[Any], n: int = 0) -> Any:
        """The last `n` lines that a task has printed, in all its attempts; all lines by default."""
        return self._sync(fleet.task_logs, self, future, n)

    def get_worker_logs(self, n: int | None = None, workers: str | Iterable[str] | None = None, nanny: bool = False) -> Any:
        """What the workers of a `LocalCluster` have logged, by their addresses, the last `n` lines: pairs of level and line.

        What tasks print is kept with them: see `get_task_logs`. Workers that somebody else started log where their standard
        error goes, such as the journal.
        """
        if self.cluster is None:
            raise NotImplementedError(
                "get_worker_logs is for clients of a LocalCluster: other workers log to their standard error, "
                "see `journalctl -u bireme-worker`; get_task_logs(future) has what a task printed"
            )
        return self._sync(fleet.worker_logs, self._live().session, self.cluster, n, workers)

    def restart(self, timeout: float | str | None = None, wait_for_workers: bool = True) -> Any:
        """Cancels all that this client has submitted, and starts the workers of its `LocalCluster` anew."""
        if self.cluster is None:
            raise NotImplementedError(
                "restart is for clients of a LocalCluster: cancel(futures) ends tasks with their processes, "
                "and workers are restarted by who started them, such as `systemctl restart bireme-worker`"
            )
        return self._sync(fleet.restart, self, self.cluster, seconds(timeout), wait_for_workers)
