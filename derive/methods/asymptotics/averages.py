"""Averages over a Gaussian field as transseries: term by term, each coefficient averaged.

E f(c, h) over a standard normal h, with c a transseries that vanishes: the body is expanded with h held fixed, and
every coefficient averaged.  This is right where the remainder of the body is bounded by its first term left out,
uniformly in h, and that term has an average: so it is for log(1 + c s), 1/(1 + c s) and their like with s >= 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import sympy as sp
from sympy import Expr

from derive.methods.asymptotics.dominance import NotExpandable, moment
from derive.methods.asymptotics.linearised import FIELD, SLOPES, LocalAverage, smooth_pieces
from derive.nodes import GaussianAverage
from derive.nodes.growth import growth
from derive.nodes.piece_forms import Piece
from derive.nodes.timebox import TimedOut, timebox

if TYPE_CHECKING:
    from derive.methods.asymptotics.expand import Expander
    from derive.methods.asymptotics.transseries import Series

__all__ = ["expand_average", "expand_local"]

SECONDS = 2.0


def expand_average(expander: Expander, e: Expr) -> Series:
    """The series of an average of a kind that is not covered.

    Raises: NotExpandable.
    """
    raise NotExpandable(f"an average without closed form: {type(e).__name__}", given=str(e), allowed="closed averages")


def expand_local(expander: Expander, e: LocalAverage) -> Series:
    """The series of an average over the field of a query.

    Raises: NotExpandable where the expansion hangs on the field, and where a coefficient has no average.
    """
    from derive.methods.asymptotics.transseries import Series

    body, sigma = e.args
    if not expander.moves(body):
        return expander.ring.constant(e.doit())
    series, table = expander(body), expander.ring.table
    terms = {m: table.ratio(_averaged(table.expr(c), sigma)) for m, c in series.terms.items()}
    return Series({m: c for m, c in terms.items() if c}, series.errors)


def _averaged(coefficient: Expr, sigma: Expr) -> Expr:
    """The average of a coefficient, a polynomial in the slopes."""
    top, bottom = sp.fraction(sp.together(coefficient))
    if not bottom.free_symbols.isdisjoint(SLOPES):
        raise NotExpandable(
            "the expansion of an average hangs on its field", given=str(coefficient), allowed="a small argument")
    return sp.Add(*(c * _moment(powers, sigma) for powers, c in sp.Poly(top, *SLOPES).terms())) / bottom


@lru_cache(maxsize=2000)
def _moment(powers: tuple[int, ...], sigma: Expr) -> Expr:
    """E of a product of powers of the slopes: closed where a closed form is known, else a letter for it.

    Raises: NotExpandable where it is known not to exist.
    """
    return sp.Add(*(_piece_moment(powers, piece) for piece in smooth_pieces(sigma)))


def _piece_moment(powers: tuple[int, ...], piece: Piece) -> Expr:
    body = sp.Mul(*(piece.expr.diff(FIELD, i + 1) ** n for i, n in enumerate(powers)))
    if body == 0 or (FIELD not in body.free_symbols and piece.whole):
        return body
    rate = growth(body, FIELD)
    if rate is not None and rate.is_number and rate >= sp.Rational(1, 2):
        raise NotExpandable(f"the average of {body} diverges", given=str(body), allowed="an activation of less growth")
    node = GaussianAverage(piece.indicator(FIELD) * body, FIELD)
    try:
        done = timebox(SECONDS, node.doit)
    except (TimedOut, NotImplementedError, ValueError, TypeError):
        done = node
    if not done.has(GaussianAverage, sp.Piecewise):
        return done
    return moment(node, all(n % 2 == 0 for n in powers))
