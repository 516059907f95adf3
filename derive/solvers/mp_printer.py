"""An expression as the text of an mpmath expression, from the same allow-list as the NumPy code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp
from sympy import Add, Basic, Expr, Mul, Pow, Symbol

from derive.core import DeriveError

__all__ = ["MpText"]

_CALLS: dict[type, str] = {
    sp.exp: "mpmath.exp",
    sp.log: "mpmath.log",
    sp.sin: "mpmath.sin",
    sp.cos: "mpmath.cos",
    sp.tan: "mpmath.tan",
    sp.sinh: "mpmath.sinh",
    sp.cosh: "mpmath.cosh",
    sp.tanh: "mpmath.tanh",
    sp.asin: "mpmath.asin",
    sp.acos: "mpmath.acos",
    sp.atan: "mpmath.atan",
    sp.asinh: "mpmath.asinh",
    sp.acosh: "mpmath.acosh",
    sp.atanh: "mpmath.atanh",
    sp.Abs: "abs",
    sp.sign: "mpmath.sign",
    sp.floor: "mpmath.floor",
    sp.erf: "mpmath.erf",
    sp.erfc: "mpmath.erfc",
    sp.erfinv: "mpmath.erfinv",
    sp.gamma: "mpmath.gamma",
    sp.loggamma: "mpmath.loggamma",
    sp.LambertW: "mpmath.lambertw",
    sp.Max: "max",
    sp.Min: "min",
    sp.coth: "mpmath.coth",
    sp.sech: "mpmath.sech",
    sp.csch: "mpmath.csch",
    sp.sec: "mpmath.sec",
    sp.csc: "mpmath.csc",
    sp.cot: "mpmath.cot",
}
_NODES = {
    "log_cosh": "log_cosh",
    "log_erfc": "log_erfc",
    "log_erfc_drop": "log_erfc_drop",
    "log1mexp": "log1mexp",
    "softplus": "softplus",
    "erfcx": "erfcx",
    "log_sum_exp": "log_sum_exp",
    "MPResponse": "mp_response",
}
_CONSTANTS = {
    sp.pi: "mpmath.pi",
    sp.E: "mpmath.e",
    sp.EulerGamma: "mpmath.euler",
    sp.oo: "mpmath.inf",
    -sp.oo: "-mpmath.inf",
}
_RELATIONS: dict[type, str] = {
    sp.StrictLessThan: "<",
    sp.LessThan: "<=",
    sp.StrictGreaterThan: ">",
    sp.GreaterThan: ">=",
    sp.Eq: "==",
    sp.Ne: "!=",
}


class MpText:
    """Prints expressions; `uses` gathers the helper functions that the text calls.

    Arguments: names, the identifiers of the symbols.
    """

    def __init__(self, names: Mapping[Symbol, str]) -> None:
        self.names = dict(names)
        self.uses: set[str] = set()

    def text(self, e: Basic) -> str:
        """The text of an expression or of a condition within it.

        Raises: DeriveError for a class that is not in the list.
        """
        if isinstance(e, Symbol):
            if e not in self.names:
                raise DeriveError(f"the symbol {e} is neither a parameter nor an unknown", given=str(e))
            return str(self.names[e])
        if isinstance(e, sp.Integer):
            return f"({e})" if e < 0 else str(e)
        if isinstance(e, sp.Rational):
            return f"(mpmath.mpf({e.p}) / {e.q})"
        if isinstance(e, sp.Float):
            value = sp.Rational(e)
            return f"(mpmath.mpf({value.p}) / {value.q})"
        if e in _CONSTANTS:
            return str(_CONSTANTS[e])
        if isinstance(e, Add):
            return "(" + " + ".join(self.text(a) for a in e.args) + ")"
        if isinstance(e, Mul):
            top = [a for a in e.args if not (isinstance(a, Pow) and a.exp == -1)]
            bottom = [a.base for a in e.args if isinstance(a, Pow) and a.exp == -1]
            head = " * ".join(self.text(a) for a in top) or "mpmath.mpf(1)"
            return f"({head} / ({' * '.join(self.text(a) for a in bottom)}))" if bottom else f"({head})"
        if isinstance(e, Pow) and not isinstance(e, sp.exp):
            return self._power(e)
        if isinstance(e, sp.Piecewise):
            text = "mpmath.nan"
            for value, condition in reversed(e.args):
                text = f"({self.text(value)} if {self.condition(condition)} else {text})"
            return text
        if isinstance(e, sp.Heaviside):
            x = self.text(e.args[0])
            return f"(mpmath.mpf(0) if {x} < 0 else mpmath.mpf(1) if {x} > 0 else {self.text(e.args[1])})"
        kind = type(e).__name__ if (type(e).__module__ or "").startswith("derive.nodes.") else ""
        call = _NODES.get(kind) or _CALLS.get(type(e))
        if call is None or (isinstance(e, sp.LambertW) and len(e.args) != 1):
            return self.other(e)
        if kind:
            self.uses.add(call)
        arguments = ", ".join(self.text(a) for a in e.args)
        if call in ("abs", "mpmath.log", "max", "min"):
            return f"{call}({arguments})"
        return f"{call}({arguments})"

    def _power(self, e: Expr) -> str:
        base, power = e.args
        if power == sp.Rational(1, 2):
            return f"mpmath.sqrt({self.text(base)})"
        if power == -1:
            return f"(1 / {self.text(base)})" if not base.is_Integer else f"(mpmath.mpf(1) / {self.text(base)})"
        return f"mpmath.power({self.text(base)}, {self.text(power)})"

    def condition(self, e: Basic) -> str:
        """The text of a condition inside an expression."""
        if e in (sp.true, sp.false):
            return str(bool(e))
        if isinstance(e, sp.And | sp.Or):
            word = " and " if isinstance(e, sp.And) else " or "
            return "(" + word.join(self.condition(a) for a in sorted(e.args, key=sp.default_sort_key)) + ")"
        if isinstance(e, sp.Not):
            return f"(not {self.condition(e.args[0])})"
        if type(e) in _RELATIONS:
            return f"({self.text(e.lhs)} {_RELATIONS[type(e)]} {self.text(e.rhs)})"
        raise self.refusal(e)

    def other(self, e: Any) -> str:
        """The text of a node with bound variables."""
        if hasattr(e, "bound_symbols"):
            raise DeriveError(
                f"an mpmath file with a numerical average ({type(e).__name__}) is not offered",
                given=type(e).__name__,
                allowed="the numpy target, or solver('mpmath') for digits",
                nearest="numpy",
            )
        raise self.refusal(e)

    @staticmethod
    def refusal(e: Basic) -> DeriveError:
        """The error for something that is not in the list."""
        return DeriveError(
            f"no mpmath code is generated for {type(e).__name__}: {str(e)[:80]}",
            given=type(e).__name__,
            allowed="arithmetic, elementary functions and the safe functions of derive.nodes",
        )
