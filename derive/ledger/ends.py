"""The sign of a function near an end of an interval, for every value of the other symbols."""

from __future__ import annotations

from collections.abc import Iterator

from sympy import Expr, Integer, Rational, S, Symbol, limit, oo

from derive.core import Domain, Evidence, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.domain import declared, points, seed_of
from derive.ledger.inequalities import Case, violation
from derive.ledger.positivity import Prover
from derive.ledger.sampling import bound_functions, function_instances, instantiated
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["positive_near"]


def positive_near(f: Expr, x: Symbol, end: Expr, domain: Domain) -> Evidence:
    """That f > 0 at some point of every neighbourhood of an end of the interval of x (at a point inside will do).

    Proved by the value at an end where f is continuous; else by a point at which f > 0 whatever the other symbols are;
    else by divergence, f = g + h with g -> +oo proved from its form and h bounded below.
    """
    grown = _diverges(f, x, end, domain)
    if grown is not None:
        return Evidence(Verdict.PROVED, grown)
    prover = Prover(domain)
    value = prover._value_at(f, x, end)
    if value is not None and prover.positive(value, True, 2):
        return Evidence(Verdict.PROVED, f"positive in the limit {x.name} -> {end}")
    if value is not None:
        wrong = violation(Case(value, domain, (), bound_functions(domain.constraints), strict=False), 40, 8.0)
        if wrong is not None and value.free_symbols <= f.free_symbols:
            detail = f"in the limit {x.name} -> {end} the sign is wrong: {wrong.detail}"
            return Evidence(Verdict.REFUTED, detail, wrong.witness)
    for point, inside in _probes(x, end, domain):
        at = f.subs(x, point)
        if at.has(S.NaN, S.ComplexInfinity, oo, -oo):
            continue
        if Prover(inside).positive(at, True, 1):
            return Evidence(Verdict.PROVED, f"positive at {x.name} = {_clean(point)}")
    return _numerical(f, x, end, domain)


def _clean(e: Expr) -> str:
    return str(e.xreplace({s: Symbol(s.name) for s in e.free_symbols}))


def _probes(x: Symbol, end: Expr, domain: Domain) -> Iterator[tuple[Expr, Domain]]:
    """Points inside the interval, simple ones, numbers and combinations of the other symbols' values."""
    r = declared(x, domain)
    for value in (Rational(1, 1000), Rational(1, 10), Integer(1), Integer(10), Integer(1000)):
        if r.lower.is_finite and r.upper.is_finite:
            part = value / (1 + value)
            yield r.lower + (r.upper - r.lower) * part, domain
        elif r.lower.is_finite:
            yield r.lower + value, domain
        elif r.upper.is_finite:
            yield r.upper - value, domain
        else:
            yield value, domain
            yield -value, domain


def _diverges(f: Expr, x: Symbol, end: Expr, domain: Domain) -> str | None:
    """f -> +oo: the terms of f with x are each bounded below near the end, and one of them grows beyond all bounds."""
    from derive.ledger.growth import grows_beyond

    return grows_beyond(f, x, end, domain)


def _numerical(f: Expr, x: Symbol, end: Expr, domain: Domain) -> Evidence:
    """Evidence from a sequence of points towards the end, and what SymPy says of the limit; neither is a proof."""
    seed = seed_of(f, end)
    plain = instantiated(f, function_instances((f,), seed))
    symbols = {s for s in plain.free_symbols if isinstance(s, Symbol) and s != x}
    good = bad = 0
    for point in points(symbols, domain, seed, 20, 0.25):
        sign = _last_sign(plain, x, end, point, domain)
        good += sign > 0
        bad += sign < 0
    said = ""
    side = "-" if end != declared(x, domain).lower else "+"
    try:
        said = f"; SymPy says the limit is {_clean(timebox(2.0, limit, f, x, end, side))}"
    except (TimedOut, NotImplementedError, ValueError, TypeError, AttributeError, RecursionError):
        said = ""
    if good >= 20 and not bad:
        return Evidence(Verdict.CORROBORATED, f"positive close to {x.name} = {end} at 20 random points, in balls{said}")
    return Evidence(Verdict.UNDECIDED, f"the sign near {x.name} = {end} was not found{said}")


def _last_sign(f: Expr, x: Symbol, end: Expr, point: dict[Symbol, Rational], domain: Domain) -> int:
    """The sign at the last of a sequence of points towards the end at which it is seen; 0 where it changes there."""
    r = declared(x, domain)
    signs = []
    for k in (16, 64, 256, 1024, 4096, 65536):
        small = Rational(1, 2**k)
        lower, upper = (b.xreplace(point) for b in (r.lower, r.upper))
        if end == oo:
            value = (lower if lower.is_Rational else S.Zero) + 2**k
        elif end == -oo:
            value = (upper if upper.is_Rational else S.Zero) - 2**k
        elif end == r.lower:
            value = lower + (small if upper == oo else (upper - lower) * small)
        else:
            value = upper - (small if lower == -oo else (upper - lower) * small)
        try:
            ball = enclose(f, {**point, x: value}, 400)
        except (NotEnclosed, ValueError, ZeroDivisionError):
            continue
        if ball.is_finite() and getattr(ball, "imag", 0) == 0 and not ball.contains(0):
            signs.append(1 if ball > 0 else -1)
    return signs[-1] if signs and any(s == signs[-1] for s in signs) else 0

