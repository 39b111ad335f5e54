"""A future: the result of a task that runs, or will run, somewhere in the cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import worker_api
from .serialize import refer
from .task import CANCELLED, ERROR, PENDING, Key

if TYPE_CHECKING:
    from .client import Client
    from .link import Known

T = TypeVar("T")


class Future(Generic[T]):
    """The result of a task. Where one is given to another task as an argument, at any depth, that task gets its value.

    A result is kept in the cluster as long as a future of it exists somewhere in this process.
    """

    __slots__ = ("__weakref__", "_client", "_task", "key")

    #: Tells dask that this stands for the value of a key.
    __dask_future__ = True

    def __init__(self, client: Client, task: Known) -> None:
        self._client = client
        self._task: Known | None = task
        #: Name of the task.
        self.key: Key = task.key

    @property
    def client(self) -> Client:
        """The client that it belongs to."""
        return self._client

    @property
    def task(self) -> Known:
        """The client's record of the task. Raises RuntimeError once it has been released."""
        if self._task is None:
            raise RuntimeError(f"the future of {self.key!r} has been released; submit the task again")
        return self._task

    @property
    def status(self) -> str:
        """`pending`, `finished`, `error` or `cancelled`; `released` after `release`."""
        return "released" if self._task is None else self._client._status(self._task)

    def done(self) -> bool:
        """Whether the task has ended, in whatever way."""
        return self.status != PENDING

    def cancelled(self) -> bool:
        """Whether the task was cancelled."""
        return self.status == CANCELLED

    def result(self, timeout: float | str | None = None) -> Any:
        """Waits for the value, at most so many seconds, and returns it. Raises what the task raised.

        Of an asynchronous client this is something to await.
        """
        return self._client._sync(self._client._result, self.task, timeout)

    def exception(self, timeout: float | str | None = None) -> Any:
        """Waits for the task, and returns what it raised, or None."""
        return self._client._sync(self._client._exception, self.task, timeout)

    def traceback(self, timeout: float | str | None = None) -> Any:
        """Waits for the task, and returns the traceback of what it raised, as far as it exists in this process, or None.

        The remote one is text: the `__cause__` of the exception.
        """
        return self._client._sync(self._traceback, timeout)

    def cancel(self) -> Any:
        """Cancels the task and whatever depends on it."""
        return self._client.cancel(self)

    def retry(self) -> Any:
        """Tries the task again where it failed or was cancelled, and those of its batch that failed because of it."""
        return self._client.retry(self)

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Calls `callback` with this future when the task has ended, on a thread of the client's; at once if it has."""
        self._client._watch(self.task, lambda: self._client._call_back(callback, self))

    def release(self) -> None:
        """Gives up the result. It is dropped once nobody else refers to it either."""
        self._task = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait_for_result().__await__()

    async def _wait_for_result(self) -> T:
        import asyncio

        await self._wait_for_end()
        result: T = await asyncio.to_thread(self._client._result, self.task, None)
        return result

    async def _wait_for_end(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        self._client._watch(self.task, lambda: loop.call_soon_threadsafe(end))
        async with worker_api.waiting_async():
            await ended

    def _traceback(self, timeout: float | str | None) -> TracebackType | None:
        raised = self._client._exception(self.task, timeout)
        return None if raised is None else raised.__traceback__

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return refer(self)

    def __hash__(self) -> int:
        return hash((id(self._client), self.key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Future):
            return NotImplemented
        return self._client is other._client and bool(self.key == other.key)

    def __repr__(self) -> str:
        return f"<Future: {self.status}, key: {self.key}>"

    def _repr_html_(self) -> str:
        colour = {ERROR: "#c0392b", CANCELLED: "#7f8c8d", PENDING: "#d4a017"}.get(self.status, "#27ae60")
        return (
            f'<b>Future</b> <code>{escape(str(self.key))}</code> '
            f'<b style="color: {colour}">{escape(self.status)}</b>'
        )


def futures_in(value: object) -> list[Future[Any]]:
    """The futures in lists, tuples, sets and dictionaries, at any depth, and those that dask collections hold."""
    found: list[Future[Any]] = []
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, Future):
            found.append(part)
        elif isinstance(part, dict):
            rest.extend(part.values())
        elif isinstance(part, (list, tuple, set, frozenset)):
            rest.extend(part)
        elif hasattr(part, "__dask_graph__"):
            rest.extend(dict(part.__dask_graph__() or {}).values())
    found.reverse()
    return found


#: What dask calls it.
futures_of = futures_in
