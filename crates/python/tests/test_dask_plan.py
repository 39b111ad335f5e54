"""What of a dask graph becomes which task."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import pytest

from bireme import Client
from calls import add, increment

dask = pytest.importorskip("dask")

from dask._task_spec import Alias, GraphNode, Task, TaskRef  # noqa: E402 - it may be missing.

from bireme.calls import Outputs  # noqa: E402 - it goes with the next.
from bireme.dask_plan import Plan, Planning, run_nodes  # noqa: E402 - it loads dask.


def calls(*named: tuple[str, Any, Any]) -> dict[Any, GraphNode]:
    """Nodes by key; an argument that is the key of an earlier one stands for its result."""
    nodes: dict[Any, GraphNode] = {}
    for key, function, arguments in named:
        taken = [TaskRef(part) if part in nodes else part for part in arguments]
        nodes[key] = Task(key, function, *taken)
    return nodes


def planned(nodes: dict[Any, GraphNode], kept: Sequence[str], planning: Planning = Planning.ALL) -> Plan:
    order = [key for key, node in nodes.items() if not isinstance(node, Alias)]

    def target(key: Any) -> Any:
        node = nodes[key]
        return node.target if isinstance(node, Alias) else key

    return Plan.of(nodes, order, set(kept), target, planning)


def test_a_chain_is_one_task() -> None:
    nodes = calls(("a", increment, (1,)), ("b", increment, ("a",)), ("c", add, ("b", 5)))
    plan = planned(nodes, ["c"])
    assert plan.order == ["c"]
    assert run_nodes([*plan.before["c"], nodes["c"]], {}) == 8
    assert planned(nodes, ["c"], Planning.ITEMS).order == ["a", "b", "c"]


def test_what_is_asked_for_or_taken_twice_is_a_task() -> None:
    nodes = calls(("a", increment, (1,)), ("b", increment, ("a",)), ("c", increment, ("b",)), ("d", add, ("b", "c")))
    assert planned(nodes, ["d"]).order == ["b", "c", "d"]
    assert planned(nodes, ["a", "d"]).order == ["a", "b", "c", "d"]
    nodes["other"] = Alias("other", "c")
    nodes["e"] = Task("e", increment, TaskRef("other"))
    assert planned(nodes, ["d", "e"]).order == ["b", "c", "d", "e"], "by another name"


def test_items_are_outputs() -> None:
    nodes = calls(
        ("pair", divmod, (17, 5)),
        ("first", operator.getitem, ("pair", 0)),
        ("second", operator.getitem, ("pair", 1)),
        ("again", operator.getitem, ("pair", 0)),
        ("sum", add, ("first", "second")),
        ("more", add, ("again", 1)),
    )
    plan = planned(nodes, ["sum", "more"])
    assert plan.order == ["pair", "sum", "more"]
    assert plan.outputs == {"pair": [0, 1]}
    assert plan.items_of("pair") == [("first", 0), ("second", 1), ("again", 0)]
    outputs = run_nodes([nodes["pair"]], {}, plan.outputs["pair"])
    assert type(outputs) is Outputs and outputs == [3, 2]


@pytest.mark.parametrize("kept", ["pair", "first"])
def test_items_that_somebody_asks_for_are_tasks(kept: str) -> None:
    taken: Any = ("first", operator.getitem, ("pair", 0)), ("second", operator.getitem, ("pair", 1))
    nodes = calls(("pair", divmod, (17, 5)), *taken, ("sum", add, ("first", "second")))
    assert planned(nodes, ["sum", kept]).outputs == {}


def test_a_result_that_is_taken_whole_is_one_output() -> None:
    nodes = calls(
        ("pair", divmod, (17, 5)),
        ("first", operator.getitem, ("pair", 0)),
        ("second", operator.getitem, ("pair", 1)),
        ("all", sum, ("pair",)),
        ("end", max, ("first", "second", "all")),
    )
    assert planned(nodes, ["end"]).outputs == {}


def test_a_graph_that_is_written_down_stays_as_it_is() -> None:
    assert Planning.of(calls(("a", increment, (1,)))) is Planning.NONE


def test_a_shuffle_is_two_tasks_for_each_part(client: Client) -> None:
    pandas = pytest.importorskip("pandas")
    dataframe = pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame({"key": [n * 7 % 40 for n in range(4_000)], "value": range(4_000)})
    split = dataframe.from_pandas(frame, npartitions=6)
    shuffled = split.shuffle("key", shuffle_method="tasks").map_partitions(lambda part: part.groupby("key").sum())
    expression = shuffled.optimize(fuse=False).expr
    assert Planning.of(expression) is Planning.ALL
    counted: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = Plan.of

        def count(*arguments: Any) -> Plan:
            plan = whole(*arguments)
            counted.append(len(plan.order))
            return plan

        patch.setattr(Plan, "of", count)
        found = shuffled.compute(scheduler=client.get)
    assert found.sort_index().equals(frame.groupby("key").sum())
    assert counted and counted[0] <= 2 * 6 + 1


def test_items_of_delayed_calls(client: Client) -> None:
    both = dask.delayed(divmod, nout=2)(17, 5)
    assert (both[0] * 10 + both[1]).compute(scheduler=client.get) == 32
