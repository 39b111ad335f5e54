"""Values as bytes and back.

A value that has left Python is a codec and a list of buffers. Plain text and bytes have codecs of their own, so that
any language reads them; everything else is a pickle of protocol 5, whose large buffers lie beside it, not copied.

A future inside a value becomes the number of a task's input. Its class says so by returning `refer(self)` from
`__reduce__`; on the worker the number is replaced by that input's value. This costs nothing where there are no futures,
while the `persistent_id` of a pickler is called for every object in the value.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, Protocol, TypeAlias

import cloudpickle  # type: ignore[import-untyped, unused-ignore]

from . import formats
from .base import BiremeError
from .formats import Buffer, FormatError
from .unpicklable import culprit

if TYPE_CHECKING:
    from ._bireme import ActorHandle

#: Shorter buffers stay inside the pickle, in bytes: they travel in messages, where one piece is cheaper than two.
OUT_OF_BAND_BYTES = 4096

_PROTOCOL = 5


class Codec(IntEnum):
    """How the bytes of a value are to be read; the numbers are those of `Codec` in `common.proto`."""

    RAW = 1
    UTF8 = 2
    JSON = 3
    MSGPACK = 4
    ARROW_IPC = 5
    NPY = 6
    PICKLE5 = 7
    CLOUDPICKLE = 8
    NONE = 9


# A plain number, which compares faster.
_PICKLE5 = int(Codec.PICKLE5)

#: What pickles always can, and has no buffers.
_NUMBERS = (bool, float, int)


class Encoded(NamedTuple):
    """A value that has left Python."""

    #: How to read the buffers.
    codec: Codec
    #: The bytes; those of large arrays are views of the arrays themselves.
    buffers: list[Buffer]


class EncodeError(BiremeError):
    """A value cannot be turned into bytes. The text says which part of it and why."""


class DecodeError(BiremeError):
    """Bytes cannot be turned into a value. The text says why; `module` names the one that is missing, if one is."""

    def __init__(self, message: str, module: str | None = None) -> None:
        super().__init__(message)
        self.module = module


class Referable(Protocol):
    """What may stand in a value for the input of a task: a future."""


#: Gives the number of the input that a future stands for.
Number: TypeAlias = Callable[[Any], int]
#: Gives the value of the input of a number.
Input: TypeAlias = Callable[[int], object]


class _Scope(threading.local):
    """What futures mean in the value that this thread works on."""

    number: Number | None = None
    input: Input | None = None
    #: What the arguments name that has to stay for as long as they may be read.
    handles: list[ActorHandle] | None = None


_scope = _Scope()


def keep(handle: ActorHandle) -> None:
    """Notes that what this thread writes down, if it leaves here, names an actor that must not go before it is read."""
    if _scope.number is not None:
        _scope.handles = [*(_scope.handles or ()), handle]


def taken() -> list[ActorHandle] | None:
    """The actors that were named by what was written last."""
    handles, _scope.handles = _scope.handles, None
    return handles


def refuse(future: object) -> NoReturn:
    """Says of a future that it is where none may be."""
    raise TypeError(
        f"{type(future).__name__} cannot be part of this value: only the arguments of a task may contain one; "
        "take its result() first"
    )


def refer(future: Referable) -> tuple[Callable[[int], object], tuple[int]]:
    """What the `__reduce__` of a future returns."""
    if _scope.number is None:
        refuse(future)
    return load_input, (_scope.number(future),)


def load_input(n: int) -> object:
    """The value of an input, where a pickle has its number."""
    if _scope.input is None:
        raise DecodeError(f"the value refers to input {n} of a task, and is not read for a task")
    return _scope.input(n)


class Placeholder:
    """Stands in the arguments of a task for the value of an input."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return load_input, (self.number,)


def encode(value: object, what: str = "value", number: Number | None = None) -> Encoded:
    """Turns a value into bytes. `what` is the name that errors call it; `number` is asked about the futures in it."""
    if value is None:
        return Encoded(Codec.NONE, [])
    if type(value) in _NUMBERS:
        return Encoded(Codec.PICKLE5, [pickle.dumps(value, _PROTOCOL)])
    if type(value) is bytes:
        return Encoded(Codec.RAW, [value])
    if type(value) is str:
        try:
            return Encoded(Codec.UTF8, [value.encode()])
        except UnicodeEncodeError:
            pass  # A lone surrogate, which only Python has.
    if formats.is_arrow_table(value):
        return Encoded(Codec.ARROW_IPC, [formats.to_arrow(value)])
    return encode_pickle(value, what, number)


def encode_plain(value: object, what: str = "value") -> Encoded:
    """Turns a value into bytes that any language reads, if it is plain data; tuples become lists. Others are pickled."""
    if isinstance(value, (bytearray, memoryview)):
        return Encoded(Codec.RAW, [formats.to_raw(value)])
    if isinstance(value, (bool, int, float, list, tuple, dict)):
        try:
            return Encoded(Codec.MSGPACK, [formats.to_msgpack(value)])
        except FormatError:
            pass  # Something in it is not plain.
    return encode(value, what)


def encode_pickle(value: object, what: str = "value", number: Number | None = None) -> Encoded:
    """Turns a value into a pickle, whatever it is."""
    before, _scope.number = _scope.number, number
    try:
        return Encoded(Codec.PICKLE5, _pickle(value))
    except Exception as error:
        text = str(error) or "no reason given"
        where = culprit(value, what, _pickle)
        raise EncodeError(f"{where} cannot be pickled: {type(error).__name__}: {text}") from error
    finally:
        _scope.number = before


def encode_call(
    args: Sequence[Any], kwargs: Mapping[str, Any], function: str = "the function", number: Number | None = None
) -> list[Buffer]:
    """Turns the arguments of a task into the one pickle that carries them. `function` is the name that errors call it."""
    before, _scope.number = _scope.number, number
    try:
        twins: dict[int, _Aside] = {}
        aside = ([_aside(value, twins) for value in args], {name: _aside(value, twins) for name, value in kwargs.items()})
        return _pickle((tuple(aside[0]), aside[1]))
    except Exception:
        # Says which argument it is rather than which part of the pickle.
        for name, argument in [*enumerate(args), *kwargs.items()]:
            encode_pickle(argument, f"argument {name!r} of {function}", number)
        return encode_pickle((tuple(args), dict(kwargs)), f"the arguments of {function}", number).buffers
    finally:
        _scope.number = before


def encode_as(codec: Codec, value: object, what: str = "value") -> Encoded:
    """Turns a value into bytes of a given codec, for a reader in another language."""
    write = _WRITERS.get(codec)
    if write is None:
        return encode_pickle(value, what)
    try:
        return Encoded(codec, write(value))
    except FormatError as error:
        raise EncodeError(f"{what} cannot be sent as {codec.name}: {error}") from error


def encode_function(function: Callable[..., Any], what: str = "the function") -> bytes:
    """Turns a function into the bytes of a blob: by name if it can be imported, else with its code."""
    try:
        return bytes(cloudpickle.dumps(function, _PROTOCOL))
    except Exception as error:
        where = culprit(function, what, _pickle)
        raise EncodeError(f"{where} cannot be pickled: {type(error).__name__}: {error}") from error


def decode(codec: int, buffers: Sequence[Buffer], what: str = "value", input: Input | None = None) -> Any:
    """Turns bytes into a value. Arrays and views lie in `buffers` themselves. `input` is asked about numbers in it."""
    if codec == _PICKLE5:
        return _unpickle(buffers, what, input)
    if codec == Codec.CLOUDPICKLE:
        return _unpickle(buffers[:1], what, input)
    if codec == Codec.NONE:
        return None
    read = _READERS.get(codec)
    if read is None:
        known = ", ".join(codec.name for codec in Codec)
        raise DecodeError(f"{what} has codec {codec}, and this Python reads only {known}")
    try:
        return read(_whole(buffers))
    except FormatError as error:
        name = Codec(codec).name
        raise DecodeError(f"{what} has codec {name} and cannot be read: {error}", error.module) from error


def decode_call(call: Buffer, input: Input | None, what: Callable[[], str]) -> Any:
    """Turns a pickle without buffers beside it into a value. Its name is made only for an error."""
    before, _scope.input = _scope.input, input
    try:
        return pickle.loads(call)
    except DecodeError:
        raise
    except Exception as error:
        raise _unreadable(error, what()) from error
    finally:
        _scope.input = before


def decode_function(blob: Buffer, what: str = "the function") -> Callable[..., Any]:
    """Turns the bytes of a blob into a function."""
    function: Callable[..., Any] = _unpickle([blob], what, None)
    if not callable(function):
        raise DecodeError(f"{what} is no function but a {type(function).__name__}")
    return function


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles what the plain pickler does not: code, what `__main__` defines, and views."""

    dispatch_table: ClassVar[Any] = ChainMap({memoryview: lambda view: _reduce_view(view)}, cloudpickle.Pickler.dispatch_table)


class _Aside:
    """Long `bytes` among arguments: beside the pickle they are neither copied into it nor searched with it."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def __reduce__(self) -> tuple[type[bytes], tuple[pickle.PickleBuffer]]:
        return bytes, (pickle.PickleBuffer(self._value),)


def _aside(value: Any, twins: dict[int, _Aside]) -> Any:
    """What stands for an argument in the pickle: the same for one that comes twice, so that it is sent once."""
    if type(value) is not bytes or len(value) < OUT_OF_BAND_BYTES:
        return value
    return twins.setdefault(id(value), _Aside(value))


def frozen(buffer: Any) -> bytes:
    """A buffer of a pickle as it is now: a copy, unless nobody can change it."""
    whole = lasting(buffer)
    return bytes(buffer) if whole is None else whole


def lasting(buffer: Any) -> bytes | None:
    """The `bytes` that a buffer of a pickle is, which nobody can change; None where it is something else."""
    whole = buffer.obj if isinstance(buffer, memoryview) else None
    return whole if type(whole) is bytes and len(whole) == buffer.nbytes else None


def _reduce_view(view: memoryview) -> tuple[Any, ...]:
    if not view.c_contiguous:
        return memoryview, (pickle.PickleBuffer(view.tobytes()),)
    return _load_view, (pickle.PickleBuffer(view), view.format, view.shape)


def _load_view(buffer: Buffer, format: str, shape: tuple[int, ...]) -> memoryview:
    flat = memoryview(buffer).cast("B")
    return flat if (format, len(shape)) == ("B", 1) else flat.cast(format, shape)  # type: ignore[call-overload]


def _pickle(value: object) -> list[Buffer]:
    buffers: list[Buffer] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(view)
        return False

    try:
        main = pickle.dumps(value, _PROTOCOL, buffer_callback=keep)
        if b"__main__" not in main:
            return [main, *buffers]
    except RecursionError:
        raise
    except Exception:
        pass  # The other pickler does more, and says better what is wrong.
    buffers.clear()
    file = io.BytesIO()
    _Pickler(file, _PROTOCOL, keep).dump(value)
    return [file.getbuffer(), *buffers]


def _unpickle(buffers: Sequence[Buffer], what: str, input: Input | None) -> Any:
    if not buffers:
        raise DecodeError(f"{what} is a pickle without bytes")
    before, _scope.input = _scope.input, input
    try:
        return pickle.loads(buffers[0], buffers=buffers[1:])
    except DecodeError:
        raise
    except Exception as error:
        raise _unreadable(error, what) from error
    finally:
        _scope.input = before


def _unreadable(error: Exception, what: str) -> DecodeError:
    if isinstance(error, ModuleNotFoundError):
        return DecodeError(f"{what} cannot be read without the module {error.name!r}, {formats.MISSING}", error.name)
    return DecodeError(f"{what} cannot be unpickled: {type(error).__name__}: {error}")


def _whole(buffers: Sequence[Buffer]) -> Buffer:
    return buffers[0] if len(buffers) == 1 else b"".join(buffers)


_READERS: Mapping[int, Callable[[Buffer], object]] = {
    Codec.RAW: bytes,
    Codec.UTF8: formats.from_utf8,
    Codec.JSON: formats.from_json,
    Codec.MSGPACK: formats.from_msgpack,
    Codec.ARROW_IPC: formats.from_arrow,
    Codec.NPY: formats.from_npy,
}

_WRITERS: Mapping[Codec, Callable[[Any], list[Buffer]]] = {
    Codec.RAW: lambda value: [formats.to_raw(value)],
    Codec.UTF8: lambda value: [formats.to_utf8(value)],
    Codec.JSON: lambda value: [formats.to_json(value)],
    Codec.MSGPACK: lambda value: [formats.to_msgpack(value)],
    Codec.ARROW_IPC: lambda value: [formats.to_arrow(value)],
    Codec.NPY: lambda value: [formats.to_npy(value)],
    Codec.CLOUDPICKLE: lambda value: [encode_function(value)],
    Codec.NONE: lambda value: formats.to_none(value),
}
