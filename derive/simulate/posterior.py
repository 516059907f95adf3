r"""The empirical posterior on the linear hidden manifold, streamed over the data points.

A dataset is F (N x D) and the latents z_mu (mu = 0 ... P-1), all iid N(0, 1); its points are xi_mu = F z_mu / sqrt(D).
Query k starts at the k-th data point, x = xi_k + sqrt(t) w_k with one w_k for all times.

Random numbers
    Counter-based (threefry).  Every object has a key of its own, folded from (seed, N, dataset, object), and every
    data point folds in its index: z_mu is a function of (seed, N, dataset, mu) and of nothing else, so that neither the
    chunks nor the device decide what is drawn.  Normals are single precision (23 bits, cut at 5.4 standard deviations).

Algebra
    With A = F / sqrt(D) = Q R (Q with orthonormal columns), y = R z and v = Q^T w,

    |x - xi_mu|^2 / 2t - |w|^2 / 2  =  |y_k - y_mu|^2 / 2t + (y_k - y_mu) . v_k / sqrt(t),

    exactly: the part of the noise that is orthogonal to the manifold is common to all points and drops out.  It is zero
    for mu = k, so that w_1 = 1/(1 + S) with S the sum over the others.  The cost is O(P D (D + 2 K)) once for all
    times, and O(P K) for each time.

Precision
    A = Q R and everything about the queries in double precision; latents, products and exponentials in single
    precision (no reduced-precision matrix products); sums over a thirty-second of a chunk in single precision,
    relative to their largest term; everything beyond in double precision.  The exponents are off by about
    1e-7 |y|^2 / t, and so are the weights, relatively; every record carries the difference from `direct_weights`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.simulate.errors import SimulationError

__all__ = ["Dataset", "device", "frame", "import_jax", "latents", "noises", "streamed_weights"]

Floats = NDArray[np.float64]
PARTS = 32  # parts of a chunk, each summed in single precision
LARGEST = 2**31  # data points: their index is a 32-bit counter
FRAME, NOISE, LATENT = range(3)  # objects that have a key


@dataclass(frozen=True)
class Dataset:
    """One dataset, by the numbers that fix it: seed, N, D, P and its index among the datasets of this N."""

    seed: int
    N: int
    D: int
    P: int
    index: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise SimulationError(f"seed {self.seed}: allowed are integers from 0 to 2^32 - 1", given=str(self.seed))
        if not 2 <= self.P <= LARGEST:
            raise SimulationError(f"{self.P} data points: allowed are 2 to 2^31", given=str(self.P))


def import_jax() -> Any:
    """The module jax, or one line that says how to get it."""
    try:
        return import_module("jax")
    except ImportError:
        raise SimulationError(
            "simulations need JAX, which is not installed: pip install 'derive[jax]'",
            given="no jax",
            allowed="derive[jax]",
        ) from None


def device() -> dict[str, Any]:
    """What the sums run on: platform (cpu, gpu, ...), kind, and how many there are (one is used)."""
    devices = import_jax().devices()
    return {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)}


def _key(jax: Any, data: Dataset, kind: int) -> Any:
    """The key of one object of a dataset."""
    key = jax.random.key(np.uint32(data.seed), impl="threefry2x32")
    for number in (data.N, data.index, kind):
        key = jax.random.fold_in(key, np.uint32(number))
    return key


def frame(data: Dataset) -> NDArray[np.float32]:
    """The matrix F of a dataset, (N, D)."""
    return _drawn(data, FRAME, 0, data.N, data.D)


def noises(data: Dataset, queries: int) -> NDArray[np.float32]:
    """The noises w_k of the queries, (queries, N)."""
    return _drawn(data, NOISE, 0, queries, data.N)


def latents(data: Dataset, start: int, stop: int) -> NDArray[np.float32]:
    """The latents z_mu of the points mu = start ... stop-1, (stop - start, D)."""
    return _drawn(data, LATENT, start, stop, data.D)


def _drawn(data: Dataset, kind: int, start: int, stop: int, dimension: int) -> NDArray[np.float32]:
    """Rows start ... stop-1 of one object of a dataset.

    Each entry has a counter of its own, so that a larger block may be drawn and cut: few shapes, few compilations.
    """
    jax = import_jax()
    rows, columns = (1 << (n - 1).bit_length() for n in (stop - start, dimension))
    with jax.threefry_partitionable(True):
        block = _compiled_normals()(_key(jax, data, kind), np.uint32(start) + np.arange(rows, dtype=np.uint32), columns)
    return np.asarray(block)[: stop - start, :dimension]


def _normals(jax: Any, key: Any, counters: Any, dimension: int) -> Any:
    """A row of N(0, 1) for each counter, (counters, dimension), whatever the other counters are."""
    return jax.vmap(lambda mu: jax.random.normal(jax.random.fold_in(key, mu), (dimension,), np.float32))(counters)


@cache
def _compiled_normals() -> Callable[..., Any]:
    jax = import_jax()
    compiled: Callable[..., Any] = jax.jit(partial(_normals, jax), static_argnums=2)
    return compiled


@cache
def _chunk() -> Callable[..., Any]:
    """The sums over one chunk of data points, compiled once for each shape."""
    jax = import_jax()
    jnp = jax.numpy
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

    @partial(jax.jit, static_argnames="rows")
    def sums(
        key: Any, start: Any, stop: Any,
        root: Any, square: Any, cross: Any, dot: Any, tilt: Any, times: Any,
        *, rows: int,
    ) -> Any:
        mu = start + jnp.arange(rows, dtype=np.uint32)
        z = _normals(jax, key, mu, root.shape[1]).T
        left_out = (mu == jnp.arange(len(square), dtype=np.uint32)[:, None]) | (mu >= stop)
        distance = square[:, None] + (product(root, z) ** 2).sum(axis=0) - 2 * product(cross, z)
        distance = jnp.where(left_out, np.float32(np.inf), distance)
        along = dot[:, None] - product(tilt, z)

        def at(t: Any) -> tuple[Any, Any, Any]:
            exponent = -distance / (2 * t) - along / jnp.sqrt(t)
            top = jnp.maximum(exponent.max(axis=1), np.float32(-1e30))  # a chunk may hold nothing but the truth
            term = jnp.exp(exponent - top[:, None]).reshape(len(square), PARTS, rows // PARTS)
            return top, term.sum(axis=2), (term * term).sum(axis=2)

        return jax.lax.map(at, times)

    compiled: Callable[..., Any] = sums
    return compiled


def streamed_weights(
    data: Dataset,
    queries: int,
    times: NDArray[Any],
    chunk: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[Floats, Floats]:
    """Weight of the true point and participation ratio, the data points generated chunk by chunk.

    Arguments: data; queries K <= P, which start at the first K data points; times (T,); chunk, the number of points
    held at once (rounded up to a multiple of 32); progress, called with the number of points done since the last call.
    Returns: w_1 and sum_mu w_mu^2, each (K, T).
    Raises SimulationError where there are more queries than points, or without JAX.
    """
    if not 1 <= queries <= data.P:
        raise SimulationError(
            f"{queries} queries among {data.P} data points: allowed are 1 to {data.P}", given=str(queries)
        )
    jax = import_jax()
    rows = PARTS * -(-min(chunk, data.P) // PARTS)
    q, root = np.linalg.qr(frame(data).astype(np.float64) / np.sqrt(data.D))
    starts = latents(data, 0, queries).astype(np.float64) @ root.T
    v = noises(data, queries).astype(np.float64) @ q
    arguments = (root, (starts**2).sum(axis=1), starts @ root, (starts * v).sum(axis=1), v @ root, np.asarray(times))

    top = np.full((len(times), queries), -np.inf)
    total, squares = np.zeros_like(top), np.zeros_like(top)
    with jax.threefry_partitionable(True):
        key = _key(jax, data, LATENT)
        arguments = tuple(jax.device_put(a.astype(np.float32)) for a in arguments)
        for start in range(0, data.P, rows):
            found = _chunk()(key, np.uint32(start), np.uint32(data.P), *arguments, rows=rows)
            peak, first, second = (np.asarray(f, np.float64) for f in found)
            higher = np.maximum(top, peak)
            old, new = np.exp(top - higher), np.exp(peak - higher)
            total = total * old + first.sum(axis=2) * new
            squares = squares * old**2 + second.sum(axis=2) * new**2
            top = higher
            if progress is not None:
                progress(min(rows, data.P - start))
    scale = np.maximum(top, 0.0)  # the truth has exponent 0
    truth, others = np.exp(-scale), np.exp(top - scale)
    norm = truth + total * others
    return (truth / norm).T, ((truth**2 + squares * others**2) / norm**2).T
