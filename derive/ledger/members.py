"""Simple members of a class of functions: such that averages of them have closed forms, and a value costs no integral.

A claim about every function of a class is refuted by one member.  Functions that stand in an exponent below an average
are of second degree, with negative squares, or affine; so are those in the arguments of others.  The rest are
polynomials of second and third degree, of a higher one where they are differentiated.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from flint import acb
from sympy import Basic, Derivative, Dummy, Eq, Expr, Integer, Rational, Symbol, cosh, exp, log
from sympy.core.function import AppliedUndef, UndefinedFunction

from derive.core import DeriveError, Domain, Evidence, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.divergence import divergence
from derive.ledger.domain import points, seed_of
from derive.ledger.exact_points import in_averages, placed
from derive.ledger.roots import points_on
from derive.ledger.sampling import Instances, applied_functions, instantiated, shown_functions, shown_point
from derive.nodes.averages import DivergentAverage, LogAverageExp, TiltedAverage
from derive.nodes.binders import Binder
from derive.nodes.functions import log_cosh
from derive.nodes.laws import Density
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["Member", "drawn_functions", "flat_functions", "named_only", "simple_members"]

#: how many are drawn, and how many where premises are to be obeyed, which not each member can
_MEMBERS, _MORE = 2, 8
_SECONDS = 3.0
#: points at which the arguments of functions are looked at
_LOOKS = 12
#: degrees of the polynomials, by turns: values of low degree cost less, those of a higher one see more
_DEGREES = (2, 3)


@dataclass(frozen=True)
class Member:
    """Expressions with simple functions in their averages, which are carried out, and where.

    Attributes: exprs; domain (of the symbols that are left); shown (the values that the other symbols have, and the
    functions, for a witness); undefined (why the expressions have no values there, though the premises hold; else
    empty).
    """

    exprs: tuple[Expr, ...]
    domain: Domain
    shown: tuple[tuple[str, str], ...]
    undefined: str = ""

    @property
    def refutes(self) -> Evidence | None:
        """A refutation of any claim about the expressions where they have no values."""
        if not self.undefined:
            return None
        shown = tuple((k.lstrip("_"), v) for k, v in self.shown)
        at = ", ".join(f"{k} = {v}" for k, v in shown)
        return Evidence(Verdict.REFUTED, f"not defined at {at}: {self.undefined}", shown)


def simple_members(
    exprs: Sequence[Expr], given: Sequence[Expr], domain: Domain, seed: int,
    bound: frozenset[UndefinedFunction] = frozenset(),
) -> Iterator[Member]:
    """Expressions at points of the symbols in averages, with simple functions in the place of those that are averaged.

    Averages of no undefined function are carried out as well.  No average is left then, but in the last member, if
    any, where exponents have a log cosh besides and averages over one variable stay to be enclosed.  Nothing is yielded
    where a relation or a density speaks of a function that is averaged, or where a premise asks for its values outside
    an average: a member would have to obey that at every argument.  An average that certainly diverges stays.

    Args: exprs; given (expressions that vanish by the premises: what is left of them for the other symbols comes after
        the expressions in a member); domain; seed; bound (functions of which relations speak).
    """
    everything = (*exprs, *given)
    averaged = _averaged(everything)
    taken = {a.func for e in everything for law in e.atoms(Density) for a in applied_functions(law.pdf)} | bound
    taken |= {a.func for e in given for a in _outside(e)}
    if averaged & taken or not any(e.has(Binder) for e in everything):
        return
    rng = random.Random(seed)
    inside = {s for e in everything for s in in_averages(e)}
    obeying = bool(given)
    count = _MORE if obeying else _MEMBERS
    symbols = inside | _named((*given, *domain.constraints))
    for point in () if obeying else points(symbols | _named(exprs), domain, seed, _LOOKS, 0.5):
        if why := next((why for e in exprs if (why := _not_real(e, point))), ""):
            yield Member((), Domain(), shown_point({s: v for s, v in point.items() if s in _named(exprs)}), why)
            return
    drawn = list(points(symbols, domain, seed, count + 1, 0.35))
    for number, point in enumerate(drawn):
        last = number == len(drawn) - 1
        if last and (obeying or not _blind(everything)):
            return
        degree = _DEGREES[number // 2 % 2] if obeying else _DEGREES[number % 2]
        instances = drawn_functions(everything, rng, obeying, number % 2 == 1, degree, last)
        try:
            member = timebox(_SECONDS, _member, exprs, given, instances, inside, point, domain, last)
        except (DivergentAverage, ArithmeticError, ValueError):
            continue
        except (TimedOut, DeriveError):
            return
        if member is None:
            continue
        closed = member.exprs
        if any(_heavy(e) if last else e.has(Binder) for e in closed) and not (
                _finite_or_infinite(closed[:len(exprs)]) and not any(e.has(Binder) for e in closed[len(exprs):])):
            return
        yield member


def _member(
    exprs: Sequence[Expr], given: Sequence[Expr], instances: Instances, inside: set[Symbol],
    point: Mapping[Symbol, Rational], domain: Domain, as_they_are: bool,
) -> Member | None:
    """The member with these functions, at a point near the one that was drawn; None where it obeys no premises."""
    put = [instantiated(e, instances) for e in (*exprs, *given)]
    ranges = Domain(domain.intervals, tuple(instantiated(k, instances) for k in domain.constraints))
    found = placed(put[len(exprs):], inside, point, ranges)
    if found is None:
        return None
    undefined = next((why for e in exprs if (why := _not_real(e, found.at))), "")
    if undefined and (not found.left or _obeyed(found.left, ranges, found.at)):
        return Member((), Domain(), shown_point(found.at), undefined)
    own = (e.subs(found.at) for e in put[:len(exprs)])
    closed = tuple(own) if as_they_are else tuple(e.doit() for e in own)
    left = Domain(tuple((s, i.subs(found.at)) for s, i in domain.intervals if s not in found.at),
                  tuple(c for c in (k.subs(found.at) for k in ranges.constraints) if c != True))  # noqa: E712
    return Member((*closed, *found.left), left, shown_point(found.at) + shown_functions(instances))


def _not_real(e: Expr, at: Mapping[Symbol, Expr]) -> str:
    """Why a function of real variables in an expression has no value at a point; empty where that is not known."""
    for a in sorted((f for f in applied_functions(e) if f.is_extended_real), key=str):
        for x in a.args:
            own = {s for s in x.free_symbols if isinstance(s, Symbol)}
            if own & e.free_symbols <= set(at):
                value = _complex_ball(x.subs(at), own - set(at))
                if value is not None and not value.imag.contains(0):
                    return f"the argument of {a.func.__name__} is not real"
    return ""


def _complex_ball(x: Expr, bound: Iterable[Symbol]) -> acb | None:
    try:
        value = enclose(x, {s: Integer(1) for s in bound}, 96)
    except (NotEnclosed, ValueError, ZeroDivisionError, OverflowError):
        return None
    return value if isinstance(value, acb) and value.is_finite() else None


def _obeyed(zeros: Sequence[Expr], domain: Domain, at: Mapping[Symbol, Expr]) -> bool:
    """Whether the symbols without value can make expressions vanish."""
    if any(applied_functions(e) for e in zeros):
        return False
    left = Domain(domain.intervals, tuple(c.subs(at) for c in domain.constraints))
    return next(points_on(zeros, sorted(_named(zeros), key=str), left, seed_of(*zeros), 3, 0.5), None) is not None


def _finite_or_infinite(exprs: Sequence[Expr]) -> bool:
    """Whether each expression has no average left, or one that certainly diverges: one of each differ."""
    return all(not e.has(Binder) or divergence(e, {}) is not None for e in exprs)


def _blind(exprs: Iterable[Basic]) -> bool:
    """Whether a function in an exponent is differentiated: of second degree, it has a constant curvature."""
    lifted = {a.func for e in exprs for x in _exponents(e) for a in applied_functions(x)}
    return any(a.func in lifted for e in exprs for x in e.atoms(Derivative) for a in applied_functions(x))


def _heavy(e: Basic) -> bool:
    """Whether an average over several variables is left, or one inside another."""
    return any(len(node.bound_symbols) > 1 or any(a.has(Binder) for a in node.args) for node in e.atoms(Binder))


def named_only(premises: Sequence[Eq], exprs: Iterable[Basic]) -> tuple[Eq, ...]:
    """The premises without those that only give a name, or a value, to a function which nothing else mentions."""
    kept = list(premises)
    for premise in (*premises, *premises):
        if premise in kept and isinstance(premise.lhs, AppliedUndef):
            others = (premise.rhs, *premise.lhs.args, *exprs, *(q for q in kept if q is not premise))
            if all(a.func != premise.lhs.func for e in others for a in applied_functions(e)):
                kept.remove(premise)
    return tuple(kept)


def _named(conditions: Iterable[Basic]) -> set[Symbol]:
    return {s for c in conditions for s in c.free_symbols if isinstance(s, Symbol)}


def _outside(e: Basic) -> Iterator[AppliedUndef]:
    """The functions with their arguments that stand outside all averages."""
    if isinstance(e, Binder):
        return
    if isinstance(e, AppliedUndef):
        yield e
    for a in e.args:
        yield from _outside(a)


def drawn_functions(
    exprs: Iterable[Basic], rng: random.Random, free: bool, scaled: bool = False, degree: int = 2, bent: bool = False
) -> Instances:
    """A polynomial for each function that is averaged.

    Args: free (a multiple of the first argument is added to those that stand in no exponent and in no other function,
    its factor left to be chosen); scaled (they are multiplied by it instead); degree (of functions of one argument in
    an exponent and of those in the arguments of others it is one, of other functions in an exponent two; derivatives
    that are taken of a function add to it); bent (a log cosh is added to those in an exponent).
    """
    exprs = tuple(exprs)
    applied = {a for e in exprs for a in applied_functions(e)}
    averaged = _averaged(exprs)
    lifted = {a.func for e in exprs for x in _exponents(e) for a in applied_functions(x)}
    straight = flat_functions(exprs)
    order: dict[UndefinedFunction, int] = {}
    for e in exprs:
        for x in e.atoms(Derivative):
            for a in applied_functions(x.expr):
                order[a.func] = max(order.get(a.func, 0), int(x.derivative_count))
    found: dict[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]] = {}
    for a in sorted((f for f in applied if f.func in averaged), key=lambda f: (f.func.__name__, len(f.args))):
        if a.func in found:
            continue
        variables = tuple(Dummy(f"x{i}", real=True) for i in range(len(a.args)))
        falling, flat = a.func in lifted, a.func in straight
        own = 1 if flat else 2 if falling else degree + order.get(a.func, 0)
        body = _polynomial(variables, own, falling, rng)
        if bent and falling:
            body += log_cosh(_form(variables, rng)) / 2
        if free and not flat and not falling:  # by turns, a quadratic form of one of them has no zero
            slope = Dummy(f"slope of {a.func.__name__}", real=True)
            body = slope * body if scaled else body + slope * variables[0]
        found[a.func] = (variables, body)
    return found


def flat_functions(
    exprs: Iterable[Basic], bound: frozenset[UndefinedFunction] = frozenset()
) -> frozenset[UndefinedFunction]:
    """The functions that are drawn affine, so that averages have closed forms: those in the arguments of others, and
    those of one argument in an exponent.  None where relations speak of a function that is averaged."""
    exprs = tuple(exprs)
    averaged = _averaged(exprs)
    if averaged & bound:
        return frozenset()
    applied = {a for e in exprs for a in applied_functions(e) if a.func in averaged}
    inner = {b.func for a in applied for x in a.args for b in applied_functions(x)}
    lifted = {a.func for e in exprs for x in _exponents(e) for a in applied_functions(x) if len(a.args) == 1}
    return frozenset((inner | lifted) & averaged)


def _averaged(exprs: Iterable[Basic]) -> frozenset[UndefinedFunction]:
    return frozenset(a.func for e in exprs for node in e.atoms(Binder) for a in applied_functions(node))


def _exponents(e: Basic) -> Iterator[Basic]:
    """What is lifted into an exponent, or stands in a function that is no polynomial, below an average."""
    for node in e.atoms(Binder):
        if isinstance(node, LogAverageExp | TiltedAverage):
            yield node.open()[1][-1]
        yield from node.atoms(exp, log, cosh, log_cosh)


def _polynomial(variables: Sequence[Symbol], degree: int, falling: bool, rng: random.Random) -> Expr:
    """A sum of powers of linear forms; falling: that of second degree is negative."""
    body: Expr = Rational(rng.randint(20, 40), rng.randint(20, 40)) + _form(variables, rng)
    if falling and degree > 1:
        body -= sum((v**2 * Rational(rng.randint(1, 6), 20) for v in variables), Integer(0))
        body += sum((a * b * _number(2, 8, 20, rng) for a, b in pairwise(variables)), Integer(0))
    elif degree > 1:
        body += sum((_form(variables, rng)**k * _number(4, 12, 20, rng) for k in range(2, degree + 1)), Integer(0))
    return body


def _form(variables: Sequence[Symbol], rng: random.Random) -> Expr:
    return sum((v * _number(8, 20, 40, rng) for v in variables), Integer(0))


def _number(low: int, high: int, over: int, rng: random.Random) -> Rational:
    return Rational(rng.choice((-1, 1)) * rng.randint(low, high), over)
