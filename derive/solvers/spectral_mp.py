"""A question about a spectrum answered to any number of digits, through the roots of its polynomials.

The edges are the places of the real roots of one polynomial in u = -1/g, the density is that of the complex root of
another; see `spectral_runtime` for the equations.  Nothing of the route in doubles is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import flint
import mpmath
import numpy as np
import sympy as sp
from mpmath import mp
from sympy import Add, Expr, cancel

from derive.core import (
    DensityProblem,
    DeriveError,
    GapProblem,
    GapTimesProblem,
    ProfileProblem,
    Solution,
    SpectralProblem,
)
from derive.nodes.mp_eval import compile_mp
from derive.solvers import mp_runtime
from derive.solvers.mp_target import MAX_DIGITS, broadcast_cells, parameter_rows
from derive.solvers.spectral_runtime import missing_gaps
from derive.solvers.spectral_target import free_parts, spectral_names

__all__ = ["SpectralMpSolver", "compile_spectrum_mp"]

Value = Any


class SpectralMpSolver:
    """A question about a spectrum, point by point, to any number of digits.

    Called with `digits` and the parameters: numbers, exact text ("1/500", "0.1"), or lists of them that broadcast.
    Returns a Solution whose numbers are decimal strings ("nan" where there is none), named as those in doubles.
    """

    def __init__(self, problem: SpectralProblem) -> None:
        self.problem, self.names = problem, spectral_names(problem)
        self.parameters = parameter_rows(problem, self.names)
        shift, parts = free_parts(problem.inverse, problem.resolvent)
        self.shift = self._function(shift)
        self.parts = [(self._function(v), self._function(a)) for v, a in parts]
        self.total = self._function(cancel(Add(*(a for _, a in parts))))
        self.image = self._function(problem.image)

    def _function(self, e: Expr) -> Callable[[Mapping[str, Value]], Value]:
        symbols = [s for s in self.names if s in e.free_symbols]
        function, names = compile_mp(e, symbols), [self.names[s] for s in symbols]
        return lambda env: mpmath.mpf(function(*(env[k] for k in names)))

    def point(self, digits: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """The answer at one point: nested lists of numbers under `value` and each output, None for what is not there.

        Raises: ParameterError for parameters that are missing, unknown, out of domain or not numbers.
        """
        exact = mp_runtime.read_exact(self.parameters, dict(given))
        with mp.workdps(2 * digits + 40):
            env = {k: mp_runtime.number(v) for k, v in exact.items()}
            law = _Law(self.shift(env), [(v(env), a(env)) for v, a in self.parts], self.total(env))
            return self._answer(law, env)

    def _answer(self, law: _Law, env: dict[str, Value]) -> dict[str, Any]:
        problem = self.problem
        if isinstance(problem, GapProblem):
            return self._gaps(problem, law, env)
        atom = self.image({**env, self.names[problem.variable]: law.shift}) if law.atom > 0 else None
        if isinstance(problem, DensityProblem):
            c, volume = self._function(problem.variance)(env), self._function(problem.volume)(env)
            value, below, correction = law.density(c)
            hard = value is None
            return _cell(
                mpmath.inf if hard else value * volume, "bulk" if hard or law.inside(c) else "outside",
                "the density is infinite at a hard edge" if hard else "", not hard, fraction_below=below,
                finite_size=correction, atom_weight=law.atom)
        count = len(law.bulks)
        word = "one bulk" if count == 1 else f"{count} bulks"
        if isinstance(problem, ProfileProblem):
            c, density, weights, below, correction = law.profile(problem.points)
            points = [self.image({**env, self.names[problem.variable]: x}) for x in c]
            volume_of = self._function(problem.volume)
            volumes = [volume_of({**env, self.names[problem.eigenvalue]: x}) for x in points]
            value = [d * v for d, v in zip(density, volumes, strict=True)]
            return _cell(value, word, points=points, weights=weights, fraction_below=below,
                         finite_size=correction, atom_weight=law.atom, bulks=count)
        edges = [self.image({**env, self.names[problem.variable]: x}) for pair in law.bulks for x in pair]
        padded = edges + [None] * (2 * len(law.parts) - len(edges))
        masses = law.masses + [None] * (len(law.parts) - count)
        separate = [int(gap is not None) for gap in law.gaps]
        return _cell(
            padded, word, bulks=count, weights=masses, separate=separate, atom=atom, atom_weight=law.atom)

    def _gaps(self, problem: GapProblem, law: _Law, env: dict[str, Value]) -> dict[str, Any]:
        first = (law.shift, law.bulks[0][0]) if law.atom > 0 else None
        pairs = [first, *law.gaps]
        here = [None if p is None else {**env, self.names[problem.low]: p[0], self.names[problem.high]: p[1]}
                for p in pairs]
        holds = [e is not None and self._holds(problem.condition, e) for e in here]

        def of(e: Expr, where: Sequence[bool]) -> list[Value]:
            f = self._function(e)
            return [f(at) if ok and at is not None else None for at, ok in zip(here, where, strict=True)]

        value = of(problem.value, holds)
        outputs: dict[str, Any] = {key: of(e, holds) for key, e in problem.outputs}
        outputs |= {key: of(e, [True] * len(pairs)) for key, e in problem.facts}
        outputs |= {"gaps": sum(holds)}
        if not isinstance(problem, GapTimesProblem):
            outputs |= {"final": value[0], "intermediate": value[1:]}
        else:
            times = [v or mpmath.mpf(0) for v in value]
            outputs |= {"t_coverage": max(times), "t_consolidation": times[0]}
        words: dict[str, Any] = {"reason": problem.reason, "unbounded": problem.unbounded}
        reason = missing_gaps(words, np.array([e is not None for e in here]), np.array(holds))
        branch = "final gap" if holds[0] else "gaps between bulks only" if any(holds) else "none"
        return _cell(value, branch, reason, any(holds), **outputs)

    def _holds(self, condition: Any, env: Mapping[str, Value]) -> bool:
        if condition in (sp.true, sp.false):
            return bool(condition)
        sides = self._function(condition.lhs)(env), self._function(condition.rhs)(env)
        return bool({"<": sides[0] < sides[1], ">": sides[0] > sides[1]}[condition.rel_op])

    def __call__(self, digits: int = 50, **parameters: Any) -> Solution:
        """Solve.

        Raises: DeriveError for digits below 1 or above 10000, and for parameters that are missing, unknown, out of
        domain or not numbers.
        """
        if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= MAX_DIGITS:
            raise DeriveError(
                f"digits = {digits!r} is not a whole number from 1 to {MAX_DIGITS}", given=repr(digits),
                allowed=f"1..{MAX_DIGITS}")
        cells, shape = broadcast_cells(parameters)
        try:
            points = [self.point(digits, cell) for cell in cells]
        except mp_runtime.ParameterError as error:
            raise DeriveError(
                str(error), given=str(parameters)[:200], nearest=error.nearest,
                allowed=", ".join(f"{p.name} in {p.domain}" for p in self.problem.parameters)) from None

        def gather(read: Callable[[dict[str, Any]], Any], kind: Any = object) -> Any:
            rows = [np.array(read(p), dtype=object) for p in points]
            out = np.empty((len(rows), *rows[0].shape), dtype=object)
            for i, row in enumerate(rows):
                out[i] = row[()]
            return out.reshape((*shape, *rows[0].shape)).astype(kind)

        def shown(read: Callable[[dict[str, Any]], Any]) -> Any:
            return gather(lambda p: _shown(read(p), digits))

        return Solution(
            shown(lambda p: p["value"]),
            shown(lambda p: p["log_value"]),
            gather(lambda p: "0.0"),
            gather(lambda p: p["converged"], bool),
            gather(lambda p: 0, np.int64),
            gather(lambda p: p["branch"], str),
            gather(lambda p: "nan"),
            gather(lambda p: p["reason"], str),
            {key: shown(lambda p, key=key: p["outputs"][key]) for key in points[0]["outputs"]},  # type: ignore[misc]
        )


def _cell(value: Any, branch: str, reason: str = "", converged: bool = True, /, **outputs: Any) -> dict[str, Any]:
    def log(x: Any) -> Any:
        if isinstance(x, list):
            return [log(k) for k in x]
        return mpmath.log(x) if x is not None and x > 0 else None

    return {"value": value, "log_value": log(value), "converged": converged, "branch": branch, "reason": reason,
            "outputs": outputs}


def _shown(value: Any, digits: int) -> Any:
    if isinstance(value, list):
        return [_shown(k, digits) for k in value]
    return int(value) if isinstance(value, int) else mp_runtime.show(value, digits)


class _Law:
    """A law at the current precision: bulks as pairs of edges, gaps between them (None where merged), weights."""

    def __init__(self, shift: Value, parts: Sequence[tuple[Value, Value]], total: Value) -> None:
        self.shift, self.total = shift, total
        self.parts = sorted(parts)
        self.atom = max(mpmath.mpf(0), 1 - total)
        points = self._critical()
        values = [v for v, _ in self.parts]
        between = [[u for u in points if low < u < high] for low, high in pairwise(values)]
        bottom = [u for u in points if u < values[0]]
        top = [u for u in points if u > values[-1]]
        ends = self._place(0 if total == 1 else min(bottom)), self._place(max(top))
        self.gaps = [None if not pair else (self._place(min(pair)), self._place(max(pair))) for pair in between]
        flat = [ends[0], *(x for gap in self.gaps if gap is not None for x in gap), ends[1]]
        self.bulks = list(zip(flat[::2], flat[1::2], strict=True))
        self.masses = self._masses()

    def _critical(self) -> list[Value]:
        """The real points of load 1."""
        squares = _product([[1, -2 * v, v * v] for v, _ in self.parts])
        for i, (v, a) in enumerate(self.parts):
            others = _product([[1, -2 * w, w * w] for j, (w, _) in enumerate(self.parts) if j != i])
            squares = _sum(squares, [-a * v * v * k for k in others])
        return [mpmath.re(u) for u in _roots(squares) if mpmath.im(u) == 0]

    def _place(self, u: Value) -> Value:
        return self.shift + u + sum(a * v * u / (u - v) for v, a in self.parts)

    def _masses(self) -> list[Value]:
        masses = [mpmath.mpf(0)]
        for k, (_, a) in enumerate(self.parts):
            if k and self.gaps[k - 1] is not None:
                masses.append(mpmath.mpf(0))
            masses[-1] += a
        masses[0] -= max(mpmath.mpf(0), self.total - 1)
        return masses

    def inside(self, c: Value) -> bool:
        """Whether a point is inside a bulk."""
        return any(low < c < high for low, high in self.bulks)

    def density(self, c: Value) -> tuple[Value | None, Value, Value]:
        """Density at a point, 0 off the bulks and None at a hard edge; the fraction up to it, its 1/N correction."""
        x = c - self.shift
        if not self.inside(c):
            passed = sum((m for m, (low, _) in zip(self.masses, self.bulks, strict=False) if low < c), mpmath.mpf(0))
            hard = x == 0 and self.total == 1
            return None if hard else mpmath.mpf(0), passed + (self.atom if x >= 0 else 0), mpmath.mpf(0)
        whole = _product([[1, -v] for v, _ in self.parts])
        equation = _sum([*whole, 0], [0, *(-x * k for k in whole)])
        for i, (v, a) in enumerate(self.parts):
            others = _product([[1, -w] for j, (w, _) in enumerate(self.parts) if j != i])
            equation = _sum(equation, [*(a * v * k for k in others), 0])
        u = max(_roots(equation), key=mpmath.im)
        value = mpmath.im(u) / (mpmath.pi * abs(u) ** 2)
        turned = sum(a * mpmath.arg(u - v) for v, a in self.parts) + (1 - self.total) * mpmath.arg(u)
        slope = 1 - sum(a * (v / (u - v)) ** 2 for v, a in self.parts)
        return value, 1 - turned / mpmath.pi + x * value, -mpmath.arg(slope) / (2 * mpmath.pi)

    def profile(self, count: int) -> tuple[list[Value], ...]:
        """Points over all bulks, the density there, weights of the integral, fraction below and its correction."""
        points, values, weights, fractions, corrections = [], [], [], [], []
        for i in range(count):
            bulk = i * len(self.bulks) // count
            first, after = (-(-(bulk + k) * count // len(self.bulks)) for k in (0, 1))
            low, high = self.bulks[bulk]
            angle = mpmath.pi * (i - first + mpmath.mpf(1) / 2) / (after - first)
            near, speed = mpmath.sin(angle / 2) ** 2, mpmath.sin(angle) / 2
            if low > self.shift:
                ratio = (high - self.shift) / (low - self.shift)
                x = (low - self.shift) * ratio**near
                measure = x * mpmath.log(ratio) * speed
            else:
                x, measure = (high - self.shift) * near**2, 2 * (high - self.shift) * near * speed
            points.append(self.shift + x)
            value, below, correction = self.density(points[-1])
            values.append(value)
            fractions.append(below)
            corrections.append(correction)
            weights.append(values[-1] * measure * mpmath.pi / (after - first))
        return points, values, weights, fractions, corrections


def _product(factors: Sequence[Sequence[Value]]) -> list[Value]:
    """Coefficients, highest first, of a product of polynomials."""
    out: list[Value] = [mpmath.mpf(1)]
    for factor in factors:
        new = [mpmath.mpf(0)] * (len(out) + len(factor) - 1)
        for i, x in enumerate(out):
            for j, y in enumerate(factor):
                new[i + j] += x * y
        out = new
    return out


def _sum(p: Sequence[Value], q: Sequence[Value]) -> list[Value]:
    size = max(len(p), len(q))
    wide = [[mpmath.mpf(0)] * (size - len(k)) + list(k) for k in (p, q)]
    return [x + y for x, y in zip(*wide, strict=True)]


def _roots(coefficients: Sequence[Value]) -> list[Value]:
    """All roots, real ones real: isolated by ball arithmetic, the coefficients taken as the fractions that they are."""
    exact = [_fraction(k) for k in reversed(coefficients)]
    before = flint.ctx.prec
    try:
        flint.ctx.prec = mp.prec + 10
        found: list[Any] = flint.fmpz_poly(_numerator(exact)).complex_roots()
        return [_number(root) for root, multiplicity in found for _ in range(multiplicity)]
    finally:
        flint.ctx.prec = before


def _fraction(value: Value) -> flint.fmpq:
    """An mpf as the dyadic fraction that it is."""
    sign, mantissa, exponent, _ = mpmath.mpf(value)._mpf_
    whole = flint.fmpz(-int(mantissa) if sign else int(mantissa))
    return flint.fmpq(whole * 2**exponent) if exponent >= 0 else flint.fmpq(whole, flint.fmpz(2) ** -exponent)


def _numerator(coefficients: Sequence[flint.fmpq]) -> list[flint.fmpz]:
    """The coefficients times their common denominator."""
    return list(flint.fmpq_poly(list(coefficients)).numer().coeffs())


def _number(ball: flint.acb) -> Value:
    """The middle of a complex ball."""
    parts = (ball.real.mid(), ball.imag.mid())
    real, imag = (mpmath.ldexp(mpmath.mpf(int(m)), int(e)) for m, e in (k.man_exp() for k in parts))
    return mpmath.mpc(real, imag)


@lru_cache(maxsize=128)
def compile_spectrum_mp(problem: SpectralProblem) -> SpectralMpSolver:
    """The solver of a question about a spectrum to any number of digits.

    Raises: DeriveError for a law that is no free sum, or an expression that cannot be evaluated.
    """
    return SpectralMpSolver(problem)


