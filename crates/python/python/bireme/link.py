"""A session with a cluster and what this process keeps for it: tasks by key, functions by digest, batches under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from ._bireme import Failed, Session
from .batch import Submitter
from .errors import exception
from .functions import Functions
from .future import Future
from .keys import content_key, new_key, pure_key
from .options import PLAIN, Options
from .serialize import decode, encode, encode_call
from .task import CANCELLED, ERROR, FINISHED, PENDING, Key, Stored, Task
from .watch import STATES, Watcher

if TYPE_CHECKING:
    from ._bireme import Error

Known: TypeAlias = Task | Stored


# Kinds of errors that an input from another graph may be the cause of.
FROM_INPUTS = ("dependency", "input_lost")


class Link:
    """The client's side of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.submitter = Submitter(session)
        self.watcher = Watcher(session)
        self.functions = Functions(session)
        self.options = Options(session)
        #: What has a key that may come again. Whoever holds no future of it has released it.
        self.known: WeakValueDictionary[Key, Known] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._callbacks: ThreadPoolExecutor | None = None
        self._no_arguments = encode_call((), {})

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
        buffers = self._arguments(name, args, kwargs, inputs) if args or kwargs else self._no_arguments
        if key is None:
            key = pure_key(name, digest, buffers, inputs) if pure else None
        if key is None:
            task: Known = self.submitter.add(new_key(name), digest, buffers, inputs, options)
        else:
            task = self.add(key, digest, buffers, inputs, options)
        if len(buffers) > 1:
            # Views of the caller's own arrays, which may change once this returns.
            self.send(task)
        return task

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

    def find(self, key: Key) -> Known | None:
        """What has this key, unless it was cancelled."""
        found = self.known.get(key)
        return None if found is None or found.status == CANCELLED else found

    def store(self, value: Any, key: Key = None, hashed: bool = True) -> Stored:
        """Puts a value into the cluster; an equal one that is there already serves, if `hashed`."""
        codec, buffers = encode(value, "the value")
        kind = type(value).__name__
        if key is None:
            key = content_key(kind, buffers) if hashed else new_key(kind)
        found = self.find(key)
        if isinstance(found, Stored):
            return found
        stored = Stored(key, self.session.put(int(codec), buffers, kind))
        self.known[key] = stored
        return stored

    def status(self, task: Known) -> str:
        """How a task is doing."""
        if task.status != FINISHED and isinstance(task, Task) and task.is_sent:
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
        self.send(task)
        try:
            return _decoded(task, self.session.result(*task.place, timeout))
        except Failed as error:
            failed = error
        # Here it has no context, and keeps the cause that it has.
        return self.taken(task, failed)

    def results(self, tasks: Sequence[Known]) -> list[Any]:
        """Waits for values, and brings them together. `Failed` is in the place of what went wrong."""
        self.submitter.flush()
        sent = [task for task in tasks if isinstance(task, Task)]
        brought = iter(self.session.results([task.place for task in sent])) if sent else iter(())
        return [
            self.session.fetch(task.object) if isinstance(task, Stored) else next(brought) for task in tasks
        ]

    def error(self, task: Known, timeout: float | None) -> BaseException | None:
        """Waits for a task's end, and returns what went wrong."""
        if isinstance(task, Stored):
            return None
        ended = threading.Event()
        self.watch(task, ended.set)
        if not ended.wait(timeout):
            raise TimeoutError(f"task {task.key!r} has not ended after {timeout:g} s")
        error = self.session.error(*task.place)
        return None if error is None else self._exception(task, error)

    def taken(self, task: Known, value: Any) -> Any:
        """What `results` gave for a task: its value, or the exception raised."""
        if isinstance(value, Failed):
            raise self._exception(task, value.args[0])
        return _decoded(task, value)

    def watch(self, task: Known, call: Callable[[], object]) -> None:
        """Calls `call` when a task has ended. It must be short and not wait."""
        if isinstance(task, Stored):
            call()
        else:
            self.send(task)
            self.watcher.watch(task, call)

    def send(self, task: Known) -> None:
        """Sends the batch of a task, unless it has left."""
        if isinstance(task, Task) and not task.is_sent:
            self.submitter.flush()

    def cancel(self, tasks: Sequence[Known]) -> None:
        """Cancels tasks and what depends on them."""
        self.submitter.flush()
        pending = [task for task in tasks if self.status(task) == PENDING]
        for task in pending:
            if isinstance(task, Task):
                task.status = CANCELLED
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

    def call_back(self, callback: Callable[[Future[Any]], object], future: Future[Any]) -> None:
        """Runs a user's callback on a thread for callbacks, where it may wait for whatever it likes."""
        with self._lock:
            if self._callbacks is None:
                self._callbacks = ThreadPoolExecutor(1, thread_name_prefix="bireme-callbacks")
        self._callbacks.submit(callback, future)

    def close(self) -> None:
        """Sends what waits, and ends the session."""
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

    def _arguments(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], inputs: list[Known]
    ) -> list[Any]:
        """The pickle of a call's arguments; the tasks whose values it takes are added to `inputs`."""
        places: dict[int, int] = {}

        def number(future: Future[Any]) -> int:
            task = future.task
            if id(task) not in places:
                places[id(task)] = len(inputs)
                inputs.append(task)
            return places[id(task)]

        return encode_call(args, kwargs, name, number)


def by_graph(tasks: Sequence[Known]) -> dict[int, list[int]]:
    """Indices of the tasks that were sent, by their graphs."""
    graphs: dict[int, list[int]] = {}
    for task in tasks:
        if isinstance(task, Task):
            graph, index = task.place
            graphs.setdefault(graph, []).append(index)
    return graphs


def _decoded(task: Known, value: Any) -> Any:
    codec, buffers = value
    return decode(codec, buffers, f"the value of {task.key}")
