"""How much of everything there is: functions that are uploaded, attempts that are made, graphs that are kept."""

from __future__ import annotations

import os
from typing import Any

import pytest

from bireme import Client
from bireme._bireme import Session


class Counted:
    """A session that counts what is uploaded."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.uploads: list[int] = []

    def put_blob(self, data: bytes) -> bytes:
        self.uploads.append(len(data))
        return self._session.put_blob(data)


def wait_for(client: Client, graphs: int) -> None:
    """Waits until the cluster remembers so many graphs."""
    session = client._link.session
    while session.status()["graphs"] != graphs:
        client._link.submitter.flush()


def test_a_function_is_uploaded_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(client._link.session)
    monkeypatch.setattr(client._link.functions, "_session", counted)
    weight = 3

    def weigh(x: int) -> int:
        return x * weight

    assert sum(client.gather(client.map(weigh, range(10_000)))) == 3 * sum(range(10_000))
    assert [client.submit(weigh, n, pure=False).result() for n in range(3)] == [0, 3, 6]
    assert len(counted.uploads) == 1
    assert counted.uploads[0] < 2_000


def pid(*_: Any) -> int:
    return os.getpid()


def test_each_task_of_a_collection_is_attempted_once_and_not_here(client: Client) -> None:
    array = pytest.importorskip("dask.array")
    from dask._task_spec import Alias, DataNode

    from bireme import dask

    x = array.ones((400, 400), chunks=100)
    total = (x + x.T).sum()
    nodes, _ = dask._nodes(total.__dask_graph__())
    tasks = [node for node in nodes.values() if not isinstance(node, (Alias, DataNode))]
    before = client._link.session.status()["tasks"]["finished"]
    futures = dask.submit(client, total.__dask_graph__(), total.__dask_keys__(), {})
    [value] = client.gather(list(futures.values()))
    assert value == 320_000
    [future] = futures.values()
    graph, _ = future.task.place  # type: ignore[union-attr]
    assert client._link.session.status()["tasks"]["finished"] - before == len(tasks)
    assert client._link.session.attempts(graph) == len(tasks)

    blocks = array.ones(40, chunks=10).map_blocks(lambda block: block * 0 + pid(), dtype=int)
    assert os.getpid() not in set(blocks.compute(scheduler=client.get))


def test_a_graph_goes_with_the_results_that_are_kept_of_it(client: Client) -> None:
    array = pytest.importorskip("dask.array")
    graphs = client._link.session.status()["graphs"]
    total = client.compute(array.ones((100, 100), chunks=10).sum())
    assert total.result() == 10_000
    assert client._link.session.status()["graphs"] == graphs + 1
    del total
    wait_for(client, graphs)
