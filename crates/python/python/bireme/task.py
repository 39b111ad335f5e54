"""What the client knows of a task: one record for all futures of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._bireme import Object
    from .batch import Batch

#: Keys are text, or whatever a dask graph names its nodes by.
Key = Any

PENDING = "pending"
FINISHED = "finished"
ERROR = "error"
CANCELLED = "cancelled"


class Task:
    """One submitted task.

    Futures share it, batches hold it until they are sent. When the last of them lets go, its result is released.
    """

    __slots__ = ("__weakref__", "batch", "index", "key", "sources", "status")

    def __init__(self, key: Key, batch: Batch, index: int) -> None:
        self.key = key
        self.batch = batch
        self.index = index
        #: What is known already; a pending one has to be asked about.
        self.status = PENDING
        #: Tasks of other graphs that it takes, whose errors are then its own.
        self.sources: tuple[tuple[int, int], ...] = ()

    @property
    def place(self) -> tuple[int, int]:
        """Graph and index, by which the cluster knows it. Raises what kept it from being sent."""
        graph = self.batch.graph
        if graph is None:
            if self.batch.error is not None:
                raise self.batch.error
            raise RuntimeError(f"task {self.key!r} has not been sent; flush before asking about it")
        return graph, self.index

    @property
    def is_sent(self) -> bool:
        """Whether it has left this process, or never will."""
        return self.batch.graph is not None or self.batch.error is not None

    def __del__(self) -> None:
        batch = self.batch
        if batch.graph is not None:
            batch.submitter.give_up(batch.graph, self.index)


class Stored:
    """A value that this client put into the cluster. Dropping it releases the value."""

    __slots__ = ("__weakref__", "key", "object")

    status = FINISHED

    def __init__(self, key: Key, object: Object) -> None:
        self.key = key
        self.object = object
