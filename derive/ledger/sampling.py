"""Comparing two sides at points: in balls where the value can be enclosed, else in mpmath, and then it is said."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement, product
from typing import Any

from flint import acb, arb
from sympy import Basic, DiracDelta, Dummy, Eq, Expr, Integer, Rational, Symbol, integrate
from sympy.core.function import AppliedUndef, UndefinedFunction

from derive.core import Domain
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.divergence import divergence
from derive.ledger.domain import declared, points
from derive.ledger.rewriting import carried_out, replace_function
from derive.ledger.roots import holds, points_on
from derive.nodes.averages import DivergentAverage
from derive.nodes.binders import Binder
from derive.nodes.functions import log_cosh
from derive.nodes.laws import Density
from derive.nodes.timebox import TimedOut, timebox

__all__ = [
    "FAMILIES", "Comparison", "Instances", "Tally", "ball_text", "bound_functions", "compare", "corners",
    "function_instances",
    "instantiated", "probe", "shown_functions", "shown_point", "shown_value", "undefined_functions",
]

#: an undefined function -> the arguments and the body of a concrete one
Instances = Mapping[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]]

#: relative width of a ball that counts as agreement: thirty digits
AGREEMENT_BITS = 100
_LADDER = (128, 320, 1024, 4096)
_MP_REFUTES = 10**-20
_CLOSING = 4.0
"""Seconds in which averages of polynomials have to be done in closed form."""


@dataclass(frozen=True)
class Comparison:
    """What one point says: "agree", "differ" or "open" (with why); value of lhs - rhs; method "balls" or "mpmath"."""

    outcome: str
    value: str = ""
    method: str = "balls"


def compare(
    lhs: Expr, rhs: Expr, point: Mapping[Symbol, Any], deep: bool = False, coarse: bool = False
) -> Comparison:
    """Compare two expressions at a point (rational values, or balls).

    Args: deep (go on to 4096 bits although thirty digits agree, so that a difference far beyond them is seen), coarse
        (rough balls only, which come fast: a difference is a difference, agreement is not looked for).
    """
    if coarse:
        return _compare_coarsely(lhs, rhs, point)
    if _has_nodes(lhs, rhs):
        infinite = _one_diverges(lhs, rhs, point)
        if infinite is not None:
            return infinite
    ladder = _LADDER if not _has_nodes(lhs, rhs) else (112, 192)
    agreed: Comparison | None = None
    why = "the value is not finite"
    for bits in ladder:
        try:
            left, right = enclose(lhs, point, bits), enclose(rhs, point, bits)
        except NotEnclosed as refusal:
            return agreed or _compare_mp(lhs, rhs, point, str(refusal))
        except (ValueError, ZeroDivisionError, OverflowError) as error:
            why = str(error)
            continue
        if not (left.is_finite() and right.is_finite()):
            continue
        difference = left - right
        if not difference.contains(0):
            return Comparison("differ", ball_text(difference))
        size = max(abs(left).upper(), abs(right).upper())
        radius = _radius(difference)
        if radius.is_zero() or (size > 0 and radius < size * arb(2) ** -AGREEMENT_BITS):
            agreed = Comparison("agree", ball_text(difference))
            if not deep:
                return agreed
    if agreed is None and _has_nodes(lhs, rhs):
        return _compare_mp(lhs, rhs, point, "no finite ball")
    return agreed or Comparison("open", why)


def _compare_coarsely(lhs: Expr, rhs: Expr, point: Mapping[Symbol, Any]) -> Comparison:
    for bits, goal, evaluations in ((64, 24, 2000), (112, 64, 3000)):
        try:
            left, right = (enclose(side, point, bits, goal=goal, evaluations=evaluations) for side in (lhs, rhs))
        except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError) as refusal:
            return _one_diverges(lhs, rhs, point) or Comparison("open", str(refusal))
        if not (left.is_finite() and right.is_finite()):
            return _one_diverges(lhs, rhs, point) or Comparison("open", "the value is not finite")
        if not (left - right).contains(0):
            return Comparison("differ", ball_text(left - right))
    return Comparison("open", "rough balls overlap")


def _one_diverges(lhs: Expr, rhs: Expr, point: Mapping[Symbol, Any]) -> Comparison | None:
    """A difference because one side is infinite at a point and the other is not."""
    for side, other in ((lhs, rhs), (rhs, lhs)):
        why = divergence(side, point)
        if why is not None:
            try:
                value = enclose(other, point, 64, goal=24, evaluations=1200)
            except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
                return None
            return Comparison("differ", f"infinite, as {why}") if value.is_finite() else None
    return None


def _compare_mp(lhs: Expr, rhs: Expr, point: Mapping[Symbol, Any], why: str) -> Comparison:
    """The same in mpmath at two precisions: no proof, and called so."""
    import mpmath

    from derive.nodes.mp_eval import compile_mp

    if lhs.has(DiracDelta) or rhs.has(DiracDelta):
        return Comparison("open", "a delta function has no values at points", "mpmath")
    symbols = list(point)
    found: list[Any] = []
    sizes: list[Any] = []
    for digits in (40, 50):
        with mpmath.workdps(digits):
            values = [_mp_number(v) for v in point.values()]
            try:
                left, right = (compile_mp(side, symbols)(*values) for side in (lhs, rhs))
            except (ValueError, ZeroDivisionError, ArithmeticError, NotImplementedError) as error:
                return Comparison("open", f"{why}; {error}", "mpmath")
            found.append(left - right)
            sizes.append(max(abs(left), abs(right), mpmath.mpf(10) ** -300))
            if not mpmath.isfinite(abs(found[-1])):
                return Comparison("open", f"{why}; not finite in mpmath", "mpmath")
    relative = [abs(d) / s for d, s in zip(found, sizes, strict=True)]
    if all(r > _MP_REFUTES for r in relative):
        steady = abs(found[0] - found[1]) < abs(found[1]) * mpmath.mpf(10) ** -6
        return Comparison("differ" if steady else "open", mpmath.nstr(found[1], 12), "mpmath")
    if all(r < mpmath.mpf(10) ** -30 for r in relative):
        return Comparison("agree", mpmath.nstr(found[1], 5), "mpmath")
    return Comparison("open", f"{why}; mpmath leaves {mpmath.nstr(relative[1], 3)}", "mpmath")


def _mp_number(value: Any) -> Any:
    """A rational, or the middle of a ball, as an mpmath number."""
    import mpmath

    if isinstance(value, arb):
        return mpmath.mpf(value.mid().str(60, radius=False))
    return mpmath.mpf(int(value.p)) / int(value.q)


def _has_nodes(*exprs: Basic) -> bool:
    return any(e.has(Binder) for e in exprs)


def _radius(z: Any) -> arb:
    return z.rad() if isinstance(z, arb) else z.real.rad() + z.imag.rad()


def ball_text(z: Any) -> str:
    """A real or complex ball in a few digits."""
    if isinstance(z, acb):
        return f"{z.real.str(12)} + {z.imag.str(12)} i"
    return str(z.str(12)) if not z.contains(0) else str(z.str(3))


def shown_point(point: Mapping[Any, Any], value: str = "") -> tuple[tuple[str, str], ...]:
    """A witness: the symbols' values, and the value of lhs - rhs there."""
    shown = tuple((str(s), str(v)) for s, v in sorted(point.items(), key=lambda kv: str(kv[0])))
    return (*shown, ("lhs - rhs", value)) if value else shown


def corners(symbols: set[Symbol], domain: Domain, heavy: bool) -> Iterator[dict[Symbol, Rational]]:
    """Simple exact points: zero, one, closed ends; also middles, the very large and small, where values cost little."""
    symbols = symbols | {s for k in domain.constraints for s in k.free_symbols if isinstance(s, Symbol)}
    if not symbols or len(symbols) > 3:
        return
    far = () if heavy else (Integer(10) ** 15, Rational(1, 10**15))
    choices = []
    ordered = sorted(symbols, key=lambda s: s.name)
    for s in ordered:
        r = declared(s, domain)
        middle = () if heavy or len(symbols) > 2 else ((r.lower + r.upper) / 2,)
        simple = (Integer(0), Integer(1), Integer(-1), r.lower, r.upper, *middle, *far)
        candidates = [v for v in simple if (v.is_integer if s.is_integer else v.is_Rational) and v in r]
        choices.append(list(dict.fromkeys(candidates)) or [None])
    for values in product(*choices):
        if None not in values:
            point = dict(zip(ordered, values, strict=True))
            if all(holds(k, point) for k in domain.constraints):
                yield point


# ---- undefined functions


#: how many families of concrete functions there are
FAMILIES = 5
#: a family of small parabolas besides
_SMALL = 5
#: of these the first are smooth, positive, growing and convex for positive arguments
_CONVEX = 3


def undefined_functions(exprs: Iterable[Basic]) -> frozenset[UndefinedFunction]:
    """The undefined functions in expressions, below averages too."""
    return frozenset(a.func for e in exprs for a in applied_functions(e))


def bound_functions(conditions: Iterable[Basic]) -> frozenset[UndefinedFunction]:
    """The undefined functions that inequalities among conditions speak of."""
    return frozenset(a.func for e in conditions if getattr(e, "is_Relational", False) and not isinstance(e, Eq)
                     for a in applied_functions(e))


def function_instances(
    exprs: Iterable[Basic], seed: int, family: int = 0, free: bool = False,
    bound: frozenset[UndefinedFunction] | None = None,
) -> Instances:
    """A concrete function for each undefined one.

    A claim about every function of a class is refuted by one member.  The families 0 to 2 are smooth, and positive,
    growing and convex for positive arguments, the cubics of family 2 for these only (polynomials with positive
    coefficients, and a + b x + c log cosh d x, of various sizes); 3 and 4 are negative.  A function that a relation
    speaks of is always of the first three, and one that stands in a density a polynomial.

    Args: free (a linear function is added to each, whose two constants are left to be chosen), bound (the functions
        that premises bind, those of the inequalities among the expressions unless told otherwise).
    """
    exprs = tuple(exprs)
    rng = random.Random(seed)
    applied = {a for e in exprs for a in applied_functions(e)}
    bound = bound_functions(exprs) if bound is None else bound
    in_density = {a.func for e in exprs for law in e.atoms(Density) for a in applied_functions(law.pdf)}
    averaged = {a.func for e in exprs for node in e.atoms(Binder) for a in applied_functions(node)}
    found: dict[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]] = {}
    for a in sorted(applied, key=lambda f: (f.func.__name__, len(f.args))):
        if a.func not in found:
            own = family % _CONVEX if a.func in bound else family
            variables = tuple(Dummy(f"x{i}", real=True) for i in range(len(a.args)))
            if a.func in in_density:
                own = 0 if own % 2 == 0 else _SMALL
            elif a.func in averaged:  # the average of the exponential of a quartic need not exist
                own = (_SMALL, _SMALL, _SMALL, 4, 4)[own]
            body = _member(variables, own, rng)
            if free and a.func not in in_density:
                name = a.func.__name__
                body += Dummy(f"constant of {name}", real=True) + Dummy(f"slope of {name}", real=True) * variables[0]
            found[a.func] = (variables, body)
    return found


def flat_instances(
    exprs: Iterable[Basic], seed: int, bound: frozenset[UndefinedFunction], curved: bool = False
) -> Instances:
    """Concrete functions of which those that are averaged are constants, so that averages of them are closed.

    Empty where no function is averaged, or where relations speak of one that is.
    Args: curved (they are affine instead, of second degree with negative squares where they have several arguments).
    """
    exprs = tuple(exprs)
    averaged = {a.func for e in exprs for node in e.atoms(Binder) for a in applied_functions(node)}
    in_density = {a.func for e in exprs for law in e.atoms(Density) for a in applied_functions(law.pdf)}
    if not averaged or averaged & (bound | in_density):
        return {}
    rng = random.Random(seed)
    found = dict(function_instances(exprs, seed, 0, False, bound))
    for f in sorted(averaged, key=str):
        variables = found[f][0]
        body: Expr = Rational(rng.randint(1, 40), rng.randint(20, 40))
        if curved:
            body += sum((v * Rational(rng.randint(1, 20), 40) for v in variables), Integer(0))
            for a, b in combinations_with_replacement(variables, 2) if len(variables) > 1 else ():
                body += a * b * Rational(rng.randint(1, 9), 60) * (-1 if a == b else 1)
        found[f] = (variables, body)
    return found


def _member(variables: Sequence[Symbol], family: int, rng: random.Random) -> Expr:
    body: Expr = Integer(1)
    for v in variables:
        c = [Rational(rng.randint(1, 40), rng.randint(20, 40)) for _ in range(5)]
        if family == 0:
            body *= c[0] + c[1] * v + c[2] * v**2 + c[3] * v**3 / 7 + c[4] * v**4 / 11
        elif family in (1, 3):
            body *= c[0] + c[1] * v + c[2] * log_cosh(c[3] * v)
        elif family == 2:
            body *= c[0] + c[1] * v + c[3] * v**3 / 5
        else:
            body *= c[0] + c[1] * v + c[2] * v**2 / 5
    return body * Rational((1, 1, 1, -1, -1, 1)[family], (1, 10, 100, 1, 40, 100)[family])


def applied_functions(e: Basic) -> set[AppliedUndef]:
    """The undefined functions in an expression with their arguments, also those inside the arguments of others."""
    found: set[AppliedUndef] = set()
    waiting: list[Basic] = [e]
    while waiting:
        x = waiting.pop()
        if isinstance(x, AppliedUndef):
            found.add(x)
        waiting.extend(x.args)
    return found


def instantiated(e: Basic, instances: Mapping[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]]) -> Basic:
    """The expression with concrete functions, derivatives performed; densities made of them are normalised."""
    e = e.xreplace({law: _normalised(law, instances) for law in e.atoms(Density) if applied_functions(law.pdf)})
    for function, (variables, body) in instances.items():
        e = replace_function(e, function, variables, body)
    return carried_out(e)


def _normalised(law: Density, instances: Mapping[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]]) -> Density:
    """A density of undefined functions as a concrete one of mass one; the support must be bounded, else it stays."""
    if not (law.lower.is_finite and law.upper.is_finite):
        return law
    (variable,), (pdf,) = law.open()
    for function, (variables, body) in instances.items():
        pdf = replace_function(pdf, function, variables, body)
    if not pdf.is_polynomial(variable):
        return law
    return Density(pdf / integrate(pdf, (variable, law.lower, law.upper)), variable, law.lower, law.upper)


# ---- many points


@dataclass
class Tally:
    """Points compared so far."""

    agreed: int = 0
    opened: int = 0
    methods: set[str] = field(default_factory=set)
    witness: tuple[tuple[str, str], ...] = ()
    value: str = ""
    method: str = ""
    reason: str = ""

    @property
    def refuted(self) -> bool:
        return bool(self.witness)


def probe(
    lhs: Expr, rhs: Expr, domain: Domain, given: Sequence[Any], seed: int, count: int, deep: int = 0, skip: int = 0,
    coarse: bool = False, bound: frozenset[UndefinedFunction] | None = None,
) -> Iterator[Tally]:
    """Compare at points of the domain, yielding the tally after each; stops at a point where the sides differ.

    Args: given (equations that the points must obey: each is solved at each point for a symbol, and what other
    conditions do not hold there is passed over), deep (how many points are driven to 4096 bits), skip (points of the
    sequence that have been seen), coarse (rough balls only), bound (see function_instances).
    """
    tally = Tally()
    everything = (lhs, rhs, *given, *domain.constraints)
    undefined = any(applied_functions(e) for e in everything)
    equations = [g for g in given if isinstance(g, Eq)]
    relations = [g for g in given if not isinstance(g, Eq)]
    turns = FAMILIES if undefined else 1
    for left, right, point, instances in _flat(lhs, rhs, domain, given, everything, seed, bound):
        found = compare(left, right, point, False, coarse)
        if found.outcome == "differ":  # agreement says little of other functions and is not counted
            own = {s: shown_value(v) for s, v in point.items()}
            tally.witness = shown_point(own, found.value) + shown_functions(instances)
            tally.value, tally.method = found.value, found.method
            yield tally
            return
    for turn in range(turns):
        instances = function_instances(everything, seed + turn, turn, bool(equations), bound) if undefined else {}
        left, right, *conditions = (instantiated(e, instances) for e in (lhs, rhs, *equations))
        if any(c == False for c in conditions):  # noqa: E712 - a SymPy Boolean
            continue
        inside = Domain(domain.intervals, tuple(instantiated(c, instances) for c in (*domain.constraints, *relations)))
        zeros = [c.lhs - c.rhs for c in conditions if isinstance(c, Eq)]
        symbols = sorted({s for e in (left, right, *zeros) for s in e.free_symbols if isinstance(s, Symbol)}, key=str)
        calm = (0.5 if coarse else 0.25) if _has_nodes(left, right, *zeros) else 1.0
        share = -(-(count + skip) // turns)
        drawn = points_on(zeros, symbols, inside, seed + turn, 3 * share, max(0.5 * calm, 0.2)) if zeros else points(
            symbols, inside, seed + turn, share, calm)
        made = 0
        for number, point in enumerate(drawn):
            made += 1
            if number < skip:
                continue
            if number >= share:
                break
            found = compare(left, right, point, number - skip < deep, coarse)
            if found.outcome == "differ":
                own = {s: shown_value(v) for s, v in point.items() if s in symbols}
                shown = shown_point(own, found.value)
                shown += shown_functions(instances)
                tally.witness, tally.value, tally.method = shown, found.value, found.method
                yield tally
                return
            if found.outcome == "agree":
                tally.agreed += 1
                tally.methods.add(found.method)
            else:
                tally.opened += 1
                tally.reason = found.value
            yield tally
        if not made:
            tally.opened += 1
            tally.reason = "no points that obey the premises were found"
            yield tally


def _flat(
    lhs: Expr, rhs: Expr, domain: Domain, given: Sequence[Any], everything: Sequence[Basic], seed: int,
    bound: frozenset[UndefinedFunction] | None,
) -> Iterator[tuple[Any, Any, Mapping[Symbol, Any], Instances]]:
    """Both sides at a few points with functions in the averages that leave no integral; none where equations bind the
    functions."""
    if any(isinstance(g, Eq) for g in given):
        return
    binding = bound_functions(everything) if bound is None else bound
    for curved in (False, True):
        instances = flat_instances(everything, seed, binding, curved)
        if not instances:
            return
        left, right = (instantiated(e, instances) for e in (lhs, rhs))
        inside = Domain(domain.intervals, tuple(instantiated(c, instances) for c in (*domain.constraints, *given)))
        symbols = sorted({s for e in (left, right) for s in e.free_symbols if isinstance(s, Symbol)}, key=str)
        for point in points(symbols, inside, seed, 2, 0.5):
            try:
                sides = [timebox(_CLOSING, e.xreplace(dict(point)).doit) for e in (left, right)]
            except (TimedOut, DivergentAverage):
                break
            if _has_nodes(*sides):
                break
            yield *sides, point, instances


def shown_functions(instances: Instances) -> tuple[tuple[str, str], ...]:
    """The concrete functions of a witness: name and body."""
    return tuple((f.__name__, str(body.xreplace(dict(zip(variables, _names(variables), strict=True)))))
                 for f, (variables, body) in instances.items())


def shown_value(value: Any) -> str:
    """A number or a ball as text."""
    return value.str(15, radius=False) if isinstance(value, arb) else str(value)


def _names(variables: Sequence[Symbol]) -> list[Symbol]:
    return [Symbol(v.name) for v in variables]
