"""The client: names and meanings are those of dask's, so that code moves by changing an import."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from . import fleet, holders, worker_api
from ._bireme import Failed, Session
from .actor_client import ActorMethods
from .cluster import LocalCluster
from .cluster_client import ClusterMethods
from .future import Future, futures_in
from .keys import keys_of_map
from .link import Known, Link, Raised
from .options import PLAIN
from .task import PENDING, Key
from .units import seconds

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from typing_extensions import Self

    from .actor import ActorFuture
    from .preload import Luggage

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Arguments that all calls of a `map` share are stored once beyond this size, in bytes.
_SHARED_BYTES = 4096

#: Where nothing is to be done about a wait.
_NOTHING = nullcontext()

_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_default: list[weakref.ref[Client]] = []


class Client(ActorMethods, ClusterMethods):
    """A program's way into a cluster.

    Without an address it goes where `BIREME_SCHEDULER` or this user's access file says, and where there is neither it
    starts a cluster of its own, which ends with it. In a task it goes to the cluster that runs the task, and ends with
    that. With `asynchronous=True` whatever would wait returns something to
    await.
    """

    def __init__(
        self,
        address: str | LocalCluster | None = None,
        timeout: float | str | None = None,
        set_as_default: bool = True,
        scheduler_file: str | os.PathLike[str] | None = None,
        asynchronous: bool = False,
        name: str | None = None,
        *,
        token: str | None = None,
        namespace: str | None = None,
        **cluster: Any,
    ) -> None:
        """Connects, within `timeout`. `scheduler_file` is an access file; further arguments are those of the cluster that it
        starts.
        """
        self.asynchronous = asynchronous
        self.name = name or ""
        self._owner = os.getpid()
        self._own_cluster: LocalCluster | None = None
        self.cluster = address if isinstance(address, LocalCluster) else None
        if address is None and not scheduler_file and not cluster and (services := worker_api.services()):
            address, token = services[0], services[1] or token
        if self.cluster is None and not scheduler_file and (cluster or (address is None and not _is_known())):
            self.cluster = self._own_cluster = LocalCluster(**cluster)
        if self.cluster is not None:
            address, scheduler_file = None, self.cluster.access_file
        self._link = self._connect(address, scheduler_file, token, namespace, seconds(timeout))
        self._is_closed = False
        self._dask_config: Any = None
        _clients.add(self)
        if set_as_default:
            self.as_default()

    def _connect(
        self,
        address: Any,
        access_file: str | os.PathLike[str] | None,
        token: str | None,
        namespace: str | None,
        timeout: float | None,
    ) -> Link:
        file = None if access_file is None else os.fspath(access_file)
        if isinstance(address, str):
            address = address.replace("tcp://", "http://", 1)
            address = address if "://" in address else f"http://{address}"
        try:
            parent = worker_api.parent(address)
            session = Session(
                address,
                token=token,
                access_file=file,
                name=self.name,
                namespace=namespace,
                parent=parent,
                timeout=timeout,
            )
        except BaseException:
            if self._own_cluster is not None:
                self._own_cluster.close()
            raise
        link = Link(session)
        if parent is not None and (luggage := _inherited()) is not None:
            link.functions.travel_with(luggage)
        return link

    # ---- calls ----------------------------------------------------------------------------------------------------

    @overload
    def submit(self, func: type, *args: Any, actor: Literal[True], **kwargs: Any) -> ActorFuture: ...
    @overload
    def submit(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]: ...
    def submit(
        self,
        func: Callable[..., T],
        *args: Any,
        key: Key = None,
        pure: bool = True,
        actor: bool = False,
        actors: bool = False,
        **kwargs: Any,
    ) -> Future[Any]:
        """Calls `func(*args, **kwargs)` in the cluster.

        Futures among the arguments, at any depth, become their values. A pure call that equals one that this client holds
        a future of is not made again. With `actor=True` the future is that of an actor of the class `func`: see `actor`.

        Of the keyword arguments those are the task's own that are named here, and all others the function's:

        - `resources`: what it takes of its worker, such as `{"cpus": 2, "memory": "4 GiB", "gpu": 1}`; one cpu unless
          said otherwise.
        - `retries`: how often it is made again after an exception.
        - `max_crashes`: how often it is made again when its process or worker dies, 3 unless given.
        - `timeout`: how long an attempt may run.
        - `env`: what is installed where it runs, an `Environment` or a list of requirements.
        - `isolation`: `process`, one that is new for each attempt and runs nothing else.
        - `priority`: greater goes first.
        - `workers`, `allow_other_workers`: where it may run, by names or addresses, or would rather.
        """
        _check_callable(func)
        if actor or actors:
            return self._actor(func, args, kwargs, key)
        link = self._live()
        options = link.options.taken(kwargs) if kwargs else PLAIN
        return Future(self, link.call(func, args, kwargs, key=key, pure=pure, options=options))

    def map(
        self,
        func: Callable[..., T],
        *iterables: Iterable[Any],
        key: str | Sequence[Key] | None = None,
        pure: bool = True,
        batch_size: int | None = None,
        actor: bool = False,
        actors: bool = False,
        **kwargs: Any,
    ) -> list[Future[T]]:
        """Calls `func` once for each set of arguments, as the built-in `map` does. Further arguments are those of `submit`,
        for each call. `batch_size` calls are sent at once.
        """
        _check_callable(func)
        if actor or actors:
            return [self._actor(func, args, dict(kwargs)) for args in zip(*iterables, strict=False)]
        link = self._live()
        options = link.options.taken(kwargs) if kwargs else PLAIN
        calls = list(zip(*iterables, strict=False))
        key_of = keys_of_map(key, len(calls))
        kwargs = self._shared(kwargs)
        futures: list[Future[T]] = []
        for n, args in enumerate(calls):
            futures.append(Future(self, link.call(func, args, kwargs, key=key_of(n), pure=pure, options=options)))
            if batch_size and len(futures) % batch_size == 0:
                link.submitter.flush()
        link.submitter.flush()
        return futures

    def scatter(
        self,
        data: Any,
        workers: Any = None,
        broadcast: bool | int = False,
        direct: bool | None = None,
        hash: bool = True,
        timeout: float | str | None = None,
    ) -> Any:
        """Puts values into the cluster: a list of them gives a list of futures, a dictionary one of futures by the same
        keys, anything else one future. Equal values are kept once if `hash`.

        A worker takes a copy when a task there first needs it. `broadcast` has all of them take one now, or so many of
        them; `workers` has these take the values in turn, or each of them all with `broadcast`.
        """
        _check_direct(direct)
        if timeout is not None:
            raise ValueError("scatter has no timeout: it waits for nothing but the values' way; leave it out")
        return self._sync(self._scatter, data, hash, workers, broadcast)

    def gather(self, futures: Any, errors: Literal["raise", "skip"] = "raise", direct: bool | None = None) -> Any:
        """Waits for futures, in lists, tuples, sets and dictionaries at any depth, and puts their values in their places.

        What went wrong is raised, or with `errors="skip"` left out of lists. Large arrays lie in memory that they share
        with the cluster, and are read-only: `copy()` what you want to change.
        """
        if errors not in ("raise", "skip"):
            raise ValueError(f"errors is {errors!r}; give 'raise' or 'skip'")
        _check_direct(direct)
        return self._sync(self._gather, futures, errors)

    def cancel(self, futures: Any, force: bool = False, reason: str | None = None, msg: str | None = None) -> Any:
        """Cancels tasks and whatever depends on them. Every task is of one client, so that there is nothing to `force`."""
        if reason is not None or msg is not None:
            raise NotImplementedError("a reason is not kept with cancelled tasks; leave out `reason` and `msg`")
        return self._sync(self._cancel, futures_in(futures))

    def retry(self, futures: Any, asynchronous: bool | None = None) -> Any:
        """Tries tasks that failed or were cancelled again, and those of their batches that failed because of them."""
        if asynchronous is not None and asynchronous != self.asynchronous:
            raise NotImplementedError(f"asynchronous={asynchronous} is for a client that was made so; leave it out")
        return self._sync(self._retry, futures_in(futures))

    # ---- dask collections -----------------------------------------------------------------------------------------

    def get(self, dsk: Any, keys: Any, sync: bool = True, **options: Any) -> Any:
        """Computes keys of a dask graph; made for `dask.config.set(scheduler=client.get)`."""
        from . import dask

        return dask.get(self, dsk, keys, sync=sync, **options)

    def compute(self, collections: Any, sync: bool = False, optimize_graph: bool = True, **options: Any) -> Any:
        """Computes dask collections. Returns a future for each, or their values if `sync`."""
        from . import dask

        futures = dask.compute(self, collections, optimize_graph=optimize_graph, **options)
        return self.gather(futures) if sync else futures

    def persist(self, collections: Any, optimize_graph: bool = True, **options: Any) -> Any:
        """Starts to compute dask collections, and returns the same collections, made of futures."""
        from . import dask

        return dask.persist(self, collections, optimize_graph=optimize_graph, **options)

    def get_executor(self, **options: Any) -> Executor:
        """An executor as in `concurrent.futures`, whose calls are tasks with these options."""
        from .executor_api import ClusterExecutor

        return ClusterExecutor(self, **options)

    # ---- life -----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """`running` or `closed`."""
        return "closed" if self._is_closed else "running"

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler is."""
        return self._link.session.address

    @classmethod
    def current(cls, allow_global: bool = True) -> Client:
        """The client that was made last and is open. Raises ValueError where there is none."""
        while _default:
            client = _default[-1]()
            if client is not None and not client._is_closed and client._owner == os.getpid():
                return client
            _default.pop()
        raise ValueError("there is no client; make one with bireme.Client()")

    def as_default(self) -> None:
        """Makes it the client that `current` finds, and where they are loaded the one that dask computes with and that is
        joblib's backend `bireme`.
        """
        _default.append(weakref.ref(self))
        if "dask" in sys.modules:
            from . import dask

            self._dask_config = dask.use(self)
        if "joblib" in sys.modules:
            from . import joblib

            joblib.register()

    def close(self, timeout: float | str | None = None) -> Any:
        """Ends the session and the cluster that it started. Its tasks are dropped. Takes some seconds at most: `timeout` says
        nothing.
        """
        return self._sync(self._close)

    def shutdown(self) -> Any:
        """Closes, and ends the cluster: the scheduler and all workers, whoever else uses them."""
        return self._sync(self._shutdown)

    def __enter__(self) -> Self:
        if self.asynchronous:
            raise TypeError("this client is asynchronous; write `async with`")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, behind: TracebackType | None
    ) -> None:
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: Any) -> None:
        import asyncio

        await asyncio.to_thread(self._close)

    def __await__(self) -> Generator[Any, None, Self]:
        async def itself() -> Self:
            return self

        return itself().__await__()

    def __repr__(self) -> str:
        if self._is_closed:
            return f"<Client: {self.scheduler_address}, closed>"
        workers = self._link.session.workers()
        return f"<Client: {self.scheduler_address}, {len(workers)} workers, {fleet.cpus_of(workers):g} cpus>"

    def _repr_html_(self) -> str:
        if self._is_closed:
            return f"<b>Client</b> <code>{escape(self.scheduler_address)}</code>, closed"
        return fleet.table(self.scheduler_address, self._link.session.workers())

    # ---- within the package ---------------------------------------------------------------------------------------

    def _live(self) -> Link:
        if self._is_closed:
            raise RuntimeError("the client is closed; make a new one")
        if os.getpid() != self._owner:
            raise RuntimeError("this client belongs to the process that forked this one; make a new one here")
        return self._link

    def _sync(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a function that waits, or of an asynchronous client returns something to await that does."""
        if not self.asynchronous:
            return function(*args)
        # It takes a tenth of a short program's time to load.
        import asyncio

        return asyncio.to_thread(function, *args)

    def _status(self, task: Known) -> str:
        return self._link.status(task)

    def _result(self, task: Known, timeout: float | str | None) -> Any:
        with self._waiting((task,)):
            return self._live().result(task, seconds(timeout))

    def _exception(self, task: Known, timeout: float | str | None) -> BaseException | None:
        with self._waiting((task,)):
            return self._live().error(task, seconds(timeout))

    def _waiting(self, tasks: Iterable[Known]) -> AbstractContextManager[None]:
        """In a task that is to wait for some of these: others may have its cpus within."""
        if worker_api.running() is None:
            return _NOTHING
        link = self._live()
        link.submitter.flush()
        return worker_api.waiting() if any(link.status(task) == PENDING for task in tasks) else _NOTHING

    def _watch(self, task: Known, call: Callable[[], object]) -> None:
        self._live().watch(task, call)

    def _call_back(self, callback: Callable[[Future[Any]], object], future: Future[Any]) -> None:
        self._link.call_back(callback, future)

    def _gather(self, futures: Any, errors: str) -> Any:
        link = self._live()
        if isinstance(futures, Future):
            return self._result(futures.task, None)
        found = futures_in(futures) if not _is_flat(futures) else futures
        tasks = [future.task for future in found]
        with self._waiting(tasks):
            results = link.results(tasks)
        skips = errors == "skip"
        if found is futures:
            taken = zip(tasks, results, strict=True)
            return [link.taken(task, value) for task, value in taken if not (skips and isinstance(value, (Failed, Raised)))]
        values = dict(zip(map(id, tasks), results, strict=True))

        def fill(future: Future[Any]) -> Any:
            return link.taken(future.task, values[id(future.task)])

        def is_skipped(future: Future[Any]) -> bool:
            return skips and isinstance(values[id(future.task)], (Failed, Raised))

        return _filled(futures, fill, is_skipped)

    def _scatter(self, data: Any, hashed: bool, workers: Any = None, broadcast: bool | int = False) -> Any:
        scattered = self._stored(data, hashed)
        if workers is not None or broadcast:
            holders.spread(self, futures_in(scattered), workers, broadcast)
        return scattered

    def _stored(self, data: Any, hashed: bool) -> Any:
        link = self._live()
        if isinstance(data, dict):
            return {key: Future(self, link.store(value, key)) for key, value in data.items()}
        if isinstance(data, (list, tuple, set, frozenset)):
            return type(data)(Future(self, link.store(value, None, hashed)) for value in data)
        return Future(self, link.store(data, None, hashed))

    def _shared(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Named arguments of many calls, the large ones of which are stored once."""
        return {
            name: self._stored(value, True) if _is_large(value) else value for name, value in kwargs.items()
        }

    def _cancel(self, futures: Sequence[Future[Any]]) -> None:
        self._live().cancel([future.task for future in futures])

    def _retry(self, futures: Sequence[Future[Any]]) -> None:
        self._live().retry([future.task for future in futures])

    def _futures(self) -> list[Future[Any]]:
        return [Future(self, task) for task in list(self._live().known.values())]

    def _close(self) -> None:
        if self._is_closed or os.getpid() != self._owner:
            return
        self._is_closed = True
        if self._dask_config is not None:
            self._dask_config()
        self._link.close()
        if self._own_cluster is not None:
            self._own_cluster.close()

    def _abandon(self) -> None:
        """Ends with the task whose client it is; what it had submitted is dropped, if only by the scheduler."""
        try:
            self._close()
        except Exception as error:
            log.debug("the client of a task did not end in order: %s", error)

    def _shutdown(self) -> None:
        link = self._live()
        if self.cluster is None:
            link.session.shutdown()
        self._close()
        if self.cluster is not None and not self.cluster.is_closed:
            self.cluster.close()


def get_client(address: str | None = None, timeout: float | str | None = None) -> Client:
    """The client that was made last, or a new one where there is none, or it is of another address; in a task, the task's."""
    if address is None and worker_api.running() is not None:
        return worker_api.get_worker().client
    try:
        client = Client.current()
    except ValueError:
        return Client(address, timeout)
    return client if address in (None, client.scheduler_address) else Client(address, timeout)


def _inherited() -> Luggage | None:
    """What the function of the running task travels with, if it travels with anything."""
    preload = sys.modules.get("bireme.preload")
    return None if preload is None else cast("Luggage | None", preload.inherited())


def _is_known() -> bool:
    """Whether the environment or an access file says where a cluster is."""
    if os.environ.get("BIREME_SCHEDULER") or os.environ.get("BIREME_ACCESS_FILE"):
        return True
    run = os.environ.get("XDG_RUNTIME_DIR", "")
    directory = os.path.join(run, "bireme") if os.path.isabs(run) else f"/tmp/bireme-{os.geteuid()}"
    return os.path.exists(os.path.join(directory, "access.toml"))


def _check_callable(function: object) -> None:
    if not callable(function):
        raise TypeError(f"the first argument is a {type(function).__name__}; give a function and then its arguments")


def _check_direct(direct: bool | None) -> None:
    if direct is False:
        raise NotImplementedError(
            "direct=False is not supported: values go straight between clients and workers, and by way of the scheduler "
            "where these cannot be reached; leave it out"
        )


def _is_flat(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, Future) for part in value)


def _is_large(value: object) -> bool:
    size = getattr(value, "nbytes", None)
    if size is None:
        size = len(value) if isinstance(value, (bytes, bytearray, str)) else 0
    return isinstance(size, int) and size > _SHARED_BYTES


def _filled(part: Any, fill: Callable[[Future[Any]], Any], is_skipped: Callable[[Future[Any]], bool]) -> Any:
    """The same containers, with values in the places of futures, and without those that are skipped."""

    def is_left(value: Any) -> bool:
        return not (isinstance(value, Future) and is_skipped(value))

    def filled(value: Any) -> Any:
        return _filled(value, fill, is_skipped)

    if isinstance(part, Future):
        return fill(part)
    if isinstance(part, dict):
        return {key: filled(value) for key, value in part.items() if is_left(value)}
    if isinstance(part, tuple) and hasattr(part, "_fields"):
        return type(part)(*map(filled, part))
    if isinstance(part, (list, tuple, set, frozenset)):
        return type(part)(filled(value) for value in part if is_left(value))
    return part


@atexit.register
def _close_all() -> None:
    for client in list(_clients):
        client._close()
