"""Keys of tasks: of pure ones what they compute, of others a number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from hashlib import blake2b
from os import urandom
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .called import Called
    from .task import Stored, Task

_KEY_HASH_BYTES = 16

# Drawn once, so that two clients never give the same key to different things.
_prefix = urandom(6).hex()
_numbers = itertools.count()


def pure_key(name: str, function: bytes, arguments: Sequence[Any], inputs: Sequence[Task | Stored | Called]) -> str:
    """The key of a call that always gives the same: equal functions with equal arguments share a task."""
    digest = blake2b(function, digest_size=_KEY_HASH_BYTES)
    for buffer in arguments:
        digest.update(buffer)
    for value in inputs:
        digest.update(str(value.key).encode())
    return f"{name}-{digest.hexdigest()}"


def new_key(name: str) -> str:
    """A key that nobody else has."""
    return f"{name}-{_prefix}-{next(_numbers)}"


def content_key(kind: str, buffers: Sequence[Any]) -> str:
    """The key of a value, made of its bytes."""
    digest = blake2b(digest_size=_KEY_HASH_BYTES)
    for buffer in buffers:
        digest.update(buffer)
    return f"{kind}-{digest.hexdigest()}"


def keys_of_map(key: str | Sequence[Any] | None, count: int) -> Callable[[int], Any]:
    """The keys of `count` calls: those that were given, or numbered ones with a prefix; None lets each be made."""
    if key is None:
        return lambda _: None
    if isinstance(key, str):
        prefix = new_key(key)
        return lambda n: f"{prefix}-{n}"
    if len(key) != count:
        raise ValueError(f"{len(key)} keys for {count} calls; give as many keys as calls, or one as a prefix")
    return lambda n: key[n]
