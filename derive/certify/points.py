"""Numbers that are proven: a threshold at one point, enclosed by ball arithmetic.

Each unknown is the root of its equation in a bracket, shown to exist and to be the only one there by the interval
Newton method or Krawczyk's operator (derive.ledger.stage_roots). The branch is decided by inequalities between balls,
and the value is the ball that follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from flint import acb, arb, fmpq
from sympy import Basic, Expr, Rational, Symbol, log, oo

from derive.certify.certificate import Certificate, bits_for, check_digits, decimal, proven_digits, within
from derive.certify.conditions import holds
from derive.certify.guesses import in_doubles, unproven
from derive.core import Problem, SaddleStage, Stage, Verdict
from derive.ledger.balls import NotEnclosed, enclose, precision
from derive.ledger.krawczyk import NoBox
from derive.ledger.saddle_roots import SaddleRoots, saddle_chain
from derive.ledger.site_balls import DOUBLES
from derive.ledger.stage_roots import FIRST, Obstacle, Undecided, krawczyk, newton, sign_change, within_ends
from derive.nodes.averages import Average
from derive.nodes.laws import Atoms, Law, Noisy

if TYPE_CHECKING:
    from derive.quantity import Quantity

__all__ = ["average_depth", "certify"]

_FIRST_DIGITS, _LADDER = 10, (14, 22, 30)
"""Digits that are proven one after the other where each takes long: those that doubles can show come first."""
_SADDLE, _TRIES = 3, 4
_FOR_DOUBLES = 1.0
"""The share of the time that the solver in doubles has for first guesses of saddle points, beyond that of the proof."""
_AT_FIRST = 2.0
"""Seconds in which it has to give those of roots; balls find them too."""


def average_depth(problem: Problem) -> int:
    """How many integrals stand inside one another in what a certificate of this problem encloses.

    None where all is in closed form or a finite sum, 1 where averages are one-dimensional; an average over two Gaussian
    variables counts as two.  A saddle point rests on three.

    >>> from derive import atlas
    >>> average_depth(atlas["collapse-time"].problem)
    0
    """
    from derive.solvers.numpy_target import all_stages

    depths = [0]
    for stage in all_stages(problem.stages):
        depths.append(_SADDLE if isinstance(stage, SaddleStage) else _depth(stage.residual))
    for branch in problem.branches:
        depths += [_depth(e) for e in (branch.condition, branch.value) if e is not None]
    return max(depths)


def _depth(e: Basic) -> int:
    own = len(e.bound_symbols) if isinstance(e, Average) else 0
    for law in (a for a in e.args if isinstance(a, Law)):
        own -= isinstance(law, Atoms)
        if isinstance(law, Noisy):
            own += not isinstance(law.base, Atoms)
    return own + max((_depth(a) for a in e.args if not isinstance(a, Law)), default=0)


def certify(quantity: Quantity, digits: int = 30, *, seconds: float = 60.0, **parameters: Any) -> Certificate:
    """Enclose a quantity at one point, with a proof.

    Args:
        quantity: of the atlas, or one's own.
        digits: how many are wanted.
        seconds: the time after which the proof stops; as much again, at most, for the first guesses of saddle points,
            and for the digits that are shown without a proof.
        parameters: each a number or exact text ("1/500"); a float is the double it is.
    Returns: a Certificate. Where the proof fails its verdict is CORROBORATED and `obstacle` says what is missing; the
        digits are then those of the mpmath route, or those of doubles where it takes too long as well.
    Raises: DeriveError for digits out of range and for parameters that are missing, unknown or out of domain.

    >>> from derive import atlas
    >>> found = certify(atlas["collapse-time"], 20, alpha="1/2", alpha_D="1/2")
    >>> found.verdict.name, found.value
    ('CERTIFIED', '0.24379198010997848168')
    """
    from derive.solvers.mp_runtime import read_exact
    from derive.solvers.mp_target import parameter_rows
    from derive.solvers.numpy_target import all_stages, names_of

    check_digits(digits)
    problem = quantity.problem
    exact = read_exact(parameter_rows(problem, names_of(problem)), parameters)
    saddles = any(isinstance(k, SaddleStage) for k in all_stages(problem.stages))
    work = _Work(quantity, exact, digits)
    guesses, doubles = in_doubles(quantity, exact, seconds * _FOR_DOUBLES if saddles else min(seconds, _AT_FIRST))
    work.searched = doubles is None
    proven, obstacle = within(seconds, work.over_saddles if saddles else work.run, guesses)
    if proven is not None:
        return proven
    if work.best is not None:
        return replace(work.best, obstacle=f"{work.best.digits} of {digits} digits: {obstacle}")
    found = unproven(quantity, exact, None if saddles else digits, seconds, doubles)
    if found is None:
        return Certificate(Verdict.UNDECIDED, "nan", "nan", 0, "", "", "none", "not proven", "not proven", {},
                           f"{obstacle}; without a proof no digits came in {seconds:g} s either")
    if not bool(found.converged):
        why = str(found.reason[()])
        why = obstacle if why in obstacle else why if obstacle in why else f"{why}; {obstacle}"
        return Certificate(Verdict.UNDECIDED, "nan", "nan", 0, "", "", str(found.branch[()]), "not proven",
                           "not proven", {}, why)
    return Certificate(Verdict.CORROBORATED, str(found.value[()]), str(found.log_value[()]), 0, "", "",
                       str(found.branch[()]), "not proven", "not proven", {}, obstacle)


@dataclass
class _Work:
    quantity: Quantity
    exact: Mapping[str, Fraction]
    digits: int

    searched: bool = False
    """Whether balls have to look for the first guesses, as no solver found any."""
    joint: bool = False
    """Whether some unknowns are solved together."""
    best: Certificate | None = None
    roots: dict[Symbol, SaddleRoots] = field(default_factory=dict)
    guesses: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def names(self) -> dict[Symbol, str]:
        """The identifiers of all unknowns and parameters."""
        from derive.solvers.numpy_target import names_of

        return names_of(self.quantity.problem)

    def run(self, guesses: Mapping[str, float]) -> Certificate:
        """The certificate; raises Obstacle or NotEnclosed where something cannot be shown."""
        self.guesses = guesses
        bits = bits_for(self.digits)
        for left in reversed(range(_TRIES)):
            try:
                found = self.attempt(self.digits, bits)
            except Undecided:
                if left == 0:
                    raise
                bits *= 2
                continue
            if found.digits >= self.digits:
                break
            bits += int((self.digits - found.digits) * 3.33) + 64
        return found

    def over_saddles(self, guesses: Mapping[str, float]) -> Certificate:
        """The certificate of what rests on saddle points: more and more digits, the best one kept.

        As many as doubles can show come first.
        """
        self.guesses = guesses
        self.best = self.attempt(min(self.digits, _FIRST_DIGITS), DOUBLES - 8)
        for digits in (*(d for d in _LADDER if d < self.digits), self.digits):
            if self.best.digits >= digits:
                continue
            found = self.attempt(digits, int(digits * 3.33) + 16)
            if found.digits <= self.best.digits:
                break
            self.best = found
        short = self.best.digits < self.digits
        return replace(self.best, obstacle=f"{self.best.digits} of {self.digits} digits" if short else "")

    def attempt(self, digits: int, bits: int) -> Certificate:
        """The certificate with so many bits."""
        problem = self.quantity.problem
        known: dict[Symbol, Any] = {
            p.symbol: Rational(self.exact[self.names[p.symbol]].numerator, self.exact[self.names[p.symbol]].denominator)
            for p in problem.parameters
        }
        brackets: dict[str, tuple[str, str]] = {}
        said: list[str] = []
        asked, missing = self.asked(), dict[Symbol, str]()
        for stage in problem.stages:
            chain = saddle_chain(stage)
            parts: list[Stage | SaddleStage] = [stage] if chain is None else [*chain[0], chain[1]]
            made = {k for part in parts for k in _made_known(part)}
            try:
                if chain is None:
                    assert isinstance(stage, Stage)
                    self.settle(stage, known, self.guesses.get(self.names[stage.unknown]), bits, brackets, said)
                elif asked & made:
                    self.saddle(*chain, known, bits, brackets, said)
            except Obstacle as reason:  # the branch that holds may do without
                missing |= dict.fromkeys(made, str(reason))
            except NotEnclosed as reason:
                missing |= dict.fromkeys(made, f"no enclosure is known: {reason}")
        branch = self.branch(known, bits, missing)
        found = proven_digits(enclose(branch.value, known, bits + 32), digits, problem.positive, bits + 32)
        image = "the image of the box of all brackets" if self.roots else "the image of the bracket"
        existence = f"{image} lies inside it" if brackets else "an explicit formula"
        existence = f"proven: {existence}"
        if said:
            existence += "; " + "; ".join(said)
        if self.roots:
            seen = int(self.guesses.get("branch_count", 1))
            unique = ("proven in the box of all brackets, for all unknowns together: Krawczyk's operator maps it into "
                      f"itself; of the saddle points found ({seen}) this one lies highest, that there is no other is "
                      "not proven")
        elif brackets:
            unique = "proven in the bracket: the derivative does not vanish there"
            if self.joint:
                unique += ("; of unknowns that are solved together, in their box, which Krawczyk's operator maps into "
                           "itself")
        else:
            unique = "an explicit formula"
        return Certificate(Verdict.CERTIFIED, *found, branch.name, existence, unique + self.whole(brackets),
                           dict(brackets), f"{found.digits} of {digits} digits" if found.digits < digits else "")

    def asked(self) -> set[Symbol]:
        """What branches and residuals ask for; not what only a solver's condition of existence does."""
        from derive.solvers.numpy_target import all_stages

        wanted: set[Symbol] = set()
        for stage in all_stages(self.quantity.problem.stages):
            if isinstance(stage, Stage):
                wanted |= stage.residual.free_symbols | stage.lower.free_symbols | stage.upper.free_symbols
                if not _over_saddle(stage):
                    wanted |= stage.exists.free_symbols
        for case in self.quantity.problem.branches:
            wanted |= case.condition.free_symbols | (case.value.free_symbols if case.value is not None else set())
        return wanted

    def saddle(
        self, chain: Sequence[Stage], stage: SaddleStage, known: dict[Symbol, Any], bits: int,
        brackets: dict[str, tuple[str, str]], said: list[str],
    ) -> None:
        """Add a saddle and the unknowns above it to what is known, all enclosed together.

        That a solution is found in a box proves that it exists, whatever conditions of existence a solver asks for.
        """
        fixed, thresholds, starts, ends = dict(known), [], [], []
        for part in chain:
            guess = self.guesses.get(self.names[part.unknown])
            if guess is None:
                why = "none came in time" if self.searched else part.absent or "no root was found"
                raise Obstacle(f"there is no first guess for {part.unknown.name}: {why}")
            end = self.end_at(part, fixed, guess)
            if end is None:
                thresholds.append((part.unknown, part.residual))
                starts.append(guess)
            else:
                fixed[part.unknown] = end[0]
                ends.append((part, *end))
        found = self.roots.get(stage.value)
        if found is None:
            overlaps = [self.guesses.get(s.name) for s in stage.unknowns]
            if any(k is None for k in overlaps):
                raise Obstacle(f"there is no first guess for the saddle point {stage.value.name}")
            found = self.enclosed(stage, thresholds, fixed, [k for k in overlaps if k is not None], starts)
            self.roots[stage.value] = found
        found.refine(bits)
        known |= fixed | found.known(bits)
        for part, end_value, side in ends:
            at = enclose(part.residual, known, bits)
            if isinstance(at, acb) or not part.direction * side * at < 0:
                raise Obstacle(f"balls do not decide whether {part.unknown.name} stays at the end of its interval")
            said.append(f"{part.unknown.name} = {end_value}: the residual, monotone by the ledger, keeps its sign up "
                        "to that end")
        with precision(64):
            for name, bracket in found.brackets.items():
                brackets[name] = decimal(bracket.lower(), 15, 1), decimal(bracket.upper(), 15, -1)

    def enclosed(
        self, stage: SaddleStage, thresholds: Sequence[tuple[Symbol, Expr]], known: Mapping[Symbol, Any],
        overlaps: Sequence[float], starts: Sequence[float],
    ) -> SaddleRoots:
        """The solution in a box; Obstacle where there is none to be found."""
        from derive.solvers.saddle_target import is_even, require_structure

        require_structure(stage)
        try:
            return SaddleRoots(stage, thresholds, known, overlaps, starts, is_even(stage))
        except NoBox as reason:
            names = ", ".join(s.name for s in (*stage.unknowns, *(x for x, _ in thresholds)))
            remark = ": a multiple root, or one too close to another, cannot be certified" if reason.multiple else ""
            raise Obstacle(
                f"no box about {names} was found in which their equations are shown to have one solution "
                f"({reason}){remark}") from None

    def end_at(self, stage: Stage, known: Mapping[Symbol, Any], guess: float) -> tuple[Expr, int] | None:
        """The end of a stage's interval at which the solver found its unknown, and the side."""
        if not stage.clip:
            return None
        exact = {k: v for k, v in known.items() if isinstance(v, Basic)}
        for end, side in ((stage.upper, 1), (stage.lower, -1)):
            place = end.xreplace(exact)
            if not place.is_number or place.is_infinite:
                continue
            there = float(log(place)) if stage.unknown.is_positive and place > 0 else float(place)
            if stage.unknown.is_positive and not place > 0:
                if guess == -inf:
                    return place, side
            elif abs(there - guess) <= 1e-13 * max(1.0, abs(there)):
                return place, side
        return None

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
        if holds(stage.exists, known, bits) is not True:
            raise Obstacle(f"{name} has no value: {stage.absent or 'its condition of existence is not shown'}")
        if stage.clip:
            for end, side in ((stage.upper, 1), (stage.lower, -1)):
                if end in (oo, -oo) or _away(end, stage.unknown, guess, known):
                    continue
                there = {**known, stage.unknown: _ball(end, known, bits)}
                try:
                    for inner in _roots(stage):
                        self.settle(inner, there, sign_change(inner, there), bits, {}, [])
                except (Obstacle, NotEnclosed, ValueError, ZeroDivisionError):
                    continue  # the end is not shown to be the answer; a root has to be
                at = enclose(stage.residual, there, bits)
                if not isinstance(at, acb) and stage.direction * side * at < 0:
                    known[stage.unknown] = end.xreplace({s: v for s, v in known.items() if isinstance(v, Basic)})
                    said.append(f"{name} = {end}: the residual, monotone by the ledger, keeps its sign up to that end")
                    return
        if guess is None and self.searched:
            guess = sign_change(stage, known)
        if guess is None:
            raise Obstacle(f"there is no first guess for {name}")
        try:
            if stage.inner:
                self.joint = True
                found = self.together(stage, known, guess, bits)
            else:
                found = [(stage.unknown, *newton(stage.residual, stage.unknown, known, guess, bits))]
        except Obstacle:
            for end in (stage.upper, stage.lower) if stage.clip and not stage.inner else ():
                if end not in (oo, -oo):
                    at = enclose(stage.residual, {**known, stage.unknown: _ball(end, known, bits)}, bits)
                    if isinstance(at, arb) and at.is_finite() and at.contains(0):
                        raise Undecided(f"balls do not decide whether {name} stays at the end {end} of its interval"
                                        ) from None
            raise
        known[stage.unknown] = within_ends(stage, known, found[0][1], bits)
        with precision(64):
            for unknown, _, bracket in found:
                ends = decimal(bracket.lower(), 15, 1), decimal(bracket.upper(), 15, -1)  # inward: unique there too
                brackets[f"log {unknown.name}" if unknown.is_positive else unknown.name] = ends

    def together(
        self, stage: Stage, known: dict[Symbol, Any], guess: float, bits: int
    ) -> list[tuple[Symbol, Any, Any]]:
        """A stage and those inside it as one system of equations, by Krawczyk's operator: unknown, ball, bracket.

        A stage inside that stays at an end of its interval is that end; its sign is shown on the whole bracket.
        """
        x = stage.unknown
        with precision(FIRST):
            at = arb(guess).exp() if x.is_positive else arb(guess)
        there = {**known, x: at}
        unknowns, equations, starts = [x], [stage.residual], [guess]
        ends: list[tuple[Stage, Any]] = []
        for inner in _roots(stage):
            if inner.inner:
                raise Obstacle(f"{inner.unknown.name} rests on unknowns that rest on others")
            said: list[str] = []
            start = self.guesses.get(self.names[inner.unknown])
            if start is None:
                start = sign_change(inner, there)
            self.settle(inner, there, start, FIRST, {}, said)
            if said:
                ends.append((inner, there[inner.unknown]))
                continue
            assert start is not None  # it was settled from there
            unknowns.append(inner.unknown)
            equations.append(inner.residual)
            starts.append(start)
        fixed = {**known, **{inner.unknown: end for inner, end in ends}}

        def stays(points: Mapping[Symbol, Any]) -> bool:
            signs = [(enclose(i.residual, points, FIRST), i.direction * (1 if i.upper.xreplace(exact) == end else -1))
                     for i, end in ends]
            return all(not isinstance(sign, acb) and direction * sign < 0 for sign, direction in signs)

        exact = {k: v for k, v in known.items() if isinstance(v, Basic)}
        balls, brackets = krawczyk(equations, unknowns, fixed, starts, bits, stays)
        points = {**fixed, **dict(zip(unknowns, balls, strict=True))}
        for inner in _roots(stage):
            if inner.unknown in unknowns:
                within_ends(replace(inner, clip=False), points, points[inner.unknown], bits)
        return list(zip(unknowns, balls, brackets, strict=True))

    def branch(self, known: Mapping[Symbol, Any], bits: int, missing: Mapping[Symbol, str]) -> Any:
        """The first branch whose condition is shown, those before it being shown not to hold.

        Raises: Obstacle where none is, and where it asks for an unknown that is missing, for the reason given; all
            branches ask for the unknowns that none mentions.
        """
        from derive.solvers.numpy_target import always_needed

        always = always_needed(self.quantity.problem)
        for case in self.quantity.problem.branches:
            _refuse(case.condition.free_symbols, missing)
            true = holds(case.condition, known, bits)
            if true is None:
                raise Undecided(f"balls do not decide the condition of the branch {case.name!r}")
            if true:
                if case.value is None:
                    raise Obstacle(case.reason or "there is no value")
                _refuse(case.value.free_symbols | always, missing)
                return case
        raise Obstacle("no branch holds")


def _refuse(needed: Set[Symbol], missing: Mapping[Symbol, str]) -> None:
    """Raises: Obstacle where an unknown that is needed is missing."""
    for unknown in sorted(needed & missing.keys(), key=str):
        raise Obstacle(missing[unknown])


def _away(end: Expr, unknown: Symbol, guess: float | None, known: Mapping[Symbol, Any]) -> bool:
    """Whether an unknown was found away from an end of its interval, so that nothing is to be shown there."""
    if guess is None or not isfinite(guess):
        return False
    ball = _ball(end, known, 64)
    if unknown.is_positive and not ball > 0:
        return True
    with precision(64):
        return bool(abs((ball.log() if unknown.is_positive else ball) - guess) > 1e-6 * (1 + abs(guess)))


def _roots(stage: Stage) -> tuple[Stage, ...]:
    """The stages inside one that is above no saddle point."""
    return tuple(k for k in stage.inner if isinstance(k, Stage))


def _over_saddle(stage: Stage | SaddleStage) -> bool:
    return isinstance(stage, SaddleStage) or any(map(_over_saddle, stage.inner))


def _made_known(stage: Stage | SaddleStage) -> tuple[Symbol, ...]:
    return stage.names if isinstance(stage, SaddleStage) else (stage.unknown,)


def _ball(e: Expr, known: Mapping[Symbol, Any], bits: int) -> Any:
    if e.is_Rational:
        with precision(bits):
            return arb(fmpq(int(e.p), int(e.q)))
    return enclose(e, known, bits)
