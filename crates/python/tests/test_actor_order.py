"""Order and isolation of actors: what comes before what, whatever sizes calls have and whatever else is busy."""

from __future__ import annotations

import ctypes
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bireme import Client, LocalCluster

#: Calls of all callers together.
CALLS = 1_000
CALLERS = 3
#: Longest wait for a call, in seconds.
WAIT_S = 45.0
#: How many calls are made to one actor while another is busy.
BESIDE = 20
#: Ways to be busy.
WAYS = ("sleep", "loop", "c")


class Ordered:
    """Takes values, and fails if those of a caller are not in the order in which that made its calls."""

    def __init__(self) -> None:
        self.taken: dict[int, int] = {}
        self.bytes = 0

    def take(self, caller: int, n: int, size: int, data: bytes) -> int:
        """Takes the value number `n` of a caller."""
        before = self.taken.get(caller, 0)
        assert n == before + 1, f"value {n} of caller {caller} comes after {before}"
        assert len(data) == size, f"value {n} of caller {caller} has {len(data)} bytes instead of {size}"
        self.taken[caller] = n
        self.bytes += size
        return n

    def total(self) -> tuple[dict[int, int], int]:
        """The last value of each caller, and how many bytes there were."""
        return self.taken, self.bytes


class Busy:
    """Opens a named pipe to say that it is busy, and is until somebody opens another."""

    def sleep(self, begun: str, end: str) -> None:
        """Waits as Python code does, without the interpreter lock."""
        Path(begun).write_text("sleeps")
        Path(end).read_text()

    def loop(self, begun: str, end: str) -> None:
        """Computes, in nothing but Python."""
        pipe = os.open(end, os.O_RDONLY | os.O_NONBLOCK)
        Path(begun).write_text("computes")
        while True:
            try:
                if os.read(pipe, 1):
                    return os.close(pipe)
            except BlockingIOError:
                pass

    def c(self, begun: str, end: str) -> None:
        """Is in C, and holds the interpreter lock."""
        assert ctypes.PyDLL(None).system(f"echo holds > '{begun}'; read line < '{end}'".encode()) == 0


class Beside:
    """Another actor."""

    def process(self) -> int:
        """The process that it lives in."""
        return os.getpid()

    def sees(self, path: str) -> bool:
        """Whether a file is there now."""
        return Path(path).exists()


def _sizes(dice: random.Random) -> list[int]:
    """Sizes of the calls of one caller: most are small, few are as large as can be."""
    count = CALLS // CALLERS + 1
    sizes = [1, 40_000_000] + [dice.randint(1_000_000, 8_000_000) for _ in range(3)]
    sizes += [dice.randint(1, 10 ** dice.randint(1, 5)) for _ in range(count - len(sizes))]
    dice.shuffle(sizes)
    return sizes


def test_calls_of_each_caller_run_in_their_order_whatever_their_sizes(cluster: LocalCluster) -> None:
    dice = random.Random(2)
    data = bytes(40_000_000)
    plans = [_sizes(dice) for _ in range(CALLERS)]
    failures: list[BaseException] = []

    def call(caller: int) -> None:
        try:
            with Client(cluster) as client:
                actor: Any = client.get_actor("ordered")
                calls = [
                    actor.take(caller, n, size, data[:size]) for n, size in enumerate(plans[caller], 1)
                ]
                assert [call.result(WAIT_S) for call in calls] == list(range(1, len(calls) + 1))
        except BaseException as error:
            failures.append(error)

    with Client(cluster) as client:
        ordered: Any = client.actor(Ordered, name="ordered")
        callers = [threading.Thread(target=call, args=(n,)) for n in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert not failures, failures
        taken, total = ordered.total().result(WAIT_S)
        assert taken == {n: len(plan) for n, plan in enumerate(plans)}
        assert sum(taken.values()) >= CALLS
        assert total == sum(map(sum, plans))


class Pipes:
    """What a busy actor is watched and released through."""

    def __init__(self, directory: Path) -> None:
        self.paths = [str(directory / "begun"), str(directory / "end")]
        for path in self.paths:
            os.mkfifo(path)

    def begin(self, busy: Any, way: str) -> Any:
        """Has an actor be busy in this way, and waits until it is."""
        call = getattr(busy, way)(*self.paths)
        assert Path(self.paths[0]).read_text()
        return call

    def release(self) -> None:
        """Lets it go on."""
        Path(self.paths[1]).write_text("enough\n")


@pytest.fixture
def pipes(tmp_path: Path) -> Pipes:
    """Two named pipes."""
    return Pipes(tmp_path)


@pytest.fixture(scope="module")
def one_worker(daemons: None) -> Iterator[Client]:
    """A client of a cluster of one worker."""
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        yield client


@pytest.mark.parametrize("way", WAYS)
def test_a_busy_actor_holds_nobody_up_in_another_process(one_worker: Client, pipes: Pipes, way: str) -> None:
    busy: Any = one_worker.actor(Busy)
    beside: Any = one_worker.actor(Beside)
    call = pipes.begin(busy, way)
    for _ in range(BESIDE):
        assert beside.process().result(WAIT_S)
    assert not call.done()
    pipes.release()
    call.result(WAIT_S)


@pytest.mark.parametrize("way", ["sleep", "loop"])
def test_shared_actors_go_on_while_one_sleeps_or_computes(one_worker: Client, pipes: Pipes, way: str) -> None:
    busy: Any = one_worker.actor(Busy, isolation="shared")
    beside: Any = one_worker.actor(Beside, isolation="shared")
    call = pipes.begin(busy, way)
    for _ in range(BESIDE):
        assert beside.process().result(WAIT_S)
    assert not call.done()
    pipes.release()
    call.result(WAIT_S)


def test_shared_actors_wait_while_one_holds_the_interpreter_lock(
    one_worker: Client, pipes: Pipes, tmp_path: Path
) -> None:
    busy: Any = one_worker.actor(Busy, isolation="shared")
    beside: Any = one_worker.actor(Beside, isolation="shared")
    elsewhere: Any = one_worker.actor(Beside)
    released = tmp_path / "released"
    assert not beside.sees(str(released)).result(WAIT_S)
    call = pipes.begin(busy, "c")
    waits = beside.sees(str(released))
    for _ in range(BESIDE):
        assert not elsewhere.sees(str(released)).result(WAIT_S)
    released.touch()
    pipes.release()
    call.result(WAIT_S)
    assert waits.result(WAIT_S), "it ran while the lock was held"
