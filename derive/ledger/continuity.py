"""Where an expression is continuous, judged from its parts, and its limits at ends of intervals."""

from __future__ import annotations

from collections.abc import Callable

from sympy import (
    Basic,
    Dummy,
    Expr,
    Pow,
    S,
    Symbol,
    oo,
    together,
)

from derive.ledger.signs import Signs
from derive.nodes.averages import (
    Average,
    GaussianAverage,
)
from derive.nodes.laws import Atoms, Density, MarchenkoPastur, Normal

__all__ = ["Continuity", "value_at"]


class Continuity(Signs):
    """Continuity and values at the ends of intervals."""

    def _value_at(self, e: Expr, x: Symbol, end: Expr) -> Expr | None:
        """The limit of e at an end of the range of x, where e is continuous there."""
        if end.is_infinite:
            if end == -oo or not x.is_positive:
                return None
            q = Dummy("q", positive=True)
            turned = e.subs(x, 1 / q)
            plain = turned if turned.has(Average) else together(turned)
            return next((v for v in (self._value_at(t, q, S.Zero) for t in (turned, plain)) if v is not None), None)
        if not self._continuous(e, x, end):
            return None
        value = value_at(e, x, end)
        return None if value.has(S.NaN, S.ComplexInfinity, oo, -oo) else value

    def continuous(self, e: Expr, x: Symbol) -> bool:
        """Whether e is continuous in x, judged from its parts, all over the interval of x."""
        return self._continuous(e, x, x)

    def _continuous(self, e: Basic, x: Symbol, end: Expr) -> bool:
        """Whether e is continuous at x = end (from inside), judged from its parts."""
        if x not in e.free_symbols:
            return True
        if e == x:
            return True
        if isinstance(e, Pow) and e.base is not S.Exp1:
            if not (self._continuous(e.base, x, end) and self._continuous(e.exp, x, end)):
                return False
            base = value_at(e.base, x, end)
            if e.exp.is_Integer and e.exp > 0:
                return True
            if e.exp.is_Rational and e.exp > 0:
                return bool(base.is_nonnegative) or bool(
                    base.is_number is False and self.positive(base, False, 0))
            return bool(base.is_positive) or bool(e.exp.is_Integer and base.is_nonzero) or bool(
                base.is_number is False and self.positive(base, True, 0))
        name = type(e).__name__
        if name in ("log", "log1mexp"):
            if not self._continuous(e.args[0], x, end):
                return False
            at = value_at(e.args[0], x, end)
            return bool(at.is_positive) or bool(not at.has(S.NaN, S.ComplexInfinity) and self.positive(at, True, 0))
        if name == "MPResponse":  # continuous for b >= 0 and ratio > 0
            return all(self._continuous(a, x, end) for a in e.args) and bool(
                e.args[0].subs(x, end).is_nonnegative and e.args[1].subs(x, end).is_positive)
        if isinstance(e, Average):
            law = Normal() if isinstance(e, GaussianAverage) else getattr(e, "law", None)
            if law is None:
                return False
            bounded = end == x or isinstance(law, Atoms | MarchenkoPastur) or (
                isinstance(law, Density) and law.lower.is_finite and law.upper.is_finite)
            return bounded and all(self._continuous(s, x, end) for s in e.scoped) and x not in law.free_symbols
        if name in _CONTINUOUS_WHERE:
            if not all(self._continuous(a, x, end) for a in e.args):
                return False
            conditions = _CONTINUOUS_WHERE[name](*(value_at(a, x, end) for a in e.args))
            return all(bool(c.is_positive) or self.positive(c, True, 0) for c in conditions)
        if e.is_Add or e.is_Mul or name in (
            "asinh", "erfi", "exp",
            "sin", "cos", "tanh", "cosh", "sinh", "erf", "erfc", "erfcx", "atan", "log_cosh", "log_erfc",
            "softplus", "log_sum_exp", "Abs", "Max", "Min",
        ):
            return all(self._continuous(a, x, end) for a in e.args)
        return False


#: functions that are continuous where these of their arguments are positive
_CONTINUOUS_WHERE: dict[str, Callable[..., tuple[Expr, ...]]] = {
    "LambertW": lambda z, *k: (z,) if not k else (S.NegativeOne,),
    "acos": lambda z: (1 - z, 1 + z),
    "acosh": lambda z: (z - 1,),
    "asin": lambda z: (1 - z, 1 + z),
    "atanh": lambda z: (1 - z, 1 + z),
    "gamma": lambda z: (z,),
    "loggamma": lambda z: (z,),
    "polygamma": lambda n, z: (n + 1, z),
    "polylog": lambda s, z: (1 - z,),
}


def value_at(e: Basic, x: Symbol, end: Expr) -> Basic:
    """e at a point, nan where it has no value there."""
    try:
        return e.subs(x, end)
    except ValueError:
        return S.NaN
