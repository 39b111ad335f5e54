"""Functions and arguments of tasks, as an executor reads them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from .formats import MISSING
from .serialize import Codec, DecodeError, decode, decode_function

if TYPE_CHECKING:
    from ._bireme import Argument, Attempt, HostedCall, Making, Value

#: Functions that a process keeps; beyond that those go that were not called for longest.
FUNCTIONS = 512

# A plain number, which compares faster.
_PICKLE5 = int(Codec.PICKLE5)

Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class NotFound(DecodeError, LookupError):
    """There is no such function here."""


class Functions:
    """The functions that this process has called, by digest or name."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes | str, Callable[..., Any]] = OrderedDict()

    def find(self, attempt: Attempt | Making) -> Callable[..., Any]:
        """The function of an attempt. Raises NotFound or DecodeError."""
        which = attempt.function
        function = self._known.get(which)
        if function is None:
            function = _import(which) if isinstance(which, str) else _load(attempt)
            self._known[which] = function
            if len(self._known) > FUNCTIONS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(which)
        return function


def _load(attempt: Attempt | Making) -> Callable[..., Any]:
    what = f"the function of {attempt.key!r}"
    try:
        return decode_function(attempt.code(), what)
    except DecodeError as error:
        if error.module is None:
            raise
        raise NotFound(str(error), error.module) from error


def _import(name: str) -> Callable[..., Any]:
    module, _, path = name.partition(":")
    if not path:
        raise NotFound(f"the function {name!r} has no module; name it as `module:function`")
    try:
        function = attrgetter(path)(import_module(module))
    except ModuleNotFoundError as error:
        raise NotFound(f"the function {name!r} cannot be had without the module {error.name!r}, {MISSING}", error.name) from error
    except AttributeError as error:
        raise NotFound(f"the function {name!r} is not there: {error}") from error
    if not callable(function):
        raise NotFound(f"{name!r} is no function but a {type(function).__name__}")
    return function  # type: ignore[no-any-return]


def read_call(attempt: Attempt | Making, functions: Functions) -> Call:
    """What an attempt is to call with what, or an actor is made from. Raises NotFound or DecodeError."""
    function = functions.find(attempt)
    args, kwargs, _ = read_arguments(attempt)
    return function, args, kwargs


def read_arguments(attempt: Attempt | Making | HostedCall) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """With what something is called, by position and by name, and whether another language may have said so."""
    inputs = _Inputs(attempt)
    what = f"the arguments of {attempt.key!r}"
    args, named = attempt.args, attempt.named_args
    values = [_read(arg, what, inputs) for arg in args]
    if len(values) == 1 and not named and _is_call(args[0], values[0]):
        positional, keywords = values[0]
        return positional, keywords, False
    keywords = {name: _read(arg, f"argument {name!r} of {attempt.key!r}", inputs) for name, arg in named.items()}
    return tuple(values), keywords, True


def _read(arg: Argument, what: str, inputs: _Inputs) -> Any:
    """An argument: a value, or a list or map of arguments."""
    if isinstance(arg, list):
        return [_read(part, what, inputs) for part in arg]
    if isinstance(arg, dict):
        return {name: _read(part, what, inputs) for name, part in arg.items()}
    codec, buffers = arg
    return decode(codec, buffers, what, inputs.value)


def _is_call(arg: Argument, value: Any) -> bool:
    """Whether it is what Python clients send: positional arguments and those by name, in one pickle."""
    if not isinstance(arg, tuple) or arg[0] != _PICKLE5 or type(value) is not tuple or len(value) != 2:
        return False
    return type(value[0]) is tuple and type(value[1]) is dict


class _Inputs:
    """The inputs of an attempt, each decoded when and if the arguments refer to it, and once."""

    def __init__(self, attempt: Attempt | Making | HostedCall) -> None:
        self._attempt = attempt
        self._values: list[Value] | None = None
        self._decoded: dict[int, Any] = {}

    def value(self, n: int) -> Any:
        """The value of input `n`."""
        if n not in self._decoded:
            if self._values is None:
                self._values = self._attempt.inputs
            if not 0 <= n < len(self._values):
                raise DecodeError(f"{self._attempt.key!r} refers to input {n}, and has {len(self._values)}")
            what = f"input {n} of {self._attempt.key!r}"
            self._decoded[n] = decode(*self._values[n], what=what)
        return self._decoded[n]
