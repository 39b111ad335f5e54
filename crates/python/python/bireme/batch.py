"""Submissions in batches: a call costs an append, and one message carries hundreds of tasks.

A batch leaves when it is full, when somebody waits for a result, or at the next tick of a thread that sleeps while
nobody submits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

from .task import Key, Stored, Task

if TYPE_CHECKING:
    from ._bireme import Object, Session, Submission
    from .called import Called, Sent

#: Tasks that make a batch full.
BATCH_TASKS = 256
#: How long a task waits for company, in seconds.
TICK_S = 0.001
#: The same when nothing has waited at the last tick, in seconds.
SLOW_TICK_S = 0.004
#: Ticks without work after which the thread sleeps until it is woken.
IDLE_TICKS = 20
#: How long a release waits for others, in seconds: each message of its own costs both sides a wake-up.
RELEASE_S = 0.008
#: Releases that wait for no others.
RELEASES = 64

#: An input: another task, a value that was put into a store, or the result of a call.
Input: TypeAlias = "Task | Stored | Called"


class Batch:
    """Tasks that are sent together, as one graph."""

    __slots__ = ("error", "graph", "later", "rows", "submitter", "tasks")

    def __init__(self, submitter: Submitter) -> None:
        #: The graph's number, once it has been sent.
        self.graph: int | None = None
        #: Why it could not be sent.
        self.error: BaseException | None = None
        #: Who is told when nobody refers to a task of it any more.
        self.submitter = submitter
        #: What tells when it is sent, where that waits for something.
        self.later: Sent | None = None
        self.tasks: list[Task] = []
        self.rows: list[tuple[str, bytes, Any, Sequence[Input], int]] = []

    def fail(self, error: BaseException | None) -> None:
        """It is not sent."""
        self.error = self.error or error
        self.rows.clear()
        self.tasks.clear()


class Submitter:
    """Collects tasks and releases of one session, and sends them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._adding = threading.Lock()
        # Held while a batch is sent, so that batches arrive in the order in which they were filled.
        self._sending = threading.Lock()
        self._released: deque[tuple[int, int]] = deque()
        self._batch = Batch(self)
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._is_asleep = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def add(self, key: Key, function: bytes, arguments: Any, inputs: Sequence[Input], options: int) -> Task:
        """Adds a task to the batch that is being filled."""
        with self._adding:
            if self._is_closed:
                raise RuntimeError("the client is closed; make a new one to submit more")
            batch = self._batch
            task = Task(key, batch, len(batch.tasks))
            batch.tasks.append(task)
            name = key if type(key) is str else str(key)
            batch.rows.append((name, function, arguments, inputs, options))
            is_full = len(batch.tasks) >= BATCH_TASKS
        if is_full:
            self.flush()
        elif self._thread is None:
            self._start()
        else:
            self._wake_up()
        return task

    def give_up(self, graph: int, index: int) -> None:
        """Notes that nobody refers to a task any more. Finalizers call this, a lock held or not: it takes none."""
        self._released.append((graph, index))
        self._wake_up()

    def flush(self) -> None:
        """Sends what waits. Returns when the cluster has it."""
        with self._sending:
            with self._adding:
                batch = self._batch
                if batch.tasks:
                    self._batch = Batch(self)
            if len(self._released) >= RELEASES:
                # First, so that both leave in one message.
                self._release()
            if batch.tasks:
                self.send(batch)

    def alone(self, key: Key, function: bytes, arguments: Any, inputs: Sequence[Input], options: int) -> Task:
        """A task in a batch of its own, which somebody else sends."""
        self._start()
        batch = Batch(self)
        task = Task(key, batch, 0)
        batch.tasks.append(task)
        batch.rows.append((str(key), function, arguments, inputs, options))
        return task

    def send_graph(self, rows: Sequence[Submission], keep: Sequence[int], name: str) -> Batch:
        """Sends tasks as a graph of their own, of which only the results of `keep` outlive their consumers."""
        self.flush()
        self._start()
        batch = Batch(self)
        batch.graph = self._session.submit(rows, name=name, keep=keep)
        return batch

    def close(self) -> None:
        """Sends what waits, and ends the thread."""
        with self._adding:
            if self._is_closed:
                return
            self._is_closed = True
        self._wake.put(False)
        if self._thread is not None:
            self._thread.join()
        self.flush()
        with self._sending:
            self._release()

    def send(self, batch: Batch) -> None:
        """Sends a batch. Why it could not be sent is told to whoever asks for a result of it."""
        rows = [
            (name, function, arguments, [self._place(i, batch) for i in inputs] if inputs else (), options)
            for name, function, arguments, inputs, options in batch.rows
        ]
        for task, row in zip(batch.tasks, rows, strict=True):
            task.sources = tuple(place for place in row[3] if isinstance(place, tuple))
        try:
            batch.graph = self._session.submit(rows)
        except Exception as error:
            batch.error = error
        finally:
            batch.rows.clear()
            batch.tasks.clear()

    def _release(self) -> None:
        """Tells the cluster of results that nobody refers to any more."""
        released = self._released
        graphs: dict[int, list[int]] = {}
        for _ in range(len(released)):
            graph, index = released.popleft()
            graphs.setdefault(graph, []).append(index)
        try:
            for graph, indices in graphs.items():
                self._session.release(graph, indices)
        except ConnectionError:
            pass  # The session is over, and holds nothing any more.

    def _start(self) -> None:
        """Starts the thread, without which nothing is released that is given up later."""
        with self._adding:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._run, name="bireme-flush", daemon=True)
                self._thread.start()

    def _wake_up(self) -> None:
        if self._is_asleep:
            self._is_asleep = False
            self._wake.put(True)

    def _run(self) -> None:
        idle, waited = 0, 0.0
        while not self._is_closed:
            # First said, then looked: whoever adds something does it the other way round, so that one of both sees it.
            self._is_asleep = idle >= IDLE_TICKS
            if self._has_work():
                self._is_asleep = False
            # Where nothing ever waits here, whoever submits waits for the result at once, and is not to be disturbed.
            tick = TICK_S if idle == 0 else SLOW_TICK_S
            try:
                self._wake.get(timeout=None if self._is_asleep else tick)
                idle = 0
            except Empty:
                idle += 1
            if self._batch.tasks:
                idle = 0
                self.flush()
            waited = waited + tick if self._released else 0.0
            if waited >= RELEASE_S:
                idle, waited = 0, 0.0
                with self._sending:
                    self._release()

    def _has_work(self) -> bool:
        return bool(self._batch.tasks) or bool(self._released)

    def _place(self, value: Input, batch: Batch) -> int | tuple[int, int] | Object:
        """An input as the session takes it."""
        if isinstance(value, Task):
            return value.index if value.batch is batch else value.place
        return value.object if isinstance(value, Stored) else value.object(self._session)
