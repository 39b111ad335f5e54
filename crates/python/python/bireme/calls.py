"""Functions and arguments of tasks, as an executor reads them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from .formats import MISSING
from .serialize import Codec, DecodeError, decode, decode_call, decode_function, encode_call

if TYPE_CHECKING:
    from ._bireme import Argument, Given, Value

#: Functions that a process keeps; beyond that those go that were not called for longest.
FUNCTIONS = 512

# A plain number, which compares faster.
_PICKLE5 = int(Codec.PICKLE5)

#: The pickle of no arguments, as clients of this version of Python write it.
_NOTHING = encode_call((), {})[0]

Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Outputs(list[Any]):
    """What a function returns for a task that has several outputs: the value of each."""


class NotFound(DecodeError, LookupError):
    """There is no such function here."""


class Functions:
    """The functions that this process has called, by digest or name."""

    def __init__(self, forget: Callable[[bytes | str | None], None] = lambda _: None) -> None:
        self._known: OrderedDict[bytes | str | None, Callable[..., Any]] = OrderedDict()
        #: Is told which one goes.
        self._forget = forget

    def find(self, given: Given) -> Callable[..., Any]:
        """The function that is to be called. Raises NotFound or DecodeError."""
        which = given.function
        function = self._known.get(which)
        if function is None:
            function = _import(which) if isinstance(which, str) else _load(given)
            self._known[which] = function
            if len(self._known) > FUNCTIONS:
                self._forget(self._known.popitem(last=False)[0])
        else:
            self._known.move_to_end(which)
        return function


def _load(given: Given) -> Callable[..., Any]:
    what = f"the function of {given.key!r}"
    try:
        return decode_function(given.code(), what)
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


def read_call(given: Given, functions: Functions) -> Call:
    """What an attempt is to call with what, or an actor is made from. Raises NotFound or DecodeError."""
    function = functions.find(given)
    args, kwargs, _ = read_arguments(given)
    return function, args, kwargs


def read_arguments(given: Given) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """With what something is called, by position and by name, and whether another language may have said so."""
    pickle = given.pickle
    if pickle == _NOTHING:
        return (), {}, False
    inputs = _Inputs(given)
    if pickle is not None:
        call = decode_call(pickle, inputs.value, lambda: f"the arguments of {given.key!r}")
        if _is_call(call):
            positional, keywords = call
            return positional, keywords, False
        return (call,), {}, True
    what = f"the arguments of {given.key!r}"
    args, named = given.args, given.named_args
    values = [_read(arg, what, inputs) for arg in args]
    if len(values) == 1 and not named and _is_pickle(args[0]) and _is_call(values[0]):
        positional, keywords = values[0]
        return positional, keywords, False
    keywords = {name: _read(arg, f"argument {name!r} of {given.key!r}", inputs) for name, arg in named.items()}
    return tuple(values), keywords, True


def _read(arg: Argument, what: str, inputs: _Inputs) -> Any:
    """An argument: a value, or a list or map of arguments."""
    if isinstance(arg, list):
        return [_read(part, what, inputs) for part in arg]
    if isinstance(arg, dict):
        return {name: _read(part, what, inputs) for name, part in arg.items()}
    codec, buffers = arg
    return decode(codec, buffers, what, inputs.value)


def _is_pickle(arg: Argument) -> bool:
    return isinstance(arg, tuple) and arg[0] == _PICKLE5


def _is_call(value: Any) -> bool:
    """Whether it is what Python clients send: positional arguments and those by name, in one pickle."""
    return type(value) is tuple and len(value) == 2 and type(value[0]) is tuple and type(value[1]) is dict


class _Inputs:
    """The inputs of an attempt or a call, each decoded when and if the arguments refer to it, and once."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._values: list[Value] | None = None
        self._decoded: dict[int, Any] = {}

    def value(self, n: int) -> Any:
        """The value of input `n`."""
        if n not in self._decoded:
            if self._values is None:
                self._values = self._given.inputs
            if not 0 <= n < len(self._values):
                raise DecodeError(f"{self._given.key!r} refers to input {n}, and has {len(self._values)}")
            self._decoded[n] = self._decode(n, *self._values[n])
        return self._decoded[n]

    def _decode(self, n: int, codec: int, buffers: list[bytes | memoryview]) -> Any:
        def what() -> str:
            return f"input {n} of {self._given.key!r}"

        if codec == _PICKLE5 and len(buffers) == 1:
            return decode_call(buffers[0], None, what)
        return decode(codec, buffers, what=what())
