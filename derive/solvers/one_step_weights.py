"""What one replica adds to the energy of a site, on grids over the fields that replicas share.

Every weight gives the sum over sites of `one_step_averages` at given coordinates, on a grid of a chosen fineness:
trapezoidal rules in the Gaussian fields v (common) and y (of a block), in which everything is analytic, and for a site
with an activation the rules of `saddle_averages` in the planted field, in the noise and in a replica's own field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from derive.solvers.one_step_averages import Array, BlockAverages, OutOfWindow, block_averages
from derive.solvers.saddle_averages import (
    Mesh,
    SiteFunctions,
    Unresolved,
    outer_rule,
    site_cumulants,
    trapezoid,
)

__all__ = ["FieldWeight", "SiteWeight", "SpinWeight", "Weight"]

CHUNK = 2**17
"""Numbers in one array, at most."""
LIMIT = 8_000_000
"""Points of a grid, at most."""
COARSEST, SHRINK, FINEST = 0.8, 0.7, 16
"""The steps of the trapezoidal rules are COARSEST * SHRINK**k, k up to FINEST."""
UNPLANTED = 1e-9
"""Overlaps with a planted pattern that the query does not know of, below which they vanish."""
REACHES = (10.0, 20.0, 40.0)
"""How far the field of a block is followed: its tilt moves its weight from the middle.  The first that does."""
Fineness = tuple[int, int, int]
"""How fine the grid is in the common field, in the field of a block, and in what a site has besides."""


class Weight(Protocol):
    """The energy of a site at coordinates (m, p, d, V, x), on a grid.

    axes: which entries of a fineness the grid has.
    """

    @property
    def axes(self) -> tuple[int, ...]: ...

    def averages(self, at: Sequence[float], fineness: Fineness) -> BlockAverages:
        """Raises: Unresolved where the grid would be larger than is allowed."""
        ...


def _rule(step: float, variance: float, reach: float = 8.4) -> tuple[Array, Array]:
    """Nodes of unit width and weights; a single node where the field has no variance."""
    if variance <= 0.0:
        return np.zeros(1), np.ones(1)
    nodes, weights, _ = trapezoid(step, reach)
    return nodes, weights


def _step(fineness: int) -> float:
    if fineness > FINEST:
        raise Unresolved("the averages need a grid beyond what is allowed")
    return float(COARSEST * SHRINK**fineness)


def _in_window(averages: Callable[[float], BlockAverages]) -> BlockAverages:
    """The averages with the field of a block followed as far as it takes."""
    for reach in REACHES[:-1]:
        try:
            return averages(reach)
        except OutOfWindow:
            continue
    return averages(REACHES[-1])


def _added(parts: Sequence[BlockAverages]) -> BlockAverages:
    return BlockAverages(
        sum(k.value for k in parts),
        np.sum([k.gradient for k in parts], 0),
        np.sum([k.hessian for k in parts], 0),
        sum(k.curvature_square for k in parts),
        sum(k.inside for k in parts),
        sum(k.between for k in parts),
        tuple(sum(column) for column in zip(*(k.extras for k in parts), strict=True)),
        sum(k.size for k in parts),
    )


class _Fields:
    """Weights of replicas without a planted pattern: phi depends on the field and its own variance alone."""

    axes = (0, 1)

    def levels(self, omega: Array, variance: float) -> list[Array]:
        raise NotImplementedError

    def averages(self, at: Sequence[float], fineness: Fineness) -> BlockAverages:
        return _in_window(lambda reach: self._averages(at, fineness, reach))

    def _averages(self, at: Sequence[float], fineness: Fineness, reach: float) -> BlockAverages:
        _, p, d, variance, x = (float(c) for c in at)
        v, weight = _rule(_step(fineness[0]), p)
        y, block = _rule(_step(fineness[1]), d, reach)
        if v.size * y.size > LIMIT:
            raise Unresolved("the averages need a grid beyond what is allowed")
        rows = max(1, CHUNK // y.size)
        parts = []
        for k in range(0, v.size, rows):
            omega = np.sqrt(max(p, 0.0)) * v[k : k + rows, None] + np.sqrt(max(d, 0.0)) * y
            levels = self.levels(omega, variance)
            parts.append(block_averages(levels, np.zeros(omega.shape[0]), weight[k : k + rows], block, x))
        return _added(parts)


@dataclass(frozen=True)
class FieldWeight(_Fields):
    """phi by a function that gives it and its first four derivatives in the field."""

    function: Callable[[Array, float], Sequence[Array]]

    def levels(self, omega: Array, variance: float) -> list[Array]:
        return [np.broadcast_to(np.asarray(a, dtype=float), omega.shape) for a in self.function(omega, variance)]


@dataclass(frozen=True)
class SpinWeight(_Fields):
    """A spin with finitely many values in its field: phi = log sum_s w_s exp(s (omega + h) + V s^2/2)."""

    points: tuple[float, ...]
    weights: tuple[float, ...]
    field: float = 0.0

    def levels(self, omega: Array, variance: float) -> list[Array]:
        s = np.asarray(self.points)
        exponent = s * (omega[..., None] + self.field) + 0.5 * variance * s * s + np.log(np.asarray(self.weights))
        top = exponent.max(-1, keepdims=True)
        share = np.exp(exponent - top)
        norm = share.sum(-1)
        share /= norm[..., None]
        mean = share @ s
        off = s - mean[..., None]
        second, third, fourth = (np.einsum("...s,...s->...", share, off**k) for k in (2, 3, 4))
        return [top[..., 0] + np.log(norm), mean, second, third, fourth - 3.0 * second * second]


@dataclass(frozen=True)
class SiteWeight:
    """A site with an activation: phi = log E_w exp g(x, sigma(omega + sqrt(V) w)), x the query.

    mesh: of the replica-symmetric saddle nearby, which says where the planted field and the own field are cut and
    whether the latter needs more than a fixed rule.
    """

    site: SiteFunctions
    mesh: Mesh
    axes = (0, 1, 2)

    def _mesh(self, fineness: int) -> Mesh:
        """The mesh, its steps shortened and its panels of higher order with the fineness."""
        mesh, step = self.mesh, 0.5 * 0.75**fineness
        return replace(
            mesh, step_u=step if mesh.step_u else 0.0, step_noise=step, step_w=mesh.step_w * 0.9**fineness,
            order_u=mesh.order_u + fineness, order_w=mesh.order_w + fineness,
        )

    def averages(self, at: Sequence[float], fineness: Fineness) -> BlockAverages:
        return _in_window(lambda reach: self._averages(at, fineness, reach))

    def _averages(self, at: Sequence[float], fineness: Fineness, reach: float) -> BlockAverages:
        m, p, d, variance, x = (float(c) for c in at)
        site, mesh = self.site, self._mesh(fineness[2])
        noise, weight_n = _rule(mesh.step_noise, 1.0 if site.noisy else 0.0)
        u, weight_u, _ = outer_rule(site, mesh)
        unplanted = False
        queries = site.query(u[:, None], noise[None, :]) + 0.0 * u[:, None]
        if abs(m) < UNPLANTED and np.ptp(queries, axis=0).max() == 0.0:
            # nothing knows of the planted field: its first two moments are all that is asked for
            m, u, weight_u, unplanted = 0.0, np.zeros(1), np.ones(1), True
            if site.even:  # and all fields may change sign together
                half = noise.size // 2
                noise, weight_n = noise[half:], weight_n[half:] * np.where(np.arange(noise.size - half) > 0, 2.0, 1.0)
        root_v = float(np.sqrt(max(variance, 0.0)))
        at_v, weight_v, at_y, block, spacing = _common_grid(
            float(np.sqrt(max(p, 0.0))), float(np.sqrt(max(d, 0.0))), _step(fineness[0]), _step(fineness[1]), reach)
        places = at_v[:, None] + at_y
        used, index = np.unique(places, return_inverse=True)
        index = index.reshape(places.shape)
        shared = spacing * used
        per_u = places.size * noise.size
        if per_u * u.size > LIMIT:
            raise Unresolved("the averages need a grid beyond what is allowed")
        both = np.outer(weight_v, weight_n)
        rows = max(1, CHUNK // per_u)
        parts = []
        for k in range(0, u.size, rows):
            here = u[k : k + rows]
            omega = (m * here[:, None] + shared)[:, :, None]
            x_query = np.broadcast_to(site.query(here[:, None], noise[None, :]), (here.size, noise.size))[:, None, :]
            matter = None
            if mesh.adaptive:
                wide = shared**2 / max(p + d, 1e-300)
                matter = np.exp(-0.5 * (here[:, None, None] ** 2 + wide[:, None] + noise**2))
            (level, *cumulants), extras, _ = site_cumulants(site, mesh, x_query, omega, root_v, matter, True)
            cumulants[1] = cumulants[1] - 1.0
            shape = (here.size, shared.size, noise.size)

            def by_block(a: Array, shape: tuple[int, ...] = shape) -> Array:
                """From axes (u, field, noise) to (u and v and noise, y)."""
                whole = np.moveaxis(np.broadcast_to(a, shape), 2, 1)[:, :, index]
                return np.moveaxis(whole, 1, 2).reshape(-1, block.size)

            levels = [by_block(a) / root_v**power for power, a in enumerate((level, *cumulants))]
            weight = (weight_u[k : k + rows, None, None] * both).ravel()
            at_u = np.repeat(here, weight_v.size * noise.size)
            square = np.ones(at_u.size) if unplanted else None
            parts.append(block_averages(levels, at_u, weight, block, x, [by_block(a) for a in extras], square))
        return _added(parts)


def _common_grid(
    root_p: float, root_d: float, step_v: float, step_y: float, reach: float
) -> tuple[Array, Array, Array, Array, float]:
    """Trapezoidal rules for a common field and that of a block whose sums are multiples of one spacing.

    Returns: places of the common field and its weights, those of the field of a block, and the spacing.
    """
    widths = [w for w in (root_p * step_v, root_d * step_y) if w > 0.0]
    spacing = min(widths, default=1.0)

    def rule(root: float, step: float, end: float) -> tuple[Array, Array]:
        if root <= 0.0:
            return np.zeros(1, dtype=int), np.ones(1)
        stride = max(1, int(root * step / spacing + 1e-9))
        count = int(np.ceil(end * root / (stride * spacing)))
        places = stride * np.arange(-count, count + 1)
        density = np.exp(-0.5 * (places * spacing / root) ** 2)
        return places, density / density.sum()

    return (*rule(root_p, step_v, 8.4), *rule(root_d, step_y, reach), spacing)
