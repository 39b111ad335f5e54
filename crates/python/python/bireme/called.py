"""What the client knows of a call of an actor, and of an actor that is being made."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from ._bireme import ActorHandle, Failed, call_ends
from .errors import ArgumentFailed, CallTimeout, exception
from .serialize import decode
from .task import CANCELLED, ERROR, FINISHED, PENDING, Stored, Task
from .watch import STATES, call_safely

if TYPE_CHECKING:
    from ._bireme import Object, Pending, Session
    from .link import Known, Link
    from .task import Key

log = logging.getLogger(__name__)

#: Makes a handle of what was made.
Wrap = Callable[[ActorHandle], Any]


class Called:
    """A call that was made. Futures share it; when the last of them lets go, a large result is released on its worker."""

    __slots__ = ("__weakref__", "_inputs", "_object", "_wrap", "_wrapped", "failure", "key", "pending")

    def __init__(self, key: Key, pending: Pending, inputs: Sequence[Known] = (), wrap: Wrap | None = None) -> None:
        self.key = key
        self.pending = pending
        #: What its arguments named, kept until it has ended.
        self._inputs = inputs
        self._wrap = wrap
        self._wrapped: Any = None
        self._object: Object | None = None
        #: What went wrong with it before it left.
        self.failure: BaseException | None = None

    @property
    def status(self) -> str:
        """How it is doing."""
        return STATES[self.pending.state()]

    def result(self, timeout: float | None) -> Any:
        """Waits for its result, and raises what went wrong instead."""
        try:
            value = self.pending.result(timeout)
        except Failed as error:
            # With its traceback it would hold this call, and that its result or the handles that it was given.
            failed = error.with_traceback(None)
        else:
            return self._decoded(value)
        # Here it has no context, and keeps the cause that it has.
        raise self._exception(failed)

    def error(self) -> BaseException | None:
        """What went wrong, once it has ended."""
        error = self.pending.error()
        if error is not None:
            return self._exception(Failed(error, None))
        if self._wrap is not None:
            try:
                self.result(None)
            except CallTimeout as late:
                # The actor was made, and does not take calls in time.
                return late
        return None

    def object(self, session: Session) -> Object:
        """Its result as a value in a store."""
        if self._object is None:
            self._object = self.pending.object(session)
        return self._object

    def feed(self, link: Link) -> None:
        """Gives the call its inputs, all of which have ended."""
        for known in self._inputs:
            if link.status(known) != FINISHED:
                self.failure = ArgumentFailed.of(known.key, link.error(known, None))
                self.pending.fail(str(self.failure))
                return
        self.pending.ready(places(self._inputs))

    def _decoded(self, value: Any) -> Any:
        if not isinstance(value, ActorHandle):
            codec, buffers = value
            return decode(codec, buffers, f"the result of {self.key}")
        if self._wrapped is None:
            assert self._wrap is not None
            self._wrapped = self._wrap(value)
        return self._wrapped

    def _exception(self, failed: Failed) -> BaseException:
        return self.failure or exception(failed.args[0])


def places(inputs: Sequence[Known]) -> list[Any]:
    """Inputs as calls take them."""
    return [_place(known) for known in inputs]


def _place(known: Known) -> Any:
    if isinstance(known, Called):
        return known.pending
    return known.object if isinstance(known, Stored) else known.place


class CallWatcher:
    """Listens to the ends of calls, and calls back: one thread, started when somebody first asks."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[Called, list[Callable[[], object]]]] = {}
        self._thread: threading.Thread | None = None
        self._is_over = False

    def watch(self, called: Called, call: Callable[[], object]) -> None:
        """Calls `call` when a call has ended; at once if it has. It must be short and not wait."""
        pending = called.pending
        with self._lock:
            is_over = self._is_over
            if not is_over:
                self._waiting.setdefault(pending.number, (called, []))[1].append(call)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._listen, name="bireme-calls", daemon=True)
                    self._thread.start()
        if is_over:
            call()
        elif pending.watch():
            self._ended(pending.number)

    def _listen(self) -> None:
        try:
            while True:
                for number in call_ends(self._session):
                    self._ended(number)
        except Exception as error:
            log.debug("nothing more is heard of calls: %s", error)
        finally:
            with self._lock:
                self._is_over = True
                numbers = list(self._waiting)
            for number in numbers:
                self._ended(number)

    def _ended(self, number: int) -> None:
        with self._lock:
            _, calls = self._waiting.pop(number, (None, ()))
        for call in calls:
            call_safely(call)


class Later:
    """Tasks that take results of calls, each of which is sent when the calls have ended."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._thread: Any = None

    @staticmethod
    def is_needed(inputs: Sequence[Known]) -> bool:
        """Whether a task that takes these cannot be sent now."""
        return any(
            isinstance(known, Called) or (isinstance(known, Task) and known.batch.later is not None and not known.is_sent)
            for known in inputs
        )

    def add(self, task: Task, inputs: Sequence[Known]) -> None:
        """Sends a task, which has a batch of its own, when its inputs are there."""
        sent = task.batch.later = Sent()
        awaited = [known for known in inputs if self.is_needed((known,))]
        counting, missing = threading.Lock(), len(awaited)

        def end() -> None:
            nonlocal missing
            with counting:
                missing -= 1
                if missing:
                    return
            self._submit(task, awaited, sent)

        for known in awaited:
            self._link.watch(known, end)

    def _submit(self, task: Task, awaited: Sequence[Known], sent: Sent) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="bireme-later")
        try:
            self._thread.submit(self._send, task, awaited, sent)
        except RuntimeError as error:  # It is shut down.
            task.batch.error = error
            sent.set()

    def _send(self, task: Task, awaited: Sequence[Known], sent: Sent) -> None:
        batch = task.batch
        try:
            errors = (self._link.error(known, None) for known in awaited if self._link.status(known) != FINISHED)
            failed = next((error for error in errors if error is not None), None)
            if failed is None and batch.error is None:
                batch.submitter.send(batch)
            else:
                batch.fail(failed)
        except Exception as error:
            batch.fail(error)
        if batch.error is not None and task.status == PENDING:
            # Whoever takes the result of what was cancelled is cancelled with it.
            task.status = CANCELLED if isinstance(batch.error, CancelledError) else ERROR
        sent.set()

    def close(self) -> None:
        """Sends nothing more."""
        with self._lock:
            if self._thread is not None:
                self._thread.shutdown(wait=False, cancel_futures=True)


class Sent:
    """Tells when a batch has left this process, or never will."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._calls: list[Callable[[], object]] = []

    def call(self, call: Callable[[], object]) -> None:
        """Calls `call` then; at once if it has."""
        with self._lock:
            if not self._event.is_set():
                self._calls.append(call)
                return
        call()

    def wait(self, timeout: float | None) -> bool:
        """Waits for it; whether it was in time."""
        return self._event.wait(timeout)

    def set(self) -> None:
        """It has."""
        with self._lock:
            self._event.set()
            calls, self._calls = self._calls, []
        for call in calls:
            call_safely(call)
