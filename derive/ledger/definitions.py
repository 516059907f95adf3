"""Mutated definitions: inputs that no derivation can refute, and the independent numbers that can.

A definition is an input; a derivation from a wrong one is right.  What catches it is a number from elsewhere: with the
definitions put into the conditions that fix a quantity, these hold at a known value and fail when one definition is
replaced by a wrong one.  A condition that was needed to find the value of an intermediate symbol is no witness: the
symbol would only take another value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import isfinite
from typing import Any

from flint import arb
from sympy import Basic, Dummy, Eq, Expr, Integer, Interval, Rational, Symbol, oo, solve
from sympy.core.function import AppliedUndef

from derive.core import Domain, Step, Verdict
from derive.ledger.asking import same_claim
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.derivation import Derivation
from derive.ledger.ladder import prove_identity
from derive.ledger.mutants import drawn_mutants
from derive.ledger.premises import closed_forms
from derive.ledger.rewriting import carried_out, replace_function
from derive.ledger.roots import root_ball
from derive.ledger.rules_algebra import substitutions
from derive.nodes.extremum import Extremum
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["DefinitionTrial", "Numbers", "definition_trials"]

_FAR = 50  # a mutated condition must miss zero by so many times what the right one does, and its error
_SECONDS = 6.0
_EXTREMUM = 1.0
_ROUGH = 0.01  # what the best of many places is good for
_FAILURES = (
    NotEnclosed, TimedOut, ArithmeticError, LookupError, NotImplementedError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Numbers:
    """A known value: symbols with their values, the relative error, the equation of the result, and the source.

    `result` is the equation that was derived for the value; it may only be used to find intermediate symbols.
    `functions` are known values of functions at that point, name -> (value, slope): a condition on a function that a
    definition of the derivation defines, and what stands for one that none does.
    """

    values: Mapping[Symbol, Rational]
    value_symbol: Symbol | None
    error: float
    result: Eq | None
    kind: str
    source: str
    functions: Mapping[str, tuple[Expr, Expr]] = field(default_factory=dict)


@dataclass(frozen=True)
class DefinitionTrial:
    """A mutated definition: where it stands, the wrong claim, and what caught it (kind and source; empty: nothing)."""

    derivation: str
    label: str
    operator: str
    claim: str
    kind: str
    found: str

    @property
    def caught(self) -> bool:
        """Whether an independent witness contradicts it."""
        return bool(self.found)


Bodies = Mapping[Any, tuple[tuple[Symbol, ...], Expr]]


def definition_trials(
    derivation: Derivation, numbers: Sequence[Numbers], *, seed: int = 0, per_step: int = 6
) -> list[DefinitionTrial]:
    """Mutate each definition of a derivation and ask the known numbers.

    Args: numbers (known values of the quantity derived), seed, per_step (mutants of one definition, at most).
    Returns: one trial a mutant; mutants that say the same are not among them, nor are errors below all digits.
    """
    definitions = [s for s in derivation.definitions if isinstance(s.claim, Eq)]
    worlds = [w for known in numbers for w in _worlds(derivation, definitions, known)]
    trials = []
    for step in definitions:
        for operator, claim in drawn_mutants(step, seed, per_step):
            if not isinstance(claim, Eq) or _tiny(claim):
                continue
            kind, found = "", ""
            for world in worlds:
                try:
                    seen = timebox(_SECONDS, world.contradicts, step, claim)
                except _FAILURES:
                    continue
                if seen is not None:
                    kind, found = world.known.kind, f"{seen}: {world.known.source}"
                    break
            if not found and (_same(derivation, step, claim) or _same_by_others(definitions, step, claim)):
                continue
            trials.append(DefinitionTrial(derivation.name, step.label, operator, str(claim), kind, found))
    return trials


def _same(derivation: Derivation, step: Step, claim: Eq) -> bool:
    """Whether a mutant says the same as the definition: a factor that does not vanish, or the same function."""
    right, wrong = _body(step.claim), _body(claim) if isinstance(step.claim, Eq) else None
    if right is not None and wrong is not None and right[0] == wrong[0]:
        (names, first), (others, second) = right[1], wrong[1]
        second = second.xreplace(dict(zip(others, names, strict=True)))
        return prove_identity(first, second, step.domain, seconds=2.0).verdict is Verdict.PROVED
    return right is None and same_claim(derivation, step.label, claim, seconds=4.0) is not None


def _same_by_others(definitions: Sequence[Step], step: Step, claim: Eq) -> bool:
    """Whether a mutant says the same once the other definitions are put into it, as that a function is even."""
    assert isinstance(step.claim, Eq)
    others = [_body(s.claim) for s in definitions if s is not step and isinstance(s.claim, Eq)]
    bodies = {body[0]: body[1] for body in others if body is not None}
    own, mine = _body(step.claim), _body(claim)
    if own is not None and (mine is None or mine[0] != own[0]):  # it may be what the definition says at some arguments
        if claim.lhs.func != own[0]:
            return False
        bodies[own[0]] = own[1]
        own = None
    if own is not None and mine is not None:
        (names, first), (again, second) = own[1], mine[1]
        sides: list[Expr] = [first, second.xreplace(dict(zip(again, names, strict=True)))]
        room = Domain(tuple((s, Interval.open(0, oo)) for s in names if s.is_positive))
        signs: tuple[int, ...] = (1,)
        domain = step.domain | room
    else:
        sides, signs, domain = [c.lhs - c.rhs for c in (step.claim, claim)], (1, -1), step.domain
    try:
        left, right = (timebox(_SECONDS, lambda e=e: carried_out(_put(e, bodies))) for e in sides)
    except _FAILURES:
        return False
    return any(prove_identity(left, sign * right, domain, seconds=2.0).verdict is Verdict.PROVED for sign in signs)


def _tiny(claim: Basic) -> bool:
    """An error in the twelfth digit, which no number with fewer can see."""
    return any(r.is_Rational and r.q >= 10**11 for r in claim.atoms(Rational))


# ---- one way of reading the definitions


@dataclass
class _World:
    """Which step defines which function, the conditions that are left, and a known value."""

    derivation: Derivation
    bodies: dict[Any, tuple[str, tuple[tuple[Symbol, ...], Expr]]]
    conditions: list[tuple[str, Eq]]
    known: Numbers
    renamed: Mapping[Symbol, Symbol]
    results: Mapping[int, Mapping[Symbol, Any] | None]

    def contradicts(self, step: Step, wrong: Eq) -> str | None:
        """The condition that a mutated definition breaks at the known value, in words."""
        bodies = {f: body for f, (_, body) in self.bodies.items()}
        mutated = dict(bodies)
        own = [f for f, (label, _) in self.bodies.items() if label == step.label]
        changed = None
        if own:
            body = _body(wrong)
            if body is None or body[0] != own[0]:
                changed = None
                mutated.pop(own[0])
            else:
                mutated[own[0]] = body[1]
        else:
            changed = wrong
        for number, (label, condition) in enumerate(self.conditions):
            if own and not any(a.func == own[0] for a in _put(condition, {k: v for k, v in bodies.items()
                                                                        if k != own[0]}).atoms(AppliedUndef)):
                continue
            if not own and label != step.label:
                continue
            other = changed if changed is not None else condition
            values = self._values(number)
            if values is None:
                continue
            right = self._residual(condition, bodies, values)
            miss = self._residual(other, mutated, {**_any_value(step), **values}, coarse=True)
            if right is None or miss is None:
                continue
            bound = self.known.error * _FAR
            if abs(right) < bound and abs(miss) > _FAR * max(abs(right), self.known.error):
                return f"{label} misses by {miss:.2g} (right: {right:.1g})"
        return None

    def _residual(
        self, condition: Eq, bodies: Bodies, values: Mapping[Symbol, Any], coarse: bool = False
    ) -> float | None:
        e = _put(condition.lhs - condition.rhs, bodies)
        e = carried_out(e).xreplace(dict(self.renamed))
        if coarse and e.has(Extremum):
            try:
                found = timebox(_EXTREMUM, _number, e, values)
            except (NotEnclosed, TimedOut):
                found = None
            if found is None:
                found = _number(_over_grids(e, values), values)
                return found if found is not None and abs(found) > _ROUGH else None
            return found
        return _number(e, values)

    def _values(self, number: int) -> Mapping[Symbol, Any] | None:
        """Values of all symbols, found without one of the conditions; None where one cannot be."""
        if number not in self.results:
            try:
                found = timebox(_SECONDS, self._solved, number)
            except _FAILURES:
                found = None
            self.results = {**self.results, number: found}
        return self.results[number]

    def _solved(self, number: int) -> Mapping[Symbol, Any] | None:
        bodies = {f: body for f, (_, body) in self.bodies.items()}
        label, condition = self.conditions[number]
        goal = _put(condition.lhs - condition.rhs, bodies).xreplace(dict(self.renamed))
        result = [] if self.known.result is None else [self.known.result]
        others = [*result, *(c for k, (name, c) in enumerate(self.conditions) if name != label)]
        equations = [carried_out(_put(c.lhs - c.rhs, bodies)).xreplace(dict(self.renamed)) for c in others]
        equations = [e for e in equations if not e.atoms(AppliedUndef)]
        domain = next((s.domain for s in self.derivation if s.label == label), Domain())
        values: dict[Symbol, Any] = dict(self.known.values)
        for _ in range(6):
            missing = _symbols(goal) - set(values)
            if not missing:
                return values
            if self.known.result is None:  # these numbers are all that is known
                return None
            for e in equations:
                unknown = _symbols(e) - set(values)
                if len(unknown) == 1:
                    (x,) = unknown
                    known = {k: values[k] for k in _symbols(e) & set(values)}
                    root = root_ball(closed_forms(e, domain), x, known, domain)
                    if root is not None:
                        values[x] = root.mid()
                        break
            else:  # a symbol that nothing fixes may have any value
                free = sorted(missing - {s for e in equations for s in _symbols(e)}, key=str)
                values.update({s: Integer(3) for s in free})
                if not free:
                    return None
        return None


def _any_value(step: Step) -> dict[Symbol, Rational]:
    """Values for the arguments of the function that a step defines, for all of which it speaks."""
    assert isinstance(step.claim, Eq)
    return {s: Rational(3) for a in step.claim.lhs.atoms(AppliedUndef) for s in _symbols(a)}


def _over_grids(e: Expr, values: Mapping[Symbol, Any]) -> Expr:
    """Extrema that are not taken anywhere, or are infinite, by the best of many places: how far they miss is enough."""
    for node in sorted(e.atoms(Extremum), key=str):
        if node.kind == "extr" or _symbols(node) - set(values):
            continue
        (x,), (body,) = node.open()
        low, high = (end if end.is_infinite else _rational(end, values)
                     for end in (node.interval.start, node.interval.end))
        if low is None or high is None or low.is_infinite:
            continue
        steps = [Rational(2) ** k for k in range(-60, 61)]
        places = [low + (s if high.is_infinite else (high - low) * s / (1 + s)) for s in steps]
        known = {s: values[s] for s in _symbols(body) & set(values)}
        finite = [h for place in places if (h := _rational(body, {**known, x: place})) is not None]
        if finite:
            e = e.xreplace({node: (max if node.kind == "max" else min)(finite)})
    return e


def _symbols(e: Basic) -> set[Symbol]:
    return {s for s in e.free_symbols if isinstance(s, Symbol)}


def _number(e: Expr, values: Mapping[Symbol, Any]) -> float | None:
    """The value of an expression at a point; infinity where it is not real."""
    missing = _symbols(e) - set(values)
    if missing or e.atoms(AppliedUndef):
        return None
    positive = Domain(tuple((s, Interval.open(0, oo)) for s in _symbols(e) if s.is_positive))
    form = closed_forms(e, positive)
    value = enclose(form, {s: values[s] for s in _symbols(form)}, 100, goal=45, evaluations=6000)
    if not value.is_finite():
        return None
    return float(value.mid()) if isinstance(value, arb) else float("inf")


def _rational(e: Expr, values: Mapping[Symbol, Any]) -> Rational | None:
    """The value of an expression at a point as a double; None where it has none that is finite."""
    value = _number(e, values)
    return None if value is None or not isfinite(value) else Rational(value)


def _put(e: Basic, bodies: Bodies) -> Any:
    """Functions replaced by what defines them, again and again; derivatives are performed."""
    for _ in range(6):
        functions = {a.func for a in e.atoms(AppliedUndef)} & set(bodies)
        if not functions:
            break
        for f in sorted(functions, key=str):
            e = replace_function(e, f, *bodies[f])
    return carried_out(e)


def _body(claim: Eq) -> tuple[Any, tuple[tuple[Symbol, ...], Expr]] | None:
    """The function that a claim k F(g(x), ...) = rhs defines, its arguments and its body."""
    factor, lhs = claim.lhs.as_independent(AppliedUndef) if claim.lhs.is_Mul else (Integer(1), claim.lhs)
    rhs = claim.rhs / factor
    if not isinstance(lhs, AppliedUndef) or any(a.func == lhs.func for a in rhs.atoms(AppliedUndef)):
        return None
    arguments: list[Symbol] = []
    inverse: dict[Symbol, Expr] = {}
    for number, at in enumerate(lhs.args):
        if len(at.free_symbols) != 1 or at.free_symbols & set(inverse):
            return None
        (t,) = at.free_symbols
        x = Dummy(f"x{number}", **{k: v for k, v in t.assumptions0.items() if k in ("real", "positive")})
        turned = at.could_extract_minus_sign() and bool(t.is_positive)  # a function of what is positive, continued
        found = [x] if at == t else solve((-at if turned else at) - x, t)
        if len(found) != 1:
            return None
        arguments.append(x)
        inverse[t] = found[0].subs(x, -x) if turned else found[0]
    return lhs.func, (tuple(arguments), rhs.subs(inverse, simultaneous=True))


def _worlds(derivation: Derivation, definitions: Sequence[Step], known: Numbers) -> Iterator[_World]:
    """Each way of choosing one definition a function, where there are several."""
    choices: dict[Any, list[tuple[str, tuple[tuple[Symbol, ...], Expr]]]] = {}
    for step in definitions:
        assert isinstance(step.claim, Eq)
        body = _body(step.claim)
        if body is not None:
            choices.setdefault(body[0], []).append((step.label, body[1]))
    functions = sorted(choices, key=str)
    renamed = _renaming(derivation, known)
    free = {s for step in definitions if isinstance(step.claim, Basic) for s in _symbols(step.claim)}
    for picked in list(product(*(choices[f] for f in functions)))[:8]:
        bodies = dict(zip(functions, picked, strict=True))
        taken = {label for label, _ in picked}
        conditions = [(s.label, form) for s in definitions if s.label not in taken
                      for form in _forms(derivation, s, known)]
        for f, at in _known_functions(definitions, known):
            value, slope = known.functions[f.__name__]
            if f in bodies:
                conditions.append((f"the known value of {f.__name__}", Eq(f(*at), value, evaluate=False)))
            elif len(at) == 1 and (at[0] in known.values or at[0] not in free):
                x = Dummy("x", real=True)  # of what is averaged over, the value at zero is known
                bodies[f] = ("", ((x,), value + slope * (x - known.values.get(at[0], 0))))
        yield _World(derivation, bodies, conditions, known, renamed, {})


def _known_functions(definitions: Sequence[Step], known: Numbers) -> Iterator[tuple[Any, tuple[Expr, ...]]]:
    """The functions of which a value is known, with what they are applied to in the definitions."""
    seen = set()
    claims = [s.claim for s in definitions if isinstance(s.claim, Basic)]
    applied = sorted({a for claim in claims for a in claim.atoms(AppliedUndef)},
                     key=lambda a: (not all(x.is_Symbol for x in a.args), str(a)))
    for a in applied:
        if a.func.__name__ in known.functions and a.func not in seen:
            seen.add(a.func)
            yield a.func, a.args


def _renaming(derivation: Derivation, known: Numbers) -> Mapping[Symbol, Symbol]:
    """The symbol under which a derivation speaks of the value, where it is another one than the result's."""
    if known.result is None or known.value_symbol is None:
        return {}
    wanted = _symbols(known.result)
    for step in reversed(derivation.steps):
        if isinstance(step.claim, Eq):
            own = _symbols(step.claim)
            if len(own - wanted) == 1 and len(wanted - own) == 1:
                (x,), (v,) = own - wanted, wanted - own
                if v == known.value_symbol and step.claim.xreplace({x: v}) in (known.result, known.result.reversed):
                    return {x: v}
    everywhere = {s for step in derivation if isinstance(step.claim, Basic) for s in _symbols(step.claim)}
    if known.value_symbol not in everywhere:
        for step in reversed(derivation.steps):
            if isinstance(step.claim, Eq) and step.claim.lhs.is_Symbol and step.claim.lhs not in known.values:
                return {step.claim.lhs: known.value_symbol}
    return {}


def _forms(derivation: Derivation, step: Step, known: Numbers) -> Iterator[Eq]:
    """A condition as it stands, at the values that later steps substitute, and with the names of its premises."""
    claim = step.claim
    assert isinstance(claim, Eq)
    forms = [claim]
    for name in step.premises:
        premise = derivation[name].claim
        if isinstance(premise, Eq) and isinstance(premise.lhs, AppliedUndef):
            named = _named(claim, premise)
            if named is not None:
                forms.append(named)
    for form in tuple(forms):
        for later in derivation:
            if later.rule == "substitute" and step.label in derivation.ancestors(later.label):
                pairs = substitutions(later, derivation[later.premises[0]])
                values = {s: v for s, v in pairs if isinstance(s, Symbol) and s in form.free_symbols}
                if values:
                    put = [side.subs(values, simultaneous=True) for side in form.args]
                    forms.append(Eq(*put, evaluate=False))
    for f in claim.atoms(AppliedUndef):
        if known.value_symbol is not None and f.func.__name__ == known.value_symbol.name:
            forms.append(Eq(f, known.value_symbol, evaluate=False))
    yield from dict.fromkeys(forms)


def _named(claim: Eq, premise: Eq) -> Eq | None:
    """The condition with the right side of a premise, at other arguments, replaced by its name."""
    lhs, rhs = premise.lhs, premise.rhs
    places = sorted((s for s in _symbols(claim) if len(lhs.args) == 1), key=str)
    for symbol in places:
        at = dict(zip(lhs.args, (symbol,), strict=True))
        body = rhs.subs(at)
        name = lhs.subs(at)
        for side in (claim.lhs, claim.rhs):
            if side.has(body) or side == body:
                return Eq(claim.lhs.subs(body, name), claim.rhs.subs(body, name), evaluate=False)
    return None


