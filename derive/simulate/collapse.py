r"""The collapse on the linear hidden manifold, measured from its definition.

What is measured
    A dataset of P = round(exp(alpha N)) points xi_mu = F z_mu / sqrt(D), D = alpha_D N, and a trajectory of it,
    x_t = xi_1 + sqrt(t) w.  Under the empirical density at time t the point x_t has come from xi_mu with probability

        w_mu(t) = exp(-|x_t - xi_mu|^2 / 2t) / sum_nu exp(-|x_t - xi_nu|^2 / 2t).

    At large N the weight w_1 of the true point jumps from 0 to 1 as t falls through the collapse time t_c.

Fixed before the recorded run
    Estimator: t_N is the time at which E w_1 = 1/2; the mean is over datasets (F, z) and queries (K points of each
    dataset, each with its own w), with the same random numbers at all times.  Between the times of the grid the
    log-odds of E w_1 are linear in log t.
    Error of t_N: bootstrap over datasets (the queries of one dataset are not independent).
    Finite sizes: log P - log[p(x|xi_1)/p(x)] has a standard deviation of order sqrt(N), so that E w_1 falls over a
    width of order 1/sqrt(N) in log t; its median is off its mean by O(1), the spectrum of F and the competition of the
    P - 1 other points shift it by O(1) too, so that log t_N - log t_c is of order 1/N, and the next order of the same
    expansion is N^(-3/2).
    Primary form: log t_c + A/N.  Others: + B/N^(3/2); + B/N^2; and A log(N)/N + B/N, which no argument asks for.
    Weighted least squares over all sizes, log t_c from the primary form.
    Error of log t_c: root of the sum of squares of the bootstrap error and of the spread, which is the largest distance
    between the primary form's log t_c and another form's.
    Check: the true point is a draw from the posterior, so E w_1 = E sum_mu w_mu^2 at every t, N and P.  The largest
    |z| of the difference is recorded over those times where 0.05 <= E w_1 <= 0.95.
    Exploratory runs: see EXPLORATORY.

Theory reaches this room as a number only: see `agreement`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.simulate.direct import direct_weights
from derive.simulate.errors import SimulationError
from derive.simulate.fit import FORMS, bootstrap_means, crossing, extrapolate, summary
from derive.simulate.posterior import Dataset, device, frame, latents, noises, streamed_weights
from derive.simulate.record import SCHEMA, code_version, versions

__all__ = ["ESTIMATOR", "PRIMARY", "SIZES", "Preset", "Size", "agreement", "measure"]

Floats = NDArray[np.float64]
Progress = Callable[[float, str], None]

PRIMARY = "log t_c + A/N"
ESTIMATOR = "t_N: E w_1 = 1/2, mean over datasets and queries, common random numbers over t, log-odds linear in log t"
DIRECT_POINTS = 20_000  # the direct sum is compared at the largest size that has no more points
TOLERANCE = 1e-4  # a streamed weight further off than this is a broken device, not rounding
RESAMPLES = 2000
BAND = (0.05, 0.95)
CHUNK = MappingProxyType({"cpu": 2**13, "gpu": 2**19, "tpu": 2**19})  # data points held at once
EXPLORATORY = (
    "Before the sizes, the window of times and the primary form were fixed: seeds 999 to 1002, N up to 96 and P up to "
    "15000, at (alpha, alpha_D) = (0.2, 0.5), (0.2, 1), (0.1, 0.5). A/N fitted from P = 122 on (chi^2 per degree of "
    "freedom 0.1 to 1.6) and gave log t_c = 0.345(11) at (0.2, 0.5); the theory's value was known."
)


@dataclass(frozen=True)
class Size:
    """One size: N, the number of datasets, and the queries in each."""

    N: int
    datasets: int
    queries: int


@dataclass(frozen=True)
class Preset:
    """A run: the system, the grid of times (ends and number of points in log t), the sizes."""

    sizes: tuple[Size, ...]
    alpha: float = 0.2
    alpha_D: float = 0.5  # noqa: N815 - the papers' letter
    log_times: tuple[float, float, int] = (-1.4, 2.0, 18)

    def dataset(self, seed: int, size: Size, index: int) -> Dataset:
        """A dataset of a size; P = exp(alpha N) rounded, alpha_D N an integer."""
        D = round(self.alpha_D * size.N)
        if not math.isclose(D, self.alpha_D * size.N):
            raise SimulationError(f"alpha_D N = {self.alpha_D * size.N} is not an integer", given=str(size.N))
        return Dataset(seed, size.N, D, round(math.exp(self.alpha * size.N)), index)


SIZES: Mapping[str, Preset] = MappingProxyType({
    "smoke": Preset((Size(16, 48, 8), Size(20, 48, 8), Size(24, 48, 16), Size(30, 48, 16))),
    "cpu": Preset((
        Size(24, 4096, 32), Size(30, 4096, 32), Size(38, 2048, 32), Size(48, 1024, 64), Size(62, 384, 64),
        Size(80, 96, 64),
    )),
    "full": Preset((
        Size(24, 4096, 32), Size(30, 4096, 32), Size(38, 2048, 64), Size(48, 1024, 64), Size(62, 512, 64),
        Size(80, 512, 64), Size(100, 256, 64),
    )),
})


def measure(preset: Preset, size_name: str, seed: int, progress: Progress | None = None) -> dict[str, Any]:
    """Run a preset: its record, as plain data.

    Arguments: preset; size_name, for the record; seed; progress, called with the fraction done and a few words.
    Raises SimulationError without JAX, or where the streamed weights disagree with the direct sum.
    """
    began, clock, code = datetime.now(UTC), time.perf_counter(), code_version()
    where = device()
    chunk = CHUNK.get(where["platform"], CHUNK["cpu"])
    first, last, count = preset.log_times
    log_times = np.linspace(first, last, count)
    accuracy = _compare(preset, seed, np.exp(log_times), chunk)

    clouds = [preset.dataset(seed, size, 0) for size in preset.sizes]
    work, done = sum(c.P * s.datasets for c, s in zip(clouds, preset.sizes, strict=True)), 0
    results, resampled = [], []
    for size, cloud in zip(preset.sizes, clouds, strict=True):
        words = f"N = {size.N}, P = {cloud.P}, {size.datasets} datasets"

        def tell(points: int, words: str = words) -> None:
            nonlocal done
            done += points
            if progress is not None:
                progress(done / work, words)

        samples = np.empty((2, size.datasets, count))
        for index in range(size.datasets):
            weights = streamed_weights(replace(cloud, index=index), size.queries, np.exp(log_times), chunk, tell)
            samples[:, index] = [w.mean(axis=0) for w in weights]
        found, scatter = _size_result(size, cloud, log_times, samples, seed)
        results.append(found)
        resampled.append(scatter)
    return {
        "schema": SCHEMA,
        "name": "collapse-time",
        "size": size_name,
        "parameters": {"alpha": preset.alpha, "alpha_D": preset.alpha_D},
        "estimator": ESTIMATOR,
        "forms": {"primary": PRIMARY, "others": [form for form in FORMS if form != PRIMARY]},
        "exploratory": EXPLORATORY,
        "error": "sqrt(bootstrap error^2 + largest distance between the forms' log t_c and the primary form's^2)",
        "seeds": {
            "seed": seed, "generator": "threefry2x32, keys folded from (seed, N, dataset, object, index)",
            "bootstrap": "philox, (seed, N)", "resamples": RESAMPLES,
        },
        "sizes": [asdict(size) for size in preset.sizes],
        "log_times": log_times.tolist(),
        "chunk": chunk,
        "results": results,
        "extrapolation": _extrapolation(results, resampled),
        "accuracy": accuracy,
        "device": where,
        "versions": versions(),
        **code,
        "date": began.isoformat(timespec="seconds"),
        "wall_seconds": round(time.perf_counter() - clock, 2),
    }


def _compare(preset: Preset, seed: int, times: Floats, chunk: int) -> dict[str, Any]:
    """Streamed weights against the direct sum, for the first dataset of the largest size that it can hold."""
    fitting = [s for s in preset.sizes if preset.dataset(seed, s, 0).P <= DIRECT_POINTS]
    if not fitting:
        raise SimulationError(f"no size has at most {DIRECT_POINTS} points, where a direct sum can be compared")
    size = fitting[-1]
    data = preset.dataset(seed, size, 0)
    queries = min(size.queries, 8)
    points = latents(data, 0, data.P).astype(np.float64) @ frame(data).astype(np.float64).T / np.sqrt(data.D)
    direct = direct_weights(points, noises(data, queries), times)
    streamed = streamed_weights(data, queries, times, chunk)
    off = max(float(np.abs(a - b).max()) for a, b in zip(direct, streamed, strict=True))
    if not off < TOLERANCE:
        raise SimulationError(f"streamed weights are off the direct sum by {off:.1e} at N = {data.N}: broken device?")
    return {"N": data.N, "P": data.P, "queries": queries, "largest_difference_from_direct_sum": off}


def _size_result(
    size: Size, cloud: Dataset, log_times: Floats, samples: Floats, seed: int
) -> tuple[dict[str, Any], Floats]:
    """One size's entry of the record, and the bootstrap's log t_N; samples: (2, datasets, times)."""
    mean, error = samples.mean(axis=1), samples.std(axis=1, ddof=1) / np.sqrt(size.datasets)
    log_t, log_t_participation = crossing(log_times, mean)
    scatter = crossing(log_times, bootstrap_means(samples[0], RESAMPLES, (seed, size.N)))
    lost = int(np.isnan(scatter).sum())
    usable = bool(np.isfinite(log_t)) and not lost
    reason = "" if usable else f"E w_1 = 1/2 is not inside the window of times ({lost} of {RESAMPLES} resamples)"
    difference = samples[0] - samples[1]
    inside = (mean[0] >= BAND[0]) & (mean[0] <= BAND[1])
    z = difference.mean(axis=0)[inside] / (difference.std(axis=0, ddof=1)[inside] / np.sqrt(size.datasets))
    return {
        "N": size.N, "D": cloud.D, "P": cloud.P, "log_P_per_N": math.log(cloud.P) / size.N,
        "datasets": size.datasets, "queries": size.queries,
        "log_t_N": _finite(log_t), "log_t_N_error": float(scatter.std(ddof=1)) if usable else None, "reason": reason,
        "t_N": _finite(np.exp(log_t)),
        "log_t_N_from_participation": _finite(log_t_participation),
        "posterior_check_largest_z": float(np.abs(z).max()) if z.size else None,
        "E_w1": mean[0].tolist(), "E_w1_error": error[0].tolist(),
        "participation": mean[1].tolist(), "participation_error": error[1].tolist(),
    }, scatter


def _extrapolation(results: list[dict[str, Any]], resampled: list[Floats]) -> dict[str, Any]:
    """log t_c with its errors, from every form; null with the reason where a size has no crossing."""
    missing = [found["N"] for found in results if found["log_t_N_error"] is None]
    if missing:
        nothing = dict.fromkeys(("log_t_c", "t_c", "statistical", "spread", "error"))
        return nothing | {"fits": [], "reason": f"no crossing at N = {', '.join(map(str, missing))}"}
    sizes, values, errors = (
        np.array([found[key] for found in results], float) for key in ("N", "log_t_N", "log_t_N_error")
    )
    fits = {form: extrapolate(form, sizes, values, errors, np.column_stack(resampled))[0] for form in FORMS}
    primary = fits[PRIMARY]
    log_t_c = primary.coefficients[0]
    spread = max(abs(fit.coefficients[0] - log_t_c) for fit in fits.values())
    return {
        "log_t_c": log_t_c, "t_c": math.exp(log_t_c), "statistical": primary.error, "spread": spread,
        "error": math.hypot(primary.error, spread), "fits": [summary(fit) for fit in fits.values()], "reason": "",
    }


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def agreement(record: Mapping[str, Any], log_theory: float, factor: float = 1.3) -> dict[str, Any]:
    """How far a record is from a theory, and from one that is off by a factor, in units of the same error.

    Arguments: record of collapse-time; log_theory, log t_c of the theory at the record's alpha and alpha_D; factor.
    Returns: log_measured, error, log_theory, z, factor, z_rival (of a theory with factor * t_c), agrees (|z| < 3),
    discriminates (|z_rival| > 5).
    Raises SimulationError for a record without an extrapolation and for a log_theory that is not finite.

    >>> found = agreement({"name": "collapse-time", "extrapolation": {"log_t_c": 0.3, "error": 0.02}}, 0.32)
    >>> round(found["z"], 6), found["agrees"], found["discriminates"]
    (-1.0, True, True)
    """
    extrapolation = record.get("extrapolation", {})
    if record.get("name") != "collapse-time" or extrapolation.get("log_t_c") is None:
        raise SimulationError(f"the record has no log t_c: {extrapolation.get('reason') or 'not of collapse-time'}")
    if not math.isfinite(log_theory):
        raise SimulationError(f"log t_c of the theory is {log_theory}: finite is allowed", given=str(log_theory))
    if not (math.isfinite(factor) and factor > 0 and factor != 1):
        raise SimulationError(f"factor {factor}: allowed are positive numbers other than 1", given=str(factor))
    measured, error = float(extrapolation["log_t_c"]), float(extrapolation["error"])
    z = (measured - log_theory) / error
    rival = (measured - log_theory - math.log(factor)) / error
    return {
        "log_measured": measured, "error": error, "log_theory": float(log_theory), "z": z, "factor": float(factor),
        "z_rival": rival, "agrees": abs(z) < 3, "discriminates": abs(rival) > 5,
    }
