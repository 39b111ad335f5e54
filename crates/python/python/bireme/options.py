"""What tasks need and how they are treated, in the words of dask, as sets that the session numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .units import seconds, size

if TYPE_CHECKING:
    from ._bireme import Session

#: Number of the set that every session has: one cpu, nothing else.
PLAIN = 0


class Options:
    """The sets of options that one session has numbered."""

    def __init__(self, session: Session) -> None:
        self._session = session

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
    ) -> int:
        """The number of a set. Of `resources`, `cpus` and `memory` are those that every worker has."""
        if not (workers or resources or retries or priority or timeout or max_crashes is not None):
            return PLAIN
        wanted = dict(resources or {})
        return self._session.options(
            cpus=float(wanted.pop("cpus", 1.0)),
            memory=size(wanted.pop("memory", 0)),
            resources={name: float(amount) for name, amount in wanted.items()} or None,
            retries=int(retries or 0),
            priority=int(priority or 0),
            workers=self.names(workers),
            allow_other_workers=bool(allow_other_workers),
            timeout=seconds(timeout),
            max_crashes=max_crashes,
        )

    def names(self, workers: str | Iterable[str] | None) -> list[str]:
        """Names of workers, which may be given by their addresses too."""
        given = [workers] if isinstance(workers, str) else list(workers or ())
        if not any(":" in worker for worker in given):
            return given
        by_address = {str(worker["address"]): str(worker["name"]) for worker in self._session.workers()}
        return [by_address.get(worker, worker) for worker in given]
