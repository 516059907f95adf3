"""The one object of the program: what a reader can ask for, with its equation, derivation, solver and export."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from sympy import Eq, Expr, Symbol, latex, srepr

from derive.core import (
    Citation,
    DeriveError,
    Expansion,
    Parameter,
    Problem,
    SaddleStage,
    SpectralProblem,
    Stage,
    Verdict,
)
from derive.ledger import Derivation, Ledger

__all__ = ["Quantity", "Result"]


class Named(Protocol):
    """What a quantity knows of its ensemble: the word for it, and the phrase for a page."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    def manifold(self, activation: object) -> Named: ...

    def activated(self, activation: object) -> Named: ...

    def varied(self, variances: object) -> Named: ...


@dataclass(frozen=True)
class Result:
    """What a system hands over: the derivation, the equation it ends in, and the problem read from it."""

    derivation: Derivation
    equation: Eq
    problem: Problem | SpectralProblem


@dataclass(frozen=True)
class Quantity:
    """A quantity of a system with an ensemble.

    Attributes
    ----------
    name: the name under which it is found ("collapse-time").
    title: the name in words.
    symbol: what the value is called in the equation.
    unit: how it scales ("per N", "variance", ...).
    system: which system defines it ("dense memory", "diffusion", "random energy model").
    ensemble: the law of the patterns.
    citations: where its definition and result stand.
    options: what was chosen besides the parameters, for the record.

    The derivation, the equation and the problem are made when first asked for.

    >>> from derive import atlas
    >>> atlas["collapse-time"].parameters[0].name
    'alpha'
    """

    name: str
    title: str
    symbol: Symbol
    unit: str
    system: str
    ensemble: Named
    citations: tuple[Citation, ...]
    parameters: tuple[Parameter, ...]
    make: Callable[[], Result] = field(repr=False, compare=False)
    remake: Callable[[Any], Quantity] = field(repr=False, compare=False)
    options: tuple[tuple[str, str], ...] = ()
    #: the same quantity with another parameter in place of one of these
    variants: tuple[Quantity, ...] = field(default=(), repr=False, compare=False)
    #: the quantities that a name may stand for, where this one was found by its name
    others: Mapping[str, Quantity] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def _result(self) -> Result:
        return self.make()

    @property
    def derivation(self) -> Derivation:
        """The derivation, from definition to formula; `.derivation.check()` is its ledger."""
        return self._result.derivation

    @property
    def equation(self) -> Eq:
        """The equation that defines the value."""
        return self._result.equation

    @property
    def question(self) -> Problem | SpectralProblem:
        """What is asked, as plain mathematics: what solvers are generated from."""
        return self._result.problem

    @property
    def problem(self) -> Problem:
        """The equation as plain mathematics, with domains and branches.

        Raises: DeriveError for a quantity that is read off a spectrum, where no single equation has it as its root.
        """
        question = self.question
        if isinstance(question, SpectralProblem):
            raise DeriveError(
                f"{self.name} is read off a spectrum: there is no equation with one root to invert or to "
                "take a limit of",
                given=self.name,
                allowed=f"derive solve {self.name} on a range of its parameters, and check, export, plot",
            )
        return question

    @property
    def kind(self) -> str:
        """Formula (explicit), Root (one implicit unknown), Composite (branches with inner roots), or Spectrum."""
        if isinstance(self.question, SpectralProblem):
            return "Spectrum"
        stages, branches = self.problem.stages, [k for k in self.problem.branches if k.value is not None]
        if not stages:
            return "Formula"
        if any(isinstance(k, SaddleStage) for k in stages):
            return "Saddle"
        only = stages[0] if len(stages) == 1 and len(branches) == 1 else None
        if isinstance(only, Stage) and not only.inner and branches[0].value == only.unknown:
            return "Root"
        return "Composite"

    @cached_property
    def ledger(self) -> Ledger:
        """The checked derivation; checked once."""
        return self.derivation.check()

    @property
    def verdict(self) -> Verdict:
        """The verdict of the weakest step, given the assumptions."""
        return self.ledger.verdict

    def given(self, *names: str) -> Quantity:
        """The variant that takes these parameters: this one, or one that swaps an unknown for a parameter.

        >>> from derive import atlas
        >>> [p.name for p in atlas["retrieval-basin"].given("a").parameters]
        ['alpha', 'lam', 'a']
        """
        wanted = set(names)
        for variant in (self, *self.variants):
            if wanted <= {k.name for k in variant.parameters} | {k.symbol.name for k in variant.parameters}:
                return variant if variant is self else replace(variant, others=self.others)
        return self

    def with_(
        self, *, ensemble: Named | None = None, activation: object = None, variances: object = None
    ) -> Quantity:
        """The same quantity for another law of patterns.

        Args: ensemble; activation of a hidden manifold (a SymPy function, a Lambda, a callable on a symbol or an
        expression in one symbol), which is implied where no ensemble is named; variances of its latent directions, a
        mapping variance -> fraction of the latent space.

        Raises: DeriveError where the system does not cover the ensemble ("not derived for this ensemble"), where the
        ensemble takes no activation or variances, or where these are none.
        """
        if activation is not None:
            ensemble = self.ensemble.manifold(activation) if ensemble is None else ensemble.activated(activation)
        if variances is not None:
            ensemble = (self.ensemble if ensemble is None else ensemble).varied(variances)
        return self if ensemble is None else replace(self.remake(ensemble), others=self.others)

    def limit(
        self,
        parameter: str | Symbol,
        point: Any,
        *,
        direction: str = "+",
        order: int = 3,
        hold: Mapping[Any, Expr] | None = None,
        where: Mapping[Any, Any] | Iterable[Any] | Any = (),
        over: Quantity | Expr | str | None = None,
        of: str = "value",
        seconds: float = 60.0,
    ) -> Expansion:
        """How the value behaves as a parameter approaches a point: the expansion, with its witnesses and verdict.

        Args:
            parameter, point: which parameter goes where (a number, oo or -oo).
            direction: "+" from above, "-" from below, "+-" both sides; at an end of the domain the inner side.
            order: how many vanishing corrections are wanted beyond the leading behaviour.
            hold: combinations that stay fixed, {kappa: alpha/alpha_D}; each takes the place of one parameter.
            where: relations between parameters (alpha_D < 1), or values of some ({"alpha_D": 1}).
            over: another quantity, its name (with the ensemble of this one), or an expression in the parameters:
                the quotient with it is expanded.
            of: "value", or "log" for the logarithm.
            seconds: the time box of the whole.
        Raises: DeriveError for a parameter that the quantity does not have, a point outside its domain's closure, a
        direction that leaves the domain, and a combination that fixes nothing.

        >>> from derive import atlas
        >>> found = atlas["retrieval-capacity"].limit("lam", 0, order=1)
        >>> found.expr, found.verdict.name
        (-lambda**2/2 + lambda, 'CERTIFIED')
        """
        from derive.methods.scaling import Question, answer

        if isinstance(over, str) and self.others is not None:
            over = self.others[over].with_(ensemble=self.ensemble)
        other = over.problem if isinstance(over, Quantity) else over
        solvers = [self._exactly, *([over._exactly] if isinstance(over, Quantity) else [])]
        question = Question(
            self.problem, parameter, point, direction, order, dict(hold or {}), where, other, of, seconds
        )
        return answer(question, solvers)

    def _exactly(self, values: Mapping[str, Any], digits: int) -> Any:
        """The value at exact parameters to so many digits as an mpf, None where there is none."""
        import mpmath

        known = {p.symbol.name: p.name for p in self.parameters}
        if self.problem.has_saddle:
            return self._narrow({known[k]: v for k, v in values.items() if k in known}, digits)
        found = self.solver("mpmath")(digits=digits, **{known[k]: v for k, v in values.items() if k in known})
        return mpmath.mpf(str(found.value[()])) if bool(found.converged[()]) else None

    @cached_property
    def _narrow(self) -> Callable[[Mapping[str, Any], int], Any]:
        """The same for a threshold over a saddle point, where its overlaps are narrow."""
        from derive.solvers.narrow import narrow_solver

        return narrow_solver(self.problem)

    def solver(self, target: str = "numpy") -> Callable[..., Any]:
        """A solver generated from the equation.

        Args: target, "numpy" (vectorised, returns a Solution) or "mpmath" (any number of digits, `digits=50`).
        Raises: DeriveError for another target.

        What is read off a spectrum takes the parameters of its variants too: edges at a ratio, or at a ratio and a
        time.

        >>> from derive import atlas
        >>> edges = atlas["spectral-edges"].solver()
        >>> edges(alpha_D=0.25).value.tolist(), edges(alpha_D=0.25, t=1).value.tolist()
        ([1.0, 9.0], [-0.5, -0.1])
        """
        from derive import solvers

        question = self.question
        if target == "numpy":
            if isinstance(question, SpectralProblem):
                return self._among_variants(solvers.compile_spectrum)
            return solvers.compile_numpy(question)
        if target == "mpmath":
            if isinstance(question, SpectralProblem):
                return self._among_variants(solvers.compile_spectrum_mp)
            return solvers.compile_mp_solver(question)
        raise DeriveError(f"no solver target {target!r}", given=target, allowed="numpy, mpmath", nearest="numpy")

    def _among_variants(self, compiled: Callable[[Any], Callable[..., Any]]) -> Callable[..., Any]:
        """The solver of this quantity, or of the variant that takes the parameters which the call names."""
        if not self.variants:
            return compiled(self.question)

        def solve(**parameters: Any) -> Any:
            chosen = self.given(*(name for name in parameters if name != "digits"))
            return compiled(chosen.question)(**parameters)

        return solve

    def export(self, path: str | Path, target: str = "numpy", *, force: bool = False) -> Path:
        """Write the generated solver as one plain Python file with a self-test.

        Args: path of the file; target "numpy" or "mpmath"; force to replace an existing file.
        Raises: DeriveError where the file exists and force is not set, or for another target.
        """
        from derive import solvers

        return solvers.export(self.question, self.export_meta(), path, target=target, force=force)

    def export_meta(self) -> Any:
        """What the head of an exported file says: equation, citation, domain, verdict and a hash of the equation."""
        from derive import solvers

        domain = ", ".join(f"{k.name} in {k.domain}" for k in self.parameters)
        digest = hashlib.sha256(srepr(self.equation).encode()).hexdigest()[:16]
        return solvers.ExportMeta(
            name=self.name,
            title=f"{self.title}, {self.ensemble.title}",
            equation=f"{self.equation.lhs} = {self.equation.rhs}",
            latex=self.latex(),
            citation="; ".join(map(str, self.citations)),
            domain=domain,
            verdict=self.verdict.name,
            source_hash=digest,
            units=self.unit,
        )

    def latex(self) -> str:
        """The equation in LaTeX."""
        return str(latex(self.equation))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def cite(self) -> str:
        """One line a source."""
        from derive.papers import PAPERS

        return "\n".join(f"{c}: {PAPERS[c.key]}" for c in self.citations)

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name; DeriveError names the nearest."""
        from difflib import get_close_matches

        names = {k.name: k for k in self.parameters} | {k.symbol.name: k for k in self.parameters}
        if name not in names:
            near = get_close_matches(name, names, 1)
            raise DeriveError(
                f"{self.name} has no parameter {name}",
                given=name,
                allowed=", ".join(k.name for k in self.parameters),
                nearest=near[0] if near else None,
            )
        found: Parameter = names[name]
        return found
