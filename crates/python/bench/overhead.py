"""What a cluster adds to the work of dask collections, here or on dask's own scheduler.

    python bench/overhead.py --cluster bireme --only shuffle,array --repeats 5 --out lines.jsonl

Overhead is the time that a program waits less what the tasks ran in all, divided by the cores. A task runs from when its
process begins to read what it takes until what it makes is encoded, so that Bireme's copies of results into shared memory
count as overhead; `called` counts only the calls of its function, which is all that dask.distributed counts as its tasks'
time, and the overhead by that is the larger one. Two workers have a core each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import dask.array
import dask.bag
import dask.datasets
import pandas as pd
from bodies import add, remainder, take_spent, watch_executor

#: Workers of one core each.
CORES = 2


def shuffle(days: int = 30) -> object:
    """Rows of a time series, together by their ids, by dask's tasks."""
    return _series(days).shuffle("id", shuffle_method="tasks").map_partitions(len).sum().compute()


def shuffle_own_way(days: int = 30) -> object:
    """The same in the way that dask.distributed prefers; elsewhere there is only the other."""
    return _series(days).shuffle("id", shuffle_method="p2p").map_partitions(len).sum().compute()


def groupby(days: int = 30) -> object:
    """Means by name."""
    return _series(days).groupby("name").x.mean().compute()


def bag(items: int = 400_000) -> object:
    """Sums by remainder."""
    pieces = dask.bag.range(items, npartitions=40)
    return pieces.foldby(remainder, add, 0, add, 0).compute()


def array(n: int = 10_000) -> object:
    """A square array and its transpose, added and summed, in 400 chunks."""
    made = dask.array.random.random((n, n), chunks=(n // 20, n // 20))
    return (made + made.T).sum().compute()


COLLECTIONS: dict[str, Callable[[], object]] = {
    one.__name__: one for one in (shuffle, shuffle_own_way, groupby, bag, array)
}


def _series(days: int) -> Any:
    end = pd.Timestamp("2000-01-01") + pd.Timedelta(days=days)
    options = {"freq": "1s", "partition_freq": "1D", "seed": 1}
    return dask.datasets.timeseries(start="2000-01-01", end=end.strftime("%Y-%m-%d"), **options)


#: Says what tasks have taken since it was last asked: in all, and of that in their functions.
Meter = Callable[[], tuple[float, float]]


@contextmanager
def of_bireme() -> Iterator[Meter]:
    """A cluster of Bireme's, each of whose workers has one process for tasks, which is asked."""
    from bireme import Client, LocalCluster

    with LocalCluster(CORES, 1) as cluster, Client(cluster) as client:
        client.run(watch_executor)

        def meter() -> tuple[float, float]:
            told = client.run(take_spent).values()
            return sum(ran for ran, _ in told), sum(called for _, called in told)

        yield meter


@contextmanager
def of_dask() -> Iterator[Meter]:
    """A cluster of dask.distributed's, whose scheduler is told when tasks began and ended."""
    # It need not be there for the rest.
    distributed: Any = import_module("distributed")
    get_task_stream = distributed.get_task_stream
    options = {"processes": True, "dashboard_address": None, "memory_limit": 0}
    with (
        distributed.LocalCluster(n_workers=CORES, threads_per_worker=1, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        streams = [get_task_stream(client)]
        streams[0].__enter__()

        def meter() -> tuple[float, float]:
            streams[0].__exit__(None, None, None)
            steps = [step for task in streams[0].data for step in task["startstops"]]
            streams[0] = get_task_stream(client)
            streams[0].__enter__()
            called = sum(step["stop"] - step["start"] for step in steps if step["action"] == "compute")
            return sum(step["stop"] - step["start"] for step in steps), called

        yield meter


CLUSTERS = {"bireme": of_bireme, "dask": of_dask}

#: By what lines know them.
NAMES = {"bireme": "bireme-python", "dask": "dask"}


def measure(compute: Callable[[], object], meter: Meter, repeats: int) -> dict[str, float]:
    """Medians, in seconds. The first time is not counted: processes have to import what they need."""
    found: list[tuple[float, float, float]] = []
    for _ in range(repeats + 1):
        meter()
        before = time.perf_counter()
        compute()
        wall = time.perf_counter() - before
        found.append((wall, *meter()))
    walls, runs, calls = zip(*found[1:], strict=True)
    by_run = [wall - run / CORES for wall, run in zip(walls, runs, strict=True)]
    by_call = [wall - call / CORES for wall, call in zip(walls, calls, strict=True)]
    figures = {"wall_s": walls, "run_s": runs, "called_s": calls, "overhead_s": by_run, "overhead_called_s": by_call}
    return {name: round(statistics.median(values), 4) for name, values in figures.items()}


def main() -> None:
    """Measures what the command line says, and prints a line for each collection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", choices=CLUSTERS, default="bireme")
    parser.add_argument("--only", default="shuffle,groupby,bag,array", help="names of collections, separated by commas")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=argparse.FileType("a"), default="-", help="file for the lines")
    given = parser.parse_args()
    with CLUSTERS[given.cluster]() as meter:
        for name in given.only.split(","):
            figures = measure(COLLECTIONS[name], meter, given.repeats)
            line = {"peer": NAMES[given.cluster], "workload": f"overhead_{name}", "repeats": given.repeats, **figures}
            print(json.dumps(line), file=given.out, flush=True)


if __name__ == "__main__":
    main()
