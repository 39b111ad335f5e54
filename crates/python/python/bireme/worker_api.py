"""What a task may ask about where it runs, and how it has tasks of its own.

A task that waits for tasks of its own gives its cpus back meanwhile, so that these can run where it does. Waiting for a
future does that by itself; `secede` and `rejoin` do it by hand.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from .errors import Reschedule, exception

if TYPE_CHECKING:
    from ._bireme import Attempt
    from .client import Client

__all__ = ["Reschedule", "Worker", "get_task_key", "get_worker", "rejoin", "secede", "worker_client"]


class Worker:
    """Where a task runs: one in each executor process. Tasks may leave things on it for those that follow."""

    def __init__(self) -> None:
        self._attempt: Attempt | None = None
        self._client: Client | None = None
        #: Where actors find the cluster.
        self._services: tuple[str, str] | None = None
        #: The task has seceded by hand.
        self._is_away = False
        self._lock = threading.Lock()

    @property
    def attempt(self) -> Attempt:
        """The execution that is going on. Raises ValueError where none is."""
        if self._attempt is None:
            raise ValueError("no task runs in this process; call this from the code of a task")
        return self._attempt

    @property
    def cpus(self) -> float:
        """Cpus that the task holds."""
        return self.attempt.cpus

    @property
    def memory(self) -> int:
        """Bytes of memory that the task may take; 0 is no limit."""
        return self.attempt.memory

    @property
    def resources(self) -> dict[str, float]:
        """What else the task holds."""
        return self.attempt.resources

    @property
    def directory(self) -> str | None:
        """Directory for the task's files, removed when it ends; None is the process's own."""
        return self.attempt.directory

    @property
    def client(self) -> Client:
        """The client of the task. It ends with the task, and whatever it submitted is dropped then."""
        from .client import Client

        attempt = self.attempt
        with self._lock:
            if self._client is None:
                self._client = Client(set_as_default=False, name=f"task {attempt.key}"[:200])
            return self._client

    def is_cancelled(self) -> bool:
        """Whether the task is unwanted or over its time: then it had better return."""
        return self.attempt.stop_asked()

    def wait_cancelled(self, seconds: float) -> bool:
        """Sleeps for so long, or until the task is unwanted; whether it is."""
        return self.attempt.wait_stop(seconds)

    def __repr__(self) -> str:
        running = "idle" if self._attempt is None else f"task {self._attempt.key!r}"
        return f"<bireme.Worker: {running}>"


_here = Worker()


def get_worker() -> Worker:
    """Where the calling task runs. Raises ValueError outside of tasks."""
    _ = _here.attempt
    return _here


def get_task_key() -> str:
    """Key of the calling task. Raises ValueError outside of tasks."""
    return _here.attempt.key


def secede() -> None:
    """Gives the cpus of the calling task back: it waits for something, and others may run meanwhile.

    Raises WouldDeadlock where so many tasks of the worker wait already that it might be for ever.
    """
    attempt = _here.attempt
    if not _here._is_away:
        _wait_begins(attempt)
        _here._is_away = True


def rejoin() -> None:
    """Waits until the calling task has the cpus again that it gave back by `secede`."""
    attempt = _here.attempt
    if _here._is_away:
        _here._is_away = False
        _wait_ends(attempt)


@contextmanager
def worker_client(
    timeout: float | str | None = None, separate_thread: bool = True
) -> Iterator[Client]:
    """The client of the calling task, which takes no cpus within, unless `separate_thread` is false."""
    client = _here.client
    attempt = _here.attempt
    if not separate_thread:
        yield client
        return
    _wait_begins(attempt)
    try:
        yield client
    finally:
        _wait_ends(attempt)


def services() -> tuple[str, str] | None:
    """The scheduler's address and token, for the client of a task or of an actor."""
    return _here._services if _here._attempt is None else _here._attempt.services


def host(services: tuple[str, str] | None) -> None:
    """Notes where actors of this process find their cluster."""
    _here._services = services


def parent(address: str | None) -> Attempt | None:
    """The attempt with which a session of this address ends: the one that runs, in its own cluster."""
    attempt = _here._attempt
    if attempt is None or attempt.services is None or address not in (None, attempt.services[0]):
        return None
    return attempt


def here() -> Worker:
    """Where the code of this process runs, in a task or not."""
    return _here


def running() -> Attempt | None:
    """The attempt that this process runs, if any."""
    return _here._attempt


@contextmanager
def waiting() -> Iterator[None]:
    """What a task waits for within may have its cpus."""
    attempt = _here._attempt
    if attempt is None:
        yield
        return
    _wait_begins(attempt)
    try:
        yield
    finally:
        _wait_ends(attempt)


@asynccontextmanager
async def waiting_async() -> AsyncIterator[None]:
    """The same for a coroutine."""
    attempt = _here._attempt
    if attempt is None:
        yield
        return
    import asyncio

    await asyncio.to_thread(_wait_begins, attempt)
    try:
        yield
    finally:
        await asyncio.to_thread(_wait_ends, attempt)


def enter(attempt: Attempt | None) -> None:
    """Notes which attempt this process runs, if any. The client of the one before is closed."""
    client, _here._client = _here._client, None
    if client is not None:
        client._abandon()
    _here._attempt, _here._is_away = attempt, False


def _wait_begins(attempt: Attempt) -> None:
    from ._bireme import Failed

    try:
        attempt.secede()
    except Failed as failed:
        raise exception(failed.args[0]) from None


def _wait_ends(attempt: Attempt) -> None:
    from ._bireme import Failed

    try:
        attempt.rejoin()
    except Failed as failed:
        raise exception(failed.args[0]) from None
