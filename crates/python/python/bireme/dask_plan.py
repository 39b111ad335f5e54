"""What of a dask graph becomes which task, where dask leaves more tasks than are worth sending.

A node that alone takes the result of another runs with it in one task: what lies between them is never written down. A
node that only takes an item of a result is no task either: each such item becomes an output of the task that makes the
result, so that whoever needs an item is given that one and no other. A shuffle is made of such nodes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias

import dask.config
from dask._expr import Expr, HLGExpr
from dask._task_spec import Alias, GraphNode, TaskRef
from dask._task_spec import Task as Call

from .calls import Outputs
from .task import Key

#: Outputs that a task has at most, as the cluster sees it.
_OUTPUTS = 256
#: Items by which a result is told apart into outputs; by others, arrays and tables are sliced.
_ITEMS = (int, str)

Nodes: TypeAlias = Mapping[Key, GraphNode]


class Planning(Enum):
    """What may be done to a graph."""

    #: Each node is a task: whoever writes a graph down says what is one.
    NONE = 0
    #: Items are told apart; dask has made of other nodes what it thinks is worth a task.
    ITEMS = 1
    #: The same, and chains are fused: an expression of tables is as it was written, one node for each step.
    ALL = 2

    @staticmethod
    def of(dsk: Any) -> Planning:
        """What may be done to a graph in whatever form."""
        if not isinstance(dsk, Expr):
            return Planning.NONE
        fuses = dask.config.get("optimization.fuse.active", None) is not False
        return Planning.ALL if fuses and next(dsk.find_operations(HLGExpr), None) is None else Planning.ITEMS


class Plan:
    """The tasks of one graph."""

    def __init__(self, order: Sequence[Key]) -> None:
        #: The keys of the tasks, each behind what it takes.
        self.order = order
        #: What runs before a node in the same task, the first one first.
        self.before: dict[Key, list[GraphNode]] = {}
        #: The items that are the outputs of a task, where it has several.
        self.outputs: dict[Key, list[Any]] = {}
        #: The nodes that stand for outputs of a task, and which.
        self.takers: dict[Key, list[tuple[Key, int]]] = {}

    @classmethod
    def of(
        cls, nodes: Nodes, order: Sequence[Key], kept: set[Key], target: Callable[[Key], Key], planning: Planning
    ) -> Plan:
        """Plans the tasks of the nodes in `order`, which are no aliases. Results of `kept` are asked for; `target` says what
        an alias stands for.
        """
        planned = cls(order)
        if planning is Planning.NONE:
            return planned
        users = _users(nodes, order, target)
        gone = planned._tell_items_apart(nodes, kept, users)
        if planning is Planning.ALL:
            gone |= planned._fuse(nodes, kept, users, gone)
        if gone:
            planned.order = [key for key in order if key not in gone]
        return planned

    def is_more(self, key: Key) -> bool:
        """Whether a task is more than one node with one result."""
        return key in self.before or key in self.outputs

    def items_of(self, key: Key) -> Sequence[tuple[Key, int]]:
        """The nodes that stand for outputs of a task, and which."""
        return self.takers.get(key, ())

    def _tell_items_apart(self, nodes: Nodes, kept: set[Key], users: Mapping[Key, int]) -> set[Key]:
        """Makes items outputs. Returns the nodes that are no tasks any more."""
        found: dict[Key, list[tuple[Key, Any]]] = {}
        for key in self.order:
            taken = _item(nodes[key]) if key not in kept else None
            if taken is not None and taken[0] in users:
                found.setdefault(taken[0], []).append((key, taken[1]))
        gone: set[Key] = set()
        for source, takers in found.items():
            places = {item: n for n, item in enumerate(dict.fromkeys(item for _, item in takers))}
            if source in kept or source in gone or len(takers) < users[source] or not 1 < len(places) <= _OUTPUTS:
                continue
            self.outputs[source] = list(places)
            self.takers[source] = [(key, places[item]) for key, item in takers]
            gone |= {key for key, _ in takers}
        return gone

    def _fuse(self, nodes: Nodes, kept: set[Key], users: Mapping[Key, int], items: set[Key]) -> set[Key]:
        """Puts what a node alone takes before it. Returns the nodes that are no tasks any more."""
        gone: set[Key] = set()
        for key in self.order:
            node = nodes[key]
            if key in items or len(node.dependencies) != 1 or node.block_fusion:
                continue
            (taken,) = node.dependencies
            is_own = users.get(taken) == 1 and taken not in kept and taken not in items
            if is_own and not nodes[taken].block_fusion:
                self.before[key] = [*self.before.pop(taken, ()), nodes[taken]]
                gone.add(taken)
        return gone


def _users(nodes: Nodes, order: Sequence[Key], target: Callable[[Key], Key]) -> dict[Key, int]:
    """How many nodes take the result of each, directly or by another name."""
    users = dict.fromkeys(order, 0)
    for key in order:
        for needed in {target(dependency) for dependency in nodes[key].dependencies}:
            if needed in users:
                users[needed] += 1
    return users


def _item(node: GraphNode) -> tuple[Key, Any] | None:
    """Of what a node takes which item, if it does nothing else."""
    if type(node) is not Call or node.func is not operator.getitem or node.kwargs or len(node.args) != 2:
        return None
    source, item = node.args
    if type(item) not in _ITEMS:
        return None
    if isinstance(source, Alias):
        return source.target, item
    return (source.key, item) if isinstance(source, TaskRef) else None


def run_nodes(nodes: Sequence[GraphNode], values: Mapping[Key, Any], items: Sequence[Any] = ()) -> Any:
    """What runs on a worker: nodes each of which takes the result of the one before, the first one with values of others."""
    first, *others = nodes
    result = first(values)
    for node in others:
        result = node(dict.fromkeys(node.dependencies, result))
    return Outputs(result[item] for item in items) if items else result
