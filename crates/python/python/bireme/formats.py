"""Codecs that other languages know too: text, bytes, JSON, MessagePack, Arrow tables, NumPy arrays.

A library is loaded when the first value needs it, so that whoever has no Arrow tables needs no pyarrow.
"""

from __future__ import annotations

import io
import json
import sys
from importlib import import_module
from typing import Any, TypeAlias

#: Bytes in one piece, wherever they lie.
Buffer: TypeAlias = bytes | bytearray | memoryview

#: What to do about a module that is not there.
MISSING = f"which {sys.executable} (Python {sys.version.split()[0]}) does not have; install it there"

#: More bytes than any header of a `.npy` file that NumPy itself would write.
_NPY_HEADER_BYTES = 64 << 10


class FormatError(Exception):
    """A value does not fit a codec, or bytes do not; `module` names the one that is missing, if one is."""

    def __init__(self, message: str, module: str | None = None) -> None:
        super().__init__(message)
        self.module = module


def to_raw(value: Any) -> Buffer:
    """Bytes as they are."""
    try:
        view = memoryview(value)
    except TypeError as error:
        raise FormatError(f"{_kind(value)} has no bytes") from error
    return view.cast("B") if view.c_contiguous else view.tobytes()


def to_none(value: Any) -> list[Buffer]:
    """No bytes, for no value."""
    if value is not None:
        raise FormatError(f"{_kind(value)} is not None")
    return []


def to_utf8(value: Any) -> bytes:
    """Text."""
    if not isinstance(value, str):
        raise FormatError(f"{_kind(value)} is no str")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise FormatError(str(error)) from error


def from_utf8(buffer: Buffer) -> str:
    """Text."""
    try:
        return str(buffer, "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"invalid UTF-8 at byte {error.start}") from error


def to_json(value: Any) -> bytes:
    """Plain data as JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise FormatError(str(error)) from error


def from_json(buffer: Buffer) -> Any:
    """Plain data from JSON."""
    try:
        return json.loads(bytes(buffer))
    except (ValueError, RecursionError) as error:
        raise FormatError(str(error)) from error


def to_msgpack(value: Any) -> bytes:
    """Plain data as one MessagePack item."""
    msgpack = _library("msgpack")
    try:
        return bytes(msgpack.packb(value, use_bin_type=True))
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(str(error)) from error


def from_msgpack(buffer: Buffer) -> Any:
    """Plain data from one MessagePack item."""
    msgpack = _library("msgpack")
    try:
        return msgpack.unpackb(buffer, raw=False, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise FormatError(str(error) or type(error).__name__) from error


def is_arrow_table(value: object) -> bool:
    """Whether a value is an Arrow table. Where nobody has loaded the library there are none."""
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(value, getattr(pyarrow, "Table", ()))


def to_arrow(value: Any) -> Buffer:
    """An Arrow table as an IPC stream."""
    pyarrow = _library("pyarrow")
    if not isinstance(value, pyarrow.Table):
        raise FormatError(f"{_kind(value)} is no pyarrow.Table")
    sink = pyarrow.BufferOutputStream()
    with import_module("pyarrow.ipc").new_stream(sink, value.schema) as writer:
        writer.write_table(value)
    return memoryview(sink.getvalue()).cast("B")


def from_arrow(buffer: Buffer) -> Any:
    """An Arrow table whose columns lie in the buffer."""
    pyarrow = _library("pyarrow")
    try:
        return import_module("pyarrow.ipc").open_stream(pyarrow.py_buffer(buffer)).read_all()
    except (pyarrow.ArrowException, OSError) as error:
        raise FormatError(str(error)) from error


def to_npy(value: Any) -> Buffer:
    """An array as a `.npy` file."""
    numpy = _library("numpy")
    if not isinstance(value, numpy.ndarray) or value.dtype.hasobject:
        raise FormatError(f"{_kind(value)} is no numpy.ndarray of plain elements")
    file = io.BytesIO()
    numpy.lib.format.write_array(file, value, allow_pickle=False)
    return file.getbuffer()


def from_npy(buffer: Buffer) -> Any:
    """An array from a `.npy` file. Its elements lie in the buffer."""
    numpy = _library("numpy")
    view = memoryview(buffer).cast("B")
    file = io.BytesIO(view[:_NPY_HEADER_BYTES])
    try:
        version = numpy.lib.format.read_magic(file)
        read = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
        shape, is_fortran, dtype = getattr(numpy.lib.format, read)(file)
        if dtype.hasobject:
            raise FormatError("its elements are Python objects; send it as PICKLE5")
        elements = numpy.ndarray(shape, dtype, view, file.tell(), order="F" if is_fortran else "C")
    except (ValueError, TypeError) as error:
        raise FormatError(str(error)) from error
    return elements


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise FormatError(f"it needs the module {name!r}, {MISSING}", name) from error


def _kind(value: object) -> str:
    return f"a {type(value).__module__}.{type(value).__qualname__}"
