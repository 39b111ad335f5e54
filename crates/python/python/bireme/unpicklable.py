"""Finds the part of a value that cannot be pickled, so that an error can name it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

#: Parts that are tried before the search ends with what it has found so far.
_TRIES = 200
#: Parts of one container that are tried.
_WIDTH = 50


def culprit(value: object, name: str, pickle: Callable[[object], object]) -> str:
    """Name and type of the innermost part of `value` that `pickle` refuses: `['model'].lock of the result (a _thread.lock)`."""
    path, tries, seen = "", _TRIES, set[int]()
    while id(value) not in seen:
        seen.add(id(value))
        try:
            for step, part in islice(_parts(value), min(_WIDTH, tries)):
                tries -= 1
                if _is_refused(part, pickle):
                    path, value = path + step, part
                    break
        except Exception:
            break  # It does not let itself be taken apart.
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    where = f"{path.removeprefix('.')} of {name}" if path else name
    return f"{where} (a {module}{kind.__qualname__})"


def _is_refused(part: object, pickle: Callable[[object], object]) -> bool:
    try:
        pickle(part)
    except Exception:
        return True
    return False


def _parts(value: object) -> Iterator[tuple[str, Any]]:
    """What a value is made of, each with how one gets there from the value."""
    if isinstance(value, Mapping):
        for key, part in list(islice(value.items(), _WIDTH)):
            yield f"[{_short(key)}]", part
            yield f" key {_short(key)}", key
    elif isinstance(value, (list, tuple, set, frozenset)):
        for n, part in enumerate(islice(value, _WIDTH)):
            yield f"[{n}]", part
    elif inspect.isfunction(value):
        closure = inspect.getclosurevars(value)
        for variables in (closure.nonlocals, closure.globals):
            for variable, part in variables.items():
                yield f".{variable}", part
    elif isinstance(attributes := getattr(value, "__dict__", None), dict):
        for attribute, part in attributes.items():
            yield f".{attribute}", part


def _short(key: object) -> str:
    try:
        text = repr(key)
    except Exception:
        return "?"
    return text if len(text) <= 40 else f"{text[:37]}..."
