"""Numbers that are proven: a threshold at one point, enclosed by ball arithmetic.

Each unknown is the root of its equation in a bracket, shown to exist and to be the only one there by the interval
Newton method: with U a ball about u0 and f'(U) away from zero, a Newton image u0 - f(u0)/f'(U) inside U proves exactly
one root in U. Positive unknowns are enclosed through their logarithm. The branch is decided by inequalities between
balls, and the value is the ball that follows. All balls are those of python-flint (Johansson 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

from flint import acb, arb, arb_mat, ctx, fmpq
from sympy import Basic, Expr, Rational, Rel, Symbol, oo
from sympy.logic.boolalg import And, BooleanFalse, BooleanTrue, Not, Or

from derive.core import DeriveError, SaddleStage, Stage, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.nodes.timebox import TimedOut, timebox

if TYPE_CHECKING:
    from derive.quantity import Quantity

__all__ = ["Certificate", "certify"]

_WIDTHS = ("1e-2", "1e-4", "1e-6", "1e-9", "1e-12")
_FIRST = 192
_PRECISIONS = (80, _FIRST)
_ROUNDS = 40
MAX_DIGITS = 2000


class _Obstacle(Exception):
    """What could not be proven, in words."""


@dataclass(frozen=True)
class Certificate:
    """What was proven of a value.

    Attributes: verdict (CERTIFIED, or CORROBORATED where something is missing), value and log_value (the digits that
    are proven, and no more), digits (how many of the value, at most those asked for), lower and upper (ends of the
    enclosure of the value; of its logarithm where the value underflows), branch, existence and uniqueness (in words,
    unknown by unknown), brackets (unknown -> where it was shown to be the only root), obstacle (what was not proven).
    In JSON `bracket` is the first of them, `exists` and `unique` say whether both are proven there.
    """

    verdict: Verdict
    value: str
    log_value: str
    digits: int
    lower: str
    upper: str
    branch: str
    existence: str
    uniqueness: str
    brackets: Mapping[str, tuple[str, str]]
    obstacle: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        proven = self.verdict is Verdict.CERTIFIED
        return {"exists": proven, "unique": proven, "bracket": next((list(v) for v in self.brackets.values()), None),
                "verdict": self.verdict.name, "value": self.value, "log_value": self.log_value, "digits": self.digits,
                "lower": self.lower, "upper": self.upper, "branch": self.branch, "existence": self.existence,
                "uniqueness": self.uniqueness, "brackets": {k: list(v) for k, v in self.brackets.items()},
                "obstacle": self.obstacle}


def certify(quantity: Quantity, digits: int = 30, *, seconds: float = 60.0, **parameters: Any) -> Certificate:
    """Enclose a quantity at one point, with a proof.

    Args:
        quantity: of the atlas, or one's own.
        digits: how many are wanted.
        seconds: the time after which it stops.
        parameters: each a number or exact text ("1/500"); a float is the double it is.
    Returns: a Certificate. Where the proof fails its verdict is CORROBORATED and `obstacle` says what is missing; the
        digits are then those of the mpmath route.
    Raises: DeriveError for digits out of range and for parameters that are missing, unknown or out of domain.

    >>> from derive import atlas
    >>> found = certify(atlas["collapse-time"], 20, alpha="1/2", alpha_D="1/2")
    >>> found.verdict.name, found.value
    ('CERTIFIED', '0.24379198010997848168')
    """
    from derive.solvers.mp_runtime import read_exact
    from derive.solvers.mp_target import compile_mp_solver

    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= MAX_DIGITS:
        raise DeriveError(f"digits = {digits!r} is not a whole number from 1 to {MAX_DIGITS}",
                          given=repr(digits), allowed=f"1..{MAX_DIGITS}")
    solver = compile_mp_solver(quantity.problem)
    exact = read_exact(solver.parameters, parameters)
    work = _Work(quantity, exact, digits)
    try:
        return timebox(seconds, work.run, solver.guesses(exact))
    except TimedOut:
        obstacle = f"stopped after {seconds:g} s"
    except _Obstacle as reason:
        obstacle = str(reason)
    except NotEnclosed as reason:
        obstacle = f"no enclosure is known: {reason}"
    except (ValueError, ZeroDivisionError, OverflowError) as reason:
        obstacle = f"an enclosure failed: {reason}"
    found = solver(digits=digits, **{k: str(v) for k, v in exact.items()})
    if not bool(found.converged):
        return Certificate(Verdict.UNDECIDED, "nan", "nan", 0, "", "", str(found.branch[()]), "not proven",
                           "not proven", {}, f"{found.reason[()]}; {obstacle}")
    return Certificate(Verdict.CORROBORATED, str(found.value[()]), str(found.log_value[()]), 0, "", "",
                       str(found.branch[()]), "not proven", "not proven", {}, obstacle)


@dataclass
class _Work:
    quantity: Quantity
    exact: Mapping[str, Fraction]
    digits: int

    def run(self, guesses: Mapping[str, float]) -> Certificate:
        """The certificate; raises _Obstacle or NotEnclosed where something cannot be shown."""
        problem = self.quantity.problem
        from derive.solvers.numpy_target import names_of

        names = names_of(problem)
        values: dict[Symbol, Any] = {
            p.symbol: Rational(self.exact[names[p.symbol]].numerator, self.exact[names[p.symbol]].denominator)
            for p in problem.parameters
        }
        brackets: dict[str, tuple[str, str]] = {}
        said: list[str] = []
        bits = int(self.digits * 3.33) + 96
        for _ in range(4):
            known: dict[Symbol, Any] = dict(values)
            brackets.clear()
            said.clear()
            for stage in problem.stages:
                if isinstance(stage, SaddleStage):
                    raise _Obstacle(f"{stage.value.name} is a saddle point of averages, which are not enclosed here")
                self.settle(stage, known, guesses.get(names[stage.unknown]), bits, brackets, said)
            branch = self.branch(known, bits)
            ball = enclose(branch.value, known, bits)
            if isinstance(ball, acb) or not ball.is_finite():
                raise _Obstacle("the value is not enclosed by a finite ball")
            proven = min(self.digits, _digits(ball))
            if proven >= self.digits:
                break
            bits += int((self.digits - proven) * 3.33) + 64
        if proven < 1:
            raise _Obstacle("not one digit of the value could be proven")
        with _precision(bits):
            log_ball = ball.log() if problem.positive and ball > 0 else None
            value, log_value = _shown(ball, proven), "nan" if log_ball is None else _shown(log_ball, proven)
            ends = (_decimal(ball.lower(), proven + 10, -1), _decimal(ball.upper(), proven + 10, 1))
        existence = "an explicit formula" if not brackets else "the Newton image of the bracket lies inside it"
        existence = f"proven: {existence}"
        if said:
            existence += "; " + "; ".join(said)
        unique = "proven in the bracket: the derivative does not vanish there" if brackets else "an explicit formula"
        short = proven < self.digits
        return Certificate(Verdict.CERTIFIED, value, log_value, proven, *ends, branch.name, existence,
                           unique + self.whole(brackets), dict(brackets),
                           f"{proven} of {self.digits} digits" if short else "")

    def whole(self, brackets: Mapping[str, Any]) -> str:
        """What the ledger says of uniqueness on the whole interval."""
        if not brackets:
            return ""
        from derive.core import UniqueRoot

        steps = [s for s in self.quantity.derivation if isinstance(s.claim, UniqueRoot)]
        if not steps:
            return "; on the whole interval it is not shown here"
        return "; on the whole interval see step " + ", ".join(s.label for s in steps) + " of the ledger"

    def settle(
        self, stage: Stage, known: dict[Symbol, Any], guess: float | None, bits: int,
        brackets: dict[str, tuple[str, str]], said: list[str],
    ) -> None:
        """Add the unknown of a stage to what is known."""
        name = stage.unknown.name
        if self.holds(stage.exists, known, bits) is not True:
            raise _Obstacle(f"{name} has no value: {stage.absent or 'its condition of existence is not shown'}")
        if stage.clip:
            for end, side in ((stage.upper, 1), (stage.lower, -1)):
                if end in (oo, -oo):
                    continue
                there = {**known, stage.unknown: _ball(end, known, bits)}
                try:
                    for inner in _roots(stage):
                        self.settle(inner, there, self.guess(inner, there), bits, {}, [])
                except (_Obstacle, NotEnclosed, ValueError, ZeroDivisionError):
                    continue  # the end is not shown to be the answer; a root has to be
                at = enclose(stage.residual, there, bits)
                if not isinstance(at, acb) and stage.direction * side * at < 0:
                    known[stage.unknown] = end.xreplace({s: v for s, v in known.items() if isinstance(v, Basic)})
                    said.append(f"{name} = {end}: the residual, monotone by the ledger, keeps its sign up to that end")
                    return
        if guess is None:
            raise _Obstacle(f"there is no first guess for {name}")
        if stage.inner:
            found = self.together(stage, known, guess, bits)
        else:
            found = [(stage.unknown, *self.newton(stage, known, guess, bits, bool(stage.unknown.is_positive)))]
        known[stage.unknown] = found[0][1]
        with _precision(64):
            for unknown, _, bracket in found:
                ends = _decimal(bracket.lower(), 15, 1), _decimal(bracket.upper(), 15, -1)  # inward: unique there too
                brackets[f"log {unknown.name}" if unknown.is_positive else unknown.name] = ends

    def guess(self, stage: Stage, known: Mapping[Symbol, Any]) -> float | None:
        """About where the residual of a stage, monotone in its unknown, changes sign; the logarithm where positive."""
        log = bool(stage.unknown.is_positive)
        low, high = (None if e in (oo, -oo) else _ball(e, known, 64) for e in (stage.lower, stage.upper))
        if log:
            ends = [-80.0 if low is None or not low > 0 else float(low.log()), 80.0 if high is None
                    else float(high.log())]
        else:
            ends = [-1e6 if low is None else float(low), 1e6 if high is None else float(high)]
        for _ in range(70):
            middle = (ends[0] + ends[1]) / 2
            with _precision(64):
                point = arb(middle).exp() if log else arb(middle)
            value = enclose(stage.residual, {**known, stage.unknown: point}, 64)
            if isinstance(value, acb) or not value.is_finite():
                return None
            ends[0 if float(value) * stage.direction < 0 else 1] = middle
        return (ends[0] + ends[1]) / 2

    def together(
        self, stage: Stage, known: dict[Symbol, Any], guess: float, bits: int
    ) -> list[tuple[Symbol, Any, Any]]:
        """A stage and those inside it as one system of equations, by Krawczyk's operator: unknown, ball, bracket.

        A stage inside that stays at an end of its interval is that end; its sign is shown on the whole bracket.
        """
        x = stage.unknown
        with _precision(_FIRST):
            at = arb(guess).exp() if x.is_positive else arb(guess)
        there = {**known, x: at}
        unknowns, equations, starts = [x], [stage.residual], [guess]
        ends: list[tuple[Stage, Any]] = []
        for inner in _roots(stage):
            if inner.inner:
                raise _Obstacle(f"{inner.unknown.name} rests on unknowns that rest on others")
            said: list[str] = []
            start = self.guess(inner, there)
            self.settle(inner, there, start, _FIRST, {}, said)
            if said:
                ends.append((inner, there[inner.unknown]))
                continue
            assert start is not None  # it was settled from there
            unknowns.append(inner.unknown)
            equations.append(inner.residual)
            starts.append(start)
        fixed = {**known, **{inner.unknown: end for inner, end in ends}}

        def stays(points: Mapping[Symbol, Any]) -> bool:
            signs = [(enclose(i.residual, points, _FIRST), i.direction * (1 if i.upper.xreplace(exact) == end else -1))
                     for i, end in ends]
            return all(not isinstance(sign, acb) and direction * sign < 0 for sign, direction in signs)

        exact = {k: v for k, v in known.items() if isinstance(v, Basic)}
        balls, brackets = krawczyk(equations, unknowns, fixed, starts, bits, stays)
        return list(zip(unknowns, balls, brackets, strict=True))

    def newton(self, stage: Stage, known: Mapping[Symbol, Any], guess: float, bits: int, log: bool) -> tuple[Any, Any]:
        """The ball of the unknown, and the bracket in which its root is the only one."""
        x = stage.unknown
        slope = stage.residual.diff(x)

        def f(u: Any, e: Expr, prec: int, goal: int | None = None) -> Any:
            with _precision(prec):
                point = u.exp() if log else u
            value = enclose(e, {**known, x: point}, prec, goal=goal)
            if isinstance(value, acb) or not value.is_finite():
                raise _Obstacle(f"the equation for {x.name} has no finite ball there")
            with _precision(prec):
                return value * point if log and e is slope else value

        for prec, width in product(_PRECISIONS, _WIDTHS):
            with _precision(_FIRST):
                center = arb(guess)
                whole = arb(guess, float(width) * max(1.0, abs(guess)))
            try:
                derivative = f(whole, slope, prec, 24)
                if derivative.contains(0):
                    continue
                with _precision(_FIRST):
                    image = center - f(center, stage.residual, prec, 48) / derivative
                    if whole.contains_interior(image):
                        break
            except (_Obstacle, NotEnclosed, ValueError, ZeroDivisionError):
                continue
        else:
            raise _Obstacle(f"no bracket about the root {x.name} in which its derivative does not vanish was found: "
                            "a multiple root, or one too close to another, cannot be certified")
        ball, full = image, False
        for _ in range(_ROUNDS):
            reached = max(int(ball.rel_accuracy_bits()), 16)  # the error is squared: no more is computed than counts
            sharp = bits if full else min(bits, 2 * reached + 60)
            with _precision(bits):
                center = ball.mid()
                steep = f(ball, slope, min(sharp, reached + 60), reached + 12)
                image = center - f(center, stage.residual, sharp, sharp - 24) / steep
                if not image.overlaps(ball):
                    raise _Obstacle(f"the Newton step for {x.name} left its bracket")
                smaller = ball.intersection(image)
                stalled = smaller.rad() * 2 > ball.rad()
                ball = smaller
            if stalled and (full or sharp == bits):
                break
            full = full or stalled
        with _precision(bits):
            return (ball.exp() if log else ball), whole

    def branch(self, known: Mapping[Symbol, Any], bits: int) -> Any:
        """The first branch whose condition is shown, those before it being shown not to hold."""
        for case in self.quantity.problem.branches:
            holds = self.holds(case.condition, known, bits)
            if holds is None:
                raise _Obstacle(f"balls do not decide the condition of the branch {case.name!r}")
            if holds:
                if case.value is None:
                    raise _Obstacle(case.reason or "there is no value")
                return case
        raise _Obstacle("no branch holds")

    def holds(self, condition: Basic, known: Mapping[Symbol, Any], bits: int) -> bool | None:
        """Whether a condition holds, decided by balls; None where they do not."""
        if isinstance(condition, BooleanTrue | BooleanFalse):
            return bool(condition)
        if isinstance(condition, Not):
            inner = self.holds(condition.args[0], known, bits)
            return None if inner is None else not inner
        if isinstance(condition, And | Or):
            parts = [self.holds(c, known, bits) for c in condition.args]
            decisive = isinstance(condition, Or)
            return decisive if decisive in parts else None if None in parts else not decisive
        if not isinstance(condition, Rel):
            return None
        difference = (condition.lhs - condition.rhs).xreplace({s: v for s, v in known.items() if isinstance(v, Basic)})
        if difference == 0:
            return condition.rel_op in ("<=", ">=", "==")
        ball = enclose(difference, known, bits)
        if isinstance(ball, acb) or not ball.is_finite():
            return None
        if ball > 0:
            return condition.rel_op in (">", ">=", "!=")
        if ball < 0:
            return condition.rel_op in ("<", "<=", "!=")
        return None


def krawczyk(
    equations: Sequence[Expr], unknowns: Sequence[Symbol], known: Mapping[Symbol, Any], starts: Sequence[float],
    bits: int, allowed: Callable[[Mapping[Symbol, Any]], bool] = lambda points: True,
) -> tuple[list[Any], list[Any]]:
    """Balls of several unknowns, and the box in which their equations have that one solution and no other.

    With K(X) = c - Y F(c) + (1 - Y F'(X)) (X - c), Y about the inverse of F'(c): K(X) inside X proves exactly one
    solution in X (Krawczyk 1969). Positive unknowns are enclosed by their logarithm, in which `starts` are given too.
    `allowed` says of a box whether all of it may be looked at.
    Raises: _Obstacle where no box was found, as at a multiple root.
    """
    size = len(unknowns)
    slopes = [[e.diff(u) for u in unknowns] for e in equations]

    def at(box: Sequence[Any], prec: int, derivatives: bool) -> Any:
        with _precision(prec):
            points = [b.exp() if u.is_positive else b for u, b in zip(unknowns, box, strict=True)]
        scope = {**known, **dict(zip(unknowns, points, strict=True))}
        wanted = slopes if derivatives else [[e] for e in equations]
        values = [[enclose(e, scope, prec) for e in row] for row in wanted]
        if any(isinstance(v, acb) or not v.is_finite() for row in values for v in row):
            raise _Obstacle("the equations have no finite ball there")
        with _precision(prec):
            if derivatives:
                values = [[v * p if u.is_positive else v for v, u, p in zip(row, unknowns, points, strict=True)]
                          for row in values]
            return arb_mat(values)

    def image(box: Sequence[Any], prec: int) -> list[Any]:
        with _precision(prec):
            center = [b.mid() for b in box]
            inverse = arb_mat([[v.mid() for v in row] for row in at(center, prec, True).table()]).inv()
            inverse = arb_mat([[v.mid() for v in row] for row in inverse.table()])
            one = arb_mat([[int(i == j) for j in range(size)] for i in range(size)])
            rest = arb_mat([[b - c] for b, c in zip(box, center, strict=True)])
            moved = (one - inverse * at(box, prec, True)) * rest - inverse * at(center, prec, False)
            return [c + row[0] for c, row in zip(center, moved.table(), strict=True)]

    for width in _WIDTHS:
        with _precision(_FIRST):
            whole = [arb(s, float(width) * max(1.0, abs(s))) for s in starts]
        try:
            box = image(whole, _FIRST)
            with _precision(_FIRST):
                points = [b.exp() if u.is_positive else b for u, b in zip(unknowns, whole, strict=True)]
            inside = allowed({**known, **dict(zip(unknowns, points, strict=True))})
        except (_Obstacle, NotEnclosed, ValueError, ZeroDivisionError):
            continue
        if inside and all(w.contains_interior(b) for w, b in zip(whole, box, strict=True)):
            break
    else:
        names = ", ".join(u.name for u in unknowns)
        raise _Obstacle(f"no box about {names} was found in which their equations have one solution: a multiple root, "
                        "or one too close to another, cannot be certified")
    for _ in range(_ROUNDS):
        with _precision(bits):
            smaller = [b.intersection(k) for b, k in zip(box, image(box, bits), strict=True)]
            stalled = all(k.rad() * 2 > b.rad() for b, k in zip(box, smaller, strict=True))
            box = smaller
            if stalled:
                break
    with _precision(bits):
        return [b.exp() if u.is_positive else b for u, b in zip(unknowns, box, strict=True)], whole


class _precision:
    """python-flint's working precision, in bits, for a block."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def __enter__(self) -> None:
        self.before, ctx.prec = ctx.prec, self.bits

    def __exit__(self, *error: object) -> None:
        ctx.prec = self.before


def _roots(stage: Stage) -> tuple[Stage, ...]:
    """The stages inside one; _Obstacle where one of them is a saddle point."""
    for inner in stage.inner:
        if isinstance(inner, SaddleStage):
            raise _Obstacle(f"{inner.value.name} is a saddle point of averages, which are not enclosed here")
    return tuple(k for k in stage.inner if isinstance(k, Stage))


def _ball(e: Expr, known: Mapping[Symbol, Any], bits: int) -> Any:
    if e.is_Rational:
        with _precision(bits):
            return arb(fmpq(int(e.p), int(e.q)))
    return enclose(e, known, bits)


def _digits(ball: Any) -> int:
    """How many decimal digits of a ball are proven."""
    return max(0, int(ball.rel_accuracy_bits() / 3.3219280948873626) - 1)


def _shown(ball: Any, digits: int) -> str:
    return str(ball.str(digits, radius=False))


def _decimal(x: Any, digits: int, side: int) -> str:
    """An end in decimals, moved by some units of its last digit: down where side is -1, up where it is 1."""
    with _precision(int(digits * 3.33) + 64):
        return str((x + side * abs(x) * arb(10) ** (2 - digits)).str(digits, radius=False))
