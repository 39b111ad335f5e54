"""Values as bytes and back: every codec, buffers beside pickles, futures as numbers, and what cannot be sent."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bireme import formats
from bireme.serialize import (
    OUT_OF_BAND_BYTES,
    Codec,
    DecodeError,
    EncodeError,
    decode,
    decode_function,
    encode,
    encode_as,
    encode_call,
    encode_function,
    encode_plain,
    frozen,
    refer,
)


def round_trip(value: Any) -> Any:
    return decode(*encode(value))


@pytest.mark.parametrize(
    ("value", "codec"),
    [
        (None, Codec.NONE),
        (b"\0bytes", Codec.RAW),
        ("text \N{SNOWMAN}", Codec.UTF8),
        ("\ud800 alone", Codec.PICKLE5),
        (7, Codec.PICKLE5),
        ({"a": [1, 2.5, (True, None)]}, Codec.PICKLE5),
    ],
)
def test_plain_values_keep_their_types(value: Any, codec: Codec) -> None:
    encoded = encode(value)
    assert encoded.codec is codec
    back = decode(*encoded)
    assert (type(back), back) == (type(value), value)


@pytest.mark.parametrize(
    ("value", "codec", "back"),
    [
        (None, Codec.NONE, None),
        (True, Codec.MSGPACK, True),
        (5_000_000_000, Codec.MSGPACK, 5_000_000_000),
        ("text", Codec.UTF8, "text"),
        (bytearray(b"ab"), Codec.RAW, b"ab"),
        ({"a": [1, (2.5, None)]}, Codec.MSGPACK, {"a": [1, [2.5, None]]}),
        ([1, {2}], Codec.PICKLE5, [1, {2}]),
        (1 << 64, Codec.PICKLE5, 1 << 64),
        (np.float64(1.5), Codec.MSGPACK, 1.5),
    ],
)
def test_results_of_named_functions_are_plain_where_they_can_be(value: Any, codec: Codec, back: Any) -> None:
    encoded = encode_plain(value)
    assert encoded.codec == codec
    assert decode(*encoded) == back


def test_large_arrays_are_not_copied_on_either_side() -> None:
    array = np.arange(OUT_OF_BAND_BYTES, dtype=np.uint8)
    codec, buffers = encode({"x": array, "again": array})
    assert len(buffers) == 2, "one pickle, and the array once"
    assert np.shares_memory(np.frombuffer(buffers[1], np.uint8), array)
    back = decode(codec, buffers)
    assert np.shares_memory(back["x"], array)
    assert back["x"] is back["again"]


def test_small_arrays_stay_in_the_pickle_and_can_be_written_to() -> None:
    codec, buffers = encode(np.arange(3))
    assert len(buffers) == 1
    back = decode(codec, buffers)
    back[0] = 9
    assert back.tolist() == [9, 1, 2]


def test_views_are_not_copied() -> None:
    memory = bytearray(range(256)) * 64
    view = memoryview(memory).cast("I").cast("B").cast("H", [64, 128])
    codec, buffers = encode(view)
    back = decode(codec, buffers)
    assert (back.format, back.shape, back) == ("H", (64, 128), view)
    memory[0] = 255
    assert back[0, 0] & 0xFF == 255
    assert bytes(round_trip(memoryview(memory)[::2])) == bytes(memory[::2])


def test_long_bytes_among_arguments_lie_beside_the_pickle_and_come_back_as_bytes() -> None:
    long, short = bytes(2 * OUT_OF_BAND_BYTES), b"short"
    other = bytes(bytearray(long))
    pickled, *buffers = encode_call((long, short), {"named": other})
    assert len(pickled) < OUT_OF_BAND_BYTES
    assert [frozen(buffer) for buffer in buffers] == [long, long]
    assert all(frozen(buffer) is value for buffer, value in zip(buffers, (long, other), strict=True)), "nobody can change it"
    args, kwargs = decode(Codec.PICKLE5, [pickled, *(memoryview(bytes(buffer)) for buffer in buffers)])
    assert (args, kwargs) == ((long, short), {"named": long})
    assert type(args[0]) is bytes


def test_long_bytes_that_come_twice_are_sent_once() -> None:
    long = bytes(2 * OUT_OF_BAND_BYTES)
    pickled, *buffers = encode_call((long, long), {"named": long})
    assert [len(buffer) for buffer in buffers] == [len(long)]
    args, kwargs = decode(Codec.PICKLE5, [pickled, *(memoryview(bytes(buffer)) for buffer in buffers)])
    assert args[0] is args[1] is kwargs["named"]


def test_what_may_change_is_copied_before_it_does() -> None:
    array = bytearray(b"before")
    for buffer in (array, memoryview(array), memoryview(b"before after")[:6]):
        copy = frozen(buffer)
        assert type(copy) is bytes
        assert copy == b"before"


def test_arrow_tables_have_their_own_codec() -> None:
    table = pa.table({"n": list(range(10_000)), "s": ["x"] * 10_000})
    codec, buffers = encode(table)
    assert codec is Codec.ARROW_IPC
    assert decode(codec, buffers).equals(table)


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (Codec.RAW, b"x"),
        (Codec.UTF8, "x"),
        (Codec.JSON, {"a": [1, 2.5, None, "\N{SNOWMAN}"]}),
        (Codec.MSGPACK, {"a": [1, 2.5, None, b"x", "y"], 3: True}),
        (Codec.NONE, None),
        (Codec.PICKLE5, {1, 2}),
    ],
)
def test_a_codec_can_be_asked_for(codec: Codec, value: Any) -> None:
    encoded = encode_as(codec, value)
    assert encoded.codec is codec
    assert decode(*encoded) == value


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((3, 4))), np.zeros(0)])
def test_npy_arrays_lie_in_the_buffer(array: Any) -> None:
    codec, buffers = encode_as(Codec.NPY, array)
    back = decode(codec, buffers)
    assert back.dtype == array.dtype
    assert back.flags.f_contiguous == array.flags.f_contiguous
    np.testing.assert_array_equal(back, array)
    assert array.size == 0 or np.shares_memory(back, np.frombuffer(buffers[0], np.uint8))


@pytest.mark.parametrize(
    ("codec", "value", "text"),
    [
        (Codec.JSON, {1, 2}, "cannot be sent as JSON: Object of type set is not JSON serializable"),
        (Codec.MSGPACK, object(), "cannot be sent as MSGPACK"),
        (Codec.UTF8, 3, "a builtins.int is no str"),
        (Codec.RAW, 3, "a builtins.int has no bytes"),
        (Codec.NPY, np.array([object()]), "no numpy.ndarray of plain elements"),
        (Codec.ARROW_IPC, [1], "no pyarrow.Table"),
        (Codec.NONE, 0, "is not None"),
    ],
)
def test_what_does_not_fit_a_codec_is_refused(codec: Codec, value: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        encode_as(codec, value)


@pytest.mark.parametrize(
    ("codec", "buffers", "text"),
    [
        (Codec.UTF8, [b"ab\xff"], "codec UTF8 and cannot be read: invalid UTF-8 at byte 2"),
        (Codec.JSON, [b"{"], "codec JSON and cannot be read"),
        (Codec.MSGPACK, [b"\x81"], "codec MSGPACK and cannot be read"),
        (Codec.MSGPACK, [b""], "codec MSGPACK and cannot be read"),
        (Codec.ARROW_IPC, [b"nonsense"], "codec ARROW_IPC and cannot be read"),
        (Codec.NPY, [b"nonsense"], "codec NPY and cannot be read"),
        (Codec.PICKLE5, [b"nonsense"], "cannot be unpickled"),
        (Codec.PICKLE5, [], "a pickle without bytes"),
        (77, [b""], "has codec 77, and this Python reads only RAW, UTF8"),
    ],
)
def test_nonsense_is_refused_by_name(codec: int, buffers: list[Any], text: str) -> None:
    with pytest.raises(DecodeError, match=f"the argument.*{text}"):
        decode(codec, buffers, "the argument")


def test_a_missing_library_is_named_with_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode(pa.table({"n": [1]}))

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(formats, "import_module", missing)
    with pytest.raises(DecodeError, match=r"codec ARROW_IPC .* needs the module 'pyarrow', which .*python.* does not"):
        decode(*encoded)


class Token:
    """A future, as far as pickling goes."""

    def __reduce__(self) -> Any:
        return refer(self)


def test_futures_become_numbers_at_any_depth() -> None:
    first, second = Token(), Token()
    numbers = {id(first): 0, id(second): 1}
    call = ((first, [1, {"deep": second}]), {"again": first})
    codec, buffers = encode(call, number=lambda token: numbers[id(token)])
    values: list[Any] = ["one", {"two": 2}]
    back = decode(codec, buffers, input=values.__getitem__)
    assert back == (("one", [1, {"deep": {"two": 2}}]), {"again": "one"})
    assert back[0][1][1]["deep"] is values[1]


def test_futures_beside_lambdas() -> None:
    codec, buffers = encode([lambda x: x + 1, Token()], number=lambda _: 4)
    function, value = decode(codec, buffers, input=lambda n: n * 10)
    assert (function(1), value) == (2, 40)


def test_a_future_where_none_may_be_is_named() -> None:
    with pytest.raises(EncodeError, match=r"\['a'\]\[1\] of the result \(a .*Token\).* only the arguments of a task"):
        encode({"a": [1, Token()]}, "the result")


def test_numbers_mean_nothing_outside_of_tasks() -> None:
    codec, buffers = encode(Token(), number=lambda _: 3)
    with pytest.raises(DecodeError, match="refers to input 3"):
        decode(codec, buffers)


def test_functions_keep_their_code() -> None:
    factor = 3

    def scaled(x: int) -> int:
        return x * factor

    assert decode_function(encode_function(scaled))(5) == 15
    assert decode_function(encode_function(len)) is len
    with pytest.raises(DecodeError, match="no function but a int"):
        decode_function(pickle.dumps(3))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (threading.Lock(), r"^the result \(a _thread.lock\) cannot be pickled: TypeError: cannot pickle '_thread.lock'"),
        ({"model": [1, threading.Lock()]}, r"^\['model'\]\[1\] of the result \(a _thread.lock\) cannot be pickled"),
        (SimpleNamespace(a=SimpleNamespace(b=threading.Lock())), r"^a.b of the result \(a _thread.lock\)"),
        ({threading.Lock(): 1}, r"^ ?key <unlocked _thread.lock .*of the result"),
    ],
)
def test_what_cannot_be_pickled_is_named(value: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        encode(value, "the result")


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((1, [threading.Lock()]), {}, r"^\[0\] of argument 1 of work \(a _thread.lock\) cannot be pickled"),
        ((1,), {"guard": threading.Lock()}, r"^argument 'guard' of work \(a _thread.lock\) cannot be pickled"),
    ],
)
def test_an_argument_that_cannot_be_pickled_is_named(args: Any, kwargs: Any, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        encode_call(args, kwargs, "work")
    assert decode(Codec.PICKLE5, encode_call(args[:1], {}, "work")) == ((1,), {})


def test_a_variable_that_cannot_be_pickled_is_named() -> None:
    lock = threading.Lock()

    def guarded() -> None:
        with lock:
            pass

    with pytest.raises(EncodeError, match=r"^lock of the function \(a _thread.lock\) cannot be pickled"):
        encode_function(guarded)


def test_what_is_too_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError, match="RecursionError"):
        encode(deep, "the result")


def test_a_class_that_raises_while_it_is_pickled_is_refused() -> None:
    class Stubborn:
        def __getstate__(self) -> Any:
            raise ValueError("not me")

    with pytest.raises(EncodeError, match="ValueError: not me"):
        encode([Stubborn()])


def test_a_value_that_cannot_be_taken_apart_is_still_named() -> None:
    class Closed(dict[str, Any]):
        def items(self) -> Any:
            raise PermissionError("closed")

        def __reduce__(self) -> Any:
            raise ValueError("not me")

    with pytest.raises(EncodeError, match=r"^\['x'\] of the result \(a .*Closed\) cannot be pickled: ValueError: not me"):
        encode({"x": Closed()}, "the result")


def test_a_module_that_is_missing_is_named() -> None:
    blob = b"\x80\x05cabsent_module\nfunction\n."
    with pytest.raises(DecodeError, match=r"without the module 'absent_module', which .* does not have") as raised:
        decode_function(blob)
    assert raised.value.module == "absent_module"


MAIN = """
    import sys
    from bireme.serialize import encode, encode_function
    class Point:
        def __init__(self, x): self.x = x
        def double(self): return Point(self.x * 2)
    def get(point): return point.double().x
    sys.stdout.buffer.write(b"".join(bytes(b) for b in encode({"p": Point(21)}).buffers))
    sys.stdout.buffer.write(b"----")
    sys.stdout.buffer.write(encode_function(get))
"""


def test_what_main_defines_travels_with_its_code() -> None:
    made = subprocess.run([sys.executable, "-c", textwrap.dedent(MAIN)], check=True, capture_output=True).stdout
    value, function = made.split(b"----")
    get: Callable[[Any], int] = decode_function(function)
    assert get(decode(Codec.PICKLE5, [value])["p"]) == 42
