"""Calls, their arguments and results."""

from __future__ import annotations

import asyncio
import os
from operator import add as plus
from pathlib import Path
from typing import Any

import pytest

from bireme import Client, LocalCluster, RemoteTraceback, TaskCancelled
from calls import add, increment, nested, note, process, read, refuse


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_a_call_runs_in_another_process(client: Client) -> None:
    assert client.submit(increment, 1).result() == 2
    assert client.submit(process).result() != os.getpid()


def test_map_takes_several_iterables_and_shared_arguments(client: Client) -> None:
    assert client.gather(client.map(plus, [1, 2, 3], [10, 20, 30])) == [11, 22, 33]
    assert client.gather(client.map(add, range(3), y=5, batch_size=2)) == [5, 6, 7]
    shared = client.map(add, [b"x", b"y"], y=b"0" * 100_000)
    assert [len(value) for value in client.gather(shared)] == [100_001, 100_001]


def test_many_calls(client: Client) -> None:
    assert client.gather(client.map(increment, range(2_000), pure=False)) == list(range(1, 2_001))


def test_futures_are_arguments_at_any_depth(client: Client) -> None:
    one, two = client.map(increment, [0, 1])
    nested = client.submit(lambda value: value["a"][0] + value["b"][1][0], {"a": [one], "b": (0, (two,))})
    assert nested.result() == 3
    chain = client.submit(increment, 0)
    for _ in range(300):
        chain = client.submit(increment, chain)
    assert chain.result() == 301


def test_a_future_of_an_earlier_batch_is_an_argument(client: Client) -> None:
    first = client.submit(increment, 1)
    assert first.result() == 2
    assert client.submit(plus, first, first).result() == 4


def test_equal_pure_calls_share_a_task(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "runs"
    futures = [client.submit(note, str(path), 7) for _ in range(3)]
    assert len({future.key for future in futures}) == 1
    assert client.gather(futures) == [7, 7, 7]
    assert lines(path) == 1
    impure = [client.submit(note, str(path), 7, pure=False) for _ in range(2)]
    assert client.gather(impure) == [7, 7]
    assert lines(path) == 3


def test_a_key_names_a_task(client: Client) -> None:
    future = client.submit(increment, 1, key="the-key")
    assert future.key == "the-key"
    assert client.submit(increment, 5, key="the-key").result() == 2
    assert [f.key for f in client.map(increment, [1, 2], key=["a", "b"])] == ["a", "b"]
    with pytest.raises(ValueError, match="1 keys for 2 calls"):
        client.map(increment, [1, 2], key=["a"])


def test_gather_fills_containers(client: Client) -> None:
    one, two = client.map(increment, [0, 1])
    assert client.gather({"x": one, "y": [two, 5]}) == {"x": 1, "y": [2, 5]}
    assert client.gather((one, {"z": two})) == (1, {"z": 2})
    assert client.gather([]) == []
    assert client.gather(one) == 1


def test_an_exception_is_raised_as_it_was(client: Client) -> None:
    future = client.submit(refuse, "no luck")
    with pytest.raises(ValueError, match="no luck") as raised:
        future.result()
    assert isinstance(raised.value.__cause__, RemoteTraceback)
    assert "in refuse" in str(raised.value.__cause__)
    assert future.status == "error"
    assert isinstance(future.exception(), ValueError)
    dependent = client.submit(increment, future)
    with pytest.raises(ValueError, match="no luck"):
        dependent.result()


def test_gather_skips_what_failed(client: Client) -> None:
    good, bad = client.submit(increment, 1), client.submit(refuse, "bad")
    with pytest.raises(ValueError, match="bad"):
        client.gather([good, bad])
    assert client.gather([good, bad], errors="skip") == [2]
    with pytest.raises(ValueError, match="errors is 'ignore'"):
        client.gather([good], errors="ignore")  # type: ignore[arg-type]


def test_scattered_values(client: Client) -> None:
    text = client.scatter("words " * 10_000)
    assert text.result() == "words " * 10_000
    assert client.submit(len, text).result() == 60_000
    assert client.gather(client.map(plus, client.scatter([1, 2]), [10, 10])) == [11, 12]
    by_name = client.scatter({"a": 1, "b": [2]})
    assert client.gather(by_name) == {"a": 1, "b": [2]}
    assert client.scatter("same").key == client.scatter("same").key
    assert client.scatter("same", hash=False).key != client.scatter("same", hash=False).key


def test_arrays_come_and_go(client: Client) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(1_000_000, dtype="f8")
    there = client.scatter(array)
    doubled = client.submit(plus, there, there)
    assert numpy.array_equal(doubled.result(), array * 2)
    small = numpy.arange(2_000)
    future = client.submit(numpy.sum, small)
    small[:] = 0  # What was sent is what it was then.
    assert future.result() == 1_999_000


def test_only_what_may_change_does_not_wait_for_company(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    link = client._live()
    send, sent = link.send, []

    def note(task: Any, timeout: float | None = None) -> None:
        sent.append(task.key)
        send(task, timeout)

    monkeypatch.setattr(link, "send", note)
    texts = client.map(len, [bytes(5_000 + n) for n in range(5)])
    assert not sent, "each made a batch of its own"
    array = client.submit(len, numpy.zeros(5_000), pure=False)
    assert sent == [array.key]
    assert client.gather([*texts, array]) == [5_000, 5_001, 5_002, 5_003, 5_004, 5_000]


@pytest.mark.parametrize("apart", [False, True])
def test_a_cancelled_task_says_so(client: Client, tmp_path: Path, apart: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    waiting = client.submit(read, str(pipe))
    if apart:  # What was submitted is sent for this: what follows is of another graph.
        assert client.submit(len, "a").result(30) == 1
    dependent = client.submit(len, waiting)
    client.cancel(waiting)
    assert waiting.cancelled()
    for future in (waiting, dependent):
        with pytest.raises(TaskCancelled):
            future.result(30)


def test_waiting_for_a_result_ends_in_time(client: Client, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    future = client.submit(read, str(pipe))
    with pytest.raises(TimeoutError):
        future.result(timeout="10ms")
    assert not future.done()
    pipe.write_text("done")
    assert future.result() == "done"


def test_calls_go_where_they_are_told(client: Client) -> None:
    names = [worker["name"] for worker in client.scheduler_info()["workers"].values()]
    assert len(names) == 2
    for name in names:
        first = client.gather(client.map(process, range(4), workers=[name], pure=False))
        second = client.gather(client.map(process, range(4), workers=name, pure=False))
        assert set(first) == set(second)


def test_a_task_submits_tasks(client: Client) -> None:
    assert client.submit(nested, 1).result() == 12


def test_run_calls_on_every_worker(client: Client) -> None:
    answers = client.run(increment, 1)
    assert answers == dict.fromkeys(client.nthreads(), 2)
    with pytest.raises(ValueError, match="everywhere"):
        client.run(refuse, "everywhere")
    assert all(isinstance(error, ValueError) for error in client.run(refuse, "x", on_error="return").values())


def test_the_cluster_is_described(client: Client, cluster: LocalCluster) -> None:
    client.wait_for_workers(2, timeout=30)
    assert sorted(client.nthreads().values()) == [1, 1]
    assert client.scheduler_info()["total_threads"] == 2
    assert "2 workers" in repr(client)
    assert "<table>" in client._repr_html_()
    with pytest.raises(TimeoutError, match="2 of 3 workers"):
        client.wait_for_workers(3, timeout="10ms")
    assert cluster.scheduler_address in repr(cluster)


def test_a_closed_client_refuses(cluster: LocalCluster) -> None:
    client = Client(cluster)
    client.close()
    client.close()
    assert client.status == "closed"
    with pytest.raises(RuntimeError, match="closed"):
        client.submit(increment, 1)


def test_what_is_no_function_is_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="first argument is a int"):
        client.submit(1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="made of a class"):
        client.submit(increment, 1, actor=True)


def test_an_asynchronous_client(cluster: LocalCluster) -> None:
    async def work() -> None:
        async with Client(cluster, asynchronous=True) as client:
            futures = client.map(increment, range(5))
            assert await client.gather(futures) == [1, 2, 3, 4, 5]
            assert await futures[0] == 1
            assert await futures[1].result() == 2
            with pytest.raises(ValueError, match="no luck"):
                await client.submit(refuse, "no luck")
            stored = await client.scatter([1, 2])
            assert await client.submit(plus, *stored) == 3

    asyncio.run(work())
