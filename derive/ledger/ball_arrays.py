"""Arrays of real balls: of python-flint to any precision, or of doubles, which are fast and good for 40 bits.

A ball of doubles is a midpoint and a radius.  Sums, products and quotients are rounded to nearest (IEEE 754), so that
each is off by at most half a unit in its last place, which is added to the radius; a sum of n products, in whatever
order, is off by at most n 2^-53 times the sum of their moduli, and a little more (Rump, Acta Numerica 2010).  The
exponential is a Taylor polynomial on |r| < 0.35 scaled by a power of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from flint import arb, arb_mat

from derive.ledger.balls import NotEnclosed

__all__ = ["BallArray", "DoubleArray", "FlintArray"]

_UNIT = 2.0**-53
_TINY = 1e-300
"""More than what underflow takes away, in sums of up to 10^20 terms."""
_SAFE = 1 + 2.0**-40
"""Makes up for the rounding of radii themselves, of a few operations."""
_LOG2_HIGH, _LOG2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""log 2 in two parts, the first with 33 bits: its products with whole numbers below 2^20 are exact."""
_DEGREE = 14
_EXP_ERROR = 2.0**-46
"""Relative error of the exponential: 2^-48 by Horner's rule, 2^-53 each from r and the remainder, and room."""
_FARTHEST = 690.0
_BLOCK = 192
_AT_ONCE = 200_000_000
"""Products of balls in one call of compiled code: some seconds."""

Floats = np.ndarray


class BallArray(Protocol):
    """Balls in an array; arithmetic is element by element, with NumPy's broadcasting, among arrays of one kind."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, key: Any) -> BallArray: ...
    def reshape(self, *shape: int) -> BallArray: ...
    def __neg__(self) -> BallArray: ...
    def __add__(self, other: Any) -> BallArray: ...
    def __sub__(self, other: Any) -> BallArray: ...
    def __mul__(self, other: Any) -> BallArray: ...
    def __truediv__(self, other: Any) -> BallArray: ...
    def __matmul__(self, other: Any) -> BallArray: ...
    def exp(self) -> BallArray: ...
    def log(self) -> BallArray: ...
    def dot(self, other: Any) -> arb: ...
    def grouped(self, owner: np.ndarray, count: int) -> BallArray: ...
    def upper(self) -> Floats: ...
    def positive(self) -> np.ndarray: ...
    def total(self) -> arb: ...
    def arbs(self) -> list[arb]: ...
    def widened(self, radii: Floats) -> BallArray: ...


class DoubleArray:
    """Balls of doubles, in an array of any shape.

    >>> a = DoubleArray.of([arb(1), arb(2)])
    >>> (a / a.exp()).arbs()[1].overlaps(2 * arb(-2).exp())
    True
    """

    __array_ufunc__ = None

    def __init__(self, mid: Floats, rad: Floats) -> None:
        self.mid, self.rad = mid, rad

    @classmethod
    def of(cls, values: Sequence[arb]) -> DoubleArray:
        """From balls."""
        mid = np.array([float(v.mid()) for v in values])
        rad = np.array([float(v.rad()) for v in values])
        return cls(mid, rad * _SAFE + abs(mid) * 2 * _UNIT + _TINY)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.mid.shape

    def __getitem__(self, key: Any) -> DoubleArray:
        return DoubleArray(self.mid[key], self.rad[key])

    def reshape(self, *shape: int) -> DoubleArray:
        """The same balls in another shape."""
        return DoubleArray(self.mid.reshape(shape), self.rad.reshape(shape))

    def _of(self, other: Any) -> DoubleArray:
        return other if isinstance(other, DoubleArray) else DoubleArray.of([arb(other)])

    def __neg__(self) -> DoubleArray:
        return DoubleArray(-self.mid, self.rad)

    def __add__(self, other: Any) -> DoubleArray:
        other = self._of(other)
        mid = self.mid + other.mid
        return DoubleArray(mid, (self.rad + other.rad + abs(mid) * _UNIT) * _SAFE + _TINY)

    def __sub__(self, other: Any) -> DoubleArray:
        return self + (-self._of(other))

    def __mul__(self, other: Any) -> DoubleArray:
        other = self._of(other)
        mid = self.mid * other.mid
        rad = abs(self.mid) * other.rad + self.rad * (abs(other.mid) + other.rad) + abs(mid) * _UNIT
        return DoubleArray(mid, rad * _SAFE + _TINY)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> DoubleArray:
        other = self._of(other)
        least = abs(other.mid) * (1 - 4 * _UNIT) - other.rad
        if not (least > _TINY).all():
            raise NotEnclosed("a quotient whose denominator is not shown to be apart from zero")
        mid = self.mid / other.mid
        rad = (self.rad + abs(mid) * (other.rad + abs(other.mid) * _UNIT) + _TINY) / least
        return DoubleArray(mid, rad * _SAFE + _TINY)

    def exp(self) -> DoubleArray:
        """The exponential."""
        x = np.clip(self.mid, -_FARTHEST, _FARTHEST)
        k = np.rint(x / (_LOG2_HIGH + _LOG2_LOW))
        r = (x - k * _LOG2_HIGH) - k * _LOG2_LOW
        value = np.ones_like(r)
        for n in range(_DEGREE, 0, -1):
            value = 1 + value * r / n
        mid = np.ldexp(value, k.astype(int))
        wide = np.minimum(self.rad, 1)
        rad = mid * (wide * (1 + wide) + _EXP_ERROR) * _SAFE + _TINY  # e^r - 1 <= r + r^2 for r <= 1
        far = (self.rad > 1) | (self.mid > _FARTHEST) | ~np.isfinite(self.mid)
        low = self.mid < -_FARTHEST
        return DoubleArray(np.where(low, 0.0, mid), np.where(far, np.inf, np.where(low, mid * 8, rad)))

    def log(self) -> DoubleArray:
        """The logarithm, of positive balls."""
        flat = [v.log() for v in self.arbs()]
        return DoubleArray.of(flat).reshape(*self.shape)

    def __matmul__(self, other: DoubleArray) -> DoubleArray:
        count = self.shape[-1]
        left, right = abs(self.mid), abs(other.mid)
        rounding = (_BLOCK + count // _BLOCK + 8) * _UNIT
        rad = left @ (other.rad + right * rounding) + self.rad @ (right + other.rad)
        mid = np.zeros(rad.shape)
        for k in range(0, count, _BLOCK):  # so that roundings do not add up over the whole length
            mid += self.mid[:, k : k + _BLOCK] @ other.mid[k : k + _BLOCK]
        return DoubleArray(mid, rad * (1 + (count + 64) * 4 * _UNIT) * _SAFE + _TINY)

    def dot(self, other: DoubleArray) -> arb:
        """The sum of the products of two rows, as sums of sums of sums."""
        terms = self.mid * other.mid
        side = int(np.ceil(np.cbrt(terms.size))) + 1
        padded = np.zeros(side**3)
        padded[: terms.size] = terms
        mid = float(padded.reshape(side, side, side).sum(axis=2).sum(axis=1).sum())
        rounding = (3 * side + 8) * _UNIT * abs(terms)
        rad = abs(self.mid) * other.rad + self.rad * (abs(other.mid) + other.rad) + rounding
        return arb(mid, float(rad.sum()) * (1 + terms.size * 2 * _UNIT) * _SAFE + _TINY)

    def grouped(self, owner: np.ndarray, count: int) -> DoubleArray:
        """The sums of the rows that belong to each of so many owners."""
        mid, rad, size = (np.zeros((count, self.shape[1])) for _ in range(3))
        for total, rows in ((mid, self.mid), (rad, self.rad), (size, abs(self.mid))):
            np.add.at(total, owner, rows)
        return DoubleArray(mid, (rad + size * len(owner) * 2 * _UNIT) * (1 + len(owner) * 4 * _UNIT) * _SAFE + _TINY)

    def upper(self) -> Floats:
        """Bounds of the moduli."""
        found: Floats = (abs(self.mid) + self.rad) * _SAFE
        return found

    def positive(self) -> np.ndarray:
        """Which balls are shown to be positive."""
        found: np.ndarray = self.mid > self.rad
        return found

    def total(self) -> arb:
        """A bound of the sum of all moduli."""
        return arb(float(self.upper().sum())) * arb(1 + self.mid.size * _UNIT * 2)

    def arbs(self) -> list[arb]:
        """All balls, row after row."""
        return [arb(m, r) for m, r in zip(self.mid.ravel().tolist(), self.rad.ravel().tolist(), strict=True)]

    def widened(self, radii: Floats) -> DoubleArray:
        """With so much added to the radii."""
        return DoubleArray(self.mid, (self.rad + radii) * _SAFE)


class FlintArray:
    """The same with balls of python-flint, at the precision of their context."""

    __array_ufunc__ = None

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    @classmethod
    def of(cls, values: Sequence[arb]) -> FlintArray:
        """From balls."""
        return cls(_objects(values, (len(values),)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.values.shape

    def __getitem__(self, key: Any) -> FlintArray:
        return FlintArray(self.values[key])

    def reshape(self, *shape: int) -> FlintArray:
        """The same balls in another shape."""
        return FlintArray(self.values.reshape(shape))

    def _each(self, f: Callable[[arb], arb]) -> FlintArray:
        return FlintArray(_objects([f(v) for v in self.values.ravel()], self.shape))

    @staticmethod
    def _of(other: Any) -> Any:
        return other.values if isinstance(other, FlintArray) else other

    def __neg__(self) -> FlintArray:
        return FlintArray(-self.values)

    def __add__(self, other: Any) -> FlintArray:
        return FlintArray(self.values + self._of(other))

    def __sub__(self, other: Any) -> FlintArray:
        return FlintArray(self.values - self._of(other))

    def __mul__(self, other: Any) -> FlintArray:
        return FlintArray(self.values * self._of(other))

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> FlintArray:
        return FlintArray(self.values / self._of(other))

    def exp(self) -> FlintArray:
        """The exponential."""
        return self._each(lambda v: v.exp())

    def log(self) -> FlintArray:
        """The logarithm, of positive balls."""
        return self._each(lambda v: v.log())

    def __matmul__(self, other: FlintArray) -> FlintArray:
        (count, inner), width = self.shape, other.shape[1]
        right, entries = arb_mat(other.values.tolist()), list[arb]()
        rows = max(1, _AT_ONCE // (inner * width))
        for k in range(0, count, rows):  # compiled code does not hear that time ran out
            entries += (arb_mat(self.values[k : k + rows].tolist()) * right).entries()
        return FlintArray(_objects(entries, (count, width)))

    def dot(self, other: FlintArray) -> arb:
        """The sum of the products of two rows."""
        return (self.reshape(1, -1) @ other.reshape(-1, 1)).arbs()[0]

    def grouped(self, owner: np.ndarray, count: int) -> FlintArray:
        """The sums of the rows that belong to each of so many owners."""
        found = _objects([arb(0)] * (count * self.shape[1]), (count, self.shape[1]))
        for k, row in zip(owner, self.values, strict=True):
            found[k] = found[k] + row
        return FlintArray(found)

    def upper(self) -> Floats:
        """Bounds of the moduli."""
        flat = [float(v.mid()) for v in self.values.ravel()]
        rad = [float(v.rad()) for v in self.values.ravel()]
        found: Floats = ((abs(np.array(flat)) + np.array(rad)) * _SAFE + _TINY).reshape(self.shape)
        return found

    def positive(self) -> np.ndarray:
        """Which balls are shown to be positive."""
        return np.array([bool(v > 0) for v in self.values.ravel()], dtype=bool).reshape(self.shape)

    def total(self) -> arb:
        """A bound of the sum of all moduli."""
        return sum((abs(v) for v in self.values.ravel()), arb(0))

    def arbs(self) -> list[arb]:
        """All balls, row after row."""
        return list(self.values.ravel())

    def widened(self, radii: Floats) -> FlintArray:
        """With so much added to the radii."""
        every = zip(self.values.ravel(), np.broadcast_to(radii, self.shape).ravel().tolist(), strict=True)
        return FlintArray(_objects([v + arb(0, r) for v, r in every], self.shape))


def _objects(values: Sequence[arb], shape: tuple[int, ...]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found.reshape(shape)
