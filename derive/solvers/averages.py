"""Averages in generated code: every one becomes a call of a run-time law with generated integrands.

Where the exponent of a tilted average has a Gaussian kernel in the bound variable, the square is completed here, so
that the integrand is written in the offset from the kernel's centre in units of its width and nothing cancels when
the width is tiny.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy import Add, Expr, Symbol

from derive.core import DeriveError

if TYPE_CHECKING:
    from derive.solvers.lowering import Lowering

__all__ = ["complete_square", "kinks", "lower_average"]

OFFSET = Symbol("u", real=True)
"""The bound variable measured from the kernel's centre, in units of its width."""


def complete_square(g: Expr, x: Symbol) -> tuple[Expr, Expr, Expr] | None:
    """(g written with OFFSET, centre, squared width) where g has a Gaussian kernel in x with parameters; else None.

    >>> x, y, t = sp.Symbol("x", real=True), sp.Symbol("y", real=True), sp.Symbol("t", positive=True)
    >>> complete_square(-(x - y)**2/(2*t), x)
    (-u**2/2, y, t)
    """
    coefficients: dict[int, Expr] = {0: sp.S.Zero, 1: sp.S.Zero, 2: sp.S.Zero}
    rest: list[Expr] = []
    for term in Add.make_args(sp.expand(g)):
        factor, dependent = term.as_independent(x, as_Add=False)
        power = {sp.S.One: 0, x: 1, x**2: 2}.get(dependent)
        if power is None:
            rest.append(term)
        else:
            coefficients[power] += factor
    curvature = sp.factor_terms(-2 * coefficients[2])
    if not curvature.free_symbols or not curvature.is_positive:
        return None
    width = 1 / curvature
    centre = sp.cancel(coefficients[1] * width)
    constant = sp.cancel(sp.together(coefficients[0] + centre * coefficients[1] / 2))
    return constant - OFFSET**2 / 2 + Add(*rest), centre, width


def kinks(e: Expr, x: Symbol) -> tuple[float, ...]:
    """Points at which an expression may have a kink or a jump: where pieces meet, where an absolute value turns."""
    sides: list[Expr] = [a for k in (sp.Abs, sp.sign, sp.Heaviside) for f in e.atoms(k) for a in f.args[:1]]
    sides += [a - f.args[0] for k in (sp.Max, sp.Min) for f in e.atoms(k) for a in f.args[1:]]
    sides += [
        r.lhs - r.rhs for p in e.atoms(sp.Piecewise) for _, c in p.args for r in c.atoms(sp.core.relational.Relational)
    ]
    found: set[float] = set()
    for side in sides:
        if side.free_symbols == {x} and side.is_polynomial(x):
            found |= {float(root) for root in sp.Poly(side, x).nroots(n=20) if root.is_real}
    return tuple(sorted(found))


def _law(low: Lowering, law: Any) -> tuple[str, list[int]]:
    """The text of a law and the operations that it needs."""
    kind = type(law).__name__
    low.code.uses.add(f"{kind}Law")
    if kind == "Normal":
        return low.code.law("NormalLaw()"), []
    if kind == "Atoms":
        points, weights = ([float(v.evalf(30)) for v in side] for side in (law.points, law.weights))
        return low.code.law(f"AtomsLaw({points!r}, {weights!r})"), []
    if kind == "Density":
        if law.free_symbols:
            raise DeriveError(
                f"a density that depends on {', '.join(sorted(map(str, law.free_symbols)))} cannot be averaged over "
                "numerically",
                given=str(law),
                allowed="a density of its variable alone",
            )
        (x,), (pdf,) = law.open()
        inner = low.child({x: "x"})
        name = inner.write("log_density", [inner.log(pdf)], ["x"])
        lower, upper = (_number(v) for v in (law.lower, law.upper))
        return low.code.law(f"DensityLaw({name}, {lower}, {upper}, {kinks(pdf, x)!r})"), []
    if kind == "Noisy":
        base, operands = _law(low, law.base)
        return f"NoisyLaw({base}, {{{len(operands)}}})", [*operands, low.value(law.s)]
    if kind == "MarchenkoPastur":
        return "MarchenkoPasturLaw({0})", [low.value(law.ratio)]
    raise low.refuse(law)


def _number(e: Expr) -> str:
    return {sp.oo: "np.inf", -sp.oo: "-np.inf"}.get(e) or repr(float(e.evalf(30)))


def lower_average(low: Lowering, e: Any) -> int:
    """The operation that gives an average.

    Raises: DeriveError for an integrand or a law that no code is generated for.
    """
    kind = type(e).__name__
    if kind == "GaussianAverage":
        variables, (body,) = e.bound_symbols, e.scoped
        return _gaussian(low, body, list(variables))
    x, law = e.bound_symbols[0], e.law
    if kind in ("MeasureAverage", "SpectralAverage"):
        if type(law).__name__ == "Atoms" and _symbolic(law):
            return low.value(Add(*(w * e.scoped[0].subs(x, p) for p, w in zip(law.points, law.weights, strict=True))))
        return _plain(low, e.scoped[0], x, *_law(low, law))
    if type(law).__name__ == "Atoms" and _symbolic(law):
        return low.value(_tilted_sum(e, law, x))
    if kind == "LogAverageExp":
        text, operands = _law(low, law)
        return _tilted(low, (), e.scoped[0], x, text, operands)
    fs = low.siblings(e)
    text, operands = _law(low, law)
    return low.make("item", _tilted(low, fs, e.scoped[1], x, text, operands), data=fs.index(e.scoped[0]))


def _symbolic(law: Any) -> bool:
    return bool(law.free_symbols)


def _tilted_sum(e: Any, law: Any, x: Symbol) -> Expr:
    """A tilted average over atoms whose points or weights are symbols, written out."""
    from derive.nodes import log_sum_exp

    g = e.scoped[-1]
    exponents = [sp.log(w) + g.subs(x, p) for p, w in zip(law.points, law.weights, strict=True)]
    total = log_sum_exp(*exponents)
    if type(e).__name__ == "LogAverageExp":
        return total
    f = e.scoped[0]
    return Add(*(f.subs(x, p) * sp.exp(h - total) for p, h in zip(law.points, exponents, strict=True)))


def _gaussian(low: Lowering, body: Expr, variables: list[Symbol]) -> int:
    low.code.uses.add("NormalLaw")
    law = low.code.law("NormalLaw()")
    x, *others = variables
    name = low.code.bound(x)
    inner = low.child({x: name})
    out = _gaussian(inner, body, others) if others else inner.value(body)
    return _call(low, inner, out, name, law, [])


def _plain(low: Lowering, body: Expr, x: Symbol, law: str, operands: list[int]) -> int:
    name = low.code.bound(x)
    inner = low.child({x: name})
    return _call(low, inner, inner.value(body), name, law, operands)


def _call(low: Lowering, inner: Lowering, out: int, name: str, law: str, operands: list[int]) -> int:
    _, used = inner.lines([out])
    rest = sorted(used - {name})
    function = inner.write("integrand", [out], [name, *rest])
    places = "".join(f"{{{len(operands) + k}}}, " for k in range(len(rest)))
    text = f"{law}.average({function}, ({places}))"
    return low.make("text", *operands, *(low.argument(a) for a in rest), data=text)


def _tilted(low: Lowering, fs: Sequence[Expr], g: Expr, x: Symbol, law: str, operands: list[int]) -> int:
    """log E e^g (no fs), or the averages of fs under the tilt."""
    name = low.code.bound(x)
    square = complete_square(g, x)
    extra: list[int] = list(operands)
    hint = ""
    if square is not None:
        g, centre, width = square
        extra += [low.value(centre), low.make("exp", low.make("mul", low.const(0.5), low.log(width)))]
        hint = f", {{{len(operands)}}}, {{{len(operands) + 1}}}"
        fs = [_in_offset(f, x, centre, width) for f in fs]
    inners = [low.child({x: name, OFFSET: "u"}) for _ in (*fs, g)]
    outs = [inner.value(e) for inner, e in zip(inners, (*fs, g), strict=True)]
    used: set[str] = set().union(*(inner.lines([out])[1] for inner, out in zip(inners, outs, strict=True)))
    rest = sorted(used - {name, "u"})
    names = [
        inner.write("weight" if k == len(fs) else "integrand", [out], [name, "u", *rest])
        for k, (inner, out) in enumerate(zip(inners, outs, strict=True))
    ]
    places = "".join(f"{{{len(extra) + k}}}, " for k in range(len(rest)))
    method = f"tilted(({''.join(n + ', ' for n in names[:-1])}), " if fs else "log_average_exp("
    text = f"{law}.{method}{names[-1]}, ({places}){hint})"
    return low.make("text", *extra, *(low.argument(a) for a in rest), data=text)


def _in_offset(f: Expr, x: Symbol, centre: Expr, width: Expr) -> Expr:
    """A polynomial integrand written in the offset from the kernel's centre, where the differences cancel exactly."""
    if not f.is_polynomial(x):
        return f
    return sp.expand(sp.expand(f).subs(x, centre + sp.sqrt(width) * OFFSET))
