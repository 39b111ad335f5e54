"""Datasets: what a client leaves behind under a name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bireme import Client, LocalCluster
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
        with pytest.raises(KeyError, match="there is no dataset 'numbers'"):
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
