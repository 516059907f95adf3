"""The replica-symmetric cumulant of one site: equations against the free entropy, and against reference numbers.

The reference for tanh at alpha_D = 0.5 was computed outside this package (damped iteration, two quadratures) and its
slope confirmed by simulation; independently of that, everything here is compared with a quadrature written below.
"""

from collections.abc import Callable

import hermite
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf as np_erf
from sympy import Abs, Expr, Function, Heaviside, Max, Rational, S, Symbol, erf, expand_log, sign, sin, sqrt, tanh

from derive.core import DeriveError
from derive.methods.replica_manifold import H, ManifoldSite
from derive.symbols import alpha_D, b, lam, m, q, r, s, x, xi

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def entropic(m: float, q: float, r: float) -> float:
    return 0.5 * (np.log(r - q) + (q - m * m) / (r - q) + 1 - r)


def by_hand(sigma: Callable[[np.ndarray], np.ndarray], lam: float, ratio: float, m: float, q: float, r: float) -> float:
    """The free entropy of the dense memory at one point, on a tensor grid."""
    u, v, w = NODES[:, None, None], NODES[None, :, None], NODES[None, None, :]
    exponent = lam * sigma(u) * sigma(m * u + np.sqrt(q - m * m) * v + np.sqrt(r - q) * w)
    top = exponent.max(axis=2, keepdims=True)
    inner = np.log((np.exp(exponent - top) * WEIGHTS).sum(axis=2)) + top[..., 0]
    return ratio * entropic(m, q, r) + float(WEIGHTS @ inner @ WEIGHTS)


def slopes(f: Callable[..., float], point: tuple[float, ...], h: float = 1e-4) -> np.ndarray:
    """Central differences of the fourth order."""
    found = []
    for k in range(len(point)):
        def at(d: float, k: int = k) -> float:
            return f(*(p + d * (i == k) for i, p in enumerate(point)))

        found.append((8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h))
    return np.array(found)


def value(e: Expr, **numbers: float) -> float:
    names = {"m": m, "q": q, "r": r, "lam": lam, "alpha_D": alpha_D, "s": s, "b": b}
    return hermite.value(e, {names[k]: v for k, v in numbers.items()})


def gradient(site: ManifoldSite) -> tuple[Expr, Expr, Expr]:
    """The slopes of the free entropy in m, q and r, read off the saddle-point equations."""
    in_m, in_q, in_r = (e.rhs for e in site.saddle_equations())
    V = r - q
    slope = site.ratio * (q - in_q) / (2 * V**2)
    return (site.ratio * (in_m - m * (in_r - q) / V), slope, site.ratio * (in_r - r) / (2 * V) - slope)


TANH = ManifoldSite(lam * x * xi, tanh(H))
SADDLES = [(0.5, 0.323718, 0.154930, 1.072721, 0.04847177)]


@pytest.mark.parametrize(("at", "m0", "q0", "r0", "zeta"), SADDLES)
def test_the_reference_point_of_tanh(at: float, m0: float, q0: float, r0: float, zeta: float) -> None:
    numbers = {"lam": at, "alpha_D": 0.5, "m": m0, "q": q0, "r": r0}
    assert value(TANH.free_entropy(), **numbers) == pytest.approx(zeta, abs=1e-8)
    for equation in TANH.saddle_equations():
        assert value(equation.rhs, **numbers) == pytest.approx(numbers[str(equation.lhs)], abs=2e-6)


@pytest.mark.parametrize(("activation", "numpy"), [
    (tanh(H), np.tanh), (sin(H), np.sin), (erf(H), np_erf), (H + sin(H) / 2, lambda h: h + np.sin(h) / 2),
])
def test_the_equations_are_the_gradient_of_the_free_entropy(activation: Expr, numpy: Callable) -> None:
    site = ManifoldSite(lam * x * xi, activation)
    point = (0.3, 0.25, 0.9)
    expected = slopes(lambda *p: by_hand(numpy, 0.7, 0.8, *p), point)
    numbers = {"lam": 0.7, "alpha_D": 0.8, "m": 0.3, "q": 0.25, "r": 0.9}
    assert value(site.free_entropy(), **numbers) == pytest.approx(by_hand(numpy, 0.7, 0.8, *point), rel=1e-8)
    assert [value(g, **numbers) for g in gradient(site)] == pytest.approx(list(expected), rel=1e-6, abs=1e-8)


def test_the_linear_case_in_closed_form() -> None:
    site = ManifoldSite(lam * x * xi, H)
    phi = site.free_entropy().doit()
    at = {q: lam**2 / alpha_D**2 + lam**2 / alpha_D, r: 1 + lam**2 / alpha_D**2 + lam**2 / alpha_D, m: lam / alpha_D}
    assert (phi.subs(at, simultaneous=True) - lam**2 * (1 + 1 / alpha_D) / 2).simplify() == 0
    for g in gradient(site):
        assert g.doit().subs(at, simultaneous=True).simplify() == 0
        assert (g.doit() - phi.diff({0: m, 1: q, 2: r}[gradient(site).index(g)])).simplify() == 0
    assert site.replicon().doit() == 1


@given(
    ratio=st.fractions(Rational(1, 20), 20, max_denominator=20), V=st.fractions(Rational(1, 9), 5, max_denominator=9),
    k=st.fractions(Rational(1, 9), 3, max_denominator=9), m0=st.fractions(-3, 3, max_denominator=9),
    b0=st.fractions(Rational(1, 9), 9, max_denominator=9), s0=st.fractions(0, 4, max_denominator=9),
)
@settings(max_examples=3)
def test_diffusion_on_the_linear_manifold_at_random_points(ratio, V, k, m0, b0, s0) -> None:
    """The equations are the gradient, exactly, at any point of the domain."""
    ratio, V, k, m0, b0, s0 = (Rational(z.numerator, z.denominator) for z in (ratio, V, k, m0, b0, s0))
    site = ManifoldSite(-b0 * (x - xi) ** 2 / 2, H, noise=s0, ratio=ratio)
    point = {m: m0, q: m0**2 + k**2, r: m0**2 + k**2 + V}
    phi = site.free_entropy().doit()
    for symbol, slope in zip((m, q, r), gradient(site), strict=True):
        assert (phi.diff(symbol).subs(point) - slope.subs(point).doit()).simplify() == 0
    y = b0 * V / (1 + b0 * V)
    assert (site.replicon().subs(point).doit() - (1 - y**2 / ratio)).simplify() == 0


def test_one_step_reduces_to_the_symmetric_free_entropy() -> None:
    site = ManifoldSite(lam * x * xi, H)
    whole = site.free_entropy().doit()
    same = site.one_step_free_entropy(q0=q, q1=q).doit()
    assert (same - whole).simplify() == 0
    q1 = Symbol("q_1", positive=True)
    one = site.one_step_free_entropy(q0=q, q1=q1, block=S.One).doit()
    assert expand_log(one - whole, force=True).simplify().equals(0)


@pytest.mark.parametrize("activation", [Max(H, 0), sign(H), Heaviside(H, 0), Abs(H), Function("sigma")(H)])
def test_nothing_is_ever_differentiated_through_the_activation(activation: Expr) -> None:
    from sympy import DiracDelta, Subs

    site = ManifoldSite(lam * x * xi, activation)
    for e in (*site.saddle_equations(), site.replicon()):
        assert not e.has(DiracDelta, Subs)


@pytest.mark.parametrize(("exponent", "activation", "message"), [
    (lam * x * xi, S(2), "constant"), (lam * x, tanh(H), "does not contain the pattern entry"),
])
def test_what_is_no_site_is_refused(exponent: Expr, activation: Expr, message: str) -> None:
    with pytest.raises(DeriveError, match=message):
        ManifoldSite(exponent, activation)


def test_other_coordinates_go_in_as_arguments() -> None:
    V, k = Symbol("V", positive=True), Symbol("k", positive=True)
    e = TANH.free_entropy(m, m**2 + k**2, m**2 + k**2 + V)
    assert not e.has(sqrt(q - m**2))
    assert e.free_symbols == {m, k, V, lam, alpha_D}
