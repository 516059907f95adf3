"""The rule for matrices over replicas, and the facts about their algebra on which it rests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import Any

from flint import acb, arb
from sympy import (
    Basic,
    Derivative,
    Determinant,
    Eq,
    Expr,
    Identity,
    ImmutableMatrix,
    Integer,
    MatAdd,
    MatMul,
    MatPow,
    Rational,
    S,
    Symbol,
    Trace,
    expand,
    eye,
    log,
)

from derive.core import DeriveError, Domain, Evidence, Step, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.context import context, parts_of, undecided, weakened
from derive.ledger.domain import points, seed_of
from derive.ledger.ladder import prove_identity
from derive.ledger.rewriting import carried_out
from derive.nodes.replica_matrix import BASIS, TABLE, Element, OverlapMatrix, as_element

__all__ = ["algebra_holds", "explicit_agreements", "replica_algebra"]

Premises = Mapping[str, Step]


def replica_algebra(step: Step, premises: Premises) -> Evidence:
    """Determinants, traces and products of overlap matrices of n replicas, for every n.

    Matrices that are invariant under permutations of the replicas multiply by a table (derive.nodes.replica_matrix).  A
    product counts, over one summed index, the replicas in a set that is everything, a block or one replica: each entry
    of the table is affine in n and in the size p of a block, so that its values for four pairs (n, p) prove it for all.
    By the table 1 - B/p, B/p - J/n, and what all replicas share are orthogonal projectors that sum to the identity, and
    every invariant matrix is a number on the first two: hence its determinant, by the traces of the projectors, and
    products and traces entry by entry.  What remains is an identity between numbers for the ladder.  A claim is refuted
    by explicit matrices at integer n.  That a formula for integer n is read for real n is an assumption of the replica
    method, and a step of its own where it is used.
    """
    algebra_holds()
    ctx = context(step, premises)
    matrices = {e.lhs: e.rhs for e in ctx.equations if _matrix(e.lhs)}
    numbers = tuple(e for e in ctx.equations if not _matrix(e.lhs))
    found: list[Evidence] = []
    assert isinstance(step.claim, Basic)
    for part in parts_of(step.claim):
        if not isinstance(part, Eq):
            return undecided(f"the claim {part} is not an equation")
        lhs, rhs = (side.xreplace(matrices) for side in part.args)
        kind = _kind(Basic(lhs, rhs))
        if kind is None:
            return undecided("the claim has no overlap matrix, or matrices of different replicas")
        counter = None if numbers else _refuted(lhs, rhs, kind, ctx.domain)
        if counter is not None:
            return counter
        facts = (*numbers, *ctx.relations)
        found += [prove_identity(a, b, ctx.domain, facts) for a, b in _differences(lhs, rhs, kind)]
    worst = min(found, key=lambda e: e.verdict.value)
    if worst.verdict is Verdict.PROVED:
        worst = Evidence(Verdict.PROVED, f"in the algebra of invariant matrices, for every n: {worst.detail}")
    return weakened(worst, ctx.open)


Kind = tuple[Expr, Expr, bool]  # n, p, planted


def _kind(e: Basic) -> Kind | None:
    """Number of replicas, size of blocks, and whether a replica is planted, of all matrices in an expression."""
    matrices = e.atoms(OverlapMatrix)
    numbers = {(x.n, x.planted) for x in matrices}
    sizes = {x.p for x in matrices} - {S.One}
    if len(numbers) != 1 or len(sizes) > 1:
        return None
    ((n, planted),) = numbers
    return n, next(iter(sizes), S.One), planted


def _matrix(e: Basic) -> bool:
    return bool(getattr(e, "is_Matrix", False))


def _replaced(e: Basic, function: Callable[[Basic], Basic | None]) -> Basic:
    """Parts of an expression replaced where the function gives something, from the outside in."""
    new = function(e)
    if new is not None:
        return new
    if not e.args or isinstance(e, OverlapMatrix):
        return e
    args = [_replaced(a, function) for a in e.args]
    return e if all(a is b for a, b in zip(args, e.args, strict=True)) else e.func(*args)


# ---- proof


def _differences(lhs: Expr, rhs: Expr, kind: Kind) -> list[tuple[Expr, Expr]]:
    """The equations between numbers that an equation stands for."""
    if _matrix(lhs) or _matrix(rhs):
        left, right = (as_element(side, *kind) for side in (lhs, rhs))
        return [(left.coefficients[k], right.coefficients[k]) for k in BASIS
                if left.coefficients[k] != 0 or right.coefficients[k] != 0]

    def known(e: Basic) -> Basic | None:
        if isinstance(e, log) and isinstance(e.args[0], Determinant):
            return as_element(e.args[0].arg, *kind).log_determinant
        if isinstance(e, Determinant):
            return as_element(e.arg, *kind).determinant
        if isinstance(e, Trace):
            return as_element(e.arg, *kind).trace
        return None

    return [(carried_out(_replaced(lhs, known)), carried_out(_replaced(rhs, known)))]


@lru_cache(maxsize=1)
def algebra_holds() -> None:
    """Check the table against explicit matrices, and the projectors against the table.

    Raises: AssertionError where a fact fails; then the program is wrong.
    """
    for n, p in ((2, 1), (4, 2), (6, 2), (6, 3)):
        basis = {k: Element.of(n, p, True, **{k: 1}).explicit(n, p) for k in BASIS}
        for left, right in product(BASIS, repeat=2):
            name, count = TABLE.get((left, right), ("one", "0"))
            factor = {"0": 0, "1": 1, "p": p, "n": n}[count]
            if basis[left] * basis[right] != factor * basis[name]:
                raise AssertionError(f"{left} times {right} is not {count} times {name} at n = {n}, p = {p}")
    n, p = Symbol("n", positive=True), Symbol("p", positive=True)
    own = Element.of(n, p, True, one=1, block=-1 / p)
    between = Element.of(n, p, True, block=1 / p, ones=-1 / n)
    shared = Element.of(n, p, True, ones=1 / n, corner=1)
    general = Element.of(n, p, True, **{k: Symbol(k) for k in BASIS})
    (a, k), (b, j) = general.sectors()
    facts = [(own + between + shared, Element.identity(n, p, True))]
    projectors = (own, between, shared)
    facts += [(x @ y, x if x is y else Element.of(n, p, True)) for x in projectors for y in projectors]
    facts += [(general @ own, a * own), (own @ general, a * own), (general @ between, b * between),
              (between @ general, b * between)]
    for left_side, right_side in facts:
        if any(expand(left_side.coefficients[c] - right_side.coefficients[c]) != 0 for c in BASIS):
            raise AssertionError("the projectors of the replica algebra do not multiply as they should")
    if expand(own.trace - k) != 0 or expand(between.trace - j) != 0 or expand(shared.trace - 2) != 0:
        raise AssertionError("the projectors of the replica algebra have other traces")


# ---- refutation


def _sizes(kind: Kind) -> Iterator[tuple[int, int]]:
    yield from ((2, 1), (3, 1), (5, 1)) if kind[1] == 1 else ((2, 1), (4, 2), (6, 3))


def _refuted(lhs: Expr, rhs: Expr, kind: Kind, domain: Domain) -> Evidence | None:
    """A witness: an integer number of replicas and values at which explicit matrices do not do what is claimed."""
    for place, where, ball in _trials(lhs, rhs, kind, domain):
        if ball is None or ball.contains(0):
            continue
        gap = str((ball.real if isinstance(ball, acb) else ball).str(10))
        shown = [(str(s), str(v)) for s, v in sorted(place.items(), key=lambda kv: str(kv[0]))]
        at = ", ".join(f"{k} = {v}" for k, v in shown)
        return Evidence(Verdict.REFUTED, f"lhs - rhs = {gap}{where} with explicit matrices at {at}",
                        (*shown, ("lhs - rhs", gap)))
    return None


def explicit_agreements(step: Step, premises: Premises) -> int:
    """At how many random points explicit matrices do what a claim says, to thirty digits, in each of its equations.

    0 where they do not at one of them, or where some equation cannot be written out.
    """
    ctx = context(step, premises)
    matrices = {e.lhs: e.rhs for e in ctx.equations if _matrix(e.lhs)}
    assert isinstance(step.claim, Basic)
    counts = []
    for part in parts_of(step.claim):
        lhs, rhs = (side.xreplace(matrices) for side in part.args)
        kind = _kind(Basic(lhs, rhs))
        balls = [ball for _, _, ball in _trials(lhs, rhs, kind, ctx.domain, 6)] if kind is not None else []
        same = all(ball is not None and ball.contains(0) and abs(ball).upper() < arb(2) ** -100 for ball in balls)
        counts.append(len(balls) if same else 0)
    return min(counts, default=0)


def _trials(
    lhs: Expr, rhs: Expr, kind: Kind, domain: Domain, count: int = 2
) -> Iterator[tuple[Mapping[Symbol, Any], str, arb | acb | None]]:
    """Points with an integer number of replicas, which entry, and the difference of the two sides written out there."""
    n, p, _ = kind
    varied = {v for d in Basic(lhs, rhs).atoms(Derivative) for v in d.variables}
    if n in varied or p in varied or not n.is_Symbol:
        return
    sizes = tuple(_sizes(kind))
    for size, block in sizes[:2] if varied else sizes:
        fixed = {n: Integer(size)} | ({p: Integer(block)} if p.is_Symbol else {})
        narrowed = Domain(tuple((s, i) for s, i in domain.intervals if s not in fixed),
                          tuple(c.subs(fixed) for c in domain.constraints))
        symbols = {s for s in (lhs.free_symbols | rhs.free_symbols) - set(fixed) if isinstance(s, Symbol)}
        for point in points(symbols, narrowed, seed_of(lhs, rhs, size), count, 0.3):
            values = {**fixed, **{s: v for s, v in point.items() if s not in varied}}
            place = {s: v for s, v in {**fixed, **point}.items() if s in fixed or s in symbols}
            for where, difference in _explicit(lhs, rhs, values, size, block):
                yield place, where, _ball(difference, point)


def _explicit(
    lhs: Expr, rhs: Expr, values: Mapping[Symbol, Any], size: int, block: int
) -> Iterator[tuple[str, Expr]]:
    """Differences of the two sides with the matrices written out."""

    def matrix(e: Basic) -> ImmutableMatrix:
        if isinstance(e, OverlapMatrix):
            return e.element.explicit(size, block if e.p != 1 else 1)
        if isinstance(e, Identity):
            return ImmutableMatrix(eye(int(e.shape[0])))
        parts = [matrix(a) if _matrix(a) else a for a in e.args]
        if isinstance(e, MatAdd):
            return sum(parts[1:], parts[0])
        if isinstance(e, MatPow):
            return parts[0] ** int(e.args[1])
        if isinstance(e, MatMul):
            total = parts[0]
            for part in parts[1:]:
                total = total * part
            return total
        raise DeriveError(f"{e} is not a polynomial of overlap matrices", given=str(e), allowed="sums and products")

    def known(e: Basic) -> Basic | None:
        if isinstance(e, Determinant):
            return matrix(e.arg).det()
        return matrix(e.arg).trace() if isinstance(e, Trace) else None

    left, right = (side.subs(values) for side in (lhs, rhs))
    if _matrix(left) or _matrix(right):
        difference = matrix(left) - matrix(right)
        for i, j in product(range(difference.rows), range(difference.cols)):
            yield f" in entry ({i}, {j})", difference[i, j]
    else:
        yield "", carried_out(_replaced(left, known)) - carried_out(_replaced(right, known))


def _ball(difference: Expr, point: Mapping[Symbol, Rational]) -> arb | acb | None:
    """The difference as a finite ball, None where there is none."""
    try:
        ball = enclose(difference, point, 192)
    except (NotEnclosed, ValueError, ZeroDivisionError):
        return None
    return ball if ball.is_finite() else None
