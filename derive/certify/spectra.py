"""Numbers that are proven: what is read off the spectrum of a free sum of Marchenko-Pastur laws, at one point.

Every edge is the place of one critical point of the inverse function of the resolvent, enclosed between signs
(derive.ledger.free_sums); gaps, times and densities are expressions in the edges, or in one complex root.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from flint import arb
from sympy import Add, Expr, Rational, S, Symbol, cancel, sign

from derive.certify.certificate import Digits, bits_for, check_digits, decimal, proven_digits, within
from derive.certify.conditions import holds
from derive.core import (
    DensityProblem,
    DeriveError,
    EdgesProblem,
    GapProblem,
    GapTimesProblem,
    Solution,
    SpectralProblem,
    Verdict,
)
from derive.ledger.balls import NotEnclosed, enclose, precision
from derive.ledger.free_sums import Edge, FreeSum
from derive.ledger.stage_roots import Obstacle

if TYPE_CHECKING:
    from derive.quantity import Quantity

__all__ = ["SpectrumCertificate", "certify_spectrum"]

_TRIES = 4
_EXISTS = "proven: at each edge the load less 1 has opposite signs at the ends of its bracket"
_UNIQUE = ("proven in each bracket: the load is monotone there; and on the whole line: it is convex between "
           "neighbouring v_k and monotone beyond them, so that no other u has load 1")
_ROOT = "proven: one root of the resolvent's polynomial is isolated above the real line"
_NO_OTHER = "proven: all others are isolated on or below it"
Values = dict[str, dict[str, Digits]]


@dataclass(frozen=True)
class SpectrumCertificate:
    """What was proven of all that is read off a spectrum.

    Attributes: verdict; digits (the fewest that are proven of one value); values (name of the output -> entry, as
    "final" or "1" for gaps, "" where there is one -> its Digits); counted (how many bulks there are, and why);
    existence and uniqueness (in words); brackets (critical point of an edge -> where it was shown to be the only one);
    obstacle (what was not proven).
    """

    verdict: Verdict
    digits: int
    values: Mapping[str, Mapping[str, Digits]]
    counted: str = "not proven"
    existence: str = "not proven"
    uniqueness: str = "not proven"
    brackets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    obstacle: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        proven = self.verdict is Verdict.CERTIFIED
        values = {name: {entry: k._asdict() for entry, k in row.items()} for name, row in self.values.items()}
        return {"exists": proven, "unique": proven, "verdict": self.verdict.name, "digits": self.digits,
                "values": values, "counted": self.counted, "existence": self.existence, "uniqueness": self.uniqueness,
                "brackets": {k: list(v) for k, v in self.brackets.items()}, "obstacle": self.obstacle}


def certify_spectrum(
    quantity: Quantity, digits: int = 30, *, seconds: float = 60.0, **parameters: Any
) -> SpectrumCertificate:
    """Enclose what is read off a spectrum at one point, with a proof.

    Args: as for `certify`.
    Returns: a SpectrumCertificate. Where the proof fails, as where two bulks touch, its verdict is CORROBORATED (or
        UNDECIDED where there is no value), `obstacle` says what is missing, and the values are those in doubles.
    Raises: DeriveError for a quantity that is not read off a spectrum, a density that is asked for on a grid, digits
        out of range, and parameters that are missing, unknown or out of domain.

    >>> from derive import atlas
    >>> found = certify_spectrum(atlas["spectral-edges"], 12, alpha_D="1/4")
    >>> found.verdict.name, [edge.value for edge in found.values["gamma"].values()]
    ('CERTIFIED', ['1.00000000000', '9.00000000000'])
    """
    from derive.solvers.mp_runtime import read_exact
    from derive.solvers.mp_target import parameter_rows
    from derive.solvers.spectral_target import spectral_names

    check_digits(digits)
    problem = quantity.question
    if not isinstance(problem, SpectralProblem):
        raise DeriveError(f"{quantity.name} is not read off a spectrum", given=quantity.name, allowed="certify")
    if not isinstance(problem, EdgesProblem | GapProblem | DensityProblem):
        raise DeriveError(f"{quantity.name} is certified at one point of the spectrum, not on a grid",
                          given=quantity.name, allowed="the eigenvalue among the parameters (c, or j with t)")
    problem, names = replace(problem, symbol=quantity.symbol), spectral_names(problem)
    exact = read_exact(parameter_rows(problem, names), parameters)
    point = {p.symbol: Rational(exact[names[p.symbol]].numerator, exact[names[p.symbol]].denominator)
             for p in problem.parameters}
    proven, obstacle = within(seconds, _closer, problem, point, digits)
    if proven is not None:
        return proven
    return _unproven(quantity.solver()(**{k: float(v) for k, v in exact.items()}), problem, obstacle)


def _unproven(found: Solution, problem: SpectralProblem, obstacle: str) -> SpectrumCertificate:
    """The values in doubles, without a proof."""
    if not bool(found.converged):
        why = str(found.reason[()])
        return SpectrumCertificate(
            Verdict.UNDECIDED, 0, {}, obstacle=why if obstacle in why else f"{why}; {obstacle}")
    row = found.value.reshape(-1)
    values = {entry: Digits(str(v), "nan", 0, "", "")
              for entry, v in zip(_entries(problem, len(row)), row, strict=True) if v == v}
    return SpectrumCertificate(Verdict.CORROBORATED, 0, {problem.symbol.name: values}, obstacle=obstacle)


def _entries(problem: SpectralProblem, count: int) -> list[str]:
    """What the entries of the answer are called."""
    if isinstance(problem, DensityProblem):
        return [""]
    first = 0 if isinstance(problem, GapProblem) else 1
    return ["final" if k == 0 else str(k) for k in range(first, first + count)]


def _closer(problem: SpectralProblem, point: Mapping[Symbol, Rational], digits: int) -> SpectrumCertificate:
    """With more and more bits, until so many digits of every value are proven or no more come."""
    bits, before = bits_for(digits), -1
    for _ in range(_TRIES):
        found = _Reading(problem, point, digits, bits).certificate()
        if not before < found.digits < digits:
            break
        before = found.digits
        bits += int((digits - found.digits) * 3.33) + 64
    return found


class _Reading:
    """One attempt, at a precision."""

    def __init__(self, problem: SpectralProblem, point: Mapping[Symbol, Rational], digits: int, bits: int) -> None:
        from derive.solvers.spectral_target import free_parts

        self.problem, self.point, self.digits, self.bits = problem, point, digits, bits
        shift, parts = free_parts(problem.inverse, problem.resolvent)
        total = cancel(Add(*(a for _, a in parts))).xreplace(dict(point))
        if not total.is_Rational:
            raise Obstacle("the rank of the covariance is not known exactly")
        side = int(sign(total - 1))
        self.shift: Any = S.Zero if shift.is_zero else self.ball(shift)
        balls = [(self.ball(v), self.ball(a)) for v, a in parts]
        self.law = FreeSum(arb(0) if shift.is_zero else self.shift, balls, side, bits)

    def ball(self, e: Expr, more: Mapping[Symbol, Any] | None = None) -> arb:
        """A ball of an expression in the parameters and further symbols."""
        found = enclose(e, {**self.point, **(more or {})}, self.bits)
        if not isinstance(found, arb) or not found.is_finite():
            raise NotEnclosed(f"{e} has no finite ball there")
        return found

    def certificate(self) -> SpectrumCertificate:
        """What is read off."""
        problem, name = self.problem, self.problem.symbol.name
        words = _EXISTS, _UNIQUE
        if isinstance(problem, GapProblem):
            values = self.gaps(problem)
        elif isinstance(problem, DensityProblem):
            inside, value = self.density(problem)
            values = {name: {"": value}}
            words = (f"{_EXISTS}; {_ROOT}", f"{_UNIQUE}; {_NO_OTHER}") if inside else words
        else:
            places = [self.ball(problem.image, {problem.variable: edge.place}) for edge in self.edges]
            values = {name: {label: self.proven(place) for label, place in
                             zip(_entries(problem, len(places)), places, strict=True)}}
        digits = min(k.digits for row in values.values() for k in row.values())
        short = f"{digits} of {self.digits} digits" if digits < self.digits else ""
        return SpectrumCertificate(Verdict.CERTIFIED, digits, values, self.counted, *words, self.brackets, short)

    @property
    def edges(self) -> list[Edge]:
        """All edges in order."""
        return [edge for pair in self.law.bulks for edge in pair]

    @property
    def brackets(self) -> dict[str, tuple[str, str]]:
        """Where the critical point of each edge is the only one; at u = 0 nothing was to be found."""
        with precision(64):
            return {f"u of edge {k}": (decimal(edge.bracket[0], 15, 1), decimal(edge.bracket[1], 15, -1))
                    for k, edge in enumerate(self.edges, 1) if edge.bracket is not None}

    @property
    def counted(self) -> str:
        """How many bulks there are."""
        count = len(self.law.bulks)
        words = "1 bulk" if count == 1 else f"{count} bulks"
        if len(self.law.parts) == 1:
            return f"{words}, proven: there is one v, and one critical point on either side of it"
        return (f"{words}, proven: between neighbouring v_k the least value of the load is shown to be below 1 where "
                "bulks part and above 1 where they have merged")

    def proven(self, ball: Any, main: bool = True) -> Digits:
        """The digits of a value, with its logarithm where it is the one asked for."""
        return proven_digits(ball, self.digits, main, self.bits)

    def density(self, problem: DensityProblem) -> tuple[bool, Digits]:
        """Whether an eigenvalue is inside a bulk, and the density there."""
        c = self.ball(problem.variance)
        if self.law.side == 0 and (problem.variance.xreplace(dict(self.point)) - self.shift) == 0:
            raise Obstacle("the density is infinite at a hard edge")
        if not self.law.inside(c):
            return False, self.proven(arb(0))
        with precision(self.bits):
            return True, self.proven(self.law.density(c) * self.ball(problem.volume))

    def gaps(self, problem: GapProblem) -> Values:
        """What is asked of each gap; those that are not there, or do not obey the condition, are left out."""
        law, name = self.law, problem.symbol.name
        pairs: list[tuple[Any, Any] | None] = [(self.shift, law.bulks[0][0].place) if law.side < 0 else None]
        pairs += [None if gap is None else (gap[0].place, gap[1].place) for gap in law.gaps]
        values: Values = {key: {} for key, _ in ((name, 0), *problem.outputs, *problem.facts)}
        opened: dict[str, arb] = {}
        for label, pair in zip(_entries(problem, len(pairs)), pairs, strict=True):
            if pair is None:
                continue
            there = dict(zip((problem.low, problem.high), pair, strict=True))
            true = holds(problem.condition, {**self.point, **there}, self.bits)
            if true is None:
                raise Obstacle(f"balls do not decide, of the gap {label}, whether {problem.reason}")
            if true:
                opened[label] = self.ball(problem.value, there)
                values[name][label] = self.proven(opened[label])
            for key, e in (*(problem.outputs if true else ()), *problem.facts):
                values[key].setdefault(label, self.proven(self.ball(e, there), False))
        if not opened:
            raise Obstacle(problem.unbounded if law.side >= 0 else problem.reason)
        if isinstance(problem, GapTimesProblem):  # where the phases begin: the first gap opens, and the final one
            with precision(self.bits):
                first = _largest(opened.values())
            values["t_coverage"] = {"": self.proven(first)}
            values["t_consolidation"] = {"": self.proven(opened.get("final", arb(0)))}
        return {key: row for key, row in values.items() if row}


def _largest(balls: Iterable[arb]) -> arb:
    """The largest of several numbers, in a ball."""
    first, *others = balls
    for ball in others:
        first = first.max(ball)
    return first
