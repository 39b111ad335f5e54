"""What an actor is to be, as the native half takes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .actor_api import Every, options_of
from .units import seconds, size

if TYPE_CHECKING:
    from .link import Link

#: Names of runtimes: that of this package, and that of classes which a worker's own binary has.
PYTHON, NATIVE = "python", "native"
#: Name of the lane that every actor has.
_FIRST = "default"


def spec(link: Link, cls: type | str, options: dict[str, Any]) -> dict[str, Any]:
    """What an actor is to be. Takes the options out that it knows."""
    take = options.pop
    runtime = PYTHON if isinstance(cls, type) else take("runtime", NATIVE)
    env = take("env", None)
    if env is not None and runtime == NATIVE:
        raise ValueError(f"env is for a runtime that installs packages, and {cls!r} is native; leave it out, or name a runtime")
    lanes = {_FIRST: 1} | dict(take("lanes", None) or {})
    wanted = dict(take("resources", None) or {})
    checkpoint = Every(*take("checkpoint", None) or ())
    return {
        "class": link.functions.digest(cls) if isinstance(cls, type) else cls,
        "class_name": cls.__qualname__ if isinstance(cls, type) else cls,
        "name": take("name", None),
        "namespace": take("namespace", None) or "",
        "detached": bool(take("detached", False)),
        "get_if_exists": bool(take("get_if_exists", False)),
        "max_restarts": _restarts(take("max_restarts", None)),
        "delivery": take("delivery", "at_most_once"),
        "durability": take("durability", "process"),
        "peers": int(take("peers", 0)),
        "checkpoint": (checkpoint.n, checkpoint.bytes, float(checkpoint.seconds)),
        "lanes": [("" if name == _FIRST else name, count) for name, count in lanes.items()],
        "methods": _methods(cls, list(lanes)) if isinstance(cls, type) else [],
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
        "runtime": runtime,
        "env": link.options.environment(env),
        "max_wait": seconds(take("timeout", None)),
    }


def _restarts(times: int | None) -> int | None:
    if times is not None and times < -1:
        raise ValueError(f"max_restarts is {times}; give how often, or -1 for always")
    return times


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
    return calls, None if most is None else size(most, "bytes"), on_full == "refuse"
