"""Datasets: what clients leave in the cluster under a name, for others and for later.

A dataset is a graph that outlives its session. Its tasks hold the values that were published, each a copy made where the
value lay, and the last one what the values were part of, such as a list or a collection of dask's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._bireme import Failed, finished_graphs, forget_graph, output_of, submit_detached
from .errors import NotFound, exception
from .future import Future
from .holders import wait_for
from .serialize import Codec, Placeholder, decode, encode_call
from .task import Stored

if TYPE_CHECKING:
    from ._bireme import Session, Submission
    from .client import Client
    from .link import Known

#: What names of such graphs begin with.
_PREFIX = "dataset/"


def publish(client: Client, datasets: dict[str, Any], override: bool) -> None:
    """Publishes values under names. Waits until they are there."""
    known = _graphs(client._live().session)
    for name, data in datasets.items():
        if name in known and not override:
            raise KeyError(f"there is a dataset {name!r} already; give override=True, or unpublish_dataset({name!r})")
        _publish(client, name, data)
        if name in known:
            _forget(client._live().session, known[name])


def _publish(client: Client, name: str, data: Any) -> None:
    link = client._live()
    inputs: list[Known] = []
    buffers = link.arguments(f"the dataset {name!r}", (data,), {}, inputs)
    wait_for(client, inputs)
    keep = link.functions.digest(same)
    options = link.options.number(resources={"cpus": 0})
    value = encode_call((Placeholder(0),), {})
    rows: list[Submission] = [(f"{n} {known.key}", keep, value, [link.place(known)], options) for n, known in enumerate(inputs)]
    contents = ([known.key for known in inputs], [bytes(buffer) for buffer in buffers])
    rows.append(("contents", keep, encode_call((contents,), {}), [], options))
    try:
        submit_detached(link.session, rows, _PREFIX + name)
    except Failed as failed:
        error = failed
    else:
        return
    raise exception(error.args[0])


def get(client: Client, name: str) -> Any:
    """A dataset, of which the futures are this client's."""
    link = client._live()
    graphs = _graphs(link.session).get(name)
    if not graphs:
        raise NotFound("DATASET_UNKNOWN", f"there is no dataset {name!r}; list_datasets() tells which there are")
    graph, tasks = graphs[0]
    codec, packed = link.session.fetch(output_of(link.session, graph, tasks - 1))
    keys, buffers = decode(codec, packed, f"the dataset {name!r}")

    def future(n: int) -> Future[Any]:
        known = link.find(keys[n])
        if known is None:
            known = Stored(keys[n], output_of(link.session, graph, n))
            link.known[keys[n]] = known
        return Future(client, known)

    (data,), _ = decode(Codec.PICKLE5, buffers, f"the dataset {name!r}", future)
    return data


def names(client: Client) -> tuple[str, ...]:
    """Those of the datasets."""
    return tuple(sorted(_graphs(client._live().session)))


def unpublish(client: Client, name: str) -> None:
    """Drops a dataset. Futures of it have no values from then on."""
    session = client._live().session
    graphs = _graphs(session).get(name)
    if not graphs:
        raise NotFound("DATASET_UNKNOWN", f"there is no dataset {name!r}; list_datasets() tells which there are")
    _forget(session, graphs)


def same(value: Any) -> Any:
    """What runs on a worker so that a value is kept."""
    return value


def _graphs(session: Session) -> dict[str, list[tuple[int, int]]]:
    """Graphs and how many tasks they have, by the names of datasets, the latest first."""
    found: dict[str, list[tuple[int, int]]] = {}
    for name, graph, tasks in finished_graphs(session, _PREFIX):
        found.setdefault(name.removeprefix(_PREFIX), []).append((graph, tasks))
    return found


def _forget(session: Session, graphs: list[tuple[int, int]]) -> None:
    for graph, _ in graphs:
        forget_graph(session, graph)
