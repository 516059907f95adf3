"""Problems that the solvers are tried on, built from nodes alone."""

from __future__ import annotations

from sympy import Expr, Interval, Min, Rational, S, Symbol, exp, log, oo, pi, sqrt

from derive.core import Branch, Parameter, Problem, Stage
from derive.nodes import Density, LogAverageExp, MPResponse, TiltedAverage, log_cosh
from derive.symbols import alpha, alpha_D, lam, t, theta, xi
from derive.symbols import l as ell

LOAD = Parameter(alpha, Interval.open(0, oo))
RATIO = Parameter(alpha_D, Interval.open(0, oo))
TEMPERATURE = Parameter(lam, Interval.open(0, oo))


def information(b: Expr, ratio: Expr) -> Expr:
    """<log(1 + b c)> over the Marchenko-Pastur law."""
    V = MPResponse(b, ratio)
    return log(1 + b * V) - ratio * log(V) - ratio * (1 - V)


def collapse() -> Problem:
    residual = information(1 / t, alpha_D) / 2 - alpha
    return Problem("collapse", t, (LOAD, RATIO), (Branch("collapse", t),), (Stage(t, residual, -1, S.Zero),))


def onset() -> Problem:
    residual = (information(1 / t, alpha_D) + alpha_D * (1 - MPResponse(1 / t, alpha_D))) / 2 - alpha
    return Problem("onset", t, (LOAD, RATIO), (Branch("onset", t),), (Stage(t, residual, -1, S.Zero),))


def gaussian_capacity() -> Problem:
    value = ell - ell**2 / 2
    return Problem(
        "capacity",
        Symbol("alpha_1", positive=True),
        (TEMPERATURE,),
        (Branch("unsaturated", value, ell >= lam), Branch("saturated", value)),
        (Stage(ell, 1 - ell, -1, S.Zero, lam, clip=True),),
        (("lambda_hat", ell),),
    )


def binary_condensation() -> Problem:
    star = Symbol("lambda_star", positive=True)
    zeta = log_cosh(star)
    stage = Stage(
        star,
        star * zeta.diff(star) - zeta - alpha,
        +1,
        S.Zero,
        exists=alpha < log(2),
        absent="no condensation: the load is at or above log 2",
    )
    return Problem("condensation", star, (LOAD,), (Branch("condensed", star),), (stage,))


def full_capacity() -> Problem:
    """max over l in (0, lam] and theta > 0 of log(1 + 2 theta g)/(2 (1 + theta)), g = l - l^2/2."""
    g = ell - ell**2 / 2
    value = log(1 + 2 * theta * g) / (2 * (1 + theta))
    inner = Stage(theta, 2 * g * (1 + theta) / (1 + 2 * theta * g) - log(1 + 2 * theta * g), -1, S.Zero)
    stage = Stage(ell, theta * (1 - ell) / (1 + 2 * theta * g), -1, S.Zero, Min(lam, 1), clip=True, inner=(inner,))
    return Problem(
        "full-capacity", Symbol("alpha_c", positive=True), (TEMPERATURE,), (Branch("noise", value),), (stage,)
    )


def density_capacity(pdf: Expr | None = None, lower: Expr = S.Zero, upper: Expr = oo, rho: Expr = S.One) -> Problem:
    """max over l in (0, lam] of l rho - E_x log E_xi exp(l x xi), for a density."""
    from derive.nodes import MeasureAverage
    from derive.symbols import x

    law = Density(HALF_NORMAL if pdf is None else pdf, xi, lower, upper)
    inner = LogAverageExp(ell * x * xi, xi, law)
    zeta = MeasureAverage(inner, x, law)
    slope = rho - MeasureAverage(TiltedAverage(x * xi, ell * x * xi, xi, law), x, law)
    return Problem(
        "density-capacity",
        Symbol("alpha_1", positive=True),
        (TEMPERATURE,),
        (Branch("capacity", ell * rho - zeta),),
        (Stage(ell, slope, -1, S.Zero, lam, clip=True),),
    )


HALF_NORMAL = sqrt(2 / pi) * exp(-(xi**2) / 2)
UNIFORM = Rational(1, 2)


def noisy_signs() -> Problem:
    """alpha = b - E log cosh(b + sqrt(b) x): the information of a sign seen in Gaussian noise of variance 1/b."""
    from derive.nodes import GaussianAverage
    from derive.symbols import b, x

    residual = b - GaussianAverage(log_cosh(b + sqrt(b) * x), x) - alpha
    stage = Stage(b, residual, +1, S.Zero, exists=alpha < log(2), absent="a sign has no more than log 2")
    return Problem("noisy-signs", b, (LOAD,), (Branch("information", b),), (stage,))
