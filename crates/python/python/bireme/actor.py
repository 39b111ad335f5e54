"""Actors: objects that live in the cluster, whose methods are called from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, cast

from . import actor_api, plain
from .actor_spec import PYTHON
from .called import Called, places
from .errors import NoSuchMethod, TaskError
from .future import Future
from .keys import new_key
from .serialize import decode, frozen, keep
from .task import FINISHED
from .units import seconds

if TYPE_CHECKING:
    from ._bireme import ActorHandle, CallArguments, Stream
    from .client import Client
    from .link import Known, Link

#: The names by which every actor gives an attribute, and the names of its methods.
ATTRIBUTE, METHODS = "__getattribute__", "__dir__"


class How(TypedDict):
    """How a call is made."""

    #: Seconds that its caller waits.
    deadline: float | None
    #: What is promised of it; None is what the method promises.
    delivery: str | None
    #: Place of its lane; None is the method's.
    lane: int | None
    #: It may overtake earlier calls.
    unordered: bool
    #: The calls that wait for it.
    chain: Any
    #: `value`, `store` or `none`.
    reply: str


class ActorFuture(Future[Any]):
    """The result of a call of an actor, or the actor that is being made: a future as that of a task."""

    __slots__ = ()

    def retry(self) -> Any:
        """Raises TypeError: whether a call is made again is for its actor's `delivery` to say."""
        raise TypeError(f"{self.key} is a call of an actor, which is not tried again; call the method again")

    def __repr__(self) -> str:
        return f"<ActorFuture: {self.status}, key: {self.key}>"


class Actor:
    """A handle of an actor. Its methods are those of the object, and each call gives a future; other names are attributes of
    the object, read there.

    Calls that this process makes run in the order in which they are made. When the client that made the actor has no handle
    of it any more, and the calls made by these have ended, the actor ends, unless it is detached. A handle can be an argument
    and a result. The future of a task or call keeps the handles that were among its arguments, and an actor those that this
    client gave it. A handle that another client got, or that was found by name, does not keep its actor alive.

    Where the object has no methods of these names, `kill`, `checkpoint` and `move` are those of the client.
    """

    def __init__(
        self,
        client: Client,
        native: ActorHandle,
        name: str,
        methods: Mapping[str, bool] | None,
        kept: Sequence[ActorHandle] | None = None,
        is_plain: bool | None = None,
    ) -> None:
        """`methods` says of each method whether it gives items; None is to be asked for. `kept` are the handles that its
        constructor was given. `is_plain` says that it is in another language; None is for the handle to know.
        """
        if kept:
            native.keep(kept)
        self._client = client
        self._native = native
        self._name = name
        self._methods = methods
        self._key = f"{name}-{native.id.hex()[:8]}"
        self._is_plain = native.runtime not in (None, PYTHON) if is_plain is None else is_plain

    @property
    def key(self) -> str:
        """Its name for people."""
        return self._key

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{name} is private: nobody asks an actor for it")
        methods = self._all_methods()
        if name in methods:
            return Method(self, name, methods[name])
        own = _OWN.get(name)
        if own is not None:
            return partial(getattr(self._client, own), self)
        return self._client._sync(self._read, name)

    def _read(self, name: str) -> Any:
        try:
            return self._client._result(self._call(ATTRIBUTE, (name,), {}, _how()).task, None)
        except (AttributeError, TaskError) as error:
            if not _is_absent(name, error):
                raise
            near = get_close_matches(name, self._all_methods(), 1)
            hint = f"; the method most like it is {near[0]!r}" if near else ""
            raise AttributeError(f"{self._name} has no method or attribute {name!r}{hint}") from error

    def _all_methods(self, timeout: float | None = None) -> Mapping[str, bool]:
        """The methods, each with whether it gives items. An actor of an unknown class is asked, and may take so long."""
        if self._methods is None:
            asked = self._call(METHODS, (), {}, {**_how(), "unordered": True, "deadline": timeout})
            try:
                self._methods = cast(Mapping[str, bool], self._client._result(asked.task, None))
            except NoSuchMethod:
                self._methods = _Untold()
        return self._methods

    def _call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], how: How | None) -> ActorFuture:
        link = self._client._live()
        key = new_key(f"{self._name}.{method}")
        inputs: list[Known] = []
        written, handles = self._written(link, key, args, kwargs, inputs)
        if not inputs:
            called = Called(key, self._native.call(method, written, (), how))
            link.keep(called, handles)
            return ActorFuture(self._client, called)
        link.submitter.flush()
        is_ready = all(link.status(known) == FINISHED for known in inputs)
        pending = self._native.call(method, written, places(inputs) if is_ready else None, how)
        called = Called(key, pending, inputs)
        link.keep(called, handles)
        if not is_ready:
            link.watch_all(inputs, partial(called.feed, link))
        return ActorFuture(self._client, called)

    def _stream(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], how: How | None) -> ActorItems:
        link = self._client._live()
        inputs: list[Known] = []
        written, handles = self._written(link, f"{self._name}.{method}", args, kwargs, inputs)
        # Their errors are told here: items have no future.
        for known in inputs:
            link.error(known, None)
        stream = self._native.stream(method, written, places(inputs), how)
        return ActorItems(self._client, stream, handles)

    def _written(
        self, link: Link, what: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: list[Known]
    ) -> tuple[CallArguments, list[ActorHandle] | None]:
        """Arguments as the actor reads them, and the handles in them, which are kept for as long as it is: it may keep them."""
        written, handles = write(link, self._is_plain, what, args, kwargs, inputs)
        if handles:
            self._native.keep(handles)
        return written, handles

    def __reduce__(self) -> tuple[Callable[..., Actor], tuple[Any, ...]]:
        keep(self._native)
        methods = None if self._methods is None or isinstance(self._methods, _Untold) else dict(self._methods)
        return load, (self._native.id, self._name, methods, self._is_plain)

    def __eq__(self, other: object) -> bool:
        return self._native.id == other._native.id if isinstance(other, Actor) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._native.id)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(self._methods or ()), *_OWN})

    def __repr__(self) -> str:
        return f"<Actor: {self._name}, key={self._key}>"


#: What a handle has of its own, where its actor has no methods of these names, by the client's names for it.
_OWN = {"checkpoint": "checkpoint_actor", "kill": "kill_actor", "move": "move_actor"}


class Method:
    """A method of an actor: called, it gives a future; one that is a generator's gives its items."""

    __slots__ = ("_actor", "_how", "_name", "_streams")

    def __init__(self, actor: Actor, name: str, streams: bool, how: How | None = None) -> None:
        self._actor = actor
        self._name = name
        self._streams = streams
        self._how = how

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._streams:
            return self.stream(*args, **kwargs)
        return self._actor._call(self._name, args, kwargs, self._now())

    def stream(self, *args: Any, **kwargs: Any) -> ActorItems:
        """Calls it, and gives its items as they come."""
        return self._actor._stream(self._name, args, kwargs, self._now())

    def options(
        self,
        *,
        timeout: float | str | None = None,
        delivery: str | None = None,
        unordered: bool = False,
        reply: bool = True,
    ) -> Method:
        """The same method, called in another way: the call ends as `CallTimeout` after `timeout`, promises less than its
        actor does, may overtake earlier ones, or with `reply=False` gives only None.
        """
        how = _how()
        how["deadline"] = seconds(timeout)
        how["delivery"] = delivery
        how["unordered"] = unordered
        how["reply"] = "value" if reply else "none"
        return Method(self._actor, self._name, self._streams, how)

    def _now(self) -> How | None:
        chain = actor_api.chain()
        if self._how is None and chain is None:
            return None
        return {**(self._how or _how()), "chain": chain}

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._actor!r}>"


class ActorItems:
    """The items that a call gives, as they come: an iterator, and an asynchronous one."""

    def __init__(self, client: Client, stream: Stream, kept: object = None) -> None:
        """`kept` is what the call was given and has to stay."""
        self._client = client
        self._stream = stream
        self._kept = kept

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        found = self._next()
        if not found:
            raise StopIteration
        return found[0]

    def __aiter__(self) -> ActorItems:
        return self

    async def __anext__(self) -> Any:
        import asyncio

        found = await asyncio.to_thread(self._next)
        if not found:
            raise StopAsyncIteration
        return found[0]

    def cancel(self) -> None:
        """Wants no more of them."""
        self._stream.cancel()

    def _next(self) -> tuple[Any, ...]:
        from ._bireme import Failed
        from .errors import exception

        try:
            item = self._stream.next()
        except Failed as error:
            failed = error.with_traceback(None)  # With it, it would hold these items.
        else:
            return () if item is None else (decode(*item, what="an item"),)
        raise exception(failed.args[0])


def _is_absent(name: str, error: AttributeError | TaskError) -> bool:
    """Whether an error says that an actor has no attribute of a name. Other languages have errors of their own for it."""
    if isinstance(error, NoSuchMethod):
        return True
    is_raised = error.kind == "user" if isinstance(error, TaskError) else True
    return is_raised and name in str(error)


class _Untold(dict[str, bool]):
    """The methods of an actor that does not tell which it has: any name may be one."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> bool:
        return False


def write(
    link: Link, is_plain: bool, what: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: list[Known]
) -> tuple[CallArguments, list[ActorHandle] | None]:
    """Writes arguments down as an actor reads them. What they hold may change once this returns."""
    if is_plain:
        words, found = plain.write(what, args, kwargs, inputs)
        return words, [*found, *(link.handles_in(inputs) or ())]
    buffers = link.arguments(what, args, kwargs, inputs) if args or kwargs else link.no_arguments
    handles = link.handles_in(inputs)
    if len(buffers) > 1:
        buffers = [buffers[0], *map(frozen, buffers[1:])]
    return buffers, handles


def load(id: bytes, name: str, methods: Mapping[str, bool] | None, is_plain: bool = False) -> Actor:
    """A handle that has come here, of this process's client."""
    from ._bireme import actor_of
    from .client import get_client

    client = get_client()
    return Actor(client, actor_of(client._live().session, id), name, methods, is_plain=is_plain)


def _how() -> How:
    return {
        "deadline": None,
        "delivery": None,
        "lane": None,
        "unordered": False,
        "chain": actor_api.chain(),
        "reply": "value",
    }
