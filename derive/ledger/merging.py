"""Averages over one law, merged under one sign of averaging."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sympy import Add, Dummy, Expr, Mul, Rational, Symbol, expand_mul

from derive.core import Domain
from derive.nodes.averages import Average, GaussianAverage, MeasureAverage, SpectralAverage
from derive.nodes.laws import Atoms, Density, MarchenkoPastur, Noisy, Normal

if TYPE_CHECKING:
    from derive.ledger.rungs import Proof

__all__ = ["even_law", "merged"]

Prover = Callable[[Expr, Domain], "Proof | None"]


def merged(difference: Expr, domain: Domain, prove: Prover) -> Proof | None:
    """A proof that sum c_i E f_i + rest vanishes as sum c_i f_i + rest does, or as it is odd under an even law."""
    from derive.ledger.rungs import Proof

    parts = _linear_parts(difference)
    if parts is None:
        return None
    terms, rest = parts
    node = terms[0][1]
    law, count = _law(node), len(node.bound_symbols)
    if any(_law(n) != law for _, n in terms):
        return None
    count = max(len(n.bound_symbols) for _, n in terms)
    variables = tuple(_variable(law, i) for i in range(count))
    body = Add(rest, *(c * _opened(n, variables) for c, n in terms))
    inside = Domain((*domain.intervals, *_supports(law, variables)), domain.constraints)
    proof = prove(body, inside)
    if proof is not None:
        return Proof(f"one average of an integrand that vanishes ({proof.how})", proof.open, proof.named)
    if even_law(law):
        for mask in range(1, 2**count):
            flip = {v: -v for i, v in enumerate(variables) if mask >> i & 1}
            proof = prove(body + body.subs(flip, simultaneous=True), inside)
            if proof is not None:
                return Proof(f"one average of an odd integrand over an even law ({proof.how})", proof.open, proof.named)
    return None


@lru_cache(maxsize=256)
def even_law(law: Any) -> bool:
    """Whether a law is its own mirror image."""
    if isinstance(law, Normal):
        return True
    if isinstance(law, Atoms):
        weights = dict(zip(law.points, law.weights, strict=True))
        return all(weights.get(-p) == w for p, w in weights.items())
    if isinstance(law, Density):
        x = Dummy("x", real=True)
        return bool(law.lower == -law.upper and (law.density(x) - law.density(-x)).equals(0) and _same(law, x))
    if isinstance(law, Noisy):
        return even_law(law.base)
    return False


def _same(law: Density, x: Symbol) -> bool:
    from derive.ledger.rungs import exactly_zero

    return exactly_zero(law.density(x) - law.density(-x), Domain()) is not None


def _law(node: Average) -> Any:
    return Normal() if isinstance(node, GaussianAverage) else node.law


def _variable(law: Any, index: int) -> Symbol:
    return Dummy(f"x{index}", **dict(law.point_assumptions))


def _supports(law: Any, variables: tuple[Symbol, ...]) -> list[tuple[Symbol, Any]]:
    from sympy import Interval

    if isinstance(law, Density):
        return [(v, Interval.open(law.lower, law.upper)) for v in variables]
    if isinstance(law, MarchenkoPastur | Atoms):
        return [(v, Interval(0, Rational(10) ** 9)) for v in variables if v.is_nonnegative]
    return []


def _opened(node: Average, variables: tuple[Symbol, ...]) -> Expr:
    body = node.scoped[0]
    return body.xreplace(dict(zip(node.bound_symbols, variables, strict=False)))


def _linear_parts(e: Expr) -> tuple[list[tuple[Expr, Average]], Expr] | None:
    """e as a sum of coefficient * average, and the rest; None where it is not linear in plain averages."""
    plain = (GaussianAverage, MeasureAverage, SpectralAverage)
    terms: list[tuple[Expr, Average]] = []
    rest: list[Expr] = []
    expanded = expand_mul(e)
    for term in Add.make_args(expanded):
        factors = Mul.make_args(term)
        nodes = [f for f in factors if isinstance(f, plain)]
        others = [f for f in factors if not isinstance(f, plain)]
        if len(nodes) == 1 and not any(f.has(*plain) for f in others):
            terms.append((Mul(*others), nodes[0]))
        elif not nodes and not term.has(*plain):
            rest.append(term)
        else:
            return None
    return (terms, Add(*rest)) if terms else None
