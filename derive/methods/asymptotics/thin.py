"""Thresholds over a saddle point whose overlaps close up: the same threshold without a saddle point.

A root in t whose equation holds the extremum of a replica-symmetric free entropy becomes, where b = 1/t goes to
infinity and the overlaps with it (`linearised`), a root over one plain unknown kappa = b (r - q), with averages over
one Gaussian field.  Which overlaps scale how is read off the stationarity equations:

    in q at fixed r - q:   ratio = E[kappa s/(1 + kappa s)],   s = sigma'(u)^2,   the balance of entropy and energy;
    in r - q:              linear in pi = b (q - m^2);
    in m:                  linear in delta = b (1 - m), one order of 1/b further.

At the saddle the free entropy is stationary, so that its value to order 1/b needs them to lowest order only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import mpmath
import sympy as sp
from sympy import Dummy, Expr, S, Symbol, oo

from derive.core import Problem, SaddleStage, Stage
from derive.methods.asymptotics.dominance import NotExpandable
from derive.methods.asymptotics.linearised import (
    DELTA,
    FIELD,
    KAPPA,
    PI,
    RHO,
    SLOPES,
    LocalAverage,
    local_site,
    smooth_pieces,
)

__all__ = ["Thin", "thin_problem"]


@dataclass(frozen=True)
class Thin:
    """A problem without saddle points, and what it rests on.

    Attributes: problem, to lowest order in 1/b; finer, the same to the next order where that is known; vanishing, 1/b,
    which has to go to zero (0: there was no saddle point); order, the power of 1/b of what `problem` leaves out;
    overlaps, (words, expression) of the order parameters in the unknowns; assumptions in words.
    """

    problem: Problem
    finer: Problem | None = None
    vanishing: Expr = S.Zero
    order: Expr = S.One
    overlaps: tuple[tuple[str, Expr], ...] = ()
    assumptions: tuple[str, ...] = ()


def thin_problem(problem: Problem) -> Thin:
    """The problem for overlaps that close up; itself where it has no saddle point.

    Raises: NotExpandable where its saddle point is of another kind.
    """
    if not problem.has_saddle:
        return Thin(problem)
    for stage in problem.stages:
        for part in (stage, *stage.inner) if isinstance(stage, Stage) else (stage,):
            if isinstance(part, SaddleStage):
                _require_slopes(problem, part)
    outer = problem.stages[0] if len(problem.stages) == 1 else None
    saddle = outer.inner[0] if isinstance(outer, Stage) and len(outer.inner) == 1 else None
    if not isinstance(outer, Stage) or not isinstance(saddle, SaddleStage):
        raise NotExpandable(
            "the order parameters of this saddle have no expansion here", given=problem.name,
            allowed="a root whose equation holds one saddle point")
    found = saddle.site.squared_distance
    if found is None:
        raise NotExpandable(
            f"the saddle of the exponent {saddle.site.exponent} has no expansion here",
            given=str(saddle.site.exponent), allowed="-b (x - xi)^2/2 with a query at a pattern or at a noisy one")
    b, noise = found
    reduced = _Reduced(saddle, b, noise)
    inner = Stage(KAPPA, reduced.balance - saddle.ratio, +1, S.Zero, oo)
    used: set[Symbol] = set().union(outer.residual.free_symbols, *(
        e.free_symbols for k in problem.branches for e in (k.value, k.condition) if isinstance(e, sp.Basic)))

    def to_order(after: bool) -> Problem:
        known = reduced.values(used, after)
        branches = (replace(k, value=_put(k.value, known), condition=_put(k.condition, known))
                    for k in problem.branches)
        stage = replace(outer, residual=_put(outer.residual, known), inner=())
        return replace(problem, branches=tuple(branches), stages=(inner, stage), outputs=())

    finer = to_order(after=True) if reduced.smooth else None
    order = S.One if reduced.smooth else S.Half
    return Thin(to_order(after=False), finer, 1 / b, order, reduced.overlaps(), reduced.assumptions())


def _require_slopes(problem: Problem, saddle: SaddleStage) -> None:
    """Refuse a step function: what its patterns tell of the latent variables stays bounded as t -> 0.

    Only sites within sqrt(V) of a jump, V = r - q, are not known from the common field.  They carry c sqrt(V), c the
    weight of the jumps times the entropy of a sign, whatever small t is: V stays where entropy and this balance.
    Raises: NotExpandable with the most that the patterns can carry on a thin manifold.
    """
    sigma = saddle.site.activation.subs(saddle.site.field, FIELD)
    pieces = smooth_pieces(sigma)
    if any(p.expr.has(FIELD) for p in pieces):
        return
    root, c = Symbol("root_V", positive=True), Symbol("c", positive=True)
    carried = saddle.ratio * (-1 - 2 * sp.log(root)) / 2 + c * root
    (at,) = sp.solve(carried.diff(root), root)
    most = sp.factor_terms(sp.expand_log(carried.subs(root, at), force=True))
    weight = sp.Add(*(sp.exp(-(p.lower**2) / 2) / sp.sqrt(2 * sp.pi) for p in pieces[1:]))
    value = sp.N(weight * _sign_entropy(), 6)
    raise NotExpandable(
        f"no {problem.symbol} on a thin manifold: {saddle.site.activation} has jumps and no slope: as t -> 0 the "
        f"patterns carry no more than about {most} per N with c = {value}, which goes to 0 with {saddle.ratio}: at a "
        "load above it there are more data points than patterns that differ, at every t > 0",
        given=str(saddle.site.activation), allowed="an activation with a slope")


@cache
def _sign_entropy() -> Expr:
    """The entropy of a sign(z + w) given z, w normal, over all z."""
    with mpmath.workdps(20):
        def entropy(z: Any) -> Any:
            p = mpmath.ncdf(z)
            return -p * mpmath.log(p) - (1 - p) * mpmath.log1p(-p)

        return sp.Float(2 * mpmath.quad(entropy, [-9, -6, -3, -1, 0]), 15)


def _put(e: Any, values: Mapping[Symbol, Expr]) -> Any:
    return e.subs(values) if isinstance(e, sp.Basic) else e


class _Reduced:
    """The free entropy of a saddle stage, reduced to averages over the field of the query."""

    def __init__(self, saddle: SaddleStage, b: Expr, noise: Expr) -> None:
        self.saddle, self.b, self.noise, self.ratio = saddle, b, noise, saddle.ratio
        self.sigma = saddle.site.activation.subs(saddle.site.field, FIELD)
        self.smooth = len(smooth_pieces(self.sigma)) == 1
        self.rho = sp.cancel(b * noise)
        self.balance = self.average(KAPPA * SLOPES[0] ** 2 / (1 + KAPPA * SLOPES[0] ** 2))

    def average(self, body: Expr) -> Expr:
        """E over the field of an expression in `SLOPES`."""
        return LocalAverage(body, self.sigma)

    def pi(self) -> Expr:
        """b (q - m^2)."""
        top, bottom = pi_form(self.rho)
        return self.average(top) / self.average(bottom) if top.has(*SLOPES) else top

    def following(self) -> tuple[Expr, Expr]:
        """The coefficient of 1/b in the free entropy, and delta, at which it is stationary."""
        pi = self.pi()
        zero, one, two = (self.average(k) for k in following_form(pi, self.rho))
        delta = -(self.ratio + one) / (2 * two)
        value = zero - self.ratio * (KAPPA + pi) / 2 - (self.ratio + one) ** 2 / (4 * two)
        return value, delta

    def values(self, used: set[Symbol], after: bool) -> Mapping[Symbol, Expr]:
        """The free entropy and those averages that are used, at the saddle point; to the order 1/b where `after`."""
        b = Dummy("b", positive=True)
        correction = self.following()[0] if after else S.Zero
        plain, by_noise = leading_form()
        psi = (self.ratio * (sp.log(KAPPA) - sp.log(self.b)) / 2
               + self.average(plain) + self.rho * self.average(by_noise) + correction / self.b)
        found: dict[Symbol, Expr] = {self.saddle.value: psi}
        site = self.saddle.site
        for name, of in self.saddle.averages:
            if name not in used:
                continue
            if sp.expand(of - (site.x - site.xi) ** 2) != 0 or self.noise != 0:
                raise NotExpandable(f"the average of {of} has no expansion here", given=str(of),
                                    allowed="the squared distance from a pattern")
            slope = -self.ratio / (2 * b) - correction / b**2
            found[name] = -2 * slope.subs(b, self.b)
        return found

    def overlaps(self) -> tuple[tuple[str, Expr], ...]:
        """The order parameters through kappa."""
        m, q, r = self.saddle.unknowns
        found = ((f"{r} - {q}", KAPPA / self.b), (f"{q} - {m}^2", self.pi() / self.b))
        return (*found, (f"1 - {m}", self.following()[1] / self.b)) if self.smooth else found

    def assumptions(self) -> tuple[str, ...]:
        return (f"E[sigma'^k] finite for sigma = {self.saddle.site.activation}, positive for k = 2",)


@cache
def leading_form() -> tuple[Expr, Expr]:
    """Of the free entropy at b -> oo and pi = 0, which is a factor of zero: without noise, and by its variance."""
    at = local_site().leading.subs(PI, 0)
    return sp.cancel(at.subs(RHO, 0)), sp.cancel(at.diff(RHO))


@cache
def pi_form(rho: Expr) -> tuple[Expr, Expr]:
    """pi as a quotient of two averages, or as it is where these are proportional.

    The free entropy ratio/2 (log kappa + pi/kappa) + E[...] is linear in pi; stationary in kappa, with the ratio from
    the balance, it determines pi.
    """
    slope = local_site().leading.diff(KAPPA).subs(RHO, rho)
    entropy = SLOPES[0] ** 2 / (1 + KAPPA * SLOPES[0] ** 2)
    top = sp.factor(sp.cancel(entropy / 2 + slope.subs(PI, 0)))
    if top == 0:
        return S.Zero, S.One
    bottom = sp.factor(sp.cancel(entropy / (2 * KAPPA) - slope.diff(PI)))
    quotient = sp.cancel(top / bottom)
    return (top, bottom) if quotient.has(*SLOPES) else (quotient, S.One)


@cache
def following_form(pi: Expr, rho: Expr) -> tuple[Expr, Expr, Expr]:
    """The coefficient of 1/b in the site's average, by powers of delta."""
    body = sp.Poly(sp.numer(sp.together(local_site().following.subs({PI: pi, RHO: rho}))), DELTA)
    bottom = sp.denom(sp.together(local_site().following.subs({PI: pi, RHO: rho})))
    zero, one, two = (_by_parts(sp.factor(body.coeff_monomial(DELTA**k) / bottom)) for k in range(3))
    return zero, one, two


def _by_parts(body: Expr) -> Expr:
    """The same average over the field without powers of it: E[u f] = E[f'], for smooth activations."""
    chain = dict(zip(SLOPES, (*SLOPES[1:], Symbol("sigma_4", real=True)), strict=True))

    def along(f: Expr) -> Expr:
        return f.diff(FIELD) + sum((f.diff(k) * after for k, after in chain.items()), S.Zero)

    while body.has(FIELD):
        top, bottom = sp.fraction(sp.together(body))
        poly = sp.Poly(top, FIELD)
        power = poly.degree()
        lead = poly.coeff_monomial(FIELD**power) / bottom
        rest = (poly - sp.Poly({power: poly.LC()}, FIELD)).as_expr() / bottom
        body = sp.cancel(rest + along(lead * FIELD ** (power - 1)))
    return sp.factor(body)
