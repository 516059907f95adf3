"""Carrying premises into a claim: replacing what they define, and performing derivatives that are only written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympy import Basic, Derivative, Determinant, Eq, Expr, MatrixSymbol, Subs, Symbol, Trace, log
from sympy.core.function import AppliedUndef, UndefinedFunction

from derive.nodes.binders import BoundSymbol

__all__ = ["carried_out", "defines", "defines_slice", "replace_function", "rewrite"]


def defines(premise: Eq) -> bool:
    """Whether the left side is a function of symbols, or a symbol, that the right side does not contain."""
    lhs, rhs = premise.lhs, premise.rhs
    if isinstance(lhs, AppliedUndef):
        plain = all(a.is_Symbol for a in lhs.args) and len(set(lhs.args)) == len(lhs.args)
        return plain and lhs.func not in {a.func for a in rhs.atoms(AppliedUndef)}
    return bool(lhs.is_Symbol) and lhs not in rhs.free_symbols


def defines_slice(premise: Eq) -> bool:
    """Whether the left side is a function at symbols and numbers, f(x, 1), and the right side does not contain it."""
    lhs = premise.lhs
    if not isinstance(lhs, AppliedUndef):
        return False
    symbols = [a for a in lhs.args if a.is_Symbol]
    plain = len(set(symbols)) == len(symbols) and all(a.is_Symbol or not a.free_symbols for a in lhs.args)
    return bool(symbols) and plain and lhs.func not in {a.func for a in premise.rhs.atoms(AppliedUndef)}


def rewrite(expr: Basic, premises: Sequence[Eq]) -> tuple[Basic, tuple[Eq, ...]]:
    """The expression with the left sides of premises replaced by their right sides, and the premises not used.

    A premise f(x, ...) = rhs with symbols as arguments replaces f everywhere, at any argument and below derivatives;
    with some numbers among the arguments, where these stand; a premise symbol = rhs replaces the symbol; any other left
    side is replaced where it stands as it is.  Premises of the last kind, and those with numbers, stay among those not
    used, for they say more than that.  A premise may bring in what another one defines.
    """
    unused = list(premises)
    implicit: list[Eq] = []
    for _ in range(len(unused) + 1):
        changed = False
        for functions in (True, False):  # derivatives are taken before symbols get values, functions before that
            if not functions:
                expr = carried_out(expr)
            for premise in tuple(unused):
                if (defines_slice(premise) and not premise.lhs.is_Symbol) is functions:
                    new = _apply(expr, premise)
                    if new != expr:
                        expr, changed = new, True
                        unused.remove(premise)
                        if not defines(premise):
                            implicit.append(premise)
        if not changed:
            break
    left = []
    for premise in (*unused, *implicit):  # what stays is written in the same terms
        plain = premise
        for other in premises:
            if other is not premise and defines(other):
                lhs, rhs = _apply(plain.lhs, other), _apply(plain.rhs, other)
                plain = Eq(lhs, rhs, evaluate=False)
        left.append(plain)
    return carried_out(expr), _binding(left, expr)


def _binding(premises: Sequence[Eq], expr: Basic) -> tuple[Eq, ...]:
    """The premises without those that only name numbers of a matrix which nothing else mentions.

    A real matrix of two rows or more has any trace together with any determinant (the companion matrix of a
    polynomial with these coefficients), so that such premises hold for some matrix whatever the other symbols are.
    """
    named = {p: _named_matrix(p) for p in premises}
    kept = []
    for p in premises:
        matrix = named[p]
        if matrix is None:
            kept.append(p)
            continue
        others = [q for q in premises if q is not p and matrix in q.atoms(MatrixSymbol)]
        same = [q for q in others if named[q] is None or _kind(q.lhs) == _kind(p.lhs)]
        if same or matrix in expr.atoms(MatrixSymbol) or matrix in p.rhs.atoms(MatrixSymbol):
            kept.append(p)
    return tuple(kept)


def _kind(e: Basic) -> type:
    return type(e.args[0]) if isinstance(e, log) else type(e)


def _named_matrix(premise: Eq) -> MatrixSymbol | None:
    """The matrix symbol whose trace, determinant or logarithm of it is the left side of a premise."""
    inside = premise.lhs.args[0] if isinstance(premise.lhs, log) else premise.lhs
    if not isinstance(inside, Determinant if isinstance(premise.lhs, log) else Determinant | Trace):
        return None
    return inside.arg if isinstance(inside.arg, MatrixSymbol) else None


def _apply(expr: Basic, premise: Eq) -> Basic:
    lhs, rhs = premise.lhs, premise.rhs
    if lhs == rhs:
        return expr
    if defines(premise):
        if isinstance(lhs, AppliedUndef):
            return replace_function(expr, lhs.func, lhs.args, rhs)
        return carried_out(_replace_symbol(expr, lhs, rhs)) if lhs in expr.free_symbols else expr
    if defines_slice(premise):
        return replace_function(expr, lhs.func, lhs.args, rhs)
    if lhs.is_Number or rhs.has(lhs):
        return expr
    return expr.xreplace({lhs: rhs})


def _replace_symbol(expr: Basic, symbol: Symbol, value: Expr) -> Basic:
    """Substitution that keeps derivatives of undefined functions meaningful (as Subs)."""
    return expr.subs(symbol, value)


def replace_function(expr: Basic, function: UndefinedFunction, arguments: Iterable[Expr], body: Expr) -> Basic:
    """Every application of an undefined function replaced by its body; derivatives of it are then performed.

    Args: arguments (distinct symbols of the body; numbers among them are to stand in the application as they are).
    """
    if not any(isinstance(a, AppliedUndef) and a.func == function for a in _applied(expr)):
        return expr
    arguments = tuple(arguments)

    def walk(e: Basic) -> Basic:
        if isinstance(e, AppliedUndef) and e.func == function:
            given = tuple(walk(a) for a in e.args)
            if _fits(arguments, given):
                pairs = {x: a for x, a in zip(arguments, given, strict=True) if x.is_Symbol}
                return body.subs(pairs, simultaneous=True)
            return e.func(*given)
        if isinstance(e, Derivative):
            inner = walk(e.expr)
            return inner.diff(*e.variable_count)
        if isinstance(e, Subs):
            return _substituted(walk(e.expr), e.variables, tuple(walk(p) for p in e.point))
        if not e.args or isinstance(e, BoundSymbol):
            return e
        new = [walk(a) for a in e.args]
        return e if all(a is b for a, b in zip(new, e.args, strict=True)) else e.func(*new)

    return walk(expr)


def _fits(arguments: Sequence[Expr], given: Sequence[Basic]) -> bool:
    """Whether an application is one that a definition speaks of: numbers as they stand in it."""
    return len(arguments) == len(given) and all(
        x.is_Symbol or x == a for x, a in zip(arguments, given, strict=True))


def _applied(expr: Basic) -> set[Basic]:
    found: set[Basic] = set()
    waiting: list[Basic] = [expr]
    while waiting:
        e = waiting.pop()
        if isinstance(e, AppliedUndef):
            found.add(e)
        waiting.extend(e.args)
    return found


def carried_out(expr: Basic) -> Basic:
    """All derivatives that are only written, performed; those of undefined functions stay."""
    if not expr.has(Derivative, Subs):
        return expr

    def walk(e: Basic) -> Basic:
        if isinstance(e, Derivative):
            return walk(e.expr).diff(*e.variable_count)
        if isinstance(e, Subs):
            return _substituted(walk(e.expr), e.variables, tuple(walk(p) for p in e.point))
        if not e.args or isinstance(e, BoundSymbol):
            return e
        new = [walk(a) for a in e.args]
        return e if all(a is b for a, b in zip(new, e.args, strict=True)) else e.func(*new)

    return walk(expr)


def _substituted(expr: Basic, variables: Sequence[Symbol], point: Sequence[Basic]) -> Basic:
    """expr at a point; derivatives of undefined functions are kept by SymPy as Subs."""
    pairs = list(zip(variables, point, strict=True))
    if not expr.has(Derivative):
        return expr.subs(pairs, simultaneous=True)
    if len(pairs) == 1:
        return expr.subs(*pairs[0])
    return expr.subs(pairs, simultaneous=True)
