"""A solver of the saddle point on a hidden manifold that shares no code with the package.

Written from the replica-symmetric cumulant as it stands in section 3 of PHYSICS.md, with NumPy and scipy.optimize: in
m, p = q - m^2 and V = r - q the stationary points are m = E[u L'], p = V^2 E[L'^2], 1/V = 1 - E[L''] (each average over
alpha_D), L(omega) = log int Dw exp g(x, sigma(omega + sqrt(V) w)).  Integrals over u and w by Gauss-Legendre panels,
cut at the kinks of sigma, over v and the noise of the query by Gauss-Hermite.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import root

_X, _W = np.polynomial.legendre.leggauss(24)


def panels(edges: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the standard normal law on panels."""
    e = np.asarray(edges)
    half = np.diff(e)[:, None] / 2
    nodes = (e[:-1, None] + half + half * _X).ravel()
    return nodes, (half * _W).ravel() * np.exp(-nodes**2 / 2) / np.sqrt(2 * np.pi)


def hermite(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the standard normal law for an analytic integrand."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    return nodes, weights / weights.sum()


@dataclass(frozen=True)
class Reference:
    """An activation as a NumPy function with its kinks."""

    sigma: Callable[[np.ndarray], np.ndarray]
    kinks: tuple[float, ...] = ()

    def line(self, width: float = 8.5, step: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
        base = np.arange(-width, width + step / 2, step)
        return panels(np.unique([*base, *self.kinks]))

    @property
    def rho(self) -> float:
        u, weight = self.line()
        return float(weight @ self.sigma(u) ** 2)

    def site(self, g: Callable, m: float, p: float, V: float, s: float, f: Callable | None = None) -> np.ndarray:
        """E L, E[u L'], E[L'^2], E[L''], E[L''^2], E<f>."""
        u, wu = self.line()
        v, wv = hermite(60)
        n, wn = hermite(40) if s else (np.zeros(1), np.ones(1))
        u, v, n = np.meshgrid(u, v, n, indexing="ij")
        weight = (wu[:, None, None] * wv[:, None] * wn).ravel()
        u, v, n = u.ravel(), v.ravel(), n.ravel()
        total = np.zeros(6)
        keep = weight > 1e-16
        u, v, n, weight = u[keep], v[keep], n[keep], weight[keep]
        for k in range(0, u.size, 4000):
            part = slice(k, k + 4000)
            total += self._chunk(g, m, p, V, s, f, u[part], v[part], n[part]) @ weight[part]
        return total

    def _chunk(self, g, m, p, V, s, f, u, v, n) -> np.ndarray:
        omega = m * u + np.sqrt(p) * v
        x = self.sigma(u) + np.sqrt(s) * n
        edges = np.broadcast_to(np.linspace(-9, 9, 7), (u.size, 7))
        cuts = [np.clip((k - omega) / np.sqrt(V), -9, 9)[:, None] for k in self.kinks]
        edges = np.sort(np.concatenate([edges, *cuts], 1), 1)
        half = np.diff(edges, axis=1)[..., None] / 2
        w = edges[:, :-1, None] + half + half * _X
        measure = (half * _W).reshape(u.size, -1)
        w = w.reshape(u.size, -1)
        xi = self.sigma(omega[:, None] + np.sqrt(V) * w)
        e = g(x[:, None], xi) - w**2 / 2 - np.log(2 * np.pi) / 2
        top = e.max(1, keepdims=True)
        tilt = np.exp(e - top) * measure
        z = tilt.sum(1)
        first, second = (tilt * w).sum(1) / z, (tilt * w**2).sum(1) / z
        slope, curve = first / np.sqrt(V), (second - first**2 - 1) / V
        mean = (tilt * f(x[:, None], xi)).sum(1) / z if f else np.zeros_like(z)
        return np.stack([np.log(z) + top[:, 0], u * slope, slope**2, curve, curve**2, mean])

    def saddle(self, g: Callable, ratio: float, s: float = 0.0, f: Callable | None = None,
               start: tuple[float, float, float] = (0.3, 0.1, 0.8)) -> dict[str, float]:
        """The stationary point: value, overlaps, replicon, the mean of f."""

        def step(y: np.ndarray) -> np.ndarray:
            m, p, V = y[0], np.exp(y[1]), np.exp(y[2])
            _, planted, square, curve, _, _ = self.site(g, m, p, V, s)
            return np.array([planted / ratio - m, np.log(V**2 * square / ratio) - y[1],
                             -np.log(max(1 - curve / ratio, 1e-3)) - y[2]])

        y = np.array([start[0], np.log(start[1]), np.log(start[2])])
        for _ in range(6):
            y = y + 0.6 * step(y)
        found = root(step, y, method="hybr", options={"xtol": 1e-11})
        assert np.abs(found.fun).max() < 1e-9, found
        m, p, V = found.x[0], float(np.exp(found.x[1])), float(np.exp(found.x[2]))
        level, _, _, _, square, mean = self.site(g, m, p, V, s, f)
        entropic = ratio / 2 * (np.log(V) + p / V + 1 - (V + p + m * m))
        return {"value": entropic + level, "m": m, "q": p + m * m, "r": V + p + m * m,
                "replicon": 1 - V**2 * square / ratio, "mean": mean}

    def memory(self, lam: float, ratio: float, **more: object) -> dict[str, float]:
        """zeta(lam) and, as "mean", zeta'(lam)."""
        return self.saddle(lambda x, xi: lam * x * xi, ratio, f=lambda x, xi: x * xi, **more)  # type: ignore[arg-type]

    def diffusion(self, b: float, s: float, ratio: float, **more: object) -> dict[str, float]:
        """psi_s(b) and, as "mean", the mean squared distance."""
        return self.saddle(lambda x, xi: -b * (x - xi) ** 2 / 2, ratio, s, lambda x, xi: (x - xi) ** 2,
                           **more)  # type: ignore[arg-type]

    def information(self, t: float, ratio: float) -> float:
        """Mutual information per N of a pattern and its noisy version, as a problem of one overlap q.

        I = extr_q -ratio/2 [log(1 - q) + q] + I(y; x | omega), with y = sigma(omega + sqrt(1 - q) w), x = y + noise of
        variance t, omega of variance q: the scalar channel that is left when m = q and r = 1.
        """
        from scipy.optimize import minimize_scalar

        def at(q: float) -> float:
            v, wv = hermite(50)
            omega, V = np.sqrt(q) * v, 1 - q
            y_all = self.sigma(omega[:, None] + np.sqrt(V) * np.linspace(-8, 8, 65))
            x = np.linspace(y_all.min() - 8 * np.sqrt(t), y_all.max() + 8 * np.sqrt(t), 301)
            cuts = [np.clip((k - omega) / np.sqrt(V), -9, 9)[:, None] for k in self.kinks]
            edges = np.sort(np.concatenate([np.broadcast_to(np.linspace(-9, 9, 7), (v.size, 7)), *cuts], 1), 1)
            half = np.diff(edges, axis=1)[..., None] / 2
            w = (edges[:, :-1, None] + half + half * _X).reshape(v.size, -1)
            measure = (half * _W).reshape(v.size, -1) * np.exp(-w**2 / 2) / np.sqrt(2 * np.pi)
            xi = self.sigma(omega[:, None] + np.sqrt(V) * w)
            density = np.einsum("vxw,vw->vx", np.exp(-((x[:, None] - xi[:, None]) ** 2) / (2 * t)), measure)
            density /= np.sqrt(2 * np.pi * t)
            logs = np.log(np.maximum(density, 1e-300))
            entropy = -(density * logs).sum(1) * (x[1] - x[0])
            return -ratio / 2 * (np.log(1 - q) + q) + wv @ entropy - np.log(2 * np.pi * np.e * t) / 2

        found = minimize_scalar(at, bounds=(1e-6, 1 - 1e-6), method="bounded", options={"xatol": 1e-9})
        return float(found.fun)
