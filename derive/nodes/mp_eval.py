"""Evaluation of any expression with nodes to any number of digits.

An expression becomes a tree of closures over mpmath numbers.  Integrals are cut at kinks, edges and peaks, cells are
integrated by Gauss-Legendre rules whose order grows with the precision, and are halved until the decay of their
Legendre coefficients says that the error is below the precision; cells at a singular edge are done by the
double-exponential rule.  What does not vary inside an integral is computed once.  A kernel exp(quadratic) in the
bound variable is found when the expression is compiled, and its window is laid out by completing the square.
An integral that does not reach its precision raises DeriveError; nothing is returned on trust.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from operator import mul
from typing import Any

import mpmath
import sympy as sp
from mpmath import mp, mpf
from mpmath.libmp import mpf_add, mpf_exp, mpf_mul, mpf_sub
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import And, BooleanFalse, BooleanTrue, Not, Or

from derive.core import DeriveError
from derive.nodes.averages import GaussianAverage, LogAverageExp, MeasureAverage, SpectralAverage, TiltedAverage
from derive.nodes.binders import Binder
from derive.nodes.extremum import ArgExtremum, Extremum
from derive.nodes.laws import Atoms, Density, Law, MarchenkoPastur, Noisy, Normal

__all__ = ["compile_mp", "evaluate"]

Number = Any  # mpf or mpc
Env = list[Any]
Closure = Callable[[Env], Number]

_GUARD = 20  # bits kept beyond the asked precision in one integral
_ROUNDS = 40  # halvings of a cell
_CELLS = 4000  # cells of one integral
_FEW = 2  # points with noise that are integrated one by one
_NEAR, _WIDE = 2, 16  # widths between neighbours and from end to end below which they are integrated together
_MEMO = 50_000  # remembered values of one node


def compile_mp(expr: Any, args: Sequence[sp.Symbol] = ()) -> Callable[..., Number]:
    """A function of `args` that evaluates the expression at the current mpmath precision.

    Arguments: expr (any SymPy expression, nodes included), args (its free symbols in the order of the call).
    The function takes numbers or anything mpmath converts (strings included: they are read at the precision of the
    call) and returns an mpf, or an mpc where the value is complex.

    Raises: DeriveError for a symbol that is not among args, for a function that has no value, and, in the call, for
    an integral that diverges or does not reach the precision.

    >>> from sympy import Symbol
    >>> x, h = Symbol("x", real=True), Symbol("h", real=True)
    >>> f = compile_mp(GaussianAverage(sp.exp(h*x), x), (h,))
    >>> with mpmath.workdps(30):
    ...     print(f(1), mpmath.sqrt(mpmath.e))
    1.64872127070012814684865078781 1.64872127070012814684865078781
    """
    root = sp.sympify(expr)
    missing = sorted(str(s) for s in root.free_symbols - set(args))
    if missing:
        raise DeriveError(
            f"the value of {', '.join(missing)} is needed",
            given=str(expr), allowed=f"arguments {tuple(map(str, args))}",
        )
    compiler = _Compiler()
    slots = [compiler.bind(a, 0) for a in args]
    closure = compiler.closure(root)

    def function(*values: Any) -> Number:
        if len(values) != len(slots):
            raise TypeError(f"{len(slots)} values are needed, {len(values)} are given")
        env: Env = [None] * compiler.size
        prec = mp.prec
        with mpmath.workprec(prec + _GUARD):
            for slot, value in zip(slots, values, strict=True):
                env[slot] = _number(value)
            result = closure(env)
        return +result

    return function


def evaluate(expr: Any, values: Mapping[sp.Symbol, Any] | None = None, digits: int = 15) -> Number:
    """The value of an expression, right to `digits` digits.

    The value is computed at two precisions, with different rules, and again at higher ones until two agree.

    Raises: DeriveError where they do not agree.

    >>> x = sp.Symbol("x", real=True)
    >>> print(mpmath.nstr(evaluate(GaussianAverage(sp.Abs(x), x), digits=20), 20))
    0.79788456080286535588
    """
    values = values or {}
    function = compile_mp(expr, tuple(values))
    bits = int(digits * 3.3219281) + 8
    before = None
    for extra in (0, 24, 96, 400, 1000):
        with mpmath.workprec(bits + extra):
            after = function(*values.values())
        with mpmath.workprec(bits):
            if before is not None and _agree(before, after, digits) and (after or extra > 100):
                return +after
        before = after
    raise DeriveError(
        f"could not reach {digits} digits: the last values are {mpmath.nstr(before, digits)}", given=str(expr)
    )


def _agree(a: Number, b: Number, digits: int) -> bool:
    if mpmath.isnan(a) or mpmath.isnan(b):
        return bool(mpmath.isnan(a) and mpmath.isnan(b))
    return bool(a == b or abs(a - b) <= abs(b) * mpf(10) ** (-digits) / 2)


def _number(value: Any) -> Number:
    if isinstance(value, sp.Basic):
        return compile_mp(value)()
    if isinstance(value, str) and "/" in value:
        top, bottom = value.split("/")
        return mpf(top) / mpf(bottom)
    return mp.convert(value) if not isinstance(value, float) else mpf(value)


# -- closures ------------------------------------------------------------------------------------------------------


@dataclass
class _Scope:
    """The inside of one binder: the slots of its variables, and what is computed once before it is entered."""

    variables: frozenset[sp.Symbol]
    preamble: list[tuple[int, Closure]] = field(default_factory=list)
    known: dict[sp.Basic, Closure] = field(default_factory=dict)

    def enter(self, env: Env) -> None:
        for slot, closure in self.preamble:
            env[slot] = closure(env)


class _Compiler:
    """Turns expressions into closures over one list of slots."""

    def __init__(self) -> None:
        self.size = 0
        self.slots: dict[sp.Symbol, int] = {}
        self.levels: dict[sp.Symbol, int] = {}
        self.scopes: list[_Scope] = [_Scope(frozenset())]
        self.guarded = 0  # inside a case of a Piecewise, which may have no value where it does not hold

    def new_slot(self) -> int:
        self.size += 1
        return self.size - 1

    def bind(self, symbol: sp.Symbol, level: int) -> int:
        self.slots[symbol], self.levels[symbol] = self.new_slot(), level
        return self.slots[symbol]

    @contextmanager
    def scope(self, *variables: sp.Symbol) -> Iterator[_Scope]:
        """Compile inside a binder of fresh variables."""
        scope = _Scope(frozenset(variables))
        self.scopes.append(scope)
        for v in variables:
            self.bind(v, len(self.scopes) - 1)
        try:
            yield scope
        finally:
            self.scopes.pop()

    def closure(self, expr: Any) -> Closure:
        """The closure of an expression; parts that vary less often than the current scope are moved out of it."""
        expr = sp.sympify(expr)
        level = max((self.levels[s] for s in expr.free_symbols if s in self.levels), default=0)
        here = len(self.scopes) - 1
        known = self.scopes[-1].known
        if expr in known:
            return known[expr]
        if level < here and not self.guarded and not (expr.is_Symbol or expr.is_Integer):
            slot = self.new_slot()
            inner, self.scopes = self.scopes, self.scopes[: level + 1]
            try:
                body = self.closure(expr)
            finally:
                self.scopes = inner
            self.scopes[level + 1].preamble.append((slot, body))
            known[expr] = lambda env: env[slot]
        else:
            known[expr] = self._make(expr)
        return known[expr]

    def unshared(self, expr: Any) -> Closure:
        """A closure that computes everything anew, at the precision at which it is called."""
        scopes = self.scopes
        self.scopes = [*scopes[:-1], _Scope(scopes[-1].variables)]
        self.guarded += 1
        try:
            return self.closure(expr)
        finally:
            self.scopes, self.guarded = scopes, self.guarded - 1

    def _make(self, expr: Any) -> Closure:
        if expr.is_Symbol:
            return self._symbol(expr)
        if isinstance(expr, Binder):
            return _node(self, expr)
        if expr.is_Integer:
            integer = mpf(int(expr))
            return lambda env: integer
        if expr.is_Rational:
            p, q = int(expr.p), int(expr.q)
            return lambda env: mpf(p) / q
        if expr.is_Float:
            number = mp.make_mpf(expr._mpf_)
            return lambda env: number
        if expr in _CONSTANTS:
            constant = _CONSTANTS[expr]
            return lambda env: constant()
        if expr.is_Add:
            return self._add(expr)
        if expr.is_Mul:
            return self._mul(expr)
        if expr.is_Pow:
            return self._pow(expr)
        if isinstance(expr, sp.Piecewise):
            return self._piecewise(expr)
        if isinstance(expr, sp.Derivative | sp.Subs | sp.Integral | sp.Sum):
            done = expr.doit()
            if done == expr:
                raise DeriveError(f"{expr} has no value", given=str(expr), allowed="an expression with a value")
            return self.closure(done)
        return self._function(expr)

    def _symbol(self, expr: Any) -> Closure:
        if expr not in self.slots:
            raise DeriveError(f"the value of {expr} is needed", given=str(expr))
        slot = self.slots[expr]
        return lambda env: env[slot]

    def _add(self, expr: Any) -> Closure:
        fixed, moving = self._split(expr)
        first, *rest = [self.closure(a) for a in (*([fixed] if fixed is not None else []), *moving)]
        if len(rest) == 1:
            (second,) = rest
            return lambda env: first(env) + second(env)

        def add(env: Env) -> Number:
            total = first(env)
            for f in rest:
                total = total + f(env)
            return total

        return add

    def _mul(self, expr: Any) -> Closure:
        fixed, moving = self._split(expr)
        first, *rest = [self.closure(a) for a in (*([fixed] if fixed is not None else []), *moving)]
        if len(rest) == 1:
            (second,) = rest
            return lambda env: first(env) * second(env)

        def mul(env: Env) -> Number:
            total = first(env)
            for f in rest:
                if not total:
                    return total
                total = total * f(env)
            return total

        return mul

    def _split(self, expr: Any) -> tuple[Any, list[Any]]:
        """The terms (factors) that do not vary in the current scope, as one, and the others."""
        own = self.scopes[-1].variables
        still = [a for a in expr.args if not (a.free_symbols & own)]
        moving = [a for a in expr.args if a.free_symbols & own]
        if not own or len(still) < 2 or not moving:
            return None, list(expr.args)
        return expr.func(*still), moving

    def _pow(self, expr: Any) -> Closure:
        base, exponent = expr.args
        if base == sp.E:
            return self._function(sp.exp(exponent, evaluate=False))
        x = self.closure(base)
        if exponent.is_Integer:
            n = int(exponent)
            if n == 2:
                def square(env: Env) -> Number:
                    value = x(env)
                    return value * value

                return square
            return (lambda env: 1 / x(env)) if n == -1 else (lambda env: x(env) ** n)
        if exponent == sp.Rational(1, 2):
            return lambda env: mpmath.sqrt(x(env))
        if exponent == -sp.Rational(1, 2):
            return lambda env: 1 / mpmath.sqrt(x(env))
        y = self.closure(exponent)
        return lambda env: mpmath.power(x(env), y(env))

    def _piecewise(self, expr: Any) -> Closure:
        self.guarded += 1
        cases = [(self.closure(value), self.condition(condition)) for value, condition in expr.args]
        self.guarded -= 1

        def piecewise(env: Env) -> Number:
            for value, condition in cases:
                if condition(env):
                    return value(env)
            return mpmath.nan

        return piecewise

    def condition(self, expr: Any) -> Callable[[Env], bool]:
        """The closure of a relation, or of relations joined by and, or, not."""
        if isinstance(expr, BooleanTrue | BooleanFalse | bool):
            truth = bool(expr)
            return lambda env: truth
        if isinstance(expr, And | Or):
            parts = [self.condition(a) for a in expr.args]
            joined = all if isinstance(expr, And) else any
            return lambda env: joined(p(env) for p in parts)
        if isinstance(expr, Not):
            inner = self.condition(expr.args[0])
            return lambda env: not inner(env)
        if isinstance(expr, Relational) and expr.rel_op in _RELATIONS:
            compare = _RELATIONS[expr.rel_op]
            left, right = self.closure(expr.lhs), self.closure(expr.rhs)
            return lambda env: bool(compare(left(env), right(env)))
        if isinstance(expr, sp.Contains):
            return self.condition(expr.as_set().as_relational(expr.args[0]))
        raise DeriveError(f"the condition {expr} cannot be evaluated", given=str(expr), allowed="relations")

    def _function(self, expr: Any) -> Closure:
        if isinstance(expr, sp.DiracDelta):
            raise DeriveError("a delta function has no value; doit() carries out the average over it", given=str(expr),
                              allowed="functions of numbers")
        parts = [self.closure(a) for a in expr.args]
        function = _FUNCTIONS.get(expr.func) or getattr(expr, "_value", None)
        if function is None:
            if isinstance(expr, AppliedUndef) or not isinstance(expr, sp.Function):
                raise DeriveError(f"{expr} has no value", given=str(expr), allowed="known functions of numbers")
            function = _by_sympy(expr.func)
        if len(parts) == 1:
            (only,) = parts
            return lambda env: function(only(env))
        return lambda env: function(*[p(env) for p in parts])


def _by_sympy(kind: Any) -> Callable[..., Number]:
    """Evaluation of a single function at numbers by SymPy itself."""

    def value(*xs: Number) -> Number:
        made = kind(*(sp.Float._new(x._mpf_, mp.prec) if isinstance(x, mpf) else sp.sympify(x) for x in xs))
        done = made.evalf(mpmath.libmp.prec_to_dps(mp.prec) + 3)
        if not done.is_number or done.has(kind):
            raise DeriveError(f"{kind.__name__} has no numeric value", given=str(made))
        return done._to_mpmath(mp.prec)

    return value


def _heaviside(x: Number, middle: Number = None) -> Number:
    if x == 0:
        return mpf(1) / 2 if middle is None else middle
    return mpf(1) if x > 0 else mpf(0)


def _log(x: Number) -> Number:
    return mpmath.log(x) if x else mpmath.ninf


_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}
_CONSTANTS: Mapping[Any, Callable[[], Number]] = {
    sp.pi: lambda: +mpmath.pi, sp.E: lambda: +mpmath.e, sp.EulerGamma: lambda: +mpmath.euler,
    sp.Catalan: lambda: +mpmath.catalan, sp.GoldenRatio: lambda: +mpmath.phi, sp.I: lambda: mpmath.mpc(0, 1),
    sp.oo: lambda: mpmath.inf, -sp.oo: lambda: mpmath.ninf, sp.nan: lambda: mpmath.nan, sp.zoo: lambda: mpmath.inf,
}
_FUNCTIONS: Mapping[Any, Callable[..., Number]] = {
    sp.exp: mpmath.exp, sp.log: lambda x, *base: _log(x) if not base else _log(x) / _log(base[0]),
    sp.sin: mpmath.sin, sp.cos: mpmath.cos, sp.tan: mpmath.tan, sp.cot: mpmath.cot, sp.sec: mpmath.sec,
    sp.csc: mpmath.csc, sp.asin: mpmath.asin, sp.acos: mpmath.acos, sp.atan: mpmath.atan, sp.acot: mpmath.acot,
    sp.atan2: mpmath.atan2, sp.sinh: mpmath.sinh, sp.cosh: mpmath.cosh, sp.tanh: mpmath.tanh, sp.coth: mpmath.coth,
    sp.sech: mpmath.sech, sp.csch: mpmath.csch, sp.asinh: mpmath.asinh, sp.acosh: mpmath.acosh,
    sp.atanh: mpmath.atanh, sp.acoth: mpmath.acoth, sp.asech: mpmath.asech, sp.acsch: mpmath.acsch,
    sp.sinc: mpmath.sinc, sp.erf: mpmath.erf, sp.erfc: mpmath.erfc, sp.erfi: mpmath.erfi,
    sp.erfinv: mpmath.erfinv, sp.erfcinv: lambda x: mpmath.erfinv(1 - x), sp.gamma: mpmath.gamma,
    sp.loggamma: mpmath.loggamma, sp.digamma: mpmath.digamma, sp.polygamma: lambda n, x: mpmath.psi(int(n), x),
    sp.lowergamma: lambda s, x: mpmath.gammainc(s, 0, x), sp.uppergamma: lambda s, x: mpmath.gammainc(s, x),
    sp.beta: mpmath.beta, sp.factorial: mpmath.factorial, sp.binomial: mpmath.binomial, sp.zeta: mpmath.zeta,
    sp.LambertW: lambda x, k=0: mpmath.lambertw(x, int(k)), sp.polylog: mpmath.polylog,
    sp.besseli: mpmath.besseli, sp.besselj: mpmath.besselj, sp.besselk: mpmath.besselk, sp.bessely: mpmath.bessely,
    sp.elliptic_k: mpmath.ellipk, sp.elliptic_e: mpmath.ellipe, sp.Ei: mpmath.ei, sp.expint: mpmath.expint,
    sp.li: mpmath.li, sp.Si: mpmath.si, sp.Ci: mpmath.ci, sp.hyper: lambda a, b, x: mpmath.hyper(a, b, x),
    sp.Abs: abs, sp.sign: mpmath.sign, sp.re: mpmath.re, sp.im: mpmath.im, sp.conjugate: mpmath.conj,
    sp.arg: mpmath.arg, sp.floor: mpmath.floor, sp.ceiling: mpmath.ceil, sp.Heaviside: _heaviside,
    sp.Max: max, sp.Min: min,
}


# -- integration ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """A Gauss-Legendre rule: nodes, and rows of fixed-point numbers (units of 2**-bits).

    The first row are the weights, the others weights times Legendre polynomials, by which the decay of the
    coefficients is read: two of middle degree and four of the highest.
    """

    nodes: list[mpf]
    bits: int
    rows: list[list[int]]


@lru_cache(maxsize=32)
def _gauss(order: int, prec: int) -> _Rule:
    from flint import arb, ctx

    saved = ctx.prec
    bits = prec + 20
    try:
        ctx.prec = bits
        pairs = [arb.legendre_p_root(order, k, weight=True) for k in range(order)]
        nodes, weights = [_to_mpf(x) for x, _ in pairs], [_to_mpf(w) for _, w in pairs]
    finally:
        ctx.prec = saved
    with mpmath.workprec(bits):
        degrees = (order // 2, order // 2 + 1, order - 4, order - 3, order - 2, order - 1)
        found = {0: weights}
        older, old = [mpf(1)] * order, list(nodes)
        for k in range(1, order):
            if k in degrees:
                found[k] = [w * p * (2 * k + 1) / 2 for w, p in zip(weights, old, strict=True)]
            new = [((2 * k + 1) * x * p - k * q) / (k + 1) for x, p, q in zip(nodes, old, older, strict=True)]
            older, old = old, new
        rows = [[int(mpmath.ldexp(v, bits)) for v in found[k]] for k in (0, *degrees)]
    return _Rule(nodes, bits, rows)


def _to_mpf(x: Any) -> mpf:
    man, exp = x.mid().man_exp()
    return mp.ldexp(mpf(int(man)), int(exp))


Values = tuple[Number, ...]


@dataclass(frozen=True)
class _Cell:
    """A cell from point + sign*low to point + sign*high; where `edge`, the point may be singular."""

    point: mpf
    sign: int
    low: mpf
    high: mpf
    edge: bool = False
    depth: int = 0

    @property
    def touches(self) -> bool:
        """Whether the cell ends at a point that may be singular."""
        return self.edge and not self.low

    def halves(self) -> tuple[_Cell, _Cell]:
        middle = (self.low + self.high) / 2
        return (_Cell(self.point, self.sign, self.low, middle, self.edge, self.depth + 1),
                _Cell(self.point, self.sign, middle, self.high, self.edge, self.depth + 1))


@dataclass
class _Result:
    sums: list[Number]
    moduli: list[Number]
    error: list[Number]


def _cell_rule(f: Callable[[mpf], Values], cell: _Cell, order: int) -> _Result:
    rule = _gauss(order, mp.prec)
    half, middle = (cell.high - cell.low) / 2, (cell.high + cell.low) / 2
    columns = list(zip(*(f(cell.point + cell.sign * (middle + half * x)) for x in rule.nodes), strict=True))
    sums, moduli, errors = [], [], []
    for column in columns:
        integral, *sizes = _dots(column, rule)
        sums.append(half * integral)
        moduli.append(half * mpmath.fsum(map(abs, column)) * 2 / order)
        middle, older, last = (max(map(abs, sizes[i:i + 2])) for i in (0, 2, 4))
        last = max(last, older)
        far = min(mpf(1), last / middle) if middle else mpf(0 if not last else 1)
        near = min(mpf(1), max(map(abs, sizes[4:])) / older) if older else mpf(0 if not last else 1)
        errors.append(2 * half * last * max(far**2, near ** (order // 4)))
    return _Result(sums, moduli, errors)


def _dots(column: Sequence[Number], rule: _Rule) -> list[Number]:
    """Dot products of a column with the rows of a rule, in fixed point below the largest entry."""
    if any(isinstance(v, mpmath.mpc) for v in column):
        real, imag = (_dots([part(v) for v in column], rule) for part in (mpmath.re, mpmath.im))
        return [mpmath.mpc(a, b) for a, b in zip(real, imag, strict=True)]
    top = max(v._mpf_[2] + v._mpf_[3] if v else -(1 << 62) for v in map(mpf, column))
    if top == -(1 << 62):
        return [mpf(0)] * len(rule.rows)
    unit = top - rule.bits
    whole = []
    for v in column:
        sign, man, exp, _ = mpf(v)._mpf_
        if not man and exp:
            return [mpmath.nan] * len(rule.rows)
        shift = exp - unit
        n = man << shift if shift >= 0 else man >> -shift
        whole.append(-n if sign else n)
    return [mpmath.ldexp(mpf(int(sum(map(mul, row, whole)))), unit - rule.bits) for row in rule.rows]


@lru_cache(maxsize=8)
def _double_exponential(prec: int, level: int) -> list[tuple[mpf, mpf]]:
    """(fraction, weight) of the new nodes of a level on (0, 1), for the half that counts from the near end."""
    with mpmath.workprec(prec + 20):
        step = mpf(1) / 2**level
        out = []
        k = 0 if level == 0 else 1
        while True:
            t = k * step
            e = mpmath.exp(-mpmath.pi * mpmath.sinh(t))
            fraction = e / (1 + e)
            out.append((fraction, mpmath.pi * mpmath.cosh(t) * e / (1 + e) ** 2))
            if mpmath.mag(fraction) < -12 * prec:
                return out
            k += 1 if level == 0 else 2


def _edge_rule(f: Callable[[mpf], Values], cell: _Cell, prec: int, goal: list[Number]) -> _Result | None:
    """The double-exponential rule on a cell that touches its point; None where it does not converge."""
    length = cell.high - cell.low
    sums: list[Number] | None = None
    raw: list[Number] = []
    mods: list[Number] = []
    base = mp.prec
    for level in range(0, 9):
        pairs = _double_exponential(prec, level)
        for side in (0, 1):
            quiet = 0
            for i, (fraction, weight) in enumerate(pairs):
                if side == 1 and i == 0 and level == 0:
                    continue
                offset = length * fraction if side == 0 else length - length * fraction
                bits = base + (max(0, mpmath.mag(cell.point) - mpmath.mag(offset)) if cell.point else 0)
                with mpmath.workprec(bits):
                    values = f(cell.point + cell.sign * (cell.low + offset))
                terms = [weight * v for v in values]
                if not raw:
                    raw, mods = [mpf(0)] * len(terms), [mpf(0)] * len(terms)
                raw = [a + b for a, b in zip(raw, terms, strict=True)]
                mods = [a + abs(b) for a, b in zip(mods, terms, strict=True)]
                small = all(abs(t) <= m * mpf(2) ** (-prec - 8) for t, m in zip(terms, mods, strict=True))
                quiet = quiet + 1 if small else 0
                if quiet >= 3:
                    break
                if mpmath.mag(fraction) < -11 * prec and not small:
                    return None
        new = [length * r / 2**level for r in raw]
        moduli = [length * m / 2**level for m in mods]
        if sums is not None:
            change = [abs(a - b) for a, b in zip(new, sums, strict=True)]
            # doubling the nodes squares the error
            size = [max(m, g) for m, g in zip(moduli, goal, strict=True)]
            error = [s * min(mpf(1), c / s) ** 2 * 64 if s else mpf(0) for c, s in zip(change, size, strict=True)]
            if level > 2 and all(e <= s * mpf(2) ** -prec for e, s in zip(error, size, strict=True)):
                return _Result(new, moduli, error)
        sums = new
    return None


def _integrate(f: Callable[[mpf], Values], cells: list[_Cell], what: str) -> tuple[list[Number], list[Number]]:
    """Integrals of the components of f over the cells, relative to the integrals of their moduli."""
    prec = mp.prec - _GUARD
    order = 10 + int(0.3 * prec)
    done: list[_Result] = []
    active, spent = cells, 0
    while active:
        results = [_cell_rule(f, c, order) for c in active]
        spent += len(active)
        everything = [r.moduli for r in (*done, *results)]
        totals = [sum(column) for column in zip(*everything, strict=True)]
        allowed = [t * mpf(2) ** (-prec - 8) for t in totals]
        again: list[_Cell] = []
        for cell, result in zip(active, results, strict=True):
            if all(e <= a for e, a in zip(result.error, allowed, strict=True)):
                done.append(result)
                continue
            sharper = _edge_rule(f, cell, prec + 8, totals) if cell.touches and cell.depth > 0 else None
            if sharper is not None:
                done.append(sharper)
            else:
                again.extend(cell.halves())
        if again and (spent + len(again) > _CELLS or again[0].depth > prec + _ROUNDS):
            raise DeriveError(
                f"could not reach {int(prec * 0.30103)} digits: the integral {what} does not converge "
                f"near {mpmath.nstr(again[0].point + again[0].sign * again[0].low, 8)}",
                given=what, allowed="an integrand that is smooth between kinks",
            )
        active = again
    sums = [mpmath.fsum(column) for column in zip(*(r.sums for r in done), strict=True)]
    moduli = [mpmath.fsum(column) for column in zip(*(r.moduli for r in done), strict=True)]
    return sums, moduli



def _cells(edges: list[mpf], special: set[mpf]) -> list[_Cell]:
    """Cells between sorted edges, counted from the special points among them."""
    out: list[_Cell] = []
    zero = mpf(0)
    for a, b in pairwise(edges):
        if b <= a:
            continue
        if a in special and b in special:
            half = (b - a) / 2
            out += [_Cell(a, 1, zero, half, True), _Cell(b, -1, zero, half, True)]
        elif b in special:
            out.append(_Cell(b, -1, zero, b - a, True))
        else:
            out.append(_Cell(a, 1, zero, b - a, a in special))
    return out


def _size(values: Values) -> mpf:
    return max((abs(v) for v in values), default=mpf(0))


def _prune(f: Callable[[mpf], Values], cells: list[_Cell]) -> list[_Cell]:
    """Without the cells that cannot matter: far below the largest, and no maximum near."""
    tops: list[mpf] = []
    for c in cells:
        length = c.high - c.low
        tops.append(length * max(_size(f(c.point + c.sign * (c.low + length * q))) for q in _PROBES))
    best = max(tops)
    level = best * mpf(2) ** (-mp.prec - 10)

    def matters(i: int) -> bool:
        left, right = tops[max(i - 1, 0)], tops[min(i + 1, len(tops) - 1)]
        return bool(tops[i] >= level or left >= level or right >= level or (tops[i] >= left and tops[i] >= right))

    return [c for i, c in enumerate(cells) if matters(i)]


_PROBES = (mpf(1) / 64, mpf(1) / 2, mpf(63) / 64)


def _tail(f: Callable[[mpf], Values], start: mpf, sign: int, steps: Iterator[mpf], what: str) -> list[mpf]:
    """Edges outward from `start` until the integrand, times the distance, is negligible and falling."""
    edges: list[mpf] = []
    best, before = mpf(0), None
    for step in steps:
        edges.append(start + sign * step)
        now = _size(f(edges[-1])) * step
        best = max(best, now, _size(f(start + sign * step * 3 / 4)) * step)
        falling = before is not None and now <= before
        if falling and now <= best * mpf(2) ** (-mp.prec - 6) and len(edges) > 3:
            return edges
        if mpmath.isnan(now) or mpmath.mag(step) > 40 * mp.prec:
            break
        before = now
    end = "+oo" if sign > 0 else "-oo"
    raise DeriveError(f"the average of {what} diverges at {end}", given=what, allowed="an integrand that decays")


def _steps(scale: mpf) -> Iterator[mpf]:
    """4, 8, 12, 16, 24, 32, 48, ... times the scale: even where a Gaussian lives, then growing."""
    for k in (4, 8, 12, 16):
        yield k * scale
    k = 1
    while True:
        yield scale * 24 * 2 ** (k - 1)
        yield scale * 32 * 2 ** (k - 1)
        k += 1


def _trapezoid(f: Callable[[mpf], Values], center: mpf, width: mpf, reach: Any = 0) -> list[Number] | None:
    """The integral over the line by the trapezoid rule, halved; None where it does not converge at once.

    The sums go at least `reach` and three widths far from the centre, and on until the terms are negligible.
    """
    prec = mp.prec - _GUARD
    step = 2 * mpmath.pi * mpmath.sqrt(2 / ((prec + 16) * mpmath.ln2)) * width
    tiny = mpf(2) ** (-prec - 16)

    def comb(shift: mpf, h: mpf) -> tuple[list[Number], list[Number]] | None:
        sums: list[Number] = []
        mods: list[Number] = []
        for sign in (1, -1):
            k, quiet = (0 if sign == 1 else 1), 0
            while quiet < 2 or k * h < 3 * width + reach:
                terms = f(center + sign * k * h + shift)
                if not sums:
                    sums, mods = [mpf(0)] * len(terms), [mpf(0)] * len(terms)
                sums = [a + b for a, b in zip(sums, terms, strict=True)]
                mods = [a + abs(b) for a, b in zip(mods, terms, strict=True)]
                quiet = quiet + 1 if all(abs(t) <= m * tiny for t, m in zip(terms, mods, strict=True)) else 0
                k += 1
                if k > 400 + 4 * prec:
                    return None
        return [h * a for a in sums], [h * a for a in mods]

    old = comb(mpf(0), step)
    for _ in range(3):
        new = comb(step / 2, step) if old is not None else None
        if old is None or new is None:
            return None
        gaps = [abs(a - b) / m if m else mpf(0) for a, b, m in zip(old[0], new[0], new[1], strict=True)]
        mean = ([(a + b) / 2 for a, b in zip(old[0], new[0], strict=True)],
                [(a + b) / 2 for a, b in zip(old[1], new[1], strict=True)])
        if all(g**2 * 1024 < mpf(2) ** (-prec - 8) for g in gaps):
            return mean[0]
        old, step = mean, step / 2
    return None


# -- nodes ---------------------------------------------------------------------------------------------------------


@dataclass
class _Exponent:
    """g in the exponent: coefficients of its powers where it is at most quadratic in the variable."""

    whole: Closure
    square: Closure | None = None
    linear: Closure | None = None
    constant: Closure | None = None


@dataclass
class _Body:
    """What is integrated against a law: exp(g) times each of the factors."""

    slot: int
    scope: _Scope
    factors: list[Closure]
    exponent: _Exponent | None
    kinks: _Kinks
    layers: list[Closure]
    deep: bool
    what: str


_ROUGH = (sp.Abs, sp.sign, sp.Max, sp.Min, sp.Heaviside, sp.Piecewise, sp.floor, sp.ceiling)


def _rough_points(expr: Any, var: sp.Symbol) -> list[Any]:
    """Expressions in `var` at whose zeros the expression has a kink or a jump."""
    found: dict[Any, None] = {}
    stack = [expr]
    while stack:
        e = stack.pop()
        if var not in e.free_symbols or isinstance(e, Binder):
            continue
        if isinstance(e, sp.Abs | sp.sign | sp.Heaviside):
            found[e.args[0]] = None
        elif isinstance(e, sp.Max | sp.Min):
            args = list(e.args)
            found.update({a - b: None for i, a in enumerate(args) for b in args[:i]})
        elif isinstance(e, sp.Piecewise):
            for _, condition in e.args:
                found.update({r.lhs - r.rhs: None for r in sp.sympify(condition).atoms(Relational)})
        stack.extend(e.args)
    return [e for e in found if var in e.free_symbols]


@dataclass(frozen=True)
class _Kinks:
    """Points where an integrand is not smooth: known ones, and zeros of expressions that have to be looked for."""

    known: list[Closure]
    sought: list[Closure]

    def __bool__(self) -> bool:
        return bool(self.known or self.sought)

    def points(self, slot: int, env: Env, edges: list[mpf]) -> set[mpf]:
        """The points between the first and the last edge."""
        found: set[mpf] = {mpmath.re(k(env)) for k in self.known}
        for kink in self.sought:
            found |= _zeros(kink, slot, env, edges)
        return {x for x in found if edges[0] < x < edges[-1]}


def _kinks(c: _Compiler, exprs: Sequence[Any], var: sp.Symbol) -> _Kinks:
    """The kinks of expressions in a variable; called inside its scope."""
    known: dict[Any, None] = {}
    sought: dict[Any, None] = {}
    for expr in dict.fromkeys(k for e in exprs for k in _rough_points(e, var)):
        parts = _quadratic(expr, var)
        if parts is not None and parts[0] == 0 and parts[1].is_zero is False:
            known[-parts[2] / parts[1]] = None
        else:
            sought[expr] = None
    return _Kinks([c.closure(k) for k in known], [c.closure(k) for k in sought])


def _layer_widths(expr: Any, var: sp.Symbol) -> list[Any]:
    """Widths of the kernels inside nested averages that move with `var`: the scale of layers in `var`."""
    found: dict[Any, None] = {}
    for node in sp.preorder_traversal(expr):
        if isinstance(node, LogAverageExp | TiltedAverage) and var in node.free_symbols:
            parts = _quadratic(node.g, node.var)
            if parts is not None and parts[0] != 0 and parts[0].free_symbols <= expr.free_symbols - {var}:
                found[1 / sp.sqrt(-2 * parts[0])] = None
    return list(found)


def _quadratic(g: Any, var: sp.Symbol) -> tuple[Any, Any, Any] | None:
    """Coefficients (of the square, linear, constant) of g in the variable, None where it is no such polynomial."""
    if not g.is_polynomial(var):
        return None
    slope = g.diff(var)
    square = slope.diff(var) / 2
    if var in square.free_symbols:
        square = sp.expand(square)
        if var in square.free_symbols:
            return None
    return square, slope.subs(var, 0), g.subs(var, 0)


def _body(c: _Compiler, var: sp.Symbol, factors: Sequence[Any], g: Any, scope: _Scope, extra: Sequence[Any]) -> _Body:
    """Compile what is inside of a binder; called inside its scope."""
    everything = [*factors, *([g] if g is not None else []), *extra]
    layers = [w for e in everything for w in _layer_widths(e, var)]
    exponent = None
    if g is not None:
        parts = _quadratic(g, var)
        exponent = _Exponent(c.closure(g), *(c.unshared(p) for p in parts or ()))
    return _Body(
        c.slots[var], scope, [c.closure(f) for f in factors], exponent, _kinks(c, everything, var),
        [c.closure(w) for w in dict.fromkeys(layers)], any(e.has(Binder) for e in everything), str(sp.Tuple(*factors)),
    )


def _node(c: _Compiler, node: Any) -> Closure:
    """The closure of a node, which remembers values that it was asked for."""
    free = sorted(node.free_symbols, key=lambda s: s.name)
    made = _make_node(c, node)
    slots = [c.slots[s] for s in free]
    memo: dict[Any, Number] = {}

    def remembered(env: Env) -> Number:
        key = (mp.prec, *(env[i] for i in slots))
        if key not in memo:
            if len(memo) > _MEMO:
                memo.clear()
            with mpmath.workprec(mp.prec + _GUARD):
                memo[key] = made(env)
        return memo[key]

    return remembered


def _make_node(c: _Compiler, node: Any) -> Closure:
    if isinstance(node, GaussianAverage):
        return _gaussian(c, node)
    if isinstance(node, MeasureAverage | SpectralAverage):
        integral = _over(c, node.law, node.var, [node.body], None)
        return lambda env: integral(env)[1][0]
    if isinstance(node, LogAverageExp):
        integral = _over(c, node.law, node.var, [sp.S.One], node.g)

        def log_average(env: Env) -> Number:
            shift, (total,) = integral(env)
            return shift + _log(total)

        return log_average
    if isinstance(node, TiltedAverage):
        integral = _over(c, node.law, node.var, [sp.S.One, node.f], node.g)

        def tilted(env: Env) -> Number:
            _, (total, weighted) = integral(env)
            return weighted / total

        return tilted
    if isinstance(node, Extremum | ArgExtremum):
        return _extremum(c, node)
    raise DeriveError(f"{type(node).__name__} cannot be evaluated", given=str(node), allowed="averages and extrema")


Integral = Callable[[Env], tuple[Number, list[Number]]]  # (shift, integrals): the average is exp(shift) * integral


def _gaussian(c: _Compiler, node: Any) -> Closure:
    """An average over several normal variables, one inside the other."""
    first, *rest = node.bound_symbols
    body = node.args[0]
    if rest:
        body = GaussianAverage(body, *rest)
    integral = _over(c, Normal(), first, [body], None)
    return lambda env: integral(env)[1][0]


def _over(c: _Compiler, law: Law, var: sp.Symbol, factors: Sequence[Any], g: Any) -> Integral:
    """Integrals of exp(g) times the factors over a law."""
    if isinstance(law, Atoms):
        return _over_atoms(c, law, var, factors, g)
    if isinstance(law, Normal):
        return _over_normal(c, var, factors, g)
    if isinstance(law, Density):
        return _over_density(c, law, var, factors, g)
    if isinstance(law, MarchenkoPastur):
        return _over_spectrum(c, law, var, factors, g)
    if isinstance(law, Noisy):
        w = sp.Dummy("w", real=True)
        if isinstance(law.base, Normal):
            wide = sp.sqrt(1 + law.s) * w
            return _over_normal(c, w, [f.subs(var, wide) for f in factors], None if g is None else g.subs(var, wide))
        if isinstance(law.base, Atoms):
            return _over_noisy_atoms(c, law, var, factors, g)
        return _over_noisy(c, law, var, factors, g)
    raise DeriveError(f"an average over {law} cannot be evaluated", given=str(law), allowed="the laws of derive.nodes")


def _values(body: _Body, env: Env, x: mpf) -> list[Number]:
    env[body.slot] = x
    return [f(env) for f in body.factors]


def _over_atoms(c: _Compiler, law: Atoms, var: sp.Symbol, factors: Sequence[Any], g: Any) -> Integral:
    """Sums; the points are put in symbolically, so that a difference from a point cancels exactly."""
    weights = [c.closure(w) for w in law.weights]
    rows = [[c.closure(f.subs(var, point)) for f in factors] for point in law.points]
    exponents = [c.closure(sp.S.Zero if g is None else g.subs(var, point)) for point in law.points]

    def integral(env: Env) -> tuple[Number, list[Number]]:
        tilts = [e(env) for e in exponents]
        top = max(mpmath.re(t) for t in tilts)
        if not mpmath.isfinite(top):
            return mpf(0), [top if top > 0 else mpf(0)] * len(factors)
        mass = [w(env) * mpmath.exp(t - top) for w, t in zip(weights, tilts, strict=True)]
        columns = zip(*([f(env) for f in row] for row in rows), strict=True)
        return top, [mpmath.fdot(zip(mass, column, strict=True)) for column in columns]

    return integral


def _over_noisy_atoms(c: _Compiler, law: Noisy, var: sp.Symbol, factors: Sequence[Any], g: Any) -> Integral:
    """Normal laws about points: one integral over all of them where they are close and nothing tilts, else one each."""
    w = sp.Dummy("w", real=True)
    together = _mixture(c, law, var, factors, w) if g is None and len(law.base.points) > _FEW else None
    parts = []
    for point in law.base.points:
        moved = point + sp.sqrt(law.s) * w
        tilt = None if g is None else g.subs(var, moved)
        parts.append(_over_normal(c, w, [f.subs(var, moved) for f in factors], tilt))
    weights = [c.closure(weight) for weight in law.base.weights]
    gaps = [c.closure((b - a) / sp.sqrt(law.s)) for a, b in pairwise(law.base.points)]

    def integral(env: Env) -> tuple[Number, list[Number]]:
        if together is not None:
            apart = [gap(env) for gap in gaps]
            if all(0 < gap < _NEAR for gap in apart) and sum(apart) < _WIDE:
                return together(env)
        done = [p(env) for p in parts]
        top = max(shift for shift, _ in done)
        mass = [weight(env) * mpmath.exp(shift - top) for weight, (shift, _) in zip(weights, done, strict=True)]
        return top, [mpmath.fdot(zip(mass, column, strict=True)) for column in zip(*(v for _, v in done), strict=True)]

    return integral


def _mixture(c: _Compiler, law: Noisy, var: sp.Symbol, factors: Sequence[Any], w: sp.Symbol) -> Integral:
    """One integral over the sum of normal densities, in widths about the middle one."""
    points, width = law.base.points, sp.sqrt(law.s)
    middle = points[len(points) // 2]
    shifts = [(p - middle) / width for p in points]
    mixed = sp.Add(*(k * sp.exp(d * w - d**2 / 2) for k, d in zip(law.base.weights, shifts, strict=True)))
    return _over_normal(c, w, [f.subs(var, middle + width * w) * mixed for f in factors], None)


@dataclass
class _Window:
    """g around a reference point: g - shift = (square * d + slope) * d with d the distance; the scale of exp(g)."""

    reference: mpf
    shift: Number
    square: mpf
    slope: mpf
    scale: mpf | None
    center: mpf | None = None
    width: mpf | None = None

    def exp(self, x: mpf) -> mpf:
        """exp(g(x) - shift)."""
        prec = mp.prec
        d = mpf_sub(x._mpf_, self.reference._mpf_, prec, "n")
        inner = mpf_add(mpf_mul(self.square._mpf_, d, prec, "n"), self.slope._mpf_, prec, "n")
        return mp.make_mpf(mpf_exp(mpf_mul(inner, d, prec, "n"), prec, "n"))

    def marks(self) -> set[mpf]:
        """Edges of cells around the reference, until exp(g) is negligible."""
        if self.scale is None:
            return set()
        floor = -(mp.prec + 40) * mpmath.ln2
        out: set[mpf] = {self.reference}
        reach = 2 * mpmath.sqrt(-floor / 2)
        for sign in (-1, 1):
            step = reach / 4 if self.scale == self.width else mpf(8)
            while True:
                d = sign * step * self.scale
                out.add(self.reference + d)
                if (self.square * d + self.slope) * d < floor or step > mpf(2) ** 40:
                    break
                step = 2 * step
        return out


def _window(exponent: _Exponent, env: Env, lower: mpf, upper: mpf, more: mpf) -> _Window | None:
    """Completing the square of g - more x^2 / 2 on an interval; None where g is not quadratic or not real."""
    if exponent.square is None or exponent.linear is None or exponent.constant is None:
        return None
    a, b, k = (f(env) for f in (exponent.square, exponent.linear, exponent.constant))
    if not all(isinstance(v, mpf) and mpmath.isfinite(v) for v in (a, b, k)):
        return None
    first = _completed(a - more / 2, b, k, lower, upper)
    lost = max((mpmath.mag(v) for v in (k, b * first.reference, a * first.reference**2) if v), default=0)
    if lost <= 0:
        return first
    with mpmath.workprec(mp.prec + lost):
        a, b, k = (f(env) for f in (exponent.square, exponent.linear, exponent.constant))
        return _completed(a - more / 2, b, k, lower, upper)


def _completed(a: mpf, b: mpf, k: mpf, lower: mpf, upper: mpf) -> _Window:
    """a x^2 + b x + k around its largest value on the interval."""
    center = width = None
    if a < 0:
        center, width = -b / (2 * a), 1 / mpmath.sqrt(-2 * a)
        at = min(max(center, lower), upper)
    else:
        ends = [e for e in (lower, upper) if mpmath.isfinite(e)] or [mpf(0)]
        at = max(ends, key=lambda e: (a * e + b) * e)
    slope = 2 * a * at + b if at != center else mpf(0)
    scales = [w for w in (width, 1 / abs(slope) if slope else None) if w is not None]
    return _Window(at, (a * at + b) * at + k, a, slope, min(scales) if scales else None, center, width)


def _over_normal(c: _Compiler, var: sp.Symbol, factors: Sequence[Any], g: Any) -> Integral:
    with c.scope(var) as scope:
        body = _body(c, var, factors, g, scope, ())

    def integral(env: Env) -> tuple[Number, list[Number]]:
        scope.enter(env)
        norm = 1 / mpmath.sqrt(2 * mpmath.pi)
        window = None
        if body.exponent is not None:
            window = _window(body.exponent, env, mpmath.ninf, mpmath.inf, mpf(1))
            if window is not None and window.width is None:
                raise DeriveError("the average of exp(quadratic) over a normal law diverges", given=body.what,
                                  allowed="a coefficient of the square below 1/2")
        if window is not None and window.width is not None:
            center, width, shift = window.reference, window.width, window.shift
        else:
            center, width, shift = mpf(0), mpf(1), mpf(0)

        def f(x: mpf) -> Values:
            if window is not None:
                weight = window.exp(x)
            else:
                env[body.slot] = x
                tilt = body.exponent.whole(env) if body.exponent is not None else 0
                weight = mpmath.exp(tilt - x * x / 2)
            return tuple(weight * v for v in _values(body, env, x))

        lost = max(0, mpmath.mag(center) - mpmath.mag(width)) if center else 0
        with mpmath.workprec(mp.prec + lost):
            sums = None if body.kinks else _trapezoid(f, center, width)
            if sums is None:
                cells = _line_cells(f, body, env, center, width)
                sums = _integrate(f, _prune(f, cells), body.what)[0]
            return shift, [s * norm for s in sums]

    return integral


def _line_cells(f: Callable[[mpf], Values], body: _Body, env: Env, center: mpf, width: mpf) -> list[_Cell]:
    """Cells of the whole line around a centre, cut at kinks."""
    left = _tail(f, center, -1, _steps(width), body.what)
    right = _tail(f, center, 1, _steps(width), body.what)
    edges = [*reversed(left), center, *right]
    return _with_kinks(body, env, edges, set())


def _with_kinks(body: _Body, env: Env, edges: list[mpf], special: set[mpf]) -> list[_Cell]:
    """Cells between the edges, cut at the zeros of the kinks' expressions, which become special."""
    roots = body.kinks.points(body.slot, env, edges)
    return _cells(sorted({*edges, *roots}), special | roots)


def _zeros(kink: Closure, slot: int, env: Env, edges: list[mpf]) -> set[mpf]:
    """Zeros of an expression where it changes sign between samples, at full precision."""

    def value(x: mpf) -> mpf:
        env[slot] = x
        return mpmath.re(kink(env))

    samples: list[mpf] = []
    for a, b in pairwise(edges):
        samples += [a + (b - a) * k / 16 for k in range(16)]
    samples.append(edges[-1])
    signs = [(x, value(x)) for x in samples]
    roots = {x for x, v in signs if v == 0}
    for (a, fa), (b, fb) in pairwise(signs):
        if fa * fb < 0:
            roots.add(_bracketed(value, a, b, fa, fb))
    return roots


def _bracketed(f: Callable[[mpf], mpf], a: mpf, b: mpf, fa: mpf, fb: mpf) -> mpf:
    """The root of f between a and b, where it has values of opposite signs: bisection made fast by interpolation."""
    side = 0
    for k in range(mp.prec * 4):
        if abs(b - a) <= mpmath.ldexp(max(abs(a), abs(b)), 4 - mp.prec):
            break
        x = (a * fb - b * fa) / (fb - fa) if k % 4 != 3 else (a + b) / 2
        if not min(a, b) < x < max(a, b):
            x = (a + b) / 2
        fx = f(x)
        if fx == 0:
            return x
        if fx * fb < 0:
            a, fa, side = b, fb, 0
            b, fb = x, fx
        else:
            b, fb = x, fx
            fa = fa / 2 if side == 1 else fa
            side = 1
        if abs(fa) > 0 and abs(b - a) <= mpmath.ldexp(max(abs(a), abs(b)), 4 - mp.prec):
            break
    return b


def _over_density(c: _Compiler, law: Density, var: sp.Symbol, factors: Sequence[Any], g: Any) -> Integral:
    ends = [c.closure(law.lower), c.closure(law.upper)]
    with c.scope(var) as scope:
        pdf = law.density(var)
        body = _body(c, var, factors, g, scope, (pdf,))
        weight = c.closure(pdf)
    profile = _Profile(weight, body.slot, [c.slots[v] for v in law.free_symbols])

    def integral(env: Env) -> tuple[Number, list[Number]]:
        scope.enter(env)
        lower, upper = ends[0](env), ends[1](env)
        window = None if body.exponent is None else _window(body.exponent, env, lower, upper, mpf(0))
        shift = mpf(0)
        factors_ = [None if f is sp.S.One else made for f, made in zip(factors, body.factors, strict=True)]
        if window is not None:
            shift = window.shift
        elif body.exponent is not None:
            shift = _largest(body, env, profile.points(env, lower, upper))

        def f(x: mpf) -> Values:
            env[body.slot] = x
            mass = weight(env)
            if window is not None:
                mass = mass * window.exp(x)
            elif body.exponent is not None:
                mass = mass * mpmath.exp(body.exponent.whole(env) - shift)
            return tuple(mass if factor is None else mass * factor(env) for factor in factors_)

        scales = [w(env) for w in body.layers]
        scales = [w for w in scales if isinstance(w, mpf) and w > 0 and mpmath.isfinite(w)]
        lost = 0
        if window is not None and window.scale is not None and window.reference:
            lost = max(0, mpmath.mag(window.reference) - mpmath.mag(window.scale))
        elif body.exponent is not None and shift and mpmath.isfinite(shift):
            lost = max(0, mpmath.mag(shift))
        with mpmath.workprec(mp.prec + lost):
            sums = _try_trapezoid(f, body, env, window, lower, upper, lambda: profile.peaks(env, lower, upper))
            if sums is None and body.exponent is None and not body.kinks:
                sums = profile.trapezoid(f, env, lower, upper, mpf(0), False)
            if sums is not None:
                return shift, sums
            edges, special = profile.edges(env, lower, upper, f, body.what)
            edges |= _graded(special, scales, edges, 4) if scales else set()
            if body.exponent is None and not body.deep:
                shortest = min(b - a for a, b in pairwise(sorted(edges)))
                edges |= _graded(special, [shortest * mpf(2) ** -48], edges, 64)
            if window is not None and window.scale is not None:
                edges |= window.marks()
            kept = sorted(e for e in edges if lower <= e <= upper)
            cells = _with_kinks(body, env, kept, special)
            return shift, _integrate(f, _prune(f, cells), body.what)[0]

    return integral


def _try_trapezoid(f: Callable[[mpf], Values], body: _Body, env: Env, window: _Window | None, lower: mpf, upper: mpf,
                   peaks: Callable[[], list[tuple[mpf, mpf]]]) -> list[Number] | None:
    """The trapezoid rule where a kernel lies well inside the support and nothing has a kink; None elsewhere."""
    if window is None or window.width is None or window.center is None or body.kinks.sought:
        return None
    reach = window.width * mpmath.sqrt(2 * (mp.prec + 20) * mpmath.ln2)
    low, high = window.center - reach, window.center + reach
    if not (lower < low and high < upper) or body.kinks.points(body.slot, env, [low, high]):
        return None
    if mpmath.isfinite(lower) and mpmath.isfinite(upper):
        return _trapezoid(f, window.center, window.width)
    found = peaks()
    if len(found) != 1:
        return None
    ((peak, width),) = found
    if width < window.width:
        return _trapezoid(f, peak, width)
    return _trapezoid(f, window.center, window.width)


def _largest(body: _Body, env: Env, points: list[mpf]) -> mpf:
    """The largest exponent among some points: a size to divide by."""
    assert body.exponent is not None
    values = []
    for x in points:
        env[body.slot] = x
        values.append(mpmath.re(body.exponent.whole(env)))
    return max((v for v in values if mpmath.isfinite(v)), default=mpf(0))


def _graded(special: set[mpf], scales: list[mpf], edges: set[mpf], ratio: int) -> set[mpf]:
    """Edges at distances scale * ratio^k from the special points, up to half way to the next edge."""
    out: set[mpf] = set()
    ordered = sorted(edges)
    for point in special:
        for sign in (-1, 1):
            ahead = [e for e in ordered if (e - point) * sign > 0]
            if not ahead:
                continue
            room = min(abs(e - point) for e in ahead)
            for scale in scales:
                step = 4 * scale
                while step < room:
                    out.add(point + sign * step)
                    step = step * ratio
    return out


@dataclass
class _Profile:
    """Where a density lives: its ends, and for an infinite support the peaks and their widths."""

    weight: Closure
    slot: int
    parameters: list[int]
    memo: dict[Any, list[tuple[mpf, mpf]]] = field(default_factory=dict)

    def peaks(self, env: Env, lower: mpf, upper: mpf) -> list[tuple[mpf, mpf]]:
        """Peaks of the density on an infinite support with their widths, found at low precision."""
        key = (lower, upper, *(env[i] for i in self.parameters))
        if key not in self.memo:
            if len(self.memo) > 1000:
                self.memo.clear()
            with mpmath.workprec(53):
                self.memo[key] = self._peaks(env, lower, upper)
        return self.memo[key]

    def trapezoid(self, f: Callable[[mpf], Values], env: Env, lower: mpf, upper: mpf, s: mpf,
                  rough: bool) -> list[Number] | None:
        """The trapezoid rule over the line for a density with added variance s, where that is the shorter way.

        With noise everything is analytic, on its scale; without it the support has to be the line.
        """
        root = mpmath.sqrt(s)
        if mpmath.isfinite(lower) and mpmath.isfinite(upper):
            half = (upper - lower) / 2
            return _trapezoid(f, (upper + lower) / 2, root, half) if half < 60 * root else None
        if mpmath.isfinite(lower) or mpmath.isfinite(upper):
            return None
        ((peak, width), *others) = self.peaks(env, lower, upper)
        top = self._mass(env, peak)
        thick = any(self._mass(env, peak + k * width) > top * mpf(2) ** -40 for k in (-40, 40))
        if others or thick or (rough and width > 20 * root):
            return None
        return _trapezoid(f, peak, root if rough else mpmath.sqrt(width**2 + s))

    def _mass(self, env: Env, x: mpf) -> mpf:
        env[self.slot] = x
        try:
            value = abs(self.weight(env))
        except ZeroDivisionError:
            return mpmath.inf
        return mpf(0) if mpmath.isnan(value) else value

    def points(self, env: Env, lower: mpf, upper: mpf) -> list[mpf]:
        """Some points of the support, dense enough to judge sizes."""
        if mpmath.isfinite(lower) and mpmath.isfinite(upper):
            return [lower + (upper - lower) * (2 * k + 1) / 64 for k in range(32)]
        peaks = self.peaks(env, lower, upper)
        return [p + k * w for p, w in peaks for k in (-2, -1, 0, 1, 2) if lower < p + k * w < upper]

    def edges(self, env: Env, lower: mpf, upper: mpf, f: Callable[[mpf], Values],
              what: str) -> tuple[set[mpf], set[mpf]]:
        """Edges of cells, and which of them may be singular."""
        special = {e for e in (lower, upper) if mpmath.isfinite(e)}
        edges = set(special)
        if len(special) == 2:
            return edges, special
        peaks = self.peaks(env, lower, upper)
        for p, w in peaks:
            edges |= {e for e in (p - 4 * w, p, p + 4 * w) if lower < e < upper}
        width = max(w for _, w in peaks)
        if upper == mpmath.inf:
            start = max([p for p, _ in peaks] + ([lower] if mpmath.isfinite(lower) else []))
            edges |= {start, *_tail(f, start, 1, _steps(width), what)}
        if lower == mpmath.ninf:
            start = min([p for p, _ in peaks] + ([upper] if mpmath.isfinite(upper) else []))
            edges |= {start, *_tail(f, start, -1, _steps(width), what)}
        return edges, special

    def _peaks(self, env: Env, lower: mpf, upper: mpf) -> list[tuple[mpf, mpf]]:
        far = [mpf(2) ** (mpf(k) / 4) for k in range(-120, 121)]
        base = lower if mpmath.isfinite(lower) else (upper if mpmath.isfinite(upper) else mpf(0))
        grid = sorted({x for d in far for x in (base - d, base + d)} | {base})
        grid = [x for x in grid if lower < x < upper]
        value = [self._mass(env, x) for x in grid]
        mass = [v * abs(x - base) if mpmath.isfinite(v) else mpf(0) for x, v in zip(grid, value, strict=True)]
        top = max(mass)
        if not top > 0:
            raise DeriveError("no mass of a density could be found", given="a density", allowed="a density with mass")
        peaks: list[tuple[mpf, mpf]] = []
        for i in range(len(grid)):
            below, above = value[max(i - 1, 0)], value[min(i + 1, len(grid) - 1)]
            if 0 < i < len(grid) - 1 and value[i] > below and value[i] >= above and value[i] > 0:
                x = self._climb(env, grid[i - 1], grid[i + 1])
                peaks.append((x, self._width(env, x, lower, upper)))
        if not peaks:
            i = mass.index(top)
            return [(base, abs(grid[i] - base))]
        weights = [self._mass(env, p) * w for p, w in peaks]
        best = max(weights)
        kept: list[tuple[mpf, mpf]] = []
        for (x, w), m in sorted(zip(peaks, weights, strict=True), key=lambda pm: -pm[1]):
            if m > best * mpf(10) ** -60 and all(abs(x - y) > max(v, w) for y, v in kept):
                kept.append((x, w))
        return kept

    def _climb(self, env: Env, a: mpf, b: mpf) -> mpf:
        """The maximum between a and b by golden section."""
        ratio = (mpmath.sqrt(5) - 1) / 2
        for _ in range(60):
            x, y = b - ratio * (b - a), a + ratio * (b - a)
            if self._mass(env, x) >= self._mass(env, y):
                b = y
            else:
                a = x
        return (a + b) / 2

    def _width(self, env: Env, x: mpf, lower: mpf, upper: mpf) -> mpf:
        """Distance at which the density has fallen by 2."""
        top = self._mass(env, x)
        for k in range(-160, 161):
            step = mpf(2) ** k
            if any(lower < x + s * step < upper and self._mass(env, x + s * step) < top / 2 for s in (-1, 1)):
                return step
        return mpf(1)


def _over_noisy(c: _Compiler, law: Noisy, var: sp.Symbol, factors: Sequence[Any], g: Any) -> Integral:
    """Over the law of xi + sqrt(s) w, xi with a density, through its own density."""
    base = law.base
    inner = sp.Dummy("xi", **base.point_assumptions)
    ends = [c.closure(base.lower), c.closure(base.upper)]
    variance = c.closure(law.s)
    with c.scope(var) as scope:
        log_density = c.closure(LogAverageExp(-((var - inner) ** 2) / (2 * law.s), inner, base))
        body = _body(c, var, factors, g, scope, ())
        kinks = _kinks(c, [base.density(var)], var)
        weight = c.closure(base.density(var))
    profile = _Profile(weight, body.slot, [c.slots[v] for v in base.free_symbols])

    def integral(env: Env) -> tuple[Number, list[Number]]:
        scope.enter(env)
        lower, upper, s = ends[0](env), ends[1](env), variance(env)
        root = mpmath.sqrt(s)
        norm = 1 / mpmath.sqrt(2 * mpmath.pi * s)

        def f(x: mpf) -> Values:
            env[body.slot] = x
            exponent = log_density(env)
            if body.exponent is not None:
                exponent = exponent + body.exponent.whole(env)
            mass = norm * mpmath.exp(exponent)
            return tuple(mass * factor(env) for factor in body.factors)

        sums = None if body.kinks else profile.trapezoid(f, env, lower, upper, s, bool(kinks))
        if sums is not None:
            return mpf(0), sums
        far = root * mpmath.sqrt(2 * mp.prec * mpmath.ln2)
        special = {e for e in (lower, upper) if mpmath.isfinite(e)}
        edges = set(special)
        if len(special) < 2:
            wide = [(p, mpmath.sqrt(w * w + s)) for p, w in profile.peaks(env, lower, upper)]
            for p, w in wide:
                edges |= {p, p - 4 * w, p + 4 * w}
            width = max(w for _, w in wide)
            if upper == mpmath.inf:
                edges |= set(_tail(f, max(edges), 1, _steps(width), body.what))
            if lower == mpmath.ninf:
                edges |= set(_tail(f, min(edges), -1, _steps(width), body.what))
        marks = special | kinks.points(body.slot, env, sorted(edges))
        edges |= marks
        edges |= _graded(marks, [root], edges, 4)
        for end, sign in ((lower, -1), (upper, 1)):
            if mpmath.isfinite(end):
                edges |= {end + sign * root * k for k in (4, 8, 12, 16)} | {end + sign * far, end + 2 * sign * far}
        cells = _with_kinks(body, env, sorted(edges), set())
        return mpf(0), _integrate(f, _prune(f, cells), body.what)[0]

    return integral


def _over_spectrum(c: _Compiler, law: MarchenkoPastur, var: sp.Symbol, factors: Sequence[Any], g: Any) -> Integral:
    """Over c = ((1 - a)^2 + 4 a sin^2(theta/2))/ratio with weight (2/pi) sin^2(theta)/c, which has no edge left."""
    ratio = c.closure(law.ratio)
    theta = sp.Dummy("theta", positive=True)
    with c.scope(var) as scope:
        body = _body(c, var, factors, g, scope, ())
    del theta

    def integral(env: Env) -> tuple[Number, list[Number]]:
        scope.enter(env)
        r = ratio(env)
        a = mpmath.sqrt(r)
        gap = (1 - r) ** 2 / (1 + a) ** 2

        def f(angle: mpf) -> Values:
            half = mpmath.sin(angle / 2) ** 2
            point = (gap + 4 * a * half) / r
            weight = (2 / mpmath.pi) * (4 * half * (1 - half) / point if gap else r * (1 - half))
            return tuple(weight * v for v in _values(body, env, point))

        sums = None if body.kinks else _periodic(f)
        if sums is None:
            edges = {mpf(0), +mpmath.pi, *(mpmath.pi * mpf(2) ** (-4 * k) for k in range(1, 13))}
            lower, upper = gap / r, (gap + 4 * a) / r
            points = body.kinks.points(body.slot, env, [lower + (upper - lower) * k / 8 for k in range(9)])
            roots = {2 * mpmath.asin(mpmath.sqrt((r * q - gap) / (4 * a))) for q in points}
            sums = _integrate(f, _cells(sorted(edges | roots), {mpf(0), *roots}), body.what)[0]
        if r < 1:
            sums = [s_ + (1 - r) * v for s_, v in zip(sums, _values(body, env, mpf(0)), strict=True)]
        return mpf(0), sums

    return integral


def _periodic(f: Callable[[mpf], Values]) -> list[Number] | None:
    """The integral over (0, pi) of an even periodic function; None where it does not converge at once."""
    prec = mp.prec - _GUARD
    count = 16
    zero, end = f(mpf(2) ** (-2 * mp.prec)), f(+mpmath.pi)
    first = [f(mpmath.pi * k / count) for k in range(1, count)]
    rows = [*first]
    old = [mpmath.pi / count * ((a + b) / 2 + mpmath.fsum(column))
           for a, b, column in zip(zero, end, zip(*rows, strict=True), strict=True)]
    while count <= 2 * prec + 64:
        rows = [f(mpmath.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
        other = [mpmath.pi / count * mpmath.fsum(column) for column in zip(*rows, strict=True)]
        size = [mpmath.pi / count * mpmath.fsum(map(abs, column)) for column in zip(*rows, strict=True)]
        gaps = [abs(a - b) / m if m else mpf(0) for a, b, m in zip(old, other, size, strict=True)]
        old = [(a + b) / 2 for a, b in zip(old, other, strict=True)]
        count *= 2
        if all(q**2 * 1024 < mpf(2) ** (-prec - 8) for q in gaps):
            return old
    return None


# -- extrema -------------------------------------------------------------------------------------------------------


def _extremum(c: _Compiler, node: Any) -> Closure:
    """Value or place of an extremum: zeros of the slope in the interval, and its ends where they belong to it."""
    var, interval = node.bound_symbols[0], node.interval
    ends = [c.closure(interval.start), c.closure(interval.end)]
    with c.scope(var) as scope:
        slope, value = c.closure(node.scoped[0].diff(var)), c.closure(node.scoped[0])
    slot, kind = c.slots[var], node.kind
    closed = [not interval.left_open, not interval.right_open]
    wants_place = isinstance(node, ArgExtremum)

    def extremum(env: Env) -> Number:
        scope.enter(env)

        def at(function: Closure, x: mpf) -> mpf:
            env[slot] = x
            return mpmath.re(function(env))

        lower, upper = ends[0](env), ends[1](env)
        places = _slope_zeros(lambda x: at(slope, x), lower, upper)
        if kind != "extr":
            places += [e for e, inside in zip((lower, upper), closed, strict=True) if inside and mpmath.isfinite(e)]
        if not places:
            raise DeriveError("an extremum has no stationary point in its interval", given=str(node),
                              allowed="an interval with a stationary point, or with its ends")
        if kind == "extr" and len(places) > 1:
            raise DeriveError(f"an extremum has {len(places)} stationary points in its interval", given=str(node),
                              allowed="one stationary point, or kind max or min")
        best = max(places, key=lambda x: at(value, x) * (-1 if kind == "min" else 1))
        return best if wants_place else at(value, best)

    return extremum


def _slope_zeros(f: Callable[[mpf], mpf], lower: mpf, upper: mpf) -> list[mpf]:
    """Sign changes of the slope in an open interval, looked for on a grid that is dense towards both ends."""
    samples = _spread(lower, upper)
    with mpmath.workprec(60):
        values = []
        for x in samples:
            try:
                values.append((x, f(x)))
            except (ZeroDivisionError, OverflowError):
                continue
    values = [(x, v) for x, v in values if mpmath.isfinite(v)]
    roots = [x for x, v in values if v == 0]
    for (a, fa), (b, fb) in pairwise(values):
        if fa * fb < 0:
            roots.append(_polished(f, a, b, fa, fb))
    return roots


def _polished(f: Callable[[mpf], mpf], a: mpf, b: mpf, fa: mpf, fb: mpf) -> mpf:
    """A bracketed root, first at low precision and then by secants whose precision grows."""
    with mpmath.workprec(60):
        x = _bracketed(f, a, b, fa, fb)
        h = abs(x) * mpf(2) ** -20 + mpf(2) ** -40
        h = min(h, abs(b - x) or h, abs(x - a) or h)
        slope = (f(x + h / 2) - f(x - h / 2)) / h
    bits = 40
    while slope and bits < mp.prec:
        bits = min(2 * bits - 10, mp.prec)
        with mpmath.workprec(min(bits + 20, mp.prec)):
            step = f(x) / slope
            y = x - step
            if not min(a, b) <= y <= max(a, b):
                break
            if y != x:
                slope = (f(y) - f(x)) / (y - x)
            x = y
    with mpmath.workprec(mp.prec):
        for _ in range(8):
            step = f(x) / slope if slope else mpf(0)
            if abs(step) <= mpmath.ldexp(abs(x), 6 - mp.prec):
                return x
            y = x - step
            if not min(a, b) <= y <= max(a, b):
                break
            slope = (f(y) - f(x)) / step * -1
            x = y
        return _bracketed(f, a, b, f(a), f(b))


def _spread(lower: mpf, upper: mpf) -> list[mpf]:
    """Points of an open interval: by factors towards its ends, evenly between."""
    steps = [mpf(2) ** k for k in range(-40, 41, 2)]
    if mpmath.isfinite(lower) and mpmath.isfinite(upper):
        length = upper - lower
        inner = [length * k / 32 for k in range(1, 32)]
        near = [length * q for q in steps if q < mpf(1) / 32]
        return sorted({lower + d for d in (*inner, *near)} | {upper - d for d in near})
    if mpmath.isfinite(lower):
        return [lower + d * q for d in steps for q in (1, mpf(3) / 2, 2, 3)][: 4 * len(steps)]
    if mpmath.isfinite(upper):
        return [upper - d for d in reversed(steps)]
    return [-d for d in reversed(steps)] + [mpf(0)] + steps
