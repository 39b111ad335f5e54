"""Times, sizes and keys."""

from __future__ import annotations

import pytest

from bireme.functions import name_of
from bireme.keys import new_key, pure_key
from bireme.units import seconds, size


def test_times_and_sizes_as_people_write_them() -> None:
    assert [seconds(text) for text in ("1.5", "200ms", "2 min", 3, None)] == [1.5, 0.2, 120.0, 3, None]
    assert [size(text) for text in ("1 GiB", "2kB", 7, "1e3")] == [1 << 30, 2000, 7, 1000]
    for bad in ("soon", "5 parsecs", ""):
        with pytest.raises(ValueError, match="is not a time"):
            seconds(bad)
    with pytest.raises(ValueError, match=r"grace='soon' is not a time; write a number and one of us, ms, s"):
        seconds("soon", "grace")
    with pytest.raises(ValueError, match="memory='much' is not a size"):
        size("much")


def test_keys_tell_calls_apart() -> None:
    key = pure_key("f", b"digest", [b"args"], [])
    assert key == pure_key("f", b"digest", [b"args"], [])
    assert len({key, pure_key("f", b"other", [b"args"], []), pure_key("f", b"digest", [b"else"], [])}) == 3
    assert new_key("f") != new_key("f")


def test_names_are_for_people() -> None:
    assert name_of(len) == "len"
    assert name_of(lambda: 1) == "lambda"
    assert name_of(type("Callable", (), {"__call__": len})()) == "Callable"
