"""A cluster as an executor of the standard library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import TYPE_CHECKING, Any, TypeVar

from .future import Future
from .options import refuse_not_here
from .task import CANCELLED

if TYPE_CHECKING:
    from .client import Client

T = TypeVar("T")


class ClusterExecutor(futures.Executor):
    """Runs calls in a cluster. Leaves the client open when it is shut down."""

    def __init__(self, client: Client, **options: Any) -> None:
        self._client = client
        options.pop("pure", None)  # Of an executor, every call is made.
        refuse_not_here(options)
        self._options = client._live().options.number(**options)
        self._lock = threading.Lock()
        self._is_shut_down = False
        self._running: dict[futures.Future[Any], Future[Any]] = {}

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> futures.Future[T]:
        """Calls `fn(*args, **kwargs)` in the cluster."""
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
        remote: Future[T] = Future(self._client, self._client._live().call(fn, args, kwargs, options=self._options))
        local = _Promise(remote)
        with self._lock:
            self._running[local] = remote
        remote.add_done_callback(lambda _: self._end(local, remote))
        return local

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls."""
        with self._lock:
            self._is_shut_down = True
            running = list(self._running)
        if cancel_futures:
            for local in running:
                local.cancel()
        if wait:
            futures.wait(running)

    def _end(self, local: futures.Future[Any], remote: Future[Any]) -> None:
        try:
            if remote.status == CANCELLED:
                futures.Future.cancel(local)
                local.set_running_or_notify_cancel()
            elif local.set_running_or_notify_cancel():
                _resolve(local, self._client, remote)
        finally:
            with self._lock:
                self._running.pop(local, None)


class _Promise(futures.Future[T]):
    """What `submit` returns: cancelling it cancels the task."""

    def __init__(self, remote: Future[T]) -> None:
        super().__init__()
        self._remote = remote

    def cancel(self) -> bool:
        is_cancelled = super().cancel()
        if is_cancelled:
            self._remote.client._cancel([self._remote])
        return is_cancelled


def _resolve(local: futures.Future[Any], client: Client, remote: Future[Any]) -> None:
    try:
        value = client._result(remote.task, None)
    except BaseException as error:
        local.set_exception(error)
    else:
        local.set_result(value)

