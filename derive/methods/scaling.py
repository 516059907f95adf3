"""Scaling limits: how a quantity behaves as one of its parameters approaches a point.

The argument is symbolic, by transseries (`derive.methods.asymptotics`): unknowns are expanded by dominant balance, the
branch that holds in the end is chosen, and its value expanded.  The second witness is numerical and knows nothing of
the first: the quantity is solved to many digits along a sequence of points, and the remainder is compared with the term
that the argument says comes next.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import mpmath
import sympy as sp
from sympy import Eq, Expr, Interval, S, Symbol, oo

from derive.core import Branch, DeriveError, Expansion, Parameter, Problem, Stage, Verdict
from derive.methods.asymptotics.argument import SECONDS, Request
from derive.methods.asymptotics.cases import scaling_limit
from derive.methods.asymptotics.dominance import natural
from derive.methods.asymptotics.witnesses import Evaluate
from derive.nodes.mp_eval import compile_mp
from derive.nodes.timebox import timebox

__all__ = ["Question", "answer", "limit_of"]


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
    meeting = _meeting(question.point, chosen, problem)
    point = _point(question.point, chosen) if meeting is None else meeting[0]
    if isinstance(question.order, bool) or not isinstance(question.order, int) or not 0 <= question.order <= 12:
        raise DeriveError(
            f"order {question.order!r} is not a whole number from 0 to 12", given=repr(question.order), allowed="0..12"
        )
    if question.of not in ("value", "log"):
        raise DeriveError(f"of={question.of!r} is unknown", given=str(question.of), allowed="value, log")
    if not question.seconds > 0:
        raise DeriveError(f"{question.seconds} s is no time box", given=str(question.seconds), allowed="above 0")
    held = _held(question, chosen, parameters)
    if meeting is not None:
        held |= meeting[1]
    fixed, conditions, intervals = _where(question, chosen, parameters, held)
    request = Request(
        chosen.symbol,
        point,
        "+",
        question.order,
        {**held, **fixed},
        conditions if meeting is None else (*conditions, *(Eq(k, v) for k, v in meeting[1].items())),
        intervals,
        question.of,
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
    found, end = [], time.monotonic() + question.seconds
    for left, side in zip(range(len(sides), 0, -1), sides, strict=True):
        share = max(end - time.monotonic(), 1.0) / left  # the time box is that of the whole
        found.append(scaling_limit(problems, solvers, replace(request, direction=side, seconds=share), subject))
    return found[0] if len(found) == 1 else _both(found)


def _both(found: Sequence[Expansion]) -> Expansion:
    """Both sides of a point as one answer."""
    words = {"+": "from above", "-": "from below"}
    cases = tuple(replace(e, assumptions=(*e.assumptions, words[e.direction])) for e in found)
    limits = [e.limit for e in found]
    same = None not in limits and limits[0] == limits[1]
    reasons = list(dict.fromkeys(e.reason for e in found if e.reason))
    if not same and None not in limits:
        sides = ", ".join(f"{e.limit} {words[e.direction]}" for e in found)
        reasons.insert(0, f"the limit depends on the direction: {sides}")
    return replace(
        found[0],
        direction="+-",
        terms=(),
        remainder=None,
        exponential=None,
        definitions=(),
        balance=(),
        witnesses=(),
        limit=limits[0] if same else None,
        cases=cases,
        reason="; ".join(reasons),
        verdict=Verdict.weakest(e.verdict for e in found),
        seconds=sum(e.seconds for e in found),
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
            given=text,
            allowed=", ".join(p.name for p in parameters),
            nearest=near[0] if near else None,
        )
    return known[text]


def _exact(value: Any, what: str) -> Expr:
    """A number as given, exact."""
    if isinstance(value, str | bool):
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
            given=f"{parameter.name}={value}",
            allowed=f"{domain.start} <= {parameter.name} <= {domain.end}",
            nearest=f"{parameter.name}={domain.start if point < domain.start else domain.end}",
        )
    return point


def _meeting(value: Any, parameter: Parameter, problem: Problem) -> tuple[Symbol, dict[Symbol, Expr]] | None:
    """A point that is an unknown of the problem by name: the constant it stands for, and a parameter through it.

    The unknown may not hang on the parameter that moves, and its equation has to be linear in another one.
    """
    stages = {s.unknown.name.replace("lambda", "lam"): s for s in problem.stages if isinstance(s, Stage)}
    stage = stages.get(value.replace("lambda", "lam")) if isinstance(value, str) else None
    if stage is None:
        return None
    constant = Symbol(f"{stage.unknown.name.split('_')[0]}_0", positive=True)
    if parameter.symbol not in stage.residual.free_symbols and not stage.inner:
        for p in problem.parameters:
            slope = stage.residual.diff(p.symbol)
            if slope != 0 and p.symbol not in slope.free_symbols and stage.unknown not in slope.free_symbols:
                rest = sp.expand(stage.residual - slope * p.symbol)
                return constant, {p.symbol: sp.factor_terms(-rest / slope).subs(stage.unknown, constant)}
    raise DeriveError(
        f"{parameter.name} = {value}: no parameter has a closed form through {value}",
        given=f"{parameter.name}={value}",
        allowed="a number, oo, or an unknown whose equation is linear in another parameter",
    )


def _sides(direction: str, point: Expr, parameter: Parameter) -> tuple[str, ...]:
    if direction not in ("+", "-", "+-"):
        raise DeriveError(
            f"direction {direction!r} is unknown",
            given=str(direction),
            allowed="+ from above, - from below, +- both",
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
        given=direction,
        allowed=inner,
        nearest=inner,
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
            f"{what}: there is no parameter {strange[0]}",
            given=str(strange[0]),
            allowed=", ".join(own),
            nearest=near[0] if near else None,
        )
    return made.xreplace({k: own[k.name] for k in made.free_symbols})


def _held(question: Question, chosen: Parameter, parameters: Sequence[Parameter]) -> dict[Symbol, Expr]:
    """Each combination that is held, solved for a parameter other than the one that moves."""
    held: dict[Symbol, Expr] = {}
    for name, value in question.hold.items():
        text = name.name if isinstance(name, Symbol) else str(name)
        if text in {k for p in parameters for k in (p.name, p.symbol.name)}:
            raise DeriveError(f"hold: {text} is a parameter already", given=text, allowed="a new name, such as kappa")
        constant = Symbol(text, positive=True)
        expr = _renamed(value, parameters, "hold").subs(held)
        others = [p.symbol for p in parameters if p.symbol in expr.free_symbols and p is not chosen]
        if chosen.symbol not in expr.free_symbols or not others:
            raise DeriveError(
                f"hold: {text} = {value} has to join {chosen.name} with another parameter",
                given=f"{text}={value}",
                allowed=f"a combination of {chosen.name} and another parameter",
            )
        roots = timebox(5.0, sp.solve, expr - constant, others[0])
        if len(roots) != 1:
            raise DeriveError(
                f"hold: {text} = {value} does not determine {others[0]}",
                given=f"{text}={value}",
                allowed="a combination with one solution",
            )
        held[others[0]] = roots[0]
    return held


def _where(
    question: Question, chosen: Parameter, parameters: Sequence[Parameter], held: Mapping[Symbol, Expr]
) -> tuple[dict[Symbol, Expr], tuple[Any, ...], dict[Symbol, Interval]]:
    """Values that are given, relations, and the interval of every symbol that stays free."""
    intervals = {p.symbol: p.domain for p in parameters if p is not chosen and p.symbol not in held}
    intervals |= {
        k: Interval.open(0, oo)
        for v in held.values()
        for k in v.free_symbols
        if k not in {p.symbol for p in parameters}
    }
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
            raise DeriveError(
                f"where: there is no parameter {strange[0]}",
                given=str(relation),
                allowed=", ".join(own),
                nearest=near[0] if near else None,
            )
        renamed = {k: own[k.name].symbol for k in relation.free_symbols if k.name in own}
        relation = relation.func(*(a.xreplace(renamed) for a in relation.args), evaluate=False)
        if chosen.symbol in relation.free_symbols:
            raise DeriveError(
                f"where: {relation} binds {chosen.name}, which moves",
                given=str(relation),
                allowed="relations between the other parameters",
            )
        _take(relation, fixed, conditions, intervals)
    return fixed, tuple(conditions), intervals


def _take(relation: Any, fixed: dict[Symbol, Expr], conditions: list[Any], intervals: dict[Symbol, Interval]) -> None:
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
            raise DeriveError(
                f"{symbol} = {value} is out of its domain", given=str(relation), allowed=str(intervals[symbol])
            )
        del intervals[symbol]
        fixed[symbol] = value
        return
    narrowed = timebox(5.0, relation.as_set).intersect(intervals[symbol])
    if isinstance(narrowed, Interval):
        intervals[symbol] = narrowed
    elif narrowed is sp.EmptySet:
        raise DeriveError(
            f"where: {relation} leaves no room for {symbol}", given=str(relation), allowed=str(intervals[symbol])
        )


# --------------------------------------------------------------------------------------------------------- plain ones


def limit_of(
    expr: Expr,
    symbol: Symbol,
    point: Expr | int,
    *,
    direction: str = "+",
    order: int = 3,
    where: Sequence[Any] = (),
    of: str = "value",
    seconds: float = SECONDS,
) -> Expansion:
    """The limit and expansion of an expression, by the same two witnesses.

    Args: expr; symbol and the point it approaches, from above ("+") or below ("-"); where, relations between the other
    symbols, whose own assumptions count as well; of, "value" or "log".
    Returns: the Expansion; `.limit` is the value, `.cases` where the parameters decide.

    >>> from sympy import exp, oo, symbols
    >>> x, a, b = symbols("x a b", positive=True)
    >>> found = limit_of((a * exp(-a * x) + b * exp(-b * x)) * exp(b * x), x, oo)
    >>> [(c.assumptions, c.limit) for c in found.cases]
    [((a < b,), oo), ((Eq(a, b),), 2*b), ((a > b,), b)]
    """
    others = sorted(expr.free_symbols - {symbol}, key=str)
    intervals = {k: natural(k) for k in others}
    request = Request(symbol, sp.S(point), direction, order, {}, tuple(where), intervals, of, seconds)
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
