"""Numbers for other ensembles than the usual one, made without the package: closed forms, quadrature, saddle points.

Each is a point of a curve by its inner parameter: the noise condenses at a chosen lam or b, or signal and noise are
equal at a chosen t and s, and the load is what they make it.  Then the load is given and the other is asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import mpmath as mp
import numpy as np
from manifold_reference import Reference as Manifold
from scipy.special import erf


@dataclass(frozen=True)
class Known:
    """A number: quantity, ensemble, value, parameters by name, the named output that it is (the value where empty)."""

    quantity: str
    ensemble: str
    value: object
    parameters: dict[str, object]
    output: str = ""


def known(quantity: str, ensemble: str, value: object, output: str = "", **parameters: object) -> Known:
    return Known(quantity, ensemble, value, parameters, output)


def spherical() -> Iterator[Known]:
    """zeta = lam u + log(u/lam)/2 with u/(1 - u^2) = lam, hence lam zeta' - zeta = -log(1 - u^2)/2."""
    u = (mp.sqrt(5) - 1) / 2  # at lam = 1
    zeta, load = u + mp.log(u) / 2, -mp.log(u) / 2
    yield known("rem-condensation", "spherical", 1, alpha=load)
    yield known("participation-ratio", "spherical", mp.mpf(1) / 2, alpha=load, lam=2)
    yield known("retrieval-capacity", "spherical", 1 - zeta, lam=1)
    yield known("full-capacity", "spherical", 1 - zeta, lam=1)
    yield known("retrieval-basin", "spherical", mp.mpf("0.3") + zeta, alpha=mp.mpf("0.3"), lam=1)
    yield known("retrieval-basin", "spherical", mp.sqrt(1 - mp.exp(-mp.mpf("0.2"))), alpha=mp.mpf("0.1"), lam=1)


def independent() -> Iterator[Known]:
    """Gaussian patterns, zeta = lam^2 (a^2 + v)/2; binary ones, log cosh lam; thinned ones, log cosh(lam/2)."""
    lam, a, v = mp.mpf(1) / 5, mp.mpf("0.8"), mp.mpf("0.1")
    load = lam * a - lam**2 * (a**2 + v) / 2
    yield known("retrieval-basin", "gaussian", a, alpha=load, lam=lam, v=v)
    yield known("retrieval-basin", "gaussian", a / mp.sqrt(a**2 + v), "cosine", alpha=load, lam=lam, v=v)
    yield known("retrieval-capacity", "gaussian", 1, "lambda_noise", lam=2)
    yield known("full-capacity", "gaussian", 1 / (2 * mp.e), "noise", lam=1)
    slope, zeta = mp.tanh(1), mp.log(mp.cosh(1))
    yield known("rem-condensation", "binary", 1, alpha=slope - zeta)
    yield known("retrieval-capacity", "binary", 1 - zeta, lam=1)
    yield known("full-capacity", "binary", 1 - zeta, lam=1)
    yield known("retrieval-basin", "binary", mp.mpf("0.4") + zeta, alpha=mp.mpf("0.4"), lam=1)
    yield known("retrieval-basin", "binary", slope, alpha=slope - zeta, lam=2)
    thin = "atoms -1: 1/4, 0: 1/2, 1: 1/4"
    half = mp.mpf(1) / 2
    yield known("rem-condensation", thin, 1, alpha=mp.tanh(half) / 2 - mp.log(mp.cosh(half)))


def linear_memory() -> Iterator[Known]:
    """zeta = lam^2 (a^2 (1 + 1/alpha_D) + v)/2 for the query a xi + sqrt(v) w, since <c> = 1, <c^2> = 1 + 1/alpha_D."""
    ratio, third = mp.mpf(1) / 2, mp.mpf(3)
    yield known("rem-condensation", "manifold", 1, alpha=third / 2, alpha_D=ratio)
    yield known("participation-ratio", "manifold", mp.mpf(1) / 2, alpha=third / 2, alpha_D=ratio, lam=2)
    yield known("retrieval-capacity", "manifold", 1 / (2 * third), alpha_D=ratio, lam=1)
    lam, a, v = mp.mpf(1) / 5, mp.mpf("0.8"), mp.mpf("0.1")
    yield known("retrieval-capacity", "manifold", lam - lam**2 * third / 2, alpha_D=ratio, lam=lam)
    load = lam * a - lam**2 * (a**2 * third + v) / 2
    yield known("retrieval-basin", "manifold", a, alpha=load, alpha_D=ratio, lam=lam, v=v)
    yield known("retrieval-basin", "manifold", a / mp.sqrt(a**2 + v), "cosine", alpha=load, alpha_D=ratio, lam=lam, v=v)


def gaussian_diffusion() -> Iterator[Known]:
    """psi_s(b) = -(log(1 + b) + b (1 + s)/(1 + b))/2."""

    def psi(b: object, s: object = 0) -> object:
        return -(mp.log(1 + b) + b * (1 + s) / (1 + b)) / 2

    yield from _diffusion("gaussian", psi, lambda b: (1 / (1 + b) + 1 / (1 + b) ** 2) / 2)


def binary_diffusion() -> Iterator[Known]:
    """psi_s(b) = E log (exp(-b s w^2/2) + exp(-b (2 + sqrt(s) w)^2/2))/2 over the noise w."""

    def psi(b: object, s: object = 0) -> object:
        if s == 0:
            return mp.log((1 + mp.exp(-2 * b)) / 2)

        def body(w: object) -> object:
            near, far = -b * s * w**2 / 2, -b * (2 + mp.sqrt(s) * w) ** 2 / 2
            return mp.log((mp.exp(near) + mp.exp(far)) / 2) * mp.npdf(w)

        return mp.quad(body, [-12, -6, -3, 0, 3, 6, 12])

    yield from _diffusion("binary", psi, lambda b: 2 / (mp.exp(2 * b) + 1))


def _diffusion(ensemble: str, psi, energy) -> Iterator[Known]:
    """energy(b) = -psi_0'(b), half the squared distance to the nearest point where the noise condenses at b."""
    one = mp.mpf(1)
    yield known("onset-time", ensemble, 1, alpha=-psi(one))
    yield known("collapse-time", ensemble, 1, alpha=-one / 2 - psi(one, one))
    s = one / 2
    yield known("basin-radius", ensemble, mp.sqrt(s), alpha=-s / 2 - psi(one, s), t=1)
    load, nearest = -energy(one) - psi(one), 2 * energy(one)
    yield known("generalization-time", ensemble, nearest, alpha=load)
    yield known("kl-divergence", ensemble, nearest, "t_g", alpha=load, t=2)
    yield known("kl-divergence", ensemble, 1, "b_star", alpha=load, t=2)
    t = nearest / 2
    yield known("kl-divergence", ensemble, mp.log(t / nearest) / 2 + nearest / (2 * t) - one / 2, alpha=load, t=t)
    t = mp.mpf(2)
    yield known("kl-divergence", ensemble, mp.log(t / nearest) / 2 - psi(1 / t) - load - one / 2, alpha=load, t=t)


def spectra() -> Iterator[Known]:
    """Latent variances 1 and 16 on an eighth of all directions each: z = -1/g + sum alpha_k v_k/(1 + v_k g)."""
    law, ratio = "manifold, variances 1:1/2,16:1/2", mp.mpf(1) / 4
    parts = [(mp.mpf(1) / 8, mp.mpf(s) / ratio) for s in (1, 16)]

    def z(g: object) -> object:
        return -1 / g + sum(a * v / (1 + v * g) for a, v in parts)

    def slope(g: object) -> object:
        return 1 / g**2 - sum(a * v**2 / (1 + v * g) ** 2 for a, v in parts)

    brackets = ((-0.5, -0.26), (-0.24, -0.1), (-0.1, -0.0157), (-0.0155, -0.001))  # between the poles -1/v and 0
    places = [mp.findroot(slope, ends, solver="bisect", maxsteps=300, tol=mp.mpf(10) ** -30) for ends in brackets]
    edges = first, low, high, _ = sorted(map(z, places))
    yield known("spectral-edges", law, tuple(edges), alpha_D=ratio)
    gaps = (first / (3 + first), high / (3 + high) - low / (3 + low))
    yield known("spectral-gap", law, gaps, alpha_D=ratio, t=3)
    G = mp.mpf(1) / 5  # high/(t + high) - low/(t + low) = G is a quadratic equation, and low high the product
    half = ((high - low) / G - high - low) / 2
    opens, closes = (half + s * mp.sqrt(half**2 - low * high) for s in (1, -1))
    at = {"alpha_D": ratio, "resolution": G}
    yield known("gap-times", law, (first * (1 - G) / G, opens), **at)
    yield known("gap-times", law, (0, mp.sqrt(low * high)), "t_max", **at)
    yield known("gap-times", law, (0, closes), "t_close", **at)
    density = mp.sqrt(mp.mpf(15)) / (32 * mp.pi)  # of Marchenko and Pastur: sqrt((9 - c)(c - 1))/(8 pi c) at c = 4
    yield known("spectral-density", "manifold", density, alpha_D=ratio, c=4)
    yield known("spectral-density", "manifold", 16 * density, alpha_D=ratio, t=4, j=-mp.mpf(1) / 2)  # dc/dj = t/j^2
    yield known("spectral-density", "manifold", density, alpha_D=ratio)  # on a grid: the same, interpolated
    yield known("spectral-density", "manifold", 16 * density, alpha_D=ratio, t=4)
    below = mp.quad(lambda c: mp.sqrt((9 - c) * (c - 1)) / (8 * mp.pi * c), [1, 4])
    yield known("spectral-density", "manifold", mp.mpf(3) / 4 + below, "fraction_below", alpha_D=ratio, c=4)


_TANH, _RELU, _ERF, _SIGN = "manifold tanh(h)", "manifold Max(0, h)", "manifold erf(h)", "manifold sign(h)"
_STEP = "manifold Heaviside(h) + 1"


def saddles() -> Iterator[Known]:
    """Hidden manifolds of other activations, by the replica-symmetric saddle point."""
    ratio = 0.5
    tanh, relu, soft, sign = Manifold(np.tanh), Manifold(lambda h: np.maximum(h, 0), (0.0,)), Manifold(erf), Manifold(
        np.sign, (0.0,))
    lam, a, v = 0.7, 0.8, 0.1
    found = tanh.saddle(lambda x, xi: lam * a * x * xi, ratio, v / a**2)
    yield known("retrieval-basin", _TANH, a * tanh.rho, alpha=a * tanh.rho * lam - found["value"], alpha_D=ratio,
                lam=lam, v=v)
    cosine = a * np.sqrt(tanh.rho / (a**2 * tanh.rho + v))
    yield known("retrieval-basin", _TANH, cosine, "cosine", alpha=a * tanh.rho * lam - found["value"], alpha_D=ratio,
                lam=lam, v=v)
    found = tanh.diffusion(2.0, 0.0, ratio)
    load, nearest = -found["mean"] - found["value"], found["mean"]
    later = tanh.diffusion(1.0, 0.0, ratio)["value"]
    yield known("kl-divergence", _TANH, np.log(1 / nearest) / 2 - later - load - 0.5, alpha=load, alpha_D=ratio, t=1)
    level = tanh.diffusion(2.0, 0.25, ratio)["value"]
    yield known("basin-radius", _TANH, 0.5, alpha=-0.25 - level, alpha_D=ratio, t=0.5)
    found = relu.memory(0.5, 0.3)
    yield known("rem-condensation", _RELU, 0.5, alpha=0.5 * found["mean"] - found["value"], alpha_D=0.3)
    yield known("onset-time", _RELU, 1, alpha=-relu.diffusion(1.0, 0.0, 0.3)["value"], alpha_D=0.3)
    found = soft.memory(lam, ratio)
    yield known("retrieval-capacity", _ERF, soft.rho * lam - found["value"], alpha_D=ratio, lam=lam)
    yield known("collapse-time", _SIGN, 0.5, alpha=-0.5 - sign.diffusion(2.0, 0.5, ratio)["value"], alpha_D=ratio)
    step = Manifold(lambda h: np.heaviside(h, 0.5) + 1, (0.0,))  # entries whose squares differ
    found = step.diffusion(8.0, 0.0, ratio)
    entropy = -step.diffusion(56.0, 0.0, ratio)["value"]
    load = -4 * found["mean"] - found["value"]
    yield known("generalization-time", _STEP, entropy, "pattern_entropy", alpha=load, alpha_D=ratio)
    yield known("generalization-time", _STEP, found["mean"], alpha=load, alpha_D=ratio)


def closed() -> list[Known]:
    """All that need no saddle point, to twenty digits."""
    with mp.workdps(30):
        return [k for make in (spherical, independent, linear_memory, gaussian_diffusion, binary_diffusion, spectra)
                for k in make()]
