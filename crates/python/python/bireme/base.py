"""What all exceptions of the package are."""

from __future__ import annotations


class BiremeError(Exception):
    """Whatever Bireme itself says went wrong."""
