"""Averages over standard normal variables on a tensor grid of Gauss-Hermite points, written apart from the package.

Every node is opened and its body evaluated at all points, a new axis for each variable; right to many digits for smooth
bodies that do not grow fast.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sympy import Add, Basic, Expr, Mul, Pow, Symbol, lambdify

from derive.nodes import GaussianAverage, LogAverageExp, Normal, TiltedAverage

Array = NDArray[np.float64]


def value(e: Expr, numbers: Mapping[Symbol, float], points: int = 80) -> float:
    """The value of an expression whose averages are all over standard normal variables."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    grid = _Grid(nodes, weights / weights.sum())
    return float(grid(e, {k: (np.float64(v), ()) for k, v in numbers.items()})[0])


Placed = tuple[Array, tuple[Symbol, ...]]


class _Grid:
    def __init__(self, nodes: Array, weights: Array) -> None:
        self.nodes, self.weights = nodes, weights

    def _along(self, scope: dict[Symbol, Placed], variables: tuple[Symbol, ...], e: Expr) -> tuple[Array, list[Symbol]]:
        """e on the grid of the variables in scope that it needs, and of new ones (last)."""
        value, axes = self(e, scope | {v: (self.nodes, (v,)) for v in variables})
        return value, list(axes)

    def _sum(self, value: Array, axes: list[Symbol], variables: tuple[Symbol, ...]) -> Placed:
        for v in variables:
            if v in axes:
                value = np.tensordot(value, self.weights, axes=(axes.index(v), 0))
                axes = [a for a in axes if a != v]
        return value, tuple(axes)

    def __call__(self, e: Basic, scope: dict[Symbol, Placed]) -> Placed:
        if e.is_Symbol:
            return scope[e]
        if isinstance(e, GaussianAverage):
            variables, (body,) = e.open()
            return self._sum(*self._along(scope, variables, body), variables)
        if isinstance(e, LogAverageExp | TiltedAverage):
            assert isinstance(e.law, Normal)
            (w,), scoped = e.open()
            g, axes = self._along(scope, (w,), scoped[-1])
            g, axes = self._spread((g, tuple(axes)), (*(a for a in axes if a != w), w))
            top = g.max(axis=-1, keepdims=True)
            weight = np.exp(g - top) * self.weights
            norm = weight.sum(axis=-1)
            if isinstance(e, LogAverageExp):
                return np.log(norm) + top[..., 0], tuple(axes[:-1])
            f = self(scoped[0], scope | {w: (self.nodes, (w,))})
            order = (*dict.fromkeys((*axes[:-1], *(a for a in f[1] if a != w))), w)
            f_all, _ = self._spread(f, order)
            w_all, _ = self._spread((weight, tuple(axes)), order)
            return (f_all * w_all).sum(axis=-1) / w_all.sum(axis=-1), order[:-1]
        if not e.args:
            return np.float64(float(e)), ()
        parts = [self(a, scope) for a in e.args]
        axes = tuple(dict.fromkeys(a for _, own in parts for a in own))
        arrays = [self._spread(p, axes)[0] for p in parts]
        if isinstance(e, Add):
            return sum(arrays[1:], arrays[0]), axes
        if isinstance(e, Mul):
            return np.prod(np.broadcast_arrays(*arrays), axis=0), axes
        if isinstance(e, Pow):
            return arrays[0] ** arrays[1], axes
        names = [Symbol(f"a{i}") for i in range(len(arrays))]
        return lambdify(names, e.func(*names), ["numpy", "scipy"])(*arrays), axes

    @staticmethod
    def _spread(placed: Placed, axes: tuple[Symbol, ...]) -> tuple[Array, tuple[Symbol, ...]]:
        """The array with its axes in the given order, axes of length one where it has none."""
        array, own = placed
        array = np.transpose(array, [own.index(a) for a in axes if a in own]) if own else np.asarray(array)
        lengths = dict(zip((a for a in axes if a in own), array.shape, strict=True))
        return array.reshape([lengths.get(a, 1) for a in axes]), axes
