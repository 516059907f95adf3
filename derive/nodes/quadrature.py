"""Averages over laws on the line, vectorised, adaptive and in the log domain.

This module needs NumPy alone and stands alone: its text is copied into exported solver files.

A *law* has three methods, whose integrands are called elementwise on flat batches: nodes of shape (M, K), every
argument of shape (M, 1).  All that varies from point to point must therefore come in through `args`.

- ``average(f, args)``: E f(xi, *args)
- ``log_average_exp(g, args, center, width)``: log E exp g(xi, u, *args)
- ``tilted(fs, g, args, center, width)``: E[f e^g] / E[e^g] for each f(xi, u, *args)

with u = (xi - center) / width where a Gaussian kernel of that centre and width is inside g (written in u, so that
nothing cancels when the width is tiny) and u = xi otherwise.  Results have the broadcast shape of the arguments.

How: the line is cut at the law's edges, kinks and peaks; cells shrink geometrically towards each of them, so that a
layer of any width is seen; positions are kept as offsets from the nearest such point, so that they stay sharp far
below the spacing of doubles.  Cells that can matter are integrated by Gauss-Legendre rules and halved until the
decay of their Legendre coefficients says that the error is below 1e-14 of the total (or below the rounding of the
integrand).  That same estimate, summed, is what ``..._with_error`` return.  An average that diverges is inf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["AtomsLaw", "DensityLaw", "Law", "MarchenkoPasturLaw", "NoisyLaw", "NormalLaw"]

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[..., Any]

_ORDER = 16  # nodes of a cell
_TOLERANCE = 1e-14  # of a cell against the total
_BLOCK = 2**18  # numbers in one evaluation
_DEPTH = 64  # halvings of a cell
_CELLS = 4000  # cells of one average, at most, on average over a batch
_NEGLECT = 42.0  # cells below exp(-this) of the total are left out
_LAST = 32.0  # and what a slow tail has to fall to at the end of the line
_FAR = 1e150  # the end of the line; its square is still a double
_TINY = 1e-290  # the smallest width a window is laid out with
_WINDOW = np.array([-40.0, -14.0, -9.0, -4.5, 0.0, 4.5, 9.0, 14.0, 40.0])


@lru_cache(maxsize=1)
def _rule() -> tuple[Array, Array, Array, Array]:
    """Nodes and two points next to the ends; weights; maps from values to Legendre coefficients and to the ends.

    The coefficients are those of degrees 5..8 and 12..15.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    ends = np.array([-1 + 1e-6, 1 - 1e-6])
    every = weights[:, None] * np.polynomial.legendre.legvander(nodes, _ORDER - 1) * (np.arange(_ORDER) + 0.5)
    outward = every @ np.polynomial.legendre.legvander(ends, _ORDER - 1).T
    return np.concatenate([nodes, ends]), weights, every[:, np.r_[5:9, 12:16]], outward


def _decay(values: Array) -> tuple[Array, Array]:
    """Error of the Gauss rule on [-1, 1] and size of the last coefficients, for rows of values (M, K + 2).

    The last coefficients are extrapolated to the degree at which the rule fails, by their decay over the upper half
    of the degrees and by that among themselves: sharp for analytic integrands, and still right in size for kinks,
    where they decay slowly, weak ones below a smooth part included.  A jump
    or kink between the last node and the end of the cell is invisible to them, but not to the value at the end.
    """
    _, _, coefficients, outward = _rule()
    inside, ends = values[:, :_ORDER], values[:, _ORDER:]
    c = np.abs(inside @ coefficients)
    middle, last = c[:, :4].max(1), c[:, 4:].max(1)
    older, newest = c[:, 4:6].max(1), c[:, 6:].max(1)
    far = np.minimum(1.0, last / np.where(middle > 0, middle, 1.0))
    near = np.minimum(1.0, newest / np.where(older > 0, older, 1.0))
    ratio = np.maximum(far**2, near**6)
    missed = np.abs(ends - inside @ outward).max(1)
    hidden = missed > 50 * last + 1e-10 * np.abs(inside).max(1)
    return 2 * last * ratio + np.where(hidden, 0.0053 * missed, 0.0), last


@dataclass(frozen=True)
class _Segment:
    """A half-line or interval that starts at `point` and runs in the direction `sign`, cut at `offsets` (first 0).

    power: exponent gamma of the law's weight, offset**gamma, next to the point (0 where it is smooth).
    smooth: offsets below this are there for the integrand's layers only, the weight does not need them.
    model: coefficients of log weight in (1, log d, d, d^2, d^3, d^4), used where the offset d is below `reach`.
    """

    point: float
    sign: float
    offsets: Array
    length: float
    power: float = 0.0
    smooth: float = np.inf
    model: Array | None = None
    reach: float = 0.0


@dataclass
class _Panels:
    """Cells of a batch: row of the batch, segment, whether offsets count from the window's centre, offsets."""

    row: Array
    segment: Array
    central: Array
    low: Array
    high: Array
    worst: Array = field(default_factory=lambda: np.empty(0))
    stalled: Array = field(default_factory=lambda: np.empty(0))

    def pick(self, which: Array | slice) -> _Panels:
        return _Panels(self.row[which], self.segment[which], self.central[which], self.low[which], self.high[which],
                       self.worst[which], self.stalled[which])

    def halves(self) -> _Panels:
        """The two halves of each cell, next to each other."""
        middle = 0.5 * (self.low + self.high)
        low, high = np.stack([self.low, middle], 1).ravel(), np.stack([middle, self.high], 1).ravel()
        twice = [np.repeat(a, 2) for a in (self.row, self.segment, self.central, self.worst, self.stalled)]
        return _Panels(twice[0], twice[1], twice[2], low, high, twice[3], twice[4])


def _flat(arrays: Sequence[Any]) -> tuple[tuple[int, ...], list[Array]]:
    """The common shape of the arrays, and each of them broadcast to it and flattened."""
    wide = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in arrays)) if arrays else []
    shape = wide[0].shape if wide else ()
    return shape, [np.ravel(a) for a in wide]


def _missing(flat: Sequence[Array], hint: Any) -> Any:
    """Rows that are asked for nan."""
    return np.any([np.isnan(a) for a in (*flat, *(hint or ()))], axis=0) if flat or hint else False


def _log_abs(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(np.abs(values))


class Law:
    """What every law answers; see the module's text.  Subclasses give the cells and the weight."""

    def average(self, f: Function, args: Sequence[Any] = ()) -> Array:
        """E f(xi, *args); shape of the arguments.

        An average that diverges is inf with its sign, or nan where it diverges with both signs; so is one whose f
        overflows where the law still has to be followed (log_average_exp is for those).

        >>> float(NormalLaw().average(lambda x, a: a * x**2, (3.0,)).round(12))
        3.0
        """
        return self.average_with_error(f, args)[0]

    def log_average_exp(self, g: Function, args: Sequence[Any] = (), center: Any = None, width: Any = None) -> Array:
        """log E exp g(xi, u, *args); inf where the average diverges.

        >>> float(NormalLaw().log_average_exp(lambda x, u, y: y * x, (100.0,)).round(6))
        5000.0
        """
        return self.log_average_exp_with_error(g, args, center, width)[0]

    def tilted(self, fs: Sequence[Function], g: Function, args: Sequence[Any] = (), center: Any = None,
               width: Any = None) -> tuple[Array, ...]:
        """E[f e^g] / E[e^g] for each f of fs, f called as f(xi, u, *args); nan where E e^g diverges or vanishes."""
        return self.tilted_with_error(fs, g, args, center, width)[0]

    def average_with_error(self, f: Function, args: Sequence[Any] = ()) -> tuple[Array, Array]:
        """The average and an estimate of its absolute error."""
        raise NotImplementedError

    def log_average_exp_with_error(self, g: Function, args: Sequence[Any] = (), center: Any = None,
                                   width: Any = None) -> tuple[Array, Array]:
        """The log-average and an estimate of its absolute error (the relative error of the average)."""
        raise NotImplementedError

    def tilted_with_error(self, fs: Sequence[Function], g: Function, args: Sequence[Any] = (), center: Any = None,
                          width: Any = None) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """The tilted averages and estimates of their absolute errors."""
        raise NotImplementedError


class _Line(Law):
    """A law with a weight on the line: the adaptive machinery, shared by all laws but atoms."""

    @property
    def _segments(self) -> tuple[_Segment, ...]:
        raise NotImplementedError

    def _rows(self) -> tuple[Any, ...]:
        """Parameters of the law that vary over the batch."""
        return ()

    def _log_weight(self, node: Array, offset: Array, segment: Array, rows: Sequence[Array]) -> Array:
        """log weight at nodes (M, K); offsets from the segment's point; segments (M, 1); rows, each (M, 1)."""
        raise NotImplementedError

    def _value(self, node: Array, offset: Array, segment: Array, rows: Sequence[Array]) -> Array:
        """What integrands see of a node."""
        return node

    def _scale(self, rows: Sequence[Array]) -> Array | None:
        """The length, one for each row, below which the weight is smooth and at which it has layers."""
        return None

    def _log_total(self, rows: Sequence[Array]) -> Any:
        """log of the integral of the weight."""
        return 0.0

    def _atom(self, rows: Sequence[Array]) -> Array | None:
        """Weight of an atom at zero, one for each row."""
        return None

    # -- the three averages ------------------------------------------------------------------------------------

    def average_with_error(self, f: Function, args: Sequence[Any] = ()) -> tuple[Array, Array]:
        def numerator(xi: Array, u: Array, *a: Array) -> Any:
            return f(xi, *a)

        shape, flat = _flat([*self._rows(), *args])
        n, total = len(self._rows()), self._log_total
        peak, sums, errors, ends = self._integrate(None, (numerator,), flat, None)
        scale = np.exp(peak - total(flat[:n]))
        value, error = sums[:, 1] * scale, errors[:, 1] * scale
        diverges = np.isinf(ends)
        both = (np.sign(ends[:, 0]) * np.sign(ends[:, 1]) < 0) | np.isnan(ends).any(1)
        sign = np.where(diverges[:, 0], ends[:, 0], ends[:, 1])
        value = np.where(diverges.any(1), np.where(both, np.nan, sign), value)
        weight = self._atom(flat[:n])
        if weight is not None:
            at_zero = _call(f, np.zeros((value.size, 1)), [a[:, None] for a in flat[n:]])[:, 0]
            value = value + np.where(weight > 0, weight * at_zero, 0.0)
        value = np.where(_missing(flat, None), np.nan, value)
        return value.reshape(shape), np.where(np.isfinite(value), error, np.inf).reshape(shape)

    def log_average_exp_with_error(self, g: Function, args: Sequence[Any] = (), center: Any = None,
                                   width: Any = None) -> tuple[Array, Array]:
        shape, flat, hint = self._prepare(args, center, width)
        n = len(self._rows())
        peak, sums, errors, ends = self._integrate(g, (), flat, hint)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = peak + np.log(sums[:, 0]) - self._log_total(flat[:n])
            error = np.where(sums[:, 0] > 0, errors[:, 0] / sums[:, 0], 0.0)
        value = np.where(sums[:, 0] == 0, -np.inf, value)
        value = np.where(np.isinf(ends).any(1) | (peak == np.inf), np.inf, value)
        weight = self._atom(flat[:n])
        if weight is not None:
            value = np.logaddexp(value, _log_abs(weight) + self._at_zero(g, flat[n:], hint))
        if hint is not None:
            value = value + _log_abs(np.where(hint[1] < _TINY, hint[1] / _TINY, 1.0))
        value = np.where(_missing(flat, hint), np.nan, value)
        return value.reshape(shape), np.where(np.isfinite(value), error, np.inf).reshape(shape)

    def tilted_with_error(self, fs: Sequence[Function], g: Function, args: Sequence[Any] = (), center: Any = None,
                          width: Any = None) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        shape, flat, hint = self._prepare(args, center, width)
        n = len(self._rows())
        peak, sums, errors, ends = self._integrate(g, tuple(fs), flat, hint)
        weight = self._atom(flat[:n])
        if weight is not None:
            tilt = _log_abs(weight) + self._at_zero(g, flat[n:], hint) + self._log_total(flat[:n])
            new = np.maximum(peak, tilt)
            old, atom = np.exp(peak - new), np.exp(tilt - new)
            ones = [atom, *(atom * self._at_zero(f, flat[n:], hint) for f in fs)]
            sums, errors = sums * old[:, None] + np.stack(ones, 1), errors * old[:, None]
        bad = np.isinf(ends).any(1) | ~(sums[:, 0] > 0) | _missing(flat, hint)
        below = np.where(bad, np.nan, sums[:, 0])
        values = [(sums[:, 1 + j] / below) for j in range(len(fs))]
        relative = errors[:, 0] / below
        wrong = [errors[:, 1 + j] / below + np.abs(v) * relative for j, v in enumerate(values)]
        return tuple(v.reshape(shape) for v in values), tuple(e.reshape(shape) for e in wrong)

    def _prepare(self, args: Sequence[Any], center: Any, width: Any) -> tuple[Any, list[Array], Any]:
        if (center is None) != (width is None):
            raise ValueError("a kernel has both a center and a width, or neither")
        if center is None:
            return *_flat([*self._rows(), *args]), None
        shape, flat = _flat([center, width, *self._rows(), *args])
        return shape, flat[2:], (flat[0], flat[1])

    def _at_zero(self, f: Function, args: Sequence[Array], hint: Any) -> Array:
        """f at the atom."""
        size = args[0].size if args else (hint[0].size if hint else 1)
        zero = np.zeros((size, 1))
        u = zero if hint is None else (-hint[0] / np.maximum(hint[1], _TINY))[:, None]
        return _call(f, zero, [u, *(a[:, None] for a in args)])[:, 0]

    # -- the machinery -----------------------------------------------------------------------------------------

    def _integrate(self, g: Function | None, fs: tuple[Function, ...], flat: list[Array],
                   hint: Any) -> tuple[Array, Array, Array, Array]:
        """Sums of weight e^g (1, *fs) for each row, as sums * exp(peak); their errors; signs of divergence (rows, 2).

        Rows are done in blocks so that memory stays bounded.
        """
        arrays = [*flat, *(hint or ())]
        size = arrays[0].size if arrays else 1
        step = max(1, 2 * _BLOCK // (16 + sum(s.offsets.size + 32 for s in self._segments)))
        parts = []
        with np.errstate(all="ignore"):
            for start in range(0, size, step):
                cut = slice(start, start + step)
                window = None if hint is None else (hint[0][cut], np.clip(hint[1][cut], _TINY, 1 / _TINY))
                job = _Job(self, g, fs, [a[cut] for a in flat], window, min(step, size - start))
                parts.append(job.run())
        if not parts:
            return np.empty(0), np.empty((0, 1 + len(fs))), np.empty((0, 1 + len(fs))), np.empty((0, 2))
        return tuple(np.concatenate(p) for p in zip(*parts, strict=True))  # type: ignore[return-value]


def _call(f: Function, node: Array, args: Sequence[Array]) -> Array:
    """f at the nodes, broadcast to their shape."""
    return np.broadcast_to(np.asarray(f(node, *args), dtype=float), node.shape)


@dataclass
class _Job:
    """One block of rows of one average."""

    law: _Line
    g: Function | None
    fs: tuple[Function, ...]
    flat: list[Array]
    window: tuple[Array, Array] | None
    size: int

    def __post_init__(self) -> None:
        count = len(self.law._rows())
        self.rows, self.args = self.flat[:count], self.flat[count:]
        self.segments = self.law._segments
        self.points = np.array([s.point for s in self.segments])
        self.signs = np.array([s.sign for s in self.segments])
        self.powers = np.array([s.power for s in self.segments])
        self.sharp = np.array([0.0 if s.model is None else s.reach for s in self.segments])
        self.inner = np.nextafter(self.points, self.points + self.signs * np.inf)
        self.prune = self._smooth_below()

    def _smooth_below(self) -> Array | None:
        scales = [s for s in (self.law._scale(self.rows), None if self.window is None else self.window[1])
                  if s is not None]
        return None if not scales else np.min(scales, axis=0) / 8

    def run(self) -> tuple[Array, Array, Array, Array]:
        """Lay out the cells, then refine them."""
        cells, ends = self._cells(np.arange(self.size), 0)
        late = np.flatnonzero(np.isnan(ends).any(1))
        for stage in (1, 2):
            if late.size:
                keep = ~np.isin(cells.row, late)
                more, again = self._cells(late, stage)
                ends[late] = again
                cells = _merge([cells.pick(keep), more])
                late = np.flatnonzero(np.isnan(ends).any(1))
        diverges = np.asarray(np.isinf(ends).any(1))
        cells = cells.pick(~diverges[cells.row])
        return *self._refine(cells), ends

    # evaluation

    def evaluate(self, row: Array, segment: Array, offset: Array, eta: Array | None, central: Array) -> tuple[
            Array, list[Array], Array, Array]:
        """At offsets (M, K): log weight + g, the values of fs, the size of the exponent's terms, log weight."""
        point, sign = self.points[segment][:, None], self.signs[segment][:, None]
        node = point + sign * offset
        rows = [a[row][:, None] for a in self.rows]
        args = [a[row][:, None] for a in self.args]
        if self.window is not None and eta is not None:
            center, width = (a[row][:, None] for a in self.window)
            node = np.where(central[:, None], center + sign * eta, node)
            u = sign * eta / width
        node = np.where(sign * (node - point) > 0, node, self.inner[segment][:, None])
        log_weight = self.law._log_weight(node, offset, segment[:, None], rows)
        seen = self.law._value(node, offset, segment[:, None], rows)
        if self.window is None:
            u = seen
        if self.g is None:
            return log_weight, [_call(f, seen, [u, *args]) for f in self.fs], np.abs(log_weight), log_weight
        exponent = _call(self.g, seen, [u, *args])
        return log_weight + exponent, [_call(f, seen, [u, *args]) for f in self.fs], (
            np.abs(log_weight) + np.abs(exponent)), log_weight

    # layout

    def _offsets(self, segment: _Segment, which: Array, stage: int) -> tuple[Array, Array | None]:
        """Sorted offsets of the cell edges, (rows, J), from the segment's point and from the window's centre."""
        own = np.broadcast_to(segment.offsets, (which.size, segment.offsets.size))
        parts = [own]
        scale = self.law._scale(self.rows)
        if scale is not None:
            parts.append(scale[which][:, None] * np.array([0.5, 1.0, 2.0, 4.0, 6.0, 9.0, 14.0, 40.0]))
        delta = np.concatenate(parts, 1)
        if self.prune is not None:
            fine = np.minimum(self.prune[which], segment.smooth)[:, None]
            delta = np.where((delta < fine) & (delta < segment.length), 0.0, delta)
        if np.isinf(segment.length) and stage:
            ratio = 2.0 ** np.arange(1, 41) if stage == 1 else 2.0 ** np.r_[1:41, 44:600:4]
            delta = np.concatenate([delta, np.minimum(delta.max(1)[:, None] * ratio, _FAR)], 1)
        delta = np.minimum(delta, segment.length)
        if self.window is None:
            return np.sort(delta, 1), None
        center, width = (a[which][:, None] for a in self.window)
        at = segment.sign * (center - segment.point)
        eta = np.concatenate([delta - at, width * _WINDOW], 1)
        delta = np.concatenate([delta, at + width * _WINDOW], 1)
        outside, beyond = eta <= -at, eta >= segment.length - at
        eta = np.where(outside, -at, np.where(beyond, segment.length - at, eta))
        delta = np.where(outside, 0.0, np.where(beyond, segment.length, np.clip(delta, 0.0, segment.length)))
        order = np.argsort(eta, 1, kind="stable")
        return np.take_along_axis(delta, order, 1), np.take_along_axis(eta, order, 1)

    def _cells(self, which: Array, stage: int) -> tuple[_Panels, Array]:
        """The cells that can matter; ends (rows, 2): 0 decayed, nan not yet decayed, +-inf diverges with that sign."""
        found, best = [], np.full((which.size, 2), -np.inf)
        for k, segment in enumerate(self.segments):
            delta, eta = self._offsets(segment, which, stage)
            first = np.where(delta > 0, delta, np.inf).min(1)[:, None]
            sample = np.where(delta > 0, delta, 0.01 * np.where(np.isfinite(first), first, 0.0))
            off = None if eta is None else eta + (sample - delta)
            central = np.zeros(which.size, bool)
            if eta is None or off is None:
                h, values, *_ = self.evaluate(which, np.full(which.size, k), sample, None, central)
            else:
                near = np.abs(eta) < delta
                h, values = self._mixed(which, k, sample, off, near)
            score = h + _log_abs(values[0]) if self.g is None else h
            if stage:
                h, score = _fill(h), _fill(score)
            if self.prune is None:
                delta = _joined(delta, sample, segment, h, values)
            length = np.diff(delta, axis=1)
            if eta is not None:
                length = np.maximum(length, np.diff(eta, axis=1))
            tops = [np.maximum(q[:, 1:], q[:, :-1]) + np.log(length) for q in (score, h)]
            best = np.fmax(best, np.stack([np.fmax.reduce(np.where(length > 0, t, -np.inf), axis=1) for t in tops], 1))
            found.append((segment, delta, eta, score, length, tops, values))
        ends, panels = np.zeros((which.size, 2)), []
        for k, (segment, delta, eta, score, length, tops, values) in enumerate(found):
            inside = np.pad(score, ((0, 0), (1, 1)), constant_values=-np.inf)
            ridge = (score >= inside[:, :-2]) & (score >= inside[:, 2:])
            keep = ridge[:, 1:] | ridge[:, :-1]
            for kind, top in enumerate(tops):
                keep |= ~(top < best[:, kind, None] - _NEGLECT)
            keep &= length > 0
            if np.isinf(segment.length):
                open_ = ~_decayed(score, delta, best[:, 0] - (_NEGLECT if stage < 2 else _LAST))
                sign = np.sign(values[0][:, -1]) if self.g is None else np.ones(which.size)
                column = 0 if segment.sign < 0 else 1
                ends[:, column] = np.where(open_, np.where(sign < 0, -np.inf, np.inf) if stage == 2 else np.nan, 0.0)
            i, j = np.nonzero(keep)
            low, high = delta[i, j], delta[i, j + 1]
            central = np.zeros(i.size, bool)
            if eta is not None:
                a, b = eta[i, j], eta[i, j + 1]
                central = np.maximum(np.abs(a), np.abs(b)) < high
                central &= ~((low == 0) & (segment.power != 0))
                low, high = np.where(central, a, low), np.where(central, b, high)
            good = high > low
            panels.append(_Panels(which[i][good], np.full(int(good.sum()), k), central[good], low[good], high[good],
                                  np.full(int(good.sum()), np.inf), np.zeros(int(good.sum()), int)))
        return _merge(panels), ends

    def _mixed(self, which: Array, k: int, delta: Array, eta: Array, near: Array) -> tuple[Array, list[Array]]:
        """Evaluation at cell edges, whose positions count from the centre where that is nearer."""
        count = delta.shape[1]
        h, values, *_ = self.evaluate(np.repeat(which, count), np.full(delta.size, k), delta.reshape(-1, 1),
                                      eta.reshape(-1, 1), near.ravel())
        return h.reshape(delta.shape), [v.reshape(delta.shape) for v in values]

    # refinement

    def _panel(self, p: _Panels) -> tuple[Array, ...]:
        """Of each cell: peak, integrals, moduli, errors (these times exp(-peak)), noise, roughness, blur.

        The blur is the relative noise of the density that comes from the rounding of its argument.
        """
        nodes, weights, *_ = _rule()
        z = 0.5 * (1 + nodes)
        length = (p.high - p.low)[:, None]
        power = np.where((p.low == 0) & ~p.central, self.powers[p.segment], 0.0)[:, None]
        offset, first = _towards_edge(power, p.high[:, None], z)
        local = np.where(power != 0, offset, p.low[:, None] + length * z)
        jacobian = np.where(power != 0, first, 0.0) + np.log(length)
        if self.window is None:
            h, values, size, density = self.evaluate(p.row, p.segment, local, None, p.central)
        else:
            at = (self.signs[p.segment] * (self.window[0][p.row] - self.points[p.segment]))[:, None]
            offset = np.where(p.central[:, None], at + local, local)
            eta = np.where(p.central[:, None], local, local - at)
            h, values, size, density = self.evaluate(p.row, p.segment, offset, eta, p.central)
            local = offset
        h = h + jacobian
        peak = h[:, :_ORDER].max(1)
        e = np.exp(h - np.where(np.isfinite(peak), peak, 0.0)[:, None])
        columns = [e, *(np.where(e > 0, e * v, 0.0) for v in values)]
        integrals = np.stack([0.5 * c[:, :_ORDER] @ weights for c in columns], 1)
        moduli = np.stack([0.5 * np.abs(c[:, :_ORDER]) @ weights for c in columns], 1)
        decays = [_decay(c) for c in columns]
        errors = np.stack([0.5 * d[0] for d in decays], 1)
        known = np.where(density > -np.inf, density, density.max(1)[:, None])
        slope = np.ptp(known[:, :_ORDER], axis=1) / length[:, 0]
        reach = np.abs(self.points[p.segment]) + np.abs(local).max(1)
        sharp = np.abs(local).max(1) <= self.sharp[p.segment]  # there the density knows the offset, not the argument
        blur = np.where(np.isfinite(slope) & ~sharp, 1e-16 * slope * reach, 0.0)
        rough = np.stack([d[1] / np.maximum(np.abs(c).max(1), 1e-300) for d, c in zip(decays, columns, strict=True)], 1)
        noise = np.take_along_axis(size, h[:, :_ORDER].argmax(1)[:, None], 1)[:, 0]
        return peak, integrals, moduli, errors, noise, rough.max(1), blur

    def _chunks(self, p: _Panels) -> list[Array]:
        step = max(1, _BLOCK // (_ORDER + 2))
        parts = [self._panel(p.pick(slice(i, i + step))) for i in range(0, p.row.size, step)]
        return [np.concatenate(c) for c in zip(*parts, strict=True)]

    def _refine(self, active: _Panels) -> tuple[Array, Array, Array]:
        """Halve cells until the error of each is below the tolerance."""
        width = 1 + len(self.fs)
        peak = np.full(self.size, -np.inf)
        sums, moduli, errors = (np.zeros((self.size, width)) for _ in range(3))
        noise = np.zeros(self.size)
        spent = 0
        for depth in range(_DEPTH + 1):
            if not active.row.size:
                break
            top, value, modulus, error, size, rough, blur = self._chunks(active)
            spent += active.row.size
            new = peak.copy()
            np.fmax.at(new, active.row, top)
            old = np.where(peak > -np.inf, np.exp(peak - np.where(np.isfinite(new), new, 0.0)), 0.0)[:, None]
            sums, moduli, errors, peak = sums * old, moduli * old, errors * old, new
            leading = top >= peak[active.row] - 1
            np.maximum.at(noise, active.row[leading], size[leading])
            finite = np.where(np.isfinite(peak), peak, 0.0)[active.row]
            scale = np.where(top > -np.inf, np.exp(top - finite), 0.0)[:, None]
            value, modulus, error = value * scale, modulus * scale, error * scale
            total = moduli + _sum_rows(active.row, modulus, self.size)
            allowed = np.maximum(_TOLERANCE, 4e-16 * noise)[:, None] * total
            excess = error / np.maximum(allowed[active.row] + blur[:, None] * modulus, 1e-300)
            worst = (excess if self.g is not None else excess[:, 1:]).max(1)
            stalled = active.stalled
            if depth:
                pair = worst.reshape(-1, 2).sum(1).repeat(2)
                flat = (pair > 0.8 * active.worst) & (pair < 1.3 * active.worst) & (rough < 1e-6)
                stalled = np.where(flat, stalled + 1, 0)
            split = (worst > 1) & (stalled < 2) & (depth < _DEPTH) & (spent < _CELLS * max(self.size, 4))
            split &= active.high > active.low * (1 + 1e-15)
            done = ~split
            sums += _sum_rows(active.row[done], value[done], self.size)
            moduli += _sum_rows(active.row[done], modulus[done], self.size)
            errors += _sum_rows(active.row[done], error[done], self.size)
            active.worst, active.stalled = worst, stalled
            active = active.pick(split).halves()
        return peak, sums, 64 * errors + 1e-15 * (2 + noise[:, None]) * moduli


def _sum_rows(row: Array, values: Array, size: int) -> Array:
    """Column sums of values (M, F) over equal rows: (size, F)."""
    return np.stack([np.bincount(row, weights=v, minlength=size) for v in values.T], 1)


def _merge(panels: Sequence[_Panels]) -> _Panels:
    names = ("row", "segment", "central", "low", "high", "worst", "stalled")
    return _Panels(*(np.concatenate([getattr(p, n) for p in panels]) for n in names))


def _joined(delta: Array, sample: Array, segment: _Segment, h: Array, values: Sequence[Array]) -> Array:
    """Edges of cells without those next to the segment's point below which the integrand hardly changes."""
    with np.errstate(all="ignore"):
        seen = [h - segment.power * np.log(sample), *(_log_abs(v) for v in values)]
    flat = delta <= segment.smooth
    for level in seen:
        flat &= np.abs(level - level[:, :1]) <= 1
    flat = np.logical_and.accumulate(flat, axis=1)
    return np.where(np.pad(flat[:, 1:], ((0, 0), (0, 1))), 0.0, delta)


def _decayed(score: Array, delta: Array, level: Array) -> Array:
    """Whether a tail, sampled at growing offsets (rows, J), ends below the level and falling.

    A value of -inf is a true zero where the offsets are moderate, and an overflow of the integrand's where they are
    huge; there the last finite value has to speak.
    """
    tail = score + np.log(delta)
    zero = (tail == -np.inf) & (delta < 1e70)
    known = np.isfinite(tail) | zero
    last = tail.shape[1] - 1 - known[:, ::-1].argmax(1)[:, None]
    end = np.take_along_axis(tail, last, 1)[:, 0]
    before = np.take_along_axis(tail, np.maximum(last - 1, 0), 1)[:, 0]
    stops = np.take_along_axis(zero, last, 1)[:, 0]
    unbounded = (tail == np.inf).any(1)
    return np.asarray(known.any(1) & ~unbounded & (stops | ((end < level) & (end <= before))))


def _fill(values: Array) -> Array:
    """Each nan replaced by its neighbour nearer to the start of the row."""
    index = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.take_along_axis(values, np.maximum.accumulate(index, 1), 1)


class NormalLaw(_Line):
    """N(0, 1).

    >>> float(NormalLaw().average(lambda x: np.abs(x)).round(12))  # sqrt(2/pi)
    0.797884560803
    """

    @cached_property
    def _segments(self) -> tuple[_Segment, ...]:
        offsets = np.array([0.0, 1.5, 3.0, 4.5, 6.5, 9.0, 14.0, 24.0, 40.0])
        return tuple(_Segment(0.0, sign, offsets, np.inf) for sign in (-1.0, 1.0))

    def _log_weight(self, node: Array, offset: Array, segment: Array, rows: Sequence[Array]) -> Array:
        return np.asarray(-0.5 * node * node - 0.5 * np.log(2 * np.pi))


class AtomsLaw(Law):
    """Finitely many points with weights (normalised here); sums, so the error is that of rounding.

    >>> float(AtomsLaw([-1, 1], [1, 1]).log_average_exp(lambda x, u, y: y * x, (0.0,)))
    0.0
    """

    def __init__(self, points: Sequence[float], weights: Sequence[float]) -> None:
        self.points, self.weights = np.asarray(points, dtype=float), np.asarray(weights, dtype=float)
        if self.points.ndim != 1 or self.points.shape != self.weights.shape or not self.points.size:
            raise ValueError("atoms need as many weights as points, at least one")
        if not (np.isfinite(self.points).all() and np.isfinite(self.weights).all() and (self.weights > 0).all()):
            raise ValueError("atoms need finite points and positive finite weights")
        self.weights = self.weights / self.weights.sum()

    def average_with_error(self, f: Function, args: Sequence[Any] = ()) -> tuple[Array, Array]:
        """E f(xi, *args) and the error of rounding."""
        shape, flat = _flat(args)
        value, error = np.empty(_size(shape)), np.empty(_size(shape))
        for cut in self._blocks(value.size):
            f_ = _call(f, self._nodes(value[cut].size), [a[cut, None] for a in flat])
            value[cut], error[cut] = f_ @ self.weights, 1e-15 * (np.abs(f_) @ self.weights)
        return value.reshape(shape), error.reshape(shape)

    def log_average_exp_with_error(self, g: Function, args: Sequence[Any] = (), center: Any = None,
                                   width: Any = None) -> tuple[Array, Array]:
        """log E exp g(xi, u, *args) and the error of rounding."""
        (value, size), shape = self._tilt((), g, args, center, width)[:2], _shape(args, center, width)
        return value.reshape(shape), (2e-16 * (4 + size)).reshape(shape)

    def tilted_with_error(self, fs: Sequence[Function], g: Function, args: Sequence[Any] = (), center: Any = None,
                          width: Any = None) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """E[f e^g] / E[e^g] for each f, and the errors of rounding."""
        (_, size, means, moduli), shape = self._tilt(fs, g, args, center, width), _shape(args, center, width)
        return (tuple(m.reshape(shape) for m in means),
                tuple((2e-16 * (4 + size) * m).reshape(shape) for m in moduli))

    def _tilt(self, fs: Sequence[Function], g: Function, args: Sequence[Any], center: Any,
              width: Any) -> tuple[Array, Array, list[Array], list[Array]]:
        shape = _shape(args, center, width)
        hint = [] if center is None else [center, np.asarray(width, dtype=float)]
        _, flat = _flat([*hint, *args])
        value, size = np.empty(_size(shape)), np.empty(_size(shape))
        means, moduli = [np.empty_like(value) for _ in fs], [np.empty_like(value) for _ in fs]
        for cut in self._blocks(value.size):
            node = self._nodes(value[cut].size)
            u, rest = node, [a[cut, None] for a in flat]
            if hint:
                u, rest = (node - rest[0]) / np.maximum(rest[1], _TINY), rest[2:]
            with np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore"):
                h = np.log(self.weights) + _call(g, node, [u, *rest])
                peak = h.max(1)
                e = np.exp(h - np.where(np.isfinite(peak), peak, 0.0)[:, None])
                total = e.sum(1)
                value[cut], size[cut] = np.where(peak == np.inf, peak, peak + np.log(total)), np.abs(peak)
                for f, mean, modulus in zip(fs, means, moduli, strict=True):
                    product = np.where(e > 0, e * _call(f, node, [u, *rest]), 0.0)
                    mean[cut], modulus[cut] = product.sum(1) / total, np.abs(product).sum(1) / total
        return value, size, means, moduli

    def _nodes(self, size: int) -> Array:
        return np.broadcast_to(self.points, (size, self.points.size))

    def _blocks(self, size: int) -> list[slice]:
        step = max(1, _BLOCK // self.points.size)
        return [slice(i, min(i + step, size)) for i in range(0, size, step)]


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=int))


def _shape(args: Sequence[Any], center: Any, width: Any) -> tuple[int, ...]:
    if (center is None) != (width is None):
        raise ValueError("a kernel has both a center and a width, or neither")
    arrays = [*args] if center is None else [center, width, *args]
    return np.broadcast_shapes(*(np.shape(a) for a in arrays))


class DensityLaw(_Line):
    """A law with a density, which need not be normalised.

    log_pdf: elementwise, called inside the open support only; may be -inf.  lower, upper: the support, which may be
    infinite.  breakpoints: kinks, jumps, inner singularities and spikes; kinks and jumps that are not named are found
    too, by halving, but less sharply, and a spike hidden in a broad density (invisible in log_pdf from afar) is not.

    Raises ValueError where no mass is found or the density cannot be normalised.

    >>> law = DensityLaw(lambda x: np.zeros_like(x), -1, 1)
    >>> float(law.average(lambda x: x**2).round(12))
    0.333333333333
    """

    def __init__(self, log_pdf: Callable[[Array], Any], lower: float = -np.inf, upper: float = np.inf,
                 breakpoints: Sequence[float] = ()) -> None:
        self.lower, self.upper, self._log_pdf = float(lower), float(upper), log_pdf
        if not self.lower < self.upper:
            raise ValueError(f"the support of a density needs lower < upper, not {lower} and {upper}")
        hard = {float(p) for p in breakpoints if self.lower < p < self.upper}
        self._hard = np.array(sorted(hard | {e for e in (self.lower, self.upper) if np.isfinite(e)}))

    def log_pdf(self, node: Array) -> Array:
        """The given log density, not normalised, with nan read as -inf."""
        with np.errstate(all="ignore"):
            value = np.broadcast_to(np.asarray(self._log_pdf(node), dtype=float), node.shape)
        return np.where(np.isnan(value), -np.inf, value)

    @cached_property
    def log_norm(self) -> float:
        """log of the integral of the given density."""
        peak, sums, _, ends = self._integrate(_nothing, (), [], None)
        value = float(peak[0] + np.log(sums[0, 0])) if sums[0, 0] > 0 else -np.inf
        if np.isinf(ends).any() or not np.isfinite(value):
            raise ValueError("the density cannot be normalised: its integral is not a positive finite number")
        return value

    def _log_total(self, rows: Sequence[Array]) -> Any:
        return self.log_norm

    def _log_weight(self, node: Array, offset: Array, segment: Array, rows: Sequence[Array]) -> Array:
        value = self.log_pdf(node)
        for k, s in enumerate(self._segments):
            if s.model is not None:
                value = np.where((segment == k) & (offset < s.reach), _edge(s.model, offset), value)
        return value

    @cached_property
    def _segments(self) -> tuple[_Segment, ...]:
        peaks = self._peaks()
        points = np.array(sorted({*self._hard, *peaks}))
        if not points.size:
            points = np.zeros(1)
        bounds = np.concatenate([[-np.inf], 0.5 * (points[1:] + points[:-1]), [np.inf]])
        segments = []
        for k, point in enumerate(points):
            for sign, end in ((-1.0, bounds[k]), (1.0, bounds[k + 1])):
                if (self.lower < point and sign < 0) or (point < self.upper and sign > 0):
                    segments.append(self._segment(float(point), sign, abs(end - point), float(point) in self._hard))
        return self._refined(segments)

    def _peaks(self) -> list[float]:
        """Inner maxima of the density that carry mass, found on a grid and then closed in upon."""
        cuts = [self.lower, *(h for h in self._hard if self.lower < h < self.upper), self.upper]
        far = 2.0 ** (np.arange(-1600, 1601) / 32)
        found: list[tuple[float, float, float]] = []
        seen = -np.inf
        for a, b in pairwise(cuts):
            grid = self._search(a, b, far)
            v = self.log_pdf(grid)
            seen = max(seen, float(v.max(initial=-np.inf)))
            i = 1 + np.flatnonzero((v[1:-1] > v[:-2]) & (v[1:-1] >= v[2:]) & (v[1:-1] > -np.inf))
            i = i[np.argsort(-v[i], kind="stable")][:200]
            low, high = grid[i - 1], grid[i + 1]
            for _ in range(14):
                x = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 33)
                j = np.clip(self.log_pdf(x).argmax(1), 1, 31)[:, None]
                low, high = np.take_along_axis(x, j - 1, 1)[:, 0], np.take_along_axis(x, j + 1, 1)[:, 0]
            x = 0.5 * (low + high)
            top = self.log_pdf(x)
            step = 2.0 ** np.arange(-80.0, 80.0)
            wide = np.zeros(x.size)
            for sign in (-1.0, 1.0):
                y = x[:, None] + sign * step
                inside = (y > a) & (y < b)
                drop = ~(self.log_pdf(np.where(inside, y, x[:, None])) > top[:, None] - 0.5) | ~inside
                wide = np.maximum(wide, np.where(drop.any(1), step[drop.argmax(1)], np.inf))
            found += [(float(p), float(q), float(w)) for p, q, w in zip(top, x, wide, strict=True)]
        if seen == -np.inf:
            raise ValueError("no mass found in the support of the density: name a breakpoint where it lies")
        found = sorted((f for f in found if np.isfinite(f[2])), key=lambda f: (-f[0], f[1]))
        mass = max((top + np.log(w) for top, _, w in found), default=0.0)
        kept: list[tuple[float, float]] = []
        for height, x_, w in found:
            if height + np.log(w) > mass - 60 and all(abs(x_ - y_) > max(w, r) for y_, r in kept) and len(kept) < 60:
                kept.append((x_, w))
        return [x_ for x_, _ in kept]

    def _search(self, a: float, b: float, far: Array) -> Array:
        """Where to look for maxima in (a, b): evenly, and by factors towards finite ends and into tails."""
        if np.isfinite(a) and np.isfinite(b):
            near = 0.5 * (b - a) * 2.0 ** -np.arange(1.0, 50.0)
            return np.unique(np.concatenate([np.linspace(a, b, 4097)[1:-1], a + near, b - near]))
        if np.isfinite(a):
            grid = a + far
        elif np.isfinite(b):
            grid = (b - far)[::-1]
        else:
            grid = np.concatenate([-far[::-1], [0.0], far])
        v = self.log_pdf(grid)
        mass = v + np.log(np.gradient(grid))
        ridge = np.concatenate([[False], (v[1:-1] > v[:-2]) & (v[1:-1] >= v[2:]), [False]])
        solid = grid[(mass > mass.max() - 40) | ridge]
        if not np.isfinite(mass.max()) or solid.size < 2:
            return grid
        middle, half = 0.5 * (solid[0] + solid[-1]), 1.5 * (solid[-1] - solid[0])
        even = np.linspace(middle - half, middle + half, 2**16 + 1)
        return np.unique(np.concatenate([grid, even[(even > a) & (even < b)]]))

    def _segment(self, point: float, sign: float, length: float, hard: bool) -> _Segment:
        """The first cut of a segment: by factors towards a hard end and into a tail."""
        step = 2.0 ** (np.arange(-400, 401) / 2)
        node = point + sign * step
        log_mass = self.log_pdf(node) + np.log(step)
        usable = (step < length) & (node != point) & (node > self.lower) & (node < self.upper)
        scale = float(step[np.where(usable, log_mass, -np.inf).argmax()]) if usable.any() else length
        scale = min(scale, length)
        if np.isinf(length):
            scale = min(scale, 2.0**60)
            offsets = np.concatenate([scale * 16.0 ** -np.arange(1.0, 15.0), scale * 2.0 ** np.arange(0.0, 7.0)])
        else:
            offsets = np.concatenate([length * 16.0 ** -np.arange(0.0, 15.0), scale * 2.0 ** np.arange(-2.0, 3.0)])
        if not hard:
            offsets = offsets[offsets >= scale / 2]
        offsets = np.unique(np.concatenate([[0.0], offsets[offsets <= length]]))
        power, model = self._edge_of(point, sign, min(scale, length)) if hard else (0.0, None)
        return _Segment(point, sign, offsets, length, power, 0.0, model, min(scale, length) * 2.0**-13)

    def _edge_of(self, point: float, sign: float, scale: float) -> tuple[float, Array | None]:
        """The exponent of the density at a hard point, and a model of it too close for doubles to tell apart."""
        node = point + sign * scale * 2.0 ** -np.linspace(9, 17, 41)
        offset = np.abs(node - point)
        value = self.log_pdf(node)
        if not np.isfinite(value).all() or (offset == 0).any() or not (np.diff(offset) < 0).all():
            return 0.0, None
        unit = offset[0]
        design = np.stack([np.ones(41), np.log(offset), *((offset / unit) ** k for k in (1, 2, 3, 4))], 1)
        fit = np.linalg.lstsq(design, value, rcond=None)[0]
        if np.abs(design @ fit - value).max() > 1e-9 * (1 + np.abs(value).max()) or abs(fit[1]) < 1e-7:
            return 0.0, None
        if fit[1] < -1 + 1e-7:
            raise ValueError(f"the density cannot be normalised: it grows like 1/x or faster at {point:.6g}")
        fit[2:] /= unit ** np.arange(1.0, 5.0)
        return float(fit[1]), (fit if point != 0 else None)

    def _refined(self, segments: list[_Segment]) -> tuple[_Segment, ...]:
        """Cells halved until the density, and its logarithm where there is mass, are resolved in each."""
        nodes = _rule()[0]
        top = -np.inf

        def weight(s: _Segment, low: Array, high: Array) -> tuple[Array, Array]:
            z = 0.5 * (1 + nodes)
            first = ((low == 0) & (s.power != 0))[:, None]
            close, jacobian = _towards_edge(np.asarray(s.power), high[:, None], z)
            offset = np.where(first, close, low[:, None] + (high - low)[:, None] * z)
            node = s.point + s.sign * offset
            inner = np.nextafter(s.point, s.point + s.sign * np.inf)
            value = self.log_pdf(np.where(s.sign * (node - s.point) > 0, node, inner))
            if s.model is not None:
                value = np.where(offset < s.reach, _edge(s.model, offset), value)
            smooth = value - np.where(first, s.power * np.log(offset), 0.0)
            return value + np.where(first, jacobian, 0.0) + np.log(high - low)[:, None], smooth

        def rough(s: _Segment, low: Array, high: Array) -> Array:
            mass, smooth = weight(s, low, high)
            here = mass.max(1) > total - 60
            solid = np.asarray(np.isfinite(smooth).all(1))
            safe = np.where(solid[:, None], smooth, 0.0)
            rounding = 4e-16 * (abs(s.point) + high) * np.ptp(safe, axis=1) / np.maximum(high - low, 1e-300)
            share = np.exp(mass.max(1) - total)
            bad = _decay(np.exp(mass - total))[0] > 1e-15 + (rounding + 8e-15) * share  # its coefficients are rounded
            bad |= here & solid & (_decay(safe)[0] > 1e-13 * (1 + np.abs(safe).max(1)) + rounding)
            bad |= here & ~solid
            room = (high - low) > 4e-16 * np.maximum(abs(s.point), high)
            return np.asarray(bad & room)

        with np.errstate(all="ignore"):
            for s in segments:
                top = max(top, float(weight(s, s.offsets[:-1], s.offsets[1:])[0].max()))
            if not np.isfinite(top):
                raise ValueError("the density cannot be normalised: it is infinite inside its support")
            done = []
            for s in segments:
                low, high, edges, total = s.offsets[:-1], s.offsets[1:], [s.offsets], top
                for _ in range(50):
                    bad = rough(s, low, high)
                    if not bad.any() or sum(e.size for e in edges) > 3000:
                        break
                    low, high = low[bad], high[bad]
                    middle = 0.5 * (low + high)
                    edges.append(middle)
                    low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
                offsets = np.unique(np.concatenate(edges))
                whole = rough(s, np.zeros(offsets.size - 1), offsets[1:])
                count = int(whole.argmax()) if whole.any() else whole.size
                smooth = float(offsets[count]) if count else 0.0
                done.append(_Segment(s.point, s.sign, offsets, s.length, s.power, smooth, s.model, s.reach))
        return tuple(done)


def _towards_edge(power: Array, high: Array, z: Array) -> tuple[Array, Array]:
    """Offsets high * z**q and the log of q z**(q-1), q such that offset**power * jacobian is z**3 times a constant.

    Offsets that would underflow stop at a tiny number, and the logarithm carries what the weight then lacks.
    """
    q = 4.0 / np.maximum(power + 1.0, 1e-6)
    log_offset = np.log(high) + q * np.log(z)
    kept = np.maximum(log_offset, -650.0)
    return np.exp(kept), np.log(q) + (q - 1) * np.log(z) + power * (log_offset - kept)


def _nothing(xi: Array, u: Array) -> Array:
    return np.zeros_like(xi)


def _edge(model: Array, offset: Array) -> Array:
    """log weight next to a point, from the model's coefficients."""
    d = np.maximum(offset, 1e-300)
    smooth = d * (model[2] + d * (model[3] + d * (model[4] + d * model[5])))
    return np.asarray(model[0] + model[1] * np.log(d) + smooth)


class _Convolved(_Line):
    """The law of xi + sqrt(s) w for a law on the line and s > 0, through its density."""

    def __init__(self, base: _Line, s: Array) -> None:
        self.base, self.s = base, s

    @cached_property
    def _segments(self) -> tuple[_Segment, ...]:
        inside = self.base._segments
        ends = [(min(s.point for s in inside), -1.0), (max(s.point for s in inside), 1.0)]
        outside = [e for e in ends if not any((s.point, s.sign) == e for s in inside)]
        return (*(_Segment(s.point, s.sign, s.offsets, s.length) for s in inside),
                *(_Segment(point, sign, np.zeros(1), np.inf) for point, sign in outside))

    def _rows(self) -> tuple[Any, ...]:
        return (self.s,)

    def _scale(self, rows: Sequence[Array]) -> Array:
        return np.sqrt(rows[0])

    def _log_weight(self, node: Array, offset: Array, segment: Array, rows: Sequence[Array]) -> Array:
        s = np.broadcast_to(rows[0], node.shape)
        return self.base.log_average_exp(_kernel, (), node, np.sqrt(s)) - 0.5 * np.log(2 * np.pi * s)


def _kernel(xi: Array, u: Array) -> Array:
    return -0.5 * u * u


class NoisyLaw(Law):
    """The law of xi + sqrt(s) w, with xi from `base` (atoms, normal, density or noisy), w normal, s >= 0 an array.

    Integrands see x as a double.  Around an atom at a != 0 they therefore see w only to eps |a| / sqrt(s), which the
    error says; where s may be far smaller, write the sum over the atoms out, in w.

    >>> float(NoisyLaw(AtomsLaw([-1, 1], [1, 1]), 0.5).average(lambda x: x**2).round(12))
    1.5
    """

    def __init__(self, base: Law, s: Any) -> None:
        variance: Array = np.asarray(s, dtype=float)
        if (variance < 0).any():
            raise ValueError("the variance of the noise must not be negative")
        inner: Law = base.base if isinstance(base, NoisyLaw) else base
        if not isinstance(inner, AtomsLaw | NormalLaw | DensityLaw):
            raise ValueError("noise can be added to atoms, a normal law or a density")
        self.base: Law = inner
        self.s: Array = variance + base.s if isinstance(base, NoisyLaw) else variance

    def average_with_error(self, f: Function, args: Sequence[Any] = ()) -> tuple[Array, Array]:
        """E f(xi + sqrt(s) w, *args) and an estimate of its absolute error."""
        def part(law: Law, a: Sequence[Array]) -> list[Array]:
            return list(law.average_with_error(f, a))

        value, error = self._apart(part, args, 2)
        return value, error

    def log_average_exp_with_error(self, g: Function, args: Sequence[Any] = (), center: Any = None,
                                   width: Any = None) -> tuple[Array, Array]:
        """log E exp g(xi + sqrt(s) w, u, *args) and an estimate of its error."""
        def part(law: Law, a: Sequence[Array]) -> list[Array]:
            c, w, rest = (None, None, a) if center is None else (a[0], a[1], a[2:])
            return list(law.log_average_exp_with_error(g, rest, c, w))

        value, error = self._apart(part, args if center is None else (center, width, *args), 2)
        return value, error

    def tilted_with_error(self, fs: Sequence[Function], g: Function, args: Sequence[Any] = (), center: Any = None,
                          width: Any = None) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """E[f e^g] / E[e^g] for xi + sqrt(s) w, and estimates of the errors."""
        def part(law: Law, a: Sequence[Array]) -> list[Array]:
            c, w, rest = (None, None, a) if center is None else (a[0], a[1], a[2:])
            values, errors = law.tilted_with_error(fs, g, rest, c, w)
            return [*values, *errors]

        out = self._apart(part, args if center is None else (center, width, *args), 2 * len(fs))
        return tuple(out[:len(fs)]), tuple(out[len(fs):])

    def _apart(self, part: Callable[[Law, Sequence[Array]], list[Array]], args: Sequence[Any],
               count: int) -> list[Array]:
        """The parts with and without noise, each by its own law, put together again."""
        shape, (s, *flat) = _flat([self.s, *args])
        out = [np.empty(s.size) for _ in range(count)]
        for where in (s > 0, s == 0):
            if not where.any():
                continue
            law = self.base if not s[where][0] > 0 else self._noisy(s[where])
            for o, v in zip(out, part(law, [a[where] for a in flat]), strict=True):
                o[where] = v
        if np.isnan(s).any():
            for o in out:
                o[np.isnan(s)] = np.nan
        return [o.reshape(shape) for o in out]

    def _noisy(self, s: Array) -> Law:
        if isinstance(self.base, AtomsLaw):
            return _Shifted(self.base.points, self.base.weights, np.sqrt(s))
        if isinstance(self.base, NormalLaw):
            return _Shifted(np.zeros(1), np.ones(1), np.sqrt(1 + s))
        assert isinstance(self.base, _Line)
        return _Convolved(self.base, s)


class _Shifted(Law):
    """The law of a point + scale * w: the points with weights, scale an array."""

    def __init__(self, points: Array, weights: Array, scale: Array) -> None:
        self.points, self.weights, self.scale = points, weights, scale

    def average_with_error(self, f: Function, args: Sequence[Any] = ()) -> tuple[Array, Array]:
        """E f(x, *args) and an estimate of its absolute error."""
        def shifted(w: Array, point: Array, scale: Array, *a: Array) -> Any:
            return f(point + scale * w, *a)

        values, errors = NormalLaw().average_with_error(shifted, self._wide(args))
        rounding = 2e-16 * np.abs(self.points) / self.scale[..., None]  # of w, seen through a double x
        return values @ self.weights, (errors + rounding * np.abs(values)) @ self.weights

    def log_average_exp_with_error(self, g: Function, args: Sequence[Any] = (), center: Any = None,
                                   width: Any = None) -> tuple[Array, Array]:
        """log E exp g(x, u, *args) and an estimate of its absolute error."""
        moved = self._moved(g, center is not None)
        logs, errors = NormalLaw().log_average_exp_with_error(moved, self._wide(args), *self._hint(center, width))
        logs = logs + np.log(self.weights)
        return np.logaddexp.reduce(logs, axis=-1), errors.max(-1)

    def tilted_with_error(self, fs: Sequence[Function], g: Function, args: Sequence[Any] = (), center: Any = None,
                          width: Any = None) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """E[f e^g] / E[e^g] for each f, and estimates of the absolute errors."""
        hinted, wide, hint = center is not None, self._wide(args), self._hint(center, width)
        tilt, tilts = self._moved(g, hinted), [self._moved(f, hinted) for f in fs]
        logs = NormalLaw().log_average_exp_with_error(tilt, wide, *hint)[0] + np.log(self.weights)
        share = np.exp(logs - np.logaddexp.reduce(logs, axis=-1)[..., None])
        means, errors = NormalLaw().tilted_with_error(tilts, tilt, wide, *hint)
        return (tuple(np.where(share > 0, share * m, 0.0).sum(-1) for m in means),
                tuple(np.where(share > 0, share * e, 0.0).sum(-1) for e in errors))

    def _wide(self, args: Sequence[Any]) -> tuple[Any, ...]:
        return (self.points, *(np.asarray(a, dtype=float)[..., None] for a in (self.scale, *args)))

    def _hint(self, center: Any, width: Any) -> tuple[Any, Any]:
        """A kernel in x as a kernel in w."""
        if center is None or width is None:
            return center, width
        scale = self.scale[..., None]
        c, k = (np.asarray(a, dtype=float)[..., None] for a in (center, width))
        return (c - self.points) / scale, k / scale

    @staticmethod
    def _moved(f: Function, hinted: bool) -> Function:
        def moved(w: Array, u: Array, point: Array, scale: Array, *a: Array) -> Any:
            x = point + scale * w
            return f(x, u if hinted else x, *a)

        return moved


class MarchenkoPasturLaw(_Line):
    """Marchenko-Pastur law of an N x N covariance F F^T / D, ratio = D / N (an array).

    There is an atom of weight max(0, 1 - ratio) at zero.

    The continuous part is c = ((1 - a)^2 + 4 a sin^2(theta/2)) / ratio, a = sqrt(ratio), with weight
    (2/pi) sin^2(theta) / c on (0, pi): no edge is left, at ratio 1 neither.

    >>> float(MarchenkoPasturLaw(0.5).average(lambda c: c).round(12))
    1.0
    """

    def __init__(self, ratio: Any) -> None:
        self.ratio = np.asarray(ratio, dtype=float)
        if not (self.ratio > 0).all():
            raise ValueError("the ratio of a Marchenko-Pastur law is positive")

    @cached_property
    def _segments(self) -> tuple[_Segment, ...]:
        half = np.pi / 2
        low = np.concatenate([[0.0], half * 16.0 ** -np.arange(14.0, -1.0, -1.0)])
        return (_Segment(0.0, 1.0, low, half), _Segment(float(np.pi), -1.0, np.array([0.0, half / 2, half]), half))

    def _rows(self) -> tuple[Any, ...]:
        return (self.ratio,)

    def _atom(self, rows: Sequence[Array]) -> Array:
        return np.maximum(0.0, 1.0 - rows[0])

    def _value(self, node: Array, offset: Array, segment: Array, rows: Sequence[Array]) -> Array:
        (ratio,) = rows
        a = np.sqrt(ratio)
        half = np.where(segment == 0, np.sin(0.5 * offset), np.cos(0.5 * offset))
        return np.asarray((((1 - ratio) / (1 + a)) ** 2 + 4 * a * half**2) / ratio)

    def _log_weight(self, node: Array, offset: Array, segment: Array, rows: Sequence[Array]) -> Array:
        c = self._value(node, offset, segment, rows)
        return np.asarray(np.log(2 / np.pi) + 2 * _log_abs(np.sin(offset)) - np.log(c))

    def _prepare(self, args: Sequence[Any], center: Any, width: Any) -> tuple[Any, list[Array], Any]:
        if center is not None:
            raise ValueError("a spectral law takes no kernel")
        return super()._prepare(args, center, width)
