"""Activations: the function sigma by which the latent variables of a hidden manifold become a pattern.

An activation is an expression in one real variable h.  All that a derivation needs to know of it is found here once:
where it has kinks and jumps, its parity, its bounds, how fast it grows, its Gaussian moments, and whether it takes
finitely many values.  What cannot be an activation is refused in one line.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

import mpmath
import sympy as sp
from sympy import Expr, Lambda, Rational, S, Symbol, log, oo

from derive.core import DeriveError
from derive.nodes import GaussianAverage
from derive.nodes.mp_eval import compile_mp
from derive.nodes.piece_forms import Piece, straight_pieces
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["Activation", "H", "Piece"]

#: the variable of every activation
H = Symbol("h", real=True)
_SECONDS = 5.0
_KINKS = (sp.Abs, sp.sign, sp.Heaviside, sp.Max, sp.Min, sp.Piecewise)
_STEPS = (sp.floor, sp.ceiling, sp.frac)
_ALLOWED = "an expression in h that is real and finite for every real h, such as tanh(h), Max(0, h), sign(h)"
#: kinks further out than this carry no weight that a double could hold
_REACH = 40
_FAR, _FARTHER = mpmath.mpf(10) ** 6, mpmath.mpf(10) ** 12


def _refuse(reason: str, given: object, allowed: str = _ALLOWED, nearest: str | None = None) -> NoReturn:
    raise DeriveError(f"activation: {reason}", given=str(given), allowed=allowed, nearest=nearest)


@dataclass(frozen=True, eq=False)
class Activation:
    """A function of one real variable, checked.

    Args: given, one of: a SymPy function (`sympy.tanh`), a Lambda of one variable, a Python callable that takes a
    symbol and returns an expression, an expression with one symbol.  Text is not read here, see derive.parse.

    Raises: DeriveError where a symbol is left over, where the function is not real or not finite somewhere, where it
    is constant, or grows so fast that E sigma(h)^2 diverges.

    >>> import sympy as sp
    >>> Activation(sp.tanh), Activation(sp.tanh).parity
    (tanh(h), 'odd')
    >>> relu = Activation(lambda h: sp.Max(0, h))
    >>> relu.kinks, relu.rho, relu.mean
    ((0,), 1/2, sqrt(2)/(2*sqrt(pi)))
    >>> Activation(sp.sign).values
    (-1, 1)
    """

    given: object = field(repr=False)
    expr: Expr = field(init=False)

    def __post_init__(self) -> None:
        expr = _expression(self.given)
        object.__setattr__(self, "expr", expr)
        _check_symbols(expr)
        object.__setattr__(self, "expr", _ordinary_steps(expr))
        _check_defined(self.expr)
        _check_constant(self.expr)
        if self.square_growth >= 0.25:
            _refuse(
                f"E sigma(h)^2 diverges for {self}: it grows like exp({self.square_growth:.3g} h^2) or faster",
                self, "a function that grows slower than exp(h^2/4)",
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and self.expr == other.expr

    def __hash__(self) -> int:
        return hash(self.expr)

    def __str__(self) -> str:
        return str(self.expr)

    def __repr__(self) -> str:
        return str(self)

    def __call__(self, at: Expr) -> Expr:
        """sigma at an expression."""
        return self.expr.subs(H, at)

    # ------------------------------------------------------------------------------------------------- its shape

    @property
    def identity(self) -> bool:
        """Whether sigma(h) = h: the linear manifold."""
        return bool(self.expr == H or (len(self.pieces) == 1 and (self.pieces[0].expr - H).expand() == 0))

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The smooth pieces, from left to right; neighbours with one expression are one piece."""
        edges = [-oo, *_break_points(self.expr), oo]
        found: list[Piece] = []
        for lower, upper in itertools.pairwise(edges):
            expr = _branch(self.expr, Piece(lower, upper, self.expr).middle)
            if found and found[-1].expr == expr:
                found[-1] = Piece(found[-1].lower, upper, expr)
            else:
                found.append(Piece(lower, upper, expr))
        return tuple(found)

    @property
    def kinks(self) -> tuple[Expr, ...]:
        """Where sigma is not smooth: kinks and jumps."""
        return tuple(p.lower for p in self.pieces[1:])

    @cached_property
    def jumps(self) -> tuple[Expr, ...]:
        """Where sigma is not continuous."""
        return tuple(
            right.lower
            for left, right in zip(self.pieces, self.pieces[1:], strict=False)
            if abs(sp.N((right.expr - left.expr).subs(H, right.lower), 30)) > 1e-20
        )

    @cached_property
    def parity(self) -> str:
        """"odd", "even" or "" (neither)."""
        mirrored = self.expr.subs(H, -H)
        if mirrored == -self.expr or (mirrored + self.expr).expand() == 0:
            return "odd"
        if mirrored == self.expr or (mirrored - self.expr).expand() == 0:
            return "even"
        f = compile_mp(self.expr, (H,))
        points = [mpmath.mpf(k) / 7 for k in range(1, 40)]
        with mpmath.workdps(30):
            values = [(f(p), f(-p)) for p in points]
        size = [mpmath.mpf(10) ** -25 * (1 + abs(a)) for a, _ in values]
        if all(abs(a + b) < e for (a, b), e in zip(values, size, strict=True)):
            return "odd"
        return "even" if all(abs(a - b) < e for (a, b), e in zip(values, size, strict=True)) else ""

    @property
    def degree(self) -> int | None:
        """The largest degree of a piece where all pieces are polynomials, else None."""
        degrees = [sp.degree(p.expr, H) if p.expr.has(H) else 0 for p in self.pieces
                   if p.expr.is_polynomial(H)]
        return max(int(d) for d in degrees) if len(degrees) == len(self.pieces) else None

    @cached_property
    def values(self) -> tuple[Expr, ...] | None:
        """The values of a step function, in rising order; None where sigma takes infinitely many."""
        if self.degree != 0:
            return None
        return tuple(sorted({p.expr for p in self.pieces}, key=lambda v: sp.N(v, 30)))

    @property
    def entropy_bound(self) -> Expr:
        """Log of the number of values: no more nats per entry can be in a pattern; oo where there are infinitely many.

        On a manifold the entropy per entry is lower, since the entries of a pattern are not independent.
        """
        return oo if self.values is None else log(len(self.values))

    # ------------------------------------------------------------------------------------------------ its growth

    @cached_property
    def growth(self) -> tuple[float, float]:
        """The powers p with |sigma(h)| ~ |h|^p towards -oo and +oo; 0 where it is bounded, inf for an exponential."""
        return _power(self.expr, -1), _power(self.expr, +1)

    @cached_property
    def square_growth(self) -> float:
        """The limit of log|sigma(h)| / h^2 at infinity, the larger of both sides."""
        found = 0.0
        for side in (-1, +1):
            sizes = _sizes(self.expr, side)
            at, _size = sizes[-1]
            if at < _FARTHER:
                return float("inf")
            near, far = (s / r**2 for r, s in (sizes[-7], sizes[-1]))
            if far > 0 and abs(far - near) < 0.1 * far:
                found = max(found, float(far))
        return found

    def require_cumulant(self) -> None:
        """Raise DeriveError where log E exp(lam x xi), averaged over x = sigma(u), diverges for every lam > 0."""
        power = max(self.growth)
        if power < 1.98:
            return
        speed = f"like |h|^{power:.3g}" if power < 100 else "faster than any power of h"
        _refuse(
            f"the cumulant log E exp(lambda x xi) of the dense memory diverges for every lambda > 0: {self} grows "
            f"{speed}, at least quadratically, while the query x = sigma(u) is unbounded",
            self,
            "a function that grows slower than h^2 (diffusion takes any with finite E sigma^2)",
        )

    # ----------------------------------------------------------------------------------------------- its moments

    def average(self, of: Callable[[Expr], Expr]) -> Expr:
        """E of(sigma) over a standard normal h: exact where it can be found, else the average itself.

        `of` turns the expression of a piece into what is averaged on it.
        """
        if len(self.pieces) == 1 or self.degree is not None:
            within = [p.indicator(H) * of(p.expr) for p in self.pieces]
            node: Expr = sum((GaussianAverage(w, H) for w in within), S.Zero)
        else:
            cases = [(of(p.expr), p.upper > H) for p in self.pieces[:-1]]
            node = GaussianAverage(sp.Piecewise(*cases, (of(self.pieces[-1].expr), True)), H)
        try:
            return timebox(_SECONDS, node.doit)
        except (TimedOut, NotImplementedError, TypeError, ValueError, AttributeError, RecursionError):
            return node

    @cached_property
    def rho(self) -> Expr:
        """E sigma(h)^2, the norm of a pattern per N."""
        return self.average(lambda sigma: sigma**2)

    @cached_property
    def mean(self) -> Expr:
        """E sigma(h)."""
        return S.Zero if self.parity == "odd" else self.average(lambda sigma: sigma)

    @cached_property
    def slope_square(self) -> Expr:
        """E sigma'(h)^2; oo where sigma jumps."""
        if self.jumps:
            return oo
        return self.average(lambda sigma: sigma.diff(H) ** 2)

    @property
    def inner(self) -> str:
        """How a form quadratic in sigma is averaged over the field of one replica: "closed form" or "quadrature".

        The closed form is that of straight lines on intervals, by error functions.
        """
        return "quadrature" if straight_pieces(self.expr, H) is None else "closed form"


# ------------------------------------------------------------------------------------------------- what was given


def _expression(given: object) -> Expr:
    """The expression in H that was meant.

    Raises: DeriveError for anything that is none of the ways to give a function.
    """
    if isinstance(given, Activation):
        return given.expr
    if isinstance(given, str):
        _refuse(f"{given!r} is text; write the function with SymPy, or on the command line --activation", given)
    if isinstance(given, Lambda):
        if len(given.variables) != 1:
            _refuse(f"a function of {len(given.variables)} variables is given", given, "a function of one variable")
        return sp.sympify(given(H))
    if isinstance(given, Expr):
        free = given.free_symbols
        if len(free) > 1 and H not in free and not any(s.name == "h" for s in free):
            _refuse(f"which symbol is the variable? {given} has {_names(free)}", given)
        variable = next((s for s in free if s.name == "h"), None) or next(iter(free), H)
        return given.subs(variable, H)
    if callable(given):
        try:
            made = given(H)
        except DeriveError:
            raise
        except Exception as error:  # whatever a reader's own function raises becomes one line
            _refuse(f"the function given fails on a symbol: {type(error).__name__}: {error}", given,
                    "a function that takes a SymPy symbol and returns an expression, such as sympy.tanh")
        if isinstance(made, (int, float)) and not isinstance(made, bool):
            made = sp.sympify(made)
        if not isinstance(made, Expr):
            _refuse(f"the function given returns {type(made).__name__}, not an expression", given,
                    "a function that takes a SymPy symbol and returns an expression, such as sympy.tanh")
        return made
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        _refuse(f"{given} is constant: all patterns would be one", given)
    _refuse(f"{type(given).__name__} is not a function", given,
            "a SymPy function, a Lambda, a callable on a symbol, or an expression in one symbol")


def _names(symbols: Iterable[Symbol]) -> str:
    return ", ".join(sorted(map(str, symbols)))


def _check_symbols(expr: Expr) -> None:
    if not expr.free_symbols:
        _refuse(f"{expr} is constant: all patterns would be one", expr)
    if extra := expr.free_symbols - {H}:
        _refuse(f"the free symbol {_names(extra)} is left over in {expr}", expr,
                "an expression in h alone, with numbers in place of parameters")
    if unknown := expr.atoms(sp.core.function.AppliedUndef):
        _refuse(f"{_names({f.func for f in unknown})} is not a known function in {expr}", expr)
    if expr.has(sp.I):
        _refuse(f"{expr} has complex values", expr)
    if expr.has(sp.nan, sp.zoo, oo, -oo):
        _refuse(f"{expr} is not finite", expr)
    if steps := expr.atoms(*_STEPS):
        _refuse(f"{_names(steps)} has infinitely many jumps", expr, "a function with finitely many kinks and jumps")
    if expr.has(sp.DiracDelta):
        _refuse(f"{expr} is not a function: it contains DiracDelta", expr)


def _ordinary_steps(expr: Expr) -> Expr:
    """Decimals made exact; a step's value at its jump does not matter."""
    exact = expr.xreplace({f: Rational(str(f)) for f in expr.atoms(sp.Float)})
    return exact.replace(lambda e: isinstance(e, sp.Heaviside), lambda e: sp.Heaviside(e.args[0]))


# ----------------------------------------------------------------------------------------------------- is it one?


def _samples() -> list[mpmath.mpf]:
    """Points of the line, dense where the Gaussian weight is, without round numbers only."""
    inner = [mpmath.mpf(k) / 16 for k in range(-160, 161)]
    outer = [s * mpmath.mpf(k) + mpmath.mpf(k) / 97 for k in (11, 13, 17, 22, 29, 37) for s in (-1, 1)]
    return sorted(inner + outer, key=abs)


def _check_defined(expr: Expr) -> None:
    """Real and finite on the whole line: by the arguments of what has poles or branch cuts, then by values."""
    _check_poles(expr)
    f = compile_mp(expr, (H,))
    _check_explosion(f, expr)
    with mpmath.workdps(25):
        for at in _samples():
            shown = mpmath.nstr(at, 4)
            try:
                value = f(at)
            except (ZeroDivisionError, ValueError, OverflowError, mpmath.libmp.NoConvergence):
                _refuse(f"{expr} is not defined on the whole line: it has no value at h = {shown}", expr)
            if isinstance(value, mpmath.mpc):
                if abs(value.imag) > mpmath.mpf(10) ** -15 * (1 + abs(value)):
                    _refuse(f"{expr} is not defined on the whole line: it has complex values, at h = {shown} for one",
                            expr)
                value = value.real
            if not mpmath.isfinite(value):
                _refuse(f"{expr} is not defined on the whole line: it is not finite at h = {shown}", expr)


def _check_explosion(f: Callable[[mpmath.mpf], Any], expr: Expr) -> None:
    """No tower of exponentials: seen on the way out, before a number gets too large to be written."""
    with mpmath.workdps(25):
        for at in range(1, _REACH):
            for side in (-1, 1):
                if _log_size(f, mpmath.mpf(side * at) + mpmath.mpf(side) / 97) > 60 + 2 * at**2:
                    _refuse(f"E sigma(h)^2 diverges for {expr}: it exceeds exp(60 + 2 h^2) at h = {side * at}", expr,
                            "a function that grows slower than exp(h^2/4)")


def _check_poles(expr: Expr) -> None:
    """Denominators without zeros, logarithms of positive arguments, no function with poles at a zero of its cosine."""
    for power in expr.atoms(sp.Pow):
        if power.exp.is_negative and power.base.has(H):
            _no_zero(power.base, expr)
    for node in expr.atoms(sp.log, sp.tan, sp.sec, sp.cot, sp.csc, sp.coth, sp.csch):
        (argument, *_) = node.args
        if argument.has(H):
            below = {sp.log: argument, sp.tan: sp.cos(argument), sp.sec: sp.cos(argument)}
            _no_zero(below.get(type(node), sp.sinh(argument) if isinstance(node, (sp.coth, sp.csch))
                               else sp.sin(argument)), expr)
    for node in expr.atoms(sp.gamma, sp.loggamma, sp.digamma):
        _no_zero(sp.sin(sp.pi * node.args[-1]), expr)


def _no_zero(below: Expr, expr: Expr) -> None:
    zeros = _zeros(below, touching=True)
    if zeros:
        _refuse(f"{expr} is not defined on the whole line: it has no value at h = {_short(zeros[len(zeros) // 2])}",
                expr)


def _short(value: Expr) -> str:
    return str(value) if value.is_Rational and len(str(value)) < 8 else f"{float(value):.4g}"


def _check_constant(expr: Expr) -> None:
    f = compile_mp(expr, (H,))
    with mpmath.workdps(30):
        values = [mpmath.re(f(at)) for at in _samples()[::3]]
        spread = max(values) - min(values)
        if spread <= mpmath.mpf(10) ** -20 * (1 + max(map(abs, values))):
            _refuse(f"{expr} is constant ({mpmath.nstr(values[0], 6)}): all patterns would be one", expr)


# ------------------------------------------------------------------------------------------------ kinks and pieces


def _zeros(expr: Expr, *, touching: bool = False) -> list[Expr]:
    """Real zeros in rising order: exact for a polynomial, else to 40 digits within |h| <= 40.

    `touching`: zeros without a change of sign too.
    """
    if not expr.has(H):
        return []
    numerator = sp.fraction(sp.together(expr))[0] if not expr.is_polynomial(H) else expr
    if numerator.is_polynomial(H):
        return _polynomial_zeros(numerator)
    return _numeric_zeros(expr, touching)


def _polynomial_zeros(expr: Expr) -> list[Expr]:
    poly = sp.Poly(expr, H)
    if poly.degree() <= 2:
        return sorted({r for r in sp.roots(poly) if r.is_real}, key=lambda r: sp.N(r, 30))
    try:
        return list(dict.fromkeys(timebox(_SECONDS, sp.real_roots, poly)))
    except (TimedOut, NotImplementedError):
        return sorted({sp.re(r) for r in poly.nroots(n=40) if abs(sp.im(r)) < 1e-30})


def _numeric_zeros(expr: Expr, touching: bool) -> list[Expr]:
    f = compile_mp(expr, (H,))

    def value(at: mpmath.mpf) -> mpmath.mpf:
        try:
            return mpmath.re(f(at))
        except (ZeroDivisionError, ValueError, OverflowError):
            return mpmath.nan

    found: list[mpmath.mpf] = []
    with mpmath.workdps(45):
        grid = [mpmath.mpf(k) / 32 for k in range(-32 * _REACH, 32 * _REACH + 1)]
        values = [value(at) for at in grid]
        for i, (a, b) in enumerate(itertools.pairwise(grid)):
            fa, fb = values[i], values[i + 1]
            if fa == 0:
                found.append(a)
            elif fa * fb < 0:
                found.append(_bisected(value, a, b, fa))
            elif touching and i > 0 and abs(fa) < min(abs(values[i - 1]), abs(fb)):
                low = _lowest(value, grid[i - 1], b)
                if abs(value(low)) < mpmath.mpf(10) ** -18 * max(abs(values[i - 1]), abs(fb)):
                    found.append(low)
    return [_recognised(at) for at in found]


def _bisected(f: Callable[[mpmath.mpf], mpmath.mpf], a: mpmath.mpf, b: mpmath.mpf, fa: mpmath.mpf) -> mpmath.mpf:
    for _ in range(150):
        middle = (a + b) / 2
        fm = f(middle)
        if fm == 0:
            return middle
        a, b, fa = (middle, b, fm) if fa * fm > 0 else (a, middle, fa)
    return (a + b) / 2


def _lowest(f: Callable[[mpmath.mpf], mpmath.mpf], a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    for _ in range(90):
        one, two = a + (b - a) / 3, b - (b - a) / 3
        a, b = (a, two) if abs(f(one)) < abs(f(two)) else (one, b)
    return (a + b) / 2


def _recognised(at: mpmath.mpf) -> Expr:
    """A simple rational where the number is one, else 40 digits."""
    near = Rational(sp.nsimplify(sp.Float(str(at), 40), rational=True, tolerance=1e-12))
    return near if abs(at - mpmath.mpf(near.p) / near.q) < mpmath.mpf(10) ** -38 and near.q < 1000 else sp.Float(
        mpmath.nstr(at, 40), 40)


def _break_points(expr: Expr) -> list[Expr]:
    """Where a kink or a jump may be, in rising order."""
    sides: list[Expr] = [k.args[0] for k in expr.atoms(sp.Abs, sp.sign, sp.Heaviside)]
    for node in expr.atoms(sp.Max, sp.Min):
        sides += [a - b for i, a in enumerate(node.args) for b in node.args[:i]]
    for node in expr.atoms(sp.Piecewise):
        sides += [r.lhs - r.rhs for _, c in node.args for r in c.atoms(sp.core.relational.Relational)]
    points = {z for side in sides for z in _zeros(side)}
    ordered = sorted(points, key=lambda z: sp.N(z, 40))
    distinct = [z for i, z in enumerate(ordered) if i == 0 or sp.N(z - ordered[i - 1], 30) > 1e-25]
    return distinct


def _branch(expr: Expr, at: Expr) -> Expr:
    """The smooth expression that holds around a point."""
    if not expr.has(*_KINKS):
        return expr
    if isinstance(expr, sp.Piecewise):
        for value, condition in expr.args:
            if condition.subs(H, at) == True:  # noqa: E712
                return _branch(value, at)
        _refuse(f"{expr} has no case for h = {_short(at)}", expr)
    arguments = [_branch(a, at) for a in expr.args]
    if isinstance(expr, (sp.Max, sp.Min)):
        pick = max if isinstance(expr, sp.Max) else min
        return pick(arguments, key=lambda a: sp.N(a.subs(H, at), 40))
    if isinstance(expr, (sp.Abs, sp.sign, sp.Heaviside)):
        positive = bool(sp.N(arguments[0].subs(H, at), 40) > 0)
        if isinstance(expr, sp.Abs):
            return arguments[0] if positive else -arguments[0]
        return S.One if positive else S.Zero if isinstance(expr, sp.Heaviside) else S.NegativeOne
    made: Expr = expr.func(*arguments)
    return made.expand() if made.is_polynomial(H) else made


# --------------------------------------------------------------------------------------------------------- growth


def _log_size(f: Callable[[mpmath.mpf], Any], at: mpmath.mpf) -> mpmath.mpf:
    try:
        size = abs(f(at))
    except (ZeroDivisionError, ValueError, OverflowError, MemoryError):
        return mpmath.inf
    return mpmath.log(size) if size > 0 else -mpmath.inf


def _sizes(expr: Expr, side: int) -> list[tuple[mpmath.mpf, mpmath.mpf]]:
    """(r, log of the largest |sigma| around side * r) for r = 10, 100, ..., 10^12; cut where it exceeds 10 r^2."""
    f, found = compile_mp(expr, (H,)), []
    with mpmath.workdps(40):
        for k in range(1, 13):
            at = mpmath.mpf(10) ** k
            size = max(_log_size(f, side * at * stretch) for stretch in (mpmath.mpf("0.51"), mpmath.mpf("0.73"), 1))
            found.append((at, size))
            if size > 10 * at**2:
                break
    return found


def _power(expr: Expr, side: int) -> float:
    sizes = dict(_sizes(expr, side))
    if _FARTHER not in sizes:
        return float("inf")
    near, far = sizes[_FAR], sizes[_FARTHER]
    power = (far - max(near, -mpmath.log(_FAR))) / mpmath.log(_FARTHER / _FAR)
    return float("inf") if power > 1e4 else max(0.0, round(float(power), 3))
