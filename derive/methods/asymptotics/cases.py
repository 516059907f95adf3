"""Cases, where the order of two terms hangs on a parameter, and the two witnesses of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sympy as sp
from sympy import Eq, Expr, Interval, Symbol, oo

from derive.core import Branch, Domain, Expansion, Problem, Term, Verdict, Witness
from derive.ledger.positivity import prove_positive
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
    tidy,
)
from derive.methods.asymptotics.certificate import certificate
from derive.methods.asymptotics.constants import Constant
from derive.methods.asymptotics.dominance import POINTS, NotExpandable, Signs, Undecided, natural
from derive.methods.asymptotics.transseries import ONE, Monomial
from derive.methods.asymptotics.witnesses import Evaluate, Study, study
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["scaling_limit"]

PROOF_SECONDS = 10.0
SIGN_SECONDS = 1.5
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
    try:
        found = timebox(request.seconds, _cases, problems, evaluate, request, subject, deadline, DEPTH)
    except TimedOut:
        found = _blank(request, subject, f"no answer within {request.seconds:g} s")
    return replace(found, seconds=time.monotonic() - start)


def _cases(
    problems: Sequence[Problem],
    evaluate: Sequence[Evaluate],
    request: Request,
    subject: str,
    deadline: float,
    depth: int,
) -> Expansion:
    blank = _blank(request, subject)
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
    return _witnessed(blank, problems, found, definitions, changed, evaluate, deadline)


def _blank(request: Request, subject: str, reason: str = "") -> Expansion:
    """An expansion that says nothing yet."""
    return Expansion(
        subject, request.parameter, request.point, request.direction, assumptions=request.conditions, reason=reason
    )


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
    problems: Sequence[Problem],
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
    notes = _notes(signs, request, deadline)
    made = replace(
        blank,
        limit=limit,
        terms=terms,
        remainder=None if remainder is None else scale_of(remainder, request),
        exponential=exponential,
        definitions=tuple((c.symbol, Eq(c.residual, 0)) for c in _used(terms, constants, list(request.held.values()))),
        balance=found.balance,
        assumptions=(*blank.assumptions, *found.assumptions),
    )
    words = "dominant balance and expansion in transseries; " + "; ".join((*found.balance, *notes))
    symbolic = Witness("symbolic", Verdict.CORROBORATED, words)
    further = sp.Add(*(c * scale_of(m, request) for m, c in beyond[1:]))
    following_term = None if following is None else term_of(following, request)
    numeric = _studied(made, following_term, constants, request, evaluate, deadline, further)
    verdict = numeric.verdict
    made = replace(made, witnesses=(symbolic, numeric), verdict=verdict, reason="" if verdict.sound else numeric.detail)
    if verdict.sound and not constants and not set(request.intervals) - {request.parameter}:
        made = _certified(made, problems, found, shown, remainder, request, deadline)
    return made if exponential is None else _summed(made, problems, request, evaluate, deadline)


def _notes(signs: Signs, request: Request, deadline: float) -> tuple[str, ...]:
    """What is known of the signs that assumptions left open: proven on the whole domain, or seen at random points.

    Signs that hang on the open constant of a trial only guide the search for a balance, and are not told.
    """
    notes = []
    for e in dict.fromkeys(signs.seen):
        if e.atoms(sp.Dummy):
            continue
        word, side = (">", e) if signs.sign(e) > 0 else ("<", -e)
        where = tuple((k, signs.intervals.get(k, natural(k))) for k in sorted(e.free_symbols, key=str))
        conditions = tuple(c for c in request.conditions if not isinstance(c, Eq) and c.free_symbols <= e.free_symbols)
        try:
            left = min(SIGN_SECONDS, (deadline - time.monotonic()) / 8)
            proof = timebox(left, prove_positive, side, Domain(where, conditions))
        except TimedOut:
            proof = None
        notes.append(f"{e} {word} 0, {'proven' if proof else f'seen at {POINTS} random points'}")
    return tuple(notes)


def _certified(
    made: Expansion,
    problems: Sequence[Problem],
    found: Found,
    shown: Sequence[tuple[Monomial, Expr]],
    remainder: Monomial | None,
    request: Request,
    deadline: float,
) -> Expansion:
    """The same expansion, CERTIFIED where a bound of its remainder is proven."""
    if any(p.has_saddle for p in problems):  # their averages have no enclosures here
        return made
    try:
        left = max(0.01, (deadline - time.monotonic()) / 2)
        proof = timebox(min(left, PROOF_SECONDS), certificate, problems, found, shown, remainder, request)
    except TimedOut:
        return made
    return made if proof is None else replace(made, verdict=proof.verdict, witnesses=(*made.witnesses, proof))


def _used(terms: Sequence[Term], constants: Sequence[Constant], more: Sequence[Expr] = ()) -> list[Constant]:
    """The constants that terms and other expressions are written through, and those behind their equations."""
    used = {k for e in (*(t.expr for t in terms), *more) for k in e.free_symbols}
    kept: list[Constant] = []
    for c in reversed(constants):
        if c.symbol in used:
            used |= c.residual.free_symbols
            kept.append(c)
    return kept[::-1]


def _studied(
    expansion: Expansion,
    following: Term | None,
    constants: tuple[Constant, ...],
    request: Request,
    evaluate: Sequence[Evaluate],
    deadline: float,
    further: Expr = sp.S.Zero,
) -> Witness:
    """The numerical witness of an expansion."""
    large = Symbol("X", positive=True)
    parts = (*expansion.terms, *(() if following is None else (following,)))
    looked = Study(
        expansion,
        following,
        tuple(c for c in _used(parts, constants) if c.symbol not in request.intervals),
        request.intervals,
        request.conditions,
        request.held,
        request.of == "log",
        small_form(request),
        large_form(request, large),
        deadline,
        further,
    )
    try:
        return timebox(max(0.01, (deadline - time.monotonic()) * 0.8), study, looked, evaluate)
    except TimedOut:
        return Witness("numerical", Verdict.UNDECIDED, "the numerical study did not end in time")


# ----------------------------------------------------------------------------------------- beyond all orders


def _summed(
    made: Expansion, problems: Sequence[Problem], request: Request, evaluate: Sequence[Evaluate], deadline: float
) -> Expansion:
    """The same expansion with its power series summed to all orders, where a companion limit does that.

    The exponential hangs on another parameter too: let that one go to infinity while the first stays near its point.
    Then every power of the first is a constant, and the sectors come in closed form.  They are taken over only where
    they begin with the terms that are known, and where what is left after the first sector is the second one, by a
    numerical study of its own.
    """
    assert made.exponential is not None
    if any(p.has_saddle for p in problems):  # the sum to all orders is the root of an average: no closed form
        return made
    for other in sorted(made.exponential.scale.free_symbols - {request.parameter}, key=str):
        interval = request.intervals.get(other)
        if interval is None or interval.end is not oo or request.point in (oo, -oo):
            continue
        try:
            closed = timebox(
                max(0.01, (deadline - time.monotonic()) / 2), _companion, problems, request, other, deadline
            )
        except (NotExpandable, TimedOut):
            continue
        if closed is None:
            continue
        first, second = closed
        if not _begins(first, made, request, deadline):
            continue
        whole = replace(made, terms=(Term(sp.S.One, first),), remainder=second)
        witness = replace(
            _studied(whole, Term(sp.S.One, second), (), request, evaluate, deadline), name="beyond all orders"
        )
        if not witness.verdict.sound:
            continue
        if sp.simplify(first - made.expr) != 0:
            return replace(made, closed=first, witnesses=(*made.witnesses, witness))
        return replace(  # the powers end: what is left is exponential, and only the second study can see it
            made,
            closed=first,
            remainder=made.exponential.scale,
            witnesses=(made.witnesses[0], witness),
            verdict=witness.verdict,
            reason="",
        )
    return made


def _companion(
    problems: Sequence[Problem], request: Request, other: Symbol, deadline: float
) -> tuple[Expr, Expr] | None:
    """The first two sectors in closed form, from the limit in which the other parameter goes to infinity."""
    near = Interval.open(request.point, request.point + sp.Rational(1, 16))
    if request.direction == "-":
        near = Interval.open(request.point - sp.Rational(1, 16), request.point)
    intervals = {k: v for k, v in request.intervals.items() if k != other} | {request.parameter: near}
    companion = replace(request, parameter=other, point=oo, direction="+", order=2, intervals=intervals)
    found, constants, _ = argument(problems, companion, deadline)
    if constants or not found.series.terms:
        return None
    ordered = found.ring.ordered(found.series)
    sectors = list(dict.fromkeys(m.expo for m, _ in ordered))
    if len(sectors) < 2 or any(e.expo in sectors[:2] for e in found.series.errors):
        return None
    first, second = (
        sp.Add(*(tidy(c) * scale_of(m, companion) for m, c in ordered if m.expo == sector)) for sector in sectors[:2]
    )
    return first, second


def _begins(first: Expr, made: Expansion, request: Request, deadline: float) -> bool:
    """Whether a closed form begins with the terms that are known."""
    formula = Problem("formula", Symbol("f"), (), (Branch("formula", first),))
    try:
        found, _, _ = argument([formula], replace(request, of="value", held={}, order=request.order + 1), deadline)
    except (NotExpandable, TimedOut):
        return False
    shown, beyond = kept_terms(found.ring, found.series, replace(request, of=request.of))
    known = sp.Add(*(term_of(t, request).expr for t in (*shown, *beyond)[: len(made.terms)]))
    return bool(sp.simplify(known - made.expr) == 0)
