"""Bound variables: the part of every node that captures nothing and is equal to its renamings.

A binder is an expression some of whose arguments ("scoped") are read with bound variables.  On construction the bound
variables are replaced by canonical `BoundSymbol`s, numbered from the inside out, so that two expressions that differ
only in the names of their bound variables are the same tree: equal, with equal hash.  Substitution never touches a
bound variable and renames it where the value brought in has the same one.  Readable names are chosen at printing time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from sympy import Basic, Dummy, Symbol
from sympy.core.sympify import _sympify

from derive.core import DeriveError

__all__ = ["Binder", "BoundSymbol", "canonical", "display_symbols", "height"]


class BoundSymbol(Symbol):  # type: ignore[misc]
    """A canonical bound variable, named letter_index. Made by binders; differs from any Symbol of the same name."""

    @classmethod
    def of(cls, letter: str, index: int, assumptions: Mapping[str, bool]) -> BoundSymbol:
        """The bound variable of one kind and number.

        >>> BoundSymbol.of("x", 0, {"real": True})
        x_0
        """
        return cls(f"{letter}_{index}", **assumptions)

    @property
    def index(self) -> int:
        """The number of the variable, counted from the innermost binder."""
        return int(self.name.rpartition("_")[2])


def height(expr: Basic) -> int:
    """One more than the largest index bound anywhere inside `expr`; 0 where nothing is bound."""
    if isinstance(expr, Binder):
        own = 1 + max(v.index for v in expr.bound_symbols)
        return max([own, *(height(a) for a in expr.outer)])
    return max((height(a) for a in expr.args), default=0)


def canonical(
    scoped: Sequence[Basic], variables: Sequence[Symbol], letter: str, assumptions: Mapping[str, bool]
) -> tuple[tuple[Basic, ...], tuple[BoundSymbol, ...]]:
    """Scoped expressions and their variables, renamed canonically.

    The indices are the smallest that exceed those bound further inside and differ from free bound symbols; the last
    variable gets the smallest.
    """
    fresh = {v: Dummy(v.name, **assumptions) for v in variables}

    def choose(opened: Sequence[Basic], own: frozenset[Symbol]) -> tuple[BoundSymbol, ...]:
        taken = {s.index for e in opened for s in e.free_symbols if isinstance(s, BoundSymbol) and s not in own}
        index = max(height(e) for e in opened)
        chosen: list[BoundSymbol] = []
        while len(chosen) < len(variables):
            if index not in taken:
                chosen.append(BoundSymbol.of(letter, index, assumptions))
            index += 1
        return tuple(reversed(chosen))

    if all(isinstance(v, BoundSymbol) for v in variables):
        chosen = choose(scoped, frozenset(variables))
        if chosen == tuple(variables):
            return tuple(scoped), chosen
    opened = [e.xreplace(fresh) for e in scoped]
    chosen = choose(opened, frozenset())
    closing = dict(zip(fresh.values(), chosen, strict=True))
    return tuple(e.xreplace(closing) for e in opened), chosen


def display_symbols(
    bound: Sequence[Symbol], names: Sequence[str], avoid: Iterable[str], assumptions: Mapping[str, bool]
) -> dict[Symbol, Symbol]:
    """Readable symbols for bound ones, with names that occur nowhere else in the expression."""
    taken = set(avoid)
    candidates = [*names, *(f"{n}{k}" for k in range(1, len(bound) + len(taken) + 1) for n in names)]
    free = [n for n in candidates if n not in taken]
    return {v: Symbol(n, **assumptions) for v, n in zip(bound, free, strict=False)}


class Binder(Basic):  # type: ignore[misc]
    """Base of nodes with bound variables.

    A subclass says which argument slots are scoped and which are the variables (`_slots`), which letter and display
    names its variables have, and builds itself canonically in `__new__`.
    """

    letter: ClassVar[str] = "x"
    names: ClassVar[tuple[str, ...]] = ("x", "y", "z", "u", "v")

    @classmethod
    def _slots(cls, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Indices of the scoped arguments and of the variables among `count` arguments."""
        return (0,), (1,)

    @property
    def scoped(self) -> tuple[Basic, ...]:
        """The arguments in which the variables are bound."""
        return tuple(self.args[i] for i in self._slots(len(self.args))[0])

    @property
    def bound_symbols(self) -> tuple[BoundSymbol, ...]:
        """The canonical bound variables."""
        return tuple(self.args[i] for i in self._slots(len(self.args))[1])

    @property
    def outer(self) -> tuple[Basic, ...]:
        """The arguments outside the scope of the variables."""
        inside = set(sum(self._slots(len(self.args)), ()))
        return tuple(a for i, a in enumerate(self.args) if i not in inside)

    @property
    def free_symbols(self) -> set[Symbol]:
        """Symbols that can be substituted; bound variables are not among them."""
        inside = set().union(*(e.free_symbols for e in self.scoped)) - set(self.bound_symbols)
        return inside.union(*(a.free_symbols for a in self.outer))

    def open(self) -> tuple[tuple[Symbol, ...], tuple[Basic, ...]]:
        """Fresh variables and the scoped arguments written in them; safe to combine with anything."""
        fresh = {v: Dummy(v.name, **v._assumptions_orig) for v in self.bound_symbols}
        return tuple(fresh.values()), tuple(e.xreplace(fresh) for e in self.scoped)

    def _rebuilt(self, scoped: Sequence[Basic], variables: Sequence[Symbol], outer: Sequence[Basic]) -> Basic:
        """The same kind of node with other arguments."""
        inside, bound = self._slots(len(self.args))
        parts = dict(zip(inside, scoped, strict=True)) | dict(zip(bound, variables, strict=True))
        rest = iter(outer)
        return self.func(*(parts[i] if i in parts else next(rest) for i in range(len(self.args))))

    def _xreplace(self, rule: Any) -> tuple[Basic, bool]:
        if self in rule:
            return rule[self], True
        if isinstance(rule, Mapping):
            bound = set(self.bound_symbols)
            inner: Any = {k: v for k, v in rule.items() if not (_free(k) & bound)}
            capture = any(_free(v) & bound for v in inner.values())
        else:
            inner, capture = rule, False
        variables, scoped = self.open() if capture else (self.bound_symbols, self.scoped)
        replaced = [e._xreplace(inner) if inner else (e, False) for e in scoped]
        outer = [a._xreplace(rule) for a in self.outer]
        if not any(changed for _, changed in (*replaced, *outer)):
            return self, False
        return self._rebuilt([e for e, _ in replaced], variables, [a for a, _ in outer]), True

    def _eval_subs(self, old: Any, new: Any) -> Basic:
        bound = set(self.bound_symbols)
        outer = [a._subs(old, new) for a in self.outer]
        if _free(old) & bound:
            variables, scoped = self.bound_symbols, list(self.scoped)
        elif _free(new) & bound:
            variables, opened = self.open()
            scoped = [e._subs(old, new) for e in opened]
        else:
            variables, scoped = self.bound_symbols, [e._subs(old, new) for e in self.scoped]
        if tuple(scoped) == self.scoped and tuple(outer) == self.outer:
            return self
        return self._rebuilt(scoped, variables, outer)

    def displayed(self) -> tuple[tuple[Basic, ...], tuple[Symbol, ...]]:
        """Scoped arguments and variables under readable names that clash with nothing in the node."""
        bound = self.bound_symbols
        avoid = {s.name for s in self.free_symbols}
        named = display_symbols(bound, self.names, avoid, bound[0]._assumptions_orig)
        return tuple(e.xreplace(named) for e in self.scoped), tuple(named[v] for v in bound)

    def _sympystr(self, printer: Any) -> str:
        scoped, variables = self.displayed()
        inside, bound = self._slots(len(self.args))
        parts = dict(zip(inside, scoped, strict=True)) | dict(zip(bound, variables, strict=True))
        shown = (printer._print(parts.get(i, a)) for i, a in enumerate(self.args))
        return f"{type(self).__name__}({', '.join(shown)})"

    def _pretty(self, printer: Any) -> Any:
        from sympy import sstr
        from sympy.printing.pretty.stringpict import prettyForm

        return prettyForm(sstr(self))


def _free(thing: Any) -> set[Symbol]:
    return thing.free_symbols if isinstance(thing, Basic) else set()


def as_expr(thing: Any, what: str) -> Any:
    """A SymPy object from a number or an expression; text is refused, it is never evaluated.

    Raises: DeriveError where the thing is not a SymPy object or a number.
    """
    from sympy import SympifyError

    try:
        return _sympify(thing)
    except SympifyError:
        raise DeriveError(
            f"{what} is given as {type(thing).__name__}; a SymPy expression or a number is needed",
            given=repr(thing), allowed="a SymPy expression or a number",
        ) from None


def as_symbol(thing: Any, what: str) -> Symbol:
    """The symbol that is to be bound.

    Raises: DeriveError where it is not a symbol.
    """
    if not isinstance(thing, Symbol):
        raise DeriveError(
            f"{what} must be a symbol, not {thing}", given=str(thing), allowed="a sympy.Symbol"
        )
    return thing
