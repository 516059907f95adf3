"""Data only: the few types in which every floor of the house speaks."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sympy import Basic, Expr, Interval, Symbol, oo, true
from sympy.logic.boolalg import Boolean

__all__ = [
    "Branch",
    "Citation",
    "DensityProblem",
    "DeriveError",
    "Domain",
    "EdgesProblem",
    "Evidence",
    "Expansion",
    "GapProblem",
    "GapTimesProblem",
    "Parameter",
    "Problem",
    "ProfileProblem",
    "SaddleStage",
    "Site",
    "Solution",
    "SpectralProblem",
    "Stage",
    "Step",
    "Term",
    "UniqueRoot",
    "Verdict",
    "Witness",
    "typed_name",
]


class DeriveError(ValueError):
    """A mistake of the user's, said in one line.

    Attributes: given (what was given), allowed (what would be), nearest (the nearest right thing, or None).
    """

    def __init__(self, message: str, *, given: str = "", allowed: str = "", nearest: str | None = None) -> None:
        super().__init__(message)
        self.given, self.allowed, self.nearest = given, allowed, nearest


class Verdict(enum.Enum):
    """What is known of a claim. Ordered, weakest first; ASSUMED stands apart and does not take part in the order."""

    REFUTED = 0
    UNDECIDED = 1
    CORROBORATED = 2
    CERTIFIED = 3
    PROVED = 4
    ASSUMED = -1

    @staticmethod
    def weakest(verdicts: Iterable[Verdict]) -> Verdict:
        """The weakest verdict, assumptions left out; PROVED of nothing."""
        return min((v for v in verdicts if v is not Verdict.ASSUMED), key=lambda v: v.value, default=Verdict.PROVED)

    @property
    def sound(self) -> bool:
        """Neither REFUTED nor UNDECIDED."""
        return self not in (Verdict.REFUTED, Verdict.UNDECIDED)


@dataclass(frozen=True)
class Domain:
    """Where a claim holds: an interval for each symbol, and relations between symbols."""

    intervals: tuple[tuple[Symbol, Interval], ...] = ()
    constraints: tuple[Boolean, ...] = ()

    def __or__(self, other: Domain) -> Domain:
        """Both sets of conditions; an interval of `other` replaces one of the same symbol."""
        merged = dict(self.intervals) | dict(other.intervals)
        return Domain(
            tuple(merged.items()), (*self.constraints, *(k for k in other.constraints if k not in self.constraints))
        )

    def interval(self, symbol: Symbol) -> Interval | None:
        """The interval of a symbol, or None where none is stated."""
        return dict(self.intervals).get(symbol)


@dataclass(frozen=True)
class Citation:
    """Where a definition or a result is to be found."""

    key: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.key}, {self.where}" if self.where else self.key


class UniqueRoot(Boolean):  # type: ignore[misc]
    """The claim that `residual` has exactly one zero in `unknown` on the open interval, and crosses it there once.

    Args: residual (Expr), unknown (Symbol), interval (Interval), direction (+1 increasing, -1 decreasing).
    """

    def __new__(cls, residual: Expr, unknown: Symbol, interval: Interval, direction: Expr | int = 1) -> UniqueRoot:
        from sympy import sympify

        made: UniqueRoot = Basic.__new__(cls, sympify(residual), unknown, interval, sympify(direction))
        return made

    residual = property(lambda self: self.args[0])
    unknown = property(lambda self: self.args[1])
    interval = property(lambda self: self.args[2])
    direction = property(lambda self: self.args[3])


@dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes
    ----------
    label: name, unique in its derivation ("condensation").
    claim: a relation (Eq, StrictLessThan, UniqueRoot, ...) or, for an assumption only, a sentence.
    rule: name of the rule of derive.ledger that carries the step from its premises to its claim.
    premises: labels of earlier steps that the rule may use, and no others.
    domain: where the claim is said to hold.
    source: citation of the claim.
    text: one sentence for the reader.
    hints: what the rule needs besides (a substitution, a factor): pairs (name, expression).
    """

    label: str
    claim: Basic | str
    rule: str
    premises: tuple[str, ...] = ()
    domain: Domain = Domain()
    source: str = ""
    text: str = ""
    hints: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What a rule found: the verdict, how it was reached, a counter-example where there is one, and the time spent."""

    verdict: Verdict
    detail: str
    witness: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def typed_name(symbol: Symbol) -> str:
    """The name of a symbol as a user types it.

    >>> typed_name(Symbol("lambda"))
    'lam'
    """
    name: str = symbol.name
    return {"lambda": "lam", "epsilon": "eps", "G": "resolution"}.get(name, name)


@dataclass(frozen=True)
class Parameter:
    """An argument of a quantity: its symbol, the interval it may lie in, a default, meaning and unit."""

    symbol: Symbol
    domain: Interval
    meaning: str = ""
    unit: str = ""
    default: Expr | None = None

    @property
    def name(self) -> str:
        """The name typed by a user ("lam", not "lambda", which Python keeps for itself; "resolution" for G)."""
        return typed_name(self.symbol)


@dataclass(frozen=True)
class Stage:
    """One inner unknown: the root of `residual`, strictly monotone in `unknown` on (lower, upper).

    A positive unknown is solved for in its logarithm.  `direction` is +1 where the residual increases through the
    root and -1 where it decreases.  `clip`: where the residual keeps one sign on the whole interval, the end towards
    which the sign points is taken (the maximum of a concave function on an interval); otherwise there is no root, and
    `absent` says why in words.  `exists` is a condition in the parameters under which the root exists.  `inner` are
    stages solved anew for each value of this unknown, which the residual may use.
    """

    unknown: Symbol
    residual: Expr
    direction: int
    lower: Expr
    upper: Expr = oo
    clip: bool = False
    exists: Boolean = true
    absent: str = ""
    inner: tuple[Stage | SaddleStage, ...] = ()


@dataclass(frozen=True)
class Site:
    """One site of patterns xi = activation(h) seen by a query x, with the exponent that weighs a pattern.

    Attributes
    ----------
    exponent: g, an expression in `x`, `xi`, parameters and outer unknowns (lam x xi; -b (x - xi)^2/2).
    activation: sigma, an expression in `field` alone.
    query: x, an expression in `planted` (the field of the pattern that the query was made from, a standard normal
        variable), `noise` (a standard normal variable of its own) and parameters: sigma(u), sigma(u) + sqrt(s) w.
    x, xi, field, planted, noise: the symbols in which these are written; all real.
    """

    exponent: Expr
    activation: Expr
    query: Expr
    x: Symbol
    xi: Symbol
    field: Symbol
    planted: Symbol
    noise: Symbol

    @property
    def squared_distance(self) -> tuple[Expr, Expr] | None:
        """b and s of g = -b (x - xi)^2/2 with a query sigma(u) + sqrt(s) w; None for another exponent or query.

        >>> from sympy import Symbol, sqrt, tanh
        >>> x, xi, h, u, w = (Symbol(k, real=True) for k in ("x", "xi", "h", "u", "w"))
        >>> b, s = Symbol("b", positive=True), Symbol("s", positive=True)
        >>> Site(-b * (x - xi) ** 2 / 2, tanh(h), tanh(u) + sqrt(s) * w, x, xi, h, u, w).squared_distance
        (b, s)
        """
        b = -self.exponent.diff(self.xi, 2)
        if b.has(self.x, self.xi) or (self.exponent + b * (self.x - self.xi) ** 2 / 2).expand() != 0:
            return None
        rest = (self.query - self.activation.subs(self.field, self.planted)).expand()
        factor = rest.coeff(self.noise, 1)
        if factor.has(self.planted) or (rest - factor * self.noise).expand() != 0:
            return None
        return b, factor**2


@dataclass(frozen=True)
class SaddleStage:
    """The extremum of a replica-symmetric free entropy over the overlaps (m, q, r) with a planted pattern.

    The free entropy is ratio/2 [log(r - q) + (q - m^2)/(r - q) + 1 - r] + E log int Dw exp g(x, sigma(m u + sqrt(q -
    m^2) v + sqrt(r - q) w)) on the open set m^2 < q < r.  Where several extrema exist the one of largest free entropy
    is taken and all are reported.

    Attributes
    ----------
    value: the name of the free entropy at the extremum, for residuals, branches and outputs.
    unknowns: (m, q, r).
    ratio: weight of the latent entropy, D/N.
    site: the single-site structure of the average.
    free_entropy: the whole expression in nodes, as it was derived; a solver refuses a stage whose `free_entropy` is
        not the one above for its `ratio` and `site`.
    stability: the replicon expression, positive where the extremum is stable; None where it is not wanted in words
        (its number is computed all the same).
    averages: pairs (name, f), f an expression in site.x, site.xi and parameters: the average of f over patterns tilted
        by the exponent, at the extremum.  With f the derivative of the exponent in a parameter this is the total
        derivative of the extremal free entropy in it (envelope theorem).
    starts: pairs (name, (m, q, r)) of expressions in the parameters: points worth starting from, besides those that
        the solver tries of itself.

    The outputs "stability", "quadrature_error", the overlaps under the names of `unknowns`, and the branches found
    ("branch_count", "branch_values", "branch_overlaps", "branch_stability") come with every problem that has such a
    stage.
    """

    value: Symbol
    unknowns: tuple[Symbol, Symbol, Symbol]
    ratio: Expr
    site: Site
    free_entropy: Expr
    stability: Expr | None = None
    averages: tuple[tuple[Symbol, Expr], ...] = ()
    starts: tuple[tuple[str, tuple[Expr, Expr, Expr]], ...] = ()

    @property
    def unknown(self) -> Symbol:
        """The name of the value: what the stage adds for others to use, besides overlaps and averages."""
        return self.value

    @property
    def names(self) -> tuple[Symbol, ...]:
        """Everything the stage makes known: value, overlaps, averages."""
        return (self.value, *self.unknowns, *(name for name, _ in self.averages))


@dataclass(frozen=True)
class Branch:
    """A case of a quantity: the value holds where the condition does.

    `value` None is the answer that there is no value there, with the reason in words.
    """

    name: str
    value: Expr | None
    condition: Boolean = true
    reason: str = ""


@dataclass(frozen=True)
class Problem:
    """A quantity as plain mathematics: stages solved in order, then the first branch whose condition holds.

    `outputs` are further named values (expressions in parameters and unknowns); `positive` says that the value is
    positive, so that its logarithm is an output too and right where the value itself underflows.
    """

    name: str
    symbol: Symbol
    parameters: tuple[Parameter, ...]
    branches: tuple[Branch, ...]
    stages: tuple[Stage | SaddleStage, ...] = ()
    outputs: tuple[tuple[str, Expr], ...] = ()
    positive: bool = True

    @property
    def has_saddle(self) -> bool:
        """Whether an unknown is the extremum of a free entropy."""

        def saddle(stage: Stage | SaddleStage) -> bool:
            return isinstance(stage, SaddleStage) or any(map(saddle, stage.inner))

        return any(map(saddle, self.stages))


@dataclass(frozen=True)
class SpectralProblem:
    """A question about a spectral law, as plain mathematics.

    Attributes
    ----------
    name, symbol, parameters: of the quantity.
    resolvent, inverse: g and z(g), the inverse function of the resolvent g(z) = <1/(c - z)>: a shift, -1/g and terms
        a v/(1 + v g) with a, v > 0, expressions in the parameters.
    variable, image: c and the eigenvalue asked about, a rising function of c and the parameters.
    axis: what the answer's own axis counts, "" where the answer is one number.
    """

    name: str
    symbol: Symbol
    parameters: tuple[Parameter, ...]
    resolvent: Symbol
    inverse: Expr
    variable: Symbol
    image: Expr
    axis: str


@dataclass(frozen=True)
class EdgesProblem(SpectralProblem):
    """The edges of the bulks."""


@dataclass(frozen=True)
class DensityProblem(SpectralProblem):
    """The density at the eigenvalue that is a parameter: of variance `variance`, times `volume` = dc/d(eigenvalue)."""

    eigenvalue: Symbol
    variance: Expr
    volume: Expr


@dataclass(frozen=True)
class ProfileProblem(SpectralProblem):
    """The density on so many points that fill the bulks; `volume` = dc/d(eigenvalue) as for a density."""

    eigenvalue: Symbol
    volume: Expr
    points: int


@dataclass(frozen=True)
class GapProblem(SpectralProblem):
    """A value for each gap between facing edges `low` and `high` of the law of c.

    It holds where `condition` does, `reason` says why not; `outputs` hold with it, `facts` for every gap that there is;
    `unbounded` says why there is no final gap, between an atom and the lowest bulk.
    """

    low: Symbol
    high: Symbol
    value: Expr
    unbounded: str
    outputs: tuple[tuple[str, Expr], ...] = ()
    facts: tuple[tuple[str, Expr], ...] = ()
    condition: Boolean = true
    reason: str = ""


@dataclass(frozen=True)
class GapTimesProblem(GapProblem):
    """As for a gap, where the value is the time at which it opens; the phases of the spectrum are read off all gaps."""


@dataclass(frozen=True)
class Solution:
    """What a solver returns; every array has the broadcast shape of the inputs.

    Where a quantity has a shape of its own (edges, gaps, points of a density), value, log_value and the outputs that
    belong to its entries have one more axis, the last; entries that are not there are nan, and outputs count those
    that are.

    value, log_value (nan where the quantity is not declared positive), residual of the defining equation, converged,
    iterations, branch (name), stability (nan where the notion does not apply), reason (words where not converged),
    outputs (further named arrays). No root where none exists: value nan, converged False, branch "none", the reason
    in words.
    """

    value: np.ndarray
    log_value: np.ndarray
    residual: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray
    branch: np.ndarray
    stability: np.ndarray
    reason: np.ndarray
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Term:
    """One term of an expansion: a constant times a scale in the variable."""

    coefficient: Expr
    scale: Expr

    @property
    def expr(self) -> Expr:
        """The term."""
        return self.coefficient * self.scale


@dataclass(frozen=True)
class Witness:
    """One independent look at an expansion: what was done, its verdict, what was found, and the numbers behind it."""

    name: str
    verdict: Verdict
    detail: str
    data: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Expansion:
    """How a quantity behaves as one parameter approaches a point.

    Attributes
    ----------
    subject: what is expanded ("t_c", "log t_c", "t_g/t_c").
    variable, point, direction: the limit; "+" from above, "-" from below.
    limit: the value approached, oo or -oo included; None where it is not known.
    terms: largest first; their scales are functions of the variable.
    remainder: the size of what is left out, in the sector of the leading term; None where nothing is.
    closed: the series in powers and logarithms summed to all orders, where that is known; None elsewhere.
    exponential: the first exponentially small term beyond a series in powers and logarithms; None where there is none.
    assumptions: under which it holds, relations or sentences.
    definitions: constants known by an equation only, (symbol, equation).
    verdict, witnesses: what is known of it, and by which independent looks.
    balance: which terms of the defining equations survive, in words, one entry an unknown.
    cases: where the answer depends on the parameters, one expansion a case; the terms are empty then.
    reason: why there is no answer, in words; empty where there is one.
    seconds: the time it took.
    """

    subject: str
    variable: Symbol
    point: Expr
    direction: str
    limit: Expr | None = None
    terms: tuple[Term, ...] = ()
    remainder: Expr | None = None
    closed: Expr | None = None
    exponential: Term | None = None
    assumptions: tuple[Boolean | str, ...] = ()
    definitions: tuple[tuple[Symbol, Basic], ...] = ()
    verdict: Verdict = Verdict.UNDECIDED
    witnesses: tuple[Witness, ...] = ()
    balance: tuple[str, ...] = ()
    cases: tuple[Expansion, ...] = ()
    reason: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def leading(self) -> Term | None:
        """The leading term."""
        return self.terms[0] if self.terms else None

    @property
    def expr(self) -> Expr:
        """All terms kept, added."""
        from sympy import Add

        return Add(*(t.expr for t in self.terms))

    def truncated(self, order: int) -> Expr:
        """The leading term with so many corrections.

        >>> from sympy import Integer, Symbol
        >>> x = Symbol("x")
        >>> Expansion("f", x, Integer(0), "+", terms=(Term(Integer(1), Integer(1)), Term(Integer(2), x))).truncated(0)
        1
        """
        from sympy import Add

        return Add(*(t.expr for t in self.terms[: order + 1]))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def latex(self) -> str:
        """The expansion in LaTeX: terms, the size of the remainder, and the next exponential."""
        from sympy import latex

        if self.cases:
            rows = (f"{c.latex()} & \\text{{for }} {', '.join(map(_shown, c.assumptions))}" for c in self.cases)
            return "\\begin{cases} " + " \\\\ ".join(rows) + " \\end{cases}"
        if not self.terms:
            return latex(self.limit) if self.limit is not None else f"\\text{{{self.reason}}}"
        text = " + ".join(latex(t.expr) for t in self.terms).replace("+ -", "- ")
        if self.remainder is not None:
            text += f" + O\\left({latex(self.remainder)}\\right)"
        if self.exponential is not None:
            text += f" + \\left[{latex(self.exponential.expr)}\\right]"
        return text

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain data, expressions as text."""

        def text(value: Any) -> str | None:
            return None if value is None else str(value)

        def term(t: Term | None) -> dict[str, str] | None:
            return None if t is None else {"coefficient": str(t.coefficient), "scale": str(t.scale)}

        return {
            "subject": self.subject,
            "variable": typed_name(self.variable),
            "point": str(self.point),
            "direction": self.direction,
            "limit": text(self.limit),
            "leading": term(self.leading),
            "terms": [term(t) for t in self.terms],
            "remainder": text(self.remainder),
            "closed": text(self.closed),
            "exponential": term(self.exponential),
            "assumptions": [str(a) for a in self.assumptions],
            "definitions": [{"symbol": str(k), "equation": str(e)} for k, e in self.definitions],
            "verdict": self.verdict.name,
            "witnesses": [
                {"name": w.name, "verdict": w.verdict.name, "detail": w.detail, "data": dict(w.data)}
                for w in self.witnesses
            ],
            "balance": list(self.balance),
            "cases": [c.to_dict() for c in self.cases],
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
        }


def _shown(assumption: Boolean | str) -> str:
    from sympy import latex

    return f"\\text{{{assumption}}}" if isinstance(assumption, str) else str(latex(assumption))
