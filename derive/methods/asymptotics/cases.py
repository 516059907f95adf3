"""Cases, where the order of two terms hangs on a parameter, and the two witnesses of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sympy as sp
from sympy import Eq, Expr, Interval, Symbol, oo

from derive.core import Expansion, Problem, Verdict, Witness
from derive.methods.asymptotics.argument import (
    Found,
    Request,
    argument,
    kept_terms,
    large_form,
    limit_value,
    scale_of,
    small_form,
    term_of,
)
from derive.methods.asymptotics.dominance import Constant, NotExpandable, Undecided
from derive.methods.asymptotics.transseries import ONE, Monomial
from derive.methods.asymptotics.witnesses import Evaluate, Study, study
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["scaling_limit"]

DEPTH = 3
"""How often an answer is split into cases."""


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
    problems: Sequence[Problem],
    evaluate: Sequence[Evaluate],
    request: Request,
    subject: str,
    deadline: float,
    depth: int,
) -> Expansion:
    blank = Expansion(subject, request.parameter, request.point, request.direction, assumptions=request.conditions)
    left = deadline - time.monotonic()
    try:
        if left <= 0:
            raise TimedOut(request.seconds)
        found, definitions, changed = timebox(left, argument, problems, request, deadline)
    except Undecided as undecided:
        split = _splits(undecided.expr, request) if depth else ()
        if not split:
            return replace(blank, reason=str(undecided))
        cases = tuple(_cases(problems, evaluate, r, subject, deadline, depth - 1) for r in split)
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
        return replace(request, conditions=(*kept, condition), intervals={**request.intervals, symbol: interval})

    at = replace(
        request,
        conditions=(*kept, Eq(symbol, root)),
        intervals={k: v for k, v in request.intervals.items() if k != symbol},
        held={k: v.subs(symbol, root) for k, v in request.held.items()} | {symbol: root},
    )
    return (inside(symbol < root, below), at, inside(symbol > root, above))


def _witnessed(
    blank: Expansion,
    found: Found,
    constants: tuple[Constant, ...],
    request: Request,
    evaluate: Sequence[Evaluate],
    deadline: float,
) -> Expansion:
    ring, series = found.ring, found.series
    shown, beyond = kept_terms(ring, series, request)
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
        exponential = term_of(later[0], request) if later else None
    terms = tuple(term_of(t, request) for t in shown)
    limit = limit_value(ring, shown)
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
        "symbolic",
        Verdict.CORROBORATED,
        "dominant balance and expansion in transseries; " + "; ".join((*found.balance, *notes)),
    )
    next_term = None if following is None else term_of(following, request)
    numeric = study(
        Study(
            made,
            next_term,
            constants,
            request.intervals,
            request.conditions,
            request.held,
            request.of == "log",
            small_form(request),
            large_form(request, Symbol("X", positive=True)),
            deadline,
        ),
        evaluate,
    )
    verdict = numeric.verdict
    return replace(made, witnesses=(argument, numeric), verdict=verdict, reason="" if verdict.sound else numeric.detail)
