"""dask collections on a cluster: each task of a dask graph is a task here, and all of a graph are sent at once.

Today's dask hands over an expression; before, it was a mapping of keys to tasks. Both become a mapping of keys to
nodes: tasks to run, data, and other names of keys.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any, TypeAlias

import dask.config
from dask._task_spec import Alias, DataNode, GraphNode, TaskRef, _execute_subgraph, convert_legacy_graph
from dask._task_spec import Task as Call
from dask.base import collections_to_expr, is_dask_collection
from dask.core import flatten
from dask.sizeof import sizeof
from dask.utils import ensure_dict

from .dask_plan import Plan, Planning, run_nodes
from .future import Future
from .link import Known, Link
from .options import TASK_OPTIONS, refuse_not_here
from .serialize import EncodeError, Placeholder, encode_call
from .task import Key, Stored, Task

if TYPE_CHECKING:
    from ._bireme import Object, Submission
    from .client import Client

#: Data of a graph travels within the tasks that take it up to this size, in bytes; what is larger is stored first.
_INLINE_BYTES = 4096
#: A function that so many tasks of a graph call is uploaded once, and called without dask. Others travel with each task.
_SHARED_CALLS = 8
#: The same of a subgraph: it is new with each graph, and to upload it is an exchange.
_SHARED_SUBGRAPHS = 32
#: The first arguments of what runs a subgraph, which say what it is. The nodes that run it have the same objects.
_SUBGRAPH_ARGS = 3
#: What a graph may call without dask; other callables may not be told apart, or change.
_FUNCTIONS = (FunctionType, BuiltinFunctionType)
#: The index of a task has so many bits where it stands for an output of the task; the output's number is above.
_OUTPUT_BITS = 32
#: Pickles of arguments that are nothing but inputs are kept for calls of at most so many.
_KIND_INPUTS = 8

Nodes: TypeAlias = dict[Key, GraphNode]


def get(client: Client, dsk: Any, keys: Any, sync: bool = True, **options: Any) -> Any:
    """Computes keys, in lists at any depth, and returns their values in the same lists; their futures unless `sync`."""
    if sync:
        return client._sync(_get, client, dsk, keys, options)
    futures = submit(client, dsk, _all_keys(keys), options)
    return _in_places(keys, futures.__getitem__)


def compute(
    client: Client, collections: Any, optimize_graph: bool = True, traverse: bool = True, **options: Any
) -> Any:
    """A future for each collection; what is none stays what it is."""
    from dask._expr import FinalizeCompute

    if not isinstance(collections, (list, tuple, set, frozenset)):
        return compute(client, [collections], optimize_graph, traverse, **options)[0]
    items = [_delayed(item) if traverse else item for item in collections]
    wanted = [item for item in items if is_dask_collection(item)]
    if not wanted:
        return items
    expression = FinalizeCompute(collections_to_expr(wanted, optimize_graph)).optimize()
    names = list(flatten(expression.__dask_keys__()))
    futures = submit(client, expression, names, options)
    rest = iter(names)
    return [futures[next(rest)] if is_dask_collection(item) else item for item in items]


def persist(client: Client, collections: Any, optimize_graph: bool = True, **options: Any) -> Any:
    """The same collections, whose partitions are futures."""
    if not isinstance(collections, (list, tuple, set, frozenset)):
        return persist(client, [collections], optimize_graph, **options)[0]
    items = list(collections)
    expression = collections_to_expr(items, optimize_graph).optimize()
    keys = [list(flatten(part)) for part in expression.__dask_keys__()]
    futures = submit(client, expression, [key for part in keys for key in part], options)
    rebuilt = []
    for item, its in zip(items, keys, strict=True):
        rebuild, arguments = item.__dask_postpersist__()
        rebuilt.append(rebuild({key: futures[key] for key in its}, *arguments))
    return rebuilt


def use(client: Client) -> Callable[[], None]:
    """Lets collections be computed by this client unless told otherwise. Returns what undoes it."""
    settings: dict[str, Any] = {"scheduler": client.get}
    if dask.config.get("dataframe.shuffle.method", None) is None:
        # Where dask finds no cluster of its own it shuffles through the disk of one machine.
        settings["dataframe.shuffle.method"] = "tasks"
    before = dask.config.set(settings)
    return lambda: before.__exit__(None, None, None)


def submit(client: Client, dsk: Any, keys: Iterable[Key], options: Mapping[str, Any]) -> dict[Key, Future[Any]]:
    """Sends what these keys need, and returns their futures."""
    link = client._live()
    nodes, annotations = _nodes(dsk)
    wanted = list(dict.fromkeys(keys))
    # What is annotated is a task of its own.
    planning = Planning.NONE if annotations else Planning.of(dsk)
    sender = _Sender(link, nodes, _Treatment(link, options, annotations), planning)
    found = sender.send(wanted)
    return {key: Future(client, found[key]) for key in wanted}


def _get(client: Client, dsk: Any, keys: Any, options: Mapping[str, Any]) -> Any:
    futures = submit(client, dsk, _all_keys(keys), options)
    values = client._gather(list(futures.values()), "raise")
    return _in_places(keys, dict(zip(futures, values, strict=True)).__getitem__)


class _Sender:
    """Turns the nodes of one graph into the tasks of one."""

    def __init__(self, link: Link, nodes: Nodes, treatment: _Treatment, planning: Planning) -> None:
        self._link = link
        self._nodes = nodes
        self._treatment = treatment
        self._run_nodes = link.functions.digest(run_nodes)
        self._planning = planning
        self._plan = Plan(())
        # How many nodes call the same, until it is shared; then its digest, or None where it cannot be.
        self._calls: Counter[Hashable] = Counter()
        self._shared: dict[Hashable, bytes | None] = {}
        # The pickles of arguments all of which are inputs, by the numbers of these.
        self._kinds: dict[tuple[int, ...], list[Any]] = {}
        self._rows: list[Submission] = []
        self._indices: dict[Key, int] = {}
        self._stored: dict[Key, Stored] = {}
        # Held here, so that what was found stays until the graph is sent.
        self._known: dict[Key, Known | None] = {}

    def send(self, keys: list[Key]) -> dict[Key, Known]:
        """Sends what the keys need, and says what each of them is."""
        targets = {key: self._target(key) for key in keys}
        found: dict[Key, Known] = {}
        for key in targets.values():
            known = self._find(key)
            if known is not None:
                found[key] = known
        with _without_collections():
            order = self._needed([key for key in targets.values() if key not in found])
            self._plan = Plan.of(self._nodes, order, set(targets.values()), self._target, self._planning)
            for key in self._plan.order:
                self._add(key)
        kept = {key: self._indices[key] for key in targets.values() if key in self._indices}
        if kept:
            found |= self._submit(kept)
        for key in targets.values():
            if key not in found:
                found[key] = self._store(key)
        return {key: found[target] for key, target in targets.items()}

    def _submit(self, kept: dict[Key, int]) -> dict[Key, Known]:
        name = str(next(iter(kept)))[:64]
        batch = self._link.submitter.send_graph(self._rows, sorted(kept.values()), name)
        tasks: dict[Key, Known] = {key: Task(key, batch, index) for key, index in kept.items()}
        self._link.known.update(tasks)
        return tasks

    def _needed(self, keys: list[Key]) -> list[Key]:
        """The keys of the tasks to run, each behind what it takes. Which are to run first, the session finds out."""
        ordered: list[Key] = []
        rest, begun, done = list(reversed(keys)), set[Key](), set[Key]()
        while rest:
            key = rest[-1]
            node = None if key in done else self._nodes.get(key)
            if node is None or (type(node) is not Alias and key not in begun and self._find(key) is not None):
                done.add(rest.pop())
            elif key in begun:
                done.add(rest.pop())
                if not isinstance(node, (Alias, DataNode)):
                    ordered.append(key)
            else:
                begun.add(key)
                lacking = [other for other in node.dependencies if other not in done]
                if not begun.isdisjoint(lacking):
                    raise ValueError(f"{key!r} needs what needs it; a graph has no cycles")
                rest.extend(lacking)
        return ordered

    def _add(self, key: Key) -> None:
        node = self._nodes[key]
        row = None if self._plan.is_more(key) else self._plain_call(key, node)
        index = len(self._rows)
        self._rows.append(row or self._any_call(key, node))
        self._indices[key] = index
        for item, output in self._plan.items_of(key):
            self._indices[item] = index + (output << _OUTPUT_BITS)

    def _plain_call(self, key: Key, node: GraphNode) -> Submission | None:
        """The row of a call whose arguments all are results of tasks of this graph. There are few kinds of such arguments."""
        if type(node) is not Call or node.kwargs or type(node.func) not in _FUNCTIONS:
            return None
        called, bound = _called(node)
        function = self._shared.get(called)
        if function is None:
            return None
        inputs: dict[int, int] = {}
        places: list[int] = []
        for part in node.args[bound:]:
            index = self._indices.get(part.key) if type(part) is TaskRef else None
            if index is None:
                return None
            places.append(inputs.setdefault(index, len(inputs)))
        kind = tuple(places)
        buffers = self._kinds.get(kind) if len(kind) <= _KIND_INPUTS else None
        if buffers is None:
            buffers = encode_call([Placeholder(place) for place in kind], {}, f"the task {key}")
            if len(kind) <= _KIND_INPUTS:
                self._kinds[kind] = buffers
        return str(key), function, buffers, list(inputs), self._treatment.options(key)

    def _any_call(self, key: Key, node: GraphNode) -> Submission:
        inputs: list[int | tuple[int, int] | Object] = []
        places: dict[int, int] = {}
        values: dict[Key, Any] = {}
        nodes = [*self._plan.before.get(key, ()), node]
        for dependency in nodes[0].dependencies:
            values[dependency] = self._value(self._target(dependency), inputs)

        def number(future: Future[Any]) -> int:
            task = future.task
            if id(task) not in places:
                places[id(task)] = len(inputs)
                inputs.append(self._link.place(task))
            return places[id(task)]

        items = self._plan.outputs.get(key, ())
        function, args, kwargs = self._call(nodes, values, items)
        buffers = encode_call(args, kwargs, f"the task {key}", number)
        return str(key), function, buffers, inputs, self._treatment.options(key, len(items) or 1)

    def _call(
        self, nodes: list[GraphNode], values: dict[Key, Any], items: Sequence[Any]
    ) -> tuple[bytes, Sequence[Any], dict[str, Any]]:
        """A function and its arguments: those of a node that does nothing but call, or else the nodes themselves."""
        node = nodes[0]
        if len(nodes) > 1 or items or not isinstance(node, Call) or (shared := self._shared_call(node)) is None:
            return self._run_nodes, (nodes, values, *([items] if items else [])), {}
        function, bound = shared
        args = [values[part.key] if isinstance(part, TaskRef) else part for part in node.args[bound:]]
        kwargs = {name: values[part.key] if isinstance(part, TaskRef) else part for name, part in node.kwargs.items()}
        return function, args, kwargs

    def _shared_call(self, node: Call) -> tuple[bytes, int] | None:
        """The function that a node does nothing but call, if enough nodes do, and how many of its arguments that has."""
        if type(node) is not Call or type(node.func) not in _FUNCTIONS:
            return None
        for part in (*node.args, *node.kwargs.values()) if node.kwargs else node.args:
            if isinstance(part, GraphNode):
                return None
        called, bound = _called(node)
        if called not in self._shared:
            self._calls[called] += 1
            if self._calls[called] < (_SHARED_SUBGRAPHS if bound else _SHARED_CALLS):
                return None
            self._shared[called] = self._digest(node, bound)
        function = self._shared[called]
        return None if function is None else (function, bound)

    def _digest(self, node: Call, bound: int) -> bytes | None:
        if not bound:
            return self._link.functions.digest(node.func)
        # What has arguments is known by the numbers of objects, which stay what they are for as long as the graph.
        try:
            return self._link.functions.digest(partial(node.func, *node.args[:bound]))
        except EncodeError:
            # There may be a future in it, as only arguments of a task may have.
            return None

    def _value(self, key: Key, inputs: list[int | tuple[int, int] | Object]) -> Any:
        """What stands for a dependency in the arguments of a task: an input, or data itself."""
        index = self._indices.get(key)
        if index is not None:
            inputs.append(index)
        elif (known := self._find(key)) is not None:
            inputs.append(self._link.place(known))
        elif not isinstance(node := self._nodes.get(key), DataNode):
            raise KeyError(f"the graph needs {key!r}, which is neither in it nor a future of this client")
        elif sizeof(node.value) <= _INLINE_BYTES:
            return node.value
        else:
            inputs.append(self._store(key).object)
        return Placeholder(len(inputs) - 1)

    def _store(self, key: Key) -> Stored:
        if key not in self._stored:
            node = self._nodes.get(key)
            if not isinstance(node, DataNode):
                raise KeyError(f"{key!r} is neither in the graph nor a future of this client")
            self._stored[key] = self._link.store(node.value, key)
        return self._stored[key]

    def _find(self, key: Key) -> Known | None:
        """What this client has of a key already."""
        if key not in self._known:
            self._known[key] = self._link.find(key)
        return self._known[key]

    def _target(self, key: Key) -> Key:
        """The key that has the value which this one only is another name of."""
        node = self._nodes.get(key)
        while isinstance(node, Alias) and node.target != key:
            key = node.target
            node = self._nodes.get(key)
        return key


@contextmanager
def _without_collections() -> Iterator[None]:
    """Of what a large graph is made of, all stays: the collector would look at it again and again, and find nothing."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _Treatment:
    """How the tasks of one graph are treated: as the call says, and the annotations of each."""

    def __init__(self, link: Link, options: Mapping[str, Any], annotations: Mapping[str, Any]) -> None:
        self._link = link
        refuse_not_here(dict(options))
        self._options = {name: value for name, value in options.items() if name in TASK_OPTIONS and value is not None}
        self._annotations = {name: annotations[name] for name in TASK_OPTIONS if annotations.get(name)}
        self._plain = link.options.number(**self._options)

    def options(self, key: Key, outputs: int = 1) -> int:
        """The number of a task's options."""
        if outputs > 1:
            return self._link.options.number(**self._options, outputs=outputs)
        if not self._annotations:
            return self._plain
        own = {name: by_key[key] for name, by_key in self._annotations.items() if key in by_key}
        return self._link.options.number(**{**self._options, **own}) if own else self._plain


def _nodes(dsk: Any) -> tuple[Nodes, Mapping[str, Any]]:
    """The nodes of a graph in whatever form, and its annotations by kind and key."""
    graph = dsk.__dask_graph__() if hasattr(dsk, "__dask_graph__") else dsk
    annotated = dsk if hasattr(dsk, "__dask_annotations__") else None
    annotations = annotated.__dask_annotations__() if annotated is not None else _of_layers(graph)
    return convert_legacy_graph(ensure_dict(graph)), annotations


def _of_layers(graph: Any) -> Mapping[str, Any]:
    """The annotations of the layers of a graph that has some."""
    found: dict[str, dict[Key, Any]] = {}
    for layer in getattr(graph, "layers", {}).values():
        for name, value in (getattr(layer, "annotations", None) or {}).items():
            found.setdefault(name, {}).update({key: value(key) if callable(value) else value for key in layer})
    return found


def _called(node: Call) -> tuple[Hashable, int]:
    """What nodes that call the same have in common, and how many of the first arguments belong to it."""
    if node.func is not _execute_subgraph or node.kwargs:
        return node.func, 0
    return tuple(map(id, node.args[:_SUBGRAPH_ARGS])), _SUBGRAPH_ARGS


def _delayed(item: Any) -> Any:
    """Collections within containers are computed as one."""
    if isinstance(item, (list, set, tuple, dict, Iterator)):
        from dask.delayed import delayed

        return delayed(item)
    return item


def _all_keys(keys: Any) -> list[Key]:
    return list(flatten(keys)) if isinstance(keys, list) else [keys]


def _in_places(keys: Any, value: Callable[[Key], Any]) -> Any:
    """The same lists, with something in the place of each key."""
    return [_in_places(part, value) for part in keys] if isinstance(keys, list) else value(keys)
