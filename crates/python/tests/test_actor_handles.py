"""Who keeps an actor alive: whoever has a handle of it that the client which made it knows of."""

from __future__ import annotations

from typing import Any

from actors import Caller, Counter, use
from bireme import ActorGone, CallUnknown, Client

#: Longest wait for a call, in seconds.
WAIT_S = 50.0


def same(value: Any) -> Any:
    """A task that returns what it takes."""
    return value


def until_gone(found: Any, method: str) -> None:
    """Calls an actor that is to end until it has. A call may be under way when it does."""
    while not isinstance(error := getattr(found, method)().exception(WAIT_S), ActorGone):
        assert error is None or isinstance(error, CallUnknown)


def test_an_actor_has_those_that_it_was_given_for_as_long_as_it_lives(client: Client) -> None:
    counter, caller = client.actor(Counter, name="handles/given"), client.actor(Caller)
    found = client.get_actor("handles/given")
    caller.know(counter)
    del counter
    assert caller.ask("increment").result(WAIT_S) == 1
    del caller
    until_gone(found, "increment")


def test_an_actor_has_those_that_its_constructor_was_given(client: Client) -> None:
    counter = client.actor(Counter, name="handles/made")
    found = client.get_actor("handles/made")
    outer = client.actor(Caller, client.actor(Caller, counter))
    del counter
    assert outer.ask("ask", "increment").result(WAIT_S) == 1
    del outer
    until_gone(found, "increment")


def test_actors_that_have_only_each_other_end(client: Client) -> None:
    one, other = client.actor(Caller, name="handles/one"), client.actor(Caller, name="handles/other")
    found = [client.get_actor("handles/one"), client.get_actor("handles/other")]
    one.know(other).result(WAIT_S)
    other.know(one).result(WAIT_S)
    del one
    assert other.ask("answer").result(WAIT_S) == "answered"
    del other
    for one_found in found:
        until_gone(one_found, "answer")


def test_a_result_that_has_a_handle_keeps_its_actor(client: Client) -> None:
    counter = client.actor(Counter, name="handles/result")
    found = client.get_actor("handles/result")
    held = client.submit(same, [counter])
    del counter
    again = client.submit(same, held)
    again.result(WAIT_S)
    del held
    [back] = again.result(WAIT_S)
    del again
    assert back.increment().result(WAIT_S) == 1, "what came back is as good as what was made"
    del back
    until_gone(found, "increment")


def test_a_value_that_has_a_handle_keeps_its_actor(client: Client) -> None:
    counter = client.actor(Counter, name="handles/stored")
    found = client.get_actor("handles/stored")
    stored = client.scatter([[counter]])[0]
    del counter
    assert client.submit(lambda held: use(held[0], 5), stored).result(WAIT_S) == 5
    del stored
    until_gone(found, "increment")
