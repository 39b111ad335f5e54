"""Futures and waiting for them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pickle
import queue
from pathlib import Path

import pytest

from bireme import Client, LocalCluster, as_completed, fire_and_forget, wait
from calls import increment, note, read, refuse


def test_it_knows_its_state(client: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    future = client.submit(read, str(pipe))
    assert future.status == "pending"
    assert not future.done()
    assert f"pending, key: {future.key}" in repr(future)
    pipe.write_text("x")
    wait(future)
    assert future.done()
    assert future.status == "finished"
    assert future.exception() is None
    assert future.traceback() is None
    assert "finished" in future._repr_html_()


def test_callbacks_are_called_before_and_after_the_end(client: Client) -> None:
    called: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    future = client.submit(increment, 1)
    future.add_done_callback(lambda ended: called.put(("early", ended.result())))
    assert called.get(timeout=30) == ("early", 2)
    future.add_done_callback(lambda ended: called.put(("late", ended.result())))
    assert called.get(timeout=30) == ("late", 2)


def fail_at(path: str) -> None:
    note(path, 1)
    raise ValueError(path)


def test_what_failed_and_is_held_no_more_is_tried_again_at_once(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "runs"
    # What was raised holds neither the future nor the task by a circle, which would last until garbage is collected.
    gc.disable()
    try:
        for _ in range(3):
            with contextlib.suppress(ValueError):
                client.submit(fail_at, str(path)).result()
    finally:
        gc.enable()
    assert len(path.read_text().splitlines()) == 3


def test_a_released_future_has_no_result(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "runs"
    future = client.submit(note, str(path), 1)
    assert future.result() == 1
    future.release()
    assert future.status == "released"
    with pytest.raises(RuntimeError, match="has been released"):
        future.result()
    gc.collect()
    # Nobody holds the task any more, so that it is made again.
    assert client.submit(note, str(path), 1).result() == 1
    assert len(path.read_text().splitlines()) == 2


def test_it_cannot_be_pickled_outside_of_arguments(client: Client) -> None:
    with pytest.raises(TypeError, match="only the arguments of a task"):
        pickle.dumps(client.submit(increment, 1))


def test_wait_for_all_and_for_the_first(client: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    slow, quick = client.submit(read, str(pipe)), client.submit(increment, 1)
    done, not_done = wait([slow, quick], return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({quick}, {slow})
    with pytest.raises(TimeoutError, match="1 of 2 tasks"):
        wait([slow, quick], timeout="10ms")
    bad = client.submit(refuse, "bad")
    assert bad in wait([slow, bad], return_when="FIRST_EXCEPTION").done
    pipe.write_text("x")
    assert wait([slow, quick, bad]).not_done == set()
    assert wait([]) == (set(), set())


def test_futures_come_as_they_end(client: Client) -> None:
    futures = client.map(increment, range(50), pure=False)
    assert {future.result() for future in as_completed(futures)} == set(range(1, 51))
    assert {value for _, value in as_completed(futures, with_results=True)} == set(range(1, 51))
    assert sum(len(batch) for batch in as_completed(futures).batches()) == 50


def test_futures_may_be_added_while_others_come(client: Client) -> None:
    coming = as_completed([client.submit(increment, 0)])
    seen = []
    for future in coming:
        seen.append(future.result())
        if len(seen) < 5:
            coming.add(client.submit(increment, future))
    assert seen == [1, 2, 3, 4, 5]
    assert coming.is_empty()


def test_errors_come_too(client: Client) -> None:
    bad = client.submit(refuse, "bad")
    with pytest.raises(ValueError, match="bad"):
        next(as_completed([bad], with_results=True))
    [(_, error)] = as_completed([bad], with_results=True, raise_errors=False)
    assert isinstance(error, ValueError)


def test_they_come_asynchronously(cluster: LocalCluster) -> None:
    async def work() -> set[int]:
        async with Client(cluster, asynchronous=True) as client:
            futures = client.map(increment, range(20))
            await wait(futures)
            assert {await future for future in futures} == set(range(1, 21))
            return {value async for _, value in as_completed(futures, with_results=True)}

    assert asyncio.run(work()) == set(range(1, 21))


def test_what_is_fired_and_forgotten_runs(client: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    fire_and_forget(client.submit(Path.write_text, pipe, "done", pure=False))
    gc.collect()
    assert pipe.read_text() == "done"
