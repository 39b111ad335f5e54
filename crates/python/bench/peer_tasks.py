"""Tasks: one at a time, many at once, and graphs of the usual shapes."""

from __future__ import annotations

import itertools
from typing import Any

from bodies import add, count, noop, rest
from dask._task_spec import Task, TaskRef
from lines import Bench, warm, workload
from pinned import rounds

from bireme import Client

_numbers = itertools.count()


@workload("rtt", 200, topology=(1, 1))
def rtt(bench: Bench) -> None:
    """One call after the other's result, beside a bare exchange over TCP."""
    rounds(bench, lambda client: {"": lambda: client.submit(noop, pure=False).result()})


@workload("throughput", 10_000, 100_000)
def throughput(bench: Bench) -> None:
    """Calls that do nothing."""
    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        bench.timed(bench.n, lambda: client.gather(client.map(noop, range(bench.n), pure=False)))


@workload("merge", 8_000)
def merge(bench: Bench) -> None:
    """Many to one."""

    def run(client: Client, n: int) -> None:
        name = f"merge-{next(_numbers)}"
        graph: dict[Any, Task] = {(name, i): Task((name, i), noop, i) for i in range(n)}
        graph["end"] = Task("end", count, *(TaskRef((name, i)) for i in range(n)))
        assert client.get(graph, "end") == n

    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        bench.timed(bench.n + 1, lambda: run(client, bench.n))


@workload("tree", 2**15)
def tree(bench: Bench) -> None:
    """A binary tree with so many leaves."""

    def run(client: Client, n: int) -> None:
        name, level, width = f"tree-{next(_numbers)}", 0, n
        graph = {(name, 0, i): Task((name, 0, i), abs, 1) for i in range(n)}
        while width > 1:
            level, width = level + 1, width // 2
            for i in range(width):
                left, right = (TaskRef((name, level - 1, 2 * i + side)) for side in (0, 1))
                graph[name, level, i] = Task((name, level, i), add, left, right)
        assert client.get(graph, (name, level, 0)) == n

    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        bench.timed(2 * bench.n - 1, lambda: run(client, bench.n))


@workload("chain", 2_000)
def chain(bench: Bench) -> None:
    """Tasks each of which takes the result of the one before, in one graph."""

    def run(client: Client, n: int) -> None:
        name = f"chain-{next(_numbers)}"
        graph = {(name, 0): Task((name, 0), abs, 0)}
        for i in range(1, n):
            graph[name, i] = Task((name, i), add, TaskRef((name, i - 1)), 1)
        assert client.get(graph, (name, n - 1)) == n - 1

    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        bench.timed(bench.n, lambda: run(client, bench.n))


@workload("chain_submit", 2_000)
def chain_submit(bench: Bench) -> None:
    """The same, submitted one by one."""

    def run(client: Client, n: int) -> None:
        future = client.submit(abs, 0, pure=False)
        for _ in range(1, n):
            future = client.submit(add, future, 1, pure=False)
        assert future.result() == n - 1

    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        bench.timed(bench.n, lambda: run(client, bench.n))


@workload("stencil", 100)
def stencil(bench: Bench) -> None:
    """A square of such a side, each task of which takes its neighbours above and to the left."""

    def run(client: Client, n: int) -> None:
        name, graph = f"stencil-{next(_numbers)}", {}
        for i, j in itertools.product(range(n), repeat=2):
            near = [TaskRef((name, a, b)) for a, b in ((i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
            graph[name, i, j] = Task((name, i, j), count, *near)
        assert client.get(graph, (name, n - 1, n - 1)) == 2

    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        bench.timed(bench.n * bench.n, lambda: run(client, bench.n))


@workload("sleep_map", 2_000, topology=(2, 4))
def sleep_map(bench: Bench) -> None:
    """Calls of 10 ms, and how much of the cpus' time they take up."""
    with bench.cluster() as cluster, Client(cluster) as client:
        client.gather(client.map(rest, range(16 * bench.workers * bench.threads), pure=False))
        warm(client)
        walls = bench.seconds(lambda: client.gather(client.map(rest, range(bench.n), pure=False)))
        bench.emit(walls, "s")
        least = bench.n * 0.01 / (bench.workers * bench.threads)
        bench.emit([100 * least / wall for wall in walls], "%", "_efficiency")
