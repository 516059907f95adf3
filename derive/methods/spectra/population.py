"""Populations of variances behind a Marchenko-Pastur law, and the Shannon transform in closed form.

C = (1/D) sum_k v_k F_k F_k^T, where F_k are the D_k = w_k D columns of F with variance v_k.  With alpha_k = ratio w_k
and u_k = v_k/ratio the transform g(z) = <1/(c - z)> solves 1/g = -z + sum_k alpha_k u_k/(1 + u_k g), and at z = -t

    <log(1 + c/t)> = -log(t g) + t g - 1 + sum_k alpha_k log(1 + u_k g),    g = g(-t) > 0,

stationary in g: its slope in t at fixed g is g - 1/t, which is that of the average.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Add, Expr, S, log

from derive.core import DeriveError
from derive.methods.spectra.exact import number

__all__ = ["Population"]

Array = np.ndarray[Any, np.dtype[Any]]

_ROUNDING = 1e-12  # by which fractions given as floats may miss one


@dataclass(frozen=True)
class Population:
    """Variances on fractions of the columns of F.

    Attributes: ratio (D/N), parts ((variance, fraction) pairs; positive and different variances, ascending where they
    are numbers).
    """

    ratio: Expr
    parts: tuple[tuple[Expr, Expr], ...]

    @staticmethod
    def of(ratio: Any, variances: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Population:
        """Variances with their fractions; equal ones are joined, those without weight or variance dropped.

        Raises: DeriveError for a ratio that is not positive, a negative variance or fraction, fractions that do not sum
        to one, and where no variance is positive.
        """
        given = number(ratio, "the ratio")
        if given.is_nonpositive or given.is_real is False:
            raise DeriveError(
                f"the ratio of a Marchenko-Pastur law is {given}", given=str(given), allowed="ratio > 0", nearest="1/2"
            )
        pairs = variances.items() if isinstance(variances, Mapping) else variances
        joined: dict[Expr, Expr] = {}
        for variance, fraction in pairs:
            v, w = number(variance, "a variance"), number(fraction, "a fraction")
            if v.is_negative:
                raise DeriveError(f"a variance is {v}", given=str(v), allowed="variances >= 0", nearest=str(-v))
            if w.is_negative:
                raise DeriveError(f"the fraction of variance {v} is {w}", given=str(w), allowed="fractions in [0, 1]")
            joined[v] = joined.get(v, S.Zero) + w
        if not joined:
            raise DeriveError(
                "a population needs at least one variance", given="none", allowed="{variance: fraction, ...}",
                nearest="{1: 1}",
            )  # fmt: skip
        total = Add(*joined.values())
        excess = total - 1
        if excess.is_number and abs(float(excess)) > _ROUNDING:
            near = ", ".join(f"{v}: {w / total}" for v, w in joined.items())
            raise DeriveError(
                f"the fractions of the variances sum to {total}, not to 1", given=str(total),
                allowed="fractions that sum to 1", nearest=f"{{{near}}}",
            )  # fmt: skip
        if excess.is_number:
            joined = {v: w / total for v, w in joined.items()}
        kept = [(v, w) for v, w in joined.items() if v != 0 and w != 0]
        if not kept:
            raise DeriveError(
                "every variance of the population is zero", given="0", allowed="at least one positive variance",
                nearest="AlgebraicLaw.of_atoms({0: 1})",
            )  # fmt: skip
        return Population(given, tuple(sorted(kept, key=lambda part: part[0].sort_key())))

    def scaled(self, factor: Expr) -> Population:
        """All variances times a positive number."""
        return Population(self.ratio, tuple((v * factor, w) for v, w in self.parts))

    @property
    def terms(self) -> tuple[tuple[Expr, Expr], ...]:
        """(alpha_k, u_k): the columns per N, and the variance over the ratio."""
        return tuple((self.ratio * w, v / self.ratio) for v, w in self.parts)

    # ---- expressions

    def residual(self, g: Expr, z: Expr) -> Expr:
        """1/g + z - sum_k alpha_k u_k/(1 + u_k g), which vanishes at g(z)."""
        return 1 / g + z - Add(*(a * u / (1 + u * g) for a, u in self.terms))

    def shannon(self, g: Expr, t: Expr) -> Expr:
        """<log(1 + c/t)> in terms of g = g(-t); stationary in g."""
        return -log(t * g) + t * g - 1 + Add(*(a * log(1 + u * g) for a, u in self.terms))

    # ---- numbers

    @cached_property
    def _numbers(self) -> tuple[Array, Array, float]:
        alpha = np.array([float(a) for a, _ in self.terms])
        u = np.array([float(x) for _, x in self.terms])
        live = Add(*(a for a, _ in self.terms))
        return alpha, u, float(1 - live)

    def stieltjes_values(self, t: Array) -> Array:
        """g(-t) at an array of t > 0, to rounding for any size of t.

        With x = t g the equation is x = (1 - alpha) + sum_k alpha_k/(1 + u_k x/t), alpha = sum_k alpha_k: all terms are
        positive for alpha <= 1, else (alpha - 1) is taken to the left.  The left side rises and the right side falls;
        Newton's method in log x is kept between the bounds that the signs of the residual give.
        """
        alpha, u, atom = self._numbers
        flat = np.asarray(t, dtype=float).ravel()
        up, down = max(atom, 0.0), max(-atom, 0.0)
        low = np.full(flat.size, -745.0)
        high = np.zeros(flat.size)  # x <= 1
        y = np.log(1.0 - np.minimum(1.0 - 1e-3, self._loss_bound(flat)))
        for _ in range(200):
            x = np.exp(y)
            share = u[:, None] * (x / flat)
            terms = alpha[:, None] / (1 + share)
            left, right = x + down, up + terms.sum(axis=0)
            with np.errstate(divide="ignore"):
                excess = np.log(left / right)
            slope = x / left + (terms * share / (1 + share)).sum(axis=0) / right
            low, high = np.where(excess < 0, y, low), np.where(excess > 0, y, high)
            new = y - excess / slope
            new = np.where((new >= low) & (new <= high), new, (low + high) / 2)
            still = np.abs(new - y) > 4e-16 * np.maximum(1.0, np.abs(new))
            y = new
            if not still.any():
                break
        return np.asarray((np.exp(y) / flat).reshape(np.shape(t)))

    def _loss_bound(self, t: Array) -> Array:
        alpha, u, _ = self._numbers
        return np.asarray((alpha[:, None] * u[:, None] / (t + u[:, None])).sum(axis=0))

    def loss_values(self, t: Array) -> Array:
        """<c/(c + t)> = 1 - t g(-t) = sum_k alpha_k u_k g/(1 + u_k g): a sum of positive terms."""
        alpha, u, _ = self._numbers
        share = u * self.stieltjes_values(t)[..., None]
        return np.asarray((alpha * share / (1 + share)).sum(axis=-1))

    def shannon_values(self, t: Array) -> Array:
        """<log(1 + c/t)>: terms that are all positive, each to rounding."""
        alpha, u, _ = self._numbers
        g = self.stieltjes_values(t)
        loss = self.loss_values(t)
        kept = t * g
        first = np.where(loss < 0.5, -np.log1p(-np.minimum(loss, 0.5)), -np.log(kept)) - loss
        return np.asarray(first + (alpha * np.log1p(u * g[..., None])).sum(axis=-1))


