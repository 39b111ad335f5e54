"""Actors in other languages, called from Python: a native class that every worker has, and one in JavaScript."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from actors import Counter
from bireme import Actor, BiremeError, Client, EncodeError, LocalCluster, NoSuchMethod, TaskError

#: A class that every worker has.
NATIVE = "builtin/Counter"
#: The executor that runs JavaScript.
NODE = Path(__file__).parents[3] / "examples" / "executor-node"


def increment_twice(counter: Any) -> int:
    """Calls an actor from a task."""
    counter.increment()
    return int(counter.increment().result())


def test_a_native_actor_is_made_and_called(client: Client) -> None:
    counter = client.actor(NATIVE, 5)
    assert isinstance(counter, Actor)
    assert counter.increment().result() == 6
    assert counter.add(4).result() == 10
    assert client.gather([counter.increment() for _ in range(3)]) == [11, 12, 13]
    assert list(counter.stream.stream(2)) == [13, 14]
    assert "increment" in dir(counter)


def test_a_native_actor_is_found_by_name(client: Client) -> None:
    made = client.actor(NATIVE, 1, name="native-one")
    found = client.get_actor("native-one")
    assert (found.increment().result(), made.get().result()) == (2, 2)
    found.kill()


def test_futures_and_handles_are_arguments(client: Client) -> None:
    one, other = client.actor(NATIVE, 5), client.actor(NATIVE, 0)
    assert other.add(one.increment()).result() == 6
    assert client.submit(increment_twice, one).result() == 8
    assert other.pass_on(one, "add", [2]).result() == 10


def test_what_is_no_plain_data_names_the_argument(client: Client) -> None:
    counter = client.actor(NATIVE)
    with pytest.raises(EncodeError, match=r"argument 0 of builtin/Counter\.add\S* is a datetime\.date, which no other"):
        counter.add(date(2026, 1, 1))
    with pytest.raises(BiremeError, match=r"argument 'by' of \S+ is a list with something in it .* 'set'"):
        counter.add(by=[{1}])
    # Calls that were not made leave no gap behind which others would wait.
    assert counter.add(1).result() == 1


def test_what_the_actor_refuses_is_raised(client: Client) -> None:
    counter = client.actor(NATIVE)
    unknown = r"has no method or attribute 'incremnt'; the method most like it is 'increment'"
    with pytest.raises(AttributeError, match=unknown) as caught:
        counter.incremnt()
    assert "builtin/Counter has no attributes to read, but methods: " in str(caught.value.__cause__)
    with pytest.raises(TaskError, match="native actors take arguments by position"):
        counter.add(by=1).result()
    with pytest.raises(TaskError, match="argument 0"):
        counter.add("many").result()


def test_an_environment_is_not_for_native_actors(client: Client) -> None:
    with pytest.raises(ValueError, match="is native"):
        client.actor(NATIVE, env=["numpy"])


def test_a_class_of_python_may_be_named(client: Client) -> None:
    counter = client.actor("actors:Counter", 5, runtime="python")
    assert (counter.add(2).result(), counter.n) == (7, 7)


def test_an_asynchronous_client_calls_native_actors(cluster: LocalCluster) -> None:
    async def use() -> tuple[int, int]:
        async with Client(cluster, asynchronous=True) as client:
            counter = await client.actor(NATIVE, 5)
            return await counter.increment(), await counter.add(4)

    assert asyncio.run(use()) == (6, 10)


@pytest.fixture(scope="module")
def mixed(daemons: None) -> Iterator[Client]:
    """A client of a cluster that runs JavaScript too."""
    packages = Path(os.environ.get("NODE_PATH") or Path(__file__).parents[3] / "target/node/executor-node/node_modules")
    node = shutil.which("node")
    if node is None or not packages.is_dir():
        pytest.skip("there is no node, or not what the executor needs of it")
    command = ["env", f"NODE_PATH={packages}", node, str(NODE / "executor.js"), str(NODE / "counter.js")]
    with (
        LocalCluster(worker_options=["--runtime", f"node={shlex.join(command)}"]) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_an_actor_in_javascript_is_made_and_called(mixed: Client) -> None:
    counter = mixed.actor("counter:Counter", 5, runtime="node", name="js")
    assert (counter.increment().result(), counter.add(4).result()) == (6, 10)
    assert counter.n == 10
    found = mixed.get_actor("js")
    assert found.get().result() == 10
    with pytest.raises(AttributeError, match="the method most like it is 'increment'"):
        found.incremnt()


def test_values_come_back_as_they_went(mixed: Client) -> None:
    values = [None, True, 1.5, -(2**60), "text", b"bytes", [1, "two", None, {"three": 3}], {"a": [True]}]
    echo = mixed.actor(NATIVE).echo
    assert [echo(value).result() for value in values] == values
    # JavaScript reads what its numbers cannot hold, and writes no such number.
    kept = [value for value in values[1:] if not isinstance(value, int)]
    keeps = [mixed.actor("counter:Counter", value, runtime="node", isolation="shared") for value in kept]
    assert [keep.get().result() for keep in keeps] == kept


def test_python_actors_are_called_as_before(mixed: Client) -> None:
    counter = mixed.actor(Counter, 1, name="py")
    assert mixed.get_actor("py").add(2).result() == 3
    assert counter.n == 3
    with pytest.raises(NoSuchMethod):
        counter._client._result(counter._call("nothing", (), {}, None).task, None)
