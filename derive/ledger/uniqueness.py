"""That an equation has no other solution, and that a value lies where it should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import (
    Basic,
    Eq,
    Expr,
    Symbol,
    oo,
)

from derive.core import Domain
from derive.ledger.context import Context
from derive.ledger.domain import declared
from derive.ledger.field import Field
from derive.ledger.generators import Full, Unsupported
from derive.ledger.positivity import Prover, prove_positive

__all__ = ["uniqueness", "within_range"]


def uniqueness(equation: Eq, unknown: Symbol, value: Expr, ctx: Context) -> str | None:
    """Why an equation has no other solution in the interval of the unknown, or None.

    By Descartes' rule: a polynomial whose coefficients change sign once has one positive root; a linear one has one.
    Otherwise by strict monotony of lhs - rhs.
    """
    from derive.ledger.premises import sharpened_domain, sharpened_sides
    from derive.ledger.rewriting import rewrite

    pair, _ = rewrite(Basic(equation.lhs, equation.rhs), [e for e in ctx.equations if e.lhs != unknown])
    difference = pair.args[0] - pair.args[1]
    domain = Domain(ctx.domain.intervals, (*ctx.domain.constraints, *ctx.relations))
    sharp, names = sharpened_sides((difference,), domain)
    inside = sharpened_domain(domain, names)
    x = names.get(unknown, unknown)
    if x not in sharp[0].free_symbols:
        return None
    try:
        f = Field(inside, lambda e: prove_positive(e, inside, depth=1) is not None, 64)
        a = f.build(sharp[0])
        index = f._index.get(("symbol", x))
        if index is not None and not any(x in g.symbols for i, g in enumerate(f.gens) if i != index):
            by_power: dict[int, dict[Any, Any]] = {}
            for m, c in a.num.terms():
                by_power.setdefault(m[index], {})[(*m[:index], 0, *m[index + 1:])] = c
            signs = [f.sign(f.ctx.from_dict(by_power[k])) for k in sorted(by_power)]
            if sorted(by_power) in ([0, 1], [1]) and signs[-1]:
                return "the equation is linear in the unknown"
            few = x.is_positive and signs[0] and signs[-1] and signs.count(0) <= 4
            if few and _changes(signs) == {1}:
                return "one change of sign in its coefficients, hence one positive root (Descartes)"
    except (Unsupported, Full):
        pass
    slope = sharp[0].diff(x)
    prover = Prover(inside)
    for s, word in ((1, "grows"), (-1, "falls")):
        if prover.positive(s * slope, True, 2):
            return f"lhs - rhs {word} strictly with the unknown"
    return None


def _changes(signs: Sequence[int]) -> set[int]:
    """How often a sequence of signs can change, each 0 standing for a sign that is not known."""
    from itertools import pairwise, product

    filled = product(*((s,) if s else (1, -1) for s in signs))
    return {sum(s != t for s, t in pairwise(row)) for row in filled}


def within_range(unknown: Symbol, value: Expr, ctx: Context) -> str | None:
    """Why a value lies in the interval of a symbol, or None."""
    from derive.ledger.rewriting import rewrite

    value, _ = rewrite(value, ctx.equations)
    domain = Domain(ctx.domain.intervals, (*ctx.domain.constraints, *ctx.relations))
    r = declared(unknown, ctx.domain)
    if r.lower != -oo and prove_positive(value - r.lower, domain, 2, r.lower_open) is None:
        return None
    if r.upper != oo and prove_positive(r.upper - value, domain, 2, r.upper_open) is None:
        return None
    return "in the interval"
