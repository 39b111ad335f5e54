"""Several actors of one class, of which each call takes one that has little to do."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

from .actor import Actor, ActorFuture
from .completed import as_completed


class ActorPool:
    """Gives each call to the actor that has the fewest of them."""

    def __init__(self, actors: Iterable[Actor]) -> None:
        self._lock = threading.Lock()
        self._calls = dict.fromkeys(actors, 0)
        if not self._calls:
            raise ValueError("a pool needs an actor; give at least one")

    @property
    def actors(self) -> list[Actor]:
        """Those that it has."""
        return list(self._calls)

    def submit(self, method: str, *args: Any, **kwargs: Any) -> ActorFuture:
        """Calls a method of one of them."""
        with self._lock:
            actor = min(self._calls, key=self._calls.__getitem__)
            self._calls[actor] += 1
        try:
            future: ActorFuture = getattr(actor, method)(*args, **kwargs)
        except BaseException:
            self._ended(actor)
            raise
        future.client._watch(future.task, lambda: self._ended(actor))
        return future

    def map(self, method: str, *iterables: Iterable[Any]) -> Iterator[Any]:
        """Calls a method once for each set of arguments, and gives the results in their order."""
        futures = [self.submit(method, *args) for args in zip(*iterables, strict=False)]
        return (future.client._result(future.task, None) for future in futures)

    def map_unordered(self, method: str, *iterables: Iterable[Any]) -> Iterator[Any]:
        """The same, and gives each result as it comes."""
        futures = [self.submit(method, *args) for args in zip(*iterables, strict=False)]
        return (future.client._result(future.task, None) for future in as_completed(futures))

    def _ended(self, actor: Actor) -> None:
        with self._lock:
            self._calls[actor] -= 1
