"""A saddle stage as the row of a generated module: its site's functions, kinks, symmetry and starting points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import sympy as sp
from sympy import Expr, Symbol

from derive.core import DeriveError, SaddleStage
from derive.solvers.lowering import Code, Lowering

__all__ = ["composed", "is_even", "kinks_of", "require_structure", "saddle_row", "site_symbols"]

TOLERANCE = 1e-10
"""Quadrature error aimed at, relative to the averages' absolute values."""
FAR = 60.0
"""How far from the origin of the hidden field kinks are looked for."""


def composed(stage: SaddleStage, order: Sequence[int] = (0, 1, 2)) -> Expr:
    """The free entropy that the stage's ratio and site stand for, with its outer variables in the given order.

    >>> from derive.core import Site
    >>> from derive.symbols import alpha_D, lam, x, xi, m, q, r, u, w
    >>> h = sp.Symbol("h", real=True)
    >>> site = Site(lam*x*xi, sp.tanh(h), sp.tanh(u), x, xi, h, u, w)
    >>> stage = SaddleStage(sp.Symbol("zeta"), (m, q, r), alpha_D, site, sp.S.Zero)
    >>> composed(stage).free_symbols == {alpha_D, lam, m, q, r}
    True
    """
    from derive.nodes import GaussianAverage, LogAverageExp, Normal

    m, q, r = stage.unknowns
    site = stage.site
    u, v, z, w = (sp.Dummy(n, real=True) for n in "uvzw")
    field = m * u + sp.sqrt(q - m**2) * v + sp.sqrt(r - q) * w
    query = site.query.xreplace({site.planted: u, site.noise: z})
    entry = site.activation.xreplace({site.field: field})
    exponent = site.exponent.xreplace({site.x: query, site.xi: entry})
    outer = [(u, v, z)[k] for k in order]
    average = GaussianAverage(LogAverageExp(exponent, w, Normal()), *outer)
    return stage.ratio / 2 * (sp.log(r - q) + (q - m**2) / (r - q) + 1 - r) + average


def require_structure(stage: SaddleStage) -> None:
    """Refuse a stage whose free entropy is not the one of its site.

    Raises: DeriveError, also for an activation that is constant or has symbols left over.
    """
    site = stage.site
    if site.field not in site.activation.free_symbols:
        raise DeriveError(
            f"the activation {site.activation} is constant: all patterns are the same one",
            given=str(site.activation),
            allowed=f"an expression of {site.field}",
        )
    extra = site.activation.free_symbols - {site.field}
    if extra:
        names = ", ".join(sorted(s.name for s in extra))
        raise DeriveError(
            f"the activation {site.activation} has free symbols left over: {names}",
            given=names,
            allowed=f"an expression of {site.field} alone",
        )
    for order in itertools.permutations(range(3)):
        if _same(stage.free_entropy, composed(stage, order)):
            return
    raise DeriveError(
        f"the free entropy of {stage.value} is not the replica-symmetric one of its site",
        given=str(stage.free_entropy)[:200],
        allowed=str(composed(stage))[:200],
    )


def _same(one: Expr, other: Expr) -> bool:
    from derive.nodes.averages import Average

    if one == other:
        return True
    every = one.atoms(Average) | other.atoms(Average)
    names = {a: sp.Dummy() for a in every if not any(a != b and b.has(a) for b in every)}
    return bool(sp.simplify(sp.expand(one.xreplace(names) - other.xreplace(names))) == 0)


def is_even(stage: SaddleStage) -> bool:
    """Whether the exponent and the averages are unchanged when all Gaussian variables change sign."""
    site = stage.site
    u, z, h = site.planted, site.noise, site.field

    def at(e: Expr, sign: int, noise: int) -> Expr:
        query = site.query.xreplace({u: sign * u, z: noise * z})
        return e.xreplace({site.x: query, site.xi: site.activation.xreplace({h: sign * h})})

    wanted = [site.exponent, *(f for _, f in stage.averages)]
    return any(all(sp.expand(at(e, 1, 1) - at(e, -1, noise)) == 0 for e in wanted) for noise in (-1, 1))


def kinks_of(sigma: Expr, h: Symbol) -> tuple[float, ...]:
    """Where an activation is not smooth: pieces meet, an absolute value turns, a sign jumps; within `FAR` of zero.

    >>> h = sp.Symbol("h", real=True)
    >>> kinks_of(sp.Max(0, h) + abs(h - 1), h)
    (0.0, 1.0)
    """
    sides: list[Expr] = [f.args[0] for k in (sp.Abs, sp.sign, sp.Heaviside, sp.floor) for f in sigma.atoms(k)]
    sides += [a - b for k in (sp.Max, sp.Min) for f in sigma.atoms(k) for a, b in itertools.combinations(f.args, 2)]
    sides += [
        r.lhs - r.rhs
        for p in sigma.atoms(sp.Piecewise)
        for _, c in p.args
        for r in c.atoms(sp.core.relational.Relational)
    ]
    found: set[float] = set()
    for side in sides:
        if side.free_symbols != {h}:
            continue
        if side.is_polynomial(h):
            found |= {float(root) for root in sp.Poly(side, h).nroots(n=20) if root.is_real}
        else:
            found |= set(_sign_changes(side, h))
    return tuple(sorted(k for k in found if abs(k) <= FAR))


def _sign_changes(side: Expr, h: Symbol) -> list[float]:
    """Zeros of a side that is not a polynomial, by bisection between the points of a grid."""
    from scipy.optimize import brentq

    f = sp.lambdify(h, side, "numpy")
    grid = np.linspace(-FAR, FAR, 24001) + 1e-7
    with np.errstate(all="ignore"):
        values = np.broadcast_to(np.asarray(f(grid), dtype=float), grid.shape)
        turns = np.flatnonzero(np.sign(values[1:]) * np.sign(values[:-1]) < 0)
        return [float(brentq(lambda y: float(f(y)), grid[k], grid[k + 1], xtol=1e-15)) for k in turns]


def _closed_form(code: Code, stage: SaddleStage) -> dict[str, str]:
    """Rows for a site whose average over w has a closed form: straight pieces, all integrands quadratic in xi."""
    from derive.nodes.piece_forms import straight_pieces

    site = stage.site
    pieces = straight_pieces(site.activation, site.field)
    integrands = [site.exponent, *(f for _, f in stage.averages)]
    if pieces is None or any(sp.diff(f, site.xi, 3) != 0 for f in integrands):
        return {"pieces": "()", "form": "None", "forms": "()"}
    forms = []
    for f in integrands:
        parts = (f, sp.factor(sp.diff(f, site.xi)), sp.diff(f, site.xi, 2) / 2)
        made = [_function(code, "form", part, (site.x, site.xi), "") for part in parts]
        forms.append(f"({', '.join(made)})")
    ends = {sp.oo: "np.inf", -sp.oo: "-np.inf"}
    rows = [", ".join(ends.get(v) or repr(float(v.evalf(30))) for v in piece) for piece in pieces]
    return {
        "pieces": "(" + "".join(f"({row}), " for row in rows) + ")",
        "form": forms[0],
        "forms": "(" + "".join(f"{form}, " for form in forms[1:]) + ")",
    }


def site_symbols(stage: SaddleStage) -> set[Symbol]:
    """Parameters and outer unknowns that the numbers of a stage depend on."""
    site = stage.site
    exprs = [site.exponent, site.query, stage.ratio, *(f for _, f in stage.averages)]
    exprs += [e for _, point in stage.starts for e in point]
    own = {site.x, site.xi, site.field, site.planted, site.noise}
    return set().union(*(e.free_symbols for e in exprs)) - own


def _function(code: Code, hint: str, e: Expr, variables: Sequence[Symbol], doc: str) -> str:
    """Text (name, parameters) of an elementwise function of the variables, called with the parameters after them."""
    low = Lowering(code)
    local = dict(zip(variables, _names(code, variables), strict=True))
    inner = low.child(local)
    out = inner.value(e)
    used = inner.lines([out])[1]
    rest = [a for a in dict.fromkeys(inner.arguments()) if a in used and a not in local.values()]
    name = inner.write(hint, [out], [*local.values(), *rest], doc)
    return f"({name}, ({''.join(repr(n) + ', ' for n in rest)}))"


def _names(code: Code, variables: Sequence[Symbol]) -> list[str]:
    """Names for the variables of a site, different from one another and from every parameter's."""
    from derive.solvers.lowering import identifier

    names: list[str] = []
    for s in variables:
        names.append(identifier(s.name, [*code.names.values(), *names]))
    return names


def saddle_row(code: Code, stage: SaddleStage, depth: int = 1, tolerance: float = TOLERANCE) -> str:
    """The entry of a saddle in the table of the generated module.

    Raises: DeriveError for a stage that is not what it says, or an expression that no code is generated for.
    """
    require_structure(stage)
    plain = replace(code, logs=frozenset())
    site = stage.site
    names = code.names
    pad = "    " * (depth + 1)
    code.uses.add("solve_saddle")
    averages = [
        f"({names[name]!r}, {_function(plain, 'tilted', f, (site.x, site.xi), f'Integrand of {name}.')})"
        for name, f in stage.averages
    ]
    starts = []
    for name, point in stage.starts:
        entries = ", ".join(_function(plain, "start", e, (), "") for e in point)
        starts.append(f"({name!r}, ({entries}))")
    needs = sorted(names[s] for s in site_symbols(stage))
    noisy = site.noise in site.query.free_symbols
    rows = {
        "name": repr(names[stage.value]),
        "solve": "solve_saddle",
        "log": "False",
        "inner": "[]",
        "needs": repr(needs),
        "overlaps": repr(tuple(names[s] for s in stage.unknowns)),
        "ratio": _function(plain, "ratio", stage.ratio, (), "Weight of the latent entropy."),
        "activation": _function(plain, "activation", site.activation, (site.field,), "A pattern's entry."),
        "query": _function(plain, "query", site.query, (site.planted, site.noise), "An entry of the query."),
        "exponent": _function(plain, "exponent", site.exponent, (site.x, site.xi), "Weight of an entry, its log."),
        "averages": "[" + "".join(f"{a}, " for a in averages) + "]",
        "starts": "[" + "".join(f"{s}, " for s in starts) + "]",
        "kinks": repr(kinks_of(site.activation, site.field)),
        **_closed_form(plain, stage),
        "noisy": repr(noisy),
        "even": repr(is_even(stage)),
        "tolerance": repr(tolerance),
    }
    return "{" + "".join(f"\n{pad}{key!r}: {value}," for key, value in rows.items()) + f"\n{'    ' * depth}}}"
