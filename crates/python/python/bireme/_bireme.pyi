"""The native half of Bireme: bytes in, bytes out. Nothing here pickles.

Every call that waits lets other threads run meanwhile, and ends early with `KeyboardInterrupt` on Ctrl-C in the main
thread. A session used after a fork raises `RuntimeError`. A lost connection is a `ConnectionError`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias, TypedDict, final

from typing_extensions import Buffer

# ---- codecs of values -------------------------------------------------------------------------------------------------

CODEC_RAW: Final = 1
CODEC_UTF8: Final = 2
CODEC_JSON: Final = 3
CODEC_MSGPACK: Final = 4
CODEC_ARROW_IPC: Final = 5
CODEC_NPY: Final = 6
CODEC_PICKLE5: Final = 7
CODEC_CLOUDPICKLE: Final = 8
CODEC_NONE: Final = 9

# ---- states of tasks --------------------------------------------------------------------------------------------------

PENDING: Final = 0
FINISHED: Final = 1
FAILED: Final = 2
CANCELLED: Final = 3

ARGS_BYTES: Final[int]
"""Arguments up to this size ride with their task; `Session.submit` stores larger ones first."""

BLOB_BYTES: Final[int]
"""The longest blob, in bytes."""

__version__: Final[str]

Task: TypeAlias = tuple[int, int]
"""A submitted task: the number that `Session.submit` returned, and its place in that batch."""

Buffers: TypeAlias = list[bytes | memoryview]
"""Small buffers are `bytes`; large ones are read-only views of memory that is not copied."""

Value: TypeAlias = tuple[int, Buffers]
"""A codec and the buffers that it reads, in order. `CODEC_NONE` has no buffers."""

class Error(TypedDict):
    """Why a task failed. Every field is there; texts that are not known are empty."""

    # cancelled, dependency, deserialize, input_lost, malformed, not_found, out_of_memory, process_died, reschedule,
    # serialize, store, timeout, user, worker_lost or would_deadlock; and, of this side only, graph (the batch was refused),
    # fetch (the value exists and cannot be brought here) and call (a call of an actor gave nothing: its code is the reason).
    kind: str
    # Stable name: a reason of Bireme in capitals, or the name of the exception's class.
    reason: str
    message: str
    traceback: str
    language: str
    worker: str
    # Text of the attempt's number.
    attempt: str
    # Exit code and signal of the process, where one ended.
    exit: tuple[int, int] | None
    last_lines: list[str]
    cause: Error | None
    # The original exception.
    opaque: Value | None

class Failed(Exception):
    """A task came to nothing: `args[0]` is why, as an `Error`; `args[1]` is the `Task`, or `None`."""

# ---- the client's side ------------------------------------------------------------------------------------------------

@final
class Object:
    """A value that a session has put into the cluster. Dropping it releases it."""

    @property
    def id(self) -> str: ...
    @property
    def size(self) -> int:
        """Bytes."""

# One task of a batch: its key, unique in the batch (empty is none); the digest that `put_blob` returned; the pickle of
# `(args, kwargs)` and its out-of-band buffers; its inputs in the order that the pickle numbers them, each an earlier index
# of this batch (plus 2^32 times the number of an output), a task of an earlier batch, or an object; and what `options`
# returned (0 is: one cpu, runtime `python`).
Submission: TypeAlias = tuple[
    str,
    bytes,
    Buffer | Sequence[Buffer],
    Sequence[int | Task | Object],
    int,
]

@final
class Session:
    """A session with a cluster, on a thread of its own."""

    def __init__(
        self,
        scheduler: str | None = None,
        *,
        token: str | None = None,
        access_file: str | None = None,
        name: str = "",
        namespace: str | None = None,
        parent: Attempt | None = None,
        timeout: float | None = None,
    ) -> None:
        """Connects; what is not given comes from the environment and this user's access file. The session of a running
        attempt ends with it.

        Raises ConnectionError that names the address, or TimeoutError after so many seconds.
        """

    @property
    def number(self) -> int: ...
    @property
    def address(self) -> str:
        """Of the scheduler."""

    def options(
        self,
        *,
        cpus: float = 1.0,
        memory: int = 0,
        resources: dict[str, float] | None = None,
        retries: int = 0,
        priority: int = 0,
        workers: Sequence[str] = (),
        allow_other_workers: bool = False,
        timeout: float | None = None,
        runtime: str = "python",
        max_crashes: int | None = None,
        environment: bytes | None = None,
        fresh_process: bool = False,
        outputs: int = 1,
    ) -> int:
        """The number of a set of options for tasks; equal sets have one number. Memory in bytes, times in seconds."""

    def put_blob(self, data: Buffer) -> bytes:
        """Makes a function's pickle known to the cluster, once per session, and returns its digest."""

    def put_file(self, path: str) -> bytes:
        """The same of a file, which may be large: it is read piece by piece."""

    def put(self, codec: int, buffers: Sequence[Buffer], type_hint: str = "") -> Object:
        """Stores a value in the cluster, where tasks can take it. The buffers must not change before it returns."""

    def fetch(self, object: Object) -> Value: ...
    def submit(
        self, tasks: Sequence[Submission], *, name: str = "", keep: Sequence[int] | None = None
    ) -> int:
        """Submits a batch: one graph. Returns its number. Only the outputs of `keep` outlive their consumers, if given.

        Buffers must be contiguous runs of plain bytes: use `pickle.PickleBuffer.raw`.
        """

    def state(self, graph: int, index: int) -> int: ...
    def result(self, graph: int, index: int, timeout: float | None = None) -> Value:
        """Waits for a task and returns its value. Raises Failed, or TimeoutError after so many seconds."""

    def results(self, tasks: Sequence[Task], timeout: float | None = None) -> list[Value | Failed]:
        """Waits for tasks and brings their values together; failures are in their places."""

    def error(self, graph: int, index: int) -> Error | None:
        """Why a task failed; None if it did not, or has not ended."""

    def ends(self, timeout: float | None = None) -> list[tuple[int, int, int]]:
        """Waits until tasks end, and returns those that ended since the last call: batch, place, state.

        One thread calls it. An empty list is a timeout; ConnectionError means that nothing more will be heard.
        """

    def release(self, graph: int, indices: Sequence[int]) -> None:
        """Gives up results, each once; does not wait. What still runs goes on.

        A batch is forgotten when all of it is given up and nothing that is remembered takes a result of it.
        """

    def cancel(self, graph: int, indices: Sequence[int] = (), grace: float = 0.0) -> None:
        """Cancels tasks and what depends on them; all of the batch if none are named."""

    def reset(self) -> None:
        """Cancels all that was submitted, and gives up all results."""

    def retry(self, graph: int, indices: Sequence[int]) -> None:
        """Tries tasks that failed or were cancelled again, and those that failed because of them."""

    def attempts(self, graph: int) -> int:
        """How many attempts the tasks of a batch have taken. Asks about each of them."""

    def holders(self, values: Sequence[Task | Object]) -> list[tuple[int, list[int]]]:
        """The size of each value in bytes, and the numbers of the workers that have it: none where it is gone or not made, or so
        small that messages carry it."""

    def drop_replicas(self, replicas: Sequence[tuple[Task | Object, int]]) -> None:
        """Has workers, by number, drop values that others have too. The last replica of a value stays."""

    def close(self) -> None:
        """Ends the session and drops what it submitted."""

    def shutdown(self) -> None:
        """Ends the scheduler and the workers."""

    def status(self) -> dict[str, Any]:
        """How the cluster is: counts and the scheduler's own state."""

    def workers(self) -> list[dict[str, Any]]:
        """The workers, each with at least `number`, `name`, `address`, `cpus`, `memory` and `state`."""

def submit_detached(session: Session, tasks: Sequence[Submission], name: str) -> int:
    """Submits tasks as a graph that outlives the session, and waits for their ends. Returns its number. Raises Failed."""

def wait_for_workers(session: Session, wanted: int, timeout: float | None) -> int:
    """Waits until there are so many workers, at most so many seconds. Returns how many there are."""

def finished_graphs(session: Session, prefix: str) -> list[tuple[str, int, int]]:
    """The finished graphs whose names begin so, the latest first: name, number, how many tasks."""

def forget_graph(session: Session, graph: int) -> None:
    """Drops a graph, whosever it is."""

def output_of(session: Session, graph: int, index: int) -> Object:
    """What a finished task of any session has made. Dropping it releases nothing."""

def printed(session: Session, graph: int, index: int, lines: int) -> list[tuple[str, bytes]]:
    """The last so many lines that a task's attempts printed, 0 for all: workers, and bytes that need not be whole lines."""

# ---- actors, the client's side -----------------------------------------------------------------------------------------

# What a call takes: a task, a stored value, or the result of another call.
CallInput: TypeAlias = Task | Object | Pending
Word: TypeAlias = Value | ActorHandle | int
"""One argument for an actor in another language: a value, a handle of an actor, or the number of an input."""
CallArguments: TypeAlias = Sequence[Buffer] | tuple[list[Word], list[tuple[str, Word]]]
"""What a call is given: the buffers of one pickle of `(args, kwargs)`, or words by position and by name."""

@final
class Pending:
    """The result of a call that was made, or an actor that is being made."""

    @property
    def number(self) -> int:
        """What `call_ends` tells it by."""
    def state(self) -> int: ...
    def watch(self) -> bool:
        """Has `call_ends` tell of its end, once. True if it has ended already and was not told."""

    def result(self, timeout: float | None = None) -> Value | ActorHandle:
        """Waits for it. Raises Failed, or TimeoutError after so many seconds. Codes of calls are reasons of the kind `call`."""

    def error(self) -> Error | None:
        """What went wrong, if it has ended."""

    def cancel(self, grace: float | None = None) -> None:
        """Takes a call back that waits, and asks one that runs to return, at the latest after `grace`."""

    def object(self, session: Session) -> Object:
        """The result as a stored value, once it has ended."""

    def ready(self, inputs: Sequence[CallInput]) -> None:
        """Gives the inputs of a call that was made without; each has ended well."""

    def fail(self, message: str) -> None:
        """An input of a call that was made without came to nothing."""

@final
class Stream:
    """Items of a call, as they come."""

    def next(self, timeout: float | None = None) -> Value | None:
        """The next one; None after the last. Raises Failed once, behind those that came before."""

    def cancel(self) -> None: ...

@final
class ActorHandle:
    """An actor, to be called. It ends when the session that made it has no handle of it any more, unless it is detached."""

    @property
    def id(self) -> bytes: ...
    @property
    def runtime(self) -> str | None:
        """The name of what hosts it, such as `python` or `native`; None where that is not known."""

    def keep(self, handles: Sequence[ActorHandle]) -> None:
        """The actor is given handles of others: these are wanted for as long as it is."""

    def call(
        self, method: str, args: CallArguments, inputs: Sequence[CallInput] | None, how: Any
    ) -> Pending:
        """Makes a call, which has its place among the calls of this session when this returns. `args` numbers `inputs`;
        without these the call waits for `Pending.ready`.
        """

    def stream(self, method: str, args: CallArguments, inputs: Sequence[CallInput], how: Any) -> Stream: ...
    def kill(self, grace: float = 0.0) -> None: ...
    def restart(self, session: Session, grace: float = 0.0) -> None: ...
    def checkpoint(self) -> dict[str, Any]: ...
    def relocate(self, worker: int | None = None) -> dict[str, Any]: ...
    def place(self, timeout: float = 0.0) -> dict[str, Any]: ...
    def describe(self, session: Session) -> dict[str, Any]:
        """What the scheduler knows of it."""

def create_actor(
    session: Session, spec: dict[str, Any], args: CallArguments, inputs: Sequence[CallInput] | None
) -> Pending:
    """Makes an actor. Its result is the handle, once the actor takes calls."""

def find_actor(session: Session, name: str, namespace: str = "") -> ActorHandle: ...
def actor_of(session: Session, id: bytes) -> ActorHandle: ...
def list_actors(session: Session, filter: str) -> list[dict[str, Any]]: ...
def call_ends(session: Session, timeout: float | None = None) -> list[int]:
    """Waits until calls end that are watched, and returns their numbers. One thread calls it. ConnectionError is the end."""

# ---- the executor's side ----------------------------------------------------------------------------------------------

Argument: TypeAlias = Value | list["Argument"] | dict[str, "Argument"]
"""An argument of a function that is named: a value, or a list or map of arguments."""

@final
class View:
    """Memory that is not Python's, for reading: what large buffers are views of."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Given:
    """What an attempt, an actor or a call was given: a function and what it is called with."""

    @property
    def key(self) -> str:
        """Key of the task, or name of the class or the method."""
    @property
    def function(self) -> bytes | str | None:
        """Digest of the function's pickle, to cache what it unpickles to; or its name, `module:function`. None of a method."""

    def code(self) -> bytes | memoryview:
        """The pickle that `function` is the digest of."""

    @property
    def pickle(self) -> bytes | None:
        """The one small pickle, `(args, kwargs)`, that the arguments are, where they are no more than that."""

    @property
    def args(self) -> list[Argument]:
        """One `CODEC_PICKLE5` value, `(args, kwargs)`, from Python; else plain arguments by position."""
    @property
    def named_args(self) -> dict[str, Argument]:
        """Plain arguments by name."""
    @property
    def inputs(self) -> list[Value]:
        """The inputs, in the order that the pickle of the arguments numbers them."""

@final
class Attempt:
    """One execution of a task, as a worker gave it."""

    @property
    def id(self) -> str:
        """The attempt's number as text."""
    @property
    def graph(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def given(self) -> Given: ...
    @property
    def outputs(self) -> int:
        """How many outputs are awaited."""
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def has_surroundings(self) -> bool:
        """Whether it has variables or a directory of its own."""

    @property
    def environment(self) -> dict[str, str]: ...
    @property
    def directory(self) -> str | None: ...
    @property
    def cpus(self) -> float: ...
    @property
    def memory(self) -> int:
        """Bytes of memory that it may take; 0 is no limit."""
    @property
    def resources(self) -> dict[str, float]: ...
    @property
    def deadline(self) -> float | None:
        """Seconds that it may run."""

    @property
    def services(self) -> tuple[str, str] | None:
        """Where its code finds the cluster: the scheduler's address, and the token or nothing."""

    def secede(self) -> None:
        """Gives its cpus back while its code waits for others. Calls are counted. Raises Failed where too many wait."""

    def rejoin(self) -> None:
        """Waits for them after that. Raises Failed where the attempt is to end instead."""

    def stop_asked(self) -> bool:
        """Whether it is unwanted: then it had better return."""

    def wait_stop(self, seconds: float) -> bool:
        """Waits until it is unwanted, or for so long; whether it is."""

@final
class Chain:
    """The calls that wait for one that is made now."""

@final
class Making:
    """What an actor is made from."""

    @property
    def key(self) -> str:
        """Name of its class."""
    @property
    def actor(self) -> bytes: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def name(self) -> str | None: ...
    @property
    def cpus(self) -> float: ...
    @property
    def given(self) -> Given: ...
    @property
    def restored(self) -> Value | None:
        """What it left, to be made from that instead of by its constructor."""
    @property
    def chain(self) -> Chain: ...
    @property
    def services(self) -> tuple[str, str] | None: ...

@final
class HostedCall:
    """A call of an actor that runs."""

    @property
    def method(self) -> str: ...
    @property
    def given(self) -> Given: ...
    @property
    def streams(self) -> bool:
        """Its caller wants items."""
    @property
    def replay(self) -> bool: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def chain(self) -> Chain: ...
    def stop_asked(self) -> bool: ...
    def wait_stop(self, seconds: float) -> bool: ...

# A value: codec, buffers, and the name of its type for people.
Ok: TypeAlias = tuple[Literal["ok"], int, Sequence[Buffer], str]
# The values of a task that has several outputs.
Several: TypeAlias = tuple[Literal["outputs"], Sequence[Ok]]
# `kind`, `reason`, `message` and `traceback` are required; `opaque` may be the pickled exception.
Err: TypeAlias = tuple[Literal["error"], dict[str, Any]]

def serve(
    handler: Callable[[Attempt], Ok | Several | Err],
    *,
    slots: int = 1,
    actors: Callable[[Making], tuple[str, Any]] | None = None,
) -> None:
    """Runs the attempts that the worker that started this process gives, one by one, until it says to leave.

    `actors` makes the actors: it gives `("ok", host)` or an `Err`. A host has `methods`, a list of names, `checkpoints`, and
    the methods `call`, which takes a `HostedCall`, `checkpoint` and `end`.

    `handler` runs on the calling thread, which must be the main one. What it raises is an `Err` of kind `user`. Raises
    RuntimeError if this process was not started by a worker.
    """
