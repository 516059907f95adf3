"""The rule `extremum`: the value of a maximum from the slope of what is maximised."""

from __future__ import annotations

from collections.abc import Mapping

from sympy import Eq, Expr, Ge, Gt, Interval, Le, Lt, Symbol, diff, oo

from derive.core import Domain, Evidence, Step, Verdict
from derive.ledger.ladder import prove_identity
from derive.ledger.positivity import prove_positive
from derive.nodes import Extremum

__all__ = ["extremum"]


def extremum(step: Step, premises: Mapping[str, Step]) -> Evidence:
    """Eq(name, value) or Eq(Extremum, value): the maximum of the body over its interval is the value.

    The first premise (or the claim itself) holds the Extremum node.  Exact in two cases.  *Sign of the slope*: with
    the hint ("zero", p) the slope is (p - var) K, and a premise states K > 0; the body rises up to p and falls after
    it, so that the maximum is at p where the domain's constraints put p inside the interval, and at the upper end where
    they put p at or beyond it.  *Concavity*: the second derivative is negative (by a premise, or proved), a premise
    gives the stationary point var = p inside the interval, at which the slope is shown to vanish; the maximum is there.
    In both the body at that point is shown to equal the claimed value.
    """
    if not isinstance(step.claim, Eq):
        return Evidence(Verdict.UNDECIDED, "the rule needs an equation")
    node = _node(step, premises)
    if node is None or node.kind != "max":
        return Evidence(Verdict.UNDECIDED, "neither the claim nor a premise defines a maximum")
    running = Symbol(f"{node.var.name}_running", real=True, positive=node.interval.start.is_nonnegative or None)
    body = node.body.subs(node.var, running)
    domain = step.domain | Domain(((running, node.interval),))
    rewriting = [s.claim for s in premises.values() if isinstance(s.claim, Eq) and not s.claim.has(Extremum)]
    hints = dict(step.hints)
    found = (
        _by_sign(body, running, node, hints["zero"], hints["at"], premises, domain)
        if "zero" in hints
        else _by_concavity(body, running, node, premises, domain)
    )
    if isinstance(found, Evidence):
        return found
    point, detail = found
    value = prove_identity(body.subs(running, point), step.claim.rhs, step.domain, rewriting)
    if value.verdict is not Verdict.PROVED:
        return Evidence(value.verdict, f"value at the maximum: {value.detail}", value.witness)
    return Evidence(Verdict.PROVED, f"{detail}; the value there: {value.detail}")


def _node(step: Step, premises: Mapping[str, Step]) -> Extremum | None:
    if not isinstance(step.claim, Eq):
        return None
    if isinstance(step.claim.lhs, Extremum):
        return step.claim.lhs
    for premise in premises.values():
        claim = premise.claim
        if isinstance(claim, Eq) and isinstance(claim.rhs, Extremum) and claim.lhs == step.claim.lhs:
            return claim.rhs
    return None


def _by_sign(
    body: Expr, running: Symbol, node: Extremum, zero: Expr, at: Expr, premises: Mapping[str, Step], domain: Domain
) -> tuple[Expr, str] | Evidence:
    factor = None
    for premise in premises.values():
        if isinstance(premise.claim, Gt) and premise.claim.rhs == 0:
            stated = premise.claim.lhs
            symbols = sorted(stated.free_symbols & {s for s, _ in premise.domain.intervals}, key=str)
            for symbol in symbols:
                shape = prove_identity(diff(body, running), (zero - running) * stated.subs(symbol, running), domain)
                if shape.verdict is Verdict.PROVED:
                    factor = premise
                elif shape.verdict is Verdict.REFUTED and len(symbols) == 1:
                    detail = f"the slope has not the sign claimed: {shape.detail}"
                    return Evidence(Verdict.REFUTED, detail, shape.witness)
    if factor is None:
        return Evidence(Verdict.UNDECIDED, "no premise gives the sign of the slope")
    upper = node.interval.end
    constraints = domain.constraints
    if at == zero and (upper == oo or Le(zero, upper) in constraints or Ge(upper, zero) in constraints):
        return at, f"the slope is (p - l) times a positive factor ({factor.label}), p inside the interval"
    if at == upper and (Ge(zero, upper) in constraints or Le(upper, zero) in constraints):
        return at, f"the slope is (p - l) times a positive factor ({factor.label}), p at or beyond the end"
    return Evidence(Verdict.UNDECIDED, f"the domain does not say on which side of {upper} the point {zero} lies")


def _by_concavity(
    body: Expr, running: Symbol, node: Extremum, premises: Mapping[str, Step], domain: Domain
) -> tuple[Expr, str] | Evidence:
    curvature = diff(body, running, 2)
    concave = root = None
    for premise in premises.values():
        claim = premise.claim
        if isinstance(claim, Lt) and claim.rhs == 0:
            for symbol in sorted(claim.lhs.free_symbols, key=str):
                if prove_identity(curvature, claim.lhs.subs(symbol, running), domain).verdict is Verdict.PROVED:
                    concave = premise
        elif isinstance(claim, Eq) and isinstance(claim.lhs, Symbol):
            root = premise
    reason = concave.label if concave is not None else prove_positive(-curvature, domain)
    if reason is None or root is None:
        return Evidence(Verdict.UNDECIDED, "needs a negative second derivative and a premise for the stationary point")
    assert isinstance(root.claim, Eq)
    point = root.claim.rhs
    if not _inside(point, node.interval, domain):
        return Evidence(Verdict.UNDECIDED, f"it is not known that the stationary point {point} lies in {node.interval}")
    flat = prove_identity(diff(body, running).subs(running, point), 0, domain)
    if flat.verdict is not Verdict.PROVED:
        return Evidence(flat.verdict, f"the slope at the stationary point: {flat.detail}", flat.witness)
    return point, f"concave ({reason}) and stationary ({root.label})"


def _inside(point: Expr, interval: Interval, domain: Domain) -> bool:
    """Whether a point is known to lie in an interval, ends apart."""
    if isinstance(point, Symbol) and domain.interval(point) == interval:
        return True
    above = interval.start == -oo or prove_positive(point - interval.start, domain, strict=False)
    below = interval.end == oo or prove_positive(interval.end - point, domain, strict=False)
    return bool(above and below)
