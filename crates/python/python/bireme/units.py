"""Times and sizes as people write them."""

from __future__ import annotations

import re

_SECONDS = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "b": 1} | {
    name: factor
    for n, letter in enumerate("kmgtp", start=1)
    for name, factor in ((letter, 1000**n), (f"{letter}b", 1000**n), (f"{letter}ib", 1024**n))
}


def seconds(time: float | str | None, option: str = "timeout") -> float | None:
    """`1.5`, `"1.5 s"`, `"200ms"`; None is no limit. An error names the option."""
    if time is None or isinstance(time, (int, float)):
        return time
    return _parse(option, time, _SECONDS, "a time")


def size(value: int | float | str, option: str = "memory") -> int:
    """Bytes: `1024`, `"1 GiB"`, `"200MB"`. An error names the option."""
    return int(value if isinstance(value, (int, float)) else _parse(option, value, _BYTES, "a size"))


def _parse(option: str, text: str, units: dict[str, float] | dict[str, int], what: str) -> float:
    found = re.fullmatch(r"\s*([0-9.]+(?:e-?[0-9]+)?)\s*([a-zA-Z]*)\s*", text)
    factor = units.get(found[2].lower()) if found else None
    if found is None or factor is None:
        known = ", ".join(filter(None, units))
        raise ValueError(f"{option}={text!r} is not {what}; write a number and one of {known}")
    return float(found[1]) * factor
