"""Averages over Gaussians, over laws of patterns and over spectra, as SymPy expressions.

A node denotes a convergent average.  `.doit()` gives the closed form where one is known: exactly, with conditions
that cannot be decided from the assumptions of the symbols put into a Piecewise whose last case is the node itself;
an average that certainly diverges raises DivergentAverage with the condition that fails.  `.convergence()` states
the condition under which the average exists, `.closed_form()` the pair (value, condition).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import Add, Basic, Derivative, Dummy, Expr, Mul, Piecewise, S, Symbol, exp, log, sqrt
from sympy.logic.boolalg import Boolean, false, true
from sympy.printing.precedence import PRECEDENCE

from derive.core import DeriveError
from derive.nodes.binders import Binder, as_expr, as_symbol, canonical
from derive.nodes.laws import REAL, Atoms, Density, Law, MarchenkoPastur, Noisy, Normal

__all__ = [
    "Average", "DivergentAverage", "GaussianAverage", "LogAverageExp", "MeasureAverage", "SpectralAverage",
    "TiltedAverage", "stein",
]


class DivergentAverage(DeriveError):
    """An average that does not exist. Attribute `condition`: what would have to hold for it to exist."""

    def __init__(self, message: str, condition: Boolean) -> None:
        super().__init__(message, given=message, allowed=str(condition))
        self.condition = condition


class Average(Binder, Expr):  # type: ignore[misc]
    """What all averages share: evaluation, signs, differentiation through the bound variables."""

    is_commutative = True
    precedence = PRECEDENCE["Mul"] - 1

    def _eval_evalf(self, prec: int) -> Expr | None:
        if self.free_symbols:
            return None
        import mpmath
        from sympy import Float, I, nan

        from derive.nodes.mp_eval import compile_mp

        with mpmath.workprec(prec + 10):
            value = compile_mp(self, ())()
            if isinstance(value, mpmath.mpc):
                return Float._new(value.real._mpf_, prec) + I * Float._new(value.imag._mpf_, prec)
            return nan if mpmath.isnan(value) else Float._new(mpmath.mpf(value)._mpf_, prec)

    def doit(self, **hints: Any) -> Expr:
        """The closed form where one is known (see the module's text for conditions), else the node.

        Raises: DivergentAverage where the average certainly does not exist.
        """
        if hints.get("deep", True):
            done = [a.doit(**hints) if isinstance(a, Expr) else a for a in self.args]
            bound = set(self._slots(len(self.args))[1])
            rebuilt = self.func(*(a if i in bound else d for i, (a, d) in enumerate(zip(self.args, done, strict=True))))
            if rebuilt != self:
                return rebuilt.doit(deep=False) if isinstance(rebuilt, Average) else rebuilt
        value, condition = self.closed_form()
        if value is None or value == self:
            return self
        if condition == true:
            return value
        if condition == false:
            raise DivergentAverage(f"{self} diverges", condition)
        return Piecewise((value, condition), (self, True))

    def closed_form(self) -> tuple[Expr | None, Boolean]:
        """The value in closed form and the condition under which it holds; None where no closed form is known.

        Raises: DivergentAverage where the average certainly does not exist.
        """
        return None, true

    def convergence(self) -> Boolean:
        """The condition under which the average exists, as far as it is known; true where nothing is in doubt."""
        try:
            return self.closed_form()[1]
        except DivergentAverage:
            return false

    def _law_derivative(self, symbol: Symbol) -> Expr:
        """The part of the derivative that comes from the law; unevaluated where the law's change is not known."""
        return S.Zero

    def _sign(self, assumption: str) -> bool | None:
        return True if getattr(self.scoped[0], assumption) else None

    def _eval_is_real(self) -> bool | None:
        return self._sign("is_real")

    def _eval_is_positive(self) -> bool | None:
        return self._sign("is_positive")

    def _eval_is_nonnegative(self) -> bool | None:
        return self._sign("is_nonnegative")

    def _eval_is_negative(self) -> bool | None:
        return self._sign("is_negative")

    def _eval_is_nonpositive(self) -> bool | None:
        return self._sign("is_nonpositive")


def _grouped(printer: Any, body: Expr) -> str:
    shown = printer._print(body)
    return rf"\left[{shown}\right]" if body.is_Add or body.is_Piecewise else str(shown)


class GaussianAverage(Average):
    """E f(x, y, ...) over independent standard normal variables.

    Arguments: body, then the variables.  Variables that do not occur are dropped and nested averages joined; an
    average of a constant is the constant.

    >>> from sympy import Symbol, cosh
    >>> x, h = Symbol("x", real=True), Symbol("h", real=True)
    >>> GaussianAverage(x**2 * cosh(h*x), x).doit().subs(h, 0)
    1
    """

    letter = "x"
    names = ("x", "y", "z", "u", "v", "w")

    def __new__(cls, body: Any, *variables: Any) -> Expr:
        expr = as_expr(body, "the body of an average")
        symbols = [as_symbol(v, "the variable of an average") for v in variables]
        if len(set(symbols)) != len(symbols):
            raise DeriveError("a variable of an average is named twice", given=str(symbols), allowed="distinct symbols")
        if isinstance(expr, GaussianAverage):
            inner, (expr,) = expr.open()
            symbols = [*symbols, *inner]
        symbols = [s for s in symbols if s in expr.free_symbols]
        if not symbols:
            return expr
        (expr,), bound = canonical([expr], symbols, cls.letter, REAL)
        if not set(bound) <= expr.free_symbols:  # renaming let the body simplify
            return GaussianAverage(expr, *bound)
        return Basic.__new__(cls, expr, *bound)

    @classmethod
    def _slots(cls, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (0,), tuple(range(1, count))

    body = property(lambda self: self.args[0])
    variables = property(lambda self: self.args[1:])

    def _eval_derivative(self, symbol: Symbol) -> Expr:
        variables, (body,) = self.open()
        return GaussianAverage(body.diff(symbol), *variables)

    def closed_form(self) -> tuple[Expr | None, Boolean]:
        from derive.nodes.gaussian_forms import gaussian_closed_form

        variables, (body,) = self.open()
        return gaussian_closed_form(body, variables)

    def convergence(self) -> Boolean:
        from derive.nodes.gaussian_forms import gaussian_convergence

        variables, (body,) = self.open()
        return gaussian_convergence(body, variables)

    def by_parts(self, variable: int = 0) -> Expr:
        """Stein's lemma E[x f] = E[df/dx] for the variable of that number; see `stein`."""
        return stein(self, variable)

    def _latex(self, printer: Any) -> str:
        (body,), variables = self.displayed()
        measure = r"\,".join(f"D{printer._print(v)}" for v in variables)
        return rf"\int {measure}\, {_grouped(printer, body)}"


def stein(node: Expr, variable: int = 0) -> Expr:
    """Stein's lemma as a rewriting: E[x f(x)] -> E[f'(x)], for terms that carry a factor x.

    Arguments: node (a GaussianAverage), variable (the number of the variable among node.variables).  The body is
    expanded; in each term one power of the variable is integrated by parts, terms without one stay.  Exact where f is
    absolutely continuous (jumps contribute through DiracDelta, as SymPy differentiates) and f(x) exp(-x^2/2) -> 0 at
    both ends.

    >>> from sympy import Function, Symbol
    >>> x, a, f = Symbol("x", real=True), Symbol("a", real=True), Function("f")
    >>> stein(GaussianAverage(x * f(a*x), x)) == GaussianAverage(f(a*x).diff(x), x)
    True
    """
    if not isinstance(node, GaussianAverage):
        raise DeriveError(f"Stein's lemma rewrites a GaussianAverage, not {node}", allowed="a GaussianAverage")
    if not 0 <= variable < len(node.variables):
        raise DeriveError(
            f"the average has {len(node.variables)} variables, number {variable} is asked",
            given=str(variable), allowed=f"0..{len(node.variables) - 1}",
        )
    variables, (body,) = node.open()
    x = variables[variable]
    terms = []
    for term in Add.make_args(body.expand()):
        rest, power = _split_power(term, x)
        new = (x ** (power - 1) * rest).diff(x) if power >= 1 else term
        terms.append(GaussianAverage(new, *variables))
    return Add(*terms)


def _split_power(term: Expr, x: Symbol) -> tuple[Expr, Expr]:
    """term = rest * x^power with a non-negative integer power."""
    for factor in Mul.make_args(term):
        base, power = factor.as_base_exp()
        if base == x and power.is_Integer and power > 0:
            return term / factor, power
    return term, S.Zero


class _OverLaw(Average):
    """An average of scoped expressions in one variable over one law; the law is the last argument."""

    letter = "xi"
    names = ("xi", "eta", "zeta", "chi")
    laws: tuple[type[Law], ...] = (Normal, Density, Atoms, Noisy)

    @property
    def law(self) -> Law:
        """The law that is averaged over."""
        law: Law = self.args[-1]
        return law

    @property
    def var(self) -> Symbol:
        """The bound variable."""
        return self.args[-2]

    @classmethod
    def _slots(cls, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(range(count - 2)), (count - 2,)

    @classmethod
    def _make(cls, scoped: Sequence[Any], var: Any, law: Any) -> Expr:
        if not isinstance(law, cls.laws):
            allowed = ", ".join(k.__name__ for k in cls.laws)
            raise DeriveError(f"{cls.__name__} is given the law {law}", given=str(law), allowed=allowed)
        exprs = [as_expr(e, "the body of an average") for e in scoped]
        symbol = as_symbol(var, "the variable of an average")
        closed, (bound,) = canonical(exprs, [symbol], cls.letter, law.point_assumptions)
        trivial = cls._trivial(closed, bound)
        return Basic.__new__(cls, *closed, bound, law) if trivial is None else trivial

    @staticmethod
    def _trivial(scoped: Sequence[Expr], var: Symbol) -> Expr | None:
        """The value where the first scoped expression does not contain the variable."""
        return None if var in scoped[0].free_symbols else scoped[0]

    def _eval_derivative(self, symbol: Symbol) -> Expr:
        if self.law.depends_on(symbol):
            return self._with_law_derivative(symbol)
        return self._body_derivative(symbol)

    def _body_derivative(self, symbol: Symbol) -> Expr:
        raise NotImplementedError

    def _with_law_derivative(self, symbol: Symbol) -> Expr:
        """Derivative in a parameter of the law: both parts, where the law's own change is known."""
        law_part = self._law_part(symbol)
        if law_part is None:
            return Derivative(self, symbol, evaluate=False)
        return self._body_derivative(symbol) + law_part

    def _law_part(self, symbol: Symbol) -> Expr | None:
        return None


def average(body: Expr, var: Symbol, law: Law) -> Expr:
    """The node of an average over a law: spectral for a spectrum, Gaussian for a normal law, else of a measure."""
    if isinstance(law, MarchenkoPastur):
        return SpectralAverage(body, var, law)
    return GaussianAverage(body, var) if isinstance(law, Normal) else MeasureAverage(body, var, law)


def _score(law: Density, variable: Symbol, symbol: Symbol) -> Expr | None:
    """d log pdf / d symbol at `variable`, where the support does not move."""
    if symbol in law.lower.free_symbols | law.upper.free_symbols:
        return None
    return Add(*(_log_derivative(factor, symbol) for factor in Mul.make_args(law.density(variable))))


def _log_derivative(factor: Expr, symbol: Symbol) -> Expr:
    if isinstance(factor, exp):
        return factor.args[0].diff(symbol)
    base, power = factor.as_base_exp()
    if symbol in power.free_symbols:
        return factor.diff(symbol) / factor
    return power * base.diff(symbol) / base


class MeasureAverage(_OverLaw):
    """E f(xi) over a law: Normal, Density, Atoms or Noisy.

    >>> from sympy.abc import x, k
    >>> MeasureAverage(x**2 + k, x, Atoms([-1, 1, 3], [1, 0, 0])).doit()
    k + 1
    """

    def __new__(cls, body: Any, var: Any, law: Any) -> Expr:
        return cls._make([body], var, law)

    body = property(lambda self: self.args[0])

    def _body_derivative(self, symbol: Symbol) -> Expr:
        (variable,), (body,) = self.open()
        return self.func(body.diff(symbol), variable, self.law)

    def _law_part(self, symbol: Symbol) -> Expr | None:
        (x,), (body,) = self.open()
        law = self.law
        frozen = Dummy(symbol.name, **symbol._assumptions_orig)
        still = body.subs(symbol, frozen)
        if isinstance(law, Atoms):
            total = Add(*(w * still.subs(x, p) for p, w in zip(law.points, law.weights, strict=True)))
            return total.diff(symbol).subs(frozen, symbol)
        if isinstance(law, Density):
            score = _score(law, x, symbol)
            return None if score is None else self.func(body * score, x, law)
        if isinstance(law, Noisy) and symbol not in law.base.free_symbols:
            return law.s.diff(symbol) * self.func(body.diff(x, 2), x, law) / 2
        if isinstance(law, Noisy):
            return noise_split(still, x, law).diff(symbol).subs(frozen, symbol)
        return None

    def closed_form(self) -> tuple[Expr | None, Boolean]:
        from derive.nodes.measure_forms import measure_closed_form

        (variable,), (body,) = self.open()
        return measure_closed_form(body, variable, self.law)

    def _latex(self, printer: Any) -> str:
        (body,), (variable,) = self.displayed()
        return rf"\mathbb{{E}}_{{{printer._print(variable)}}}\left[{printer._print(body)}\right]"


def noise_split(body: Expr, x: Symbol, law: Noisy) -> Expr:
    """E over Noisy(base, s) as the average over the base of the Gaussian average at base + sqrt(s) w."""
    w = Dummy("w", real=True)
    xi = Dummy("xi", **law.base.point_assumptions)
    return average(GaussianAverage(body.subs(x, xi + sqrt(law.s) * w), w), xi, law.base)


class SpectralAverage(_OverLaw):
    """<f(c)> over a spectrum: MarchenkoPastur, a finite one (Atoms) or a Density.

    >>> from sympy.abc import c, r
    >>> SpectralAverage(c**2, c, MarchenkoPastur(r)).doit()
    1 + 1/r
    """

    letter = "c"
    names = ("c", "d", "e", "f")
    laws = (MarchenkoPastur, Atoms, Density)

    def __new__(cls, body: Any, var: Any, law: Any) -> Expr:
        return cls._make([body], var, law)

    body = property(lambda self: self.args[0])

    def _body_derivative(self, symbol: Symbol) -> Expr:
        (variable,), (body,) = self.open()
        return self.func(body.diff(symbol), variable, self.law)

    def _law_part(self, symbol: Symbol) -> Expr | None:
        (c,), (body,) = self.open()
        if isinstance(self.law, MarchenkoPastur):
            frozen = Dummy(symbol.name, **symbol._assumptions_orig)
            still = self.func(body.subs(symbol, frozen), c, self.law).doit()
            return None if still.has(SpectralAverage) else still.diff(symbol).subs(frozen, symbol)
        return MeasureAverage._law_part(self, symbol)

    def closed_form(self) -> tuple[Expr | None, Boolean]:
        from derive.nodes.measure_forms import measure_closed_form
        from derive.nodes.spectral_forms import spectral_closed_form

        (variable,), (body,) = self.open()
        if isinstance(self.law, MarchenkoPastur):
            return spectral_closed_form(body, variable, self.law.ratio)
        return measure_closed_form(body, variable, self.law, node=SpectralAverage)

    def _latex(self, printer: Any) -> str:
        (body,), (variable,) = self.displayed()
        return rf"\left\langle {printer._print(body)} \right\rangle_{{{printer._print(variable)}}}"


class LogAverageExp(_OverLaw):
    """log E exp(g(xi)) over Normal, Density, Atoms or Noisy, evaluated in the log domain.

    Its derivative is the tilted average of dg.

    >>> from sympy import Rational
    >>> from sympy.abc import x, h
    >>> LogAverageExp(h*x, x, Atoms([-1, 1], [Rational(1, 2)] * 2)).doit()
    log_cosh(h)
    """

    def __new__(cls, g: Any, var: Any, law: Any) -> Expr:
        return cls._make([g], var, law)

    g = property(lambda self: self.args[0])

    def as_average(self) -> Expr:
        """log(E[exp(g)]), the form that overflows."""
        (x,), (g,) = self.open()
        return log(average(exp(g), x, self.law))

    def _eval_rewrite_as_log(self, *args: Expr, **hints: Any) -> Expr:
        return self.as_average()

    def _body_derivative(self, symbol: Symbol) -> Expr:
        (x,), (g,) = self.open()
        return TiltedAverage(g.diff(symbol), g, x, self.law)

    def _law_part(self, symbol: Symbol) -> Expr | None:
        (x,), (g,) = self.open()
        return _tilted_law_part(S.One, g, x, self.law, symbol)

    def closed_form(self) -> tuple[Expr | None, Boolean]:
        from derive.nodes.measure_forms import log_average_closed_form

        (variable,), (g,) = self.open()
        return log_average_closed_form(g, variable, self.law)

    def _latex(self, printer: Any) -> str:
        (g,), (variable,) = self.displayed()
        return rf"\log \mathbb{{E}}_{{{printer._print(variable)}}} e^{{{printer._print(g)}}}"


class TiltedAverage(_OverLaw):
    """E[f exp(g)] / E[exp(g)] over Normal, Density, Atoms or Noisy."""

    def __new__(cls, f: Any, g: Any, var: Any, law: Any) -> Expr:
        return cls._make([f, g], var, law)

    f = property(lambda self: self.args[0])
    g = property(lambda self: self.args[1])

    def as_average(self) -> Expr:
        """The ratio of plain averages, the form that overflows."""
        (x,), (f, g) = self.open()
        return average(f * exp(g), x, self.law) / average(exp(g), x, self.law)

    def _body_derivative(self, symbol: Symbol) -> Expr:
        (x,), (f, g) = self.open()
        df, dg = f.diff(symbol), g.diff(symbol)

        def tilted(h: Expr) -> Expr:
            return TiltedAverage(h, g, x, self.law)

        return tilted(df) + tilted(f * dg) - tilted(f) * tilted(dg)

    def _law_part(self, symbol: Symbol) -> Expr | None:
        (x,), (f, g) = self.open()
        with_f, alone = (_tilted_law_part(h, g, x, self.law, symbol) for h in (f, S.One))
        return None if with_f is None or alone is None else with_f - self * alone

    def closed_form(self) -> tuple[Expr | None, Boolean]:
        from derive.nodes.measure_forms import tilted_closed_form

        (variable,), (f, g) = self.open()
        return tilted_closed_form(f, g, variable, self.law)

    def _latex(self, printer: Any) -> str:
        (f, g), (variable,) = self.displayed()
        tilt = rf"{printer._print(variable)} \sim e^{{{printer._print(g)}}}"
        return rf"\left\langle {printer._print(f)} \right\rangle_{{{tilt}}}"


def _tilted_law_part(f: Expr, g: Expr, x: Symbol, law: Law, symbol: Symbol) -> Expr | None:
    """(d/dp of the law in E[f e^g]) / E[e^g]: the change that the law's parameter makes."""
    if isinstance(law, Density):
        score = _score(law, x, symbol)
        return None if score is None else TiltedAverage(f * score, g, x, law)
    if isinstance(law, Noisy) and symbol not in law.base.free_symbols:
        curvature = f.diff(x, 2) + 2 * f.diff(x) * g.diff(x) + f * (g.diff(x, 2) + g.diff(x) ** 2)
        return law.s.diff(symbol) * TiltedAverage(curvature, g, x, law) / 2
    if isinstance(law, Atoms):
        frozen = Dummy(symbol.name, **symbol._assumptions_orig)
        total = LogAverageExp(g, x, law)
        terms = []
        for point, weight in zip(law.points, law.weights, strict=True):
            value, tilt = (h.subs(symbol, frozen).subs(x, point) for h in (f, g))
            change = weight.diff(symbol) * value + weight * (value.diff(symbol) + value * tilt.diff(symbol))
            terms.append(change.subs(frozen, symbol) * exp(tilt.subs(frozen, symbol) - total))
        return Add(*terms)
    return None

