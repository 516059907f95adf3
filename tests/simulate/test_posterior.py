"""The streamed posterior against arrays that are written out, and against what is exactly known of it."""

import math

import numpy as np
import pytest

from derive.simulate import SimulationError
from derive.simulate.direct import direct_weights
from derive.simulate.posterior import Dataset, frame, latents, noises, streamed_weights

pytest.importorskip("jax")

TIMES = np.exp(np.linspace(-1.5, 2.0, 8))


def written_out(data: Dataset, queries: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior weights in the ambient space, one distance after the other, in double precision."""
    points = [frame(data).astype(float) @ z / math.sqrt(data.D) for z in latents(data, 0, data.P).astype(float)]
    truth, participation = np.empty((queries, len(times))), np.empty((queries, len(times)))
    for k, noise in enumerate(noises(data, queries).astype(float)):
        for i, t in enumerate(times):
            x = points[k] + math.sqrt(t) * noise
            energies = [math.fsum((x - xi) ** 2) / (2 * t) for xi in points]
            weights = [math.exp(min(energies) - e) for e in energies]
            norm = math.fsum(weights)
            truth[k, i], participation[k, i] = weights[k] / norm, math.fsum((w / norm) ** 2 for w in weights)
    return truth, participation


@pytest.mark.parametrize(("N", "D", "P"), [(12, 6, 300), (7, 7, 65), (5, 9, 130), (20, 1, 2), (3, 2, 33)])
def test_streamed_sums_are_the_direct_sums(N: int, D: int, P: int) -> None:
    data = Dataset(1, N, D, P, index=4)
    queries = min(3, P)
    streamed = streamed_weights(data, queries, TIMES, chunk=64)
    for ours, exact in zip(streamed, written_out(data, queries, TIMES), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=0, atol=3e-6)


def test_the_direct_sum_of_the_package_is_the_one_written_out() -> None:
    data = Dataset(2, 6, 3, 40)
    points = latents(data, 0, 40).astype(float) @ frame(data).astype(float).T / math.sqrt(3)
    for ours, exact in zip(direct_weights(points, noises(data, 5), TIMES), written_out(data, 5, TIMES), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-12, atol=0)


@pytest.mark.parametrize("chunk", [1, 96, 500, 4096])
def test_chunks_do_not_matter(chunk: int) -> None:
    data = Dataset(3, 10, 5, 1000)
    reference = streamed_weights(data, 4, TIMES, chunk=1000)
    for ours, other in zip(streamed_weights(data, 4, TIMES, chunk), reference, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-5, atol=1e-12)


def test_a_point_is_a_function_of_its_counter_alone() -> None:
    data = Dataset(4, 9, 5, 500)
    np.testing.assert_array_equal(latents(data, 0, 500)[211:230], latents(data, 211, 230))
    np.testing.assert_array_equal(latents(data, 7, 8), latents(Dataset(4, 9, 5, 12), 7, 8))
    assert not np.array_equal(latents(data, 0, 3), latents(Dataset(5, 9, 5, 500), 0, 3))
    assert not np.array_equal(latents(data, 0, 3), latents(Dataset(4, 9, 5, 500, index=1), 0, 3))
    assert not np.array_equal(latents(data, 0, 3), latents(Dataset(4, 10, 5, 500), 0, 3))


def test_the_generator_has_not_changed() -> None:
    """The first numbers of a seed: a record can be made again only while they stand (JAX 0.10)."""
    data = Dataset(20250214, 24, 12, 122)
    found = [latents(data, 0, 1)[0, 0], noises(data, 1)[0, 0], frame(data)[0, 0]]
    np.testing.assert_allclose(found, [1.7367284, 0.5688999, -0.8693032], rtol=1e-5)


def test_the_numbers_are_standard_normal() -> None:
    z = latents(Dataset(5, 30, 20, 20_000), 0, 20_000).astype(float)
    for moment, value, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**moment).mean() - value) < 4 * math.sqrt(variance / z.size)
    products = z.T @ z / len(z) - np.eye(20)
    assert np.abs(products).max() < 5 * math.sqrt(2 / len(z))


def test_limits_of_small_and_large_times() -> None:
    data = Dataset(6, 10, 5, 200)
    w, participation = streamed_weights(data, 10, np.array([1e-4, 1e6]), chunk=64)
    np.testing.assert_allclose(w[:, 0], 1, atol=1e-6)
    np.testing.assert_allclose(participation[:, 0], 1, atol=1e-6)
    np.testing.assert_allclose(w[:, 1], 1 / 200, rtol=0.05)
    np.testing.assert_allclose(participation[:, 1], 1 / 200, rtol=0.05)


def test_far_below_the_collapse_nothing_underflows() -> None:
    w, participation = streamed_weights(Dataset(7, 40, 40, 64), 3, np.array([1e-6, 1e-3]), chunk=32)
    np.testing.assert_array_equal(w, 1.0)
    np.testing.assert_array_equal(participation, 1.0)


def test_annealed_sum_above_the_condensation() -> None:
    """With exp(alpha N) far beyond the condensation the other points' sum is its mean, a Gaussian integral."""
    data = Dataset(8, 6, 3, 100_000)
    times = np.array([0.5, 1.0, 3.0])
    w, participation = streamed_weights(data, 8, times, chunk=8192)
    A = frame(data).astype(float) / math.sqrt(data.D)
    C = A @ A.T
    starts, noise = latents(data, 0, 8).astype(float) @ A.T, noises(data, 8).astype(float)
    for i, t in enumerate(times):
        x = starts + math.sqrt(t) * noise
        resolvent = np.linalg.inv(C + t * np.eye(6))
        log_mean = (noise**2).sum(axis=1) / 2 - np.einsum("ki,ij,kj->k", x, resolvent, x) / 2
        log_mean += math.log(data.P - 1) - np.linalg.slogdet(np.eye(6) + C / t)[1] / 2
        off = np.log(1 / w[:, i] - 1) - log_mean
        assert np.all(participation[:, i] < 0.1)
        assert np.all(np.abs(off) < 5 * np.sqrt(participation[:, i]))


def test_the_true_point_is_a_draw_from_the_posterior() -> None:
    """E w_1 = E sum w^2 at any N, P and t."""
    differences = []
    for index in range(600):
        w, participation = streamed_weights(Dataset(9, 8, 4, 20, index), 20, TIMES, chunk=32)
        differences.append((w - participation).mean(axis=0))
    mean, error = np.mean(differences, axis=0), np.std(differences, axis=0, ddof=1) / math.sqrt(600)
    assert np.all(np.abs(mean) < 4 * error)
    assert np.all(error < 0.01)


@pytest.mark.parametrize("queries", [0, 21])
def test_queries_start_at_data_points(queries: int) -> None:
    with pytest.raises(SimulationError, match="allowed are 1 to 20"):
        streamed_weights(Dataset(1, 4, 2, 20), queries, TIMES, chunk=32)


@pytest.mark.parametrize(("seed", "P"), [(-1, 20), (2**32, 20), (1, 1), (1, 2**31 + 1)])
def test_counters_have_32_bits(seed: int, P: int) -> None:
    with pytest.raises(SimulationError, match="allowed are"):
        Dataset(seed, 4, 2, P)
