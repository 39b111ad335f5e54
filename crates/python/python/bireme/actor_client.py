"""What a client does with actors: makes and finds them, ends, moves and lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ._bireme import create_actor, find_actor, list_actors
from .actor import Actor, ActorFuture, write
from .actor_api import methods_of
from .actor_spec import spec
from .called import Called, places
from .errors import CallTimeout, not_alive
from .keys import new_key
from .task import FINISHED
from .units import seconds

if TYPE_CHECKING:
    from ._bireme import ActorHandle
    from .client import Client
    from .link import Known, Link


class ActorMethods:
    """The methods of a client that are about actors."""

    _live: Callable[..., Link]
    _sync: Callable[..., Any]

    def actor(self, cls: type | str, *args: Any, **options: Any) -> Any:
        """Makes an actor, an object of `cls` that lives in the cluster, and returns a handle once it takes calls.

        A class in another language is named: as a worker's binary has registered it, such as `builtin/Counter`, or with
        `runtime` as the executor of that language finds it, such as `counter:Counter` of the runtime `node`. It is given plain
        data.

        Of the keyword arguments those are the actor's own that are named here, and all others its constructor's:

        - `name`, `namespace`: others find it by `get_actor`; `get_if_exists` gives the one that has the name.
        - `detached`: it outlives its handles and this client.
        - `max_restarts`: how often it is made again when its process is lost, -1 for always; 0 unless its calls survive.
        - `delivery`: what is promised of its calls, `at_most_once`, `at_least_once` or `effectively_once`.
        - `durability`: what its log outlives, the death of any `process` or a power cut (`disk`).
        - `peers`: on how many other workers its log and its checkpoints are kept too, at most 3, so that it outlives its own.
        - `checkpoint`: when checkpoints are made, as `every(n=1000)` says.
        - `lanes`: how many calls run at a time, by names of lanes; one in the lane `default`, unless said otherwise.
        - `mailbox`: how many calls of one caller may wait, or a dictionary of `calls`, `bytes` and `on_full`, which is
          `wait` or `refuse`.
        - `resources`: what it takes for life, no cpus unless said otherwise.
        - `isolation`: `process`, one of its own, or `shared` with other small actors; `in-process`, inside the worker, is for
          native actors and refused for others.
        - `workers`, `allow_other_workers`: where it may live.
        - `reentrant`: calls come in that wait for themselves.
        - `on_unknown`: with `stop`, calls that this client has made already end as `CallNotRun` behind one that ended as
          `CallUnknown`; otherwise they go on.
        - `environment`: variables of its process.
        - `env`: what is installed where its process runs, an `Environment` or a list of requirements.
        - `timeout`: how long to wait until it takes calls; then `CallTimeout` says why it does not, and it ends unless it is
          detached.
        """
        return self._sync(self._made, cls, args, options)

    def get_actor(self, name: str, namespace: str = "", *, timeout: float | str | None = None) -> Any:
        """A handle of the actor that has this name, once that has told its methods. It does not keep the actor alive.

        An actor that waits for a worker tells nothing: `timeout` says how long to wait for it; then `CallTimeout` says why it
        takes no calls. Without, it is waited for as long as that takes.
        """
        return self._sync(self._found, name, namespace, timeout)

    def list_actors(self, filter: str = "") -> Any:
        """What the scheduler knows of actors, as dictionaries. A filter is words such as `class=Counter state=alive`."""
        return self._sync(lambda: list_actors(self._live().session, filter))

    def kill_actor(self, actor: Actor, *, restart: bool = False, grace: float | str = 0.0) -> Any:
        """Ends an actor, or with `restart` only its process. Calls that run may go on for `grace`; calls that have not ended
        then raise `ActorGone`.
        """
        if restart:
            return self._sync(actor._native.restart, self._live().session, seconds(grace, "grace") or 0.0)
        return self._sync(actor._native.kill, seconds(grace, "grace") or 0.0)

    def checkpoint_actor(self, actor: Actor) -> Any:
        """Has an actor write its state down, and says how large that is."""
        return self._sync(actor._native.checkpoint)

    def move_actor(self, actor: Actor, worker: str | None = None) -> Any:
        """Moves an actor to another worker, which is named or chosen, and waits until it takes calls there. No call is lost."""
        return self._sync(self._moved, actor, worker)

    def _actor(self, cls: Any, args: tuple[Any, ...], options: dict[str, Any], key: Any = None) -> ActorFuture:
        """Begins to make an actor. Takes what it knows out of `options`: the rest is the constructor's."""
        if not isinstance(cls, (type, str)):
            raise TypeError(f"an actor is made of a class or the name of one, not of a {type(cls).__name__}")
        link, client = self._live(), cast("Client", self)
        wanted = spec(link, cls, options)
        name, methods = (cls.__name__, methods_of(cls)) if isinstance(cls, type) else (cls, None)
        inputs: list[Known] = []
        written, handles = write(link, not isinstance(cls, type), name, args, options, inputs)
        link.submitter.flush()
        is_ready = all(link.status(known) == FINISHED for known in inputs)
        pending = create_actor(link.session, wanted, written, places(inputs) if is_ready else None)
        wrap = partial(_alive, client, name, methods, handles, wanted["max_wait"])
        called = Called(key or new_key(name), pending, inputs, wrap)
        link.keep(called, handles)
        if not is_ready:
            link.watch_all(inputs, partial(called.feed, link))
        return ActorFuture(client, called)

    def _made(self, cls: type | str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        future = self._actor(cls, args, options)
        actor = future._client._result(future.task, None)
        if isinstance(cls, str):
            actor._all_methods()  # Here, where an asynchronous client may wait.
        return actor

    def _found(self, name: str, namespace: str, timeout: float | str | None) -> Actor:
        within, client = seconds(timeout), cast("Client", self)
        native = find_actor(self._live().session, name, namespace)
        actor = Actor(client, native, name, None)
        try:
            actor._all_methods(within)
        except CallTimeout:
            busy = not_alive(f"the actor {name} has not told its methods after {within:g} s: other calls keep it busy")
            raise _late(client, native, name, within) or busy from None
        return actor

    def _moved(self, actor: Actor, worker: str | None) -> Any:
        number = None
        if worker is not None:
            workers = self._live().session.workers()
            found = [w["number"] for w in workers if worker in (w["name"], w["address"])]
            if not found:
                raise ValueError(f"the cluster has no worker {worker!r}; scheduler_info() lists those it has")
            number = found[0]
        return actor._native.relocate(number)


def _alive(
    client: Client,
    name: str,
    methods: Mapping[str, bool] | None,
    kept: list[ActorHandle] | None,
    timeout: float | None,
    native: ActorHandle,
) -> Actor:
    """A handle of an actor that was made. Raises CallTimeout where it does not take calls in time."""
    late = None if timeout is None else _late(client, native, name, timeout)
    if late is not None:
        raise late
    return Actor(client, native, name, methods, kept)


def _late(client: Client, native: ActorHandle, name: str, timeout: float | None) -> CallTimeout | None:
    """The error of an actor that does not take calls after so many seconds, with what it waits for; None of one that does."""
    known = native.describe(client._live().session)
    if known["state"] == "alive":
        return None
    why = "; ".join(known["waits_for"])
    return not_alive(f"the actor {name} is {known['state']} after {timeout:g} s" + (f": {why}" if why else ""))
