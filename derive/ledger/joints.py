"""Places at which a claim may fail at a single point: where pieces join, and on the edges of the domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from sympy import Expr, Rational, Rel, Symbol

from derive.core import Domain
from derive.ledger.domain import declared
from derive.ledger.one_symbol import KINKS, switches
from derive.ledger.poles import rational_roots, rational_zeros
from derive.ledger.roots import holds

__all__ = ["edges", "joints"]

_EACH = 6
_SIMPLE = (Rational(1), Rational(1, 2), Rational(2), Rational(-1))


def joints(exprs: Sequence[Expr], domain: Domain) -> Iterator[dict[Symbol, Rational]]:
    """Rational points of a domain at which an absolute value, sign, step, maximum or case of some expression switches,
    and some close to them.

    >>> from sympy import sign
    >>> x = Symbol("x", real=True)
    >>> next(joints([sign(x - 3)], Domain()))
    {x: 3}
    """
    symbols = {s for e in exprs for s in e.free_symbols if isinstance(s, Symbol)}
    seen: set[Expr] = set()
    for e in exprs:
        for node in sorted(e.atoms(*KINKS), key=str):
            for switch in switches(node):
                if switch in seen or not switch.free_symbols or switch.has(*KINKS):
                    continue
                seen.update((switch, -switch))
                found: list[dict[Symbol, Rational]] = []
                for point in islice(rational_zeros(switch, tuple(symbols), domain), _EACH):
                    if dict(point) not in found and _whole(point):
                        found.append(dict(point))
                yield from found
                yield from (near for point in found for near in _near(point, switch, domain))


def edges(exprs: Sequence[Expr], domain: Domain) -> Iterator[dict[Symbol, Rational]]:
    """Simple points of a domain on its edges: where a weak relation is an equation, and at closed ends and zeros of one
    symbol where there are too many for all combinations.

    >>> x = Symbol("x", real=True)
    >>> list(edges([x], Domain((), (x >= Rational(3, 7),))))
    [{x: 3/7}]
    """
    everything = (*exprs, *domain.constraints)
    symbols = sorted({s for e in everything for s in e.free_symbols if isinstance(s, Symbol)}, key=str)
    ranges = {s: declared(s, domain) for s in symbols}
    plain = {s: next((v for v in _SIMPLE if v in r), None) for s, r in ranges.items()}
    changes: list[dict[Symbol, Rational]] = []
    for c in domain.constraints:
        if isinstance(c, Rel) and c.rel_op in ("<=", ">="):
            for s in (s for s in symbols if s in c.free_symbols):
                rest = {k: v for k, v in plain.items() if k != s and v is not None}
                changes += [{s: v} for v in rational_roots((c.lhs - c.rhs).xreplace(rest), s) if v in ranges[s]]
    if len(symbols) > 3:
        ends = [{s: v} for s, r in ranges.items() for v in (r.lower, r.upper, Rational(0)) if v.is_Rational and v in r]
        changes += [{}, *ends, {s: v for end in ends for s, v in end.items()}]
    found = []
    for change in changes:
        point = {s: v for s, v in {**plain, **change}.items() if v is not None}
        if len(point) == len(symbols) and all(holds(c, point) for c in domain.constraints):
            found.append(point)
    yield from (p for k, p in enumerate(found) if p not in found[:k] and _whole(p))


def _whole(point: Mapping[Symbol, Rational]) -> bool:
    return all(not s.is_integer or v.is_integer for s, v in point.items())


def _near(point: Mapping[Symbol, Rational], switch: Expr, domain: Domain) -> Iterator[dict[Symbol, Rational]]:
    """Points close to a joint, on both sides of it."""
    s = min((s for s in switch.free_symbols if isinstance(s, Symbol)), key=str)
    for power in () if s.is_integer else (3, 6, 9):
        for sign in (1, -1):
            moved = {**point, s: point[s] + sign * Rational(1, 10**power)}
            if moved[s] in declared(s, domain) and all(holds(c, moved) for c in domain.constraints):
                yield moved
