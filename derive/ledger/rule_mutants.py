"""Rules that are wrong on purpose, and what catches each without using it.

A check must never be its own witness.  So every rule is mutated too: one function that it stands on is replaced by a
wrong one, and a claim that the wrong rule accepts is laid before a witness that uses neither the rule nor what was
replaced: balls (integration and arithmetic with proven bounds), another route, a difference quotient, a known number.
For a rule that has no mutant of its own here, and for every rule besides, there is the mutant that believes whatever it
is told: false claims made from the steps of real derivations are then caught by counter-examples that use no rule.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from flint import arb
from sympy import (
    Abs,
    Add,
    Basic,
    Derivative,
    Determinant,
    Eq,
    Expr,
    Function,
    Ge,
    Gt,
    ImmutableMatrix,
    Integer,
    Interval,
    Mul,
    Rational,
    S,
    Symbol,
    cos,
    exp,
    log,
    oo,
    sin,
    sqrt,
    tanh,
)
from sympy.core.cache import clear_cache

from derive.core import Domain, Evidence, Step, UniqueRoot, Verdict
from derive.ledger.balls import enclose
from derive.ledger.counterexamples import counterexample
from derive.ledger.derivation import Derivation, check_step
from derive.ledger.domain import points, seed_of
from derive.ledger.ladder import Contradiction
from derive.ledger.premises import forget
from derive.ledger.roots import ball_of
from derive.ledger.rules import RULES, Rule
from derive.ledger.rungs import Proof
from derive.ledger.sampling import compare
from derive.nodes.averages import GaussianAverage, LogAverageExp, MeasureAverage, SpectralAverage, TiltedAverage
from derive.nodes.extremum import Extremum
from derive.nodes.laws import Atoms, MarchenkoPastur, Noisy, Normal
from derive.nodes.replica_matrix import OverlapMatrix

__all__ = ["RULE_MUTANTS", "RuleMutant", "RuleTrial", "gullible_trials", "try_rule_mutant", "try_rule_mutants"]

Witness = Callable[[Derivation], str | None]


@dataclass(frozen=True)
class Patch:
    """What is replaced: a name in a module or class ("module:Class"), and the wrong thing made from the right one."""

    where: str
    name: str
    wrong: Callable[[Any], Any]


@dataclass(frozen=True)
class RuleMutant:
    """A rule with one error.

    Attributes: rule; title (the error in words); patches; planted (a derivation whose last step is false, or would be
    accepted by the wrong rule only); witness (its kind, in words); look (finds what is wrong, without the rule).
    """

    rule: str
    title: str
    patches: tuple[Patch, ...]
    planted: Derivation
    witness: str
    look: Witness


@dataclass(frozen=True)
class RuleTrial:
    """What became of a mutated rule.

    Attributes: rule, title, right (what the unmutated rule finds of the planted claim), wrong (what the mutated one
    does), witness (its kind), found (what the witness saw; empty where nothing caught the mutant).
    """

    rule: str
    title: str
    claim: str
    right: str
    wrong: str
    witness: str
    found: str

    @property
    def caught(self) -> bool:
        """Whether the error changed the verdict and the witness saw that it is wrong."""
        return bool(self.found) and self.right != self.wrong

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"rule": self.rule, "mutant": self.title, "claim": self.claim, "verdict": self.right,
                "mutated_verdict": self.wrong, "witness": self.witness, "found": self.found, "caught": self.caught}


# ---- making a rule wrong


@contextmanager
def _patched(patches: Iterable[Patch]) -> Iterator[None]:
    """Within, the named things are the wrong ones; nothing that was computed with others is remembered."""
    before: list[tuple[Any, str, Any]] = []
    try:
        for patch in patches:
            module, _, name = patch.where.partition(":")
            owner = importlib.import_module(module)
            owner = getattr(owner, name) if name else owner
            old = owner.__dict__[patch.name]
            before.append((owner, patch.name, old))
            setattr(owner, patch.name, patch.wrong(old))
        _forget()
        yield
    finally:
        for owner, name, old in reversed(before):
            setattr(owner, name, old)
        _forget()


def _forget() -> None:
    clear_cache()
    forget()


def _function(module: str, name: str, wrong: Callable[[Any], Any]) -> Patch:
    return Patch(f"derive.ledger.{module}", name, wrong)


def _rule(name: str, wrong: Callable[[Rule], Callable[..., Evidence]]) -> Patch:
    """Another function for a rule of the registry."""
    return Patch("derive.ledger.rules", "RULES", lambda rules: MappingProxyType(
        {**rules, name: replace(rules[name], function=wrong(rules[name]))}))


def _believing(*_: Any, **__: Any) -> Evidence:
    """A rule that believes what it is told."""
    return Evidence(Verdict.PROVED, "as you say")


# ---- witnesses


def _by_balls(derivation: Derivation) -> str | None:
    """A point of the domain at which the two sides of the last step differ, as they stand."""
    step = derivation.conclusion
    assert isinstance(step.claim, Eq)
    symbols = {s for s in step.claim.free_symbols if isinstance(s, Symbol)}
    for point in points(symbols, step.domain, seed_of(step.claim), 12, 0.25):
        found = compare(step.claim.lhs, step.claim.rhs, point, coarse=True)
        if found.outcome == "differ":
            return f"lhs - rhs = {found.value} at {_shown(point)}"
    return None


def _by_counterexample(derivation: Derivation) -> str | None:
    """A point that obeys the premises of the last step and not its claim."""
    step = derivation.conclusion
    found = counterexample(step, {name: derivation[name] for name in step.premises})
    return found.detail if found is not None else None


def _at(values: Mapping[Symbol, Any]) -> Witness:
    """At one exact point the first premise holds and the claim does not."""

    def look(derivation: Derivation) -> str | None:
        step = derivation.conclusion
        premise = derivation[step.premises[0]].claim
        residuals = [enclose(c.lhs - c.rhs, values, 128) for c in (premise, step.claim) if isinstance(c, Eq)]
        if len(residuals) == 2 and residuals[0].is_zero() and not residuals[1].contains(0):
            return f"at {_shown(values)} the premise holds and lhs - rhs = {residuals[1].str(8)}"
        return None

    return look


def _zero_at(values: Mapping[Symbol, Any]) -> Witness:
    """What is called positive vanishes at a point."""

    def look(derivation: Derivation) -> str | None:
        claim = derivation.conclusion.claim
        assert isinstance(claim, Gt)
        return f"the difference is 0 at {_shown(values)}" if enclose(claim.lhs - claim.rhs, values).is_zero() else None

    return look


def _exceeded(body: Expr, at: Mapping[Symbol, Any], claimed: Expr) -> Witness:
    """What is called a largest value is exceeded at a point."""

    def look(_: Derivation) -> str | None:
        value, largest = enclose(body, at, 128), enclose(claimed, at, 128)
        if value > largest:
            return f"{value.str(6)} is taken at {_shown(at)}, and the maximum is said to be {largest.str(6)}"
        return None

    return look


def _quotient(f: Expr, x: Symbol, claimed: Expr, low: Expr, high: Expr) -> Witness:
    """By the mean value theorem the slope of f takes the value of its difference quotient, which the claim excludes."""

    def look(_: Derivation) -> str | None:
        a, b = (enclose(f, {x: at}, 200) for at in (low, high))
        slope = (b - a) / enclose(high - low, {}, 200)
        whole = ball_of(claimed, {x: enclose(low, {}, 64).union(enclose(high, {}, 64))})
        if whole is not None and not (slope - whole).contains(0):
            return f"the difference quotient between {low} and {high} is {slope.str(8)}, the claim {whole.str(8)}"
        return None

    return look


def _shown(point: Mapping[Symbol, Any]) -> str:
    return ", ".join(f"{s} = {v}" for s, v in sorted(point.items(), key=lambda kv: str(kv[0]))) or "every point"


def _shared_ground(derivation: Derivation) -> str | None:
    """The steps on which both routes stand, read from the derivation itself."""
    first, second = derivation.conclusion.premises
    common = (derivation.ancestors(first) | {first}) & (derivation.ancestors(second) | {second})
    derived = sorted(k for k in common if derivation[k].rule not in ("definition", "assumption", "theorem"))
    return f"both routes stand on the step {derived[0]}" if derived else None


def _different_ends(derivation: Derivation) -> str | None:
    """A point at which the right sides of two conclusions differ."""
    first, second = (derivation[k].claim for k in derivation.conclusion.premises)
    assert isinstance(first, Eq)
    assert isinstance(second, Eq)
    return _by_balls(_planted(_eq(first.rhs, second.rhs), "identity"))


def _slopes_at_joint(left: Expr, right: Expr, x: Symbol, at: Expr) -> Witness:
    def look(_: Derivation) -> str | None:
        h = Rational(1, 2**40)
        first = (enclose(left, {x: at}, 200) - enclose(left, {x: at - h}, 200)) / enclose(h, {}, 200)
        second = (enclose(right, {x: at + h}, 200) - enclose(right, {x: at}, 200)) / enclose(h, {}, 200)
        if abs(first - second) > arb(2) ** -20:
            return f"difference quotients on the two sides: {first.str(8)} and {second.str(8)}"
        return None

    return look


def _three_replicas(derivation: Derivation) -> str | None:
    """The claim at n = 3, a = 2, s = 1, against the determinant of [[3, 1, 1], [1, 3, 1], [1, 1, 3]]."""
    claim = derivation.conclusion.claim
    assert isinstance(claim, Eq)
    right = enclose(log(ImmutableMatrix([[3, 1, 1], [1, 3, 1], [1, 1, 3]]).det()))
    claimed = enclose(claim.rhs, {_n: 3, _a: 2, _s: 1})
    return f"{right.str(8)} for three replicas, claimed {claimed.str(8)}" if not (right - claimed).contains(0) else None


def _by_quadrature(derivation: Derivation) -> str | None:
    """The two sides of the last step by the trapezoidal rule on a grid, which converges geometrically there."""
    claim = derivation.conclusion.claim
    assert isinstance(claim, Eq)
    found = []
    for side in claim.args:
        (u, v), (body,) = side.open()
        nodes = [Rational(k, 4) for k in range(-32, 33)]
        weights = {x: (-(arb(int(x.p)) / int(x.q)) ** 2 / 2).exp() for x in nodes}
        total = sum((enclose(body, {u: x, v: y}, 64) * weights[x] * weights[y] for x in nodes for y in nodes), arb(0))
        found.append(total / (32 * arb.pi()))
    differ = abs(found[0] - found[1]) > arb("1e-6")
    return f"{found[0].str(8)} and {found[1].str(8)}" if differ else None


def _mass(ratio: Rational) -> Witness:
    """The mass of the bulk, by quadrature of the density between the edges: min(1, ratio) as it is known to be."""

    def look(_: Derivation) -> str | None:
        law, x = MarchenkoPastur(ratio), Symbol("x", positive=True)
        density, low, high = law.density(x), law.lower, law.upper
        total, parts = arb(0), 400
        wide = enclose(high - low, {}, 64)
        for k in range(parts):  # c = low + wide sin^2(u) takes the square roots at the edges away
            u = (arb(k) + arb(1) / 2) * arb.pi() / (2 * parts)
            at = enclose(low, {}, 64) + wide * u.sin() ** 2
            value = ball_of(density, {x: at}, 64)
            if value is None:
                return "the density is not real between the edges"
            total += value * wide * (2 * u).sin() * arb.pi() / (2 * parts)
        known = arb(min(1, float(ratio)))
        return f"the bulk has mass {total.str(6)}, not {known.str(6)}" if abs(total - known) > arb("1e-3") else None

    return look


# ---- the mutants

_x, _y, _z = (Symbol(n, real=True) for n in "xyz")
_w = Symbol("w", real=True)
_a, _s, _l = (Symbol(n, positive=True) for n in "asl")
_FAR = Integer(10) ** 40
_REALS = Domain(((_x, Interval(-oo, oo)), (_y, Interval(-oo, oo))))
_UPPER = Domain(((_x, Interval.open(0, oo)), (_y, Interval.open(0, oo))))
_COIN = Atoms((-1, 1), (S.Half, S.Half))
_f, _rate = Function("f", real=True), Function("I", real=True)


def _planted(claim: Basic, rule: str, *before: Step, domain: Domain = _REALS, hints: Sequence[Any] = ()) -> Derivation:
    last = Step("planted", claim, rule, tuple(s.label for s in before), domain, hints=tuple(hints))
    return Derivation("planted", "A planted error", (*before, last))


def _given(label: str, claim: Basic, domain: Domain = _REALS) -> Step:
    return Step(label, claim, "definition", (), domain)


def _eq(lhs: Any, rhs: Any) -> Eq:
    return Eq(lhs, rhs, evaluate=False)


def _other_direction(rule: Rule) -> Callable[..., Evidence]:
    def wrong(step: Step, premises: Mapping[str, Step]) -> Evidence:
        claim = step.claim
        assert isinstance(claim, UniqueRoot)
        turned = UniqueRoot(claim.residual, claim.unknown, claim.interval, -claim.direction)
        return rule.function(replace(step, claim=turned), premises)

    return wrong


def _values_only(rule: Rule) -> Callable[..., Evidence]:
    return lambda step, premises: rule.function(
        replace(step, hints=tuple((k, 0 if k == "order" else v) for k, v in step.hints)), premises)


def _weakly(old: Callable[..., Evidence]) -> Callable[..., Evidence]:
    def wrong(step: Step, general: Step, pairs: Any, ctx: Any) -> Evidence:
        claim = step.claim
        weak = Ge(claim.lhs, claim.rhs, evaluate=False) if isinstance(claim, Gt) else claim
        return old(replace(step, claim=weak), general, pairs, ctx)

    return wrong


def _last_sign(old: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(*args: Any) -> Iterator[Any]:
        for slope, names in old(*args):
            *rest, last = slope.args if isinstance(slope, Add) else (slope,)
            yield Add(*rest, -last), names

    return wrong


def _only_slopes(old: Callable[..., Evidence]) -> Callable[..., Evidence]:
    def wrong(lhs: Expr, rhs: Expr, *more: Any, **options: Any) -> Evidence:
        at_point = not (lhs.free_symbols | rhs.free_symbols)
        return _believing() if at_point else old(lhs, rhs, *more, **options)

    return wrong


def _without_jacobian(old: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(one: Any, coefficients: Any, x: Symbol) -> Any:
        value, conditions = old(one, coefficients, x)
        return value * sqrt(1 - 2 * one.q2), conditions

    return wrong


def _untilted(old: Any) -> Any:
    def wrong(self: LogAverageExp, symbol: Symbol) -> Expr:
        (x,), (g,) = self.open()
        return MeasureAverage(g.diff(symbol), x, self.law)

    return wrong


def _turned_score(old: Any) -> Any:
    class Wrong(old):  # type: ignore[misc]
        def _score(self, w: Symbol, symbol: Symbol) -> Expr:
            return -super()._score(w, symbol)

    return Wrong


def _field(mean: Expr) -> Expr:
    return LogAverageExp(tanh(mean + sqrt(_s) * _w), _w, Normal())


def _mean(mean: Expr) -> Expr:
    return TiltedAverage(_w, tanh(mean + sqrt(_s) * _w), _w, Normal()) / sqrt(_s)


_n = Symbol("n", positive=True)
_OVERLAPS = OverlapMatrix.symmetric(_n, _a + _s, _s)
_HALF_PARABOLA = _l * _x - _x**2 / 2  # largest at x = l
_CUBIC = Extremum(4 * _x - _x**2, _x, Interval.Lopen(0, 1), "max")  # largest at the end x = 1: 3
_NOISY = Noisy(_COIN, _s)

#: the fixed list; made before anything is tried
RULE_MUTANTS: tuple[RuleMutant, ...] = (
    *(RuleMutant(name, f"the rule {name} proves what it takes for granted", (_rule(name, lambda _: _believing),),
                 _planted(_eq(sin(2 * _x), 2 * sin(_x)), name), "balls", _by_balls)
      for name in ("definition", "assumption", "theorem")),
    RuleMutant("identity", "every normal form is zero",
               tuple(_function(m, "exactly_zero", lambda _: lambda e, d: Proof("normal form"))
                     for m in ("rungs", "premises")),
               _planted(_eq(tanh(_x) ** 2, 1 - exp(-(_x**2))), "identity"), "balls", _by_balls),
    RuleMutant("identity", "the information of the Marchenko-Pastur law without its last term",
               (Patch("derive.nodes.spectral_forms", "shannon", lambda old: lambda b, ratio: old(b, ratio) + b / 2),),
               _planted(_eq(SpectralAverage(log(1 + _a * _y), _y, MarchenkoPastur(Rational(1, 2))), _a / 2
                            + SpectralAverage(log(1 + _a * _y), _y, MarchenkoPastur(Rational(1, 2))).doit()),
                        "identity"),
               "integration in balls over the density", _by_balls),
    RuleMutant("evaluate", "a Gaussian integral without its Jacobian",
               (Patch("derive.nodes.gaussian_forms", "_mean_of", _without_jacobian),),
               _planted(_eq(GaussianAverage(exp(-_a * _y**2), _y), Integer(1)), "evaluate"),
               "integration in balls", _by_balls),
    RuleMutant("evaluate", "the lower edge of the Marchenko-Pastur law at (1 - a)^2",
               (Patch("derive.nodes.laws:MarchenkoPastur", "lower",
                      lambda _: property(lambda law: (1 - sqrt(law.ratio)) ** 2)),
                _rule("evaluate", lambda _: _believing)),
               _planted(_eq(MarchenkoPastur(Rational(3)).lower, (1 - sqrt(3)) ** 2), "evaluate"),
               "the mass of the bulk, a known number", _mass(Rational(3))),
    RuleMutant("differentiate", "the slope of log E exp g without the tilt",
               (Patch("derive.nodes.averages:LogAverageExp", "_body_derivative", _untilted),),
               _planted(_eq(Derivative(LogAverageExp(_a * _y, _y, _COIN), _a), Integer(0)), "differentiate"),
               "difference quotient", _quotient(LogAverageExp(_a * _y, _y, _COIN), _a, Integer(0), S.Half, Integer(1))),
    RuleMutant("substitute", "the range of the value is not looked at",
               (_function("rules_algebra", "_conditions", lambda _: lambda *args: []),),
               _planted(_eq(Abs(-_y), -_y), "substitute", _given("modulus", _eq(Abs(_x), _x), _UPPER),
                        domain=_UPPER, hints=(("symbol", _x), ("value", -_y))),
               "balls", _by_balls),
    RuleMutant("rearrange", "a factor that vanishes is divided out",
               (_function("same_zeros", "_ratio",
                          lambda old: lambda *args: (lambda p: Proof(p.how) if p is not None else None)(old(*args))),
                _function("same_zeros", "_only_one_holds", lambda _: lambda *args: None)),
               _planted(_eq(_x, 1), "rearrange", _given("product", _eq(_x * (_x - 1), 0))), "balls", _at({_x: 0})),
    RuleMutant("solve", "the other branch of a square root is forgotten",
               (_function("uniqueness", "uniqueness", lambda _: lambda *args: "one solution"),),
               _planted(_eq(_x, 2), "solve", _given("square", _eq(_x**2, 4))), "balls", _at({_x: -2})),
    RuleMutant("specialise", "a weak inequality is taken for a strict one",
               (_function("rules_algebra", "_instance", _weakly),),
               _planted(Gt(_y**2 - 2 * _y + 1, 0), "specialise",
                        _given("square", Ge(_x**2 - 2 * _x + 1, 0)), hints=(("symbol", _x), ("value", _y))),
               "balls", _by_counterexample),
    RuleMutant("stationarity", "the sign of the last term of a slope",
               (_function("rules_analysis", "_conditions", _last_sign),),
               _planted(_eq(_l + _y, 0), "stationarity",
                        _given("maximum", _eq(_z, Extremum(_HALF_PARABOLA, _x, Interval(-oo, oo), "max"))),
                        domain=Domain(((_y, Interval(-oo, oo)), (_l, Interval.open(0, oo)))),
                        hints=(("variable", _y),)),
               "balls", _exceeded(_HALF_PARABOLA, {_l: 1, _x: 1}, _HALF_PARABOLA.subs(_x, -_l))),
    RuleMutant("positivity", "zero is taken for positive",
               (_function("rules_analysis", "_proved",
                          lambda old: lambda e, domain, strict=True: old(e, domain, False)),),
               _planted(Gt((_x - _FAR) ** 2, 0, evaluate=False), "positivity"), "balls", _zero_at({_x: _FAR})),
    RuleMutant("monotone-root", "the direction of the crossing is turned around",
               (_rule("monotone-root", _other_direction),),
               _planted(UniqueRoot(_x - 1, _x, Interval.open(0, oo), -1), "monotone-root", domain=_UPPER),
               "signs in balls", _by_counterexample),
    RuleMutant("legendre", "the branch: a minimum is taken for the maximum",
               (_function("rules_analysis", "_inequality", lambda _: lambda *args: _believing()),),
               _planted(_eq(_rate(Derivative(_f(_l), _l)), _l * Derivative(_f(_l), _l) - _f(_l)), "legendre",
                        _given("rate", _eq(_rate(_y), Extremum(_y * _x - _f(_x), _x, Interval(0, 3), "max"))),
                        _given("concave", _eq(_f(_l), -(_l**2)))),
               "balls", _exceeded(-2 * _l * _x + _x**2, {_l: 1, _x: 3}, -(_l**2))),
    RuleMutant("stein", "the sign of the integration by parts",
               (_function("rules_analysis", "by_parts", lambda old: lambda node, k: -old(node, k)),
                _function("rules_analysis", "prove_identity", lambda old: lambda lhs, rhs, *more, **how: (
                    old(lhs, rhs, *more, **how) if how.get("seconds") != 4.0
                    else Evidence(Verdict.UNDECIDED, "no points"))),),
               _planted(_eq(GaussianAverage(_y * tanh(_a * _y), _y),
                            -_a * GaussianAverage(1 - tanh(_a * _y) ** 2, _y)), "stein"),
               "integration in balls", _by_balls),
    RuleMutant("nishimori", "the condition: any temperature will do",
               (_function("rules_analysis", "exactly_zero", lambda _: lambda e, d: Proof("as you say")),),
               _planted(_eq(MeasureAverage(_x * TiltedAverage(_w, -((_x - _w) ** 2) / _s, _w, _COIN), _x, _NOISY), 1),
                        "nishimori"),
               "integration in balls", _by_balls),
    RuleMutant("extremum", "the stationary point may lie outside the interval",
               (_function("extremum", "_inside", lambda _: lambda *args: True),),
               _planted(_eq(_CUBIC, 4), "extremum", _given("root", _eq(_z, 2))), "bounds of the maximum in balls",
               _by_balls),
    RuleMutant("primitive", "the constant is not looked at", (_function("primitive", "prove_identity", _only_slopes),),
               _planted(_eq(sin(_x) ** 2, -(cos(_x) ** 2)), "primitive", hints=(("symbol", _x), ("at", Integer(0)))),
               "balls", _by_balls),
    RuleMutant("continuity", "values are compared, slopes are not", (_rule("continuity", _values_only),),
               _planted(_eq(Mul(2, S.Half, evaluate=False), 1), "continuity", hints=(
                   ("left", _x**2), ("right", _x), ("symbol", _x), ("at", Integer(1)), ("order", 1))),
               "difference quotients", _slopes_at_joint(_x**2, _x, _x, Integer(1))),
    RuleMutant("replica-algebra", "one replica too few among the vectors that sum to zero, so that n -> 0 goes wrong",
               (Patch("derive.nodes.replica_matrix:Element", "log_determinant",
                      lambda old: property(lambda e: old.fget(e) - log(e.sectors()[0][0]))),
                _function("replica", "_refuted", lambda _: lambda *args: None)),
               _planted(_eq(log(Determinant(_OVERLAPS)), (_n - 2) * log(_a) + log(_a + _n * _s)), "replica-algebra",
                        domain=Domain(((_a, Interval.open(0, oo)), (_s, Interval.open(0, oo))))),
               "the determinant of three replicas, written out", _three_replicas),
    RuleMutant("gaussian-kernel", "the sign of the slope of the kernel",
               (_function("gaussian", "_Moves", _turned_score),
                _function("gaussian", "counter_example", lambda _: lambda *args: None)),
               _planted(_eq(Derivative(_field(_x), _x), -_mean(_x)), "gaussian-kernel",
                        hints=(("mean", _x), ("variance", _s))),
               "difference quotient", _quotient(_field(_x).subs(_s, 1), _x, -_mean(_x).subs(_s, 1), S.Half,
                                                S.Half + Rational(1, 2**24))),
    RuleMutant("gaussian-rotation", "any linear map is taken for a rotation",
               (_function("gaussian", "eye", lambda _: lambda size: ImmutableMatrix([[5, 2], [2, 1]])),
                _function("gaussian", "counter_example", lambda _: lambda *args: None)),
               _planted(_eq(GaussianAverage(tanh(_y) ** 2 * _z**2, _y, _z),
                            GaussianAverage(tanh(_y + 2 * _z) ** 2 * _z**2, _y, _z)), "gaussian-rotation",
                        hints=(("rotation", ImmutableMatrix([[1, 2], [0, 1]])),)),
               "quadrature", _by_quadrature),
    RuleMutant("routes-agree", "shared steps are not looked for",
               (_function("rules_analysis", "_shared", lambda _: lambda *args: None),),
               Derivation("planted", "Two routes that are one", (
                   _given("ground", _eq(_y, _x**2)),
                   Step("common", _eq(2 * _y, 2 * _x**2), "rearrange", ("ground",), _REALS),
                   Step("first", _eq(_y, _x**2), "rearrange", ("common",), _REALS),
                   Step("second", _eq(3 * _y, 3 * _x**2), "rearrange", ("common",), _REALS),
                   Step("planted", _eq(_y, _x**2), "routes-agree", ("first", "second"), _REALS))),
               "the graph of premises", _shared_ground),
    RuleMutant("routes-agree", "conclusions are not compared",
               (_function("rules_analysis", "_same_conclusion", lambda _: lambda *args: _believing()),),
               Derivation("planted", "Two routes to different results", (
                   _given("one", _eq(2 * _y, 2 * sin(2 * _x))),
                   _given("two", _eq(3 * _y, 6 * sin(_x))),
                   Step("first", _eq(_y, sin(2 * _x)), "rearrange", ("one",), _REALS),
                   Step("second", _eq(_y, 2 * sin(_x)), "rearrange", ("two",), _REALS),
                   Step("planted", _eq(_y, sin(2 * _x)), "routes-agree", ("first", "second"), _REALS))),
               "balls", _different_ends),
)


# ---- trials


def try_rule_mutant(mutant: RuleMutant) -> RuleTrial:
    """Lay the planted claim before the right rule, before the wrong one, and before the witness."""
    label = mutant.planted.conclusion.label
    right = check_step(mutant.planted, label).verdict.name
    with _patched(mutant.patches):
        try:
            wrong = check_step(mutant.planted, label).verdict.name
        except Contradiction:
            wrong = "CONTRADICTION"
        found = mutant.look(mutant.planted)
    claim = str(mutant.planted.conclusion.claim)
    return RuleTrial(mutant.rule, mutant.title, claim, right, wrong, mutant.witness, found or "")


def gullible_trials(
    derivations: Iterable[Derivation], rules: Iterable[str] | None = None, tries: int = 12
) -> list[RuleTrial]:
    """For each rule that the derivations use, the mutant that believes everything, caught by a counter-example.

    Args: derivations, rules (all of the registry, where none are named), tries (false claims laid before it, at most).
    """
    from derive.ledger.asking import with_claim
    from derive.ledger.mutants import mutants_of

    derivations = list(derivations)
    found = []
    for name in rules or RULES:
        steps = [(d, s) for d in derivations for s in d if s.rule == name and isinstance(s.claim, Basic)]
        trial = None
        left = tries
        for derivation, step in steps:
            for _, claim in mutants_of(step)[:3]:
                if left == 0 or trial is not None:
                    break
                left -= 1
                planted = with_claim(derivation, step.label, claim)
                seen = counterexample(planted[step.label], {p: planted[p] for p in step.premises}, seconds=4.0)
                if seen is not None:
                    trial = RuleTrial(name, "believes whatever it is told", f"{derivation.name}, {step.label}: {claim}",
                                      "not asked", Verdict.PROVED.name, "a counter-example that uses no rule",
                                      seen.detail)
        if trial is not None:
            found.append(trial)
    return found


def try_rule_mutants(mutants: Sequence[RuleMutant] = RULE_MUTANTS) -> tuple[RuleTrial, ...]:
    """All mutated rules of the fixed list, in order."""
    return tuple(try_rule_mutant(m) for m in mutants)
