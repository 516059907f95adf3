"""The functions of SymPy and of derive.nodes in balls, by name.

Where the caller integrates, a value that is not finite must come back from every ball that touches a branch cut: only
there may a finite ball be given where the function is analytic on all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Protocol

from flint import acb, arb, ctx

__all__ = ["FUNCTIONS", "Ball", "Evaluation", "NotEnclosed", "integer_power", "precision", "real_part"]

Ball = Any  # arb or acb


class Evaluation(Protocol):
    """Who asks: whether balls must not touch a cut, and the roots and logarithms that hold there."""

    analytic: bool

    def sqrt(self, z: Ball) -> Ball: ...

    def log(self, z: Ball) -> Ball: ...


class NotEnclosed(Exception):
    """There is no proven enclosure of this expression; the message says of which part."""


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Work with so many bits."""
    old = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = old


def integer_power(z: Ball, n: int) -> Ball:
    """A power, by multiplication; of the reciprocal where it is negative, as the power of a ball may touch zero.

    In python-flint the power of a ball about zero itself is not finite.
    """
    if n < 0:
        return integer_power(1 / z, -n)
    found: Ball = arb(1)
    for digit in f"{n:b}":
        found = found * found
        if digit == "1":
            found = found * z
    return found


def real_part(z: Ball) -> Ball:
    """The real part where the imaginary part is exactly zero."""
    return z.real if isinstance(z, acb) and z.imag.is_zero() else z


def _complex(z: Ball) -> acb:
    return z if isinstance(z, acb) else acb(z)


def _log_cosh(ev: Evaluation, x: Ball) -> Ball:
    if isinstance(x, acb):
        if x.real > 0 or x.real < 0:  # stays on the branch that is real on the real axis
            y = x if x.real > 0 else -x
            return y + ev.log(1 + (-2 * y).exp()) - arb(2).log()
        return ev.log(x.cosh())
    y = abs(x)
    return y + (-2 * y).exp().log1p() - arb(2).log()


def _softplus(ev: Evaluation, x: Ball) -> Ball:
    if isinstance(x, acb):
        return ev.log(1 + x.exp())
    return x + (-x).exp().log1p() if x > 0 else x.exp().log1p()


def _log_sum_exp(ev: Evaluation, *xs: Ball) -> Ball:
    top = max(_complex(x).real.mid() for x in xs)
    total = arb(0)
    for x in xs:
        total = total + (x - top).exp()
    return top + ev.log(total)


def _response(ev: Evaluation, b: Ball, ratio: Ball) -> Ball:
    linear = b * (1 - ratio) + ratio
    root = ev.sqrt(linear**2 + 4 * ratio**2 * b)
    if isinstance(linear, arb) and linear < 0:
        return (root - linear) / (2 * ratio * b)
    return 2 * ratio / (linear + root)


def _erfcx(ev: Evaluation, x: Ball) -> Ball:
    return (x * x).exp() * x.erfc()


def _method(name: str) -> Callable[..., Ball]:
    """A function without branch cuts."""
    return lambda ev, x: getattr(x, name)()


def _cut(name: str, clear: Callable[[acb], bool]) -> Callable[..., Ball]:
    """A function with branch cuts, and when a complex ball is clear of them."""

    def value(ev: Evaluation, x: Ball) -> Ball:
        return _NOWHERE if _touches(ev, x, clear) else getattr(x, name)()

    return value


def _touches(ev: Evaluation, x: Ball, clear: Callable[[acb], bool]) -> bool:
    return ev.analytic and isinstance(x, acb) and not clear(x)


def _off_real(x: acb) -> bool:
    return not x.imag.contains(0)


def _off_imaginary(x: acb) -> bool:
    return not x.real.contains(0)


_NOWHERE = acb(arb.nan(), arb.nan())


def _polylog(ev: Evaluation, s: Ball, z: Ball) -> Ball:
    if isinstance(z, arb) and z <= 1:
        return z.polylog(s)
    return _NOWHERE if _touches(ev, z, lambda x: _off_real(x) or bool(x.real < 1)) else _complex(z).polylog(s)


def _lambertw(ev: Evaluation, x: Ball, branch: Ball | None = None) -> Ball:
    number = 0 if branch is None else int(branch.unique_fmpz())
    end = -arb(-1).exp() if number == 0 else arb(0)
    return _NOWHERE if _touches(ev, x, lambda z: _off_real(z) or bool(number == 0 and z.real > end)) else (
        x.lambertw(number))


#: name -> the function of an evaluation and balls
FUNCTIONS: Mapping[str, Callable[..., Ball]] = MappingProxyType({
    "exp": _method("exp"), "sin": _method("sin"), "cos": _method("cos"), "tan": _method("tan"), "cot": _method("cot"),
    "sinh": _method("sinh"), "cosh": _method("cosh"), "tanh": _method("tanh"), "coth": _method("coth"),
    "sech": _method("sech"), "csch": _method("csch"),
    "asin": _cut("asin", lambda x: _off_real(x) or bool(abs(x.real) < 1)),
    "acos": _cut("acos", lambda x: _off_real(x) or bool(abs(x.real) < 1)),
    "atan": _cut("atan", lambda x: _off_imaginary(x) or bool(abs(x.imag) < 1)),
    "asinh": _cut("asinh", lambda x: _off_imaginary(x) or bool(abs(x.imag) < 1)),
    "acosh": _cut("acosh", lambda x: _off_real(x) or bool(x.real > 1)),
    "atanh": _cut("atanh", lambda x: _off_real(x) or bool(abs(x.real) < 1)),
    "erf": _method("erf"), "erfc": _method("erfc"), "erfi": _method("erfi"), "gamma": _method("gamma"),
    "loggamma": _cut("lgamma", lambda x: _off_real(x) or bool(x.real > 0)),
    "polygamma": lambda ev, n, x: real_part(_complex(x).polygamma(_complex(n))),
    "polylog": _polylog, "LambertW": _lambertw,
    "log_cosh": _log_cosh, "softplus": _softplus, "log_sum_exp": _log_sum_exp, "MPResponse": _response,
    "erfcx": _erfcx,
    "log_erfc": lambda ev, x: ev.log(x.erfc()),
    "log_erfc_drop": lambda ev, x, y: ev.log(x.erfc() - y.erfc()),
    "log1mexp": lambda ev, x: ev.log(-(-x).expm1()) if isinstance(x, arb) else ev.log(1 - (-x).exp()),
})
