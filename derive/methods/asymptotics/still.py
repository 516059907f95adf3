"""Roots that do not move with the limit: in closed form, or as constants with a name and an equation."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sympy as sp
from sympy import Expr, S, Symbol, oo

from derive.core import DeriveError, Stage
from derive.methods.asymptotics.constants import Constant
from derive.methods.asymptotics.dominance import NotExpandable, Signs, Undecided
from derive.methods.asymptotics.expand import Expander
from derive.nodes.averages import Average
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["Renamed", "closed_solutions", "coupled_root", "name_root", "roots", "still_root"]

SOLVE_SECONDS = 3.0
VANISH_SECONDS = 2.0
_NAMED = re.compile(r"_\d+$")


class Renamed(Exception):
    """Constants have no closed form: start again with their names known.

    Attributes: constants (with their equations); parameter, value: a parameter that has a closed form through the one
    constant, None where none has.
    """

    def __init__(
        self, constants: Sequence[Constant], parameter: Symbol | None = None, value: Expr | None = None
    ) -> None:
        super().__init__(", ".join(str(c.symbol) for c in constants))
        self.constants, self.parameter, self.value = tuple(constants), parameter, value


def roots(equation: Expr, c: Symbol, expander: Expander) -> list[Expr]:
    """Positive roots in closed form, or constants named before; of an average, the value of an unknown before it."""
    signs = expander.ring.signs
    for constant in signs.constants:
        if constant.residual.xreplace({constant.symbol: c}) == equation:
            return [constant.symbol]
    candidates: list[Expr] = sorted((k for k in _taken(signs) if _NAMED.search(k.name)), key=str)
    if equation.has(Average):
        others = map(expander.constant, expander.bindings.values())
        candidates = list(dict.fromkeys((*(k for k in others if k is not None), *candidates)))
    for known in candidates if c in equation.free_symbols else ():
        if _vanishes(equation.xreplace({c: known}), signs):
            return [known]
    good = []
    for value in closed_solutions(equation, c):
        try:
            if signs.sign(value) > 0:
                good.append(value)
        except NotExpandable:
            continue
    return good


def closed_solutions(equation: Expr, c: Symbol) -> list[Expr]:
    """Real solutions in closed form, those that computer algebra finds in its time."""
    if equation.has(Average):
        return []
    shaped = sp.numer(sp.together(equation)) if equation.is_rational_function(c) else equation
    try:
        found = timebox(SOLVE_SECONDS, sp.solve, shaped, c)
    except (TimedOut, NotImplementedError, ValueError, TypeError):
        return []
    values = map(sp.simplify, found)
    return [k for k in values if c not in k.free_symbols and not k.has(sp.I, sp.LambertW) and k.is_real is not False]


def _taken(signs: Signs) -> list[Symbol]:
    return [*signs.intervals, *(c.symbol for c in signs.constants)]


def _names(unknowns: Sequence[Symbol], signs: Signs) -> list[Symbol]:
    """A name for the constant value of each unknown: l_0 for l, b_0 for b_*."""
    taken = {k.name for k in _taken(signs)}
    made = []
    for unknown in unknowns:
        letter = unknown.name.split("_")[0].lstrip("\\")
        name = next(n for n in (f"{letter}_{k}" for k in range(100)) if n not in taken)
        taken.add(name)
        made.append(Symbol(name, positive=True))
    return made


def name_root(equation: Expr, c: Symbol, unknown: Symbol, expander: Expander, upper: Expr = oo) -> None:
    """Name a root of an equation that exists and has no closed form; return where none is seen.

    Raises: Renamed, which asks to start again, with the constant in place of a parameter where that is possible.
    """
    signs = expander.ring.signs
    (name,) = _names((unknown,), signs)
    constant = Constant(name, sp.factor_terms(equation.subs(c, name)), S.Zero, upper)
    try:
        signs.with_constant(constant).values(name, 3)
    except DeriveError:
        return
    for parameter in sorted(equation.free_symbols - {c}, key=str):
        if parameter not in signs.intervals or not equation.is_polynomial(parameter):
            continue
        line = sp.Poly(sp.numer(sp.together(equation)), parameter)
        if line.degree() == 1:
            slope, rest = line.all_coeffs()
            raise Renamed((constant,), parameter, sp.simplify(-rest / slope).subs(c, name))
    raise Renamed((constant,))


def still_root(residual: Expr, stage: Stage, expander: Expander) -> Expr:
    """A root that does not move with the limit.

    Raises: NotExpandable where there is none; Renamed where it has no closed form.
    """
    unknown = stage.unknown
    upper = expander.settled(stage.upper)
    if not residual.has(Average) and _vanishes(residual, expander.ring.signs):
        raise NotExpandable(f"any {unknown} solves its equation", given=str(residual), allowed="one root")
    for value in roots(residual, unknown, expander):
        if upper is oo or expander.moves(upper) or expander.ring.signs.sign(upper - value) >= 0:
            return value
    name_root(residual, unknown, unknown, expander, oo if expander.moves(upper) else upper)
    raise NotExpandable(f"{unknown} does not move and has no closed form", given=str(residual), allowed="")


def _vanishes(residual: Expr, signs: Signs) -> bool:
    """Whether an expression vanishes, as far as it has values at random points."""
    try:
        return timebox(VANISH_SECONDS, signs.is_zero, residual)
    except (Undecided, TimedOut):
        return False


def coupled_root(stage: Stage, expander: Expander) -> Expr:
    """A root inside its interval of a stage whose inner unknowns are solved anew for each of its values.

    Either the root does not hang on the inner unknowns, or nothing moves and all of them are constants.  The residual
    is monotone, by the stage's claim: a root inside is the root.
    Raises: NotExpandable where neither is so; Renamed.
    """
    unknown, signs = stage.unknown, expander.ring.signs
    inner = [part.unknown for part in stage.inner if isinstance(part, Stage)]
    residual, upper = expander.settled(stage.residual), expander.settled(stage.upper)
    if not expander.moves(residual):
        for value in _apart(residual, unknown, inner, signs):
            if signs.sign(value) > 0 and _below(value, upper, expander):
                return value
    parts = [(p, expander.settled(p.residual)) for p in stage.inner if isinstance(p, Stage) and not p.inner]
    if len(parts) != len(stage.inner) or any(map(expander.moves, (residual, *(e for _, e in parts)))):
        raise NotExpandable(f"{unknown} and its inner unknown move together", given=str(unknown), allowed="")
    for known in signs.constants:
        own = dict(zip((known.symbol, *(k.symbol for k in known.inner)), (unknown, *inner), strict=False))
        if len(known.inner) == len(inner) and known.residual.xreplace(own) == residual:
            return known.symbol
    name, *others = _names((unknown, *inner), signs)
    put = dict(zip((unknown, *inner), (name, *others), strict=True))
    within = tuple(Constant(put[p.unknown], e.xreplace(put)) for p, e in parts)
    constant = Constant(name, residual.xreplace(put), S.Zero, oo if expander.moves(upper) else upper, within)
    try:
        signs.with_constant(constant).values(name, 1)
    except DeriveError as error:
        raise NotExpandable(f"no value of {unknown} is found: {error}", given=str(unknown), allowed="") from error
    raise Renamed((constant, *within))


def _apart(residual: Expr, unknown: Symbol, inner: Sequence[Symbol], signs: Signs) -> list[Expr]:
    """Solutions in closed form that do not hang on the inner unknowns.

    Averages stand in the way of closed forms: the inner unknowns are put to zero then, and a solution counts where it
    solves the equation for random values of them as well.
    """
    if not residual.has(Average):
        return [k for k in closed_solutions(residual, unknown) if k.free_symbols.isdisjoint(inner)]
    plain = residual.xreplace(dict.fromkeys(inner, S.Zero))
    done = plain.replace(lambda e: isinstance(e, Average), lambda e: timebox(SOLVE_SECONDS, e.doit))
    return [k for k in closed_solutions(done, unknown) if _vanishes(residual.xreplace({unknown: k}), signs)]


def _below(value: Expr, upper: Expr, expander: Expander) -> bool:
    return upper is oo or expander.sign(expander(upper - value)) > 0
