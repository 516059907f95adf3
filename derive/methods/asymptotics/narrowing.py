"""What is left of a saddle point whose overlaps close up: how they scale, and the first exponentially small term.

A problem reduced to lowest order in 1/b (`thin`) gives all powers of the parameter.  The next order in 1/b is smaller
than all of them where 1/b is exponentially small; it moves the root by -F_1/(dF_0/d log u) of itself, F_1 being what
the order 1/b adds to the equation F_0 = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sympy import Rational, S

from derive.core import Stage
from derive.methods.asymptotics.dominance import Lost, NotExpandable
from derive.methods.asymptotics.expand import Expander
from derive.methods.asymptotics.thin import Thin
from derive.methods.asymptotics.transseries import ONE, Monomial, Series, level

__all__ = ["closed_up", "with_next"]

Setting = Callable[[Any], Any]


def closed_up(thin: Thin, setting: Setting, expander: Expander) -> Iterator[tuple[str, Series]]:
    """The leading term of every overlap's difference.

    Raises: NotExpandable where 1/b does not vanish.
    """
    if thin.vanishing == 0:
        return
    found = expander.ring.leading(expander(setting(thin.vanishing)))
    if found is None or expander.ring.compare(found[0], ONE) >= 0:
        raise NotExpandable(
            "the overlaps of this saddle do not close up in the limit: no expansion here",
            given=thin.problem.name, allowed="a limit in which the threshold vanishes")
    rough = _rough(expander)
    for words, overlap in thin.overlaps:
        head = rough.ring.leading(rough(setting(overlap)))
        if head is not None:
            yield words, Series({head[0]: head[1]})


def _rough(expander: Expander) -> Expander:
    """The same with few terms."""
    ring = expander.ring.with_(3, 3)
    bindings = {k: ring.cut(v.terms, v.errors) for k, v in expander.bindings.items()}
    return Expander(ring, bindings, expander.deadline)


def with_next(thin: Thin, branch: int, setting: Setting, expander: Expander, value: Series) -> Series:
    """A value with its first term beyond all powers, and the size of what follows."""
    if thin.vanishing == 0:
        return value
    ring, rough = expander.ring, _rough(expander)
    head = ring.leading(value)
    vanishing = ring.leading(rough(setting(thin.vanishing)))
    if head is None or vanishing is None:
        return value
    room = Monomial((S.One,))  # a power of the large variable, generous for what is not calculated
    if thin.finer is None:
        return ring.cut(value.terms, (*value.errors, head[0] * vanishing[0] ** thin.order * room))
    plain, finer = thin.problem.stages[-1], thin.finer.stages[-1]
    if not isinstance(plain, Stage) or not isinstance(finer, Stage):
        return value
    unknown, root = plain.unknown, rough.bindings[plain.unknown]
    added = rough(setting(finer.residual - plain.residual))
    slope = rough(setting(unknown * plain.residual.diff(unknown)))
    step = rough.negative(ring.mul(added, ring.power(slope, S.NegativeOne)))
    moved = Expander(rough.ring, {**rough.bindings, unknown: ring.add(root, ring.mul(root, step))}, rough.deadline)
    change = moved(setting(thin.finer.branches[branch].value))
    later = [m for m in change.terms if m.expo != head[0].expo]
    sizes = [m for m in change.errors if m.expo != head[0].expo]
    beyond = head[0] * vanishing[0] ** Rational(2) * room
    try:
        top = ring.leading(Series({m: change.terms[m] for m in later}, tuple(sizes)))
    except Lost:
        top = None
    if top is None or head[0].expo == vanishing[0].expo == ():
        return ring.cut(value.terms, (*value.errors, head[0] * vanishing[0] * room))
    return ring.cut({**value.terms, top[0]: top[1]}, (*value.errors, top[0] / level(0), beyond))
