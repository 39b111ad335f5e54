"""A session with a cluster and what this process keeps for it: tasks by key, functions by digest, batches under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

from ._bireme import Failed, Session
from .batch import Submitter
from .called import Called, CallWatcher, Later
from .errors import exception
from .functions import Functions
from .future import Future
from .keys import content_key, new_key, pure_key
from .options import PLAIN, Options
from .serialize import decode, encode, encode_call, frozen, lasting, refuse, taken
from .task import CANCELLED, ERROR, FINISHED, PENDING, Key, Stored, Task
from .watch import STATES, Watcher

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from ._bireme import ActorHandle, Error, Object

Known: TypeAlias = Task | Stored | Called


# Kinds of errors that an input from another graph may be the cause of.
FROM_INPUTS = ("dependency", "input_lost")


class Link:
    """The client's side of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.submitter = Submitter(session)
        self.watcher = Watcher(session)
        self.calls = CallWatcher(session)
        self.later = Later(self)
        self.functions = Functions(session)
        self.options = Options(session)
        #: What has a key that may come again. Whoever holds no future of it has released it.
        self.known: WeakValueDictionary[Key, Known] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._callbacks: ThreadPoolExecutor | None = None
        #: The pickle of no arguments.
        self.no_arguments = encode_call((), {})
        #: Handles of actors in arguments, by what takes them.
        self.handles: WeakKeyDictionary[Known, list[ActorHandle]] = WeakKeyDictionary()

    def call(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        key: Key = None,
        pure: bool = False,
        options: int = PLAIN,
    ) -> Known:
        """Submits a call, or finds the task that makes it already. Futures in the arguments become inputs."""
        if key is not None and (found := self.find(key)) is not None:
            return found
        digest, name = self.functions.find(function)
        inputs: list[Known] = []
        buffers = self.arguments(name, args, kwargs, inputs) if args or kwargs else self.no_arguments
        handles = self.handles_in(inputs)
        if key is None:
            computed = digest + self.options.environments.get(options, b"") if options else digest
            key = pure_key(name, computed, buffers, inputs) if pure else None
        if inputs and Later.is_needed(inputs):
            task: Known = self._add_later(key or new_key(name), digest, buffers, inputs, options)
            self.keep(task, handles)
            return task
        if key is None:
            task = self.submitter.add(new_key(name), digest, buffers, inputs, options)
        else:
            task = self.add(key, digest, buffers, inputs, options)
        if handles:
            self.keep(task, handles)
        if len(buffers) > 1 and any(lasting(buffer) is None for buffer in buffers[1:]):
            # Views of the caller's own arrays, which may change once this returns.
            self.send(task)
        return task

    def handles_in(self, inputs: Sequence[Known]) -> list[ActorHandle] | None:
        """Handles of actors in the arguments that were written last, and those that the values of `inputs` may have."""
        handles = taken()
        if not inputs or not self.handles:
            return handles
        found = dict.fromkeys(handles or ())
        for known in inputs:
            found.update(dict.fromkeys(self.handles.get(known, ())))
        return list(found)

    def keep(self, known: Known, handles: list[ActorHandle] | None) -> None:
        """Keeps handles of actors for as long as what takes them."""
        if handles:
            self.handles.setdefault(known, []).extend(handles)

    def add(
        self, key: Key, function: bytes, buffers: Sequence[Any], inputs: Sequence[Known], options: int
    ) -> Known:
        """Submits a task with a key that may come again, or finds the one that has it."""
        with self._lock:
            found = self.find(key)
            if found is not None:
                return found
            task = self.submitter.add(key, function, buffers, inputs, options)
            self.known[key] = task
            return task

    def _add_later(
        self, key: Key, function: bytes, buffers: Sequence[Any], inputs: Sequence[Known], options: int
    ) -> Known:
        """Submits a task that takes results of calls, once these have ended, or finds the one that has its key."""
        # The caller's own arrays may change until then.
        buffers = [frozen(buffer) for buffer in buffers]
        with self._lock:
            found = self.find(key)
            if found is not None:
                return found
            task = self.submitter.alone(key, function, buffers, inputs, options)
            self.known[key] = task
        self.later.add(task, inputs)
        return task

    def find(self, key: Key) -> Known | None:
        """What has this key, unless it was cancelled."""
        found = self.known.get(key)
        return None if found is None or found.status == CANCELLED else found

    def store(self, value: Any, key: Key = None, hashed: bool = True) -> Stored:
        """Puts a value into the cluster; an equal one that is there already serves, if `hashed`."""
        taken()  # What somebody else's arguments left, who did not ask.
        codec, buffers = encode(value, "the value", refuse)
        handles = taken()
        kind = type(value).__name__
        if key is None:
            key = content_key(kind, buffers) if hashed else new_key(kind)
        found = self.find(key)
        if isinstance(found, Stored):
            self.keep(found, handles)
            return found
        stored = Stored(key, self.session.put(int(codec), buffers, kind))
        self.known[key] = stored
        self.keep(stored, handles)
        return stored

    def status(self, task: Known) -> str:
        """How a task is doing."""
        if task.status != FINISHED and isinstance(task, Task) and task.is_sent:
            if task.batch.error is not None:
                return CANCELLED if task.status == CANCELLED else ERROR
            # What failed may have been tried again since; what was cancelled here goes on until the cluster knows.
            try:
                state = STATES[self.session.state(*task.place)]
            except KeyError:
                return task.status  # The session is over: what was known last.
            if state != PENDING or task.status != CANCELLED:
                task.status = state
        return task.status

    def result(self, task: Known, timeout: float | None) -> Any:
        """Waits for a value, and raises what went wrong instead."""
        if isinstance(task, Stored):
            return _decoded(task, self.session.fetch(task.object))
        if isinstance(task, Called):
            return task.result(timeout)
        self.send(task, timeout)
        try:
            return _decoded(task, self.session.result(*task.place, timeout))
        except Failed as error:
            # With its traceback it would hold this call, and that the task: a call that equals it would not be made again.
            failed = error.with_traceback(None)
        # Here it has no context, and keeps the cause that it has.
        return self.taken(task, failed)

    def results(self, tasks: Sequence[Known]) -> list[Any]:
        """Waits for values, and brings them together. What went wrong is in its place, as `taken` takes it."""
        self.submitter.flush()
        for task in tasks:
            self.send(task)
        sent = [task.place for task in tasks if isinstance(task, Task) and task.batch.error is None]
        brought = iter(self.session.results(sent)) if sent else iter(())
        return [self._brought(task, brought) for task in tasks]

    def _brought(self, task: Known, brought: Iterator[Any]) -> Any:
        if isinstance(task, Stored):
            return self.session.fetch(task.object)
        if isinstance(task, Task):
            return next(brought) if task.batch.error is None else Raised(task.batch.error)
        try:
            return Plain(task.result(None))
        except Exception as error:
            return Raised(error)

    def error(self, task: Known, timeout: float | None) -> BaseException | None:
        """Waits for a task's end, and returns what went wrong."""
        if isinstance(task, Stored):
            return None
        ended = threading.Event()
        self.watch(task, ended.set)
        if not ended.wait(timeout):
            raise TimeoutError(f"task {task.key!r} has not ended after {timeout:g} s")
        if isinstance(task, Called):
            return task.error()
        if task.batch.error is not None:
            return task.batch.error
        error = self.session.error(*task.place)
        return None if error is None else self._exception(task, error)

    def taken(self, task: Known, value: Any) -> Any:
        """What `results` gave for a task: its value, or the exception raised."""
        if isinstance(value, Failed):
            raise self._exception(task, value.args[0])
        if isinstance(value, Raised):
            raise value.error
        return value.value if isinstance(value, Plain) else _decoded(task, value)

    def watch(self, task: Known, call: Callable[[], object]) -> None:
        """Calls `call` when a task has ended. It must be short and not wait."""
        if isinstance(task, Stored):
            call()
        elif isinstance(task, Called):
            self.calls.watch(task, call)
        elif task.batch.later is not None and not task.is_sent:
            task.batch.later.call(lambda: self.watch(task, call))
        elif task.batch.error is not None:
            call()
        else:
            self.send(task)
            self.watcher.watch(task, call)

    def watch_all(self, tasks: Sequence[Known], call: Callable[[], object]) -> None:
        """Calls `call` when all of them have ended."""
        counting, missing = threading.Lock(), len(tasks)

        def end() -> None:
            nonlocal missing
            with counting:
                missing -= 1
                is_last = not missing
            if is_last:
                call()

        for task in tasks:
            self.watch(task, end)

    def send(self, task: Known, timeout: float | None = None) -> None:
        """Sends the batch of a task, unless it has left. What is sent later is waited for."""
        if not isinstance(task, Task) or task.is_sent:
            return
        if task.batch.later is None:
            self.submitter.flush()
        elif not task.batch.later.wait(timeout):
            raise TimeoutError(f"what task {task.key!r} takes is not there after {timeout:g} s")

    def place(self, value: Known) -> tuple[int, int] | Object:
        """By what tasks of other graphs take a value. Sends the task that makes it; waits for one that a call makes."""
        if isinstance(value, Stored):
            return value.object
        if isinstance(value, Called):
            value.result(None)
            return value.object(self.session)
        self.send(value)
        return value.place

    def place_of_task(self, value: Known) -> tuple[int, int]:
        """By what the cluster knows the task that makes a value. Sends it."""
        if not isinstance(value, Task):
            raise TypeError(f"{value.key} is no result of a task")
        self.send(value)
        return value.place

    def cancel(self, tasks: Sequence[Known]) -> None:
        """Cancels tasks and what depends on them."""
        self.submitter.flush()
        pending = [task for task in tasks if self.status(task) == PENDING]
        for task in pending:
            if isinstance(task, Task):
                task.status = CANCELLED
                if task.batch.later is not None and not task.is_sent:
                    task.batch.fail(CancelledError(f"task {task.key!r} was cancelled before it was sent"))
            if isinstance(task, Called):
                task.pending.cancel()
            if self.known.get(task.key) is task:
                del self.known[task.key]
        for graph, indices in by_graph(pending).items():
            self.session.cancel(graph, indices)

    def retry(self, tasks: Sequence[Known]) -> None:
        """Tries those tasks again that failed or were cancelled."""
        again = [task for task in tasks if isinstance(task, Task) and self.status(task) in (ERROR, CANCELLED)]
        for task in again:
            task.status = PENDING
            self.known.setdefault(task.key, task)
        for graph, indices in by_graph(again).items():
            self.session.retry(graph, indices)

    def reset(self) -> None:
        """Cancels every task of the session, and gives up every result."""
        self.submitter.flush()
        self.known.clear()
        self.session.reset()

    def call_back(self, callback: Callable[[Future[Any]], object], future: Future[Any]) -> None:
        """Runs a user's callback on a thread for callbacks, where it may wait for whatever it likes."""
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._callbacks is None:
                self._callbacks = ThreadPoolExecutor(1, thread_name_prefix="bireme-callbacks")
        self._callbacks.submit(callback, future)

    def close(self) -> None:
        """Sends what waits, and ends the session."""
        self.later.close()
        self.submitter.close()
        self.session.close()
        if self._callbacks is not None:
            self._callbacks.shutdown(wait=False)

    def _exception(self, task: Known, error: Error) -> BaseException:
        """What to raise for the error of a task: where an input from another graph came to nothing, what that one raised."""
        sources = task.sources if isinstance(task, Task) and error["kind"] in FROM_INPUTS else ()
        for place in sources:
            try:
                self.session.result(*place, 0)
            except Failed as failed:
                return exception(failed.args[0])
            except (KeyError, TimeoutError):
                continue  # It was given up since, or is made again.
        return exception(error)

    def arguments(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], inputs: list[Known]
    ) -> list[Any]:
        """The pickle of a call's arguments; `name` is what errors call it. The tasks whose values it takes are added to
        `inputs`.
        """
        places: dict[int, int] = {}

        def number(future: Future[Any]) -> int:
            task = future.task
            if id(task) not in places:
                places[id(task)] = len(inputs)
                inputs.append(task)
            return places[id(task)]

        taken()  # What somebody else's arguments left, who did not ask.
        return encode_call(args, kwargs, name, number)


class Raised(NamedTuple):
    """In the place of a value: what is to be raised."""

    error: BaseException


class Plain(NamedTuple):
    """In the place of bytes: the value that they would be."""

    value: Any


def by_graph(tasks: Sequence[Known]) -> dict[int, list[int]]:
    """Indices of the tasks that were sent, by their graphs."""
    graphs: dict[int, list[int]] = {}
    for task in tasks:
        if isinstance(task, Task) and task.batch.graph is not None:
            graph, index = task.place
            graphs.setdefault(graph, []).append(index)
    return graphs


def _decoded(task: Known, value: Any) -> Any:
    codec, buffers = value
    return decode(codec, buffers, f"the value of {task.key}")
