"""The recorded saddle points in the corners of the parameters, against a quadrature of its own.

At the overlaps on record the three conditions of section 3 of PHYSICS.md are evaluated, m = E[u L']/alpha_D,
q - m^2 = (r - q)^2 E[L'^2]/alpha_D and 1/(r - q) = 1 - E[L'']/alpha_D, and the free entropy.  L is in closed form for
the sign and the ReLU, and by Gauss-Legendre panels for tanh; the outer averages by panels, thousands of nodes wide.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_ndtr

RECORD = json.loads((Path(__file__).parents[2] / "book/records/saddle_corners.json").read_text("utf-8"))["points"]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
LOG_ROOT_2PI = 0.5 * np.log(2 * np.pi)


def panels(reach: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes on (-reach, reach), cut at 0, and weights of the Lebesgue measure."""
    edges = np.linspace(-reach, reach, 2 * count + 1)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half + half * NODES).ravel(), (half * WEIGHTS).ravel()


def site(name: str, pull: float, omega: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """L(omega) = log int Dw exp(pull sigma(omega + sqrt(width) w)), L' and L''."""
    root = np.sqrt(width)
    if name == "tanh":
        w, measure = panels(12, 12)
        depth = pull * np.tanh(omega[:, None] + root * w) + np.log(measure) - w * w / 2 - LOG_ROOT_2PI
        top = depth.max(1, keepdims=True)
        share = np.exp(depth - top)
        z = share.sum(1)
        first, second = share @ w / z, share @ (w * w) / z
        return top[:, 0] + np.log(z), first / root, (second - first**2 - 1) / width
    if name == "sign":
        level = np.logaddexp(log_ndtr(-omega / root) - pull, log_ndtr(omega / root) + pull)
        kink = np.exp(abs(pull) - omega**2 / (2 * width) - LOG_ROOT_2PI - level) / root
        first = np.sign(pull) * -np.expm1(-2 * abs(pull)) * kink
        return level, first, -omega / width * first - first**2
    tail = pull * omega + pull**2 * width / 2 + log_ndtr(omega / root + pull * root)
    level = np.logaddexp(log_ndtr(-omega / root), tail)
    active = np.exp(tail - level)
    kink = np.exp(-(omega**2) / (2 * width) - LOG_ROOT_2PI - level) / root
    return level, pull * active, pull**2 * active + pull * kink - (pull * active) ** 2


ACTIVATIONS = {"tanh": np.tanh, "sign": np.sign, "ReLU": lambda h: np.maximum(h, 0)}


@pytest.mark.parametrize(("name", "strength", "ratio"), [
    ("tanh", 50.0, 0.1), ("sign", 50.0, 0.5), ("ReLU", 3.0, 0.02),
    *(pytest.param(name, strength, ratio, marks=pytest.mark.slow) for name, strength, ratio in [
        ("tanh", 0.001, 20.0), ("tanh", 3.0, 0.02), ("tanh", 50.0, 0.02), ("tanh", 50.0, 20.0), ("sign", 0.001, 0.02),
        ("sign", 3.0, 0.1), ("sign", 50.0, 20.0), ("ReLU", 0.001, 2.0), ("ReLU", 3.0, 0.5), ("ReLU", 3.0, 20.0),
    ]),
])
def test_a_point_on_record_is_a_saddle_point(name: str, strength: float, ratio: float) -> None:
    (point,) = (p for p in RECORD["free entropy"][name] if p["at"] == [strength, ratio])
    assert point["converged"]
    m, q, r = point["overlaps"]
    p, width = q - m * m, r - q
    u, weight_u = panels(8.6, 18)
    v, weight_v = panels(8.6, 20 if name == "tanh" else 60)
    across = weight_v * np.exp(-v * v / 2 - LOG_ROOT_2PI)
    level, planted, square, bend = 0.0, 0.0, 0.0, 0.0
    for at, weight in zip(u, weight_u * np.exp(-u * u / 2 - LOG_ROOT_2PI), strict=True):
        value, slope, second = site(name, strength * float(ACTIVATIONS[name](at)), m * at + np.sqrt(p) * v, width)
        level += weight * (across @ value)
        planted += weight * at * (across @ slope)
        square += weight * (across @ slope**2)
        bend += weight * (across @ second)
    assert planted / ratio == pytest.approx(m, rel=1e-7)
    assert width**2 * square / ratio == pytest.approx(p, rel=1e-7)
    assert 1 - bend / ratio == pytest.approx(1 / width, rel=1e-6)
    entropic = ratio / 2 * (np.log(width) + p / width + 1 - r)
    assert entropic + level == pytest.approx(point["value"], rel=1e-9)
