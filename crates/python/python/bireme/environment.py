"""Environments: what is installed where tasks and actors run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ._bireme import BLOB_BYTES

if TYPE_CHECKING:
    from ._bireme import Session

#: The first bytes of an archive that workers take.
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, init=False)
class Environment:
    """What is installed where a task or an actor runs: requirements as pip takes them, or an archive.

        Environment(["pandas==2.2.*", "pyarrow"])
        Environment(archive="env.tar.gz")

    Each worker that needs it builds it once and keeps it. An archive is one that `venv-pack` or `conda-pack` has made.
    """

    requirements: tuple[str, ...]
    archive: Path | None

    def __init__(
        self, requirements: Iterable[str] | None = None, *, archive: str | os.PathLike[str] | None = None
    ) -> None:
        """Takes one of both. Requirements are lines of a requirements file, options such as `--no-index` too."""
        if (requirements is None) == (archive is None):
            raise ValueError("an environment is made of requirements or of an archive; give one of them")
        if isinstance(requirements, str):
            raise TypeError(f"requirements is a string; give a list, [{requirements!r}], or name it as `archive`")
        lines = tuple(line.strip() for line in requirements or ())
        if broken := next((line for line in lines if "\n" in line), None):
            raise ValueError(f"{broken!r} is more than one line; give each requirement by itself")
        object.__setattr__(self, "requirements", lines)
        object.__setattr__(self, "archive", None if archive is None else Path(archive))

    @classmethod
    def of(cls, given: EnvironmentLike) -> Environment:
        """The environment that is meant by a list of requirements, or by the path of an archive."""
        if isinstance(given, Environment):
            return given
        if isinstance(given, os.PathLike):
            return cls(archive=given)
        return cls(given)

    def put(self, session: Session) -> bytes:
        """Has the cluster know what workers make it of. Returns the digest of that."""
        if self.archive is None:
            return session.put_blob("".join(f"{line}\n" for line in self.requirements).encode())
        with self.archive.open("rb") as packed:
            if packed.read(len(_GZIP)) != _GZIP:
                raise ValueError(f"{self.archive} is no .tar.gz; pack it by venv-pack or conda-pack, in that format")
        length = self.archive.stat().st_size
        if length > BLOB_BYTES:
            raise ValueError(
                f"{self.archive} has {length} bytes, and at most {BLOB_BYTES} are sent: leave out packages that tasks do not "
                "need, or unpack it on the workers' machines and name its interpreter by `--runtime`"
            )
        return session.put_file(os.fspath(self.archive))

    def identity(self) -> object:
        """Equal for environments of equal blobs, as long as nobody writes an archive anew in the same instant."""
        if self.archive is None:
            return self.requirements
        there = self.archive.stat()
        return (self.archive.absolute(), there.st_mtime_ns, there.st_size)


#: Whatever `env=` takes.
EnvironmentLike: TypeAlias = Environment | Iterable[str] | os.PathLike[str]
