"""Datasets: what a client leaves behind under a name."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bireme import Client, LocalCluster, NotFound
from calls import add, increment, refuse

#: More than messages carry.
LARGE = 1 << 20


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalCluster]:
    """A cluster of one worker, whose datasets are of these tests alone."""
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster:
        yield cluster


def test_a_dataset_outlives_the_client_that_published_it(shared: LocalCluster) -> None:
    with Client(shared, set_as_default=False) as client:
        large = client.submit(os.urandom, LARGE, pure=False)
        client.publish_dataset(numbers=client.map(increment, range(3)), mixed={"large": [large], "plain": "text"})
        digest = large.result()
        with pytest.raises(KeyError, match="there is a dataset 'numbers' already"):
            client.publish_dataset(1, name="numbers")
    with Client(shared, set_as_default=False) as client:
        assert client.list_datasets() == ("mixed", "numbers")
        numbers = client.get_dataset("numbers")
        assert client.gather(numbers) == [1, 2, 3]
        assert client.submit(add, numbers[0], numbers[2]).result() == 4
        mixed = client.get_dataset("mixed")
        assert mixed["plain"] == "text" and mixed["large"][0].result() == digest
        assert client.submit(len, mixed["large"][0]).result() == LARGE
        client.publish_dataset([], name="numbers", override=True)
        assert client.get_dataset("numbers") == []
        client.unpublish_dataset("numbers")
        client.unpublish_dataset("mixed")
        assert client.list_datasets() == ()
        with pytest.raises(NotFound, match=r"^DATASET_UNKNOWN: there is no dataset 'numbers'"):
            client.get_dataset("numbers")
        assert client.get_dataset("numbers", default=None) is None


def test_a_collection_is_published_with_its_partitions(shared: LocalCluster) -> None:
    array = pytest.importorskip("dask.array")
    with Client(shared) as client:
        client.publish_dataset(ones=client.persist(array.ones((400, 400), chunks=200)))
    with Client(shared) as client:
        ones = client.get_dataset("ones")
        assert ones.sum().compute() == 160_000
        client.unpublish_dataset("ones")


def test_what_fails_is_not_published(shared: LocalCluster, tmp_path: Path) -> None:
    with Client(shared, set_as_default=False) as client:
        with pytest.raises(ValueError, match="not today"):
            client.publish_dataset(bad=[client.submit(refuse, "not today")])
        assert client.list_datasets() == ()
        with pytest.raises(ValueError, match="a dataset has a name"):
            client.publish_dataset([1])


def test_a_task_may_be_called_as_it_likes(shared: LocalCluster) -> None:
    with Client(shared, set_as_default=False) as client:
        futures = [client.submit(increment, n, key=key) for n, key in enumerate(["contents", "3 contents", "1"])]
        client.publish_dataset(named=futures)
        assert client.gather(client.get_dataset("named")) == [1, 2, 3]
        client.unpublish_dataset("named")


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Has SIGINT raise `KeyboardInterrupt`, which it does not do where whoever started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_what_is_interrupted_is_not_published() -> None:
    with LocalCluster(n_workers=0) as cluster, Client(cluster, set_as_default=False) as client:

        def interrupt() -> None:
            pause = threading.Event()
            # It waits for a worker then.
            while not client._live().session.status()["open_graphs"]:
                pause.wait(0.01)
            _thread.interrupt_main()

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            client.publish_dataset(plain="text")
        assert client._live().session.status()["graphs"] == 0
        cluster.scale(1)
        assert client.submit(increment, 1).result() == 2
        assert client.list_datasets() == ()


def test_an_option_that_there_is_not_is_refused(shared: LocalCluster) -> None:
    with Client(shared, set_as_default=False) as client, pytest.raises(TypeError, match="defalt"):
        client.get_dataset("numbers", defalt=None)  # type: ignore[call-arg]
