"""Constants that are known by their equations only, and their values to any number of digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
from sympy import Expr, S, Symbol, oo

from derive.core import DeriveError
from derive.nodes.mp_eval import compile_mp

__all__ = ["Constant", "Values"]

ROUGH = 10  # digits of a nested search, from which Newton's method goes on
CLOSE = mpmath.mpf("1e-4")  # how far it comes
SPAN = 32  # of the logarithm that is searched on either side
_LOST = (ValueError, ZeroDivisionError, OverflowError, TypeError)


@dataclass(frozen=True)
class Constant:
    """A positive constant that is known by its equation only: residual = 0, on (lower, upper).

    The residual changes its sign there once.  `inner` are constants that the residual uses and that are solved anew
    for each trial value of this one; their residuals may use it.  `lower` and `upper` may hang on parameters.
    """

    symbol: Symbol
    residual: Expr
    lower: Expr = S.Zero
    upper: Expr = oo
    inner: tuple[Constant, ...] = ()

    def value(self, values: Mapping[Symbol, Any]) -> Any:
        """The root at given values of the other symbols, to the current precision.

        Args: values, of every other symbol but those of `inner`.
        Raises: DeriveError where no change of sign is found.
        """
        if not self.inner:
            with mpmath.workprec(mpmath.mp.prec + 20):
                return self._searched(_function(self, values), values, mpmath.eps)
        with mpmath.workdps(ROUGH):
            start = self._nested(values)
        return self._polished(values, start)[0]

    def _place(self, values: Mapping[Symbol, Any]) -> Callable[[Any], Any]:
        """A point of the interval for a real number."""
        low, high = (None if k is oo else _number(k, values) for k in (self.lower, self.upper))
        if high is None:
            return lambda y: low + mpmath.exp(y)
        return lambda y: low + (high - low) / (1 + mpmath.exp(-y))

    def _searched(self, f: Callable[[Any], Any], values: Mapping[Symbol, Any], close: Any, near: Any = None) -> Any:
        """The root, to `close` in its logarithm, looked for from `near` outwards."""
        place = self._place(values)

        def g(y: Any) -> Any:
            found = f(place(y)) if abs(y - middle) <= SPAN else None
            if not isinstance(found, mpmath.mpf):
                raise ValueError(y)
            return found

        middle = mpmath.mpf(0)
        if near is not None and self.upper is oo:
            middle = mpmath.log(near - _number(self.lower, values))
            found = _secant(g, middle, close)
            if found is not None:
                return place(found)
        seen: dict[int, Any] = {1: None, -1: None}  # the last point on either side, and its value
        for k in (0, *(side * 2**j for j in range(7) for side in (1, -1))):
            y = middle + mpmath.mpf(k) / 2
            try:
                at = g(y)
            except (*_LOST, DeriveError):
                continue
            if at == 0:
                return place(y)
            for side in (1, -1) if k == 0 else (1 if k > 0 else -1,):
                before = seen[side]
                if before is not None and mpmath.sign(before[1]) != mpmath.sign(at):
                    return place(_root(g, before, (y, at), close))
                seen[side] = (y, at)
        raise DeriveError(f"no root of {self.residual} is found", given=str(self.residual), allowed="a change of sign")

    def _nested(self, values: Mapping[Symbol, Any]) -> list[Any]:
        """Rough values of this constant and of the inner ones."""
        last: dict[Symbol, Any] = {}

        def f(x: Any) -> Any:
            at = {**values, self.symbol: x}
            for part in self.inner:
                last[part.symbol] = at[part.symbol] = part._searched(
                    _function(part, at), at, CLOSE**2, last.get(part.symbol)
                )
            return _function(self, at)(x)

        root = self._searched(f, values, CLOSE)
        f(root)
        return [root, *(last[part.symbol] for part in self.inner)]

    def _polished(self, values: Mapping[Symbol, Any], start: Sequence[Any]) -> list[Any]:
        """All of them together, by Newton's method from rough values."""
        parts = (self, *self.inner)
        names = [k.symbol for k in parts]
        others = [k for k in values if k not in names]
        functions = [_compiled(k.residual, (*names, *others)) for k in parts]
        rest = [values[k] for k in others]
        with mpmath.workprec(mpmath.mp.prec + 20):
            try:
                found = mpmath.findroot(lambda *x: [f(*x, *rest) for f in functions], start, tol=mpmath.eps**1.5)
            except _LOST as lost:
                raise DeriveError(
                    f"no root of {self.residual} is found", given=str(self.residual), allowed="a system that is regular"
                ) from lost
        if any(abs(a / b - 1) > 100 * CLOSE for a, b in zip(found, start, strict=True)):
            raise DeriveError(f"Newton's method left {start}", given=str(self.residual), allowed="a regular root")
        return list(found)


class Values:
    """The values of some constants at points, each found once for a precision."""

    def __init__(self, constants: Sequence[Constant]) -> None:
        self.constants = tuple(constants)
        self._known: dict[Any, Any] = {}

    def symbols(self) -> set[Symbol]:
        """All that the equations hang on, the constants left out."""
        own = {k.symbol for c in self.constants for k in (c, *c.inner)}
        return {k for c in self.constants for k in _hangs_on(c)} - own

    def __call__(self, at: Mapping[Symbol, Any], wanted: Iterable[Symbol]) -> dict[Symbol, Any]:
        """The point with those constants put in that are wanted.

        Raises: DeriveError where one has no value there.
        """
        needed, whole = set(wanted), dict(at)
        for c in reversed(self.constants):
            if c.symbol in needed:
                needed |= _hangs_on(c)
        for c in self.constants:
            if c.symbol in needed:
                values = {k: whole[k] for k in sorted(_hangs_on(c), key=str)}
                key = (c, mpmath.mp.prec, tuple(values.items()))
                if key not in self._known:
                    self._known[key] = c.value(values)
                whole[c.symbol] = self._known[key]
        return whole


def _hangs_on(c: Constant) -> set[Symbol]:
    """All symbols that a constant's value hangs on."""
    own = {c.symbol, *(k.symbol for k in c.inner)}
    return {k for e in (c.lower, c.upper, c.residual, *(p.residual for p in c.inner)) for k in e.free_symbols} - own


def _function(c: Constant, values: Mapping[Symbol, Any]) -> Callable[[Any], Any]:
    others = sorted(c.residual.free_symbols - {c.symbol}, key=str)
    f = _compiled(c.residual, (c.symbol, *others))
    rest = [values[k] for k in others]
    return lambda x: f(x, *rest)


@lru_cache(maxsize=64)
def _compiled(e: Expr, symbols: tuple[Symbol, ...]) -> Callable[..., Any]:
    return compile_mp(e, symbols)


def _number(e: Expr, values: Mapping[Symbol, Any]) -> Any:
    symbols = sorted(e.free_symbols, key=str)
    return mpmath.mpf(compile_mp(e, symbols)(*(values[k] for k in symbols)))


def _secant(g: Callable[[Any], Any], start: Any, close: Any) -> Any:
    """A root near a place; None where there is none."""
    before, y = start, start + mpmath.mpf(1) / 16
    try:
        at_before, at = g(before), g(y)
        for _ in range(20):
            before, y, at_before = y, y - at * (y - before) / (at - at_before), at
            if abs(y - before) <= close:
                return y
            at = g(y)
    except (*_LOST, DeriveError):
        return None
    return None


def _root(g: Callable[[Any], Any], one: tuple[Any, Any], other: tuple[Any, Any], close: Any) -> Any:
    """A root between two points of unlike sign: bisection, then false position with the weights of Illinois."""
    (low, at_low), (high, at_high) = sorted((one, other))
    kept = 0
    for turn in range(400):
        middle = (low + high) / 2
        if turn >= 3 and at_low != at_high:
            middle = min(max(high - at_high * (high - low) / (at_high - at_low), low), high)
        if middle in (low, high) or abs(high - low) <= close * max(1, abs(middle)):
            break
        at = g(middle)
        if at == 0:
            break
        if mpmath.sign(at) == mpmath.sign(at_low):
            low, at_low, at_high, kept = middle, at, at_high / (2 if kept > 0 else 1), 1
        else:
            high, at_high, at_low, kept = middle, at, at_low / (2 if kept < 0 else 1), -1
    return middle
