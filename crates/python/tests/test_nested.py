"""Tasks that submit tasks and wait for them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bireme import (
    Client,
    LocalCluster,
    ProcessDied,
    TaskCancelled,
    WouldDeadlock,
    as_completed,
    get_client,
    get_worker,
    rejoin,
    secede,
    wait,
    worker_client,
)
from calls import increment


@pytest.fixture(scope="module")
def lone() -> Iterator[Client]:
    """A client of a cluster that has one cpu."""
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


def fib(n: int) -> int:
    if n < 2:
        return n
    with worker_client() as client:
        return sum(client.gather([client.submit(fib, n - 1, pure=False), client.submit(fib, n - 2, pure=False)]))


def deep(levels: int) -> int:
    return 0 if levels == 0 else int(get_client().submit(deep, levels - 1).result()) + 1


def squares(count: int) -> int:
    client = get_client()
    return sum(client.gather(client.map(pow, range(count), [2] * count)))


def test_fib_of_tasks_on_one_cpu(lone: Client) -> None:
    assert lone.submit(fib, 6).result(60) == 8


def test_many_tasks_map_on_two_workers(client: Client) -> None:
    assert client.gather(client.map(squares, range(12))) == [sum(n * n for n in range(count)) for count in range(12)]


def test_twenty_deep_on_one_cpu(lone: Client) -> None:
    assert lone.submit(deep, 20).result(100) == 20


def waits_otherwise(how: str) -> int:
    client = get_client()
    futures = client.map(increment, range(3))
    if how == "wait":
        return len(wait(futures).done)
    if how == "as_completed":
        return sum(int(future.result()) for future in as_completed(futures))
    if how == "exception":
        return sum(future.exception() is None for future in futures)
    secede()
    results = client.gather(futures)
    rejoin()
    return sum(results)


@pytest.mark.parametrize(("how", "expected"), [("wait", 3), ("as_completed", 6), ("exception", 3), ("secede", 6)])
def test_every_way_to_wait_lets_others_run(lone: Client, how: str, expected: int) -> None:
    assert lone.submit(waits_otherwise, how).result(60) == expected


async def awaits() -> int:
    client = get_client()
    return sum(await asyncio.gather(*[client.submit(increment, n) for n in range(2)]))


def test_a_coroutine_awaits_tasks(lone: Client) -> None:
    assert lone.submit(awaits).result(60) == 3


def test_no_more_may_wait_than_the_limit() -> None:
    options = ["--waiting-executors", "3"]
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, worker_options=options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert client.submit(deep, 3).result(60) == 3
        with pytest.raises(WouldDeadlock) as raised:
            client.submit(deep, 5).result(60)
        assert "--waiting-executors" in str(raised.value) and "deep-" in str(raised.value)
        # It is over for those inside only: there is room again.
        assert client.submit(deep, 2).result(60) == 2


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def outlives_a_child() -> str:
    try:
        get_client().submit(dies, max_crashes=0).result()
    except ProcessDied as error:
        return error.reason
    return "nothing"


def test_a_killed_child_is_its_parents_to_deal_with(lone: Client) -> None:
    assert lone.submit(outlives_a_child).result(60) == "PROCESS_DIED"


def is_patient(started: str, ended: str) -> None:
    Path(started).touch()
    get_worker().wait_cancelled(60)
    Path(ended).touch()


def has_a_patient_child(started: str, ended: str) -> None:
    get_client().submit(is_patient, started, ended).result()


def until(condition: Any) -> None:
    """Waits, as long as the guard allows."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


def test_what_a_cancelled_task_waits_for_is_cancelled(lone: Client, tmp_path: Path) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    future = lone.submit(has_a_patient_child, str(started), str(ended))
    until(started.exists)
    future.cancel()
    # The only cpu is free for it once both are gone.
    assert lone.submit(increment, 1).result(60) == 2
    with pytest.raises(TaskCancelled):
        future.result(60)


def leaves_a_child(started: str, ended: str) -> int:
    client = get_client()
    child = client.submit(is_patient, started, ended)
    secede()
    until(Path(started).exists)
    assert not child.done()
    return 1


def test_what_a_task_leaves_behind_is_dropped(lone: Client, tmp_path: Path) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    assert lone.submit(leaves_a_child, str(started), str(ended)).result(60) == 1
    assert lone.submit(increment, 3).result(60) == 4


def test_there_is_no_client_of_a_task_outside_of_tasks() -> None:
    with pytest.raises(ValueError, match="no task runs"):
        secede()
    with pytest.raises(ValueError, match="no task runs"), worker_client():
        pass
