"""Solving a problem to any number of digits with mpmath alone.

Every root is enclosed: the sign of the residual is evaluated on both sides of the answer, close enough that all digits
asked for are settled, at a precision that rises with them.  A value is accepted when the enclosures of the unknowns it
rests on move it by less than a tenth of the last digit.  Parameters are exact fractions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mp

REACH = 20_000_000
"""How far the logarithm of a positive unknown is looked for on either side of zero."""


class ParameterError(ValueError):
    """A parameter that is missing, unknown, not a number or out of its domain; `nearest` is the nearest right name."""

    nearest: str | None = None


class Missing(Exception):
    """An unknown has no value, for the reason given."""


def exact(value: Any) -> Fraction:
    """A number as a fraction: text is read as exact decimal or quotient, a float as the double it is.

    Raises: ValueError for anything else, and for text that is absurdly long.
    """
    if isinstance(value, bool | complex):
        raise ValueError("not a real number")
    if isinstance(value, str):
        text = value.strip()
        if not re.fullmatch(
            r"[+-]?\d{1,3000}(/\d{1,3000}|(\.\d{0,3000})?([eE][+-]?\d{1,5})?)|[+-]?\.\d{1,3000}([eE][+-]?\d{1,5})?",
            text,
        ):
            raise ValueError("not a number")
        return Fraction(text)
    if isinstance(value, mpmath.mpf):
        man, exponent = mpmath.frexp(value)
        scaled = int(mpmath.ldexp(man, mp.prec))
        shift = int(exponent) - mp.prec
        return Fraction(scaled * 2**shift) if shift >= 0 else Fraction(scaled, 2**-shift)
    if hasattr(value, "p") and hasattr(value, "q"):
        return Fraction(int(value.p), int(value.q))
    found: Fraction = Fraction(value)
    return found


def number(value: Any) -> Any:
    """A fraction at the current precision; other numbers as they are."""
    return mpmath.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def evaluate(entry: tuple[Callable[..., Any], tuple[str, ...]], env: Mapping[str, Any]) -> Any:
    """An expression at the unknowns and parameters it asks for.

    Raises: Missing where one of them has no value or the expression none.
    """
    function, names = entry
    for name in names:
        if isinstance(env.get(name), Missing):
            raise env[name]
    value = function(*[number(env[name]) for name in names])
    if isinstance(value, mpmath.mpc):
        if abs(value.imag) > abs(value.real) * mpmath.ldexp(1, 20 - mp.prec):
            raise Missing("an expression is not real there")
        value = value.real
    if mpmath.isnan(value):
        raise Missing("an expression is not a number there")
    return value


def truth(tree: Any, env: Mapping[str, Any], digits: int) -> bool | None:
    """Whether a condition holds; None where it rests on an unknown without value.

    The tree is True, False, ("and" | "or", tree, ...), ("not", tree), or (relation, left, right) with relation one of
    "<", "<=", "==": sides that agree in all digits asked for count as equal.
    """
    if isinstance(tree, bool):
        return tree
    kind, *parts = tree
    if kind == "not":
        inner = truth(parts[0], env, digits)
        return None if inner is None else not inner
    if kind in ("and", "or"):
        found = [truth(p, env, digits) for p in parts]
        decisive = kind == "or"
        return decisive if decisive in found else None if None in found else not decisive
    with mp.workdps(digits + 15):
        try:
            left, right = (evaluate(p, env) for p in parts)
        except Missing:
            return None
        same = left == right or abs(left - right) <= mpmath.mpf(10) ** -digits * max(abs(left), abs(right))
        return bool({"<": not same and left < right, "<=": same or left < right, "==": same}[kind])


class Root:
    """One unknown: x (or its logarithm) between `low` and `high`; an end of the interval is `exact`."""

    def __init__(
        self, name: str, log: bool, low: Any, high: Any, end: Any = None, residual: Any = 0, count: int = 0
    ) -> None:
        self.name, self.log, self.low, self.high, self.end, self.residual, self.count = (
            name,
            log,
            low,
            high,
            end,
            residual,
            count,
        )

    def at(self, side: int = 0) -> Any:
        """The unknown in the middle (0) or at an end (-1, 1) of its enclosure."""
        if self.end is not None:
            return number(self.end)
        x = (self.low + self.high) / 2 if side == 0 else self.low if side < 0 else self.high
        return mpmath.exp(x) if self.log else x


def find_root(stage: Mapping[str, Any], env: dict[str, Any], digits: int, guess: Any = None) -> Root:
    """The root of a stage, enclosed to so many digits of its value and of its logarithm.

    Args: env, parameters and earlier unknowns; guess, where it may be (the logarithm of a positive unknown).
    Raises: Missing with the reason where there is none.
    """
    name, log, direction = stage["name"], stage["log"], stage["direction"]
    if stage["exists"] is not True:
        exists = truth(stage["exists"], env, digits)
        if exists is None:
            raise Missing("it rests on an unknown that has no value there")
        if not exists:
            raise Missing(stage["absent"])
    count = [0]
    memory: dict[str, Any] = {}

    def sign_at(x: Any, dps: int) -> Any:
        for _ in range(4):
            value = once(x, dps)
            if abs(value) > mpmath.mpf(10) ** (12 - dps):
                break
            dps += 25  # too close to nothing for its sign to be trusted
        return value

    def once(x: Any, dps: int) -> Any:
        count[0] += 1
        with mp.workdps(dps):
            full = dict(env)
            full[name] = mpmath.exp(x) if log else x
            for part in stage["inner"]:
                inner = find_root(part, full, dps + 5, memory.get(part["name"]))
                if inner.end is None:
                    memory[part["name"]] = (inner.low + inner.high) / 2
                full[part["name"]] = inner.at()
            return direction * evaluate(stage["residual"], full)

    with mp.workdps(digits + 20):
        lower, upper = evaluate(stage["lower"], env), evaluate(stage["upper"], env)
        if not lower < upper:
            raise Missing(f"the interval of {name} is empty")
        a, b = (mpmath.log(lower) if lower > 0 else -mpmath.inf, mpmath.log(upper)) if log else (lower, upper)
    no_root = stage["absent"] or f"the equation for {name} has no root: its sides never meet"

    def clipped(end: Any, entry: Any) -> Root:
        if not stage["clip"] or mpmath.isinf(end):
            raise Missing(no_root)
        return Root(
            name, log, end, end, end=_exact_end(entry, env, end, digits), residual=mpmath.mpf(0), count=count[0]
        )

    bracket: Any = _near(sign_at, guess, a, b)
    if bracket is None:
        # ends first: a root at an end, or beyond it, is that end
        for end, entry, side in ((upper, stage["upper"], 1), (lower, stage["lower"], -1)):
            x = b if side > 0 else a
            if mpmath.isinf(x):
                continue
            try:
                value, again = once(x, digits + 15), once(x, digits + 35)
            except (Missing, ZeroDivisionError, ValueError):
                continue
            if again * side <= 0 or abs(value - again) > abs(again) / 2:
                return clipped(end, entry)
        outcome = _search(sign_at, a, b, log)
        if isinstance(outcome, int):
            return clipped(upper if outcome > 0 else lower, stage["upper"] if outcome > 0 else stage["lower"])
        bracket = outcome
    low, high, residual = _refine(sign_at, bracket, digits)
    return Root(name, log, low, high, residual=residual * direction, count=count[0])


def _exact_end(entry: Any, env: Mapping[str, Any], end: Any, digits: int) -> Any:
    with mp.workdps(digits + 40):
        return evaluate(entry, env)


def _near(sign_at: Callable[[Any, int], Any], guess: Any, a: Any, b: Any) -> Any:
    """A bracket about a guess that is good to double precision, or None."""
    if guess is None or not mpmath.isfinite(guess):
        return None
    with mp.workdps(40):
        guess = mpmath.mpf(guess)
        for width in ("1e-13", "1e-9"):
            h = mpmath.mpf(width) * max(1, abs(guess))
            low, high = guess - h, guess + h
            if not (low > a and high < b):
                return None
            try:
                f_low, f_high = sign_at(low, 35), sign_at(high, 35)
            except (Missing, ZeroDivisionError, ValueError):
                return None
            if f_low < 0 < f_high:
                return low, high, f_low, f_high
    return None


def _search(sign_at: Callable[[Any, int], Any], a: Any, b: Any, log: bool) -> Any:
    """A narrow bracket found from nothing; +1 or -1 where the root lies beyond the upper or lower end."""
    with mp.workdps(40):
        inf_a, inf_b = mpmath.isinf(a), mpmath.isinf(b)
        x = mpmath.mpf(0) if inf_a and inf_b else max(a + 1, 0) if inf_b else min(b - 1, 0) if inf_a else (a + b) / 2
        f = sign_at(x, 30)
        if f == 0:
            x += mpmath.mpf("1e-20")
            f = sign_at(x, 30)
        up = f < 0
        step, far = mpmath.mpf(1), x
        for k in range(120):
            end, infinite = (b, inf_b) if up else (a, inf_a)
            if infinite:
                step *= 2 if log else 4
                far = x + step if up else x - step
                if abs(far) > (REACH if log else mpmath.mpf(10) ** 60):
                    return 1 if up else -1
            else:
                far = end - (end - x) / mpmath.mpf(4) ** (k + 1)
            try:
                g = sign_at(far, 30)
            except (Missing, ZeroDivisionError, ValueError):
                if infinite:
                    raise
                continue
            if (g > 0) == up and g != 0:
                break
            if infinite:
                x, f = far, g
        else:
            return 1 if up else -1
        low, high, f_low, f_high = (x, far, f, g) if up else (far, x, g, f)
        for k in range(400):
            if high - low < mpmath.mpf("1e-14") * max(1, abs(low)):
                break
            middle = (low + high) / 2
            if k % 3 != 2:
                middle = high - f_high * (high - low) / (f_high - f_low)
                edge = (high - low) * mpmath.mpf("1e-7")
                middle = min(max(middle, low + edge), high - edge)
                probe = middle + (edge * 2 if middle - low < high - middle else -edge * 2)
            for point in (middle, probe) if k % 3 != 2 else (middle,):
                if not low < point < high:
                    continue
                g = sign_at(point, 35)
                if g < 0:
                    low, f_low = point, g
                else:
                    high, f_high = point, g
        return low, high, f_low, f_high


def _refine(sign_at: Callable[[Any, int], Any], bracket: tuple[Any, Any, Any, Any], digits: int) -> Any:
    """A bracket narrow enough for so many digits of e^x, by secants whose error is enclosed at each step."""
    low, high, f_low, f_high = bracket
    goal = mpmath.mpf(10) ** -(digits + 3)
    gain = mpmath.mpf("1.75")
    for _ in range(200):
        width = high - low
        if width <= goal:
            break
        x = max(1, abs(low), abs(high))
        h = max(min((width / x) ** gain * x, width / 8), goal / 4)
        slope = (f_high - f_low) / width
        loss = max(0, -int(mpmath.log10(slope))) if slope > 0 else 20
        last = h <= goal / 2  # beyond it nothing but the signs is needed
        dps = 15 - int(mpmath.mpf("1.05" if last else "1.75") * mpmath.log10(h / x)) + int(mpmath.log10(x)) + loss
        with mp.workdps(dps + 10):
            middle = high - f_high * width / (f_high - f_low)
            new_low, new_high = max(middle - h, low), min(middle + h, high)
            g_low = sign_at(new_low, dps) if new_low > low else f_low
            g_high = sign_at(new_high, dps) if new_high < high else f_high
            if g_low < 0 < g_high:
                low, high, f_low, f_high = new_low, new_high, g_low, g_high
                gain = mpmath.mpf("1.75")
            elif g_low == 0 or g_high == 0:
                at = new_low if g_low == 0 else new_high
                low, high = at - goal / 4, at + goal / 4
                f_low, f_high = sign_at(low, dps), sign_at(high, dps)
                if not f_low < 0 < f_high:
                    break
            else:
                if g_low > 0:
                    high, f_high = new_low, g_low
                else:
                    low, f_low = new_high, g_high
                gain = 1 + (gain - 1) / 2
    if high - low > goal or not f_low < 0 < f_high:
        raise Missing("the root could not be enclosed")
    with mp.workdps(digits + 30):
        return low, high, (f_low + f_high) / 2


def solve_point(
    problem: Mapping[str, Any],
    parameters: Mapping[str, Fraction],
    digits: int,
    guesses: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A problem at one point, to so many digits.

    Returns: value, log_value (mpf or None), residual, branch, reason, outputs, iterations; digits that are right.
    """
    extra = 3
    for _ in range(6):
        result = _attempt(problem, parameters, digits, digits + extra, guesses or {})
        if result["lost"] <= 0:
            return result
        extra += int(result["lost"]) + 3
    result.update(value=None, log_value=None, branch="none", reason="the digits asked for could not be settled")
    return result


def _attempt(
    problem: Mapping[str, Any],
    parameters: Mapping[str, Fraction],
    digits: int,
    working: int,
    guesses: Mapping[str, Any],
) -> dict[str, Any]:
    env: dict[str, Any] = dict(parameters)
    roots: dict[str, Root] = {}

    def settle(stage: Mapping[str, Any]) -> None:
        name = stage["name"]
        try:
            roots[name] = find_root(stage, env, working, guesses.get(name))
            with mp.workdps(working + 30):
                env[name] = roots[name].at()
        except (Missing, ZeroDivisionError, ValueError, OverflowError) as error:
            env[name] = (
                error if isinstance(error, Missing) else Missing(f"the residual of {name} is not a number there")
            )
        for part in stage["inner"]:
            if isinstance(env[name], Missing):
                env[part["name"]] = env[name]
            else:
                settle(part)

    for stage in problem["stages"]:
        settle(stage)
    out: dict[str, Any] = {
        "value": None,
        "log_value": None,
        "residual": mpmath.mpf(0),
        "branch": "none",
        "lost": 0,
        "outputs": {},
        "reason": "no branch of the quantity holds there",
        "iterations": sum(r.count for r in roots.values()),
    }
    for case in problem["branches"]:
        holds = truth(case["condition"], env, digits)
        if holds is None:
            reasons = [str(env[n]) for n in case["condition_needs"] if isinstance(env[n], Missing)]
            out["reason"] = reasons[0] if reasons else "the condition of a branch cannot be decided"
            break
        if not holds:
            continue
        if case["value"] is None:
            out["reason"] = case["reason"] or "no value there"
            break
        absent = [env[n] for n in case["needs"] if isinstance(env[n], Missing)]
        if absent:
            out["reason"] = str(absent[0])
            break
        with mp.workdps(working + 20):
            try:
                value = evaluate(case["value"], env)
                spread = _spread(case["value"], env, roots, value)
            except (Missing, ZeroDivisionError, ValueError) as error:
                out["reason"] = str(error) or "the value is not a number"
                break
            out.update(value=value, branch=case["name"], reason="")
            used = [roots[n] for n in case["needs"] if n in roots]
            out["residual"] = max((r.residual for r in used), key=abs, default=mpmath.mpf(0))
            out["value"], out["lost"] = _settled(value, spread, digits)
            if problem["positive"] and value > 0:
                out["log_value"], lost = _settled(mpmath.log(value), spread / value, digits)
                out["lost"] = max(out["lost"], lost)
            for name, entry in problem["outputs"].items():
                try:
                    out["outputs"][name] = evaluate(entry, env)
                except (Missing, ZeroDivisionError, ValueError):
                    out["outputs"][name] = mpmath.nan
        break
    return out


def _spread(entry: Any, env: dict[str, Any], roots: Mapping[str, Root], value: Any) -> Any:
    """How much the enclosures of the unknowns move a value, with its rounding."""
    total = abs(value) * mpmath.ldexp(1, 10 - mp.prec)
    with mp.workdps(mp.dps + 15):
        total += abs(evaluate(entry, env) - value)
    for name in entry[1]:
        if name in roots and roots[name].end is None:
            for side in (-1, 1):
                moved = dict(env)
                moved[name] = roots[name].at(side)
                total += abs(evaluate(entry, moved) - value)
    return total


def _settled(value: Any, spread: Any, digits: int) -> tuple[Any, int]:
    """A value and how many of its digits are missing, not positive where all are right.

    A value that cannot be told from zero at twice the digits asked for is zero.
    """
    if value == 0 or spread == 0:
        return value, 0
    if abs(value) <= 10 * spread:
        small = spread < mpmath.mpf(10) ** (-2 * digits)
        return (mpmath.mpf(0), 0) if small else (value, digits)
    return value, int(mpmath.ceil(mpmath.log10(spread / abs(value)))) + digits + 1


def read_exact(table: Sequence[tuple[Any, ...]], given: Mapping[str, Any]) -> dict[str, Fraction]:
    """The parameters as exact fractions, checked against their domains.

    Args: table rows are name, lower, upper, lower end open, upper end open, default or None, other names.
    Raises: ParameterError in one line.
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
            error = ParameterError(f"unknown parameter {key!r}; allowed: {', '.join(names) or 'none'}{hint}")
            error.nearest = near[0] if near else None
            raise error
        known[name] = raw
    out: dict[str, Fraction] = {}
    for name, low, high, low_open, high_open, default, _ in table:
        if name not in known and default is None:
            raise ParameterError(
                f"missing parameter {name!r}; needed: {', '.join(r[0] for r in table if r[5] is None)}"
            )
        raw = known.get(name, default)
        try:
            value = exact(raw)
        except (ValueError, TypeError, OverflowError, ZeroDivisionError):
            raise ParameterError(f"parameter {name!r} is not a number: {raw!r}"[:200]) from None
        if not ((value > low if low_open else value >= low) and (value < high if high_open else value <= high)):
            domain = f"{'(' if low_open else '['}{float(low):g}, {float(high):g}{')' if high_open else ']'}"
            raise ParameterError(f"parameter {name!r} = {raw} is out of its domain {domain}")
        out[name] = value
    return out


def show(value: Any, digits: int) -> str:
    """A number with so many significant digits; "nan" for none."""
    if value is None or mpmath.isnan(value):
        return "nan"
    with mp.workdps(digits + 10):
        return str(mpmath.nstr(value, digits, strip_zeros=False))
