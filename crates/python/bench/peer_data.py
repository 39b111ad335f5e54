"""Data on its way, dask collections, what a future weighs, and how long a program waits for its first result."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import dask.datasets
import numpy as np
import pandas as pd
from bodies import make_bytes, size_of
from lines import Bench, warm, workload

from bireme import Client, wait

_MIB = 2**20

#: A whole program: what it costs to begin.
_FIRST = """
import bireme
with bireme.Client() as client:
    assert client.submit(abs, -1).result() == 1
    print("there", flush=True)
"""


def _copied(array: Any) -> float:
    """How fast memory is copied here, in MiB/s."""
    target = np.empty_like(array)
    target[:] = array
    before = time.perf_counter()
    target[:] = array
    return float(array.nbytes / _MIB / (time.perf_counter() - before))


@workload("scatter_gather", 256)
def scatter_gather(bench: Bench) -> None:
    """An array there and back, beside a copy of it within this process."""
    array = make_bytes(bench.n * _MIB, 0)
    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        scattered, gathered, ratios = [], [], []
        # The first one fills the pool.
        for _ in range(bench.repeats + 1):
            copied, begun = _copied(array), time.perf_counter()
            future = client.scatter(array, hash=False)
            there = time.perf_counter()
            back = client.gather(future)
            scattered.append(bench.n / (there - begun))
            gathered.append(bench.n / (time.perf_counter() - there))
            ratios.append(scattered[-1] / copied)
            assert len(back) == len(array)
            del future, back
        bench.emit(scattered[1:], "MiB/s", "_scatter")
        bench.emit(ratios[1:], "x", "_scatter_to_memcpy")
        bench.emit(gathered[1:], "MiB/s", "_gather")


@workload("transfer_big", 256)
def transfer_big(bench: Bench) -> None:
    """An array from a task on one worker to a task on the other."""
    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        first, second = sorted(client.scheduler_info()["workers"])
        speeds = []
        for seed in range(bench.repeats + 1):
            array = client.submit(make_bytes, bench.n * _MIB, seed, pure=False, workers=[first])
            wait(array)
            before = time.perf_counter()
            size = client.submit(size_of, array, pure=False, workers=[second]).result()
            speeds.append(bench.n / (time.perf_counter() - before))
            assert size == bench.n * _MIB
            del array
        bench.emit(speeds[1:], "MiB/s")


@workload("pending_memory", 100_000, topology=(1, 1))
def pending_memory(bench: Bench) -> None:
    """What this process grows by for each future that waits."""
    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        blocker = client.submit(time.sleep, 3600, pure=False)
        before = _resident()
        futures = client.map(abs, range(bench.n), pure=False)
        bench.emit((_resident() - before) / bench.n, "B/task", "_client")
        client.cancel([blocker, *futures])


def _resident() -> int:
    gc.collect()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@workload("first_result", topology=(1, 2))
def first_result(bench: Bench) -> None:
    """A new interpreter, `import bireme`, a cluster of its own, and a result: without the interpreter's own start."""
    bare = "print('there', flush=True)"
    found = [_told("-c", _FIRST) - _told("-c", bare) for _ in range(bench.repeats + 1)]
    bench.emit(found[1:], "s")


def _told(*arguments: str) -> float:
    """How long a program takes to say something."""
    before = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        return time.perf_counter() - before


def _collection(bench: Bench, compute: Callable[[], object]) -> None:
    """How long dask takes to compute something here; a client is what it computes with as soon as it is made."""
    with bench.cluster() as cluster, Client(cluster) as client:
        warm(client)
        bench.emit(bench.seconds(compute), "s")


@workload("array_transpose_sum", 10_000)
def array_transpose_sum(bench: Bench) -> None:
    """A square array and its transpose, added and summed, in 400 chunks."""

    def compute() -> object:
        array = dask.array.random.random((bench.n, bench.n), chunks=(bench.n // 20, bench.n // 20))
        return (array + array.T).sum().compute()

    _collection(bench, compute)


def _series(days: int) -> Any:
    end = pd.Timestamp("2000-01-01") + pd.Timedelta(days=days)
    options = {"freq": "1s", "partition_freq": "1D", "seed": 1}
    return dask.datasets.timeseries(start="2000-01-01", end=end.strftime("%Y-%m-%d"), **options)


@workload("df_make", 30)
def df_make(bench: Bench) -> None:
    """A time series of so many days, a row for each second."""
    _collection(bench, lambda: len(_series(bench.n)))


@workload("df_groupby_mean", 30)
def df_groupby_mean(bench: Bench) -> None:
    """Its means by name."""
    _collection(bench, lambda: _series(bench.n).groupby("name").x.mean().compute())


@workload("df_shuffle", 30)
def df_shuffle(bench: Bench) -> None:
    """The same rows, together by their ids. The peer has a way of its own to do that, and this is dask's."""

    def compute() -> object:
        shuffled = _series(bench.n).shuffle("id", shuffle_method="tasks")
        return shuffled.map_partitions(len).sum().compute()

    _collection(bench, compute)
