"""Averages over Marchenko-Pastur laws in balls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flint import acb, arb
from sympy import Expr, S, Symbol

from derive.ledger.ball_functions import Ball, NotEnclosed
from derive.ledger.trapezoidal import mean, wide_strip
from derive.nodes.laws import MarchenkoPastur

__all__ = ["over_marchenko_pastur"]


def over_marchenko_pastur(ev: Any, body: Expr, var: Symbol, law: MarchenkoPastur) -> Ball:
    """c = l + (u - l) sin(phi/2)^2 takes the square roots at both edges away; the rest is the atom at zero."""
    ratio = ev(law.ratio)
    root = ratio.sqrt()
    low = (1 - root) ** 2 / ratio
    touching = ratio == 1
    span = 4 / root

    if not ev.analytic and not ev.complex_values():
        found = _as_a_mean(
            ev, ev.over(body, var, principal=True), body.xreplace({var: S.Zero}), ratio, low, span)
        if found is not None:
            return found
    inner = ev.over(body, var)

    def weighted(z: acb, analytic: bool) -> acb:
        half = z / 2
        if touching:
            c = 4 * half.sin() ** 2
            weight = 2 * half.cos() ** 2 / acb.pi()
        else:
            c = low + span * half.sin() ** 2
            weight = ratio * (span / 2) ** 2 * z.sin() ** 2 / (2 * acb.pi() * c)
        value: acb = weight * inner(c, analytic)
        return value

    bulk = ev.finite_integral(weighted, arb(0), arb.pi())
    if touching or ratio > 1:
        return bulk
    if not ratio < 1:
        raise NotEnclosed("whether the Marchenko-Pastur law has an atom")
    return bulk + (1 - ratio) * ev(body.xreplace({var: S.Zero}))


def _as_a_mean(
    ev: Any, inner: Callable[[Ball, bool], Ball], at_zero: Expr, ratio: Ball, low: Ball, span: Ball
) -> Ball | None:
    """The same by the trapezoidal rule: f(0) + the average of f - f(0), whose quotient by c has no pole at zero.

    All of the mass, bulk and atom, is in f(0), so that it is not asked whether there is an atom.  None where no
    strip of analyticity was found, as where f is singular at an edge or at zero.
    """
    try:
        zero = ev(at_zero)
    except (NotEnclosed, ValueError, ZeroDivisionError):
        return None
    if isinstance(zero, acb) or not zero.is_finite():
        return None
    scale = ratio * (span / 2) ** 2 / 2

    def place(z: Ball) -> acb:
        return acb(low + span * (1 - z.cos()) / 2)

    def analytic(z: Ball) -> Ball:
        return inner(place(z), True)

    def wave(z: Ball) -> Ball:
        c = place(z)
        return scale * z.sin() ** 2 * (inner(c, True) - zero) / c

    try:
        strip = wide_strip(analytic, wave, ev.goal)
        found = None if strip is None else mean(wave, strip, ev.goal)
    except (NotEnclosed, ValueError, ZeroDivisionError):
        return None
    return None if found is None or not found.is_finite() else zero + found
