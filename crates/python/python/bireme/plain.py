"""Arguments of actors in other languages: each by itself, as plain data.

An actor in Python is given one pickle of all its arguments, which nobody else reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from . import formats
from .formats import FormatError
from .future import Future
from .serialize import Codec, EncodeError, taken

if TYPE_CHECKING:
    from ._bireme import ActorHandle, Word
    from .link import Known

#: What a call is given: by position, and by name.
Words: TypeAlias = "tuple[list[Word], list[tuple[str, Word]]]"

#: What other languages read, for errors.
_READ = "None, bool, int, float, str, bytes, list, tuple, dict, pyarrow.Table, a handle of an actor, or a future"


def write(
    what: str, args: Sequence[Any], kwargs: dict[str, Any], inputs: list[Known]
) -> tuple[Words, list[ActorHandle]]:
    """Writes arguments down; `what` is what errors call that which they are for. The tasks and calls whose values it takes
    are added to `inputs`. Returns the handles of actors among the arguments too.
    """
    taken()  # What somebody else's arguments left, who did not ask.
    handles: list[ActorHandle] = []

    def word(name: int | str, value: Any) -> Word:
        return _word(f"argument {name!r} of {what}", value, inputs, handles)

    placed = [word(n, value) for n, value in enumerate(args)]
    return (placed, [(name, word(name, value)) for name, value in kwargs.items()]), handles


def _word(what: str, value: Any, inputs: list[Known], handles: list[ActorHandle]) -> Word:
    from .actor import Actor

    if isinstance(value, Future):
        inputs.append(value.task)
        return len(inputs) - 1
    if isinstance(value, Actor):
        handles.append(value._native)
        return value._native
    try:
        return _value(what, value)
    except FormatError as error:
        raise EncodeError(f"{what} is a {_kind(value)} with something in it that is no plain data: {error}") from error


def _value(what: str, value: Any) -> tuple[int, list[Any]]:
    """A value as codec and bytes, which are its own."""
    if value is None:
        return Codec.NONE, []
    if isinstance(value, str):
        return Codec.UTF8, [formats.to_utf8(value)]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Codec.RAW, [bytes(value)]
    if isinstance(value, (bool, int, float, list, tuple, dict)):
        return Codec.MSGPACK, [formats.to_msgpack(value)]
    if formats.is_arrow_table(value):
        return Codec.ARROW_IPC, [formats.to_arrow(value)]
    raise EncodeError(f"{what} is a {_kind(value)}, which no other language reads; give {_READ}")


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
