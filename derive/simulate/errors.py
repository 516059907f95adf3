"""The one error of this room, said in one line."""

from __future__ import annotations

__all__ = ["SimulationError"]


class SimulationError(ValueError):
    """A simulation that cannot be run, or a record that cannot be read.

    Attributes: given (what was given), allowed (what would be), nearest (the nearest right thing, or None).
    """

    def __init__(self, message: str, *, given: str = "", allowed: str = "", nearest: str | None = None) -> None:
        super().__init__(message)
        self.given, self.allowed, self.nearest = given, allowed, nearest
