"""What a domain says of symbols: signs for computer algebra, and deterministic random rational points."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sympy import Basic, Dummy, Expr, Interval, Rational, S, Symbol, oo, sympify
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, true

from derive.core import Domain

__all__ = ["Range", "declared", "points", "seed_of", "sharpened"]

_SIGNS = ("positive", "negative", "nonnegative", "nonpositive")


@dataclass(frozen=True)
class Range:
    """Where a symbol may lie: the domain's interval, cut by the assumptions of the symbol."""

    lower: Expr
    upper: Expr
    lower_open: bool
    upper_open: bool

    def __contains__(self, value: Any) -> bool:
        above = value > self.lower if self.lower_open else value >= self.lower
        below = value < self.upper if self.upper_open else value <= self.upper
        return bool(above == True and below == True)  # noqa: E712 - SymPy Booleans


def declared(symbol: Symbol, domain: Domain) -> Range:
    """The range of a symbol in a domain; all reals where nothing is said."""
    lower, upper, left, right = -oo, oo, True, True
    if symbol.is_positive:
        lower, left = S.Zero, True
    elif symbol.is_nonnegative:
        lower, left = S.Zero, False
    if symbol.is_negative:
        upper, right = S.Zero, True
    elif symbol.is_nonpositive:
        upper, right = S.Zero, False
    interval = domain.interval(symbol)
    if isinstance(interval, Interval):
        if (interval.start - lower).is_negative is not True and not (interval.start == lower and left):
            lower, left = interval.start, bool(interval.left_open) or interval.start == -oo
        if (upper - interval.end).is_negative is not True and not (interval.end == upper and right):
            upper, right = interval.end, bool(interval.right_open) or interval.end == oo
    return Range(sympify(lower), sympify(upper), left, right)


@lru_cache(maxsize=4096)
def _sharp_symbol(symbol: Symbol, bounds: Range) -> Symbol:
    known: dict[str, bool] = {"real": True}
    if bounds.lower.is_positive or (bounds.lower.is_nonnegative and bounds.lower_open):
        known = {"positive": True}
    elif bounds.lower.is_nonnegative:
        known = {"nonnegative": True}
    elif bounds.upper.is_negative or (bounds.upper.is_nonpositive and bounds.upper_open):
        known = {"negative": True}
    elif bounds.upper.is_nonpositive:
        known = {"nonpositive": True}
    if symbol.is_integer:
        known["integer"] = True
    if symbol.is_nonzero:
        known["nonzero"] = True
    return Dummy(symbol.name, **known)


def sharpened(expr: Basic, domain: Domain) -> tuple[Basic, dict[Symbol, Symbol]]:
    """The expression with each symbol replaced by one whose assumptions say what the domain says, and the replacements.

    The same symbol in the same domain is always replaced by the same one.
    """
    replaced = {s: _sharp_symbol(s, declared(s, domain)) for s in expr.free_symbols if isinstance(s, Symbol)}
    return expr.xreplace(replaced), replaced


def seed_of(*things: Any) -> int:
    """A number that depends on the text of things only, the same in every process."""
    return zlib.crc32("\n".join(str(t) for t in things).encode())


def points(
    symbols: Iterable[Symbol], domain: Domain, seed: int, count: int, calm: float = 1.0
) -> Iterator[dict[Symbol, Rational]]:
    """Rational points of a domain, a fixed sequence for each seed.

    Unbounded ranges are sampled log-uniformly over many scales, bounded ones uniformly and near their ends; relations
    of the domain are met by rejection.  `calm` below one narrows the scales.  Fewer points than asked come where the
    relations leave too little room.
    """
    rng = random.Random(seed)
    ordered = _ordered(set(symbols) | {s for k in domain.constraints for s in k.free_symbols}, domain)
    made = 0
    for attempt in range(200 * count):
        if made >= count:
            return
        spread = calm * (0.35 if attempt % 4 == 0 else 1.0)
        point: dict[Symbol, Rational] = {}
        for symbol in ordered:
            bounds = declared(symbol, domain)
            value = _draw(rng, bounds, point, bool(symbol.is_integer), spread)
            if value is None:
                break
            point[symbol] = value
        else:
            if all(_holds(k, point) for k in domain.constraints):
                made += 1
                yield point


def _ordered(symbols: set[Symbol], domain: Domain) -> list[Symbol]:
    """By name, a symbol after those that its ends depend on."""
    waiting = sorted(symbols, key=lambda s: (s.name, str(s.assumptions0)))
    known = {s: declared(s, domain) for s in waiting}
    for _ in range(len(waiting)):
        extra = {t for r in known.values() for t in r.lower.free_symbols | r.upper.free_symbols} - set(known)
        if not extra:
            break
        known |= {s: declared(s, domain) for s in extra}
    waiting = sorted(known, key=lambda s: (s.name, str(s.assumptions0)))
    done: list[Symbol] = []
    while waiting:
        ready = [s for s in waiting if not ((known[s].lower.free_symbols | known[s].upper.free_symbols) - set(done))]
        if not ready:
            return done + waiting
        done.append(ready[0])
        waiting.remove(ready[0])
    return done


def _number(value: Expr, point: Mapping[Symbol, Rational]) -> Rational | None:
    at = value.xreplace(dict(point))
    if at.is_Rational:
        return at
    if at.is_infinite or at.free_symbols:
        return None
    approximate = at.evalf(30)
    return Rational(str(approximate)) if approximate.is_Float else None


def _draw(
    rng: random.Random, bounds: Range, point: Mapping[Symbol, Rational], integer: bool, spread: float
) -> Rational | None:
    lower, upper = _number(bounds.lower, point), _number(bounds.upper, point)
    if lower is not None and upper is not None:
        if upper < lower or (upper == lower and (bounds.lower_open or bounds.upper_open)):
            return None
        part = _fraction(rng)
        value = lower + (upper - lower) * part
    elif lower is not None:
        value = lower + _scale(rng, spread)
    elif upper is not None:
        value = upper - _scale(rng, spread)
    else:
        value = rng.choice((-1, 1)) * _scale(rng, 0.6 * spread)
    if integer:
        value = Rational(round(value))
        if value not in bounds:
            value = Rational(max(1, abs(int(value))))
        return value if value in bounds else None
    return value


def _fraction(rng: random.Random) -> Rational:
    """In (0, 1), half of the time near one of the ends."""
    if rng.random() < 0.5:
        return Rational(rng.randint(1, 9972), 9973)
    near = Rational(rng.randint(1, 996), 997) / Integer10(rng.randint(1, 4))
    return near if rng.random() < 0.5 else 1 - near


def Integer10(power: int) -> Rational:
    """A power of ten."""
    return Rational(10) ** power


def _scale(rng: random.Random, spread: float) -> Rational:
    """Positive, log-uniform over a few decades around one."""
    exponent = rng.uniform(-3, 3) * spread
    numerator = max(1, round(10**exponent * 7919))
    return Rational(numerator, 7919) if numerator > 50 else Rational(rng.randint(1, 996), 997 * 1000)


def _holds(condition: Boolean, point: Mapping[Symbol, Rational]) -> bool:
    at = condition.xreplace(dict(point))
    if at == true:
        return True
    if isinstance(at, Relational) and not at.free_symbols:
        return bool(at.doit() == True)  # noqa: E712 - a SymPy Boolean
    return False
