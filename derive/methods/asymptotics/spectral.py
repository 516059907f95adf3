"""Averages over a bounded support, where the integrand is a series with polynomials for coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy import Dummy, Expr, Interval, S, Symbol, exp, oo

from derive.methods.asymptotics.coefficients import Ratio
from derive.methods.asymptotics.dominance import NotExpandable
from derive.methods.asymptotics.transseries import Monomial, Ring, Series
from derive.nodes import Atoms, Density, MarchenkoPastur
from derive.nodes.averages import LogAverageExp, SpectralAverage, TiltedAverage, average

if TYPE_CHECKING:
    from derive.methods.asymptotics.expand import Expander

__all__ = ["expand_bounded"]

EIGENVALUE = Dummy("c", positive=True)  # the same in all averages: every symbol is a letter of the coefficients
VALUES = tuple(Dummy(f"x{k}", real=True) for k in range(3))  # of nested averages over patterns


def expand_bounded(e: Any, expander: Expander) -> Series:
    """The series of an average over a law of bounded support that does not move, term by term.

    On a bounded support a coefficient that is a polynomial stays bounded, at zero as well: the series of the integrand
    holds uniformly, and its terms are averaged one by one.
    Raises: NotExpandable for another law, or where a term is not a polynomial in the variable.
    """
    law = e.law
    bounded = isinstance(law, MarchenkoPastur | Atoms) or (isinstance(law, Density) and _finite(law))
    if not bounded or expander.moves(law):
        raise NotExpandable("an average over a law that moves or has no ends", given=str(e), allowed="bounded laws")
    (variable,), bodies = e.open()
    if isinstance(e, LogAverageExp):
        return expander.ring.log(_mean(exp(bodies[0]), variable, law, expander))
    if isinstance(e, TiltedAverage):
        f, g = bodies
        above, below = (_mean(k * exp(g), variable, law, expander) for k in (f, S.One))
        return expander.ring.mul(above, expander.ring.power(below, S.NegativeOne))
    return _mean(bodies[0], variable, law, expander)


def _finite(law: Density) -> bool:
    return bool(law.lower.is_Rational and law.upper.is_Rational)


def _mean(body: Expr, variable: Symbol, law: Any, expander: Expander) -> Series:
    """The average of a series, uniform in the variable."""
    ring = expander.ring
    if isinstance(law, Density):
        c, where = next(k for k in VALUES if k not in body.free_symbols), Interval.open(law.lower, law.upper)
    else:
        c, where = EIGENVALUE, Interval.open(0, oo)
    local = Ring(ring.signs.with_interval(c, where), ring.terms, ring.sectors, ring.table)
    found = expander.on(local)(body.xreplace({variable: c}))
    terms = {m: _moments(ring, k, c, law) for m, k in found.terms.items()}
    if any(_names(m, c) for m in (*terms, *found.errors)):
        raise NotExpandable("scales differ along the support", given=str(body), allowed="scales that do not hang on it")
    return ring.cut(terms, found.errors)


def _names(m: Monomial, c: Expr) -> bool:
    """Whether a scale hangs on a symbol."""
    return any(c in p.free_symbols for p in m.powers) or any(c in k.free_symbols or _names(n, c) for n, k in m.expo)


def _moments(ring: Ring, coefficient: Ratio, c: Symbol, law: Any) -> Ratio:
    """The average of a polynomial."""
    value = ring.table.expr(coefficient)
    if not value.is_polynomial(c):
        raise NotExpandable("a term is not a polynomial along the support", given=str(value), allowed="polynomials")
    mean = SpectralAverage if isinstance(law, Atoms) else average
    return ring.table.ratio(sp.Add(*(k * mean(c**n, c, law).doit() for (n,), k in sp.Poly(value, c).terms())))
