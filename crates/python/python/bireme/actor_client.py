"""What a client does with actors: makes and finds them, ends, moves and lists them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ._bireme import create_actor, find_actor, list_actors
from .actor import Actor, ActorFuture
from .actor_api import Every, methods_of, options_of
from .called import Called, places
from .keys import new_key
from .serialize import frozen
from .task import FINISHED
from .units import seconds, size

if TYPE_CHECKING:
    from .client import Client
    from .link import Known, Link

#: Name of the lane that every actor has.
_FIRST = "default"


class ActorMethods:
    """The methods of a client that are about actors."""

    _live: Callable[..., Link]
    _sync: Callable[..., Any]

    def actor(self, cls: type, *args: Any, **options: Any) -> Any:
        """Makes an actor, an object of `cls` that lives in the cluster, and returns a handle once it takes calls.

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
        """
        return self._sync(self._made, cls, args, options)

    def get_actor(self, name: str, namespace: str = "") -> Any:
        """A handle of the actor that has this name. It does not keep the actor alive."""
        return self._sync(self._found, name, namespace)

    def list_actors(self, filter: str = "") -> Any:
        """What the scheduler knows of actors, as dictionaries. A filter is words such as `class=Counter state=alive`."""
        return self._sync(lambda: list_actors(self._live().session, filter))

    def kill_actor(self, actor: Actor, *, restart: bool = False, grace: float | str = 0.0) -> Any:
        """Ends an actor, or with `restart` only its process. Calls that run may go on for `grace`; calls that have not ended
        then raise `ActorGone`.
        """
        if restart:
            return self._sync(actor._native.restart, self._live().session, seconds(grace) or 0.0)
        return self._sync(actor._native.kill, seconds(grace) or 0.0)

    def checkpoint_actor(self, actor: Actor) -> Any:
        """Has an actor write its state down, and says how large that is."""
        return self._sync(actor._native.checkpoint)

    def move_actor(self, actor: Actor, worker: str | None = None) -> Any:
        """Moves an actor to another worker, which is named or chosen, and waits until it takes calls there. No call is lost."""
        return self._sync(self._moved, actor, worker)

    def _actor(self, cls: Any, args: tuple[Any, ...], options: dict[str, Any], key: Any = None) -> ActorFuture:
        """Begins to make an actor. Takes what it knows out of `options`: the rest is the constructor's."""
        if not isinstance(cls, type):
            raise TypeError(f"an actor is made of a class, not of a {type(cls).__name__}")
        link = self._live()
        methods = methods_of(cls)
        spec = _spec(link, cls, options)
        inputs: list[Known] = []
        buffers = link.arguments(cls.__name__, args, options, inputs) if args or options else link.no_arguments
        handles = link.handles_in(inputs)
        buffers = [buffers[0], *map(frozen, buffers[1:])]
        link.submitter.flush()
        is_ready = all(link.status(known) == FINISHED for known in inputs)
        pending = create_actor(link.session, spec, buffers, places(inputs) if is_ready else None)
        wrap = partial(Actor, cast("Client", self), name=cls.__name__, methods=methods, kept=handles)
        called = Called(key or new_key(cls.__name__), pending, inputs, wrap)
        link.keep(called, handles)
        if not is_ready:
            link.watch_all(inputs, partial(called.feed, link))
        return ActorFuture(cast("Client", self), called)

    def _made(self, cls: type, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        future = self._actor(cls, args, options)
        return future._client._result(future.task, None)

    def _found(self, name: str, namespace: str) -> Actor:
        native = find_actor(self._live().session, name, namespace)
        actor = Actor(cast("Client", self), native, name, None)
        actor._methods = actor._ask()
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


def _spec(link: Link, cls: type, options: dict[str, Any]) -> dict[str, Any]:
    """What an actor is to be. Takes the options out that it knows."""
    take = options.pop
    lanes = {_FIRST: 1} | dict(take("lanes", None) or {})
    wanted = dict(take("resources", None) or {})
    checkpoint = Every(*take("checkpoint", None) or ())
    return {
        "class": link.functions.digest(cls),
        "class_name": cls.__qualname__,
        "name": take("name", None),
        "namespace": take("namespace", None) or "",
        "detached": bool(take("detached", False)),
        "get_if_exists": bool(take("get_if_exists", False)),
        "max_restarts": take("max_restarts", None),
        "delivery": take("delivery", "at_most_once"),
        "durability": take("durability", "process"),
        "peers": int(take("peers", 0)),
        "checkpoint": (checkpoint.n, checkpoint.bytes, float(checkpoint.seconds)),
        "lanes": [("" if name == _FIRST else name, count) for name, count in lanes.items()],
        "methods": _methods(cls, list(lanes)),
        "mailbox": _mailbox(take("mailbox", None)),
        "cpus": float(wanted.pop("cpus", 0.0)),
        "memory": size(wanted.pop("memory", 0)),
        "resources": {name: float(amount) for name, amount in wanted.items()},
        "isolation": take("isolation", "process"),
        "workers": link.options.names(take("workers", None)),
        "allow_other_workers": bool(take("allow_other_workers", False)),
        "reentrant": bool(take("reentrant", False)),
        "stops": _stops(take("on_unknown", "continue")),
        "environment": [(str(name), os.fspath(value)) for name, value in (take("environment", None) or {}).items()],
        "runtime": "python",
        "env": link.options.environment(take("env", None)),
    }


def _methods(cls: type, lanes: list[str]) -> list[tuple[str, int, str | None, bool]]:
    """The methods that do otherwise than their actor."""
    found = []
    for name, options in options_of(cls).items():
        lane = options.lane or _FIRST
        if lane not in lanes:
            raise ValueError(f"{cls.__name__}.{name} is in the lane {lane!r}, which the actor has not; add it to `lanes`")
        found.append((name, lanes.index(lane), options.delivery, options.keeps_result))
    return found


def _stops(on_unknown: str) -> bool:
    if on_unknown not in ("continue", "stop"):
        raise ValueError(f"on_unknown is {on_unknown!r}; give continue or stop")
    return on_unknown == "stop"


def _mailbox(wanted: int | Mapping[str, Any] | None) -> tuple[int | None, int | None, bool]:
    given = {"calls": wanted} if wanted is None or isinstance(wanted, int) else dict(wanted)
    calls, on_full = given.pop("calls", None), given.pop("on_full", "wait")
    most = given.pop("bytes", None)
    if given or on_full not in ("wait", "refuse"):
        raise ValueError(f"mailbox is {wanted!r}; give a number, or calls, bytes, and on_full as wait or refuse")
    return calls, None if most is None else size(most), on_full == "refuse"


