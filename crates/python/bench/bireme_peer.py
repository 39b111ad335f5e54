"""Bireme through Python, in the workloads and JSON lines that its peers are measured by.

    python bench/bireme_peer.py --only throughput,tree --repeats 5 >> lines.json

Each line has the median, least and greatest of the repeats. Daemons are those that `BIREME_BIN` names.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from dask._task_spec import Task, TaskRef

from bireme import Client, LocalCluster

_numbers = itertools.count()


class Workload(NamedTuple):
    """What is measured, with how many tasks, on how many workers and cpus of each."""

    run: Callable[[Client, int], None]
    sizes: tuple[int, ...]
    workers: int
    threads: int
    unit: str


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


def throughput(client: Client, n: int) -> None:
    """Calls that do nothing."""
    client.gather(client.map(noop, range(n), pure=False))


def sleep_map(client: Client, n: int) -> None:
    """Calls of 10 ms."""
    client.gather(client.map(rest, range(n), pure=False))


def round_trips(client: Client, n: int) -> None:
    """One call after the other's result."""
    for _ in range(n):
        client.submit(noop, pure=False).result()


def chain_submit(client: Client, n: int) -> None:
    """Calls each of which takes the result of the one before, submitted one by one."""
    future = client.submit(abs, 0, pure=False)
    for _ in range(1, n):
        future = client.submit(add, future, 1, pure=False)
    assert future.result() == n - 1


def merge(client: Client, n: int) -> None:
    """Many to one."""
    name = f"merge-{next(_numbers)}"
    graph: dict[Any, Task] = {(name, i): Task((name, i), noop, i) for i in range(n)}
    graph["end"] = Task("end", count, *(TaskRef((name, i)) for i in range(n)))
    assert client.get(graph, "end") == n


def tree(client: Client, n: int) -> None:
    """A binary tree with `n` leaves."""
    name, level, width = f"tree-{next(_numbers)}", 0, n
    graph = {(name, 0, i): Task((name, 0, i), abs, 1) for i in range(n)}
    while width > 1:
        level, width = level + 1, width // 2
        for i in range(width):
            left, right = (TaskRef((name, level - 1, 2 * i + side)) for side in (0, 1))
            graph[name, level, i] = Task((name, level, i), add, left, right)
    assert client.get(graph, (name, level, 0)) == n


def chain(client: Client, n: int) -> None:
    """Tasks each of which takes the result of the one before, in one graph."""
    name = f"chain-{next(_numbers)}"
    graph = {(name, 0): Task((name, 0), abs, 0)}
    for i in range(1, n):
        graph[name, i] = Task((name, i), add, TaskRef((name, i - 1)), 1)
    assert client.get(graph, (name, n - 1)) == n - 1


def stencil(client: Client, n: int) -> None:
    """A square of side `n`, each of which takes its neighbours above and to the left."""
    name, graph = f"stencil-{next(_numbers)}", {}
    for i, j in itertools.product(range(n), repeat=2):
        near = [TaskRef((name, a, b)) for a, b in ((i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        graph[name, i, j] = Task((name, i, j), count, *near)
    assert client.get(graph, (name, n - 1, n - 1)) == 2


WORKLOADS = {
    "rtt": Workload(round_trips, (500,), 1, 1, "us/task"),
    "throughput": Workload(throughput, (10_000, 100_000), 2, 1, "us/task"),
    "merge": Workload(merge, (8_000,), 2, 1, "us/task"),
    "tree": Workload(tree, (2**15,), 2, 1, "us/task"),
    "chain": Workload(chain, (2_000,), 2, 1, "us/task"),
    "chain_submit": Workload(chain_submit, (2_000,), 2, 1, "us/task"),
    "stencil": Workload(stencil, (100,), 2, 1, "us/task"),
    "sleep_map": Workload(sleep_map, (2_000,), 2, 4, "s"),
}

#: How many tasks a size means, where it is not the size itself.
TASKS = {"tree": lambda n: 2 * n - 1, "stencil": lambda n: n * n, "merge": lambda n: n + 1}


def measure(name: str, repeats: int) -> Iterator[dict[str, Any]]:
    """The lines of a workload."""
    work = WORKLOADS[name]
    for n in work.sizes:
        tasks = TASKS.get(name, lambda n: n)(n)
        with LocalCluster(work.workers, work.threads) as cluster, Client(cluster) as client:
            throughput(client, 64)  # Its processes are started and warm.
            taken = []
            for _ in range(repeats):
                before = time.perf_counter()
                work.run(client, n)
                taken.append(time.perf_counter() - before)
        scale = 1e6 / tasks if work.unit == "us/task" else 1.0
        values = [scale * wall for wall in taken]
        yield {
            "peer": "bireme-python",
            "workload": name,
            "n": n,
            "median": round(statistics.median(values), 4),
            "min": round(min(values), 4),
            "max": round(max(values), 4),
            "unit": work.unit,
            "repeats": repeats,
            "workers": work.workers,
            "threads": work.threads,
        }


def main() -> None:
    """Measures what it is told to, and prints a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="names of workloads, separated by commas")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.only.split(","):
        for line in measure(name, arguments.repeats):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
