"""Averages over one site of a replica-symmetric free entropy, on grids that follow the integrand.

NumPy alone; like `runtime`, this text may be copied into an exported file.

With omega = m u + sqrt(p) v, p = q - m^2, V = r - q and y = omega + sqrt(V) w, a site has the free entropy
L(x, omega) = log int Dw exp g(x, sigma(y)).  Its derivatives in omega never need those of sigma: under the tilted
weight of w they are cumulants, l_k = V^(k/2) d^k L / d omega^k = kappa_k(w) - [k = 2].

Three kinds of grids.  In w: Gauss-Legendre cells between the kinks of sigma, halved where the integrand asks for it
(narrow peaks of a sharp posterior), in the log domain.  In u: Gauss-Legendre panels between kinks, halved likewise.
In v and in the noise of the query, where the integrand is analytic: the trapezoidal rule, which converges
exponentially, with every second node as its own control.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from derive.solvers.saddle_pieces import Form, Piece, closed_moments

Array = npt.NDArray[Any]

LOG_ROOT_2PI = 0.9189385332046727
WINDOW = 9.0
"""Half-width of the window in w; what lies beyond is looked for only where the tilt has not died away at its ends."""
NEGLECT = 34.0
"""Cells below exp(-NEGLECT) of the largest one are left alone."""
CELLS = 400
"""Cells of one inner integral at most, on average over a batch."""
CHUNK = 2**15
"""Numbers in one array of integrand values: what stays in the cache of a core; larger ones take five times as long."""
PLANE = 2_000_000
"""Points of a grid of (query, common field), at most."""
LIMIT = 400_000_000
"""Values of the integrand in one pass, at most."""
NAMES = ("L", "l1", "l2", "l1^2", "l2^2", "l3", "l4", "l1 l3", "l1^2 l2", "l1 l2")
"""The averages taken at every node of (u, v, noise)."""


class Unbounded(ArithmeticError):
    """The exponent outgrows the Gaussian: the free entropy of a site is infinite."""


class Unresolved(ArithmeticError):
    """The grid that would be needed is larger than is allowed."""


class Undefined(ArithmeticError):
    """The activation or the exponent is not a real number somewhere on the line."""


@dataclass(frozen=True)
class SiteFunctions:
    """One site at one point of the parameters.

    sigma(h), query(u, noise), exponent(x, xi) and the extra averages' integrands (x, xi) are elementwise functions;
    kinks are the points at which sigma is not smooth; noisy says whether the query depends on the noise; even whether
    the tilted weight is unchanged when u, v, w (and the noise) change sign; tolerance is the quadrature error aimed
    at, relative to the average absolute value.
    """

    sigma: Callable[[Array], Array]
    query: Callable[[Array, Array], Array]
    exponent: Callable[[Array, Array], Array]
    extras: tuple[Callable[[Array, Array], Array], ...]
    ratio: float
    kinks: tuple[float, ...] = ()
    noisy: bool = False
    even: bool = False
    tolerance: float = 1e-10
    pieces: tuple[Piece, ...] = ()
    """The activation where it is a straight line on intervals; then `form` and `forms` are the exponent and the extra
    averages' integrands, all quadratic in xi, and no quadrature is taken over w."""
    form: Form | None = None
    forms: tuple[Form, ...] = ()
    limit: int = LIMIT
    """Values of the integrand in one pass, at most."""


@dataclass(frozen=True)
class Mesh:
    """Where the averages are taken.

    step_u, step_w: steps of the trapezoidal rule in u and w, where sigma is smooth; 0 where Gauss-Legendre cells are
    used instead, in u between `edges` with `order_u` nodes each, in w between `cells` with `order_w`.
    step_v, step_noise: steps of the trapezoidal rule in v and in the noise.
    adaptive: integrals over w are checked, and their cells halved, in every pass.
    """

    step_u: float
    step_v: float
    step_noise: float
    step_w: float
    edges: tuple[float, ...]
    cells: tuple[float, ...]
    order_u: int
    order_w: int
    adaptive: bool = False


@dataclass(frozen=True)
class Averages:
    """Averages in the order of NAMES, with u as a further factor in `with_u` (of l1, l2 (u^2), l3, l1 l2).

    error is an estimate of the quadrature error of L, l2, l1^2, l2^2 and u l1; extras the tilted averages asked for;
    better the mesh that an improvement would use (the same one where none is needed); size the number of values of
    the integrand.
    """

    plain: Array
    with_u: Array
    extras: Array
    error: Array
    better: Mesh
    size: int


@lru_cache(maxsize=16)
def legendre_rule(order: int) -> tuple[Array, Array, Array, Array]:
    """Nodes and weights on (-1, 1), and maps from values to middle and last Legendre coefficients."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    every = weights[:, None] * np.polynomial.legendre.legvander(nodes, order - 1) * (np.arange(order) + 0.5)
    half = order // 2
    return nodes, weights, every[:, half - 2 : half + 1], every[:, order - 3 :]


def decay(values: Array, order: int) -> Array:
    """Error of the Gauss rule on (-1, 1), from the decay of the Legendre coefficients; values (..., order)."""
    _, _, middle_map, last_map = legendre_rule(order)
    middle = np.abs(values @ middle_map).max(-1)
    last = np.abs(values @ last_map).max(-1)
    ratio = np.minimum(1.0, last / np.where(middle > 0.0, middle, 1.0))
    return np.asarray(2.0 * last * ratio**2)


@lru_cache(maxsize=64)
def trapezoid(step: float, reach: float = 8.4) -> tuple[Array, Array, Array]:
    """Nodes of the trapezoidal rule for a standard normal variable, its weights, and those of every second node."""
    count = 2 * int(np.ceil(reach / (2.0 * step)))
    k = np.arange(-count, count + 1)
    density = np.exp(-0.5 * (step * k) ** 2)
    coarse = np.where(k % 2 == 0, density, 0.0)
    return step * k, density / density.sum(), coarse / coarse.sum()


# --- one site: the integral over w -------------------------------------------------------------------------------


def inner_rule(site: SiteFunctions, mesh: Mesh, omega: Array, root_v: float) -> tuple[Array, Array, Array]:
    """Nodes w, weights, and those of the rule's control (none for cells); (K,) or with the axes of omega and one more.

    Where sigma has kinks the cells are cut at them.
    """
    if mesh.step_w:
        w, _, _ = trapezoid(mesh.step_w, WINDOW)
        measure = np.full(w.size, mesh.step_w)
        return w, measure, np.where(np.arange(w.size) % 2 == 0, 2.0 * measure, 0.0)
    nodes, weights, _, _ = legendre_rule(mesh.order_w)
    edges = np.asarray(mesh.cells)
    if site.kinks:
        cuts = np.clip((np.asarray(site.kinks) - omega[..., None]) / root_v, -WINDOW, WINDOW)
        edges = np.sort(np.concatenate([np.broadcast_to(edges, (*omega.shape, edges.size)), cuts], -1), -1)
    half = 0.5 * np.diff(edges)
    w = (edges[..., :-1] + half)[..., None] + half[..., None] * nodes
    shape = (*w.shape[:-2], w.shape[-2] * w.shape[-1])
    measure = (half[..., None] * weights).reshape(shape)
    return w.reshape(shape), measure, np.zeros_like(measure)


def site_cumulants(
    site: SiteFunctions, mesh: Mesh, x: Array, omega: Array, root_v: float, matter: Array | None, want_extras: bool
) -> tuple[list[Array], list[Array], float]:
    """L, the mean and the cumulants 2..4 of w, the extra averages, and the share of integrals that were refined.

    Args: x of shape (U, 1, N), omega of shape (U, V, 1); matter, of shape (U, V, N), the weight of each integral in
    the average, relative to the largest: where it is given the integrals are checked.  Returns arrays (U, V, N).
    """
    if site.form is not None:
        level, raw, extras = closed_moments(site.pieces, site.form, site.forms, x, omega, root_v, want_extras)
        if not np.isfinite(level).all():
            raise _not_a_number(level)
        return [level, *cumulants(*raw)], extras, 0.0
    check = matter is not None
    w, measure, control = inner_rule(site, mesh, omega, root_v)
    fixed = w.ndim == 1
    xi = site.sigma(omega[..., None] + root_v * w)
    wide_x = x[..., None]
    phi = site.exponent(wide_x, xi) - 0.5 * w * w
    top = phi.max(-1, keepdims=True)
    if not np.isfinite(top).all():
        raise _not_a_number(phi)
    e = np.exp(phi - top)
    parts: list[Array] = []
    if fixed:
        columns = measure[:, None] * w[:, None] ** np.arange(5)
        if check:
            columns = np.concatenate([columns, control[:, None] * w[:, None] ** np.array([0, 2])], 1)
        parts = list(np.moveaxis(e @ columns, -1, 0))
    else:
        e *= measure
        f = e
        for k in range(5):
            f = f * w if k else f
            parts.append(f.sum(-1))
    z = parts[0]
    moments = [top[..., 0] + np.log(z), *(part / z for part in parts[1:5])]
    extras = []
    if want_extras:
        weight = e * measure if fixed else e
        extras = [(np.broadcast_to(f(wide_x, xi), phi.shape) * weight).sum(-1) / z for f in site.extras]
    share = 0.0
    if matter is not None:
        flagged, wide = _flags(site, mesh, phi, top[..., 0], parts, measure, matter)
        share = float(np.count_nonzero(flagged)) / flagged.size
        if share:
            all_x = np.broadcast_to(x, z.shape)[flagged]
            all_omega = np.broadcast_to(omega, z.shape)[flagged]
            moments, extras = [np.array(a) for a in moments], [np.array(a) for a in extras]
            step = max(1, CHUNK // (16 * (8 + len(site.kinks))))
            found = [
                _adaptive(site, all_x[k : k + step], all_omega[k : k + step], root_v, wide, want_extras)
                for k in range(0, all_x.size, step)
            ]
            for j, target in enumerate([*moments, *extras]):
                target[flagged] = np.concatenate([part[j] for part in found])
    return [moments[0] - LOG_ROOT_2PI, *cumulants(*moments[1:])], extras, share


def cumulants(m1: Array, m2: Array, m3: Array, m4: Array) -> tuple[Array, Array, Array, Array]:
    """Mean and cumulants 2, 3, 4 from the raw moments."""
    k2 = m2 - m1 * m1
    k3 = m3 - 3.0 * m1 * m2 + 2.0 * m1**3
    k4 = m4 - 4.0 * m1 * m3 - 3.0 * m2 * m2 + 12.0 * m1 * m1 * m2 - 6.0 * m1**4
    return m1, k2, k3, k4


def _not_a_number(phi: Array) -> ArithmeticError:
    if np.isnan(phi).any():
        return Undefined("the activation or the exponent is not a number somewhere on the line")
    return Unbounded("the exponent is infinite at a finite field")


def _flags(
    site: SiteFunctions, mesh: Mesh, phi: Array, top: Array, parts: Sequence[Array], measure: Array, matter: Array
) -> tuple[Array, bool]:
    """Which integrals their rule does not resolve; and whether for some of them the window is too narrow."""
    z = parts[0]
    seen = matter > 1e-13
    ends = seen & (np.maximum(phi[..., 0], phi[..., -1]) - top + np.log(np.maximum(matter, 1e-300)) > -NEGLECT)
    if mesh.step_w:
        steep = np.abs(np.diff(phi, axis=-1))
        apart = np.maximum(np.abs(z - parts[5]), np.abs(parts[2] - parts[6])) / z
        rough = np.minimum(apart, 1.0) ** 1.8 * matter > site.tolerance
        hidden = ((steep > 8.0) & (phi[..., 1:] - top[..., None] + 0.5 * steep > -NEGLECT)).any(-1)
        return ends | rough | (hidden & seen), bool(ends.any())
    order = mesh.order_w
    cells = (*phi.shape[:-1], phi.shape[-1] // order, order)
    depth = (phi - top[..., None]).reshape(cells)
    jump = np.abs(np.diff(depth, axis=-1)).max(-1)
    lengths = measure.reshape(*measure.shape[:-1], *cells[-2:]).sum(-1)
    hidden = (jump > 8.0) & (depth.max(-1) + 0.5 * jump > -NEGLECT) & (lengths > 0.0)
    error = (decay(np.exp(depth), order) * lengths).sum(-1)
    return ends | (hidden.any(-1) & seen) | (error * matter > 1e-2 * site.tolerance * z), bool(ends.any())


def _adaptive(
    site: SiteFunctions, x: Array, omega: Array, root_v: float, wide: bool, want_extras: bool
) -> list[Array]:
    """log of the integral, raw moments 1..4 of w and the extra averages, for flat arrays x and omega.

    Raises: Unbounded where the integrand does not die away; Unresolved where too many cells are needed.
    """
    order = 16
    nodes, weights, _, _ = legendre_rule(order)
    n = x.size
    base = np.array([-WINDOW, -3.0, 3.0, WINDOW])
    if wide:
        outer = np.concatenate([np.arange(15.0, 64.0, 6.0), [90.0, 130.0, 200.0, 400.0, 1000.0]])
        base = np.concatenate([-outer[::-1], base, outer])
    edges = np.broadcast_to(base, (n, base.size))
    if site.kinks:
        cuts = np.clip((np.asarray(site.kinks) - omega[:, None]) / root_v, base[0], base[-1])
        edges = np.sort(np.concatenate([edges, cuts], 1), 1)
    row = np.repeat(np.arange(n), edges.shape[1] - 1)
    low, high = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    kept = high > low
    row, low, high = row[kept], low[kept], high[kept]
    top = np.full(n, -np.inf)
    rows, peaks, sums = [], [], []
    settled = np.zeros(n)  # what the accepted cells sum up to, relative to exp(reference)
    reference = np.full(n, -np.inf)
    for depth in range(60):
        half = 0.5 * (high - low)
        w = (low + half)[:, None] + half[:, None] * nodes
        xi = site.sigma(omega[row, None] + root_v * w)
        here_x = x[row, None]
        phi = site.exponent(here_x, xi) - 0.5 * w * w
        peak = phi.max(1)
        if not np.isfinite(peak).all():
            raise _not_a_number(phi)
        np.maximum.at(top, row, peak)
        if wide and depth == 0:
            first, last = np.flatnonzero(low == base[0]), np.flatnonzero(high == base[-1])
            if (phi[first, 0] > top[row[first]] - 30.0).any() or (phi[last, -1] > top[row[last]] - 30.0).any():
                raise Unbounded("the exponent outgrows the Gaussian weight of the hidden field")
        values = np.exp(phi - peak[:, None])
        weight = values * (half[:, None] * weights)
        z = weight.sum(1)
        # totals of the rows, old and new, in units of exp(top)
        old = settled * np.exp(np.where(np.isfinite(reference), reference - top, 0.0))
        share = np.exp(peak - top[row])
        total = old + np.bincount(row, z * share, n)
        jump = np.abs(np.diff(phi, axis=1)).max(1)
        below = peak - top[row]
        rough = decay(values, order) * 2.0 * half * share > 1e-3 * site.tolerance * total[row]
        hidden = (jump > 8.0) & (below + 0.5 * jump > -NEGLECT)
        bad = (rough | hidden) & (half > 1e-13 * np.maximum(1.0, np.abs(low)))
        good = ~bad
        settled = old + np.bincount(row[good], (z * share)[good], n)
        reference = top.copy()
        w_good = w[good]
        parts = [z[good]]
        powers = weight[good]
        for _ in range(4):
            powers = powers * w_good
            parts.append(powers.sum(1))
        if want_extras:
            parts += [(np.broadcast_to(f(here_x, xi), phi.shape)[good] * weight[good]).sum(1) for f in site.extras]
        keep = below[good] > -80.0
        rows.append(row[good][keep])
        peaks.append(peak[good][keep])
        sums.append(np.stack(parts)[:, keep])
        if not bad.any():
            break
        if np.count_nonzero(bad) > CELLS * n:
            raise Unresolved("the posterior of a site is too sharp for the cells allowed")
        row, low, high = row[bad], low[bad], high[bad]
        middle = 0.5 * (low + high)
        row, low, high = np.concatenate([row, row]), np.concatenate([low, middle]), np.concatenate([middle, high])
    every, peak, parts_all = np.concatenate(rows), np.concatenate(peaks), np.concatenate(sums, 1)
    share = np.exp(peak - top[every])
    out = [np.bincount(every, part * share, n) for part in parts_all]
    return [top + np.log(out[0]), *(part / out[0] for part in out[1:])]


# --- all sites: the averages over u, v and the noise -------------------------------------------------------------


def start_mesh(site: SiteFunctions, coarse: bool = False) -> Mesh:
    """A mesh to begin with."""
    smooth = not site.kinks
    outer = (0.0, 1.3, 3.0, 5.6) if coarse else (0.0, 1.0, 2.2, 3.7, 5.6, 8.4)
    inside = [k for k in site.kinks if abs(k) < outer[-1]]
    edges = {*outer, *(abs(k) for k in inside)} if site.even else {*outer, *(-e for e in outer), *inside}
    cells = (-WINDOW, -3.0, 3.0, WINDOW) if coarse else (-WINDOW, -4.0, -1.4, 1.4, 4.0, WINDOW)
    step = 1.1 if coarse else 0.75
    return Mesh(
        (0.7 if coarse else 0.45) if smooth else 0.0,
        step,
        step,
        (0.6 if coarse else 0.4) if smooth else 0.0,
        tuple(sorted(edges)),
        cells,
        6 if coarse else 10,
        10 if coarse else 16,
    )


def outer_rule(site: SiteFunctions, mesh: Mesh) -> tuple[Array, Array, Array]:
    """Nodes u, weights with the Gaussian density in them, and those of the control (none for panels)."""
    if mesh.step_u:
        u, weight, control = trapezoid(mesh.step_u)
        if not site.even:
            return u, weight, control
        half = u.size // 2
        twice = np.where(np.arange(half + 1) > 0, 2.0, 1.0)
        return u[half:], weight[half:] * twice, control[half:] * twice
    nodes, weights, _, _ = legendre_rule(mesh.order_u)
    edges = np.asarray(mesh.edges)
    half_widths = 0.5 * np.diff(edges)
    u = (edges[:-1, None] + half_widths[:, None] * (nodes + 1.0)).ravel()
    density = np.exp(-0.5 * u * u - LOG_ROOT_2PI) * (2.0 if site.even else 1.0)
    weight = density * (half_widths[:, None] * weights).ravel()
    return u, weight, np.zeros_like(weight)


def _terms(
    site: SiteFunctions, mesh: Mesh, x: Array, omega: Array, root_v: float, matter: Array | None, extras: bool
) -> tuple[list[Array], float]:
    """What is averaged, in the order of NAMES, the extra averages after it; and the share of refined integrals."""
    (level, l1, l2, l3, l4), more, share = site_cumulants(site, mesh, x, omega, root_v, matter, extras)
    l2 = l2 - 1.0
    square = l1 * l1
    return [level, l1, l2, square, l2 * l2, l3, l4, l1 * l3, square * l2, l1 * l2, *more], share


@dataclass(frozen=True)
class Plane:
    """A grid of (query, common field), on which a noisy site is averaged: all that is averaged depends on these alone.

    x, omega: the two axes; at: flat places of the grid that carry weight; weight: theirs, relative to the largest;
    in_x, in_omega: weights of the axes for every u, and those of the rules with every second point.
    """

    x: Array
    omega: Array
    at: Array
    weight: Array
    in_x: tuple[Array, Array]
    in_omega: tuple[Array, Array]


def _axis(centre: Array, width: float, step: float) -> tuple[Array, tuple[Array, Array]]:
    """Points of a trapezoidal rule for normal variables of one width around several centres, and their weights."""
    reach = 8.4 * width
    points = width * step * np.arange(np.floor((centre.min() - reach) / (width * step)),
                                      np.ceil((centre.max() + reach) / (width * step)) + 1.0)
    density = np.exp(-0.5 * ((points - centre[:, None]) / width) ** 2)
    coarse = np.where(np.arange(points.size) % 2 == 0, density, 0.0)
    return points, (density / density.sum(1)[:, None], coarse / coarse.sum(1)[:, None])


def site_plane(
    site: SiteFunctions, mesh: Mesh, u: Array, normal: Array, point: tuple[float, float, float]
) -> Plane | None:
    """The grid for a query with noise of one width; None where there is none, or where it would be too large."""
    m, p, _ = point
    centre = np.broadcast_to(site.query(u, np.zeros_like(u)), u.shape)
    width = float(np.abs(site.query(u[:1], np.ones(1)) - centre[:1])[0])
    if not (p > 0.0 and width > 0.0 and np.isfinite(centre).all()):
        return None
    cells = (np.ptp(centre) / width + 17.0) / mesh.step_noise * ((abs(m) * np.ptp(u) / np.sqrt(p) + 17.0) / mesh.step_v)
    if cells > PLANE:
        return None
    x, in_x = _axis(centre, width, mesh.step_noise)
    omega, in_omega = _axis(m * u, float(np.sqrt(p)), mesh.step_v)
    weight = ((normal[:, None] * in_x[0]).T @ in_omega[0]).ravel()
    weight /= weight.max()
    at = np.flatnonzero(weight > 1e-18)
    return Plane(x, omega, at, weight[at], in_x, in_omega)


def _rows_on_plane(
    site: SiteFunctions, mesh: Mesh, plane: Plane, root_v: float, inner: float, checking: bool, check: bool,
    extras: bool,
) -> tuple[Array, float]:
    """Averages for every u, as on the full grid, from the values on the plane; and the share of refined integrals."""
    shape = (plane.x.size, plane.omega.size)
    count = len(NAMES) + (len(site.extras) if extras else 0)
    values = np.zeros((count, shape[0] * shape[1]))
    refined, step = 0.0, max(1, int(CHUNK / inner))
    for k in range(0, plane.at.size, step):
        here = plane.at[k : k + step]
        x, omega = plane.x[here // shape[1]], plane.omega[here % shape[1]]
        matter = plane.weight[k : k + step][:, None, None] if checking else None
        terms, share = _terms(site, mesh, x[:, None, None], omega[:, None, None], root_v, matter, extras)
        refined = max(refined, share)
        for j, term in enumerate(terms):
            values[j, here] = np.broadcast_to(term, (here.size, 1, 1))[:, 0, 0]
    on_plane = values.reshape(count, *shape)
    (full_x, coarse_x), (full_omega, coarse_omega) = plane.in_x, plane.in_omega
    over_x = full_x @ on_plane
    rows = np.zeros((count, full_x.shape[0], 3))
    rows[:, :, 0] = np.einsum("juo,uo->ju", over_x, full_omega)
    if check:
        rows[:, :, 1] = np.einsum("juo,uo->ju", over_x, coarse_omega)
        rows[:, :, 2] = np.einsum("juo,uo->ju", coarse_x @ on_plane, full_omega)
    return rows, refined


def site_averages(
    site: SiteFunctions, mesh: Mesh, point: tuple[float, float, float], check: bool = False, extras: bool = False
) -> Averages:
    """All averages at the overlaps (m, p, V).

    Args: check, whether errors are estimated and the mesh that would be better is found; extras, whether the extra
    averages are taken.
    Raises: Unbounded, Undefined, Unresolved.
    """
    m, p, response = point
    root_v, root_p = float(np.sqrt(response)), float(np.sqrt(p))
    u, normal, control = outer_rule(site, mesh)
    one = (np.zeros(1), np.ones(1), np.ones(1))
    v, weight_v, coarse_v = trapezoid(mesh.step_v) if p > 0.0 else one
    noise, weight_n, coarse_n = trapezoid(mesh.step_noise) if site.noisy else one
    pairs = ((weight_v, weight_n), (coarse_v, weight_n), (weight_v, coarse_n))
    both = np.stack([np.outer(a, b).ravel() for a, b in pairs], 1)
    inner = 2.0 * WINDOW / mesh.step_w if mesh.step_w else mesh.order_w * (len(mesh.cells) - 1 + len(site.kinks))
    inner = 4.0 * len(site.pieces) if site.form is not None else inner
    per_u = int(v.size * noise.size * inner)
    size = per_u * u.size
    checking = check or mesh.adaptive
    plane = site_plane(site, mesh, u, normal, point) if site.noisy else None
    if plane is not None and plane.at.size * inner < size:
        size = int(plane.at.size * inner)
        if size > site.limit:
            raise Unresolved("the averages need a grid beyond what is allowed")
        rows, refined = _rows_on_plane(site, mesh, plane, root_v, inner, checking, check, extras)
    else:
        if size > site.limit:
            raise Unresolved("the averages need a grid beyond what is allowed")
        step = max(1, CHUNK // per_u)
        count = len(NAMES) + (len(site.extras) if extras else 0)
        rows = np.empty((count, u.size, 3))
        refined = 0.0
        for k in range(0, u.size, step):
            here = u[k : k + step]
            omega = (m * here[:, None] + root_p * v)[:, :, None]
            x = np.broadcast_to(site.query(here[:, None], noise[None, :]), (here.size, noise.size))[:, None, :]
            matter = np.exp(-0.5 * (here[:, None, None] ** 2 + v[:, None] ** 2 + noise**2)) if checking else None
            terms, share = _terms(site, mesh, x, omega, root_v, matter, extras)
            refined = max(refined, share)
            for j, term in enumerate(terms):
                rows[j, k : k + step] = term.reshape(here.size, -1) @ both
    total = rows[:, :, 0] @ normal
    picked = rows[[1, 2, 5, 9]] * np.stack([u, u * u, u, u])[:, :, None]
    total_u = picked[:, :, 0] @ normal
    error, better = np.zeros(5), mesh
    if check:
        judged = np.concatenate([rows[[0, 2, 3, 4]], picked[:1]])
        error, better = _judge(site, mesh, judged, u, normal, control, p > 0.0, refined)
    return Averages(total[: len(NAMES)], total_u, total[len(NAMES) :], error, better, size)


def _judge(
    site: SiteFunctions, mesh: Mesh, rows: Array, u: Array, normal: Array, control: Array, wide: bool, refined: float
) -> tuple[Array, Mesh]:
    """Errors of the averages (rows over u, with their controls), and the mesh that would make them small enough."""
    values = rows[:, :, 0]
    sums = values @ normal
    sizes = np.abs(values) @ normal
    goal = np.maximum(site.tolerance * sizes, 1e-14)
    error = np.zeros(sums.size)
    steps: dict[str, Any] = {}
    edges = mesh.edges
    apart = {
        "step_v": rows[:, :, 1] @ normal if wide else None,
        "step_noise": rows[:, :, 2] @ normal if site.noisy else None,
        "step_u": values @ control if mesh.step_u else None,
    }
    for name, other in apart.items():
        if other is None:
            continue
        share = np.minimum(np.abs(sums - other) / np.maximum(sizes, 1e-300), 0.5)
        own = sizes * share**1.8  # a rule with twice the nodes: at least the square, taken with some care
        error = error + own
        # errors fall like exp(-c/step) at least
        scale = np.log(np.maximum(own / np.maximum(sizes, 1e-300), 1e-30)) / np.log(goal / np.maximum(sizes, 1e-30))
        factor = float(np.where(sizes > 0.0, scale, 2.0).min())
        if (own > goal).any():
            steps[name] = getattr(mesh, name) * min(max(0.95 * factor, 0.4), 0.9)
    if not mesh.step_u:
        half = 0.5 * np.diff(np.asarray(edges))
        density = np.exp(-0.5 * u * u - LOG_ROOT_2PI) * (2.0 if site.even else 1.0)
        # what the rules across are wrong by varies from node to node: no panel is fine enough for that
        per_panel = (-1, half.size, mesh.order_u)
        size = (np.abs(values) * normal).reshape(per_panel).sum(2)
        floor = np.zeros_like(size)
        for name, k in (("step_v", 1), ("step_noise", 2)):
            if apart[name] is not None:
                off = (np.abs(values - rows[:, :, k]) * normal).reshape(per_panel).sum(2)
                sharp = 1.0 if name in steps else 1.8
                floor += size * np.minimum(off / np.maximum(size, 1e-300), 0.5) ** sharp
        by_panel = decay((values * density).reshape(per_panel), mesh.order_u) * 2.0 * half
        split = (by_panel > np.maximum(0.25 * goal[:, None], floor)).any(0) & (half > 1e-9)
        error = error + by_panel.sum(1)
        middles = [0.5 * (edges[k] + edges[k + 1]) for k in np.flatnonzero(split)]
        edges = tuple(sorted({*edges, *middles}))
    if steps.get("step_u", 1.0) < 0.08:
        steps["step_u"] = 0.0
    if refined > 0.02 and mesh.step_w > 0.1:
        return error, replace(mesh, **steps, edges=edges, step_w=mesh.step_w * 0.7)
    better = replace(mesh, **steps, edges=edges, adaptive=mesh.adaptive or refined > 0.0)
    return error, better
