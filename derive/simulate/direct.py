"""The empirical posterior, summed directly: what the streamed sums are compared with.

Nothing clever: every distance from explicit arrays in the ambient space, in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["direct_weights"]

Floats = NDArray[np.float64]


def direct_weights(points: NDArray[Any], noises: NDArray[Any], times: NDArray[Any]) -> tuple[Floats, Floats]:
    """Weight of the true point and participation ratio of the posterior under the empirical density.

    The k-th query is x = points[k] + sqrt(t) noises[k]; point mu has weight exp(-|x - xi_mu|^2 / 2t) up to the norm.

    Arguments: points (P, N), all data points; noises (K, N) with K <= P; times (T,).
    Returns: w_1 and sum_mu w_mu^2, each (K, T).

    Two points at distance 2, the query on the first: the other one has weight exp(-4/2t) against 1.

    >>> w, participation = direct_weights(np.array([[0.0], [2.0]]), np.array([[0.0]]), np.array([2.0]))
    >>> float(w[0, 0] * (1 + np.exp(-1.0))).__round__(12)
    1.0
    """
    points, noises = np.asarray(points, np.float64), np.asarray(noises, np.float64)

    def weights() -> Iterator[tuple[float, float]]:
        for k, noise in enumerate(noises):
            for t in np.asarray(times, np.float64):
                exponent = -((points[k] + np.sqrt(t) * noise - points) ** 2).sum(axis=1) / (2 * t)
                w = np.exp(exponent - exponent.max())
                w /= w.sum()
                yield float(w[k]), float((w**2).sum())

    found = np.array(list(weights())).reshape(len(noises), len(times), 2)
    return found[..., 0], found[..., 1]
