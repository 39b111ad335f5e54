"""Actors of an executor process: makes them, runs their calls, writes down and reads their state.

Besides its methods an actor answers to two names of its own: `__getattribute__` gives the attribute that its argument
names, `__dir__` the names of the methods, each with whether it is a generator's.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, TypeAlias

from . import actor_api, worker_api
from .actor_api import ActorExit, methods_of
from .calls import Functions, read_arguments, read_call
from .errors import describe
from .serialize import EncodeError, decode, encode, encode_plain

if TYPE_CHECKING:
    import asyncio

    from ._bireme import HostedCall, Making

#: What the native half understands: a word and what belongs to it.
Said: TypeAlias = tuple[str, Any]

#: Longest name of a result's type, in characters.
_HINT_CHARACTERS = 200
#: The name by which an attribute is read, and the one by which the methods are told.
ATTRIBUTE, METHODS = "__getattribute__", "__dir__"


class Actors:
    """Makes actors."""

    def __init__(self) -> None:
        self._classes = Functions()
        self._loop = Loop()

    def __call__(self, making: Making) -> Said:
        """Makes an actor, or makes it again from what it left."""
        worker_api.host(making.services)
        try:
            try:
                cls, args, kwargs = read_call(making.given, self._classes)
            except LookupError as error:
                return _failed(error, "not_found")
            except Exception as error:
                return _failed(error, "deserialize")
            left = making.restored
            if left is not None:
                return "ok", Host(_restored(cls, left), making.key, self._loop)
            actor_api.make(making.chain)
            try:
                instance = cls(*args, **kwargs)
            finally:
                actor_api.make(None)
            return "ok", Host(instance, making.key, self._loop)
        except BaseException as error:
            return _failed(error)
        finally:
            _flush()


class Host:
    """One actor."""

    def __init__(self, instance: Any, name: str, loop: Loop) -> None:
        self._instance = instance
        self._name = name
        self._loop = loop
        self.methods = list(methods_of(type(instance)))
        self.checkpoints = getattr(type(instance), "__checkpoint__", _state) is not None

    def call(self, call: HostedCall) -> Said:
        """Runs a call to its end, whatever that is."""
        actor_api.enter(call)
        try:
            return self._call(call)
        finally:
            actor_api.enter(None)
            _flush()

    def _call(self, call: HostedCall) -> Said:
        method = self._find(call.method)
        if method is None:
            return "no_such_method", None
        try:
            args, kwargs, is_plain = read_arguments(call.given)
        except Exception as error:
            return _failed(error, "deserialize")
        try:
            result = method(*args, **kwargs)
            if isinstance(result, CoroutineType):
                result = self._loop.run(result)
        except ActorExit:
            return "exit", _encoded(None, "", False)
        except BaseException as error:
            return _failed(error)
        if call.streams:
            return "stream", self._items(call, result, is_plain)
        try:
            return "ok", _encoded(result, f"the result of {self._name}.{call.method}", is_plain)
        except Exception as error:
            return _failed(error, "serialize")

    def _find(self, name: str) -> Callable[..., Any] | None:
        if name == ATTRIBUTE:
            return lambda attribute: getattr(self._instance, attribute)
        if name == METHODS:
            return lambda: methods_of(type(self._instance))
        if name.startswith("_"):
            return None
        method = getattr(self._instance, name, None)
        return method if callable(method) else None

    def _items(self, call: HostedCall, result: Any, is_plain: bool) -> Iterator[Said]:
        """What a method gives, one by one; at last how it failed, if it did."""
        what = f"an item of {self._name}.{call.method}"
        # Generators run when they are asked, behind the call that made them.
        actor_api.enter(call)
        try:
            if isinstance(result, AsyncGeneratorType):
                result = self._loop.items(result)
            elif not isinstance(result, Iterator):
                result = result if isinstance(result, (list, tuple)) else (result,)
            for item in result:
                try:
                    encoded = _encoded(item, what, is_plain)
                except Exception as error:
                    yield _failed(error, "serialize")
                    return
                yield "ok", encoded
        except BaseException as error:
            if isinstance(error, GeneratorExit):
                raise
            yield _failed(error)
        finally:
            actor_api.enter(None)
            _flush()

    def checkpoint(self) -> Said:
        """The actor's state."""
        try:
            own = getattr(self._instance, "__checkpoint__", None)
            state = _state(self._instance) if own is None else own()
            if isinstance(state, CoroutineType):
                state = self._loop.run(state)
        except BaseException as error:
            return _failed(error)
        try:
            return "ok", _encoded(state, f"the state of {self._name}", False)
        except Exception as error:
            return _failed(error, "serialize")
        finally:
            _flush()

    def end(self) -> None:
        """The actor's last moment: what it has to close, its own `__del__` closes."""
        self._instance = None


class Loop:
    """An event loop on a thread of its own, from when the first coroutine comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine beside others, and waits for it."""
        import asyncio

        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def items(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        """Gives the items of an asynchronous generator."""

        async def following() -> tuple[Any, ...]:
            async for item in items:
                return (item,)
            return ()

        while found := self.run(following()):
            yield found[0]

    def _running(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="bireme-loop", daemon=True).start()
            return self._loop


def _state(instance: Any) -> Any:
    """What an object of a class without `__checkpoint__` is made of."""
    if "__getstate__" in _names(type(instance)):
        return instance.__getstate__()
    state = getattr(instance, "__dict__", None)
    if state is None:
        cls = type(instance).__qualname__
        raise TypeError(f"{cls} has no __dict__ to take a checkpoint of; give it __checkpoint__ and __restore__")
    return state


def _restored(cls: Any, left: tuple[int, Any]) -> Any:
    """An object made of its state instead of by its constructor."""
    state = decode(*left, what=f"the state of {cls.__qualname__}")
    instance = cls.__new__(cls)
    if hasattr(cls, "__restore__"):
        instance.__restore__(state)
    elif hasattr(cls, "__setstate__"):
        instance.__setstate__(state)
    else:
        instance.__dict__.update(state)
    return instance


def _names(cls: type) -> set[str]:
    """What a class has, but for what every class has."""
    return {name for base in cls.__mro__ if base is not object for name in vars(base)}


def _encoded(value: object, what: str, is_plain: bool) -> tuple[int, Any, str]:
    if isinstance(value, (GeneratorType, AsyncGeneratorType)):
        remedy = "call the method by `.stream(...)` or `bireme actor call --stream`, or return a list"
        raise EncodeError(f"{what} is a generator, which cannot leave its process; {remedy}")
    # Whoever sends arguments that are no pickle may be of any language.
    codec, buffers = (encode_plain if is_plain else encode)(value, what)
    kind = type(value)
    hint = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return int(codec), buffers, hint[:_HINT_CHARACTERS]


def _failed(error: BaseException, kind: str = "user") -> Said:
    return "error", describe(error, kind, __file__)


def _flush() -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        pass  # A method has closed one of them, or put something else in its place.


#: Makes those of this process.
actors = Actors()
