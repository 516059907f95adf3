"""What a generated solver needs at run time: stable functions, root finders on arrays, and the run of a whole problem.

NumPy and SciPy only.  Every function here may be copied, as it stands, into an exported file, so none of them reaches
for anything outside this module.  Arrays of one problem are one-dimensional and of one length throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[Any]

EPS = 2.0**-52
LOG_LIMIT = 1.7e7
"""How far the logarithm of a positive unknown is looked for on either side of zero."""
BLOCK = 8192
"""Points solved at once: small enough for the temporaries to stay in cache."""


class InputError(ValueError):
    """A parameter that is missing, unknown, not a number or out of its domain; `nearest` is the nearest right name."""

    nearest: str | None = None


# --- functions ---------------------------------------------------------------------------------------------------


def softplus(x: Array) -> Array:
    """log(1 + e^x), without overflow, and to full relative precision for x far below zero."""
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


def log_softplus(x: Array) -> Array:
    """log log(1 + e^x), right where the inner logarithm underflows."""
    return np.asarray(np.where(x < -37.0, x, np.log(softplus(np.maximum(x, -40.0)))))


def logistic(x: Array) -> Array:
    """1/(1 + e^-x)."""
    return np.asarray(special.expit(x))


def log_add(x: Array, y: Array) -> Array:
    """log(e^x + e^y)."""
    return np.asarray(np.logaddexp(x, y))


def log_subtract(x: Array, y: Array) -> Array:
    """log(e^x - e^y) for x > y; nan where x < y."""
    return np.asarray(x + log1mexp(x - y))


def log1mexp(x: Array) -> Array:
    """log(1 - e^-x) for x > 0."""
    return np.asarray(np.where(x > 0.6931471805599453, np.log1p(-np.exp(-x)), np.log(-np.expm1(-x))))


def log_cosh(x: Array) -> Array:
    """log cosh x, to full relative precision at small x and without overflow at large x."""
    a = np.abs(x)
    near = np.log1p(2.0 * np.sinh(0.5 * np.minimum(a, 1.0)) ** 2)
    return np.asarray(np.where(a < 1.0, near, a + np.log1p(np.exp(-2.0 * a)) - 0.6931471805599453))


def log_erfc(x: Array) -> Array:
    """log erfc x, without underflow."""
    far = np.maximum(x, 0.5)
    near = np.minimum(x, 0.5)
    return np.asarray(np.where(x > 0.5, np.log(special.erfcx(far)) - far * far, np.log1p(-special.erf(near))))


def log_erfc_drop(x: Array, y: Array) -> Array:
    """log(erfc x - erfc y) for x < y, without underflow."""
    turned = x + y < 0.0
    low, high = np.where(turned, -y, x), np.where(turned, -x, y)
    tail = log_erfc(np.maximum(low, 0.5))
    far = tail + log1mexp(tail - log_erfc(np.where(low > 0.5, high, 1.0)))
    near = np.minimum(low, 0.5)
    return np.asarray(np.where(low > 0.5, far, np.log(special.erf(np.maximum(high, near)) - special.erf(near))))


def log_gamma(x: Array) -> Array:
    """log Gamma(x) for x > 0."""
    return np.asarray(special.gammaln(x))


def lambert_w(x: Array) -> Array:
    """The principal real branch of Lambert's W; nan below -1/e."""
    w = special.lambertw(np.asarray(x, dtype=float))
    return np.asarray(np.where(np.abs(w.imag) > 0.0, np.nan, w.real))


def mp_response(log_b: Array, ratio: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
    """The response V of the Marchenko-Pastur law at b = exp(log_b), for any ratio > 0 and any size of b.

    V in (0, 1) solves ratio V^2 + (1 - ratio + ratio t) V - ratio t = 0 with t = 1/b.  The larger of the two terms of
    the quadratic formula is used on either side of the sign change of the linear coefficient, everything is scaled by
    t where t > 1 and by sqrt(t) where ratio = 1, and 1 - V comes from b V/(1 + b V) = ratio (1 - V).

    Returns: log V, 1 - V, log(b V), d log V/d log t, log(1 + b V), b V/(1 + b V).
    """
    log_t = -log_b
    gap = 1.0 - ratio
    twice = 2.0 * ratio
    high: Array
    low: Array
    if log_t.max(initial=0.0) < 300.0 and (gap != 0.0).all():
        # nothing overflows, and t may underflow: the formula as it stands
        t = np.exp(log_t)
        weighted = twice * t
        linear = gap + ratio * t
        discriminant = np.sqrt(linear * linear + twice * weighted)
        larger = discriminant + np.abs(linear)
        up = linear >= 0.0
        high, low = np.where(up, twice, larger), np.where(up, larger, weighted)
        gain = high / low
        both = high + low
        share = high / both
        fall = low / (both * discriminant)
        log_gain = np.log1p(gain)
        if up.all():
            log_bv = np.log(gain)
            log_v = log_bv + log_t
        else:
            known = np.log(np.where(up, gain, larger / twice))
            log_v, log_bv = np.where(up, known + log_t, known), np.where(up, known, known - log_t)
            log_gain = np.where(np.isinf(gain), log_bv, log_gain)
    else:
        large = log_t > 0.0
        small = np.exp(-np.abs(log_t))
        weighted = twice * small
        critical = (gap == 0.0) & ~large
        root_t = np.exp(np.minimum(0.5 * log_t, 0.0))
        linear = np.where(critical, root_t, np.where(large, gap * small + ratio, gap + ratio * small))
        discriminant = np.sqrt(linear * linear + twice * np.where(critical, twice, weighted))
        larger = discriminant + np.abs(linear)
        up = linear >= 0.0
        log_larger = np.where(critical, 0.5 * log_t, np.maximum(log_t, 0.0)) + np.log(larger / twice)
        high = np.where(up, np.where(large, weighted, twice), larger)
        low = np.where(critical, larger * root_t, np.where(up, larger, weighted))
        both = high + low
        share = high / both
        log_v, log_bv = np.where(up, log_t - log_larger, log_larger), np.where(up, -log_larger, log_larger - log_t)
        gain = high / low
        log_gain = np.where(np.isinf(gain), log_bv, np.log1p(gain))
        weight = np.where(critical, larger, np.where(large & up, low * small, low))
        fall = weight / (both * discriminant)
    # V = 1 - share/ratio close to one: from the share
    rest = share / ratio
    near = rest < 0.5
    log_v = np.where(near, np.log1p(-np.where(near, rest, 0.5)), log_v)
    return log_v, rest, log_bv, fall, log_gain, share


def mp_information(log_b: Array, ratio: Array) -> tuple[Array, Array]:
    """<log(1 + b c)> over the Marchenko-Pastur law at b = exp(log_b), for any ratio > 0 and any size of b.

    Returns: log(1 + b V) - ratio log V - ratio (1 - V) with V the response, and its slope <b c/(1 + b c)> in log b,
    which is b V/(1 + b V).
    """
    log_t = -log_b
    gap = 1.0 - ratio
    if log_t.max(initial=0.0) < 300.0 and (gap != 0.0).all():
        t = np.exp(log_t)
        twice = 2.0 * ratio
        weighted = twice * t
        linear = gap + ratio * t
        discriminant = np.sqrt(linear * linear + twice * weighted)
        larger = discriminant + np.abs(linear)
        up = linear >= 0.0
        gain = np.where(up, twice, larger) / np.where(up, larger, weighted)
        if gain.max(initial=0.0) < np.inf:
            share = gain / (1.0 + gain)
            rest = share / ratio
            log_v = np.where(rest < 0.5, np.log1p(-np.minimum(rest, 0.5)), np.log(gain) + log_t)
            return np.log1p(gain) - (ratio * log_v + share), share
    log_v, _, _, _, log_gain, share = mp_response(log_b, ratio)
    return log_gain - (ratio * log_v + share), share


def piecewise(args: Sequence[Array], *pieces: tuple[Callable[..., Array], Callable[..., Array]]) -> Array:
    """The value of the first piece whose condition holds, each evaluated only where it is used; nan where none does."""
    arrays = np.broadcast_arrays(*args)
    shape = arrays[0].shape
    flat = [np.asarray(a, dtype=float).ravel() for a in arrays]
    left = np.arange(flat[0].size)
    out = np.full(flat[0].size, np.nan)
    for condition, value in pieces:
        here = [a[left] for a in flat]
        holds = np.broadcast_to(np.asarray(condition(*here), dtype=bool), left.shape)
        taken = left[holds]
        if taken.size:
            out[taken] = value(*[a[taken] for a in flat])
        left = left[~holds]
        if not left.size:
            break
    return out.reshape(shape)


def less(x: Array, y: Array, unknown: Any = False) -> Any:
    """x < y; `unknown` where either side is nan."""
    return np.where(np.isnan(x) | np.isnan(y), unknown, np.less(x, y))


def less_equal(x: Array, y: Array, unknown: Any = False) -> Any:
    """x <= y; `unknown` where either side is nan."""
    return np.where(np.isnan(x) | np.isnan(y), unknown, np.less_equal(x, y))


def equal(x: Array, y: Array, unknown: Any = False) -> Any:
    """x == y; `unknown` where either side is nan."""
    return np.where(np.isnan(x) | np.isnan(y), unknown, np.equal(x, y))


# --- roots -------------------------------------------------------------------------------------------------------


def bent_step(value: Array, slope: Array, offset: Array, plain: Array, sharp: bool = True) -> Array:
    """A Newton step towards value = 0 in a scale in which value - offset is nearly straight.

    G = value - offset is taken for an amplitude times log(1 + e^z), z linear in the unknown: the shape of every
    information of a signal in noise.  Where it cannot be that, the plain step is kept.  With `sharp` the shape is
    fitted to value and slope exactly, else nearly.
    """
    part = value - offset
    size, target = np.abs(part), np.abs(offset)
    rho = np.abs(part / slope)
    fits = (part * offset < 0.0) & (rho > 0.999) & (rho < 600.0)
    bends = rho > 1.000001 + 1e-13 * (target / size)  # beyond what rounding makes of a pure exponential
    # softplus(z)/logistic(z) = rho: a good guess, then a step of Newton's method
    z = np.log(2.0 * np.expm1(np.where(bends & fits, rho, 2.0) - 1.0))
    if sharp:
        fall = np.exp(-z)
        plus = z + np.log1p(fall)
        z = z - (plus + plus * fall - rho) / (1.0 - plus * fall)
    fall = np.exp(-z)
    amplitude = size / (z + np.log1p(fall))
    there = np.minimum(target / amplitude, 1e7)
    there = np.where(there > 30.0, there, np.log(np.expm1(np.minimum(there, 30.0))))
    gone = (z - there) * amplitude / (1.0 + fall)
    if not bends.all():
        gone = np.where(bends, gone, np.log(size / target) * size)
    gone = gone / slope
    return np.asarray(np.where(fits, np.where(part > 0.0, -gone, gone), plain))


def hermite_step(f: Array, slope: Array, before: tuple[Array, Array, Array]) -> Array:
    """A step to the zero of the cubic that has the last two points and slopes of the inverse function.

    `before` holds the residual and the slope at the point before, and the step that was taken from it.  Where the
    residual has not at least halved, a Newton step is taken.
    """
    f0, slope0, gone = before
    rate = 1.0 / slope
    difference = f - f0
    mean = gone / difference
    bend = (rate - mean - f0 * ((rate - mean) + (1.0 / slope0 - mean)) / difference) / difference
    return np.asarray(-f * rate + np.where(np.abs(f) < 0.5 * np.abs(f0), f * f * bend, 0.0))


def newton_roots(
    function: Callable[..., tuple[Array, Array]],
    env: dict[str, Array],
    start: Array,
    offset: Array | None,
    direction: int,
    steps: int = 16,
) -> tuple[Array, Array, Array, Array]:
    """Newton's iteration from `start`, sharpened by the point before, for as long as it does well.

    Args: function(x, env) gives residual and slope; offset is the part of the residual without the unknown, if any.
    Returns: x, residual, converged, iterations.  Once two steps in a row are small enough for the error left to be
    below rounding, the equation is evaluated once more, for the residual and a last step.  A point where the iteration
    does not do well is left to the bracketing search.  What one point goes through does not depend on the others.
    """
    n = start.size
    x, f_out, ok, count = start, np.full(n, np.nan), np.zeros(n, dtype=bool), np.ones(n, dtype=np.int64)
    whole: list[Array] = []  # results of all points, once only some are left
    index = np.zeros(0, dtype=np.int64)
    moving, closing = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    f, slope = function(x, env)
    move = -f / slope if offset is None else bent_step(f, slope, offset, -f / slope, False)
    for k in range(1, steps):
        x = np.where(moving, x + move, x)
        count = count + moving
        before = (f, slope, move)
        f, slope = function(x, env)
        if k == 1 and offset is not None:
            move = bent_step(f, slope, offset, -f / slope)
            continue
        move = hermite_step(f, slope, before) if k < 4 else -f / slope
        size = np.abs(move)
        done = closing & moving
        closing = size * np.abs(before[2]) <= 1e-7
        if not done.any():
            continue
        done &= size <= 1e-11 * np.maximum(np.abs(x), 1.0)
        x = np.where(done, x + move, x)
        f_out, ok = np.where(done, f, f_out), np.where(done, slope * direction > 0.0, ok)
        moving = moving & ~done
        left = np.count_nonzero(moving)
        if not left:
            break
        if 2 * left < moving.size:
            index = _gather(whole, index, [x, f_out, ok, count])[moving]
            x, f_out, ok, count, closing = x[moving], f_out[moving], ok[moving], count[moving], closing[moving]
            f, slope, move = f[moving], slope[moving], move[moving]
            env = {name: array[moving] for name, array in env.items()}
            moving = np.ones(left, dtype=bool)
    _gather(whole, index, [x, f_out, ok, count])
    return whole[0], whole[1], whole[2], whole[3]


def _gather(whole: list[Array], index: Array, parts: list[Array]) -> Array:
    """Put the results of some points among those of all; returns the numbers of the points."""
    if whole:
        for array, part in zip(whole, parts, strict=True):
            array[index] = part
        return index
    whole += parts
    return np.arange(parts[0].size)


def bracketed_roots(
    function: Callable[..., Array],
    env: dict[str, Array],
    lower: Array,
    upper: Array,
    direction: int,
    limit: float,
) -> tuple[Array, Array, Array, Array, Array]:
    """The root of a function with one sign change of known direction on (lower, upper), ends possibly infinite.

    Looks for the sign change from inside, by doubling towards an infinite end (as far as `limit`) and by nearing a
    finite one, then closes in by Chandrupatla's method until the bracket is an ulp wide.

    Returns: x, residual, state (0 root, -1 root would lie at or below lower, +1 at or above upper, 2 not a number),
    iterations, and the last point tried.
    """
    n = lower.size
    open_low, open_high = np.isinf(lower), np.isinf(upper)
    low_, high_ = np.where(open_low, 0.0, lower), np.where(open_high, 0.0, upper)
    start = np.where(
        open_low & open_high,
        0.0,
        np.where(
            open_high,
            np.maximum(low_ + 1.0, 0.0),
            np.where(open_low, np.minimum(high_ - 1.0, 0.0), 0.5 * low_ + 0.5 * high_),
        ),
    )
    f0 = function(start, env)
    count = np.ones(n, dtype=np.int64)
    sign0 = np.sign(direction * f0)
    state = np.where(np.isnan(f0), 2, np.where(sign0 < 0, 1, np.where(sign0 > 0, -1, 0)))
    near_x, near_f = start.copy(), f0.copy()
    far_x, far_f = start.copy(), f0.copy()
    root = sign0 == 0.0
    found = root.copy()
    seeking = np.flatnonzero(~root & ~np.isnan(f0))
    growth = 2.0 if limit < 1e8 else 8.0
    for k in range(400):
        if not seeking.size:
            break
        up = sign0[seeking] < 0
        end = np.where(up, upper[seeking], lower[seeking])
        infinite = np.isinf(end)
        reach = np.where(up, 1.0, -1.0) * growth ** (k + 1)
        bounded = np.where(infinite, 0.0, end)
        inside = bounded - (bounded - start[seeking]) * 4.0**-k if k else bounded
        point = np.where(infinite, start[seeking] + reach, inside)
        value = function(point, {name: array[seeking] for name, array in env.items()})
        count[seeking] += 1
        side = np.sign(direction * value)
        crossed = side * sign0[seeking] < 0  # a residual that has died away to nothing is no sign change
        hit = seeking[crossed]
        far_x[hit], far_f[hit] = point[crossed], value[crossed]
        found[hit] = True
        same = ~crossed & ~np.isnan(value) & (side != 0)
        near_x[seeking[same & infinite]], near_f[seeking[same & infinite]] = (
            point[same & infinite],
            value[same & infinite],
        )
        exhausted = np.where(infinite, np.abs(point) >= limit, ((side == 0) | same) & (k == 0) | (k > 26))
        if k:
            moved = seeking[same & ~infinite]
            near_x[moved], near_f[moved] = point[same & ~infinite], value[same & ~infinite]
        seeking = seeking[~crossed & ~exhausted]
    state = np.where(found, 0, state)
    x, f = near_x.copy(), near_f.copy()
    index = np.flatnonzero(found & ~root)
    env = {name: array[index] for name, array in env.items()}
    x1, f1, x2, f2 = far_x[index], far_f[index], near_x[index], near_f[index]
    t = np.full(index.size, 0.5)
    for _ in range(300):
        if not index.size:
            break
        xt = x1 + t * (x2 - x1)
        ft = function(xt, env)
        count[index] += 1
        broken = np.isnan(ft)
        same = np.sign(ft) == np.sign(f1)
        x3, f3 = np.where(same, x1, x2), np.where(same, f1, f2)
        x2, f2 = np.where(same, x2, x1), np.where(same, f2, f1)
        x1, f1 = xt, ft
        better = np.abs(f2) < np.abs(f1)
        xm, fm = np.where(better, x2, x1), np.where(better, f2, f1)
        width = np.abs(x2 - x1)
        tight = EPS * np.maximum(np.abs(xm), 1.0) / np.where(width > 0.0, width, 1e-300)
        done = (tight > 0.5) | (fm == 0.0) | broken
        if done.any():
            at = index[done]
            x[at], f[at] = xm[done], fm[done]
            state[at] = np.where(broken[done], 2, 0)
            keep = ~done
            index = index[keep]
            env = {name: array[keep] for name, array in env.items()}
            x1, f1, x2, f2, x3, f3, tight = x1[keep], f1[keep], x2[keep], f2[keep], x3[keep], f3[keep], tight[keep]
        xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
        smooth = (phi**2 < xi) & ((1.0 - phi) ** 2 < 1.0 - xi)
        quadratic = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
        t = np.clip(np.where(smooth, quadratic, 0.5), tight, 1.0 - tight)
    if index.size:
        state[index] = 2
    return x, f, state, count, np.where(found, far_x, near_x)


# --- a whole problem ---------------------------------------------------------------------------------------------


class Words:
    """Sentences by number, the empty one first, so that arrays of reasons are arrays of numbers until the end."""

    def __init__(self) -> None:
        self.texts = [""]

    def code(self, text: str) -> int:
        """The number of a sentence."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


def call(entry: tuple[Callable[..., Any], tuple[str, ...]], env: Mapping[str, Array], n: int, **extra: Any) -> Any:
    """A generated function at the arrays it asks for, its constants spread over the points."""
    function, names = entry
    result = function(*[env[name] for name in names], **extra)
    if isinstance(result, tuple):
        return tuple(spread(r, n) for r in result)
    return spread(result, n)


def spread(x: Any, n: int) -> Any:
    """A constant as an array of n equal numbers, an array as it is."""
    return x if np.shape(x) == (n,) else np.broadcast_to(np.asarray(x), (n,))


def spread_log(x: Any) -> Any:
    """The logarithm of an array; that of a constant is taken once."""
    return np.broadcast_to(np.log(x[:1]), x.shape) if x.strides == (0,) else np.log(x)


def solve_stage(stage: Mapping[str, Any], env: dict[str, Array], n: int, words: Words) -> dict[str, Any]:
    """One unknown at n points: its value, its logarithm, the residual there, whether it is good, and why not.

    Adds nothing to `env`.  Where the answer is an end of the interval it is that end to the last bit.
    """
    if "solve" in stage:
        found: dict[str, Any] = stage["solve"](stage, env, n, words)
        return found
    name, in_log, direction = stage["name"], stage["log"], stage["direction"]
    reason = np.zeros(n, dtype=np.int16)
    good = np.ones(n, dtype=bool)
    needed = [a for a in stage["needs"] if a in env]
    for other in needed:
        good &= ~np.isnan(env[other])
    if not good.all():
        reason[~good] = words.code("it rests on an unknown that has no value there")
    exists = good.copy()
    if stage["exists"] is not None:
        exists &= np.asarray(call(stage["exists"], env, n), dtype=bool)
        reason[good & ~exists] = words.code(stage["absent"])
    lower, upper = call(stage["lower"], env, n), call(stage["upper"], env, n)
    proper = lower < upper
    if not proper.all():
        reason[exists & ~proper] = words.code(f"the interval of {name} is empty")
    good = exists & proper
    index = np.flatnonzero(good)
    inner: dict[str, Array] = {}
    if index.size < n or n == 0:
        value, log_value, residual = (np.full(n, np.nan) for _ in range(3))
        count = np.zeros(n, dtype=np.int64)
    if index.size:
        local = taken(env, index, n)
        here = (lower, upper) if index.size == n else (lower[index], upper[index])
        x, exact, f, ok, iterations, why = _roots(stage, local, *here, in_log, direction, words)
        log_x = x if in_log else np.full(index.size, np.nan)
        if index.size == n:
            value, log_value, residual, count, good, reason = exact, log_x, f, iterations, ok, why
        else:
            value[index], log_value[index], residual[index], count[index] = exact, log_x, f, iterations
            good[index], reason[index] = ok, why
        if not good.all():
            value[~good], log_value[~good] = np.nan, np.nan
        if stage["inner"]:
            final = dict(local)
            final[name], final["log_" + name] = value[index], log_value[index]
            for part in stage["inner"]:
                found = solve_stage(part, final, index.size, words)
                for key in (part["name"], "log_" + part["name"], *found["inner"]):
                    full = np.full(n, np.nan)
                    full[index] = (
                        found["inner"][key]
                        if key in found["inner"]
                        else (found["value"] if key == part["name"] else found["log_value"])
                    )
                    inner[key] = full
                    final[key] = full[index]
    else:
        for key in stage_logs(stage):
            if key != name:
                inner[key] = inner["log_" + key] = np.full(n, np.nan)
    return {
        "value": value,
        "log_value": log_value,
        "residual": residual,
        "count": count,
        "good": good,
        "reason": reason,
        "inner": inner,
    }


def _roots(
    stage: Mapping[str, Any],
    env: dict[str, Array],
    lower: Array,
    upper: Array,
    in_log: bool,
    direction: int,
    words: Words,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Roots of a stage where it has an interval: x (or its logarithm), value, residual, good, iterations, reason."""
    name = stage["name"]
    n = lower.size
    a, b = (spread_log(lower), spread_log(upper)) if in_log else (lower, upper)
    limit = stage["limit"]

    plainly = bool(stage["inner"]) or name in stage["residual"][1]

    def residual(x: Array, here: dict[str, Array]) -> Any:
        full = dict(here)
        if plainly:
            full[name] = np.exp(x) if in_log else x
        full["log_" + name] = x
        for part in stage["inner"]:
            found = solve_stage(part, full, x.size, words)
            full[part["name"]], full["log_" + part["name"]] = found["value"], found["log_value"]
            full.update(found["inner"])
        return call(stage["residual"], full, x.size)

    state = np.zeros(n, dtype=np.int64)
    if stage["slope"] and in_log:
        start = np.zeros(n)
        if not (np.isinf(a).all() and np.isinf(b).all()):
            middle = 0.5 * (np.maximum(a, -1e6) + np.minimum(b, 1e6))
            start = np.where(np.isinf(a) | np.isinf(b), np.clip(start, a, b), middle)
        offset = None if stage["offset"] is None else np.asarray(call(stage["offset"], env, n))
        x, f, ok, count = newton_roots(residual, env, start, offset, direction)
        ok = ok & (x > a) & (x < b)
    else:
        x, f = np.full(n, np.nan), np.full(n, np.nan)
        ok, count = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
    rest = np.flatnonzero(~ok)
    if rest.size:
        sub = {key: array[rest] for key, array in env.items()} if rest.size < n else env

        def plain(x: Array, here: dict[str, Array]) -> Array:
            answer = residual(x, here)
            return np.asarray(answer[0] if isinstance(answer, tuple) else answer)

        xr, fr, sr, cr, _ = bracketed_roots(plain, sub, a[rest], b[rest], direction, limit)
        x[rest], f[rest], state[rest], ok[rest] = xr, fr, sr, sr == 0
        count[rest] += cr
    value = np.exp(x) if in_log else x.copy()
    reason = np.zeros(n, dtype=np.int16)
    if not ok.all():
        broken = ~ok & (state == 2)
        reason[broken] = words.code(f"the residual of {name} is not a number on its interval")
        lost = ~ok & ~broken
        ends = np.where(state > 0, upper, lower)
        held = lost & np.isfinite(ends) if stage["clip"] else np.zeros(n, dtype=bool)
        value[held], f[held], ok[held] = ends[held], 0.0, True
        x[held] = np.log(ends)[held] if in_log else ends[held]
        absent = stage["absent"] or f"the equation for {name} has no root: its sides never meet"
        reason[lost & ~held] = words.code(absent)
    return x, value, f, ok, count, reason


def run_block(problem: Mapping[str, Any], env: dict[str, Array], n: int, words: Words) -> dict[str, Any]:
    """A problem at n points: stages in order, then the first branch whose condition holds."""
    env = dict(env)
    stages: dict[str, dict[str, Any]] = {}
    logs: dict[str, bool] = {}
    count = np.zeros(n, dtype=np.int64)
    for stage in problem["stages"]:
        found = solve_stage(stage, env, n, words)
        env[stage["name"]], env["log_" + stage["name"]] = found["value"], found["log_value"]
        env.update(found["inner"])
        stages[stage["name"]] = found
        for name in found["inner"]:
            stages.setdefault(name, found)
        logs.update(stage_logs(stage))
        count += found["count"]
    value, log_value, residual = np.empty(n), np.empty(n), np.empty(n)
    good = np.zeros(n, dtype=bool)
    branch, reason = np.empty(n, dtype=np.int16), np.empty(n, dtype=np.int16)
    outputs = {name: np.full(n, np.nan) for name in problem["outputs"]}
    left = np.arange(n)
    for case in problem["branches"]:
        if not left.size:
            break
        if case["condition"] is None:
            holds = np.ones(left.size, dtype=bool)
        else:
            here = taken(env, left, n)
            holds = np.array(call(case["condition"], here, left.size, unknown=False), dtype=bool)
            maybe = np.array(call(case["condition"], here, left.size, unknown=True), dtype=bool)
            open_case = maybe != holds
            if open_case.any():
                at = left[open_case]
                reason[at] = first_reason(
                    case["condition_needs"], stages, at, words.code("the condition of a branch cannot be decided")
                )
                left, holds = left[~open_case], holds[~open_case]
        at = left[holds]
        left = left[~holds]
        if not at.size:
            continue
        if case["value"] is None:
            reason[at] = words.code(case["reason"] or "no value there")
            continue
        fine, error = np.ones(at.size, dtype=bool), np.zeros(at.size)
        parts = [stages[name] for name in case["needs"] if name in stages]
        for k, part in enumerate(parts):
            sound, size = (part["good"], part["residual"]) if at.size == n else (part["good"][at], part["residual"][at])
            fine = fine & sound
            error = size if k == 0 else np.where(np.abs(size) > np.abs(error), size, error)
        if not fine.all():
            bad = at[~fine]
            reason[bad] = first_reason(case["needs"], stages, bad, words.code("an unknown of this branch has no value"))
            at, error = at[fine], error[fine]
        if not at.size:
            continue
        here = taken(env, at, n)
        result = call(case["value"], here, at.size)
        v, lv = result if isinstance(result, tuple) else (result, np.full(at.size, np.nan))
        broken = (np.isnan(v) | np.isnan(lv)) if isinstance(result, tuple) else ~np.isfinite(v)
        code = words.code(case["name"])
        if at.size == n:
            value, log_value, residual, good = np.array(v, dtype=float), np.array(lv, dtype=float), error, ~broken
            branch, reason = np.full(n, code, dtype=np.int16), np.zeros(n, dtype=np.int16)
        else:
            value[at], log_value[at] = v, lv
            good[at], branch[at], residual[at], reason[at] = ~broken, code, error, 0
        if broken.any():
            lost = at[broken]
            reason[lost] = words.code(f"the value on branch {case['name']} is not a finite number")
    if left.size:
        reason[left] = words.code("no branch of the quantity holds there")
    if not good.all():
        bad = ~good
        value[bad], log_value[bad], residual[bad], branch[bad] = np.nan, np.nan, np.nan, words.code("none")
    for name, entry in problem["outputs"].items():
        done = np.flatnonzero(good)
        if done.size:
            outputs[name][done] = call(entry, taken(env, done, n), done.size)
    if "extras" in problem:
        outputs.update(problem["extras"](stages, good))
    unknowns = {name: env["log_" + name if log else name] for name, log in logs.items()}
    return {
        "value": value,
        "log_value": log_value,
        "residual": residual,
        "converged": good,
        "iterations": count,
        "branch": branch,
        "reason": reason,
        "outputs": outputs,
        "unknowns": unknowns,
    }


def taken(env: dict[str, Array], at: Any, n: int) -> dict[str, Array]:
    """The arrays of some of n points."""
    return dict(env) if at.size == n else {key: array[at] for key, array in env.items()}


def stage_logs(stage: Mapping[str, Any]) -> dict[str, bool]:
    """Which unknowns of a stage, the inner ones included, are known by their logarithms."""
    found = {stage["name"]: stage["log"]}
    for part in stage["inner"]:
        found.update(stage_logs(part))
    return found


def first_reason(names: Sequence[str], stages: Mapping[str, dict[str, Any]], at: Any, otherwise: int) -> Any:
    """Why the first of these unknowns that has no value has none, point by point."""
    codes = np.full(at.size, otherwise, dtype=np.int16)
    for name in reversed([name for name in names if name in stages]):
        bad = ~stages[name]["good"][at]
        codes[bad] = stages[name]["reason"][at][bad]
    return codes


def read_parameters(
    table: Sequence[tuple[str, float, float, bool, bool, float | None, tuple[str, ...]]], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters as arrays, checked against their domains.

    Args: table rows are name, lower, upper, lower end open, upper end open, default or None, other names.
    Raises: InputError in one line.
    """
    import difflib

    names = [row[0] for row in table]
    alias = {other: row[0] for row in table for other in row[6]}
    known: dict[str, Any] = {}
    for key, raw in given.items():
        name = alias.get(key, key)
        if name not in names:
            near = difflib.get_close_matches(key, names, 1, 0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            error = InputError(f"unknown parameter {key!r}; allowed: {', '.join(names) or 'none'}{hint}")
            error.nearest = near[0] if near else None
            raise error
        if name in known:
            raise InputError(f"parameter {name!r} is given twice")
        known[name] = raw
    out: dict[str, Any] = {}
    for name, low, high, low_open, high_open, default, _ in table:
        if name not in known:
            if default is None:
                raise InputError(
                    f"missing parameter {name!r}; needed: {', '.join(r[0] for r in table if r[5] is None)}"
                )
            out[name] = np.asarray(default, dtype=float)
            continue
        array = np.asarray(known[name])
        if array.dtype.kind not in "iuf":
            try:
                if array.dtype.kind != "O" or any(
                    isinstance(v, bool | str | bytes | complex | None) for v in array.ravel()
                ):
                    raise TypeError
                array = array.astype(float)
            except (TypeError, ValueError):
                raise InputError(f"parameter {name!r} is not a number: {known[name]!r}"[:200]) from None
        array = np.asarray(array, dtype=float)
        inside = (array > low if low_open else array >= low) & (array < high if high_open else array <= high)
        out[name] = array
        if inside.all() and (high < math.inf or high_open):
            continue
        domain = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open or high == math.inf else ']'}"
        if np.isnan(array).any():
            raise InputError(f"parameter {name!r} is nan; allowed: a number in {domain}")
        inside &= np.isfinite(array)
        if not inside.all():
            bad = np.ravel(array)[np.argmin(np.ravel(inside))]
            raise InputError(f"parameter {name!r} = {bad:.17g} is out of its domain {domain}")
    return out


def read_points(problem: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Array], tuple[int, ...], int]:
    """Parameters as flat arrays of one length, the shape that they broadcast to, and its size."""
    parameters = read_parameters(problem["parameters"], given)
    try:
        shape = np.broadcast_shapes(*[p.shape for p in parameters.values()])
    except ValueError:
        shapes = ", ".join(f"{k}: {v.shape}" for k, v in parameters.items())
        raise InputError(f"the parameters do not broadcast: {shapes}") from None
    flat = {name: np.ascontiguousarray(np.broadcast_to(p, shape)).ravel() for name, p in parameters.items()}
    return flat, shape, math.prod(shape)


def run_problem(problem: Mapping[str, Any], given: Mapping[str, Any], unknowns: bool = False) -> dict[str, Any]:
    """Solve a problem for parameters that broadcast against one another.

    Returns: value, log_value, residual, converged, iterations, branch, reason, outputs: arrays of the common shape;
    with `unknowns` these too, in their logarithms where they are positive.
    Raises: InputError for parameters that are missing, unknown, not numbers, out of domain or do not broadcast.
    """
    flat, shape, n = read_points(problem, given)
    parts, words = [], Words()
    with np.errstate(all="ignore"):
        for first in range(0, max(n, 1), BLOCK):
            size = min(BLOCK, n - first)
            parts.append(run_block(problem, {k: a[first : first + size] for k, a in flat.items()}, size, words))
    out: dict[str, Any] = {
        key: np.concatenate([p[key] for p in parts]).reshape(shape)
        for key in parts[0]
        if key not in ("outputs", "unknowns")
    }
    for key in ("branch", "reason"):
        used = np.flatnonzero(np.bincount(out[key].ravel(), minlength=len(words.texts)))
        place = np.zeros(len(words.texts), dtype=np.int64)
        place[used] = np.arange(used.size)
        texts = np.array([words.texts[i] for i in used], dtype=str)
        out[key] = texts[place[out[key]]] if used.size != 1 else np.broadcast_to(texts[0], shape)
    for kind in ("outputs", "unknowns") if unknowns else ("outputs",):
        joined = {key: np.concatenate([p[kind][key] for p in parts]) for key in parts[0][kind]}
        out[kind] = {key: array.reshape(shape + array.shape[1:]) for key, array in joined.items()}
    return out
