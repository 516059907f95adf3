"""From curves to a threshold: crossings, the bootstrap over datasets, and the extrapolation in the size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FORMS", "Fit", "bootstrap_means", "crossing", "extrapolate"]

Floats = NDArray[np.float64]

FORMS: Mapping[str, tuple[Callable[[Floats], Floats], ...]] = MappingProxyType({
    "log t_c + A/N": (lambda n: 1 / n,),
    "log t_c + A/N + B/N^(3/2)": (lambda n: 1 / n, lambda n: n**-1.5),
    "log t_c + A/N + B/N^2": (lambda n: 1 / n, lambda n: n**-2.0),
    "log t_c + A log(N)/N + B/N": (lambda n: np.log(n) / n, lambda n: 1 / n),
})


def crossing(log_times: Floats, curve: Floats, level: float = 0.5) -> Floats:
    """Where curves that fall with time go through a level: the last pair of times around it, log-odds linear between.

    Arguments: log_times (T,) increasing; curve (..., T) of values in [0, 1]; level in (0, 1).
    Returns: log t, shape (...); nan where a curve does not go through the level in the window.

    >>> float(crossing(np.array([0.0, 1.0, 2.0]), np.array([0.9, 0.8, 0.2])))
    1.5
    """
    odds = np.clip(curve, 1e-12, 1 - 1e-12)
    odds = np.log(odds / (1 - odds)) - np.log(level / (1 - level))
    above = odds >= 0
    last = above.shape[-1] - 1 - np.argmax(above[..., ::-1], axis=-1)
    found = above.any(axis=-1) & (last < above.shape[-1] - 1)
    left = np.minimum(last, above.shape[-1] - 2)
    here, there = (np.take_along_axis(odds, (left + k)[..., None], axis=-1)[..., 0] for k in (0, 1))
    share = np.divide(here, here - there, out=np.zeros_like(here), where=found)
    return np.asarray(np.where(found, log_times[left] + share * (log_times[left + 1] - log_times[left]), np.nan))


def bootstrap_means(samples: Floats, resamples: int, seed: Sequence[int]) -> Floats:
    """Means over samples drawn with replacement, (M, ...) -> (resamples, ...)."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    count = len(samples)
    draws = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(np.tensordot(draws / count, samples, axes=1))


@dataclass(frozen=True)
class Fit:
    """A weighted least-squares fit of one form: constant first, then the coefficients of its terms."""

    form: str
    coefficients: tuple[float, ...]
    error: float
    chi2: float
    dof: int


def extrapolate(form: str, sizes: Floats, values: Floats, errors: Floats, resampled: Floats) -> tuple[Fit, Floats]:
    """Fit of one form with weights 1/errors^2; the error of its constant is the scatter of the resampled constants.

    Arguments: form, a key of FORMS; sizes, values, errors (n,); resampled (R, n), the values of each resample.
    Returns: the Fit, and the constant of each resample (R,).

    >>> n = np.array([10.0, 20.0, 40.0])
    >>> fit, _ = extrapolate("log t_c + A/N", n, 0.3 + 2 / n, np.full(3, 0.1), np.tile(0.3 + 2 / n, (5, 1)))
    >>> [round(c, 9) for c in fit.coefficients]
    [0.3, 2.0]
    """
    terms = np.column_stack([np.ones_like(sizes), *(term(sizes) for term in FORMS[form])])
    inverse = np.linalg.pinv(terms / errors[:, None]) / errors
    coefficients = inverse @ values
    constants = resampled @ inverse[0]
    chi2 = float((((values - terms @ coefficients) / errors) ** 2).sum())
    fit = Fit(form, tuple(map(float, coefficients)), float(constants.std(ddof=1)), chi2, len(sizes) - terms.shape[1])
    return fit, constants


def summary(fit: Fit) -> dict[str, Any]:
    """A fit as plain data."""
    return {
        "form": fit.form, "log_t_c": fit.coefficients[0], "error": fit.error, "coefficients": list(fit.coefficients),
        "chi2": fit.chi2, "dof": fit.dof,
    }
