"""Scaling limits: how a quantity behaves as one of its parameters approaches a point.

The argument is symbolic, by transseries (`derive.methods.asymptotics`): unknowns are expanded by dominant balance, the
branch that holds in the end is chosen, and its value expanded.  The second witness is numerical and knows nothing of the
first: the quantity is solved to many digits along a sequence of points, and the remainder is compared with the term that
the argument says comes next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import mpmath
import sympy as sp
from sympy import Eq, Expr, Interval, S, Symbol, oo

from derive.core import Branch, DeriveError, Expansion, Parameter, Problem, Stage, Term, Verdict, Witness
from derive.methods.asymptotics.dominance import Constant, Lost, NotExpandable, Signs, Undecided, natural
from derive.methods.asymptotics.expand import Expander, holds, variable
from derive.methods.asymptotics.implicit import Reparametrize, solve_root
from derive.methods.asymptotics.transseries import ONE, Monomial, Ring, Series
from derive.methods.asymptotics.witnesses import Study, study
from derive.nodes.mp_eval import compile_mp
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["Question", "Request", "answer", "limit_of", "scaling_limit"]

SECONDS = 60.0
"""What one limit may take in all, unless told otherwise."""
DEPTH = 3
"""How often an answer is split into cases."""

Evaluate = Callable[[Mapping[str, Any], int], Any]
"""(parameter name -> exact value, digits) -> the value as an mpf, or None where there is none."""


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
    """What the symbolic argument gives: the series, its ring, and what it rests on."""

    series: Series
    ring: Ring
    balance: tuple[str, ...]


def scaling_limit(
    problems: Sequence[Problem], evaluate: Sequence[Evaluate], request: Request, subject: str
) -> Expansion:
    """The expansion of a quantity, or of the quotient of two.

    Args: problems, one, or two whose quotient is asked for; evaluate, the numerical solver of each; request; subject,
    what the expansion is called.
    Returns: the Expansion, with cases where the parameters decide; UNDECIDED with the reason where nothing is found in
    time.
    """
    start = time.monotonic()
    deadline = start + request.seconds
    found = _cases(problems, evaluate, request, subject, deadline, DEPTH)
    return replace(found, seconds=time.monotonic() - start)


def _cases(
    problems: Sequence[Problem], evaluate: Sequence[Evaluate], request: Request, subject: str, deadline: float, depth: int
) -> Expansion:
    blank = Expansion(subject, request.parameter, request.point, request.direction, assumptions=request.conditions)
    left = deadline - time.monotonic()
    try:
        if left <= 0:
            raise TimedOut(request.seconds)
        found, definitions, changed = timebox(left, _argument, problems, request, deadline)
    except Undecided as undecided:
        split = _splits(undecided.expr, request) if depth else ()
        if not split:
            return replace(blank, reason=str(undecided))
        cases = tuple(
            _cases(problems, evaluate, r, subject, deadline, depth - 1) for r in split
        )
        return _joined(blank, cases)
    except TimedOut:
        return replace(blank, reason=f"the symbolic argument did not end within {request.seconds:g} s")
    except NotExpandable as error:
        return replace(blank, reason=str(error))
    return _witnessed(blank, found, definitions, changed, evaluate, deadline)


def _joined(blank: Expansion, cases: tuple[Expansion, ...]) -> Expansion:
    """Cases as one answer, flat; one case stands for itself."""
    flat = tuple(c for case in cases for c in (case.cases or (case,)))
    limits = {c.limit for c in flat}
    return replace(
        blank,
        cases=flat,
        limit=limits.pop() if len(limits) == 1 else None,
        verdict=Verdict.weakest(c.verdict for c in flat),
        reason="; ".join(dict.fromkeys(c.reason for c in flat if c.reason)),
    )


# ------------------------------------------------------------------------------------------------------------ cases


def _splits(expr: Expr, request: Request) -> tuple[Request, ...]:
    """The request below, at and above the zero of an expression, said as bounds of one parameter."""
    for symbol in sorted(expr.free_symbols, key=lambda k: (k.name != "alpha_D", k.name)):
        interval = request.intervals.get(symbol)
        if interval is None or any(symbol in c.free_symbols and len(c.free_symbols) > 1 for c in request.conditions):
            continue
        try:
            roots = timebox(2.0, sp.solve, sp.numer(sp.together(expr)), symbol)
        except (TimedOut, NotImplementedError, ValueError):
            continue
        numbers = [r for r in roots if r.is_real and not r.free_symbols and r in interval and r != interval.start]
        if len(numbers) == 1:
            below = Interval(interval.start, numbers[0], interval.left_open, True)
            above = Interval(numbers[0], interval.end, True, interval.right_open)
            return _three(request, symbol, numbers[0], below, above)
        others = [r for r in roots if r.free_symbols and r.free_symbols <= set(request.intervals) and r.is_positive]
        if len(others) == 1 and interval == Interval.open(0, oo):
            return _three(request, symbol, others[0], interval, interval)
    return ()


def _three(request: Request, symbol: Symbol, root: Expr, below: Interval, above: Interval) -> tuple[Request, ...]:
    kept = tuple(c for c in request.conditions if c.free_symbols != {symbol})

    def inside(condition: Any, interval: Interval) -> Request:
        return replace(
            request, conditions=(*kept, condition), intervals={**request.intervals, symbol: interval}
        )

    at = replace(
        request,
        conditions=(*kept, Eq(symbol, root)),
        intervals={k: v for k, v in request.intervals.items() if k != symbol},
        held={k: v.subs(symbol, root) for k, v in request.held.items()} | {symbol: root},
    )
    return (inside(symbol < root, below), at, inside(symbol > root, above))


# --------------------------------------------------------------------------------------------------------- argument


def _argument(
    problems: Sequence[Problem], request: Request, deadline: float
) -> tuple[Found, tuple[Constant, ...], Request]:
    """The symbolic argument, with constants that no closed form is found for named and put in place of a parameter."""
    constants: tuple[Constant, ...] = ()
    for _ in range(3):
        try:
            return _expanded(problems, request, constants, deadline), constants, request
        except Reparametrize as change:
            constants = (*constants, change.constant)
            intervals = {k: v for k, v in request.intervals.items() if k != change.parameter}
            old = request.intervals.get(change.parameter, Interval.open(0, oo))
            within = tuple(
                c for c in (change.value > old.start, change.value < old.end if old.end is not oo else sp.true)
                if c not in (sp.true, sp.false)
            )
            request = replace(
                request,
                held={k: v.subs(change.parameter, change.value) for k, v in request.held.items()}
                | {change.parameter: change.value},
                intervals={**intervals, change.constant.symbol: Interval.open(change.constant.lower, change.constant.upper)},
                conditions=(*(c.subs(change.parameter, change.value) for c in request.conditions), *within),
            )
    raise NotExpandable("too many constants without closed form", given=str(constants), allowed="at most two")


def _expanded(
    problems: Sequence[Problem], request: Request, constants: tuple[Constant, ...], deadline: float
) -> Found:
    terms, sectors = request.order + 3, 3
    found: Found | None = None
    ring = Ring(Signs(request.intervals, tuple(c for c in request.conditions if not isinstance(c, Eq))))
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
    shown, beyond = _kept(ring, series, request)
    if beyond:
        return 0, 0
    if any(e.expo == head[0].expo for e in series.errors):
        return (2, 0) if ring.terms < request.order + 5 else (0, 0)
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
    problems: Sequence[Problem], request: Request, ring: Ring, deadline: float, starts: dict[Expr, Series]
) -> Found:
    large = Symbol("X", positive=True)
    inner = {request.parameter: large_form(request, large)}
    put = {k: v.subs(inner) for k, v in request.held.items()} | inner
    expander = Expander(ring, {large: variable()}, deadline, starts)
    setting = Setting(put, request, [])
    parts = []
    for problem in problems:
        parts.append(_solved(problem, setting, expander))
    series = parts[0]
    if len(parts) == 2:
        series = ring.mul(parts[0], ring.power(parts[1], S.NegativeOne))
    if request.of == "log":
        series = ring.log(series)
    return Found(series, ring, tuple(dict.fromkeys(setting.words)))


@dataclass(frozen=True)
class Setting:
    """What stands for the parameters, the request, and the words that are collected on the way."""

    put: Mapping[Symbol, Expr]
    request: Request
    words: list[str]

    def __call__(self, e: Any) -> Any:
        """An expression of the problem in the large variable."""
        return e.subs(self.put, simultaneous=True) if hasattr(e, "subs") else e

    def balance(self, unknown: Symbol, series: Series, ring: Ring) -> None:
        """Note the scale an unknown has."""
        for m, c in series.terms.items():
            self.words.append(f"{unknown} ~ {tidy(ring.table.expr(c)) * scale_of(m, self.request)}")


def _solved(problem: Problem, setting: Setting, expander: Expander) -> Series:
    """The value of a problem as a series."""
    for stage in problem.stages:
        if _needed(stage.unknown, problem):
            expander = _with_stage(stage, setting, expander)
    for branch in problem.branches:
        if holds(expander, setting(branch.condition)):
            if branch.value is None:
                raise NotExpandable(
                    f"no value there: {branch.reason or branch.name}", given=branch.name, allowed="a limit with a value"
                )
            if len(problem.branches) > 1:
                setting.words.append(f"branch {branch.name}")
            return expander(setting(branch.value))
    raise NotExpandable("no branch of the quantity holds in the limit", given=problem.name, allowed="")


def _needed(unknown: Symbol, problem: Problem) -> bool:
    """Whether a value, a condition or a later stage uses an unknown."""

    def uses(e: Any) -> bool:
        return e is not None and hasattr(e, "free_symbols") and unknown in e.free_symbols

    def stage_uses(s: Stage) -> bool:
        return s.unknown != unknown and (
            any(map(uses, (s.residual, s.lower, s.upper, s.exists))) or any(map(stage_uses, s.inner))
        )

    return any(uses(b.value) or uses(b.condition) for b in problem.branches) or any(map(stage_uses, problem.stages))


def _with_stage(stage: Stage, setting: Setting, expander: Expander) -> Expander:
    """The expander that knows the stage's unknown as well."""
    exists = setting(stage.exists)
    if exists not in (sp.true, True) and not holds(expander, exists):
        raise NotExpandable(f"no value there: {stage.absent or stage.unknown}", given=str(exists), allowed="")
    residual, lower, upper = (setting(e) for e in (stage.residual, stage.lower, stage.upper))
    placed = replace(stage, residual=residual, lower=lower, upper=upper)
    if stage.clip:
        for end, towards in ((upper, 1), (lower, -1)):
            if end is oo or end == 0:
                continue
            at = _inner(placed, setting, expander.bound({stage.unknown: expander(end)}))
            side = at.sign(at(residual)) * stage.direction
            if side * towards <= 0:
                setting.words.append(f"{stage.unknown} = {stage.upper if towards > 0 else stage.lower}, an end")
                return at
    if stage.inner:
        raise NotExpandable(
            f"{stage.unknown} and its inner unknown move together: not covered", given=str(stage.unknown), allowed=""
        )
    root = solve_root(residual, placed, expander)
    setting.balance(stage.unknown, root.balance, expander.ring)
    return expander.bound({stage.unknown: root.series})


def _inner(stage: Stage, setting: Setting, expander: Expander) -> Expander:
    for part in stage.inner:
        expander = _with_stage(part, setting, expander)
    return expander


# ---------------------------------------------------------------------------------------------------------- reading


def _kept(ring: Ring, series: Series, request: Request) -> tuple[list[tuple[Monomial, Expr]], list[tuple[Monomial, Expr]]]:
    """Terms that are shown, and those known beyond them, both in the order of size and as far as no error hides them."""
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
    forms = [e]
    for shape in (sp.factor, lambda k: sp.powsimp(sp.expand(k)), sp.simplify, sp.expand):
        try:
            forms.append(timebox(1.0, shape, e))
        except (TimedOut, sp.PolynomialError, NotImplementedError, ValueError, TypeError):
            continue
    return min(forms, key=lambda k: (sp.count_ops(k), len(str(k))))


def _term(t: tuple[Monomial, Expr], request: Request) -> Term:
    m, c = t
    return Term(tidy(c), scale_of(m, request))


def scale_of(m: Monomial, request: Request) -> Expr:
    """A scale as a function of the limit parameter."""
    small = small_form(request)
    scale = m.expr(small)
    if request.point == 0:
        scale = sp.expand_log(sp.powsimp(scale), force=False)
        scale = scale.replace(lambda k: isinstance(k, sp.log) and k.args[0] == 1 / request.parameter,
                              lambda k: -sp.log(request.parameter))
    return scale


def _witnessed(
    blank: Expansion, found: Found, constants: tuple[Constant, ...], request: Request, evaluate: Sequence[Evaluate],
    deadline: float,
) -> Expansion:
    ring, series = found.ring, found.series
    shown, beyond = _kept(ring, series, request)
    head = shown[0][0] if shown else ONE
    own = [e for e in series.errors if e.expo == head.expo]
    other = [e for e in series.errors if e.expo != head.expo]
    following = beyond[0] if beyond else None
    if following is not None:
        remainder: Monomial | None = following[0]
    elif own:
        remainder = own[0]
    else:
        remainder = ring.largest(other)
    exponential = None
    if own:
        later = [t for t in ring.ordered(series) if t[0].expo != head.expo]
        exponential = _term(later[0], request) if later else None
    terms = tuple(_term(t, request) for t in shown)
    limit = _limit(ring, shown)
    signs = ring.signs
    notes = tuple(f"{e} keeps its sign (seen at random points)" for e in dict.fromkeys(signs.seen))
    made = replace(
        blank,
        limit=limit,
        terms=terms,
        remainder=None if remainder is None else scale_of(remainder, request),
        exponential=exponential,
        definitions=tuple((c.symbol, Eq(c.residual, 0)) for c in constants),
        balance=found.balance,
    )
    argument = Witness(
        "symbolic", Verdict.CORROBORATED, "dominant balance and expansion in transseries; "
        + "; ".join((*found.balance, *notes)),
    )
    next_term = None if following is None else _term(following, request)
    numeric = study(Study(made, next_term, constants, request.intervals, request.conditions, request.held,
                          request.of == "log", small_form(request), large_form(request, Symbol("X", positive=True)),
                          deadline), evaluate)
    verdict = numeric.verdict
    return replace(made, witnesses=(argument, numeric), verdict=verdict,
                   reason="" if verdict.sound else numeric.detail)


def _limit(ring: Ring, shown: list[tuple[Monomial, Expr]]) -> Expr:
    if not shown:
        return S.Zero
    m, c = shown[0]
    order = ring.compare(m, ONE)
    if order < 0:
        return S.Zero
    if order == 0:
        return tidy(c)
    return oo if ring.signs.sign(c) > 0 else -oo


# -------------------------------------------------------------------------------------------------------- questions


@dataclass(frozen=True)
class Question:
    """A limit of a quantity as a user asks for it: see `derive.quantity.Quantity.limit`."""

    problem: Problem
    parameter: str | Symbol
    point: Any
    direction: str = "+"
    order: int = 3
    hold: Mapping[Any, Expr] = field(default_factory=dict)
    where: Any = ()
    over: Problem | Expr | None = None
    of: str = "value"
    seconds: float = SECONDS


def answer(question: Question, evaluate: Sequence[Evaluate]) -> Expansion:
    """The answer to a question.

    Args: question; evaluate, the numerical solver of the quantity, and of the one it is divided by.
    Raises: DeriveError for a question that makes no sense.
    """
    problem, parameters = question.problem, _parameters(question)
    chosen = _named(question.parameter, problem.parameters, problem.name)
    point = _point(question.point, chosen)
    if isinstance(question.order, bool) or not isinstance(question.order, int) or not 0 <= question.order <= 12:
        raise DeriveError(
            f"order {question.order!r} is not a whole number from 0 to 12", given=repr(question.order), allowed="0..12"
        )
    if question.of not in ("value", "log"):
        raise DeriveError(f"of={question.of!r} is unknown", given=str(question.of), allowed="value, log")
    if not question.seconds > 0:
        raise DeriveError(f"{question.seconds} s is no time box", given=str(question.seconds), allowed="above 0")
    held = _held(question, chosen, parameters)
    fixed, conditions, intervals = _where(question, chosen, parameters, held)
    request = Request(
        chosen.symbol, point, "+", question.order, {**held, **fixed}, conditions, intervals, question.of,
        question.seconds,
    )
    problems = [problem]
    subject = problem.symbol.name
    solvers = list(evaluate)
    if isinstance(question.over, Problem):
        problems.append(question.over)
        subject += f"/{question.over.symbol.name}"
    elif question.over is not None:
        expr = _renamed(question.over, parameters, "over")
        problems.append(Problem("formula", Symbol("f"), tuple(parameters), (Branch("formula", expr),)))
        solvers.append(_evaluation(expr, parameters))
        subject += f"/({question.over})"
    if question.of == "log":
        subject = f"log {subject}" if len(problems) == 1 else f"log({subject})"
    sides = _sides(question.direction, point, chosen)
    found = [scaling_limit(problems, solvers, replace(request, direction=side), subject) for side in sides]
    return found[0] if len(found) == 1 else _both(found)


def _both(found: Sequence[Expansion]) -> Expansion:
    """Both sides of a point as one answer."""
    words = {"+": "from above", "-": "from below"}
    cases = tuple(replace(e, assumptions=(*e.assumptions, words[e.direction])) for e in found)
    limits = [e.limit for e in found]
    same = None not in limits and limits[0] == limits[1]
    reason = "" if same else "the limit depends on the direction: " + ", ".join(
        f"{e.limit if e.limit is not None else 'none'} {words[e.direction]}" for e in found
    )
    if not same and None in limits:
        reason += "; " + "; ".join(e.reason for e in found if e.limit is None)
    return replace(
        found[0], direction="+-", terms=(), remainder=None, exponential=None, definitions=(), balance=(), witnesses=(),
        limit=limits[0] if same else None, cases=cases, reason=reason,
        verdict=Verdict.weakest(e.verdict for e in found), seconds=sum(e.seconds for e in found),
    )


def _parameters(question: Question) -> list[Parameter]:
    """The parameters of the quantity, and of the one it is divided by."""
    found = list(question.problem.parameters)
    if isinstance(question.over, Problem):
        names = {p.name for p in found}
        found += [p for p in question.over.parameters if p.name not in names]
    return found


def _named(name: Any, parameters: Sequence[Parameter], what: str) -> Parameter:
    text = name.name if isinstance(name, Symbol) else str(name)
    known = {k: p for p in parameters for k in (p.name, p.symbol.name)}
    if text not in known:
        near = get_close_matches(text, known, 1)
        raise DeriveError(
            f"{what} has no parameter {text}" + (f"; nearest: {near[0]}" if near else ""),
            given=text, allowed=", ".join(p.name for p in parameters), nearest=near[0] if near else None,
        )
    return known[text]


def _exact(value: Any, what: str) -> Expr:
    """A number as given, exact."""
    if isinstance(value, str) or isinstance(value, bool):
        named = {"oo": oo, "-oo": -oo, "inf": oo, "-inf": -oo}
        if str(value) in named:
            return named[str(value)]
        raise DeriveError(f"{what} = {value!r} is not a number", given=str(value), allowed="a number, oo or -oo")
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            return oo if value > 0 else -oo
        if value != value:
            raise DeriveError(f"{what} = nan is not a number", given="nan", allowed="a number, oo or -oo")
        return sp.Rational(repr(value))
    number = S(value)
    if number.is_Float:
        number = sp.Rational(str(number))
    if number.free_symbols or not number.is_extended_real:
        raise DeriveError(f"{what} = {value} is not a real number", given=str(value), allowed="a number, oo or -oo")
    return number


def _point(value: Any, parameter: Parameter) -> Expr:
    point, domain = _exact(value, parameter.name), parameter.domain
    if not bool(sp.And(point >= domain.start, point <= domain.end)):
        raise DeriveError(
            f"{parameter.name} = {value} is outside the closure of its domain [{domain.start}, {domain.end}]",
            given=f"{parameter.name}={value}", allowed=f"{domain.start} <= {parameter.name} <= {domain.end}",
            nearest=f"{parameter.name}={domain.start if point < domain.start else domain.end}",
        )
    return point


def _sides(direction: str, point: Expr, parameter: Parameter) -> tuple[str, ...]:
    if direction not in ("+", "-", "+-"):
        raise DeriveError(
            f"direction {direction!r} is unknown", given=str(direction), allowed="+ from above, - from below, +- both",
            nearest="+",
        )
    inner = {parameter.domain.start: "+", parameter.domain.end: "-"}.get(point)
    if point in (oo, -oo):
        return ("+",)
    if inner is None:
        return tuple(direction)
    if direction in (inner, "+-"):
        return (inner,)
    if parameter.domain.end == point and direction == "+":
        return (inner,)
    raise DeriveError(
        f"{parameter.name} does not reach {point} from {'above' if direction == '+' else 'below'}: "
        f"its domain is ({parameter.domain.start}, {parameter.domain.end})",
        given=direction, allowed=inner, nearest=inner,
    )


def _renamed(expr: Any, parameters: Sequence[Parameter], what: str) -> Expr:
    """An expression in the quantity's own symbols, matched by name."""
    own = {k: p.symbol for p in parameters for k in (p.name, p.symbol.name)}
    if isinstance(expr, str):
        raise DeriveError(f"{what} = {expr!r} is text", given=expr, allowed="a SymPy expression in the parameters")
    made = S(expr)
    strange = [k for k in sorted(made.free_symbols, key=str) if k.name not in own]
    if strange:
        near = get_close_matches(strange[0].name, own, 1)
        raise DeriveError(
            f"{what}: there is no parameter {strange[0]}", given=str(strange[0]), allowed=", ".join(own),
            nearest=near[0] if near else None,
        )
    return made.xreplace({k: own[k.name] for k in made.free_symbols})


def _held(question: Question, chosen: Parameter, parameters: Sequence[Parameter]) -> dict[Symbol, Expr]:
    """Each combination that is held, solved for a parameter other than the one that moves."""
    held: dict[Symbol, Expr] = {}
    for name, value in question.hold.items():
        text = name.name if isinstance(name, Symbol) else str(name)
        if text in {k for p in parameters for k in (p.name, p.symbol.name)}:
            raise DeriveError(
                f"hold: {text} is a parameter already", given=text, allowed="a new name, such as kappa"
            )
        constant = Symbol(text, positive=True)
        expr = _renamed(value, parameters, "hold").subs(held)
        others = [p.symbol for p in parameters if p.symbol in expr.free_symbols and p is not chosen]
        if chosen.symbol not in expr.free_symbols or not others:
            raise DeriveError(
                f"hold: {text} = {value} has to join {chosen.name} with another parameter",
                given=f"{text}={value}", allowed=f"a combination of {chosen.name} and another parameter",
            )
        roots = timebox(5.0, sp.solve, expr - constant, others[0])
        if len(roots) != 1:
            raise DeriveError(
                f"hold: {text} = {value} does not determine {others[0]}", given=f"{text}={value}",
                allowed="a combination with one solution",
            )
        held[others[0]] = roots[0]
    return held


def _where(
    question: Question, chosen: Parameter, parameters: Sequence[Parameter], held: Mapping[Symbol, Expr]
) -> tuple[dict[Symbol, Expr], tuple[Any, ...], dict[Symbol, Interval]]:
    """Values that are given, relations, and the interval of every symbol that stays free."""
    intervals = {p.symbol: p.domain for p in parameters if p is not chosen and p.symbol not in held}
    intervals |= {k: Interval.open(0, oo) for v in held.values() for k in v.free_symbols
                  if k not in {p.symbol for p in parameters}}
    own = {k: p for p in parameters for k in (p.name, p.symbol.name)}
    given = question.where
    relations: list[Any] = []
    if isinstance(given, Mapping):
        for name, value in given.items():
            p = _named(name, parameters, "where")
            relations.append(Eq(p.symbol, _exact(value, p.name), evaluate=False))
    else:
        relations = list(given) if isinstance(given, tuple | list | set | frozenset) else [given]
    fixed: dict[Symbol, Expr] = {}
    conditions: list[Any] = []
    for relation in relations:
        if relation in (True, sp.true):
            continue
        if not isinstance(relation, sp.core.relational.Relational):
            raise DeriveError(
                f"where: {relation!r} is not a relation", given=str(relation), allowed="alpha_D < 1, or {'alpha_D': 1}"
            )
        strange = [k for k in sorted(relation.free_symbols, key=str) if k.name not in own and k not in intervals]
        if strange:
            near = get_close_matches(strange[0].name, own, 1)
            raise DeriveError(f"where: there is no parameter {strange[0]}", given=str(relation), allowed=", ".join(own),
                              nearest=near[0] if near else None)
        relation = relation.xreplace({k: own[k.name].symbol for k in relation.free_symbols if k.name in own})
        if chosen.symbol in relation.free_symbols:
            raise DeriveError(f"where: {relation} binds {chosen.name}, which moves", given=str(relation),
                              allowed="relations between the other parameters")
        _take(relation, fixed, conditions, intervals)
    return fixed, tuple(conditions), intervals


def _take(
    relation: Any, fixed: dict[Symbol, Expr], conditions: list[Any], intervals: dict[Symbol, Interval]
) -> None:
    """One relation, as a value, an interval or a condition."""
    free = relation.free_symbols
    conditions.append(relation)
    if len(free) != 1:
        return
    (symbol,) = free
    if symbol not in intervals:
        return
    if isinstance(relation, Eq) and symbol in (relation.lhs, relation.rhs):
        value = relation.rhs if relation.lhs == symbol else relation.lhs
        if value not in intervals[symbol]:
            raise DeriveError(f"{symbol} = {value} is out of its domain", given=str(relation),
                              allowed=str(intervals[symbol]))
        del intervals[symbol]
        fixed[symbol] = value
        return
    narrowed = timebox(5.0, relation.as_set).intersect(intervals[symbol])
    if isinstance(narrowed, Interval):
        intervals[symbol] = narrowed
    elif narrowed is sp.EmptySet:
        raise DeriveError(f"where: {relation} leaves no room for {symbol}", given=str(relation),
                          allowed=str(intervals[symbol]))


# ------------------------------------------------------------------------------------------------------ plain ones


def limit_of(
    expr: Expr,
    symbol: Symbol,
    point: Expr | int,
    *,
    direction: str = "+",
    order: int = 3,
    where: Sequence[Any] = (),
    seconds: float = SECONDS,
) -> Expansion:
    """The limit and expansion of an expression, by the same two witnesses.

    Args: expr; symbol and the point it approaches, from above ("+") or below ("-"); where, relations between the other
    symbols, whose own assumptions count as well.
    Returns: the Expansion; `.limit` is the value, `.cases` where the parameters decide.

    >>> from sympy import exp, oo, symbols
    >>> x, a, b = symbols("x a b", positive=True)
    >>> found = limit_of((a * exp(-a * x) + b * exp(-b * x)) * exp(b * x), x, oo)
    >>> [(c.assumptions, c.limit) for c in found.cases]
    [((a < b,), oo), ((Eq(a, b),), 2*b), ((a > b,), b)]
    """
    others = sorted(expr.free_symbols - {symbol}, key=str)
    intervals = {k: natural(k) for k in others}
    request = Request(symbol, sp.S(point), direction, order, {}, tuple(where), intervals, seconds=seconds)
    parameters = tuple(Parameter(k, natural(k)) for k in (symbol, *others))
    problem = Problem("expression", Symbol("f"), parameters, (Branch("expression", expr),))
    return scaling_limit([problem], [_evaluation(expr, parameters)], request, "f")


def _evaluation(expr: Expr, parameters: Sequence[Parameter]) -> Evaluate:
    symbols = [p.symbol for p in parameters]
    try:
        function = compile_mp(expr, symbols)
    except DeriveError:
        return lambda values, digits: None

    def evaluate(values: Mapping[str, Any], digits: int) -> Any:
        with mpmath.workdps(digits):
            try:
                value = function(*(values[k.name] for k in symbols))
            except (ValueError, ZeroDivisionError, OverflowError, DeriveError):
                return None
        return value if isinstance(value, mpmath.mpf) and mpmath.isfinite(value) else None

    return evaluate
