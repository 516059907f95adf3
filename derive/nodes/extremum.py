"""The extremum of an expression over a variable, and the point where it is taken."""

from __future__ import annotations

from typing import Any

from sympy import Basic, Derivative, Eq, Expr, FiniteSet, Interval, Piecewise, S, Symbol, true
from sympy.core.symbol import Str
from sympy.logic.boolalg import Boolean
from sympy.printing.precedence import PRECEDENCE

from derive.core import DeriveError
from derive.nodes.averages import Average
from derive.nodes.binders import as_expr, as_symbol, canonical

__all__ = ["ArgExtremum", "Extremum"]

KINDS = ("max", "min", "extr")


def _interval_assumptions(interval: Interval) -> dict[str, bool]:
    if interval.start.is_positive or (interval.start.is_nonnegative and interval.left_open):
        return {"positive": True}
    return {"nonnegative": True} if interval.start.is_nonnegative else {"real": True}


class _Extremal(Average):
    """What the value and the place of an extremum share: arguments (body, var, interval, kind)."""

    letter = "m"
    names = ("m", "q", "r", "l")
    precedence = PRECEDENCE["Mul"] - 1

    def __new__(cls, body: Any, var: Any, interval: Any, kind: Any = "extr") -> Expr:
        expr = as_expr(body, "the body of an extremum")
        symbol = as_symbol(var, "the variable of an extremum")
        name = str(kind)
        if name not in KINDS:
            raise DeriveError(f"an extremum of kind {name!r} is asked", given=name, allowed=", ".join(KINDS))
        if isinstance(interval, FiniteSet) and len(interval) == 1:
            (point,) = interval
            return cls._at(expr, symbol, point)
        if interval == S.Reals:
            interval = Interval(-S.Infinity, S.Infinity)
        if not isinstance(interval, Interval):
            raise DeriveError(
                f"an extremum over {interval} is asked", given=str(interval), allowed="a non-empty Interval"
            )
        (expr,), (bound,) = canonical([expr], [symbol], cls.letter, _interval_assumptions(interval))
        trivial = cls._trivial(expr, bound)
        return Basic.__new__(cls, expr, bound, interval, Str(name)) if trivial is None else trivial

    @classmethod
    def _at(cls, body: Expr, var: Symbol, point: Expr) -> Expr:
        raise NotImplementedError

    @staticmethod
    def _trivial(body: Expr, var: Symbol) -> Expr | None:
        return None

    body = property(lambda self: self.args[0])
    var = property(lambda self: self.args[1])
    interval = property(lambda self: self.args[2])
    kind = property(lambda self: self.args[3].name)

    @property
    def stationarity(self) -> Eq:
        """d body / d var = 0, in the node's bound variable `var`."""
        return Eq(self.body.diff(self.var), 0, evaluate=False)

    @property
    def interior(self) -> bool:
        """Whether the extremum cannot lie at an end, because the interval has none."""
        return bool(self.interval.left_open and self.interval.right_open) or self.kind == "extr"

    def doit(self, **hints: Any) -> Expr:
        """The closed form where the stationarity condition is solved explicitly, else the node."""
        body = self.body.doit(**hints) if hints.get("deep", True) else self.body
        node = self.func(body, self.var, self.interval, self.kind)
        if not isinstance(node, _Extremal):
            return node
        value, condition = node.closed_form()
        if value is None:
            return node
        return value if condition == true else Piecewise((value, condition), (node, True))

    def place(self) -> tuple[Expr | None, Boolean]:
        """The point of the extremum and the condition under which it is that; None where it is not explicit."""
        from derive.nodes.extremum_forms import explicit_place

        (variable,), (body,) = self.open()
        return explicit_place(body, variable, self.interval, self.kind)

    def _eval_is_real(self) -> bool | None:
        return True if self.scoped[0].is_real else None


class Extremum(_Extremal):
    """The extremal value of `body` over `var` in `interval`.

    kind: "max" or "min" (over the interval, ends included), "extr" (the value at the stationary point, whatever it
    is: the sense of the replica method).  Derivatives in parameters are taken by the envelope theorem, at the place
    `.argument`; they are right where that place is unique.

    >>> from sympy import Interval, oo, symbols
    >>> x, a = symbols("x a", real=True)
    >>> Extremum(a*x - x**2/2, x, Interval(-oo, oo), "max").doit()
    a**2/2
    """

    @classmethod
    def _at(cls, body: Expr, var: Symbol, point: Expr) -> Expr:
        return body.subs(var, point)

    @staticmethod
    def _trivial(body: Expr, var: Symbol) -> Expr | None:
        return None if var in body.free_symbols else body

    @property
    def argument(self) -> Expr:
        """The place of the extremum, as a node."""
        return ArgExtremum(self.body, self.var, self.interval, self.kind)

    def closed_form(self) -> tuple[Expr | None, Boolean]:
        point, condition = self.place()
        return (None, true) if point is None else (self.body.subs(self.var, point), condition)

    def _eval_derivative(self, symbol: Symbol) -> Expr:
        if symbol in self.interval.free_symbols:
            return Derivative(self, symbol, evaluate=False)
        (variable,), (body,) = self.open()
        return body.diff(symbol).subs(variable, self.argument)

    def _latex(self, printer: Any) -> str:
        (body,), (variable,) = self.displayed()
        name = {"extr": r"\operatorname*{extr}", "max": r"\max", "min": r"\min"}[self.kind]
        shown = printer._print(body)
        return rf"{name}_{{{_range(printer, variable, self.interval)}}} \left[{shown}\right]"


class ArgExtremum(_Extremal):
    """The place where an Extremum is taken; derivatives by the implicit function theorem where it is interior."""

    @classmethod
    def _at(cls, body: Expr, var: Symbol, point: Expr) -> Expr:
        return point

    def closed_form(self) -> tuple[Expr | None, Boolean]:
        return self.place()

    def _eval_derivative(self, symbol: Symbol) -> Expr:
        if symbol in self.interval.free_symbols or not self.interior:
            return Derivative(self, symbol, evaluate=False)
        (variable,), (body,) = self.open()
        slope = body.diff(variable)
        return (-slope.diff(symbol) / slope.diff(variable)).subs(variable, self)

    def _sign(self, assumption: str) -> bool | None:
        return True if getattr(self.bound_symbols[0], assumption) else None

    def _eval_is_real(self) -> bool | None:
        return True

    def _latex(self, printer: Any) -> str:
        (body,), (variable,) = self.displayed()
        name = rf"\operatorname*{{arg\,{self.kind}}}_{{{_range(printer, variable, self.interval)}}}"
        return rf"{name} \left[{printer._print(body)}\right]"


def _range(printer: Any, variable: Symbol, interval: Interval) -> str:
    if interval == Interval(-S.Infinity, S.Infinity):
        return str(printer._print(variable))
    return rf"{printer._print(variable)} \in {printer._print(interval)}"

