"""Saddle problems for the tests: free entropy, dense-memory capacity and diffusion, for any activation."""

from collections.abc import Callable
from dataclasses import replace

import sympy as sp
from sympy import Expr, Interval, Symbol, oo, sqrt

from derive.core import Branch, Parameter, Problem, SaddleStage, Site, Stage
from derive.nodes import GaussianAverage
from derive.solvers.saddle_target import composed
from derive.symbols import alpha, alpha_D, b, l, lam, m, q, r, s, t, u, w, x, xi

H = Symbol("h", real=True)
ZETA, SLOPE = Symbol("zeta", real=True), Symbol("zeta_slope", real=True)
Activation = Callable[[Symbol], Expr]


def positive(symbol: Symbol) -> Parameter:
    return Parameter(symbol, Interval.open(0, oo))


def saddle(site: Site, average: Expr | None = None) -> SaddleStage:
    averages = () if average is None else ((SLOPE, average),)
    stage = SaddleStage(ZETA, (m, q, r), alpha_D, site, sp.S.Zero, averages=averages)
    return replace(stage, free_entropy=composed(stage))


def memory_site(activation: Activation, strength: Expr) -> Site:
    return Site(strength * x * xi, activation(H), activation(u), x, xi, H, u, w)


def diffusion_site(activation: Activation, sharpness: Expr, variance: Expr) -> Site:
    query = activation(u) + sqrt(variance) * w
    return Site(-sharpness * (x - xi) ** 2 / 2, activation(H), query, x, xi, H, u, w)


def memory(activation: Activation) -> Problem:
    """zeta(lam) of the dense memory, and its slope."""
    stage = saddle(memory_site(activation, lam), x * xi)
    case = Branch("replica symmetric", ZETA)
    return Problem("zeta", ZETA, (positive(lam), positive(alpha_D)), (case,), (stage,), (("slope", SLOPE),), False)


def diffusion(activation: Activation) -> Problem:
    """psi_s(b) of diffusion, and its slope."""
    stage = saddle(diffusion_site(activation, b, s), -((x - xi) ** 2) / 2)
    parameters = (positive(b), Parameter(s, Interval(0, oo)), positive(alpha_D))
    case = Branch("replica symmetric", ZETA)
    return Problem("psi", ZETA, parameters, (case,), (stage,), (("slope", SLOPE),), False)


def capacity(activation: Activation) -> Problem:
    """alpha_1(lam) = max over l <= lam of l rho - zeta(l)."""
    stage = saddle(memory_site(activation, l), x * xi)
    rho = GaussianAverage(activation(H) ** 2, H)
    root = Stage(l, rho - SLOPE, -1, sp.S.Zero, lam, clip=True, inner=(stage,))
    value = Branch("capacity", l * rho - ZETA)
    return Problem("capacity", Symbol("alpha_1"), (positive(lam), positive(alpha_D)), (value,), (root,))


def collapse(activation: Activation) -> Problem:
    """alpha = I(x_0; x_t)/N at s = t, b = 1/t."""
    stage = saddle(diffusion_site(activation, 1 / t, t))
    root = Stage(t, -sp.Rational(1, 2) - ZETA - alpha, -1, sp.S.Zero, inner=(stage,))
    return Problem("collapse", t, (positive(alpha), positive(alpha_D)), (Branch("collapse", t),), (root,))
