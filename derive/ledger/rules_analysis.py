"""Rules of analysis and of the field: inequalities, roots, stationarity, Legendre, Stein, Nishimori, joints, routes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from sympy import (
    Add,
    Basic,
    Derivative,
    Dummy,
    Eq,
    Expr,
    Ge,
    Gt,
    Integer,
    Le,
    Lt,
    Pow,
    Rational,
    Rel,
    Subs,
    Symbol,
    oo,
    sqrt,
)
from sympy.core.function import AppliedUndef

from derive.core import Domain, Evidence, Step, UniqueRoot, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.context import Context, context, hints_of, parts_of, undecided, weakened
from derive.ledger.descent import descended
from derive.ledger.domain import points, seed_of
from derive.ledger.gaussian import as_truth, counter_example
from derive.ledger.generators import Full, Unsupported
from derive.ledger.inequalities import Case, agreements, violation
from derive.ledger.ladder import ENOUGH, prove_identity
from derive.ledger.one_symbol import decided
from derive.ledger.positivity import prove_nonzero, prove_positive
from derive.ledger.premises import holds_everywhere, independent, sharpened_domain, sharpened_sides
from derive.ledger.reductions import prove_by_reduction
from derive.ledger.rewriting import carried_out, rewrite
from derive.ledger.rules_algebra import _trivial
from derive.ledger.rungs import exactly_zero
from derive.ledger.same_zeros import same_zeros
from derive.ledger.sampling import bound_functions, function_instances, instantiated
from derive.nodes.averages import (
    Average,
    DivergentAverage,
    GaussianAverage,
    MeasureAverage,
    TiltedAverage,
    average,
)
from derive.nodes.averages import (
    stein as by_parts,
)
from derive.nodes.binders import BoundSymbol
from derive.nodes.extremum import ArgExtremum, Extremum
from derive.nodes.laws import Noisy, Normal
from derive.nodes.timebox import TimedOut, timebox

__all__ = [
    "continuity", "legendre", "monotone_root", "nishimori", "positivity", "routes_agree", "stationarity", "stein_rule",
]

Premises = Mapping[str, Step]
_PROOF_SECONDS = 15.0
_CHART_SECONDS = 5.0


# ---- inequalities


def positivity(step: Step, premises: Premises) -> Evidence:
    """An inequality, strict or weak, from the signs of its parts (derive.ledger.positivity lists the ways).

    An inequality in one symbol goes to a sign chart (derive.ledger.sign_charts) where these do not close it: it is
    divided by what has one sign and differentiated until signs are known, and back up each piece between two zeros of
    the slope has at most one zero.  What that needs is shown, or there is no chart: the expression is analytic inside
    its interval, zeros of slopes are isolated in balls or known exactly, and values at the ends are exact limits.
    Several symbols are brought down to fewer first (derive.ledger.reductions): by cases of absolute values and maxima,
    at the place of the least value in one symbol, on both sides of zero, or by scaling; what each way needs is proved.
    Exact because each way is; inequalities among the premises and in the domain are used as they stand, equations are
    carried in first.  A violation found in balls at a point of the domain refutes the claim; points are drawn at
    random, on the edges of the domain, where pieces join, and downhill to where the two sides come close.
    """
    ctx = context(step, premises)
    found = []
    assert isinstance(step.claim, Basic)
    for part in parts_of(step.claim):
        trivial = _trivial(part)
        if trivial is None and not (isinstance(part, Rel) and part.rel_op in (">", ">=", "<", "<=", "!=")):
            return undecided(f"the claim {part} is not an inequality")
        found.append(trivial or _inequality(part, ctx))
    return weakened(min(found, key=lambda e: e.verdict.value), ctx.open)


def _inequality(relation: Any, ctx: Context) -> Evidence:
    up = relation.rel_op in (">", ">=", "!=")
    strict = relation.rel_op in (">", "<", "!=")
    difference = carried_out(relation.lhs - relation.rhs if up else relation.rhs - relation.lhs)
    rewritten, left = rewrite(difference, ctx.equations)
    facts = tuple(rewrite(r, ctx.equations)[0] for r in ctx.relations)
    domain = Domain(ctx.domain.intervals, (*ctx.domain.constraints, *(f for f in facts if isinstance(f, Rel))))
    nonzero = relation.rel_op == "!="
    given = independent([e for e in left if not holds_everywhere(e, domain)], domain)
    case = Case(rewritten, domain, given, bound_functions((*ctx.domain.constraints, *ctx.relations)), strict, nonzero)
    counter = violation(case, 6, 2.0, coarse=True)
    if counter is not None:
        return counter
    why = None
    end = time.perf_counter() + _PROOF_SECONDS
    for form in dict.fromkeys((rewritten, difference, _expanded(rewritten))):
        rest = max(end - time.perf_counter(), 1.0)
        try:
            why = (timebox(rest, prove_nonzero, form, domain) if nonzero
                   else timebox(rest, _proved, form, domain, strict))
        except (TimedOut, DivergentAverage):
            continue
        if why:
            return Evidence(Verdict.PROVED, why)
    charted = _by_chart(case, min(max(end - time.perf_counter(), 1.0), _CHART_SECONDS))
    if charted is not None:
        return charted
    found = _sampled(case)
    if found.verdict is Verdict.CORROBORATED and not given and not nonzero:
        return _downhill(relation, ctx, domain) or found
    return found


def _downhill(relation: Any, ctx: Context, domain: Domain) -> Evidence | None:
    """A violation where the two sides come close."""
    sides = relation.args if relation.rel_op in (">", ">=") else relation.args[::-1]
    larger, smaller = (rewrite(carried_out(side), ctx.equations)[0] for side in sides)
    try:
        return timebox(_CHART_SECONDS, descended, larger, smaller, domain)
    except TimedOut:
        return None


def _by_chart(case: Case, seconds: float) -> Evidence | None:
    """The word of a sign chart on an inequality without premises, of several symbols after their number is reduced."""
    if case.given:
        return None
    try:
        if len(case.e.free_symbols) == 1:
            return timebox(seconds, decided, case.e, case.domain, case.strict, case.nonzero)
        why = None if case.nonzero else timebox(seconds, prove_by_reduction, case.e, case.domain, case.strict)
    except TimedOut:
        return None
    return Evidence(Verdict.PROVED, why) if why else None


def _proved(e: Expr, domain: Domain, strict: bool = True) -> str | None:
    return prove_positive(e, domain, 3, strict)


def _expanded(e: Expr) -> Expr:
    """With the averages carried out."""
    from derive.ledger.rungs import averages_done

    try:
        return timebox(5.0, averages_done, e, Domain())
    except (TimedOut, DivergentAverage):
        return e


def _sampled(case: Case) -> Evidence:
    counter = violation(case, 3 * ENOUGH, 8.0)
    if counter is not None:
        return counter
    try:
        good = timebox(_PROOF_SECONDS, agreements, case, ENOUGH + 8)
    except TimedOut:
        good = 0
    if good >= ENOUGH:
        return Evidence(Verdict.CORROBORATED, f"positive at {good} random points, in balls; no proof was found")
    return undecided(f"no proof was found, and only {good} points could be enclosed")


# ---- roots


def monotone_root(step: Step, premises: Premises) -> Evidence:
    """The residual has exactly one zero on the open interval, and crosses it in the stated direction.

    Uniqueness: the derivative has one strict sign there (proved as an inequality).  Existence: the residual is
    continuous and has opposite signs at two places, proved either at points, or by its value at an end where it is
    continuous, or by its growth: a residual f with a derivative of one sign whose sign far out is proved as an
    inequality there.
    Limits computed by SymPy alone are named as such and prove nothing.  Hint "equation": the label of a premise, an
    equation which the residual is then to have the same zeros as, so that the root is that of the derivation.
    """
    claim = step.claim
    if not isinstance(claim, UniqueRoot):
        return undecided("the claim is to be a UniqueRoot")
    label = hints_of(step).get("equation")
    tied = _tied(claim, label, context(step, premises, tuple(n for n in step.premises if n != label)), premises)
    if tied is not None and not tied.verdict.sound:
        return tied
    ctx = context(step, premises, tuple(n for n in step.premises if n != label))
    x, direction = claim.unknown, int(claim.direction)
    domain = Domain(
        (*((s, i) for s, i in ctx.domain.intervals if s != x), (x, claim.interval)), ctx.domain.constraints)
    inner = Context(domain, ctx.equations, ctx.relations)
    residual, _ = rewrite(carried_out(claim.residual), ctx.equations)
    if direction not in (1, -1):
        return undecided("the direction is to be +1 or -1")
    slope = direction * residual.diff(x)
    monotone = _inequality(Gt(slope, 0, evaluate=False), inner)
    if monotone.verdict is Verdict.REFUTED:
        detail = f"not monotone: direction times derivative: {monotone.detail}"
        return Evidence(Verdict.REFUTED, detail, monotone.witness)
    low = _end_sign(-direction * claim.residual, x, domain, ctx, claim.interval.start)
    high = _end_sign(direction * claim.residual, x, domain, ctx, claim.interval.end)
    for end in (low, high):
        if end.verdict is Verdict.REFUTED:
            return end
    detail = f"monotone: {monotone.detail}; lower end: {low.detail}; upper end: {high.detail}"
    verdicts = [monotone.verdict, low.verdict, high.verdict]
    if tied is not None:
        detail += f"; the residual: {tied.detail}"
        verdicts.append(tied.verdict)
    return weakened(Evidence(Verdict.weakest(verdicts), detail), ctx.open)


def _tied(claim: UniqueRoot, label: Any, ctx: Context, premises: Premises) -> Evidence | None:
    """Whether the residual vanishes where the named premise holds, and nowhere else; None where none is named."""
    if label is None:
        return None
    premise = premises.get(str(label))
    if premise is None or not isinstance(premise.claim, Eq):
        return undecided(f"the premise {label!r} is no equation")
    return same_zeros(Eq(claim.residual, 0, evaluate=False), premise.claim, ctx)


def _end_sign(f: Expr, x: Symbol, domain: Domain, ctx: Context, end: Expr) -> Evidence:
    """That f > 0 somewhere near an end of the interval of x, for every value of the other symbols."""
    from derive.ledger.ends import positive_near

    facts = Domain(domain.intervals, (*domain.constraints, *ctx.relations))
    sharp, names = sharpened_sides((f,), facts)
    inside = sharpened_domain(facts, names)
    symbol = names.get(x, x)
    try:
        return timebox(_PROOF_SECONDS, positive_near, sharp[0], symbol, end, inside)
    except TimedOut:
        return undecided(f"the sign near {end} was not found in {_PROOF_SECONDS:g} s")


# ---- stationarity, Legendre


def stationarity(step: Step, premises: Premises) -> Evidence:
    """The claim is the stationarity condition of an Extremum in a premise, or of a derivative there, up to a factor.

    Exact because at an interior extremum of a differentiable body its derivative vanishes, and a factor that does not
    vanish changes no zeros.  Hint "variable": the symbol that stands for the extremal argument.
    """
    claim = step.claim
    if not isinstance(claim, Eq):
        trivial = _trivial(claim) if isinstance(claim, Basic) else None
        return trivial or undecided("the claim is to be an equation")
    ctx = context(step, premises)
    conditions = list(_conditions(step, premises, claim))
    if not conditions:
        return undecided("no premise has an Extremum or a derivative")
    best: Evidence | None = None
    for condition, names in conditions:
        others = tuple(e for e in ctx.equations if not _defines_condition(e, names))
        found = same_zeros(claim, Eq(condition, 0, evaluate=False), Context(ctx.domain, others, ctx.relations))
        if found.verdict is Verdict.PROVED:
            return weakened(Evidence(Verdict.PROVED, f"the derivative vanishes; {found.detail}"), ctx.open)
        if best is None or found.verdict is Verdict.REFUTED:
            best = found
    assert best is not None
    return best


def _defines_condition(e: Eq, names: Sequence[Basic]) -> bool:
    return e in names


def _conditions(step: Step, premises: Premises, claim: Eq) -> Iterator[tuple[Expr, tuple[Basic, ...]]]:
    hinted = hints_of(step).get("variable", hints_of(step).get("symbol"))
    for name in step.premises:
        source = premises[name].claim
        if isinstance(source, str):
            continue
        for part in parts_of(source):
            for node in sorted(part.atoms(Extremum, ArgExtremum), key=str):
                (variable,), (body,) = node.open()
                candidates = [hinted] if hinted is not None else sorted(
                    (s for s in claim.free_symbols - node.free_symbols if isinstance(s, Symbol)), key=lambda s: s.name)
                for symbol in candidates:
                    yield body.diff(variable).subs(variable, symbol), (part,)
            if isinstance(part, Eq):
                for side, other in ((part.lhs, part.rhs), (part.rhs, part.lhs)):
                    if isinstance(side, Derivative | Subs):
                        yield other, (part,)


def legendre(step: Step, premises: Premises) -> Evidence:
    """Legendre pairs: I(zeta'(l)) = l zeta'(l) - zeta(l), and I' = l there.

    From I(e) = max over l of l e - zeta(l): the body is strictly concave (zeta'' > 0 among the premises, or proved), so
    that its one stationary point, where e = zeta', is the maximum; the value there is the claim.  From a premise
    I(zeta'(l)) = ... for every l, the derivative in l gives I'(zeta'(l)) zeta''(l) = l zeta''(l), and zeta'' > 0 is
    divided out.
    """
    claim = step.claim
    if not isinstance(claim, Eq):
        trivial = _trivial(claim) if isinstance(claim, Basic) else None
        return trivial or undecided("the claim is to be an equation")
    ctx = context(step, premises)
    found: list[Evidence] = []
    for equation in ctx.equations:
        node = equation.rhs if isinstance(equation.rhs, Extremum) else None
        others = tuple(e for e in ctx.equations if e is not equation)
        if node is not None and isinstance(equation.lhs, AppliedUndef):
            found.extend(_legendre_value(claim, equation, node, Context(ctx.domain, others, ctx.relations)))
        for symbol in sorted((s for s in equation.free_symbols if isinstance(s, Symbol)), key=lambda s: s.name):
            slope = carried_out(equation.lhs.diff(symbol) - equation.rhs.diff(symbol))
            if node is None and slope != 0 and symbol in claim.free_symbols:
                rest = Context(ctx.domain, others, ctx.relations)
                found.append(same_zeros(claim, Eq(slope, 0, evaluate=False), rest))
        if any(e.verdict is Verdict.PROVED for e in found):
            break
    direct = None
    if not any(e.verdict is Verdict.PROVED for e in found):
        direct = prove_identity(claim.lhs, claim.rhs, ctx.domain, ctx.facts)
        found.append(direct)
    proved = [e for e in found if e.verdict is Verdict.PROVED]
    if proved:
        return weakened(proved[0], ctx.open)
    if direct is not None and direct.verdict is not Verdict.UNDECIDED:
        return direct
    return min(found, key=lambda e: e.verdict.value)


def _legendre_value(claim: Eq, equation: Eq, node: Extremum, ctx: Context) -> Iterator[Evidence]:
    """I at a slope of zeta from its definition as an extremum."""
    function = equation.lhs.func
    for applied in sorted((a for a in claim.atoms(AppliedUndef) if a.func == function), key=str):
        at = dict(zip(equation.lhs.args, applied.args, strict=True))
        (variable,), (body,) = node.open()
        body = body.subs(at, simultaneous=True)
        curvature = body.diff(variable, 2)
        sign = -1 if node.kind == "max" else 1
        inside = Domain((*ctx.domain.intervals, (variable, node.interval)), ctx.domain.constraints)
        facts = tuple(_at_any(r, variable) for r in ctx.relations)
        local = Context(inside, ctx.equations, tuple(f for r in facts for f in r))
        strict = _inequality(Gt(sign * curvature, 0, evaluate=False), local)
        for symbol in sorted((s for s in applied.free_symbols if isinstance(s, Symbol)), key=lambda s: s.name):
            slope = prove_identity(
                carried_out(body.diff(variable).subs(variable, symbol)), Integer(0), ctx.domain, ctx.facts)
            if slope.verdict is not Verdict.PROVED:
                continue
            value = carried_out(body.subs(variable, symbol))
            same = prove_identity(
                claim.lhs.xreplace({applied: value}), claim.rhs.xreplace({applied: value}), ctx.domain, ctx.facts)
            verdict = Verdict.weakest((same.verdict, strict.verdict))
            if same.verdict is Verdict.REFUTED:
                yield same
            else:
                yield Evidence(verdict, f"stationary at {symbol}; strictly {'concave' if sign < 0 else 'convex'}: "
                                        f"{strict.detail}; value: {same.detail}")


def _at_any(relation: Any, variable: Symbol) -> tuple[Any, ...]:
    """An inequality known for every value of its one symbol, also at another one."""
    symbols = [s for s in relation.free_symbols if isinstance(s, Symbol)]
    return (relation, relation.subs(symbols[0], variable)) if len(symbols) == 1 else (relation,)


# ---- Gaussian integration by parts, Nishimori


def stein_rule(step: Step, premises: Premises) -> Evidence:
    """Stein's lemma: E[x f(x)] = E[f'(x)] for a standard normal x, used on averages of the claim.

    Exact by partial integration, as f(x) exp(-x^2/2) vanishes at both ends, which is checked on a majorant of the
    integrand, and f has no jumps.  For an undefined function the growth is left open, unless the hint "growth" names a
    premise, an assumption, that grants it.
    """
    claim = step.claim
    if not isinstance(claim, Eq):
        trivial = _trivial(claim) if isinstance(claim, Basic) else None
        return trivial or undecided("the claim is to be an equation")
    ctx = context(step, premises)
    pair, _ = rewrite(carried_out(Basic(claim.lhs, claim.rhs)), ctx.equations)
    lhs, rhs = pair.args
    number = hints_of(step).get("variable")
    counter = counter_example(lhs, rhs, step, ctx.relations)
    if counter is not None:
        return counter
    plain = Evidence(Verdict.UNDECIDED, "no partial integration carries one side into the other")
    if number is None:
        plain = prove_identity(lhs, rhs, ctx.domain, ctx.facts, seconds=4.0)
    if plain.verdict in (Verdict.PROVED, Verdict.REFUTED):
        return weakened(plain, ctx.open)
    forms = [(left, right) for left in _by_parts(lhs, number) for right in _by_parts(rhs, number)
             if (left, right) != (lhs, rhs)]
    for left, right in forms:  # by normal forms first: most of the pairs are different, and a search would be in vain
        if _plainly_equal(left, right, ctx.domain):
            opened = [*ctx.open, *_tails_open(lhs, rhs, ctx.domain, _growth_granted(step, premises))]
            return weakened(Evidence(Verdict.PROVED, "by parts; normal form"), opened)
    if number is not None:  # a point at which the claim fails costs less than proofs that do not exist
        plain = prove_identity(lhs, rhs, ctx.domain, ctx.facts, seconds=4.0)
        if plain.verdict is Verdict.REFUTED:
            return plain
    for left, right in forms:
        found = prove_identity(left, right, ctx.domain, ctx.facts, seconds=6.0)
        if found.verdict is Verdict.PROVED:
            opened = [*ctx.open, *_tails_open(lhs, rhs, ctx.domain, _growth_granted(step, premises))]
            return weakened(Evidence(Verdict.PROVED, f"by parts; {found.detail}"), opened)
    return plain


def _by_parts(e: Expr, number: Any = None) -> list[Expr]:
    """The expression, and with one or two partial integrations of its averages, in one variable if it is named."""
    found = [e]
    frontier = [e]
    for _ in range(2):
        new = []
        for form in frontier:
            for node in sorted(form.atoms(GaussianAverage), key=str):
                for k in range(len(node.variables)) if number is None else (int(number),):
                    if k >= len(node.variables):
                        continue
                    other = form.xreplace({node: by_parts(node, k)})
                    if other not in found:
                        found.append(other)
                        new.append(other)
        frontier = new[:6]
    return found[:12]


def _plainly_equal(left: Expr, right: Expr, domain: Domain) -> bool:
    sharp, names = sharpened_sides((carried_out(left - right),), domain)
    try:
        proof = timebox(2.0, exactly_zero, sharp[0], sharpened_domain(domain, names))
    except (TimedOut, Unsupported, Full, DivergentAverage):
        return False
    return proof is not None and not proof.open


def _growth_granted(step: Step, premises: Premises) -> bool:
    """Whether an assumption among the premises grants the growth of the undefined functions."""
    granted = premises.get(str(hints_of(step).get("growth")))
    return granted is not None and granted.rule in ("assumption", "theorem")


def _tails_open(lhs: Expr, rhs: Expr, domain: Domain, granted: bool = False) -> list[str]:
    """Conditions of the lemma that are not seen: jumps, or a tail without a bound."""
    from sympy import DiracDelta, Heaviside, Piecewise, sign

    opened = []
    for node in sorted(lhs.atoms(GaussianAverage) | rhs.atoms(GaussianAverage), key=str):
        if node.body.has(Heaviside, sign, Piecewise, DiracDelta):
            opened.append(f"{node} has no jumps")
            continue
        symbols = {s for s in node.free_symbols if isinstance(s, Symbol)}
        instances = function_instances((node,), seed_of(node))
        plain = instantiated(node, instances)
        if instances and granted:
            continue
        if instances:
            opened.append("the growth of an undefined function") if any(
                isinstance(a, AppliedUndef) and set(node.variables) & a.free_symbols
                for a in node.body.atoms(AppliedUndef)
            ) else None
            continue
        for point in points(symbols, domain, seed_of(node), 2):
            try:
                finite = enclose(plain, point, 64).is_finite()
            except (NotEnclosed, ValueError):
                finite = False
            if not finite:
                opened.append(f"{node} has a bounded tail")
                break
    return list(dict.fromkeys(o for o in opened if o))


def nishimori(step: Step, premises: Premises) -> Evidence:
    """The posterior average, averaged over the data, is the average over the truth.

    For x ~ xi_0 + sqrt(s) w with xi_0 ~ p, and a tilt whose dependence on xi is exactly -(x - xi)^2/(2 s), the tilted
    law of xi is the posterior given x (Bayes), so that (x, xi) has the same joint law as (x, xi_0):
    E_x <f(x, xi)> = E_xi0 E_w f(xi_0 + sqrt(s) w, xi_0).  Exact; the form of the tilt is proved by the ladder.  The
    same holds where the truth is a function of a standard normal variable, among other variables that are given: then
    the tilt is -(w_n + A(w_0) - A(w))^2/2 with the noise w_n and the truth w_0 among the averaged variables, and what
    stands beside the posterior average depends on the two through w_n + A(w_0) only.  Averages are over real laws: that
    their roots are real on the domain is proved too, since a root may fall out of the average over the truth.
    """
    claim = step.claim
    if not isinstance(claim, Eq):
        trivial = _trivial(claim) if isinstance(claim, Basic) else None
        return trivial or undecided("the claim is to be an equation")
    ctx = context(step, premises)
    pair, _ = rewrite(carried_out(Basic(claim.lhs, claim.rhs)), ctx.equations)
    lhs, rhs = pair.args
    counter = counter_example(lhs, rhs, step, ctx.relations)
    if counter is not None:
        return counter
    replaced = {}
    refused = ""
    for node in sorted(lhs.atoms(MeasureAverage) | rhs.atoms(MeasureAverage), key=str):
        outcome = _joint(node, ctx.domain)
        if isinstance(outcome, str):
            refused = refused or outcome
        elif outcome is not None:
            replaced[node] = outcome
    for normal in sorted(lhs.atoms(GaussianAverage) | rhs.atoms(GaussianAverage), key=str):
        truth = as_truth(normal, ctx.domain)
        if truth is not None:
            replaced[normal] = truth
    if not replaced:
        direct = prove_identity(lhs, rhs, ctx.domain, ctx.facts)
        if direct.verdict is Verdict.REFUTED:
            return direct
        return undecided(refused or "no average over noisy data of a tilted average was found")
    found = prove_identity(lhs.xreplace(replaced), rhs.xreplace(replaced), ctx.domain, ctx.facts)
    if found.verdict is not Verdict.PROVED:
        return found
    unreal = [f"{e} >= 0" for e in _radicands(replaced) if _proved(e, ctx.domain, strict=False) is None]
    if unreal:
        return undecided(f"the posterior is the law of the truth; not shown: {', '.join(unreal)}")
    return weakened(Evidence(Verdict.PROVED, f"the posterior is the law of the truth; {found.detail}"), ctx.open)


def _radicands(nodes: Iterable[Expr]) -> list[Expr]:
    """What stands under roots and depends on parameters only."""
    roots = (p for node in nodes for p in node.atoms(Pow) if p.exp.is_integer is False and p.base.free_symbols)
    found = {p.base for p in roots if not any(isinstance(k, BoundSymbol) for k in p.base.free_symbols)}
    return sorted(found, key=str)


def _joint(node: MeasureAverage, domain: Domain) -> Expr | str | None:
    """The average over truth and noise that an average over noisy data of tilted averages is."""
    law = node.law
    if not isinstance(law, Noisy) or not node.body.has(TiltedAverage):
        return None
    (x,), (body,) = node.open()
    tilts = sorted(body.atoms(TiltedAverage), key=str)
    if len(tilts) != 1:
        return "several tilted averages stand under one average over the data"
    tilt = tilts[0]
    factor = body / tilt
    if factor.has(TiltedAverage) or tilt.law != law.base:
        return "the tilted average is not over the law of the truth" if tilt.law != law.base else (
            "the tilted average does not enter linearly")
    (xi,), (f, g) = tilt.open()
    sharp, names = sharpened_sides(((g + (x - xi) ** 2 / (2 * law.s)).diff(xi),), domain)
    if exactly_zero(sharp[0], sharpened_domain(domain, names)) is None:
        return "the tilt is not -(x - xi)^2/(2 s) with the variance s of the noise"
    w = Dummy("w", real=True)
    return average(GaussianAverage((factor * f).subs(x, xi + sqrt(law.s) * w), w), xi, law.base)


# ---- joints and routes


def continuity(step: Step, premises: Premises) -> Evidence:
    """Two branches agree at the joint, in value and in the stated derivatives.

    Each claimed equality is proved by the ladder.  Hints "left", "right", "symbol", "at" and "order" state the
    branches; then value and derivatives up to that order are compared there, and the claim is among them.
    """
    ctx = context(step, premises)
    assert isinstance(step.claim, Basic)
    hints = hints_of(step)
    found = []
    for part in parts_of(step.claim):
        trivial = _trivial(part)
        if trivial is None and not isinstance(part, Eq):
            return undecided(f"the claim {part} is not an equation")
        found.append(trivial or prove_identity(part.lhs, part.rhs, ctx.domain, ctx.facts))
    if {"left", "right", "symbol", "at"} <= set(hints):
        x, at = hints["symbol"], hints["at"]
        for order in range(int(hints.get("order", 0)) + 1):
            sides = [
                carried_out(Subs(Derivative(hints[k], (x, order)) if order else hints[k], x, at))
                for k in ("left", "right")
            ]
            found.append(prove_identity(sides[0], sides[1], ctx.domain, ctx.facts))
    return weakened(min(found, key=lambda e: e.verdict.value), ctx.open)


def routes_agree(step: Step, premises: Premises) -> Evidence:
    """Several derivations of one result: their conclusions are the same, and they share no step.

    The conclusions are compared pairwise (equal right sides, or the same equation up to a factor that does not vanish).
    Then the steps on which they stand, definitions, assumptions and cited theorems apart, must be pairwise disjoint, by
    label and by content, and each route must have a ground of its own: two routes that are one in disguise are refuted.
    """
    claim = step.claim
    routes = list(step.premises)
    if len(routes) < 2:
        return undecided("at least two routes are to be compared")
    if any(not isinstance(premises[n].claim, Eq) for n in routes):
        return undecided("each route is to end in an equation")
    shared = _shared(routes, premises)
    if shared is not None:
        return shared
    ctx = context(step, premises, routes)
    plain = Context(ctx.domain, (), ctx.relations)
    details = []
    for a, b in combinations(routes, 2):
        first, second = premises[a].claim, premises[b].claim
        assert isinstance(first, Eq)
        assert isinstance(second, Eq)
        found = _same_conclusion(first, second, plain)
        if found.verdict is not Verdict.PROVED:
            if found.verdict is Verdict.REFUTED:
                return Evidence(Verdict.REFUTED, f"{a} and {b} differ: {found.detail}", found.witness)
            return Evidence(found.verdict, f"{a} and {b}: {found.detail}")
        details.append(f"{a} = {b}: {found.detail}")
    assert isinstance(claim, Basic)
    for part in parts_of(claim):
        trivial = _trivial(part)
        if trivial is not None:
            if trivial.verdict is Verdict.REFUTED:
                return trivial
            continue
        if not isinstance(part, Eq):
            return undecided(f"the claim {part} is not an equation")
        found = _claimed(part, [premises[n].claim for n in routes], plain)
        if found.verdict is not Verdict.PROVED:
            return Evidence(found.verdict, f"the claim: {found.detail}", found.witness)
    return weakened(Evidence(Verdict.PROVED, "; ".join(details) + "; no step is shared"), ctx.open)


def _same_conclusion(first: Eq, second: Eq, ctx: Context) -> Evidence:
    if first == second:
        return Evidence(Verdict.PROVED, "the same equation")
    if first.lhs == second.lhs:
        return prove_identity(first.rhs, second.rhs, ctx.domain, ctx.facts)
    return same_zeros(first, second, ctx)


def _claimed(part: Eq, conclusions: Sequence[Any], ctx: Context) -> Evidence:
    """The claim is one of the conclusions, or equates two of their sides."""
    sides = [s for c in conclusions for s in c.args]
    if part.lhs in sides and part.rhs in sides:
        return prove_identity(part.lhs, part.rhs, ctx.domain, (*ctx.facts, *conclusions))
    return _same_conclusion(conclusions[0], part, ctx)


_GROUND = ("definition", "assumption", "theorem")


def _shared(routes: Sequence[str], premises: Premises) -> Evidence | None:
    """A refutation where two routes share a step, or stand on the same ground."""
    steps = {n: _lineage(n, premises) for n in routes}
    own = {n: {k for k in found if premises[k].rule not in _GROUND} for n, found in steps.items()}
    contents = _contents(premises)
    ground = {n: {str(premises[k].claim) for k in found if premises[k].rule in _GROUND} for n, found in steps.items()}
    for a, b in combinations(routes, 2):
        common = sorted(own[a] & own[b])
        if a == b or common:
            name = a if a == b else common[0]
            witness = (("shared step", name), ("routes", f"{a}, {b}"))
            return Evidence(Verdict.REFUTED, f"two routes share step {name}", witness)
        for k in sorted(own[a]):
            for j in sorted(own[b]):
                if contents[k] == contents[j] and premises[k].premises:
                    return Evidence(Verdict.REFUTED, f"two routes share step {k}, under the name {j} in the other",
                                    (("shared step", k), ("its other name", j), ("routes", f"{a}, {b}")))
        if not ground[a] - ground[b] or not ground[b] - ground[a]:
            poor = a if not ground[a] - ground[b] else b
            return Evidence(Verdict.REFUTED, f"the route {poor} has no definition of its own",
                            (("route", poor), ("routes", f"{a}, {b}")))
    return None


def _lineage(label: str, premises: Premises) -> set[str]:
    found: set[str] = set()
    waiting = [label]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(premises[name].premises)
    return found


def _contents(premises: Premises) -> dict[str, str]:
    """For each step a text without names: its rule, its claim, and the same of all it stands on."""
    found: dict[str, str] = {}

    def content(label: str) -> str:
        if label not in found:
            step = premises[label]
            below = sorted(content(p) for p in step.premises)
            text = "|".join((step.rule, str(step.claim), *below))
            found[label] = hashlib.sha256(text.encode()).hexdigest()
        return found[label]

    for label in premises:
        content(label)
    return found


_ = (Add, Ge, Le, Lt, Rational, oo, Average, Normal)
