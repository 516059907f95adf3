"""The symbolic argument: a problem's unknowns by dominant balance, its branch, and its value as a transseries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp
from sympy import Eq, Expr, Interval, S, Symbol, oo

from derive.core import Problem, SaddleStage, Stage, Term
from derive.methods.asymptotics.constants import Constant
from derive.methods.asymptotics.dominance import Lost, NotExpandable, Signs, Undecided, spelled
from derive.methods.asymptotics.expand import Expander, holds, variable
from derive.methods.asymptotics.implicit import solve_root
from derive.methods.asymptotics.linearised import LocalAverage
from derive.methods.asymptotics.narrowing import closed_up, with_next
from derive.methods.asymptotics.still import Renamed, closed_solutions, coupled_root
from derive.methods.asymptotics.thin import Thin, thin_problem
from derive.methods.asymptotics.transseries import ONE, Monomial, Ring, Series
from derive.nodes.timebox import TimedOut, timebox

__all__ = [
    "SECONDS",
    "Found",
    "Request",
    "argument",
    "kept_terms",
    "large_form",
    "limit_value",
    "needed",
    "scale_of",
    "small_form",
    "term_of",
    "tidy",
]

ROUNDS = 6  # of naming constants
SECONDS = 60.0
"""What one limit may take in all, unless told otherwise."""


@dataclass(frozen=True)
class Request:
    """A limit that is asked for.

    Attributes: parameter, point, direction; order (vanishing corrections wanted); held (parameter -> expression in the
    limit parameter and new constants); fixed (parameter -> number); conditions on the parameters; intervals of all
    free symbols; of, "value" or "log"; seconds, the time box.
    """

    parameter: Symbol
    point: Expr
    direction: str = "+"
    order: int = 3
    held: Mapping[Symbol, Expr] = field(default_factory=dict)
    conditions: tuple[Any, ...] = ()
    intervals: Mapping[Symbol, Interval] = field(default_factory=dict)
    of: str = "value"
    seconds: float = SECONDS


@dataclass(frozen=True)
class Found:
    """What the symbolic argument gives: the series, its ring, what it rests on, and the unknowns of each problem.

    Attribute `assumptions`: what is taken for granted besides the request, in words.
    """

    series: Series
    ring: Ring
    balance: tuple[str, ...]
    roots: tuple[Mapping[Symbol, Series], ...] = ()
    assumptions: tuple[str, ...] = ()


def argument(
    problems: Sequence[Problem], request: Request, deadline: float
) -> tuple[Found, tuple[Constant, ...], Request]:
    """The symbolic argument, with constants that no closed form is found for named.

    Where a parameter has a closed form through such a constant, the constant takes the parameter's place.
    """
    constants: tuple[Constant, ...] = ()
    thin = tuple(map(thin_problem, problems))
    for _ in range(ROUNDS):
        try:
            return _expanded(thin, request, constants, deadline), constants, request
        except Renamed as change:
            constants = (*constants, *change.constants)
            if change.parameter is not None:
                request = _through(request, change.constants[0], change.parameter, change.value)
    raise NotExpandable("too many constants without closed form", given=str(constants), allowed=f"{ROUNDS} at most")


def _through(request: Request, constant: Constant, parameter: Symbol, value: Expr) -> Request:
    """The request with a parameter written through a constant."""
    old = request.intervals.get(parameter, Interval.open(0, oo))
    ends = (value > old.start, value < old.end if old.end is not oo else sp.true)
    within = tuple(c for c in ends if c not in (sp.true, sp.false))
    return replace(
        request,
        held={k: v.subs(parameter, value) for k, v in request.held.items()} | {parameter: value},
        intervals={k: v for k, v in request.intervals.items() if k != parameter}
        | {constant.symbol: Interval.open(constant.lower, constant.upper)},
        conditions=(*(c.subs(parameter, value) for c in request.conditions), *within),
    )


def _expanded(problems: Sequence[Thin], request: Request, constants: tuple[Constant, ...], deadline: float) -> Found:
    terms, sectors = request.order + 3, 2 if any(k.finer for k in problems) else 3
    found: Found | None = None
    conditions = tuple(c for c in request.conditions if not isinstance(c, Eq))
    own = tuple(c for c in constants if c.symbol not in request.intervals)
    ring = Ring(Signs(request.intervals, conditions, own))
    starts: dict[Expr, Series] = {}
    for _ in range(4):
        try:
            found = _series(problems, request, ring.with_(terms, sectors), deadline, starts)
        except Lost:
            terms, sectors = 2 * terms, sectors + 1
            continue
        more_terms, more_sectors = _short(found, request)
        if not more_terms and not more_sectors:
            return found
        terms, sectors = terms + more_terms, sectors + more_sectors
    if found is None:
        raise NotExpandable("the leading terms cancel to the order kept", given=str(terms), allowed="another order")
    return found


def _short(found: Found, request: Request) -> tuple[int, int]:
    """How many terms in a sector, and how many sectors, are missing for the order asked for and one term beyond."""
    ring, series = found.ring, found.series
    head = ring.leading(series) if series.terms else None
    if head is None or not series.errors:
        return 0, 0
    shown, beyond = kept_terms(ring, series, request)
    if beyond:
        return 0, 0
    if any(e.expo == head[0].expo for e in series.errors):
        return (2, 0) if len(shown) > 1 and ring.terms < request.order + 5 else (0, 0)
    return (0, max(1, request.order + 2 - len(shown))) if ring.sectors < request.order + 5 else (0, 0)


def large_form(request: Request, large: Symbol) -> Expr:
    """The limit parameter through a large variable."""
    if request.point is oo:
        return large
    if request.point == -oo:
        return -large
    return request.point + 1 / large if request.direction == "+" else request.point - 1 / large


def small_form(request: Request) -> Expr:
    """The large variable through the limit parameter."""
    if request.point is oo:
        return request.parameter
    if request.point == -oo:
        return -request.parameter
    gap = request.parameter - request.point
    return 1 / gap if request.direction == "+" else 1 / -gap


def _series(
    problems: Sequence[Thin], request: Request, ring: Ring, deadline: float, starts: dict[Expr, Series]
) -> Found:
    large = Symbol("X", positive=True)
    inner = {request.parameter: large_form(request, large)}
    put = {k: v.subs(inner) for k, v in request.held.items()} | inner
    expander = Expander(ring, {large: variable()}, deadline, starts)
    parts: list[Series] = []
    words: list[str] = []
    known: list[Mapping[Symbol, Series]] = []
    for problem in problems:
        setting = Setting(put, request, words)
        parts.append(_solved(problem, setting, expander))
        known.append(setting.roots)
    series = parts[0]
    if len(parts) == 2:
        series = ring.mul(parts[0], ring.power(parts[1], S.NegativeOne))
    if request.of == "log":
        series = ring.log(series)
    assumptions = dict.fromkeys(a for problem in problems for a in problem.assumptions)
    return Found(series, ring, tuple(dict.fromkeys(words)), tuple(known), tuple(assumptions))


@dataclass(frozen=True)
class Setting:
    """What stands for the parameters, the request, and the words and roots that are collected on the way."""

    put: Mapping[Symbol, Expr]
    request: Request
    words: list[str]
    roots: dict[Symbol, Series] = field(default_factory=dict)

    def __call__(self, e: Any) -> Any:
        """An expression of the problem in the large variable."""
        return e.subs(self.put, simultaneous=True) if hasattr(e, "subs") else e

    def balance(self, unknown: Symbol | str, series: Series, ring: Ring) -> None:
        """Note the scale an unknown has."""
        for m, c in series.terms.items():
            self.words.append(f"{unknown} ~ {spelled(tidy(ring.table.expr(c))) * scale_of(m, self.request)}")


def _solved(thin: Thin, setting: Setting, expander: Expander) -> Series:
    """The value of a problem as a series."""
    problem = thin.problem
    for stage in problem.stages:
        if needed(stage.unknown, problem):
            expander = _with_stage(stage, setting, expander)
    for words, head in closed_up(thin, setting, expander):
        setting.balance(words, head, expander.ring)
    for k, branch in enumerate(problem.branches):
        if holds(expander, setting(branch.condition)):
            if branch.value is None:
                raise NotExpandable(
                    f"no value there: {branch.reason or branch.name}", given=branch.name, allowed="a limit with a value"
                )
            if len(problem.branches) > 1:
                setting.words.append(f"branch {branch.name}")
            return with_next(thin, k, setting, expander, expander(setting(branch.value)))
    raise NotExpandable("no branch of the quantity holds in the limit", given=problem.name, allowed="")


def needed(unknown: Symbol, problem: Problem) -> bool:
    """Whether a value, a condition or a later stage uses an unknown."""

    def uses(e: Any) -> bool:
        return e is not None and hasattr(e, "free_symbols") and unknown in e.free_symbols

    def stage_uses(s: Stage | SaddleStage) -> bool:
        if isinstance(s, SaddleStage):
            return True
        return s.unknown != unknown and (
            any(map(uses, (s.residual, s.lower, s.upper, s.exists))) or any(map(stage_uses, s.inner))
        )

    return any(uses(b.value) or uses(b.condition) for b in problem.branches) or any(map(stage_uses, problem.stages))


def _with_stage(stage: Stage | SaddleStage, setting: Setting, expander: Expander) -> Expander:
    """The expander that knows the stage's unknown as well."""
    if isinstance(stage, SaddleStage):
        raise NotExpandable(
            "the order parameters of a saddle have no expansion here", given=str(stage.value), allowed="closed averages"
        )
    exists = setting(stage.exists)
    if exists not in (sp.true, True) and not holds(expander, exists):
        raise NotExpandable(f"no value there: {stage.absent or stage.unknown}", given=str(exists), allowed="")
    residual, lower, upper = (setting(e) for e in (stage.residual, stage.lower, stage.upper))
    if residual.has(LocalAverage) and not expander.moves(residual):
        residual = residual.doit()  # its root is a constant: averages with numbers
    placed = replace(stage, residual=residual, lower=lower, upper=upper, inner=_placed(stage.inner, setting))
    if stage.clip:
        for end, towards in ((upper, 1), (lower, -1)):
            if end is oo or end == 0:
                continue
            try:
                at = _inner(placed, setting, expander.bound({stage.unknown: expander(end)}))
                side = at.sign(at(residual)) * stage.direction
            except (Lost, Undecided):
                raise
            except NotExpandable:  # nothing is decided at the end itself: the root is looked for inside
                if not stage.inner:
                    raise
                continue
            if side * towards <= 0:
                setting.words.append(f"{stage.unknown} = {stage.upper if towards > 0 else stage.lower}, an end")
                return at
    if stage.inner:
        apart = _eliminated(placed, setting, expander)
        if apart is not None:
            return apart
        series = setting.roots[stage.unknown] = expander(coupled_root(placed, expander))
        setting.balance(stage.unknown, series, expander.ring)
        return expander.bound({stage.unknown: series})
    root = solve_root(residual, placed, expander)
    setting.balance(stage.unknown, root.balance, expander.ring)
    setting.roots[stage.unknown] = root.series
    return expander.bound({stage.unknown: root.series})


def _placed(stages: Sequence[Stage | SaddleStage], setting: Setting) -> tuple[Stage | SaddleStage, ...]:
    """Inner stages with the problem's parameters put in."""
    return tuple(
        replace(s, residual=setting(s.residual), lower=setting(s.lower), upper=setting(s.upper))
        if isinstance(s, Stage)
        else s
        for s in stages
    )


def _eliminated(placed: Stage, setting: Setting, expander: Expander) -> Expander | None:
    """A stage whose one inner unknown is put in as a formula: its end, or its root where that has a closed form.

    The formula is right where, at the root that it leads to, the inner residual points beyond the end, or the inner
    root lies before it.
    """
    part = placed.inner[0]
    if len(placed.inner) > 1 or not isinstance(part, Stage) or part.inner:
        return None
    ends = [part.upper] if part.clip and part.upper is not oo else []
    for value in (*ends, *closed_solutions(part.residual, part.unknown)):
        plain = replace(placed, residual=placed.residual.xreplace({part.unknown: value}), inner=())
        try:
            root = solve_root(plain.residual, plain, expander)
            outer = expander.bound({placed.unknown: root.series})
            both = outer.bound({part.unknown: outer(value)})
            if value in ends:
                right = both.sign(both(part.residual)) * part.direction <= 0
            else:
                right = both.sign(both(value)) > 0 and (
                    part.upper is oo or both.sign(both(part.upper - part.unknown)) >= 0
                )
        except (Lost, Undecided):
            raise
        except NotExpandable:
            continue
        if right:
            setting.balance(placed.unknown, root.balance, expander.ring)
            return both
    return None


def _inner(stage: Stage, setting: Setting, expander: Expander) -> Expander:
    for part in stage.inner:
        expander = _with_stage(part, setting, expander)
    return expander


# ----------------------------------------------------------------------------------------------------------- reading


def kept_terms(
    ring: Ring, series: Series, request: Request
) -> tuple[list[tuple[Monomial, Expr]], list[tuple[Monomial, Expr]]]:
    """Terms that are shown, and those known beyond them, by size and as far as no error hides them."""
    ordered = ring.ordered(series)
    head = ordered[0][0] if ordered else ONE
    own = [e for e in series.errors if e.expo == head.expo]
    if own:
        line = [t for t in ordered if t[0].expo == head.expo]
    else:
        worst = ring.largest(series.errors)
        line = [t for t in ordered if worst is None or ring.compare(t[0], worst) > 0]
    relative = ONE if request.of == "log" else head
    count = shown = 0
    for m, _ in line:
        if ring.compare(m, relative) < 0:
            count += 1
            if count > request.order:
                break
        shown += 1
    return line[:shown], line[shown:]


def tidy(e: Expr) -> Expr:
    """The shortest of a few equal forms."""
    e = sp.expand_log(e)
    forms = [e]
    for shape in (sp.factor, lambda k: sp.powsimp(sp.expand(k)), sp.simplify, sp.expand):
        try:
            forms.append(timebox(1.0, shape, e))
        except (TimedOut, sp.PolynomialError, NotImplementedError, ValueError, TypeError):
            continue
    return min(forms, key=lambda k: (sp.count_ops(k), len(str(k))))


def term_of(t: tuple[Monomial, Expr], request: Request) -> Term:
    m, c = t
    return Term(spelled(tidy(c)), scale_of(m, request))


def scale_of(m: Monomial, request: Request) -> Expr:
    """A scale as a function of the limit parameter."""
    small = small_form(request)
    scale = spelled(m.expr(small))
    if request.point == 0:
        scale = sp.expand_log(sp.powsimp(scale), force=False)
        scale = scale.replace(
            lambda k: isinstance(k, sp.log) and k.args[0] == 1 / request.parameter, lambda k: -sp.log(request.parameter)
        )
    return scale


def limit_value(ring: Ring, shown: list[tuple[Monomial, Expr]]) -> Expr:
    if not shown:
        return S.Zero
    m, c = shown[0]
    order = ring.compare(m, ONE)
    if order < 0:
        return S.Zero
    if order == 0:
        return spelled(tidy(c))
    return oo if ring.signs.sign(c) > 0 else -oo
