"""Averages over a spectrum on a bounded support, where the integrand is a series with polynomials for coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp
from sympy import Dummy, Expr, Interval, oo

from derive.methods.asymptotics.coefficients import Ratio
from derive.methods.asymptotics.dominance import NotExpandable
from derive.methods.asymptotics.transseries import Monomial, Ring, Series
from derive.nodes import Atoms, MarchenkoPastur
from derive.nodes.averages import SpectralAverage

if TYPE_CHECKING:
    from derive.methods.asymptotics.expand import Expander

__all__ = ["expand_spectral"]

EIGENVALUE = Dummy("c", positive=True)  # one for all averages: every symbol is a letter of the coefficients


def expand_spectral(e: SpectralAverage, expander: Expander) -> Series:
    """The series of <f(c)> over a spectrum that does not move, term by term.

    The support is bounded, and a coefficient that is a polynomial in c stays bounded on it, at c = 0 as well: the
    series of the integrand holds uniformly, and its terms are averaged one by one.
    Raises: NotExpandable for another law, or where a term is not a polynomial in c.
    """
    law = e.law
    if not isinstance(law, MarchenkoPastur | Atoms) or expander.moves(law):
        raise NotExpandable("an average over a spectrum that moves", given=str(e), allowed="a spectrum that stays put")
    (variable,), (body,) = e.open()
    c, ring = EIGENVALUE, expander.ring
    signs = ring.signs.with_interval(c, Interval.open(0, oo))
    local = Ring(signs, ring.terms, ring.sectors, ring.table)
    found = expander.on(local)(body.xreplace({variable: c}))
    terms = {m: _mean(ring, k, c, law) for m, k in found.terms.items()}
    if any(_names(m, c) for m in (*terms, *found.errors)):
        raise NotExpandable("scales differ along the spectrum", given=str(e), allowed="scales that do not hang on c")
    return ring.cut(terms, found.errors)


def _names(m: Monomial, c: Expr) -> bool:
    """Whether a scale hangs on a symbol."""
    return any(c in p.free_symbols for p in m.powers) or any(c in k.free_symbols or _names(n, c) for n, k in m.expo)


def _mean(ring: Ring, coefficient: Ratio, c: Expr, law: MarchenkoPastur | Atoms) -> Ratio:
    """The average of a polynomial."""
    value = ring.table.expr(coefficient)
    if not value.is_polynomial(c):
        raise NotExpandable("a term is not a polynomial along the spectrum", given=str(value), allowed="polynomials")
    moments = (k * SpectralAverage(c**n, c, law).doit() for (n,), k in sp.Poly(value, c).terms())
    return ring.table.ratio(sp.Add(*moments))
