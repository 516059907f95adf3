"""Krawczyk's operator: that several equations have exactly one solution in a box, in ball arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flint import arb, arb_mat

from derive.ledger.balls import NotEnclosed, precision

_NOT_INSIDE = "the operator does not map them into themselves"

__all__ = ["NoBox", "contraction", "contraction_box"]

#: the equations (False) or their Jacobian (True) at a box, at so many bits: a matrix of balls
Equations = Callable[[Sequence[Any], int, bool], Any]


class NoBox(Exception):
    """No box was found in which the equations have exactly one solution.

    Attributes: multiple (whether all was enclosed, so that the solution is multiple, or close to another).
    """

    def __init__(self, reason: str = _NOT_INSIDE) -> None:
        super().__init__(reason)
        self.multiple = reason == _NOT_INSIDE


def contraction(at: Equations, box: Sequence[Any], bits: int) -> list[Any]:
    """K(X) = c - Y F(c) + (1 - Y F'(X)) (X - c), Y about the inverse of the middle of F'(X), c the middle of X.

    K(X) inside X proves exactly one solution in X, which lies in K(X) (Krawczyk 1969).
    Raises: ZeroDivisionError where the middle of F'(X) has no inverse.
    """
    size = len(box)
    with precision(bits):
        center = [b.mid() for b in box]
        slopes = at(box, bits, True)
        inverse = arb_mat([[v.mid() for v in row] for row in slopes.table()]).inv()
        inverse = arb_mat([[v.mid() for v in row] for row in inverse.table()])
        one = arb_mat([[int(i == j) for j in range(size)] for i in range(size)])
        rest = arb_mat([[b - c] for b, c in zip(box, center, strict=True)])
        moved = (one - inverse * slopes) * rest - inverse * at(center, bits, False)
        return [c + row[0] for c, row in zip(center, moved.table(), strict=True)]


def contraction_box(
    at: Equations, starts: Sequence[float], widths: Sequence[str],
    allowed: Callable[[Sequence[Any]], bool] = lambda box: True, bits: int = 192,
) -> tuple[list[Any], list[Any]]:
    """A box about the starts that Krawczyk's operator maps into itself, and its image; the widest of those tried.

    Args: at; starts; widths (half of those of the boxes, relative to the starts where these exceed 1); allowed says of
        a box whether all of it may be looked at; bits (of the working precision).
    Raises: NoBox, with the last thing that stood in the way.
    """
    reason = _NOT_INSIDE
    for width in widths:
        with precision(bits):
            whole = [arb(s, float(width) * max(1.0, abs(s))) for s in starts]
        try:
            image = contraction(at, whole, bits)
            inside = allowed(whole)
        except (NoBox, NotEnclosed, ValueError, ZeroDivisionError) as refusal:
            reason = str(refusal)
            continue
        if inside and all(w.contains_interior(b) for w, b in zip(whole, image, strict=True)):
            return whole, image
        reason = _NOT_INSIDE
    raise NoBox(reason)
