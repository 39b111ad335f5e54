"""What runs in the cluster: in a module of its own, which is quick to import there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def noop(*_: Any) -> None:
    """Nothing."""


def count(*values: Any) -> int:
    """How many there are."""
    return len(values)


def add(a: int, b: int) -> int:
    """A sum."""
    return a + b


def rest(_: Any) -> int:
    """Ten milliseconds without work."""
    time.sleep(0.01)
    return 1


def make_bytes(n: int, seed: int) -> Any:
    """An array of random bytes."""
    import numpy as np

    return np.random.default_rng(seed).integers(0, 255, n, dtype="uint8")


def size_of(array: Any) -> int:
    """How long it is."""
    return len(array)


def remainder(number: int) -> int:
    """One of seven."""
    return number % 7


#: What this process has spent since it was last asked, in seconds: in tasks, and of that in their functions.
_spent = [0.0, 0.0]


def watch_executor() -> None:
    """Has this executor add up what its tasks take."""
    from bireme.executor import Executor

    for n, name in enumerate(("_run", "_call")):
        setattr(Executor, name, _timed(getattr(Executor, name), n))


def _timed(method: Callable[..., Any], n: int) -> Callable[..., Any]:
    def timed(*args: Any) -> Any:
        before = time.perf_counter()
        try:
            return method(*args)
        finally:
            _spent[n] += time.perf_counter() - before

    return timed


def take_spent() -> tuple[float, float]:
    """What was added up in this process, which begins anew."""
    ran, called = _spent
    _spent[:] = [0.0, 0.0]
    return ran, called


class Counter:
    """It counts its calls."""

    n = 0

    def __init__(self, other: Any = None) -> None:
        self.other = other

    def inc(self) -> int:
        """One more."""
        self.n += 1
        return self.n

    def take(self, blob: bytes) -> int:
        """How much that is."""
        return len(blob)

    def ping_other(self, k: int) -> list[float]:
        """How long each of so many calls of the other takes, in seconds."""
        times = []
        for _ in range(k):
            before = time.perf_counter()
            self.other.inc().result()
            times.append(time.perf_counter() - before)
        return times
