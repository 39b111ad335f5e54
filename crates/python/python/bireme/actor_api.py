"""What the code of an actor may say of itself and ask about its call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar, overload
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ._bireme import Chain, HostedCall

F = TypeVar("F", bound=Callable[..., Any])

#: Where `method` leaves what it was told.
OPTIONS = "__bireme_method__"


class MethodOptions(NamedTuple):
    """What a method does otherwise than its actor."""

    #: Name of its lane; None is the first.
    lane: str | None = None
    #: What is promised of its calls; None is what the actor promises.
    delivery: str | None = None
    #: The call log keeps what it returned, instead of calling it again.
    keeps_result: bool = False


@overload
def method(function: F, /) -> F: ...
@overload
def method(
    *, lane: str | None = None, delivery: str | None = None, journal: str = "call"
) -> Callable[[F], F]: ...
def method(
    function: F | None = None, /, *, lane: str | None = None, delivery: str | None = None, journal: str = "call"
) -> F | Callable[[F], F]:
    """Says how a method of an actor is called: in which lane, with what promised, and with `journal="result"` that the call log
    keeps its result, because it would give another one when it is called again.
    """
    if journal not in ("call", "result"):
        raise ValueError(f"journal is {journal!r}; give call or result")
    options = MethodOptions(lane, delivery, journal == "result")

    def decorate(function: F) -> F:
        setattr(function, OPTIONS, options)
        return function

    return decorate if function is None else decorate(function)


#: What was found in classes: to look takes longer than to make many an actor.
_methods: WeakKeyDictionary[type, Mapping[str, bool]] = WeakKeyDictionary()
_options: WeakKeyDictionary[type, Mapping[str, MethodOptions]] = WeakKeyDictionary()


def methods_of(cls: type) -> Mapping[str, bool]:
    """The methods of a class that have public names, and whether they give items. Those that it has when they are first looked
    for: that is how it is sent, too.
    """
    found = _methods.get(cls)
    if found is None:
        found = _methods[cls] = _find_methods(cls)
    return found


def options_of(cls: type) -> Mapping[str, MethodOptions]:
    """What the methods of a class do otherwise than their actor, of those that do. It is looked for once as well."""
    found = _options.get(cls)
    if found is None:
        told = {name: getattr(getattr(cls, name, None), OPTIONS, None) for name in dir(cls)}
        found = _options[cls] = {name: options for name, options in told.items() if options is not None}
    return found


def _find_methods(cls: type) -> dict[str, bool]:
    found = {}
    for name in dir(cls):
        if name.startswith("_"):
            continue
        method = inspect.getattr_static(cls, name, None)
        function = getattr(method, "__func__", method)
        if callable(function):
            found[name] = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    return found


class Every(NamedTuple):
    """When checkpoints are made: as soon as any of these is reached; 0 is no such limit."""

    #: Calls.
    n: int = 0
    #: Time, in seconds, if there was a call.
    seconds: float = 0.0
    #: Bytes of call log.
    bytes: int = 0


def every(n: int = 0, *, seconds: float = 0.0, bytes: int = 0) -> Every:
    """Says when an actor's checkpoints are made: after so many calls, so much time, or so many bytes of call log."""
    return Every(n, seconds, bytes)


class ActorExit(BaseException):
    """Ends the actor whose method raises it, without an error."""


def actor_exit() -> NoReturn:
    """Ends the actor whose method calls this. The call gives None; those that wait end with `ActorGone`."""
    current_call()
    raise ActorExit


class CurrentCall:
    """The call that runs."""

    def __init__(self, call: HostedCall) -> None:
        self._call = call

    @property
    def method(self) -> str:
        """Name of the method."""
        return self._call.method

    @property
    def replay(self) -> bool:
        """It has run before, in an earlier life of the actor: what it does outside has been done."""
        return self._call.replay

    @property
    def deadline(self) -> float | None:
        """How long its caller waits, in seconds from when it began."""
        return self._call.deadline

    def is_cancelled(self) -> bool:
        """Whether it is unwanted: then it had better return."""
        return self._call.stop_asked()

    def wait_cancelled(self, seconds: float) -> bool:
        """Sleeps for so long, or until the call is unwanted; whether it is."""
        return self._call.wait_stop(seconds)

    def __repr__(self) -> str:
        return f"<call of {self.method}>"


#: The call that this thread or coroutine runs.
_running: ContextVar[HostedCall | None] = ContextVar("bireme_call", default=None)
#: What a constructor that this thread runs calls with.
_making: ContextVar[Chain | None] = ContextVar("bireme_making", default=None)


def current_call() -> CurrentCall:
    """The call that runs. Raises ValueError outside of actors."""
    call = _running.get()
    if call is None:
        raise ValueError("no call of an actor runs here; use this in a method of an actor")
    return CurrentCall(call)


def enter(call: HostedCall | None) -> None:
    """Notes which call this thread runs, if any."""
    _running.set(call)


def make(chain: Chain | None) -> None:
    """Notes that this thread runs a constructor, if it does."""
    _making.set(chain)


def chain() -> Chain | None:
    """The calls that wait for whatever is called now."""
    call = _running.get()
    return _making.get() if call is None else call.chain
