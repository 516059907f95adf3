"""First variations: a claim about every function of a class holds along a family of them, and so do its derivatives.

Affine functions see little of a formula: many averages of them vanish or agree by symmetry.  The next cheapest family
is f + eps cos(k x + c) with an affine f, of which the derivatives in eps at zero are Gaussian averages of cosines and
polynomials, in closed form.  The bounded bend leaves every average finite that an affine function leaves finite with
room, so that both sides are differentiable in eps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from sympy import Dummy, Expr, Integer, Matrix, Rational, Symbol, cos
from sympy.core.function import UndefinedFunction

from derive.core import Domain, Evidence, Verdict
from derive.ledger.domain import points
from derive.ledger.exact_points import Placed, in_averages, placed
from derive.ledger.members import drawn_functions, flat_functions
from derive.ledger.roots import ball_of, points_on
from derive.ledger.sampling import Instances, ball_text, instantiated, shown_functions, shown_point, shown_value
from derive.nodes.averages import DivergentAverage
from derive.nodes.binders import Binder
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["refuted_by_variation"]

_TRIES = 2
_SECONDS = 4.0


def refuted_by_variation(
    vanishing: Expr, given: Sequence[Expr], domain: Domain, seed: int, bound: frozenset[UndefinedFunction] = frozenset()
) -> Evidence | None:
    """A refutation of "an expression vanishes wherever others do, for all functions in them" by its slope along a
    family of functions; None where none was found.

    One of the others may be left to be solved for a symbol a that stands in no average: along the family a moves, and
    the claim is wrong where the Jacobian of both in (eps, a) is not singular.

    Args: vanishing; given (expressions that vanish by the premises); domain; seed; bound (functions that relations
        speak of, which are left alone).
    """
    try:
        return timebox(_SECONDS, _refuted, vanishing, given, domain, seed, bound)
    except (TimedOut, DivergentAverage, ArithmeticError, ValueError):
        return None


def _refuted(
    vanishing: Expr, given: Sequence[Expr], domain: Domain, seed: int, bound: frozenset[UndefinedFunction]
) -> Evidence | None:
    everything = (vanishing, *given)
    flat = flat_functions(everything, bound)
    if not flat:
        return None
    rng = random.Random(seed)
    inside = {s for e in everything for s in in_averages(e)}
    symbols = inside | {s for e in (*given, *domain.constraints) for s in e.free_symbols if isinstance(s, Symbol)}
    for point in points(symbols, domain, seed, _TRIES, 0.35):
        eps = Dummy("eps", real=True)
        straight = drawn_functions(everything, rng, bool(given))
        bent = {f: (v, body + (eps * _bend(v[0], rng) if f in flat else 0)) for f, (v, body) in straight.items()}
        ranges = Domain(domain.intervals, tuple(instantiated(c, straight) for c in domain.constraints))
        found = placed([instantiated(e, straight) for e in given], inside, point, ranges)
        if found is None or len(found.left) > 1:
            continue
        curved = [instantiated(e, bent) for e in everything]
        for place, jacobian in _jacobians(curved, found, eps, ranges, seed):
            value = ball_of(jacobian, place, 160)
            if value is not None and not value.contains(0):
                return _evidence(value, {**found.at, **place}, bent)
    return None


def _bend(variable: Symbol, rng: random.Random) -> Expr:
    return cos(Rational(rng.randint(20, 40), 40) * variable + Rational(rng.randint(4, 20), 40))


def _jacobians(
    curved: Sequence[Expr], found: Placed, eps: Symbol, domain: Domain, seed: int
) -> Iterator[tuple[Mapping[Symbol, Expr], Expr]]:
    """Points, and what may not vanish there: the slope of the first, or the Jacobian with the premise that is left."""
    slopes = [_closed(e.diff(eps).subs(eps, 0), found) for e in curved]
    if not found.left:
        if not slopes[0].has(Binder):
            yield {}, slopes[0]
        return
    (left,) = found.left
    rest = [k for k, e in enumerate(curved[1:], 1) if _closed(e.subs(eps, 0), found) == left]
    if not rest:
        return
    start = _closed(curved[0].subs(eps, 0), found)
    if any(e.has(Binder) for e in (start, left, slopes[0], slopes[rest[0]])):
        return
    for symbol in sorted((s for s in left.free_symbols if isinstance(s, Symbol)), key=str):
        jacobian = Matrix([[slopes[0], start.diff(symbol)], [slopes[rest[0]], left.diff(symbol)]]).det()
        symbols = sorted((s for s in left.free_symbols | jacobian.free_symbols if isinstance(s, Symbol)), key=str)
        yield from ((place, jacobian) for place in points_on([left], symbols, domain, seed, 2, 0.5))


def _closed(e: Expr, found: Placed) -> Expr:
    put = e.subs(found.at)
    return put.doit() if put.has(Binder) else put + Integer(0)


def _evidence(value: object, place: Mapping[Symbol, Expr], bent: Instances) -> Evidence:
    text = ball_text(value)
    shown = shown_point({k: shown_value(v) for k, v in place.items()}) + shown_functions(bent)
    shown = tuple((k.lstrip("_"), v.replace("_eps", "eps")) for k, v in shown)
    at = ", ".join(f"{k} = {v}" for k, v in shown)
    said = f"the derivative in eps at 0 of lhs - rhs is {text} where {at}"
    return Evidence(Verdict.REFUTED, said, (*shown, ("derivative", text)))
