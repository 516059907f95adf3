"""Proven bounds of the tails of integrals: |f(x)| <= sum of K x^n exp(a x + c x^2) on a half-line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from flint import arb
from sympy import Add, Dummy, Expr, Poly, PolynomialError, S, Symbol, cosh

from derive.ledger.ball_programs import placed

__all__ = ["Term", "cut_off", "majorant", "tail"]

_BEYOND = Dummy("beyond", positive=True)
"""The distance from zero on the side that is looked at."""


@dataclass(frozen=True)
class Term:
    """size * x**power * exp(linear x + quadratic x**2) for x >= 1, times powers |w|**k of variables still averaged."""

    size: arb
    power: int
    linear: arb
    quadratic: arb
    others: tuple[tuple[Symbol, int], ...] = ()

    def __mul__(self, other: Term) -> Term:
        powers = dict(self.others)
        for w, k in other.others:
            powers[w] = powers.get(w, 0) + k
        return Term(self.size * other.size, self.power + other.power, self.linear + other.linear,
                    self.quadratic + other.quadratic, tuple(powers.items()))

    def degree(self, w: Symbol) -> int:
        """The power of a variable that is averaged."""
        return next((k for v, k in self.others if v == w), 0)

    def without(self, w: Symbol, size: arb) -> Term:
        """The term with the power of an averaged variable replaced by a number."""
        return replace(self, size=self.size * size, others=tuple(o for o in self.others if o[0] != w))


def majorant(integrand: Expr, x: Symbol, side: int, evaluate: Any) -> list[Term]:
    """Terms whose sum bounds |integrand(side * x)| for all x >= 1.

    Args: evaluate (gives a ball for what does not contain x).
    Raises: derive.ledger.balls.NotEnclosed where the integrand has a part with no bound here.
    """
    return _Majorant(_BEYOND, evaluate).of(placed(integrand, x, side * _BEYOND))


def merged(terms: list[Term]) -> list[Term]:
    """The same bound with one term for each power, its sizes added and the steepest exponential taken for all."""
    found: dict[tuple[Any, ...], Term] = {}
    for k, t in enumerate(terms):
        key = (t.power, t.others, t.quadratic.man_exp() if t.quadratic.is_exact() and t.quadratic.is_finite() else (k,))
        seen = found.get(key)
        found[key] = t if seen is None else replace(seen, size=seen.size + t.size, linear=seen.linear.max(t.linear))
    return list(found.values())


def tail(terms: list[Term], cut: arb) -> arb | None:
    """A bound of the integral of the terms from `cut` to infinity, None where it cannot be bounded from there.

    Beyond the cut the logarithm of each term falls with slope -d or faster, d = -(n/cut + a + 2 c cut), as that slope
    decreases where c <= 0; the term is then at most its value at the cut times exp(-d (x - cut)).
    """
    total = arb(0)
    for t in terms:
        if not t.quadratic <= 0:
            return None
        fall = -(t.power / cut + t.linear + 2 * t.quadratic * cut)
        if not fall > 0:
            return None
        total += t.size * cut**t.power * (t.linear * cut + t.quadratic * cut**2).exp() / fall
    return total.upper() if total.is_finite() else None


def cut_off(terms: list[Term], bits: int) -> tuple[int, arb]:
    """A place from which on the integral of the terms is less than 2^-bits, and a bound of it.

    Raises: derive.ledger.balls.NotEnclosed where there is none.
    """
    from derive.ledger.balls import NotEnclosed

    goal, cut = arb(2) ** (-bits - 2), 4
    while cut < 10**9:
        bound = tail(terms, arb(cut))
        if bound is not None and bound < goal:
            return cut, bound
        cut = cut + max(cut // 4, 1)
    raise NotEnclosed("the tail of an integral has no bound here")


class _Majorant:
    def __init__(self, x: Symbol, evaluate: Any) -> None:
        self.x, self.evaluate = x, evaluate
        self.averaged: set[Symbol] = set()

    def constant(self, size: arb) -> Term:
        return Term(size, 0, arb(0), arb(0))

    def of(self, e: Expr) -> list[Term]:
        """Terms that bound |e|, as few as there are different powers."""
        return merged(self._of(e))

    def _of(self, e: Expr) -> list[Term]:
        from derive.ledger.balls import NotEnclosed

        free = e.free_symbols
        if self.x not in free and not self.averaged & free:
            return [self.constant(abs(self.evaluate(e)).upper())]
        if e == self.x:
            return [Term(arb(1), 1, arb(0), arb(0))]
        if e in self.averaged:
            return [Term(arb(1), 0, arb(0), arb(0), ((e, 1),))]
        if e.is_Add:
            return [t for a in e.args for t in self.of(a)]
        if e.is_Mul:
            product = [self.constant(arb(1))]
            for a in e.args:
                product = self._times(product, self.of(a))
            return product
        name = type(e).__name__
        if name == "exp":
            return self._exp(e.args[0])
        if e.is_Pow and e.exp.is_Integer and e.exp > 0:
            product = [self.constant(arb(1))]
            for _ in range(int(e.exp)):
                product = self._times(product, self.of(e.base))
            return product
        if e.is_Pow and e.exp.is_Rational:
            return self._small_power(e)
        if name in ("tanh", "erf", "sin", "cos", "sech", "sign", "Heaviside"):
            return [self.constant(arb(1))]
        if name in ("atan", "erfc"):
            return [self.constant(arb(2))]
        if name in ("log_cosh", "Abs"):
            return self.of(e.args[0])
        if name == "softplus":
            return [*self.of(e.args[0]), self.constant(arb(1))]
        if name == "log_erfc":  # |log erfc u| <= u^2 + 2 |u| + 2 on both sides of zero
            once = self.of(e.args[0])
            return [*self._times(once, once), *(Term(2 * t.size, t.power, t.linear, t.quadratic) for t in once),
                    self.constant(arb(2))]
        if name in ("cosh", "sinh"):
            return [t for s in (1, -1) for t in self._exp(s * e.args[0])]
        if name in ("log_sum_exp", "Max", "Min"):
            return [t for a in e.args for t in self.of(a)] + [self.constant(arb(len(e.args)).log())]
        if name == "log" and (e.args[0] - 1).is_nonnegative:  # 0 <= log u <= u - 1
            return self.of(e.args[0] - 1)
        c, u = e.args[0].as_coeff_Mul() if name == "log" else (S.Zero, e)
        if c.is_positive and isinstance(u, cosh):  # 0 <= log cosh u <= |u|
            return [*self.of(u.args[0]), self.constant(abs((arb(int(c.p)) / int(c.q)).log()))]
        if name == "LogAverageExp" and type(e.law).__name__ == "Atoms":  # between the least and the largest exponent
            return [t for p in e.law.points for t in self.of(placed(e.g, e.var, p))]
        if name == "TiltedAverage" and type(e.law).__name__ == "Atoms":
            return [t for p in e.law.points for t in self.of(placed(e.f, e.var, p))]
        if name in ("LogAverageExp", "TiltedAverage") and type(e.law).__name__ == "Density":
            return self._over_support(e.args[0], e.var, e.law)  # log E e^g and <f> lie between the extremes of g and f
        if name == "LogAverageExp" and type(e.law).__name__ == "Normal":
            return self._log_average(e.g, e.var)
        if name == "GaussianAverage":
            return self._averaged(e)
        if name == "TiltedAverage" and type(e.law).__name__ == "Normal" and e.var not in e.f.free_symbols:
            return self.of(e.f)
        if name == "TiltedAverage" and type(e.law).__name__ == "Normal":
            w = Dummy("w", real=True)
            terms = self._with(w, e.f.xreplace({e.var: w}))
            if all(t.degree(w) == 0 for t in terms):  # a bounded function has a bounded average, whatever the tilt
                return terms
        if name == "MPResponse":
            return [self.constant(arb(1))]
        raise NotEnclosed(f"the tail of {name} has no bound here")

    def _with(self, w: Symbol, e: Expr) -> list[Term]:
        """Terms in which powers of one more variable may stand."""
        self.averaged.add(w)
        try:
            return self.of(e)
        finally:
            self.averaged.discard(w)

    def _averaged(self, e: Any) -> list[Term]:
        """|E h| <= E |h|, with the absolute moments of a standard normal variable."""
        variables = [Dummy("w", real=True) for _ in e.variables]
        body = e.body.xreplace(dict(zip(e.variables, variables, strict=True)))
        self.averaged.update(variables)
        try:
            terms = self.of(body)
        finally:
            self.averaged.difference_update(variables)
        for w in variables:
            terms = [t.without(w, _absolute_moment(t.degree(w))) for t in terms]
        return terms

    def _log_average(self, g: Expr, var: Symbol) -> list[Term]:
        """For |g| <= a + b |w|: -a - b <= E g <= log E exp g <= a + b^2/2 + log 2; log E exp(a + b w) = a + b^2/2."""
        from derive.ledger.balls import NotEnclosed

        try:
            poly = Poly(g, var)
        except PolynomialError:
            poly = None
        if poly is not None and poly.degree() <= 1:
            flat, slope = self.of(poly.coeff_monomial(1)), self.of(poly.coeff_monomial(var))
            return [*flat, *self._times(slope, slope)]
        w = Dummy("w", real=True)
        terms = self._with(w, g.xreplace({var: w}))
        if any(t.degree(w) > 1 for t in terms):
            raise NotEnclosed(f"the tail of log E exp({g}) has no bound here")
        flat, slope = ([t.without(w, arb(1)) for t in terms if t.degree(w) == k] for k in (0, 1))
        return [*flat, *slope, *self._times(slope, slope), self.constant(arb(2).log())]

    def _over_support(self, body: Expr, var: Symbol, law: Any) -> list[Term]:
        """Terms that bound a polynomial in the variable of a law of bounded support, anywhere on it."""
        from derive.ledger.balls import NotEnclosed

        if law.lower.is_infinite or law.upper.is_infinite or self.x in law.free_symbols:
            raise NotEnclosed("an average over a law of unbounded support in a tail has no bound here")
        try:
            poly = Poly(body, var)
        except PolynomialError:
            raise NotEnclosed(f"the tail of an average of {body} has no bound here") from None
        reach = abs(self.evaluate(law.lower)).max(abs(self.evaluate(law.upper))).upper()
        return [self.constant(reach**k) * t for (k,), c in poly.terms() for t in self.of(c)]

    def _times(self, left: list[Term], right: list[Term]) -> list[Term]:
        return merged([a * b for a in left for b in right])

    def _small_power(self, e: Expr) -> list[Term]:
        """Powers of quantities that are at least one, or that stay above a positive constant."""
        from derive.ledger.balls import NotEnclosed

        base, power = e.args
        if power > 0 and (base - 1).is_nonnegative:  # u^p <= u^ceil(p) for u >= 1
            return self.of(base ** (power.ceiling()))
        if power < 0:
            floor = self._floor(base)
            if floor is not None and floor > 0:
                return [self.constant((1 / self._power(floor, -power)).upper())]
        raise NotEnclosed(f"the tail of {e} has no bound here")

    @staticmethod
    def _power(value: arb, power: Any) -> arb:
        return (arb(int(power.p)) / int(power.q) * value.log()).exp()

    def _floor(self, e: Expr) -> arb | None:
        """A lower bound of e: the sum of its terms that are constant or non-negative."""
        total = arb(0)
        for term in e.args if e.is_Add else (e,):
            if self.x not in term.free_symbols:
                total += self.evaluate(term).lower()
            elif type(term).__name__ == "cosh":
                total += 1
            elif not term.is_nonnegative:
                return None
        return total

    def _exp(self, exponent: Expr) -> list[Term]:
        from derive.ledger.balls import NotEnclosed

        parts = _exponent(exponent, self.x)
        if parts is None:
            raise NotEnclosed(f"the tail of exp({exponent}) has no bound here")
        coefficients, bounded, log_part = parts
        c = [_real_part(self.evaluate(k)) for k in coefficients]
        if not all(k <= 0 for k in c[3:]):
            raise NotEnclosed(f"the tail of exp({exponent}) has no bound here")
        linear, quadratic = c[1], sum(c[2:], arb(0))  # a power beyond the second is at least x^2, and its sign negative
        constant = c[0] + bounded
        for term in log_part:
            for t in self.of(term):
                if bool(t.quadratic != 0) or bool(t.linear != 0) or t.power > 2:
                    raise NotEnclosed(f"the tail of exp({exponent}) has no bound here")
                constant, linear, quadratic = (
                    constant + (t.size if t.power == 0 else 0),
                    linear + (t.size if t.power == 1 else 0),
                    quadratic + (t.size if t.power == 2 else 0),
                )
        return [Term(constant.exp().upper(), 0, arb(linear.upper()), arb(quadratic.upper()))]


@lru_cache(maxsize=1024)
def _exponent(exponent: Expr, x: Symbol) -> tuple[tuple[Expr, ...], int, tuple[Expr, ...]] | None:
    """An exponent as the coefficients of a polynomial, the number of terms between -1 and 1, and the other terms."""
    smooth, bounded, others = [], 0, []
    for term in Add.make_args(exponent.expand()):
        if type(term).__name__ in ("tanh", "erf", "sin", "cos"):
            bounded += 1
        elif term.is_polynomial(x):
            smooth.append(term)
        else:
            others.append(term)
    try:
        poly = Poly(sum(smooth, S.Zero), x)
    except PolynomialError:
        return None
    return tuple(poly.coeff_monomial(x**k) for k in range(max(poly.degree(), 2) + 1)), bounded, tuple(others)


def _absolute_moment(k: int) -> arb:
    """E |w|^k of a standard normal variable, 2^(k/2) Gamma((k + 1)/2) / sqrt(pi)."""
    return arb(2) ** (arb(k) / 2) * (arb(k + 1) / 2).gamma() / arb.pi().sqrt()


def _real_part(z: Any) -> arb:
    return z if isinstance(z, arb) else z.real
