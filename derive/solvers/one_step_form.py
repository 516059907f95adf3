"""A free entropy with one step of symmetry breaking, taken apart into what a solver needs.

The energy of a site is recognised by its shape, E_v [log E_y exp(x phi)/x]: the average over the field of a block of
the exponential of the breakpoint times something, the log of it averaged over everything else.  Fields are linear in
the bound variables, and the squares of their coefficients are the variances.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy import Expr, Symbol

from derive.core import DeriveError
from derive.solvers.one_step import OneStepProblem, compiled
from derive.solvers.one_step_weights import FieldWeight, SpinWeight, Weight

__all__ = ["Reading", "read_one_step"]

_SHAPE = "explicit terms + scale * GaussianAverage(LogAverageExp(x*phi(field), y, Normal())/x, v, ...)"
_FIELD, _VARIANCE = sp.Symbol("omega", real=True), sp.Symbol("V", positive=True)

MakeWeight = Callable[[Mapping[Symbol, float]], Weight | None]


@dataclass(frozen=True)
class Reading:
    """What a free entropy was taken apart into: the problem, and its weight at given parameters."""

    problem: OneStepProblem
    weight: MakeWeight


def read_one_step(
    free_entropy: Expr, pairs: Sequence[tuple[Symbol, Symbol]], breakpoint: Symbol, others: Sequence[Symbol] = (),
    room: Sequence[Expr] = (),
) -> Reading:
    """A one-step free entropy as a problem: explicit part, coordinates of the energy, weight of a replica.

    Args:
        free_entropy: explicit terms and at most one average of the shape E_v log E_y exp(x phi)/x, with phi an
            expression of one linear field in v and y, or the log of an average over a spin of finitely many values.
        pairs: (q_0, q_1), overlaps between and inside blocks; the first pair is the one that is told apart.
        breakpoint: x.
        others: further order parameters.
        room: expressions that are positive inside the domain.
    Raises: DeriveError for a free entropy of another shape, with the part that is not understood.

    >>> from derive.nodes import GaussianAverage, LogAverageExp, Normal, log_cosh
    >>> q0, q1, x, k = sp.symbols("q0 q1 x k", positive=True)
    >>> v, y = sp.symbols("v y", real=True)
    >>> field = k * (sp.sqrt(q0) * v + sp.sqrt(q1 - q0) * y)
    >>> phi = GaussianAverage(LogAverageExp(x * log_cosh(field), y, Normal()) / x, v)
    >>> read_one_step(phi - q1, [(q0, q1)], x).problem.coordinates
    (0, k**2*q0, k**2*(-q0 + q1), 0)
    """
    from derive.nodes.averages import Average

    order = (*(q for pair in pairs for q in pair), *others, breakpoint)
    nodes = _outermost(free_entropy, Average)
    if not nodes:
        problem = OneStepProblem(
            tuple(pairs), tuple(others), breakpoint, free_entropy, None, _rest([free_entropy], order),
            room=tuple(room), stiffness=None)
        return Reading(problem, lambda values: None)
    if len(nodes) > 1:
        raise _not_understood(f"it has {len(nodes)} averages", free_entropy)
    (node,) = nodes
    name = sp.Dummy("node")
    whole = sp.expand_mul(free_entropy.xreplace({node: name}))
    factor = whole.coeff(name)
    explicit = sp.Add(*(t for t in sp.Add.make_args(whole) if not t.has(name)))
    if sp.expand(whole - factor * name - explicit) != 0:
        raise _not_understood("it is not linear in its average", free_entropy)
    outer, block, inner, power = _nested(node, breakpoint)
    scale = sp.simplify(factor * power * breakpoint)
    if scale.free_symbols & set(order):
        raise _not_understood(f"its average has the factor {scale}", free_entropy)
    common, spread, variance, weight = _inner(inner, outer, block, set(order))
    coordinates = (sp.S.Zero, common, spread, variance)
    problem = OneStepProblem(
        tuple(pairs), tuple(others), breakpoint, explicit, coordinates,
        _rest([explicit, scale, *coordinates, inner], order), scale, tuple(room))
    return Reading(problem, weight)


def _rest(expressions: Sequence[Expr], order: Sequence[Symbol]) -> tuple[Symbol, ...]:
    free = set().union(*(e.free_symbols for e in expressions)) - set(order)
    return tuple(sorted((s for s in free if not isinstance(s, sp.Dummy)), key=lambda s: s.name))


def _not_understood(why: str, given: Expr) -> DeriveError:
    return DeriveError(f"the free entropy is not understood: {why}", given=str(given)[:200], allowed=_SHAPE)


def _outermost(e: Any, kind: Any) -> list[Expr]:
    if isinstance(e, kind):
        return [e]
    found: list[Expr] = []
    for a in e.args:
        found += [k for k in _outermost(a, kind) if k not in found]
    return found


def _nested(node: Any, breakpoint: Symbol) -> tuple[tuple[Symbol, ...], Symbol, Expr, Expr]:
    """Outer variables, the variable of a block, phi, and the factor of the log-average inside the outer one."""
    from derive.nodes import GaussianAverage, LogAverageExp, Normal

    outer: tuple[Symbol, ...] = ()
    body: Any = node
    if isinstance(node, GaussianAverage):
        outer, (body,) = node.open()
    logs = _outermost(body, LogAverageExp)
    if len(logs) != 1 or not isinstance(logs[0].law, Normal):
        raise _not_understood("a site is to have the log of one average over the field of a block", node)
    power = body / logs[0]
    if power.free_symbols & set(outer) or power.has(LogAverageExp):
        raise _not_understood(f"the log of a block has the factor {power}", node)
    (block,), (exponent,) = logs[0].open()
    inner = sp.expand_mul(exponent / breakpoint) if exponent.is_Add else exponent / breakpoint
    if breakpoint in inner.free_symbols:
        raise _not_understood(f"the exponent of a block is not {breakpoint} times something without it", exponent)
    return outer, block, inner, power


def _linear(e: Expr, variables: Sequence[Symbol]) -> dict[Symbol, Expr] | None:
    """The coefficients of variables in an expression that is linear in them; None for another one."""
    found = {v: e.diff(v) for v in variables}
    if any(c.free_symbols & set(variables) for c in found.values()):
        return None
    return found


def _inner(
    inner: Expr, outer: Sequence[Symbol], block: Symbol, order: set[Symbol]
) -> tuple[Expr, Expr, Expr, MakeWeight]:
    """Variances of the common field, of that of a block, of a replica's own; and the weight of a replica."""
    from derive.nodes import Atoms, LogAverageExp

    bound = [*outer, block]
    spins = _outermost(inner, LogAverageExp)
    if spins == [inner] and isinstance(spins[0].law, Atoms):
        law = spins[0].law
        (s,), (exponent,) = spins[0].open()
        field, square = (sp.Poly(sp.expand(exponent), s).coeff_monomial(s**k) for k in (1, 2))
        if sp.expand(exponent - field * s - square * s**2) != 0:
            raise _not_understood("the exponent of a spin is not quadratic in it", exponent)
        coefficients = _linear(field, bound)
        fixed = field.xreplace(dict.fromkeys(bound, sp.S.Zero))
        if coefficients is None or square.has(*bound) or fixed.free_symbols & order:
            raise _not_understood("the field of a spin is not linear in the averaged variables", field)
        return (*_variances(coefficients, outer, block), 2 * square, _spin_maker(law, fixed))
    if spins:
        raise _not_understood("the weight of a replica has an average that is not over a spin", inner)
    field = _field_of(inner, bound, block)
    coefficients = _linear(field, bound)
    assert coefficients is not None
    fixed = field.xreplace(dict.fromkeys(bound, sp.S.Zero))
    rest = sum((c * v for v, c in coefficients.items() if v != block), sp.S.Zero)
    moved = inner.xreplace({block: (_FIELD - rest) / coefficients[block]})
    phi = sp.simplify(moved) if moved.has(*outer) or moved.free_symbols & order else moved
    if phi.has(*bound) or phi.free_symbols & order:
        raise _not_understood("the weight of a replica is no function of one field", phi)
    del fixed
    return (*_variances(coefficients, outer, block), sp.S.Zero, _field_maker(phi))


def _variances(coefficients: Mapping[Symbol, Expr], outer: Sequence[Symbol], block: Symbol) -> tuple[Expr, Expr]:
    common = sum((coefficients[v] ** 2 for v in outer), sp.S.Zero)
    return sp.powdenest(common), coefficients[block] ** 2


def _field_of(inner: Expr, bound: Sequence[Symbol], block: Symbol) -> Expr:
    """The largest linear expression in the averaged variables inside phi."""
    if _linear(inner, bound) is not None:
        raise _not_understood("the weight of a replica is linear in its field", inner)
    waiting: list[Any] = [inner]
    while waiting:
        e = waiting.pop(0)
        if e.has(block) and _linear(e, bound) is not None:
            return sp.sympify(e)
        waiting += [a for a in e.args if a.has(block)]
    raise _not_understood("it has no field of a block", inner)


def _spin_maker(law: Any, fixed: Expr) -> MakeWeight:
    points, weights = (tuple(float(p) for p in side) for side in (law.points, law.weights))
    symbols = sorted(fixed.free_symbols, key=str)
    shift = compiled([fixed], symbols)

    def make(values: Mapping[Symbol, float]) -> Weight:
        return SpinWeight(points, weights, float(shift(*(values[s] for s in symbols))[0]))

    return make


def _field_maker(phi: Expr) -> MakeWeight:
    symbols = sorted(phi.free_symbols - {_FIELD}, key=str)
    levels = [phi.diff(_FIELD, k) if k else phi for k in range(5)]
    if any(e.has(sp.DiracDelta, sp.Abs, sp.sign, sp.Heaviside) for e in levels):
        raise _not_understood("the weight of a replica has a kink", phi)
    function = compiled(levels, [_FIELD, *symbols])

    def make(values: Mapping[Symbol, float]) -> Weight:
        given = [values[s] for s in symbols]
        return FieldWeight(lambda omega, variance: function(omega, *given))

    return make
