"""What tasks need and how they are treated, in the words of dask, as sets that the session numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .units import seconds, size

if TYPE_CHECKING:
    from ._bireme import Session
    from .environment import EnvironmentLike

#: Number of the set that every session has: one cpu, nothing else.
PLAIN = 0
#: Environments whose digests are remembered.
_DIGESTS = 1024

#: What `Options.number` takes: of the named arguments of `submit` and `map`, these are not the function's.
TASK_OPTIONS = (
    "workers",
    "resources",
    "retries",
    "priority",
    "allow_other_workers",
    "timeout",
    "max_crashes",
    "env",
    "isolation",
)

#: Options of dask's that have no meaning here, and what to do instead.
NOT_HERE = {"fifo_timeout": "calls of equal priority run in the order in which they were made; give `priority` instead"}


class Options:
    """The sets of options that one session has numbered."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._digests: dict[object, bytes] = {}
        #: The digests of the environments of those sets that have one: part of what a call computes.
        self.environments: dict[int, bytes] = {}

    def taken(self, arguments: dict[str, Any]) -> int:
        """Takes the options of a task out of the named arguments of a call. Returns the number of their set."""
        refuse_not_here(arguments)
        return self.number(**{name: arguments.pop(name) for name in TASK_OPTIONS if name in arguments})

    def number(
        self,
        *,
        workers: str | Iterable[str] | None = None,
        resources: Mapping[str, Any] | None = None,
        retries: int | None = None,
        priority: int | None = 0,
        allow_other_workers: bool | None = False,
        timeout: float | str | None = None,
        max_crashes: int | None = None,
        env: EnvironmentLike | None = None,
        isolation: str | None = None,
        outputs: int = 1,
    ) -> int:
        """The number of a set. Of `resources`, `cpus` and `memory` are those that every worker has; a function that makes
        several `outputs` returns `calls.Outputs`.
        """
        if isolation not in (None, "process"):
            raise ValueError(f"isolation is {isolation!r}; give 'process', a new process for each attempt, or nothing")
        said = workers or resources or retries or priority or timeout or isolation
        if not said and max_crashes is None and env is None and outputs == 1:
            return PLAIN
        wanted = dict(resources or {})
        environment = self.environment(env)
        number = self._session.options(
            cpus=float(wanted.pop("cpus", 1.0)),
            memory=size(wanted.pop("memory", 0)),
            resources={name: float(amount) for name, amount in wanted.items()} or None,
            retries=int(retries or 0),
            priority=int(priority or 0),
            workers=self.names(workers),
            allow_other_workers=bool(allow_other_workers),
            timeout=seconds(timeout),
            max_crashes=max_crashes,
            environment=environment,
            fresh_process=isolation == "process",
            outputs=outputs,
        )
        if environment is not None:
            self.environments[number] = environment
        return number

    def environment(self, env: EnvironmentLike | None) -> bytes | None:
        """The digest of an environment, which the cluster has from then on."""
        if env is None:
            return None
        from .environment import Environment

        wanted = Environment.of(env)
        identity = wanted.identity()
        if identity not in self._digests:
            if len(self._digests) >= _DIGESTS:
                self._digests.clear()
            self._digests[identity] = wanted.put(self._session)
        return self._digests[identity]

    def names(self, workers: str | Iterable[str] | None) -> list[str]:
        """Names of workers, which may be given by their addresses too."""
        given = [workers] if isinstance(workers, str) else list(workers or ())
        if not any(":" in worker for worker in given):
            return given
        by_address = {str(worker["address"]): str(worker["name"]) for worker in self._session.workers()}
        return [by_address.get(worker, worker) for worker in given]


def refuse_not_here(arguments: dict[str, Any]) -> None:
    """Takes the options out that have no meaning here. Raises NotImplementedError for one that is asked for."""
    for name, remedy in NOT_HERE.items():
        if arguments.pop(name, None) is not None:
            raise NotImplementedError(f"{name} is not supported: {remedy}")
