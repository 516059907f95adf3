"""Proven bounds of the tails of integrals: |f(x)| <= sum of K x^n exp(a x + c x^2) on a half-line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flint import acb, arb
from sympy import Basic, Dummy, Expr, Poly, PolynomialError, S, Symbol, expand_mul

__all__ = ["Term", "majorant", "tail"]


@dataclass(frozen=True)
class Term:
    """size * x**power * exp(linear x + quadratic x**2) for x >= 1."""

    size: arb
    power: int
    linear: arb
    quadratic: arb

    def __mul__(self, other: Term) -> Term:
        return Term(self.size * other.size, self.power + other.power, self.linear + other.linear,
                    self.quadratic + other.quadratic)


#: gives the terms once the values of the other symbols are known
Bound = Callable[[Any], list[Term]]


def majorant(integrand: Expr, x: Symbol, side: int, evaluate: Any) -> list[Term]:
    """Terms whose sum bounds |integrand(side * x)| for all x >= 1.

    Args: evaluate (gives a ball for what does not contain x).
    Raises: derive.ledger.balls.NotEnclosed where the integrand has a part with no bound here.
    """
    return _bound(integrand, x, side)(evaluate)


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


@lru_cache(maxsize=2048)
def _bound(integrand: Expr, x: Symbol, side: int) -> Bound:
    y = Dummy(x.name, positive=True)
    return _Majorant(y).of(integrand.xreplace({x: side * y}))


def _constant(size: arb) -> Term:
    return Term(size, 0, arb(0), arb(0))


def _sum(bounds: list[Bound]) -> Bound:
    return lambda ev: [t for b in bounds for t in b(ev)]


def _product(bounds: list[Bound]) -> Bound:
    def value(ev: Any) -> list[Term]:
        result = [_constant(arb(1))]
        for b in bounds:
            result = [s * t for s in result for t in b(ev)]
        return result

    return value


def _real_only(e: Basic, bound: Bound) -> Bound:
    """A bound that holds for real values of the other symbols; elsewhere there is none."""
    symbols = tuple(e.free_symbols)

    def value(ev: Any) -> list[Term]:
        if any(isinstance(ev.scope.get(s), acb) for s in symbols):
            raise _refused(f"{type(e).__name__} of a complex quantity")
        return bound(ev)

    return value


def _refused(what: str) -> Exception:
    from derive.ledger.balls import NotEnclosed

    return NotEnclosed(f"the tail of {what} has no bound here")


class _Majorant:
    """Reads a bound off an expression in one positive variable."""

    def __init__(self, x: Symbol) -> None:
        self.x = x

    def of(self, e: Expr) -> Bound:
        """Terms that bound |e|."""
        if self.x not in e.free_symbols:
            return lambda ev: [_constant(abs(ev(e)).upper())]
        if e == self.x:
            return lambda ev: [Term(arb(1), 1, arb(0), arb(0))]
        if e.is_Add:
            return _sum([self.of(a) for a in e.args])
        if e.is_Mul:
            return _product([self.of(a) for a in e.args])
        name = type(e).__name__
        if name == "exp":
            return self._exp(e.args[0])
        if e.is_Pow and e.exp.is_Integer and e.exp > 0:
            return _product([self.of(e.base)] * int(e.exp))
        if name in ("cosh", "sinh"):
            return _sum([self._exp(s * e.args[0]) for s in (1, -1)])
        return _real_only(e, self._named(e, name))

    def _named(self, e: Expr, name: str) -> Bound:
        """Functions that are bounded by what they contain, on the real line."""
        if e.is_Pow and e.exp.is_Rational:
            return self._small_power(e)
        if name in ("tanh", "erf", "sin", "cos", "sech", "sign", "Heaviside", "MPResponse"):
            return lambda ev: [_constant(arb(1))]
        if name in ("atan", "erfc"):
            return lambda ev: [_constant(arb(2))]
        if name in ("log_cosh", "Abs"):
            return self.of(e.args[0])
        if name == "softplus":
            return _sum([self.of(e.args[0]), lambda ev: [_constant(arb(1))]])
        if name == "log_erfc":  # |log erfc u| <= u^2 + 2 |u| + 2 on both sides of zero
            once = self.of(e.args[0])
            return _sum([_product([once, once]), once, once, lambda ev: [_constant(arb(2))]])
        if name in ("log_sum_exp", "Max", "Min"):
            count = len(e.args)
            return _sum([*(self.of(a) for a in e.args), lambda ev: [_constant(arb(count).log())]])
        if name == "log" and (e.args[0] - 1).is_nonnegative:  # 0 <= log u <= u - 1
            return self.of(e.args[0] - 1)
        if name in ("LogAverageExp", "TiltedAverage"):
            return self._average(e, name)
        raise _refused(name)

    def _average(self, e: Any, name: str) -> Bound:
        """log E e^g and the tilted average of f lie between the extremes of g and of f."""
        law, body = type(e.law).__name__, e.args[0]
        if law == "Atoms":
            return _sum([self.of(body.xreplace({e.var: p})) for p in e.law.points])
        if law == "Density" and e.law.lower.is_finite and e.law.upper.is_finite and self.x not in e.law.free_symbols:
            poly = self._poly(body, e.var)
            law_ends = (e.law.lower, e.law.upper)

            def powers(ev: Any, k: int) -> list[Term]:
                reach = abs(ev(law_ends[0])).max(abs(ev(law_ends[1]))).upper()
                return [_constant(reach**k)]

            return _sum([_product([lambda ev, k=k: powers(ev, k), self.of(c)]) for (k,), c in poly.terms()])
        if law == "Normal" and name == "LogAverageExp":  # log E exp(a + b w) = a + b^2/2
            poly = self._poly(body, e.var)
            if poly.degree() <= 1:
                slope = self.of(poly.coeff_monomial(e.var))
                return _sum([self.of(poly.coeff_monomial(1)), _product([slope, slope])])
        raise _refused(f"{name} over {law}")

    @staticmethod
    def _poly(body: Expr, variable: Symbol) -> Poly:
        try:
            return Poly(body, variable)
        except PolynomialError:
            raise _refused(f"an average of {body}") from None

    def _small_power(self, e: Expr) -> Bound:
        """Powers of quantities that are at least one, or that stay above a positive constant."""
        base, power = e.args
        if power > 0 and (base - 1).is_nonnegative:  # u^p <= u^ceil(p) for u >= 1
            return self.of(base ** (power.ceiling()))
        if power > 0:
            raise _refused(str(e))
        floor = self._floor(base)
        p = arb(int(-power.p)) / int(power.q)

        def value(ev: Any) -> list[Term]:
            least = floor(ev)
            if not least > 0:
                raise _refused(str(e))
            return [_constant((-p * least.log()).exp().upper())]

        return value

    def _floor(self, e: Expr) -> Callable[[Any], arb]:
        """A lower bound of e: the sum of its terms that are constant or non-negative."""
        fixed, least = [], 0
        for term in e.args if e.is_Add else (e,):
            if self.x not in term.free_symbols:
                fixed.append(term)
            elif type(term).__name__ == "cosh":
                least += 1
            elif not term.is_nonnegative:
                raise _refused(f"1/({e})")
        return lambda ev: sum((ev(t).lower() for t in fixed), arb(least))

    def _exp(self, exponent: Expr) -> Bound:
        """exp of a polynomial of degree two at most, plus what is bounded linearly or quadratically."""
        smooth, wrapped = [], []
        expanded = expand_mul(exponent)
        for term in expanded.args if expanded.is_Add else (expanded,):
            (wrapped if _has_wrapped(term, self.x) else smooth).append(term)
        poly = self._poly(sum(smooth, S.Zero), self.x)
        if poly.degree() > 2:
            raise _refused(f"exp({exponent})")
        coefficients = [poly.coeff_monomial(self.x**k) for k in range(3)]
        extra = _sum([self.of(t) for t in wrapped])

        def value(ev: Any) -> list[Term]:
            c = [_real_part(ev(k)) for k in coefficients]
            for t in extra(ev):
                if bool(t.quadratic != 0) or bool(t.linear != 0) or t.power > 2:
                    raise _refused(f"exp({exponent})")
                c[t.power] = c[t.power] + t.size
            return [Term(c[0].exp().upper(), 0, arb(c[1].upper()), arb(c[2].upper()))]

        return value


def _real_part(z: Any) -> arb:
    return z if isinstance(z, arb) else z.real


def _has_wrapped(term: Basic, x: Symbol) -> bool:
    names = ("log_cosh", "softplus", "LogAverageExp", "Abs", "tanh", "erf", "sin", "cos", "log_sum_exp")
    factors = term.args if term.is_Mul else (term,)
    return any(type(a).__name__ in names and x in a.free_symbols for a in factors)
