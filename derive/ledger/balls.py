"""Enclosures: the value of an expression at a point as a ball that is proven to contain it (python-flint).

Elementary functions and the functions of derive.nodes are evaluated in ball arithmetic; averages by rigorous
integration (or finite sums), with a tail beyond the ends of integration that is bounded by a majorant
K x^n exp(a x + c x^2) read off the integrand.  What has no proven enclosure here raises NotEnclosed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from flint import acb, arb, ctx, fmpq
from sympy import Abs, Add, Basic, Expr, Heaviside, Max, Min, Piecewise, Rational, S, Symbol, exp, oo, sign, sqrt
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import And, BooleanFalse, BooleanTrue, Not, Or

from derive.ledger.ball_functions import FUNCTIONS, Ball, NotEnclosed, integer_power, precision, real_part
from derive.ledger.ball_programs import finite_sum, placed, program_of, smoothed
from derive.ledger.exact_nodes import nodes_of
from derive.ledger.spectral_balls import over_marchenko_pastur
from derive.ledger.trapezoidal import line_integral
from derive.nodes.averages import GaussianAverage, LogAverageExp, MeasureAverage, SpectralAverage, TiltedAverage
from derive.nodes.extremum import ArgExtremum, Extremum
from derive.nodes.laws import Atoms, Density, Law, MarchenkoPastur, Noisy, Normal

__all__ = ["MAX_EVALUATIONS", "Evaluator", "NotEnclosed", "continued", "enclose", "precision"]

MAX_EVALUATIONS = 60_000
_REACH = 16
"""How far from its middle a normal law is about integrated, in widths."""
_JUMPS = (Abs, Heaviside, Max, Min, Piecewise, sign)


def enclose(
    expr: Basic, values: Mapping[Symbol, Any] | None = None, prec: int = 128, *, goal: int | None = None,
    evaluations: int = MAX_EVALUATIONS,
) -> Ball:
    """A ball (arb; acb where the value is complex) that contains the value of `expr`.

    Args: expr; values (symbol -> rational, SymPy number or ball); prec (working precision in bits); goal (bits that are
        asked of integrals and extrema, as many as prec unless told otherwise: a coarse ball comes fast);
        evaluations (of the integrand, at most, in one integral).
    Raises: NotEnclosed where no proven enclosure is known.  A ball that is not finite means that nothing is known.

    >>> from sympy import log, Symbol
    >>> x = Symbol("x")
    >>> enclose(log(1 + x), {x: Rational(1, 2)}, 64).str(12)
    '[0.405465108108 +/- 1.65e-13]'
    """
    with precision(prec):
        scope = {s: _constant(v) for s, v in (values or {}).items()}
        return real_part(Evaluator(scope, False, goal or prec, evaluations)(expr))


def continued(expr: Expr, symbol: Symbol) -> Callable[[Ball], Ball]:
    """An expression in one symbol as a function of balls, not finite where a ball touches what is not analytic."""
    f = Evaluator({}, True, ctx.prec).over(expr, symbol)
    return lambda z: f(z, True)


@contextmanager
def _alarm_held() -> Iterator[None]:
    """Keep the alarm of a time box waiting until compiled code has returned."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _alarm_waits() -> bool:
    """Whether a time box has run out while its alarm is held."""
    return hasattr(signal, "sigpending") and signal.SIGALRM in signal.sigpending()


def _constant(value: Any) -> Ball:
    if isinstance(value, arb | acb):
        return value
    if isinstance(value, int):
        return arb(value)
    if value.is_Rational:
        return arb(fmpq(int(value.p), int(value.q)))
    return real_part(Evaluator({}, False, ctx.prec)(value))


def _complex(z: Ball) -> acb:
    return z if isinstance(z, acb) else acb(z)


class Evaluator:
    """Evaluates at one point; `analytic`: return what is not finite where a branch cut is touched (for integration).

    Roots and logarithms of what is negative then continue the values that they have on the real line, unless
    `principal` asks for their principal branch, which is one analytic function wherever it is finite.
    """

    def __init__(
        self, scope: Mapping[Symbol, Ball], analytic: bool, goal: int, evaluations: int = MAX_EVALUATIONS,
        principal: bool = False,
    ) -> None:
        self.scope = dict(scope)
        self.analytic, self.principal = analytic, principal
        self.goal, self.evaluations = goal, evaluations
        self.memo: dict[Basic, Ball] = {}

    def __call__(self, e: Basic) -> Ball:
        found = self.memo.get(e)
        if found is None:
            found = self.memo[e] = self._evaluate(e)
        return found

    def over(self, body: Expr, symbol: Symbol, principal: bool = False) -> Callable[[Ball, bool], Ball]:
        """The body as a function of one more symbol; what does not contain it is evaluated once."""
        program = program_of(body, symbol)
        try:
            constants = [self(c) for c in program.constants]
        except NotEnclosed as refusal:
            missing = refusal

            def nowhere(value: Ball, analytic: bool) -> Ball:
                raise missing

            return nowhere
        kept = {}
        for part in program.parts or ():
            with suppress(NotEnclosed):  # it may not be asked for
                kept[part] = self(part)
        inner = {flag: Evaluator(self.scope, flag or self.analytic, self.goal, self.evaluations,
                                  principal or self.principal) for flag in (False, True)}

        def at(value: Ball, analytic: bool) -> Ball:
            evaluation = inner[analytic]
            if program.parts is not None:
                evaluation.scope[symbol] = value
                evaluation.memo = dict(kept)
            return program(evaluation, constants, value)

        return at

    def _evaluate(self, e: Basic) -> Ball:
        if e.is_Symbol:
            if e not in self.scope:
                raise NotEnclosed(f"{e} has no value")
            return self.scope[e]
        if e.is_Rational:
            return arb(fmpq(int(e.p), int(e.q)))
        if e.is_Float:
            return arb(fmpq(*map(int, Rational(e).as_numer_denom())))
        if e.is_Add:
            total = self(e.args[0])
            for a in e.args[1:]:
                total = total + self(a)
            return total
        if e.is_Mul:
            total = self(e.args[0])
            for a in e.args[1:]:
                total = total * self(a)
            return total
        if e.is_Pow:
            return self._power(e)
        name = type(e).__name__
        if name in FUNCTIONS:
            return FUNCTIONS[name](self, *(self(a) for a in e.args))
        handler = getattr(self, f"_on_{name}", None)
        if handler is None:
            raise NotEnclosed(f"no enclosure of {name}")
        return handler(e)

    # ---- numbers and functions

    def _on_Pi(self, e: Basic) -> Ball:
        return arb.pi()

    def _on_Exp1(self, e: Basic) -> Ball:
        return arb(1).exp()

    def _on_EulerGamma(self, e: Basic) -> Ball:
        return arb.const_euler()

    def _on_Catalan(self, e: Basic) -> Ball:
        return arb.const_catalan()

    def _on_ImaginaryUnit(self, e: Basic) -> Ball:
        return acb(0, 1)

    def _power(self, e: Basic) -> Ball:
        base, power = e.args
        if base is S.Exp1:
            return self(power).exp()
        z = self(base)
        return self.raised(z, power) if power.is_Rational else (self(power) * self.log(z)).exp()

    def raised(self, z: Ball, power: Rational) -> Ball:
        """A ball to a rational power."""
        if power.is_Integer:
            return integer_power(z, int(power))
        if power.q == 2:
            return integer_power(self.sqrt(z), int(power.p))
        return (arb(fmpq(int(power.p), int(power.q))) * self.log(z)).exp()

    def sqrt(self, z: Ball) -> Ball:
        if isinstance(z, arb):
            if z >= 0:
                return z.sqrt()
            if z < 0:
                return acb(0, 1) * (-z).sqrt()
            if z.lower() > -1 and z.contains(0):
                touches = z.upper() >= 0 and not self.analytic and _near_zero(z)
                return z.nonnegative_part().sqrt() if touches else arb.nan()
            return arb.nan()
        if self.analytic and not self.principal and z.real < 0:  # continues the value on the real line
            return acb(0, 1) * (-z).sqrt()
        return z.sqrt(analytic=self.analytic)

    def log(self, z: Ball) -> Ball:
        if isinstance(z, arb):
            if z > 0:
                return z.log()
            return acb((-z).log(), arb.pi()) if z < 0 else arb.nan()
        if self.analytic and not self.principal and z.real < 0:
            return (-z).log() + acb(0, arb.pi())
        return z.log(analytic=self.analytic)

    def _on_log(self, e: Basic) -> Ball:
        value = self.log(self(e.args[0]))
        return value if len(e.args) == 1 else value / self.log(self(e.args[1]))

    def _on_Abs(self, e: Basic) -> Ball:
        z = self(e.args[0])
        if isinstance(z, arb):
            return abs(z)
        if self.analytic or any(s in self.scope and isinstance(self.scope[s], acb) for s in e.free_symbols):
            return z.real_abs(analytic=self.analytic)
        return acb(abs(z))

    def _on_sign(self, e: Basic) -> Ball:
        z = self(e.args[0])
        if isinstance(z, acb):
            return z.real_sgn(analytic=self.analytic)
        return arb(1) if z > 0 else arb(-1) if z < 0 else arb(0) if z.is_zero() else arb(0, 1)

    def _extreme(self, e: Basic, name: str) -> Ball:
        values = [self(a) for a in e.args]
        result = values[0]
        for v in values[1:]:
            if isinstance(result, acb) or isinstance(v, acb):
                result = getattr(_complex(result), f"real_{name}")(_complex(v), analytic=self.analytic)
            else:
                result = getattr(result, name)(v)
        return result

    def _on_Max(self, e: Basic) -> Ball:
        return self._extreme(e, "max")

    def _on_Min(self, e: Basic) -> Ball:
        return self._extreme(e, "min")

    def _on_Heaviside(self, e: Basic) -> Ball:
        z = self(e.args[0])
        if isinstance(z, acb):
            return z.real_heaviside(analytic=self.analytic)
        if z > 0 or z < 0:
            return arb(1) if z > 0 else arb(0)
        if z.is_zero():
            return self(e.args[1]) if len(e.args) > 1 else arb(0.5)
        raise NotEnclosed("Heaviside at its jump")

    def _on_Piecewise(self, e: Basic) -> Ball:
        for pair in e.args:
            assert isinstance(pair, ExprCondPair)
            known = self.truth(pair.cond)
            if known is None:
                raise NotEnclosed(f"whether {pair.cond} is not decided")
            if known:
                return self(pair.expr)
        raise NotEnclosed("no case of the Piecewise holds")

    def truth(self, condition: Basic) -> bool | None:
        """Whether a condition holds at the point; None where the balls do not tell."""
        if isinstance(condition, BooleanTrue | BooleanFalse):
            return bool(condition)
        if isinstance(condition, And | Or | Not):
            parts = [self.truth(a) for a in condition.args]
            if isinstance(condition, Not):
                return None if parts[0] is None else not parts[0]
            decisive = isinstance(condition, Or)
            if any(p is decisive for p in parts):
                return decisive
            return None if None in parts else not decisive
        if not getattr(condition, "is_Relational", False):
            raise NotEnclosed(f"the condition {condition}")
        left, right = self(condition.lhs), self(condition.rhs)
        if isinstance(left, acb) or isinstance(right, acb):
            return None
        relation = condition.rel_op
        d = left - right
        if relation == "==":
            return True if d.is_zero() else False if not d.contains(0) else None
        if relation == "!=":
            return False if d.is_zero() else True if not d.contains(0) else None
        strict = {"<": d < 0, "<=": d <= 0, ">": d > 0, ">=": d >= 0}[relation]
        opposite = {"<": d >= 0, "<=": d > 0, ">": d <= 0, ">=": d < 0}[relation]
        return True if strict else False if opposite else None

    def _on_Extremum(self, e: Extremum) -> Ball:
        """The value at the place of the extremum; where that is not found and the interval is bounded, the largest or
        smallest value between bounds that close in on it.

        A cell of the interval is dropped where the body stays below a value that is taken, and shrinks to an end where
        the slope has one sign.
        """
        from derive.ledger.ball_extrema import largest

        (x,), (body,) = e.open()
        try:
            return self.over(body, x)(self(e.argument), False)
        except NotEnclosed:
            if e.kind == "extr" or e.interval.start.is_infinite or e.interval.end.is_infinite:
                raise
        if self.complex_values():
            raise NotEnclosed("an extremum at complex values")
        low, high = self(e.interval.start), self(e.interval.end)
        if not (low.is_exact() and high.is_exact() and low < high):
            raise NotEnclosed("an extremum over an interval whose ends are not exact numbers")
        sign = 1 if e.kind == "max" else -1
        f, slope = self.over(sign * body, x), self.over(sign * body.diff(x), x)
        return sign * largest(lambda z: f(z, False), lambda z: slope(z, False), low, high, self.goal)

    def _on_ArgExtremum(self, e: ArgExtremum) -> Ball:
        from derive.ledger.ball_extrema import place_of

        if self.complex_values():
            raise NotEnclosed("the place of an extremum at complex values")
        return place_of(e, self.scope, ctx.prec)

    def _on_Determinant(self, e: Basic) -> Ball:
        return self._done(e)

    def _on_Trace(self, e: Basic) -> Ball:
        return self._done(e)

    def _on_Derivative(self, e: Basic) -> Ball:
        return self._done(e)

    def _done(self, e: Basic) -> Ball:
        """What stands for something that is carried out first."""
        found = e.doit()
        if isinstance(found, type(e)):
            raise NotEnclosed(f"{type(e).__name__} of {e.args[0]}, which has no closed form")
        return self(found)

    def _on_Integral(self, e: Basic) -> Ball:
        raise NotEnclosed("an integral that is not a node")

    # ---- averages

    def _on_GaussianAverage(self, e: GaussianAverage) -> Ball:
        nodes = nodes_of(e.body, e.variables)
        if nodes is not None:
            return sum((self(weight) * self(value) for weight, value in nodes), arb(0))
        if len(e.variables) == 1:
            return self.average(e.body, e.variables[0], Normal())
        first, *rest = e.variables  # one after the other
        inside = GaussianAverage(e.body, *rest)
        return self.average(inside, first, Normal()) if first in inside.free_symbols else self(inside)

    def _on_MeasureAverage(self, e: MeasureAverage) -> Ball:
        return self.average(e.body, e.var, e.law)

    def _on_SpectralAverage(self, e: SpectralAverage) -> Ball:
        return self.average(e.body, e.var, e.law)

    def _on_LogAverageExp(self, e: LogAverageExp) -> Ball:
        if isinstance(e.law, Atoms):
            return self(finite_sum(e)) if self.complex_values() else self._log_atoms(e.g, e.var, e.law)
        from derive.ledger.tilted_balls import log_average

        found = log_average(self, e.g, e.var, e.law)
        if found is not None:
            return found
        return self.log(self.average(exp(e.g), e.var, e.law))

    def _on_TiltedAverage(self, e: TiltedAverage) -> Ball:
        if isinstance(e.law, Atoms):
            if self.complex_values():
                return self(finite_sum(e))
            total = self._log_atoms(e.g, e.var, e.law)
            result = arb(0)
            for point, weight in zip(e.law.points, e.law.weights, strict=True):
                value, tilt = (self(placed(h, e.var, point)) for h in (e.f, e.g))
                result = result + self(weight) * value * (tilt - total).exp()
            return result
        from derive.ledger.tilted_balls import tilted_average

        found = tilted_average(self, e.f, e.g, e.var, e.law)
        if found is not None:
            return found
        return self.average(e.f * exp(e.g), e.var, e.law) / self.average(exp(e.g), e.var, e.law)

    def complex_values(self) -> bool:
        """Whether a symbol has a complex value."""
        return any(isinstance(v, acb) for v in self.scope.values())

    def _log_atoms(self, g: Expr, var: Symbol, law: Atoms) -> Ball:
        """log of a finite sum of exponentials, at real values."""
        terms = [self(placed(g, var, p)) for p in law.points]
        top = max((_complex(t).real.mid() for t in terms), default=arb(0))
        total = arb(0)
        for t, weight in zip(terms, law.weights, strict=True):
            total = total + self(weight) * (t - top).exp()
        return top + self.log(total)

    def average(self, body: Expr, var: Symbol, law: Law) -> Ball:
        """E body(var) over a law."""
        if isinstance(law, Atoms):
            total = arb(0)
            for point, weight in zip(law.points, law.weights, strict=True):
                total = total + self(weight) * self(placed(body, var, point))
            return total
        if isinstance(law, Noisy):
            if isinstance(law.base, Atoms) and self._near_together(law.base, law.s):
                integrand, variable = _mixture(body, var, law)
                return self.integral(integrand, variable, -oo, oo)
            from derive.ledger.tilted_balls import noisy_average

            found = noisy_average(self, body, var, law)
            return self(_split(body, var, law)) if found is None else found
        if isinstance(law, Normal | Density):
            integrand, variable = _integrand(body, var, law)
            if isinstance(law, Normal) or law.lower.is_infinite or law.upper.is_infinite or not _rough_at_ends(law):
                value = self.integral(integrand, variable, law.lower, law.upper)
                if value.is_finite() or law.lower.is_infinite or law.upper.is_infinite:
                    return value
            return sum((self.integral(e, x, S.Zero, end) for e, x, end in smoothed(integrand, variable, law)), arb(0))
        if isinstance(law, MarchenkoPastur):
            return over_marchenko_pastur(self, body, var, law)
        raise NotEnclosed(f"no enclosure over {type(law).__name__}")

    def _near_together(self, base: Atoms, variance: Expr) -> bool:
        """Whether one integral over all normal laws about a few points is cheaper than one for each of them.

        It asks for the body once at each place instead of as often as there are points, over a range that the
        distance between the points lengthens.
        """
        s = self(variance)
        if isinstance(s, acb) or not s > 0:
            return False
        span = self(Max(*base.points) - Min(*base.points))
        return bool(span * span < s * (_REACH * (len(base.points) - 2)) ** 2)

    def integral(self, integrand: Expr, x: Symbol, lower: Expr, upper: Expr) -> Ball:
        """A proven enclosure of an integral over a possibly infinite interval."""
        low, tail_low = self._end(integrand, x, lower, -1)
        high, tail_high = self._end(integrand, x, upper, 1)
        value = self._along_the_line(integrand, x, low, high) if lower == -oo and upper == oo else None
        if value is None:
            value = self.finite_integral(self.over(integrand, x), low, high)
        tail = tail_low + tail_high
        return value + arb(0, tail) if isinstance(value, arb) else value + acb(arb(0, tail), arb(0, tail))

    def _along_the_line(self, integrand: Expr, x: Symbol, low: Ball, high: Ball) -> arb | None:
        """The integral by the trapezoidal rule between ends a little further out; None where it does not apply."""
        if self.analytic or self.complex_values() or any(x in part.free_symbols for part in integrand.atoms(*_JUMPS)):
            return None
        g = self.over(integrand, x, principal=True)
        try:
            return line_integral(lambda z: g(z, True), int(float((-low).max(high))) + 1, self.goal)
        except (NotEnclosed, ValueError, ZeroDivisionError):
            return None

    def _end(self, integrand: Expr, x: Symbol, end: Expr, side: int) -> tuple[arb, arb]:
        """Where to cut an end of the range, and a bound of what is cut off."""
        if end not in (oo, -oo):
            return self(end), arb(0)
        from derive.ledger.tails import cut_off, majorant

        cut, bound = cut_off(majorant(integrand, x, side, self), self.goal)
        return arb(side * cut), bound

    def finite_integral(self, f: Callable[[acb, bool], Ball], low: Ball, high: Ball) -> Ball:
        """A proven enclosure of an integral along the real line between two balls."""
        refusals: list[BaseException] = []  # nothing may be raised through the compiled integrator

        def checked(z: acb, analytic: bool) -> acb:
            if not refusals and not _alarm_waits():
                try:
                    return _complex(f(z, analytic))
                except BaseException as refusal:
                    refusals.append(refusal)
            return nowhere

        nowhere = acb(arb.nan(), arb.nan())
        goal = arb(2) ** (-self.goal)
        with _alarm_held():
            value = acb.integral(
                checked, _complex(low), _complex(high), rel_tol=goal, abs_tol=goal, eval_limit=self.evaluations)
        if refusals:
            raise refusals[0]
        return value.real if value.imag.contains(0) else value


@lru_cache(maxsize=256)
def _rough_at_ends(law: Density) -> bool:
    """Whether the ends of a bounded support are singular."""
    from derive.ledger.transforms import singular_at_ends

    return not law.free_symbols and singular_at_ends(law.pdf, law.var, law.lower, law.upper)


@lru_cache(maxsize=512)
def _split(body: Expr, var: Symbol, law: Noisy) -> Expr:
    """An average over a law with noise as one over the law and a normal variable."""
    from derive.nodes.averages import noise_split

    return noise_split(body, var, law)


@lru_cache(maxsize=512)
def _mixture(body: Expr, var: Symbol, law: Noisy) -> tuple[Expr, Symbol]:
    """What is integrated over all normal laws about a few points, their densities added, and the variable of it."""
    points, weights = law.base.points, law.base.weights
    width, middle = sqrt(law.s), points[len(points) // 2]
    shifts = [(p - middle) / width for p in points]
    integrand, variable = _integrand(body.xreplace({var: middle + width * var}), var, Normal())
    mixed = Add(*(w * exp(d * variable - d**2 / 2) for w, d in zip(weights, shifts, strict=True)))
    return integrand * mixed, variable


@lru_cache(maxsize=1024)
def _integrand(body: Expr, var: Symbol, law: Normal | Density) -> tuple[Expr, Symbol]:
    """What is integrated in an average, and the variable of it."""
    variable = Symbol(f"_{var.name}", real=True)
    while variable in body.free_symbols:
        variable = Symbol(f"_{variable.name}", real=True)
    return law.density(variable) * body.xreplace({var: variable}), variable


def _near_zero(z: arb) -> bool:
    """A ball around zero that is no wider than rounding."""
    return bool(abs(z).upper() < arb(2) ** (-(ctx.prec // 2)))
