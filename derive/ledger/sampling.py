"""Comparing two sides at points: in balls where the value can be enclosed, else in mpmath, and then it is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flint import acb, arb
from sympy import Basic, Dummy, Expr, Integer, Rational, Symbol, integrate
from sympy.core.function import AppliedUndef, UndefinedFunction
from sympy.logic.boolalg import BooleanAtom

from derive.core import Domain
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.domain import points
from derive.ledger.rewriting import _replace_function, carried_out
from derive.nodes.laws import Density

__all__ = ["Comparison", "Tally", "compare", "function_instances", "probe", "shown_point"]

#: relative width of a ball that counts as agreement: thirty digits
AGREEMENT_BITS = 100
_LADDER = (128, 320, 1024, 4096)
_MP_REFUTES = 10**-20


@dataclass(frozen=True)
class Comparison:
    """What one point says: "agree", "differ" or "open" (with why); value of lhs - rhs; method "balls" or "mpmath"."""

    outcome: str
    value: str = ""
    method: str = "balls"


def compare(lhs: Expr, rhs: Expr, point: Mapping[Symbol, Rational], deep: bool = False) -> Comparison:
    """Compare two expressions at a rational point.

    Args: deep (go on to 4096 bits although thirty digits agree, so that a difference far beyond them is seen).
    """
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
            return Comparison("differ", _text(difference))
        size = max(abs(left).upper(), abs(right).upper())
        radius = _radius(difference)
        if radius.is_zero() or (size > 0 and radius < size * arb(2) ** -AGREEMENT_BITS):
            agreed = Comparison("agree", _text(difference))
            if not deep:
                return agreed
    if agreed is None and _has_nodes(lhs, rhs):
        return _compare_mp(lhs, rhs, point, "no finite ball")
    return agreed or Comparison("open", why)


def _compare_mp(lhs: Expr, rhs: Expr, point: Mapping[Symbol, Rational], why: str) -> Comparison:
    """The same in mpmath at two precisions: no proof, and called so."""
    import mpmath

    from derive.nodes.mp_eval import compile_mp

    symbols = list(point)
    found: list[Any] = []
    sizes: list[Any] = []
    for digits in (40, 50):
        with mpmath.workdps(digits):
            values = [mpmath.mpf(int(v.p)) / int(v.q) for v in point.values()]
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


def _has_nodes(*exprs: Basic) -> bool:
    from derive.nodes.binders import Binder

    return any(e.has(Binder) for e in exprs)


def _radius(z: Any) -> arb:
    return z.rad() if isinstance(z, arb) else z.real.rad() + z.imag.rad()


def _text(z: Any) -> str:
    if isinstance(z, acb):
        return f"{z.real.str(12)} + {z.imag.str(12)} i"
    return str(z.str(12)) if not z.contains(0) else str(z.str(3))


def shown_point(point: Mapping[Any, Any], value: str = "") -> tuple[tuple[str, str], ...]:
    """A witness: the symbols' values, and the value of lhs - rhs there."""
    shown = tuple((str(s), str(v)) for s, v in sorted(point.items(), key=lambda kv: str(kv[0])))
    return (*shown, ("lhs - rhs", value)) if value else shown


# ---- undefined functions


def function_instances(exprs: Iterable[Basic], seed: int) -> dict[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]]:
    """A concrete function for each undefined one: a polynomial with positive coefficients, convex and growing on x > 0.

    A claim about every function of a class is refuted by one member; polynomials with positive coefficients are smooth,
    and positive, growing and convex for positive arguments.
    """
    import random

    rng = random.Random(seed)
    found: dict[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]] = {}
    applied = {a for e in exprs for a in _all_applied(e)}
    for a in sorted(applied, key=lambda f: (f.func.__name__, len(f.args))):
        if a.func in found:
            continue
        variables = tuple(Dummy(f"x{i}", real=True) for i in range(len(a.args)))
        body: Expr = Integer(1)
        for v in variables:
            c = [Rational(rng.randint(1, 40), rng.randint(20, 40)) for _ in range(5)]
            body *= c[0] + c[1] * v + c[2] * v**2 + c[3] * v**3 / 7 + c[4] * v**4 / 11
        found[a.func] = (variables, body)
    return found


def _all_applied(e: Basic) -> set[AppliedUndef]:
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
    e = e.xreplace({law: _normalised(law, instances) for law in e.atoms(Density) if _all_applied(law.pdf)})
    for function, (variables, body) in instances.items():
        e = _replace_function(e, function, variables, body)
    return carried_out(e)


def _normalised(law: Density, instances: Mapping[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]]) -> Density:
    """A density of undefined functions as a concrete one of mass one; the support must be bounded, else it stays."""
    if not (law.lower.is_finite and law.upper.is_finite):
        return law
    (variable,), (pdf,) = law.open()
    for function, (variables, body) in instances.items():
        pdf = _replace_function(pdf, function, variables, body)
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
    lhs: Expr, rhs: Expr, domain: Domain, given: Sequence[Any], seed: int, count: int, deep: int = 0, skip: int = 0
) -> Iterator[Tally]:
    """Compare at points of the domain, yielding the tally after each; stops at a point where the sides differ.

    Args: given (equations that the points must obey; points that do not are passed over), deep (how many points are
    driven to 4096 bits), skip (points of the sequence that have been seen).
    """
    instances = function_instances((lhs, rhs, *given), seed)
    left, right = (instantiated(side, instances) for side in (lhs, rhs))
    conditions = [instantiated(g, instances) for g in given]
    plain = Domain(domain.intervals, tuple(instantiated(c, instances) for c in domain.constraints))
    symbols = {s for e in (left, right, *conditions) for s in e.free_symbols if isinstance(s, Symbol)}
    tally = Tally()
    calm = 0.25 if _has_nodes(left, right) else 1.0
    for number, point in enumerate(points(symbols, plain, seed, count + skip, calm)):
        if number < skip:
            continue
        if not all(_obeyed(c, point) for c in conditions):
            tally.opened += 1
            tally.reason = "the points do not obey the premises"
            yield tally
            continue
        found = compare(left, right, point, number - skip < deep)
        if found.outcome == "differ":
            own = {s: v for s, v in point.items() if s in symbols}
            shown = shown_point(own, found.value)
            shown += tuple((f.__name__, str(body.xreplace(dict(zip(vs, _names(vs), strict=True)))))
                           for f, (vs, body) in instances.items())
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


def _names(variables: Sequence[Symbol]) -> list[Symbol]:
    return [Symbol(v.name) for v in variables]


def _obeyed(condition: Any, point: Mapping[Symbol, Rational]) -> bool:
    """Whether an equation holds at a point, as far as 128 bits tell, or a relation holds for certain."""
    if isinstance(condition, BooleanAtom):
        return bool(condition)
    try:
        d = enclose(condition.lhs - condition.rhs, point, 128)
    except (NotEnclosed, ValueError, ZeroDivisionError):
        return False
    if isinstance(d, acb) or not d.is_finite():
        return False
    return {"==": bool(d.contains(0)), "!=": not d.contains(0), ">": bool(d > 0), ">=": bool(d >= 0), "<": bool(d < 0),
            "<=": bool(d <= 0)}[condition.rel_op]
