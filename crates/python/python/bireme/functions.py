"""Functions on their way to the cluster: each is pickled once, uploaded once, and known by its digest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .serialize import encode_function

if TYPE_CHECKING:
    from ._bireme import Session
    from .preload import Luggage


class Functions:
    """The functions that the cluster knows of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._digests: WeakKeyDictionary[Callable[..., Any], bytes] = WeakKeyDictionary()
        # What was called last is called again more often than not, and then found without a look-up.
        self._last: tuple[object, bytes, str] = (None, b"", "")
        #: What processes are to have before they run any of them.
        self.luggage: Luggage | None = None
        #: Held by who makes other luggage of the one there is, and while digests are remembered, which are of that.
        self.changing = threading.RLock()

    def travel_with(self, luggage: Luggage) -> None:
        """Has all functions, those that were sent already too, bring something along from here on."""
        with self.changing:
            self.luggage = luggage
            self._digests.clear()
            self._last = (None, b"", "")

    def find(self, function: Callable[..., Any]) -> tuple[bytes, str]:
        """The digest by which tasks name a function, which is uploaded the first time, and its name for people."""
        last, digest, name = self._last
        if last is not function:
            luggage = self.luggage
            digest, name = self.digest(function), name_of(function)
            with self.changing:
                if self.luggage is luggage:
                    self._last = (function, digest, name)
        return digest, name

    def digest(self, function: Callable[..., Any]) -> bytes:
        """The digest of a function alone."""
        try:
            known = self._digests.get(function)
        except TypeError:
            # Neither hashable nor weakly referable, such as a method of a list: equal pickles are still one blob.
            return self._upload(function, self.luggage)
        if known is None:
            luggage = self.luggage
            known = self._upload(function, luggage)
            with self.changing:
                if self.luggage is luggage:
                    self._remember(function, known)
        return known

    def _remember(self, function: Callable[..., Any], digest: bytes) -> None:
        try:
            self._digests[function] = digest
        except TypeError:
            pass

    def _upload(self, function: Callable[..., Any], luggage: Luggage | None) -> bytes:
        blob = encode_function(function, f"the function {name_of(function)}")
        return self._session.put_blob(luggage.packed(blob) if luggage is not None else blob)


def name_of(function: Callable[..., Any]) -> str:
    """A short name for people, the first part of keys."""
    while hasattr(function, "func"):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return "lambda" if name == "<lambda>" else str(name)[:64]
