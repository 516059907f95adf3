"""Averages in normal form: linear in what they average, constants outside, independent factors apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flint import fmpq
from sympy import Basic, Derivative, Expr, Subs, Symbol

from derive.nodes.averages import GaussianAverage, LogAverageExp, MeasureAverage, SpectralAverage, TiltedAverage
from derive.nodes.laws import Law, Normal

if TYPE_CHECKING:
    from derive.ledger.field import Field
    from derive.ledger.generators import Fraction

__all__ = ["split_average"]

#: of so many variables of an average all mirror images are compared
_MIRRORS = 4


def split_average(field: Field, node: Basic) -> Fraction:
    """The normal form of a node with bound variables.

    Averages are linear, the average of a constant is the constant, and the average of a product of functions of
    different independent variables is the product of averages.  (Where single terms diverge, linearity refers to some
    linear extension of the average, which changes nothing in an identity between convergent ones.)  A constant leaves
    LogAverageExp as itself and cancels in the tilt of a TiltedAverage.
    """
    if isinstance(node, GaussianAverage):
        return _linear(field, field.build(node.body), tuple(node.variables), Normal(), GaussianAverage)
    if isinstance(node, MeasureAverage | SpectralAverage):
        kind: Any = GaussianAverage if isinstance(node.law, Normal) else type(node)
        return _linear(field, field.build(node.body), (node.var,), node.law, kind)
    if isinstance(node, LogAverageExp):
        outside, inside = _additive_split(field, field.build(node.g), node.var)
        if inside.is_zero:
            return outside
        (inside,) = _mirrored(field, (inside,), (node.var,), node.law)
        key = ("LogAverageExp", inside.key, node.law)
        made = _atom(field, key, LogAverageExp(field.to_expr(inside), node.var, node.law))
        return field.add(outside, made)
    if isinstance(node, TiltedAverage):
        _, tilt = _additive_split(field, field.build(node.g), node.var)
        if tilt.is_zero:
            return _linear(field, field.build(node.f), (node.var,), node.law, MeasureAverage)
        result = field.zero
        for free, own in field.bound_split(field.build(node.f), frozenset((node.var,))):
            if own.num.is_constant() and own.den.is_constant():
                result = field.add(result, free)
                continue
            own, leaning = _mirrored(field, (own, tilt), (node.var,), node.law)
            tilt_expr = field.to_expr(leaning)
            tilted = ("TiltedAverage", own.key, leaning.key, node.law)
            made = _atom(field, tilted, TiltedAverage(field.to_expr(own), tilt_expr, node.var, node.law))
            result = field.add(result, field.mul(free, made))
        return result
    return field.opaque(node)


def _mirrored(
    field: Field, parts: tuple[Fraction, ...], variables: tuple[Symbol, ...], law: Law
) -> tuple[Fraction, ...]:
    """The parts or their mirror images in some variables of an even law, which have the same average: the first of all
    in the order of their texts."""
    from derive.ledger.merging import even_law

    if not even_law(law):
        return parts
    shown = tuple(field.to_expr(p) for p in parts)
    images: dict[tuple[Expr, ...], None] = {shown: None}
    for variable in variables[:_MIRRORS]:
        images |= dict.fromkeys(tuple(_flipped(e, variable) for e in image) for image in tuple(images))
    if len(images) == 1:
        return parts
    forms = (parts, *(tuple(field.build(e) for e in image) for image in images if image != shown))
    return min(forms, key=lambda form: str(tuple(field.to_expr(p) for p in form)))


def _flipped(e: Expr, var: Symbol) -> Expr:
    """The expression at -var; derivatives of undefined functions need a substitution that knows them."""
    return e.subs(var, -var) if e.has(Derivative, Subs) else e.xreplace({var: -var})


def _atom(field: Field, key: Any, expr: Any) -> Fraction:
    from derive.ledger.generators import Generator

    return field.generator(key, lambda: Generator(
        expr, "average", field._positive_by_signs(expr), symbols=frozenset(expr.free_symbols)))


def _additive_split(field: Field, g: Fraction, var: Symbol) -> tuple[Fraction, Fraction]:
    """g = (free of the variable) + (the rest)."""
    outside, inside = field.zero, field.zero
    for free, own in field.bound_split(g, frozenset((var,))):
        if own.num.is_constant() and own.den.is_constant():
            outside = field.add(outside, free)
        else:
            inside = field.add(inside, field.mul(free, own))
    return outside, inside


def _linear(
    field: Field, body: Fraction, variables: tuple[Symbol, ...], law: Law, kind: Any
) -> Fraction:
    result = field.zero
    for free, own in field.bound_split(body, frozenset(variables)):
        term = free
        for part, used in _independent(field, own, variables):
            if not used:
                term = field.mul(term, part)
                continue
            (part,) = _mirrored(field, (part,), used, law)
            arguments = used if kind is GaussianAverage else (*used, law)
            made = kind(field.to_expr(part), *arguments)
            if isinstance(made, kind) and made.bound_symbols != used:  # the names of the variables carry no meaning
                term = field.mul(term, field.build(made))
            else:
                term = field.mul(term, _atom(field, (kind.__name__, part.key, used, law), made))
        result = field.add(result, term)
    return result


def _independent(
    field: Field, own: Fraction, variables: tuple[Symbol, ...]
) -> list[tuple[Fraction, tuple[Symbol, ...]]]:
    """A monomial over a denominator as a product of parts that share no variable, each with its variables."""
    if len(variables) < 2:
        return [(own, variables if _uses(field, own, variables) else ())]
    pieces: list[tuple[set[Symbol], Fraction]] = []
    for monomial, c in own.num.terms():
        pieces.append((set(), field.make(field.ctx.from_dict({tuple(0 for _ in monomial): c}), field.ctx.constant(1))))
        for i, e in enumerate(monomial):
            if e:
                single = tuple(e if j == i else 0 for j in range(len(monomial)))
                part = field.make(field.ctx.from_dict({single: fmpq(1)}), field.ctx.constant(1))
                pieces.append((set(field.gens[i].symbols) & set(variables), part))
    if not own.den.is_constant():
        c, parts = own.den.factor()
        pieces.append((set(), field.make(field.ctx.constant(1), field.ctx.constant(c))))
        for part, m in parts:
            used = set(field.symbols_of(part)) & set(variables)
            pieces.append((used, field.make(field.ctx.constant(1), part**m)))
    groups: list[tuple[set[Symbol], Fraction]] = []
    for used, part in pieces:
        joined, value = set(used), part
        rest = []
        for other, product in groups:
            if (other & used) or (not other and not used):
                joined, value = joined | other, field.mul(value, product)
            else:
                rest.append((other, product))
        groups = [*rest, (joined, value)]
    return [(value, tuple(v for v in variables if v in used)) for used, value in groups]


def _uses(field: Field, own: Fraction, variables: tuple[Symbol, ...]) -> bool:
    used = field.symbols_of(own.num) | field.symbols_of(own.den)
    return bool(used & set(variables))
