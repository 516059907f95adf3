"""Values of functions that nothing is known of: what premises want at distinct places, some function has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from sympy import (
    Basic,
    Derivative,
    Determinant,
    Dummy,
    Eq,
    Expr,
    Integer,
    MatrixSymbol,
    Subs,
    Symbol,
    Trace,
    expand_mul,
)
from sympy.core.function import AppliedUndef

from derive.core import Domain, Evidence, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.domain import points, seed_of
from derive.ledger.premises import Solved, eliminate, eliminations
from derive.ledger.roots import ball_of, obeying, points_on
from derive.ledger.sampling import applied_functions, ball_text, bound_functions, shown_point, shown_value
from derive.nodes.binders import Binder
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["refuted_by_values"]

_TRIES = 6

#: where a function is asked for its value, or a derivative: which of them, and the arguments
_Place = tuple[Any, tuple[Expr, ...]]


def refuted_by_values(
    a: Expr, b: Expr, domain: Domain, given: Sequence[Eq], names: Mapping[Symbol, Symbol] | None = None,
    seconds: float = 4.0,
) -> Evidence | None:
    """A point that obeys the premises and not a = b, where functions that nothing is known of take what values they
    must; None where none was found.

    Sound because some smooth function takes any given values, with any derivatives, at finitely many distinct points.
    So has some real matrix any trace together with any determinant.  Nothing is concluded from values of functions of
    which the domain says more (convexity, say) or that stand in an average or an extremum, nor where a matrix is more
    than named by these.

    Args: a, b (the sides); domain; given (equations); names (other names for symbols, in the witness); seconds.
    """
    values: dict[Basic, Dummy] = {}
    freed = [_valued(e, values) for e in (a - b, *(e.lhs - e.rhs for e in given))]
    if not values or any(e is None for e in freed):
        return None
    sides = [e for e in freed if isinstance(e, Expr)]
    closed = bound_functions(domain.constraints) | {
        f.func for node in values if isinstance(node, Binder) for f in applied_functions(node)}
    held = {v for node, v in values.items() if isinstance(node, Binder) or _place(node)[0][0] in closed}
    if held:  # what these may be is not for the premises alone to say
        values = {node: v for node, v in values.items() if v not in held}
        unbound = _unbound(sides[0], sides[1:], values)
        factor = None if unbound is None else sides[0].diff(values[unbound])
        if unbound is None or factor is None or held & factor.free_symbols:
            return None
        if any(held & e.free_symbols for e in sides[1:]):
            if len(_given(sides[1:], values)) < len(sides) - 1:
                return None
            del sides[1:]  # each gives another value, whatever stands on its other side
        sides[0] = factor * values[unbound]  # whatever is added to it, some value of the function does not fit
        domain = Domain(domain.intervals, tuple(c for c in domain.constraints if not c.has(AppliedUndef)))
    try:
        return timebox(seconds, _refuted, sides[0], sides[1:], values, domain, names or {})
    except TimedOut:
        return None


def _refuted(
    difference: Expr, zeros: Sequence[Expr], values: Mapping[Basic, Dummy], domain: Domain, names: Mapping[Any, Any]
) -> Evidence | None:
    at_once = _given(zeros, values)
    spent = {premise.lhs for premise, _, _ in at_once}
    equations = [Eq(eliminate(z, at_once), 0, evaluate=False) for z in zeros if z not in spent]
    difference = eliminate(difference, at_once)
    found_ones, narrowed = eliminations(equations, domain, (difference,))[0]
    solved = {premise for premise, _, _ in found_ones}
    used = (*at_once, *found_ones)
    rest = [eliminate(e.lhs, found_ones) for e in equations if e not in solved]
    gap = eliminate(difference, found_ones)
    used = tuple((premise, symbol, eliminate(value, found_ones)) for premise, symbol, value in used)
    taken = [value for _, _, value in used]
    free = {s for e in (gap, *rest, *values, *taken) for s in e.free_symbols if isinstance(s, Symbol)}
    free -= {symbol for _, symbol, _ in used}
    unbound = _unbound(gap, rest, values)
    asked = {s for node in values for a in _place(node)[1] for s in a.free_symbols if isinstance(s, Symbol)}
    for point in _obeying(rest, free, narrowed, seed_of(difference)):
        whole = {**point, **{s: _ball(value, point) for _, s, value in used if s in asked or not value.has(Binder)}}
        found = _ball(gap if unbound is None else gap.diff(values[unbound]), point)
        if found is None or found.contains(0) or None in whole.values() or not _distinct(values, whole):
            continue
        if unbound is not None:
            whole = {s: v for s, v in whole.items() if s not in values.values()}
        shown = shown_point({names.get(s, s): shown_value(v) for s, v in whole.items()})
        shown = tuple((k.lstrip("_"), v) for k, v in shown)
        at = ", ".join(f"{k} = {v}" for k, v in shown)
        if unbound is not None:
            return Evidence(Verdict.REFUTED, f"no premise gives the value of {_plain(unbound)} at {at}",
                            (*shown, (str(_plain(unbound)), "any value")))
        text = ball_text(found)
        return Evidence(Verdict.REFUTED, f"lhs - rhs = {text} at {at}", (*shown, ("lhs - rhs", text)))
    return None


def _given(zeros: Sequence[Expr], values: Mapping[Basic, Dummy]) -> Solved:
    """Values that premises give at once: those that one has with a number for a factor."""
    found: Solved = ()
    for zero in zeros:
        rest = eliminate(zero, found)
        for value in sorted(values.values(), key=str):
            factor = rest.diff(value) if value in rest.free_symbols else Integer(0)
            if factor.is_Number and factor != 0:
                solution = expand_mul(value - rest / factor, deep=False)
                found = (*((p, s, v.subs(value, solution)) for p, s, v in found),
                         (Eq(zero, 0, evaluate=False), value, solution))
                break
    return found


def _unbound(gap: Expr, rest: Sequence[Expr], values: Mapping[Basic, Dummy]) -> Basic | None:
    """A value that the difference of the sides has in first degree, and no premise speaks of; with a factor that costs
    no integral."""
    for node, value in sorted(values.items(), key=lambda item: str(item[0])):
        if value in gap.free_symbols and not any(value in e.free_symbols for e in rest):
            factor = gap.diff(value)
            if value not in factor.free_symbols and not factor.has(Binder):
                return node
    return None


def _plain(e: Basic) -> Basic:
    return e.xreplace({s: Symbol(s.name) for s in e.free_symbols if isinstance(s, Dummy)})


def _obeying(zeros: Sequence[Expr], free: set[Symbol], domain: Domain, seed: int) -> Iterator[dict[Symbol, Any]]:
    """Points at which expressions vanish: moved from points of the domain, and from others."""
    for point in points(free, domain, seed, _TRIES, 0.5):
        found = obeying(zeros, point, domain)
        if found is not None:
            yield found
    yield from points_on(zeros, sorted(free, key=str), domain, seed, _TRIES, 0.5)


def _ball(e: Expr, point: Mapping[Symbol, Any]) -> Any:
    """The value at a point as a finite ball, complex where it is; None where that is not known."""
    try:
        found = enclose(e, point, 160)
    except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
        return None
    return found if found.is_finite() else None


def _valued(e: Basic, values: dict[Basic, Dummy]) -> Basic | None:
    """The expression with a symbol for each value or derivative of an undefined function; None where that cannot be."""
    if isinstance(e, Subs | Derivative) and not isinstance(e.args[0], AppliedUndef | Derivative):
        return None
    if isinstance(e, Determinant | Trace) and isinstance(e.arg, MatrixSymbol):
        return values.setdefault(e, Dummy(f"value of {e}", real=True))
    if getattr(e, "is_Matrix", False):
        return None
    if isinstance(e, AppliedUndef | Subs | Derivative):
        return values.setdefault(e, Dummy(f"value of {_plain(e)}", real=True))
    if not e.has(AppliedUndef, MatrixSymbol):
        return e
    if isinstance(e, Binder):
        return values.setdefault(e, Dummy("value of an average", real=True))
    parts = [_valued(x, values) for x in e.args]
    return None if any(x is None for x in parts) else e.func(*parts)


def _distinct(values: Mapping[Basic, Dummy], point: Mapping[Symbol, Any]) -> bool:
    """Whether the places at which one function is asked for its values certainly differ at a point."""
    return all(_differ(a, b, point) for (f, a), (g, b) in combinations(map(_place, values), 2) if f == g)


def _place(node: Basic) -> _Place:
    if isinstance(node, Determinant | Trace):
        return (type(node), node.arg), ()
    inner, where = (node.args[0], dict(zip(*node.args[1:], strict=True))) if isinstance(node, Subs) else (node, {})
    applied = inner.args[0] if isinstance(inner, Derivative) else inner
    order = tuple(inner.args[1:]) if isinstance(inner, Derivative) else ()
    return (applied.func, order), tuple(a.subs(where) for a in applied.args)


def _differ(a: Sequence[Expr], b: Sequence[Expr], point: Mapping[Symbol, Any]) -> bool:
    gaps = (ball_of(x - y, point) for x, y in zip(a, b, strict=True))
    return any(gap is not None and not gap.contains(0) for gap in gaps)
