"""Comparing two sides at points: in balls where the value can be enclosed, else in mpmath, and then it is said."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flint import acb, arb
from sympy import Basic, Dummy, Eq, Expr, Rational, Symbol, integrate, sqrt
from sympy.core.function import AppliedUndef, UndefinedFunction

from derive.core import Domain
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.domain import points
from derive.ledger.rewriting import _replace_function, carried_out
from derive.nodes.laws import Density

__all__ = ["Comparison", "Instances", "Tally", "compare", "function_instances", "probe", "shown_point"]

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


Instances = Mapping[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]]


def function_instances(exprs: Iterable[Basic], seed: int) -> Instances:
    """A concrete function for each undefined one, smooth, and positive, growing and convex for positive arguments.

    A claim about every function of a class is refuted by one member.  By the seed: polynomials with positive
    coefficients, or a + b x + c sqrt(1 + d x^2), whose third derivative is negative; of various sizes.
    """
    rng = random.Random(seed)
    found: dict[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]] = {}
    applied = {a for e in exprs for a in _all_applied(e)}
    for a in sorted(applied, key=lambda f: (f.func.__name__, len(f.args))):
        if a.func in found:
            continue
        variables = tuple(Dummy(f"x{i}", real=True) for i in range(len(a.args)))
        body: Expr = Rational(1, (1, 10, 100)[seed % 3])
        for v in variables:
            c = [Rational(rng.randint(1, 40), rng.randint(20, 40)) for _ in range(5)]
            if seed % 2:
                body *= c[0] + c[1] * v + c[2] * v**2 + c[3] * v**3 / 7 + c[4] * v**4 / 11
            else:
                body *= c[0] + c[1] * v + c[2] * sqrt(1 + c[3] * v**2)
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

    Args: given (equations that the points must obey: each is solved for a symbol at each point), deep (how many points
    are driven to 4096 bits), skip (points of the sequence that have been seen).
    """
    tally = Tally()
    undefined = bool(_all_applied(_Sides(lhs, rhs, *given)))
    rounds = 6 if undefined else 1
    for turn in range(rounds):
        instances = function_instances((lhs, rhs, *given), seed + turn) if undefined else {}
        left, right, *conditions = (instantiated(e, instances) for e in (lhs, rhs, *given))
        plain = Domain(domain.intervals, tuple(instantiated(c, instances) for c in domain.constraints))
        symbols = sorted({s for e in (left, right, *conditions) for s in e.free_symbols if isinstance(s, Symbol)}, key=str)
        calm = 0.25 if _has_nodes(left, right, *conditions) else 1.0
        share = -(-count // rounds)
        equations = [c.lhs - c.rhs for c in conditions if isinstance(c, Eq)]
        if any(c == False for c in conditions):  # noqa: E712 - a SymPy Boolean
            continue
        for number, point in enumerate(_drawn(equations, symbols, plain, seed + turn, share + skip, calm)):
            if number < skip:
                continue
            if point is None:
                tally.opened += 1
                tally.reason = "no points that obey the premises were found"
                yield tally
                continue
            found = compare(left, right, point, number - skip < deep)
            if found.outcome == "differ":
                own = {s: _shown(v) for s, v in point.items() if s in symbols}
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


class _Sides(Basic):  # type: ignore[misc]
    """Several expressions that are searched together."""


def _drawn(
    equations: Sequence[Expr], symbols: Sequence[Symbol], domain: Domain, seed: int, count: int, calm: float
) -> Iterator[Mapping[Symbol, Any] | None]:
    from derive.ledger.roots import obeying

    if not equations:
        yield from points(symbols, domain, seed, count, calm)
        return
    free = Domain(domain.intervals, ())
    for point in points(symbols, free, seed, 3 * count, 0.5 * calm):
        yield obeying(equations, point, domain)


def _shown(value: Any) -> str:
    return value.str(15, radius=False) if isinstance(value, arb) else str(value)


def _names(variables: Sequence[Symbol]) -> list[Symbol]:
    return [Symbol(v.name) for v in variables]
