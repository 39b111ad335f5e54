"""dask collections on the cluster: the same results as on dask's own scheduler."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bireme import Client, get_worker
from calls import add, increment, note

dask = pytest.importorskip("dask")

from bireme.dask import _SHARED_CALLS, _SHARED_SUBGRAPHS, use  # noqa: E402 - it loads dask.


def here() -> int:
    return os.getpid()


def test_get_fills_lists_of_keys(client: Client) -> None:
    graph: dict[Any, Any] = {"x": 1, ("y", 0): (increment, "x"), "z": (add, ("y", 0), "x"), "other": "z"}
    assert client.get(graph, "z") == 3
    assert client.get(graph, [["x", ("y", 0)], "other"]) == [[1, 2], 3]
    [future] = client.get(graph, ["z"], sync=False)
    assert future.result() == 3
    with pytest.raises(KeyError, match="missing"):
        client.get({"a": (increment, "b")}, "missing")


def test_delayed(client: Client, tmp_path: Path) -> None:
    path = str(tmp_path / "runs")
    parts = [dask.delayed(note)(path, n) for n in range(10)]
    assert dask.delayed(sum)(parts).compute(scheduler=client) == 45
    assert len(Path(path).read_text().splitlines()) == 10
    assert dask.delayed(here)().compute(scheduler=client.get) != os.getpid()


def test_arrays(client: Client) -> None:
    array = pytest.importorskip("dask.array")
    x = array.arange(10_000, chunks=1_000).reshape(100, 100).rechunk(25)
    total = (x + x.T).sum()
    with dask.config.set(scheduler=client.get):
        assert total.compute() == total.compute(scheduler="synchronous") == 99_990_000


def test_bags(client: Client) -> None:
    bag = pytest.importorskip("dask.bag")
    words = bag.from_sequence(["a b a", "b a"], npartitions=2).map(str.split).flatten()
    assert dict(words.frequencies().compute(scheduler=client.get)) == {"a": 3, "b": 2}


def test_dataframes(client: Client) -> None:
    pandas = pytest.importorskip("pandas")
    dataframe = pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame({"name": list("abab") * 25, "value": range(100)})
    split = dataframe.from_pandas(frame, npartitions=4)
    grouped = split.groupby("name").value.mean()
    there, here = (grouped.compute(scheduler=scheduler).sort_index() for scheduler in (client.get, "synchronous"))
    pandas.testing.assert_series_equal(there, here)
    undo = use(client)
    try:
        shuffled = split.shuffle("name")
        assert not any("disk" in str(key) for key in shuffled.optimize().__dask_graph__())
        assert sorted(shuffled.compute().value) == list(range(100))
    finally:
        undo()


def test_compute_and_persist(client: Client) -> None:
    array = pytest.importorskip("dask.array")
    x = array.ones((100, 100), chunks=50)
    future, plain = client.compute([x.sum(), 5])
    assert (future.result(), plain) == (10_000, 5)
    assert client.compute(x.sum(), sync=True) == 10_000
    kept = client.persist(x + 1)
    assert kept.sum().compute(scheduler=client.get) == 20_000
    both = client.persist([x, kept])
    assert [part.shape for part in both] == [(100, 100), (100, 100)]


def test_a_client_is_what_dask_computes_with(client: Client) -> None:
    assert dask.delayed(here)().compute() != os.getpid()


def test_an_exception_in_a_graph_is_raised(client: Client) -> None:
    def fail(x: int) -> None:
        raise LookupError(f"not {x}")

    with pytest.raises(LookupError, match="not 3"):
        dask.delayed(fail)(dask.delayed(increment)(2)).compute(scheduler=client.get)


def test_annotations_are_honoured(client: Client) -> None:
    workers = [worker["name"] for worker in client.scheduler_info()["workers"].values()]
    for name in workers:
        with dask.annotate(workers=[name], priority=3, retries=1):
            parts = [dask.delayed(os.getppid)(dask_key_name=f"{name}-{n}") for n in range(4)]
        found = client.gather(client.compute(parts, optimize_graph=False))
        assert len(set(found)) == 1


def which_function(_: Any) -> Any:
    """By what the cluster knows what it runs."""
    return get_worker().attempt.given.function


def test_nodes_that_only_call_are_calls(client: Client) -> None:
    from dask._task_spec import List, Task, TaskRef

    numbers = range(2 * _SHARED_CALLS)
    graph: dict[Any, Any] = {("one", n): Task(("one", n), add, n, y=n) for n in numbers}
    graph |= {("two", n): Task(("two", n), add, TaskRef(("one", n)), y=TaskRef(("one", n))) for n in numbers}
    graph["all"] = Task("all", sum, List(*(TaskRef(("two", n)) for n in numbers)))
    assert client.get(graph, "all") == 4 * sum(numbers)

    graph = {n: Task(n, which_function, n) for n in numbers}
    functions = client.get(graph, list(numbers))
    assert len(set(functions)) == 2, "few calls are not worth the upload of a function, many are"
    assert len(set(functions[_SHARED_CALLS:])) == 1


def with_function(value: Any) -> tuple[Any, Any]:
    """What it is given, and by what the cluster knows what it runs."""
    return value, which_function(value)


def test_a_subgraph_that_many_nodes_run_is_a_function(client: Client) -> None:
    from dask._task_spec import Task, TaskRef, _execute_subgraph

    numbers = range(2 * _SHARED_SUBGRAPHS)
    inner = {"out": Task("out", with_function, TaskRef("in"))}
    run = (_execute_subgraph, inner, "out", ("in",))
    graph: dict[Any, Any] = {("one", n): Task(("one", n), increment, n) for n in numbers}
    graph |= {("two", n): Task(("two", n), *run, TaskRef(("one", n))) for n in numbers}
    graph |= {("three", n): Task(("three", n), *run, n) for n in numbers}
    twos, threes = client.get(graph, [[(row, n) for n in numbers] for row in ("two", "three")])
    assert [value for value, _ in twos] == [n + 1 for n in numbers]
    assert [value for value, _ in threes] == list(numbers)
    functions = [function for _, function in twos + threes]
    assert len(set(functions)) == 2 and functions.count(functions[-1]) > _SHARED_SUBGRAPHS


def test_a_subgraph_that_has_a_future_is_no_function(client: Client) -> None:
    from dask._task_spec import Task, TaskRef, _execute_subgraph

    numbers = range(2 * _SHARED_SUBGRAPHS)
    inner = {"out": Task("out", add, TaskRef("in"), client.submit(increment, 9))}
    graph: dict[Any, Any] = {n: Task(n, _execute_subgraph, inner, "out", ("in",), n) for n in numbers}
    assert list(client.get(graph, list(numbers))) == [n + 10 for n in numbers]


def test_a_cycle_is_refused(client: Client) -> None:
    from dask._task_spec import Task, TaskRef

    graph = {"a": Task("a", increment, TaskRef("b")), "b": Task("b", increment, TaskRef("a"))}
    with pytest.raises(ValueError, match="a graph has no cycles"):
        client.get(graph, "a")
