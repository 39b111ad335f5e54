"""Waiting for many futures: all of them, the first, or each as it comes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from . import worker_api
from .future import Future, futures_in
from .task import CANCELLED, ERROR
from .units import seconds

if TYPE_CHECKING:
    import asyncio

ALL_COMPLETED = "ALL_COMPLETED"
FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"


class DoneAndNotDone(NamedTuple):
    """What `wait` returns."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def wait(
    fs: Any,
    timeout: float | str | None = None,
    return_when: Literal["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"] = "ALL_COMPLETED",
) -> Any:
    """Waits until futures have ended, at most so many seconds; TimeoutError then.

    Of asynchronous clients this is something to await. Other than `gather` it brings no values here.
    """
    futures = futures_in(fs)
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"return_when is {return_when!r}; give ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION")
    if not futures:
        return DoneAndNotDone(set(), set())
    return futures[0].client._sync(_wait, futures, seconds(timeout), return_when)


def _wait(futures: list[Future[Any]], timeout: float | None, return_when: str) -> DoneAndNotDone:
    enough = threading.Event()
    missing = len(futures)
    counting = threading.Lock()

    def end(future: Future[Any]) -> None:
        nonlocal missing
        with counting:
            missing -= 1
            is_first = return_when == FIRST_COMPLETED or (
                return_when == FIRST_EXCEPTION and future.status in (ERROR, CANCELLED)
            )
            if is_first or missing == 0:
                enough.set()

    for future in futures:
        _on_end(future, end)
    with futures[0].client._waiting([future.task for future in futures]):
        in_time = enough.wait(timeout)
    if not in_time:
        raise TimeoutError(f"{missing} of {len(futures)} tasks have not ended after {timeout:g} s")
    done = {future for future in futures if future.done()}
    return DoneAndNotDone(done, set(futures) - done)


class as_completed:  # noqa: N801 - it is called as a function is.
    """Gives futures as they end; with `with_results` pairs of a future and its value.

    More may be added while it runs. It is an iterator, and of asynchronous clients an asynchronous one.
    """

    def __init__(
        self,
        futures: Iterable[Future[Any]] | None = None,
        with_results: bool = False,
        raise_errors: bool = True,
        *,
        timeout: float | str | None = None,
    ) -> None:
        self.with_results = with_results
        self.raise_errors = raise_errors
        limit = seconds(timeout)
        self._until = None if limit is None else monotonic() + limit
        self._changed = threading.Condition()
        self._ended: deque[Future[Any]] = deque()
        self._pending = 0
        self._listeners: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.update(futures or ())

    def add(self, future: Future[Any]) -> None:
        """Waits for one more future."""
        self.update((future,))

    def update(self, futures: Iterable[Future[Any]]) -> None:
        """Waits for more futures."""
        new = list(futures)
        with self._changed:
            self._pending += len(new)
        for future in new:
            _on_end(future, self._end)

    def count(self) -> int:
        """How many have not been given yet."""
        with self._changed:
            return self._pending + len(self._ended)

    def is_empty(self) -> bool:
        """Whether all have been given."""
        return self.count() == 0

    def has_ready(self) -> bool:
        """Whether the next can be had without waiting."""
        with self._changed:
            return bool(self._ended)

    def next_batch(self, block: bool = True) -> list[Any]:
        """All that have ended since, at least one if `block`."""
        first = [self._next()] if block else []
        with self._changed:
            ended = first + list(self._ended)
            self._ended.clear()
        return self._given(ended)

    def batches(self) -> Iterator[list[Any]]:
        """Lists of those that ended since the one before."""
        while not self.is_empty():
            yield self.next_batch()

    def clear(self) -> None:
        """Forgets those that have ended and were not given."""
        with self._changed:
            self._ended.clear()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._given([self._next()])[0]

    def __aiter__(self) -> as_completed:
        return self

    async def __anext__(self) -> Any:
        import asyncio

        changed = asyncio.Event()
        listener = (asyncio.get_running_loop(), changed)
        with self._changed:
            self._listeners.append(listener)
        try:
            while not self.has_ready():
                if self.is_empty():
                    raise StopAsyncIteration
                async with worker_api.waiting_async():
                    await asyncio.wait_for(changed.wait(), self._left())
                changed.clear()
            future = self._next()
        finally:
            with self._changed:
                self._listeners.remove(listener)
        if not self.with_results:
            return future
        return (await asyncio.to_thread(self._given, [future]))[0]

    def _end(self, future: Future[Any]) -> None:
        with self._changed:
            self._pending -= 1
            self._ended.append(future)
            self._changed.notify()
            for loop, changed in self._listeners:
                loop.call_soon_threadsafe(changed.set)

    def _next(self) -> Future[Any]:
        if self._ended:
            return self._take()
        with worker_api.waiting():
            return self._take()

    def _take(self) -> Future[Any]:
        with self._changed:
            while not self._ended:
                if not self._pending:
                    raise StopIteration
                if not self._changed.wait(self._left()):
                    raise TimeoutError(f"{self._pending} tasks have not ended in time")
            return self._ended.popleft()

    def _left(self) -> float | None:
        return None if self._until is None else max(self._until - monotonic(), 0.0)

    def _given(self, futures: list[Future[Any]]) -> list[Any]:
        if not self.with_results or not futures:
            return futures
        link = futures[0].client._live()
        tasks = [future.task for future in futures]
        return [
            (future, self._value(future, value))
            for future, value in zip(futures, link.results(tasks), strict=True)
        ]

    def _value(self, future: Future[Any], value: Any) -> Any:
        try:
            return future.client._live().taken(future.task, value)
        except Exception as error:
            if self.raise_errors:
                raise
            return error


# What nobody else may hold on to.
_fired: set[Future[Any]] = set()


def fire_and_forget(obj: Any) -> None:
    """Lets tasks run to their end though nobody holds their futures."""
    for future in futures_in(obj):
        _fired.add(future)
        _on_end(future, _fired.discard)


def _on_end(future: Future[Any], call: Any) -> None:
    """Calls `call` with a future when it has ended, on the thread that hears of it."""
    future.client._watch(future.task, lambda: call(future))
