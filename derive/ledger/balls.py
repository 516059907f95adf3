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
from sympy import Basic, Expr, Rational, S, Symbol, oo
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import And, BooleanFalse, BooleanTrue, Not, Or

from derive.ledger.periodic import mean, widest_strip
from derive.nodes.averages import GaussianAverage, LogAverageExp, MeasureAverage, SpectralAverage, TiltedAverage
from derive.nodes.binders import Binder
from derive.nodes.extremum import Extremum
from derive.nodes.laws import Atoms, Density, Law, MarchenkoPastur, Noisy, Normal

__all__ = ["NotEnclosed", "continued", "enclose", "precision"]

Ball = Any  # arb or acb
_MAX_EVALS = 60_000


class NotEnclosed(Exception):
    """There is no proven enclosure of this expression; the message says of which part."""


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Work with so many bits."""
    old = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = old


def enclose(
    expr: Basic, values: Mapping[Symbol, Any] | None = None, prec: int = 128, *, goal: int | None = None,
    evaluations: int = _MAX_EVALS,
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
        return _real(_Evaluator(scope, False, goal or prec, evaluations)(expr))


def continued(expr: Expr, symbol: Symbol) -> Callable[[Ball], Ball]:
    """An expression in one symbol as a function of balls, not finite where a ball touches what is not analytic."""
    f = _Evaluator({}, True, ctx.prec).over(expr, symbol)
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
    return _real(_Evaluator({}, False, ctx.prec)(value))


def _real(z: Ball) -> Ball:
    """The real part where the imaginary part is exactly zero."""
    return z.real if isinstance(z, acb) and z.imag.is_zero() else z


def _complex(z: Ball) -> acb:
    return z if isinstance(z, acb) else acb(z)


class _Evaluator:
    """Evaluates at one point; `analytic`: return what is not finite where a branch cut is touched (for integration)."""

    def __init__(
        self, scope: Mapping[Symbol, Ball], analytic: bool, goal: int, evaluations: int = _MAX_EVALS
    ) -> None:
        self.scope = dict(scope)
        self.analytic = analytic
        self.goal, self.evaluations = goal, evaluations
        self.memo: dict[Basic, Ball] = {}

    def __call__(self, e: Basic) -> Ball:
        found = self.memo.get(e)
        if found is None:
            found = self.memo[e] = self._evaluate(e)
        return found

    def over(self, body: Expr, symbol: Symbol) -> Callable[[Ball, bool], Ball]:
        """The body as a function of one more symbol; what does not contain it is evaluated once."""
        for part in _free_parts(body, symbol):
            if part not in self.memo:
                with suppress(NotEnclosed):  # it may not be asked for
                    self(part)
        kept = {k: v for k, v in self.memo.items() if symbol not in k.free_symbols}

        def at(value: Ball, analytic: bool) -> Ball:
            inner = _Evaluator(
                {**self.scope, symbol: value}, analytic or self.analytic, self.goal, self.evaluations)
            inner.memo = dict(kept)
            return inner(body)

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
        if name in _FUNCTIONS:
            return _FUNCTIONS[name](self, *(self(a) for a in e.args))
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
        if power.is_Integer:
            n = int(power)
            if n < 0:
                return (1 / z) ** (-n)  # a power of a ball away from zero may touch it
            return z**n
        if power.is_Rational and power.q == 2:
            return self.sqrt(z) ** int(power.p) if power.p > 0 else 1 / self.sqrt(z) ** int(-power.p)
        return (self(power) * self.log(z)).exp()

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
        if self.analytic and z.real < 0:  # continues the value that it has on the real line, which is integrated along
            return acb(0, 1) * (-z).sqrt()
        return z.sqrt(analytic=self.analytic)

    def log(self, z: Ball) -> Ball:
        if isinstance(z, arb):
            if z > 0:
                return z.log()
            return acb((-z).log(), arb.pi()) if z < 0 else arb.nan()
        if self.analytic and z.real < 0:
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
        """The largest or smallest value over a bounded interval, between bounds that close in on it.

        A cell of the interval is dropped where the body stays below a value that is taken, and shrinks to an end where
        the slope has one sign.
        """
        if e.kind not in ("max", "min") or any(isinstance(v, acb) for v in self.scope.values()):
            raise NotEnclosed(f"the {e.kind} of an extremum here")
        (x,), (body,) = e.open()
        low, high = (self(end) for end in (e.interval.start, e.interval.end))
        if not (low.is_finite() and high.is_finite() and low.is_exact() and high.is_exact() and low < high):
            raise NotEnclosed("an extremum over an interval whose ends are not exact numbers")
        sign = 1 if e.kind == "max" else -1
        f, slope = self.over(sign * body, x), self.over(sign * body.diff(x), x)
        return sign * _largest(lambda z: f(z, False), lambda z: slope(z, False), low, high, self.goal)

    def _on_Integral(self, e: Basic) -> Ball:
        raise NotEnclosed("an integral that is not a node")

    # ---- averages

    def _on_GaussianAverage(self, e: GaussianAverage) -> Ball:
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
        from sympy import exp

        if isinstance(e.law, Atoms):
            return self._log_atoms(e.g, e.var, e.law)
        return self.log(self.average(exp(e.g), e.var, e.law))

    def _on_TiltedAverage(self, e: TiltedAverage) -> Ball:
        from sympy import exp

        if isinstance(e.law, Atoms):
            total = self._log_atoms(e.g, e.var, e.law)
            result = arb(0)
            for point, weight in zip(e.law.points, e.law.weights, strict=True):
                value, tilt = (self(_at(h, e.var, point)) for h in (e.f, e.g))
                result = result + self(weight) * value * (tilt - total).exp()
            return result
        return self.average(e.f * exp(e.g), e.var, e.law) / self.average(exp(e.g), e.var, e.law)

    def _log_atoms(self, g: Expr, var: Symbol, law: Atoms) -> Ball:
        terms = [self(_at(g, var, p)) for p in law.points]
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
                total = total + self(weight) * self(_at(body, var, point))
            return total
        if isinstance(law, Noisy):
            from derive.nodes.averages import noise_split

            return self(noise_split(body, var, law))
        if isinstance(law, Normal | Density):
            variable = Symbol(f"_{var.name}", real=True)
            while variable in body.free_symbols:
                variable = Symbol(f"_{variable.name}", real=True)
            integrand = law.density(variable) * body.xreplace({var: variable})
            return self.integral(integrand, variable, law.lower, law.upper)
        if isinstance(law, MarchenkoPastur):
            return self._over_marchenko_pastur(body, var, law)
        raise NotEnclosed(f"no enclosure over {type(law).__name__}")

    def integral(self, integrand: Expr, x: Symbol, lower: Expr, upper: Expr) -> Ball:
        """A proven enclosure of an integral over a possibly infinite interval."""
        low, tail_low = self._end(integrand, x, lower, -1)
        high, tail_high = self._end(integrand, x, upper, 1)
        value = self._finite_integral(self.over(integrand, x), low, high)
        tail = tail_low + tail_high
        return value + arb(0, tail) if isinstance(value, arb) else value + acb(arb(0, tail), arb(0, tail))

    def _end(self, integrand: Expr, x: Symbol, end: Expr, side: int) -> tuple[arb, arb]:
        """Where to cut an end of the range, and a bound of what is cut off."""
        if end not in (oo, -oo):
            return self(end), arb(0)
        from derive.ledger.tails import majorant, tail

        terms = majorant(integrand, x, side, self)
        goal = arb(2) ** (-self.goal - 2)
        cut = 4
        while cut < 10**9:
            bound = tail(terms, arb(cut))
            if bound is not None and bound < goal:
                return arb(side * cut), bound
            cut = cut + max(cut // 4, 1)
        raise NotEnclosed("the tail of an integral has no bound here")

    def _finite_integral(self, f: Callable[[acb, bool], Ball], low: Ball, high: Ball) -> Ball:
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

    def _over_marchenko_pastur(self, body: Expr, var: Symbol, law: MarchenkoPastur) -> Ball:
        """c = l + (u - l) sin(phi/2)^2 takes the square roots at both edges away; the rest is the atom at zero."""
        ratio = self(law.ratio)
        root = ratio.sqrt()
        low = (1 - root) ** 2 / ratio
        touching = ratio == 1
        span = 4 / root

        inner = self.over(body, var)
        if not self.analytic and not any(isinstance(v, acb) for v in self.scope.values()):
            found = self._as_a_mean(inner, body.xreplace({var: S.Zero}), ratio, low, span)
            if found is not None:
                return found

        def weighted(z: acb, analytic: bool) -> acb:
            half = z / 2
            if touching:
                c = 4 * half.sin() ** 2
                weight = 2 * half.cos() ** 2 / acb.pi()
            else:
                c = low + span * half.sin() ** 2
                weight = ratio * (span / 2) ** 2 * z.sin() ** 2 / (2 * acb.pi() * c)
            value: acb = weight * inner(c, analytic)
            return value

        bulk = self._finite_integral(weighted, arb(0), arb.pi())
        if touching or ratio > 1:
            return bulk
        if not ratio < 1:
            raise NotEnclosed("whether the Marchenko-Pastur law has an atom")
        return bulk + (1 - ratio) * self(body.xreplace({var: S.Zero}))

    def _as_a_mean(
        self, inner: Callable[[Ball, bool], Ball], at_zero: Expr, ratio: Ball, low: Ball, span: Ball
    ) -> Ball | None:
        """The same by the trapezoidal rule: f(0) + the average of f - f(0), whose quotient by c has no pole at zero.

        All of the mass, bulk and atom, is in f(0), so that it is not asked whether there is an atom.  None where no
        strip of analyticity was found, as where f is singular at an edge or at zero.
        """
        try:
            zero = self(at_zero)
        except (NotEnclosed, ValueError, ZeroDivisionError):
            return None
        if isinstance(zero, acb) or not zero.is_finite():
            return None
        scale = ratio * (span / 2) ** 2 / 2

        def place(z: acb) -> acb:
            return _complex(low + span * (1 - z.cos()) / 2)

        def analytic(z: acb) -> Ball:
            return inner(place(z), True)

        def wave(z: acb) -> Ball:
            c = place(z)
            return scale * z.sin() ** 2 * (inner(c, True) - zero) / c

        try:
            with precision(64):
                strip = widest_strip(analytic, wave)
            found = None if strip is None else mean(wave, strip, self.goal)
        except (NotEnclosed, ValueError, ZeroDivisionError):
            return None
        return None if found is None or not found.is_finite() else zero + found


@lru_cache(maxsize=4096)
def _at(e: Basic, var: Symbol, point: Expr) -> Basic:
    """An expression with a point in place of a variable; integrands ask for the same ones again and again."""
    return e.xreplace({var: point})


def _free_parts(e: Basic, symbol: Symbol) -> Iterator[Basic]:
    """The largest parts of an expression that need no value of the symbol, symbols and numbers apart."""
    if not e.args or not isinstance(e, Expr):
        return
    if symbol not in e.free_symbols:
        if not e.is_number or not e.is_Rational:
            yield e
        return
    if isinstance(e, Binder):
        return  # what stands below another sign of averaging has bound symbols
    for a in e.args:
        yield from _free_parts(a, symbol)


_CELLS = 600


def _largest(f: Callable[[arb], Ball], slope: Callable[[arb], Ball], low: arb, high: arb, goal: int) -> arb:
    """An enclosure of the largest value of a differentiable function on an interval."""
    best = f(low).max(f(high)) if all(_is_real(f(z)) for z in (low, high)) else arb("-inf")
    cells, closed = [(low, high)], [z for z in (f(low), f(high)) if _is_real(z)]
    for _ in range(_CELLS):
        if not cells:
            break
        uppers = [(_upper(f, slope, a, b), a, b) for a, b in cells]
        top = max((u for u, _, _ in uppers), default=best)
        if top.is_finite() and best.is_finite() and top - best < arb(2) ** -goal * (1 + abs(best)):
            return best.union(arb(best.max(top).upper()))
        kept = []
        for upper, a, b in uppers:
            if upper.is_finite() and upper <= best.lower():
                continue
            middle = ((a + b) / 2).mid()
            value = f(middle)
            if _is_real(value):
                closed.append(value)
                best = arb(best.lower()).max(value) if best.is_finite() else value
            turn = slope(a.union(b))
            if _is_real(turn) and (turn > 0 or turn < 0):
                value = f(b if turn > 0 else a)
                if _is_real(value):  # the largest value of the cell is at its end
                    best = best.max(value) if best.is_finite() else value
                    continue
            kept += [(a, middle), (middle, b)]
        if len(kept) > _CELLS:
            break
        cells = kept
    if cells or not best.is_finite():
        raise NotEnclosed("the bounds of an extremum did not close in")
    return best


def _upper(f: Callable[[arb], Ball], slope: Callable[[arb], Ball], a: arb, b: arb) -> arb:
    """An upper bound of a function on a cell, by its ball there and by its slope."""
    cell, middle = a.union(b), ((a + b) / 2).mid()
    direct, turn, there = f(cell), slope(cell), f(middle)
    bounds = [arb(direct.upper())] if _is_real(direct) else []
    if _is_real(turn) and _is_real(there):
        bounds.append(arb((there + abs(turn) * (b - a) / 2).upper()))
    return min(bounds, key=float) if bounds else arb("+inf")


def _is_real(z: Ball) -> bool:
    return isinstance(z, arb) and bool(z.is_finite())


def _near_zero(z: arb) -> bool:
    """A ball around zero that is no wider than rounding."""
    return bool(abs(z).upper() < arb(2) ** (-(ctx.prec // 2)))


# ---- functions of derive.nodes and of SymPy, by name


def _log_cosh(ev: _Evaluator, x: Ball) -> Ball:
    if isinstance(x, acb):
        if x.real > 0 or x.real < 0:  # stays on the branch that is real on the real axis
            y = x if x.real > 0 else -x
            return y + ev.log(1 + (-2 * y).exp()) - arb(2).log()
        return ev.log(x.cosh())
    y = abs(x)
    return y + (-2 * y).exp().log1p() - arb(2).log()


def _softplus(ev: _Evaluator, x: Ball) -> Ball:
    if isinstance(x, acb):
        return ev.log(1 + x.exp())
    return x + (-x).exp().log1p() if x > 0 else x.exp().log1p()


def _log_sum_exp(ev: _Evaluator, *xs: Ball) -> Ball:
    top = max(_complex(x).real.mid() for x in xs)
    total = arb(0)
    for x in xs:
        total = total + (x - top).exp()
    return top + ev.log(total)


def _response(ev: _Evaluator, b: Ball, ratio: Ball) -> Ball:
    linear = b * (1 - ratio) + ratio
    root = ev.sqrt(linear**2 + 4 * ratio**2 * b)
    if isinstance(linear, arb) and linear < 0:
        return (root - linear) / (2 * ratio * b)
    return 2 * ratio / (linear + root)


def _erfcx(ev: _Evaluator, x: Ball) -> Ball:
    return (x * x).exp() * x.erfc()


def _method(name: str) -> Callable[..., Ball]:
    return lambda ev, x: getattr(x, name)()


def _polylog(ev: _Evaluator, s: Ball, z: Ball) -> Ball:
    if isinstance(z, arb) and z <= 1:
        return z.polylog(s)
    return _complex(z).polylog(s)


def _lambertw(ev: _Evaluator, x: Ball, branch: Ball | None = None) -> Ball:
    return x.lambertw(0 if branch is None else int(branch.unique_fmpz()))


_FUNCTIONS: dict[str, Callable[..., Ball]] = {
    "exp": _method("exp"), "sin": _method("sin"), "cos": _method("cos"), "tan": _method("tan"), "cot": _method("cot"),
    "sinh": _method("sinh"), "cosh": _method("cosh"), "tanh": _method("tanh"), "coth": _method("coth"),
    "sech": _method("sech"), "csch": _method("csch"), "asin": _method("asin"), "acos": _method("acos"),
    "atan": _method("atan"), "asinh": _method("asinh"), "acosh": _method("acosh"), "atanh": _method("atanh"),
    "erf": _method("erf"), "erfc": _method("erfc"), "erfi": _method("erfi"), "gamma": _method("gamma"),
    "loggamma": _method("lgamma"),
    "polygamma": lambda ev, n, x: _real(_complex(x).polygamma(_complex(n))),
    "polylog": _polylog, "LambertW": _lambertw,
    "log_cosh": _log_cosh, "softplus": _softplus, "log_sum_exp": _log_sum_exp, "MPResponse": _response,
    "erfcx": _erfcx,
    "log_erfc": lambda ev, x: ev.log(x.erfc()),
    "log_erfc_drop": lambda ev, x, y: ev.log(x.erfc() - y.erfc()),
    "log1mexp": lambda ev, x: ev.log(-(-x).expm1()) if isinstance(x, arb) else ev.log(1 - (-x).exp()),
}
