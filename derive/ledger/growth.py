"""Growth beyond all bounds, read off the form of an expression."""

from __future__ import annotations

from sympy import Add, Basic, Dummy, Expr, Mul, Pow, S, Symbol, oo

from derive.core import Domain
from derive.ledger.domain import declared

__all__ = ["behaviour", "grows_beyond"]


def grows_beyond(f: Expr, x: Symbol, end: Expr, domain: Domain) -> str | None:
    """Why f -> +oo as x goes to an end of its interval, for every value of the other symbols, or None.

    The end is first moved to infinity, x = 1/q or lower + 1/q or upper - 1/q; then each term is classified by its form
    alone: sums, products, powers, exponentials and logarithms of what is constant, grows to infinity, falls to zero.
    """
    r = declared(x, domain)
    y = Dummy("y", positive=True)
    if end == oo:
        g = f.subs(x, y)
    elif end == -oo:
        g = f.subs(x, -y)
    elif end == r.lower:
        g = f.subs(x, end + 1 / y)
    else:
        g = f.subs(x, end - 1 / y)
    return "it grows beyond all bounds" if behaviour(g, y) == "+oo" else None


def behaviour(e: Basic, y: Symbol) -> str | None:
    """What e does as y -> oo: "+oo", "-oo", "0+", "0-", "0", "c+", "c-", "c" (a finite limit of that sign), or None.

    Finite limits are those whose existence follows from continuity of the parts.
    """
    if y not in e.free_symbols:
        return "c+" if e.is_positive else "c-" if e.is_negative else "0" if e.is_zero else "c" if e.is_real else None
    if e == y:
        return "+oo"
    if e.is_Add:
        return _sum([behaviour(a, y) for a in e.args])
    if e.is_Mul:
        return _product([behaviour(a, y) for a in e.args])
    if isinstance(e, Pow) and e.base is not S.Exp1 and e.exp.is_Rational:
        return _power(behaviour(e.base, y), e.exp)
    inner = behaviour(e.args[0], y) if len(e.args) == 1 else None
    table = _TABLES.get(type(e).__name__)
    return table.get(inner) if table is not None and inner is not None else None


def _sum(kinds: list[str | None]) -> str | None:
    if None in kinds:
        return None
    if "+oo" in kinds:
        return None if "-oo" in kinds else "+oo"
    if "-oo" in kinds:
        return "-oo"
    signs = {k for k in kinds if k not in ("0", "0+", "0-")}
    if not signs:
        rest = set(kinds)
        return "0+" if rest == {"0+"} else "0-" if rest == {"0-"} else "0"
    return signs.pop() if len(signs) == 1 else "c"


def _product(kinds: list[str | None]) -> str | None:
    if None in kinds:
        return None
    negative = sum(k in ("-oo", "0-", "c-") for k in kinds) % 2
    infinite = any(k in ("+oo", "-oo") for k in kinds)
    zero = any(k in ("0", "0+", "0-") for k in kinds)
    if infinite:
        if zero or "c" in kinds:
            return None
        return "-oo" if negative else "+oo"
    if zero:
        return "0" if "c" in kinds or "0" in kinds else "0-" if negative else "0+"
    return "c" if "c" in kinds else "c-" if negative else "c+"


def _power(kind: str | None, exponent: Expr) -> str | None:
    if kind is None:
        return None
    even = exponent.is_Integer and exponent % 2 == 0
    if exponent > 0:
        if kind in ("+oo", "0+", "c+", "0"):
            return kind if kind != "0" or exponent.is_Integer else None
        if not exponent.is_Integer:
            return None
        if kind == "c":
            return "c"
        return {"-oo": "+oo", "0-": "0+", "c-": "c+"}[kind] if even else kind
    inverse = {"+oo": "0+", "-oo": "0-", "0+": "+oo", "0-": "-oo", "c+": "c+", "c-": "c-"}.get(kind)
    if inverse is None or (not exponent.is_Integer and kind in ("-oo", "0-", "c-")):
        return None
    return {"0-": "0+", "-oo": "+oo", "c-": "c+"}.get(inverse, inverse) if even else inverse


_TABLES: dict[str, dict[str, str]] = {
    "exp": {"+oo": "+oo", "-oo": "0+", "0": "c+", "0+": "c+", "0-": "c+", "c": "c+", "c+": "c+", "c-": "c+"},
    "log": {"+oo": "+oo", "0+": "-oo", "c+": "c"},
    "tanh": {"+oo": "c+", "-oo": "c-", "0": "0", "0+": "0+", "0-": "0-", "c": "c", "c+": "c+", "c-": "c-"},
    "log_cosh": {"+oo": "+oo", "-oo": "+oo", "0": "0", "0+": "0+", "0-": "0+", "c": "c", "c+": "c+", "c-": "c+"},
    "softplus": {"+oo": "+oo", "-oo": "0+", "0": "c+", "0+": "c+", "0-": "c+", "c": "c+", "c+": "c+", "c-": "c+"},
    "erf": {"+oo": "c+", "-oo": "c-", "0": "0", "0+": "0+", "0-": "0-", "c": "c", "c+": "c+", "c-": "c-"},
    "erfc": {"+oo": "0+", "-oo": "c+", "0": "c+", "0+": "c+", "0-": "c+", "c": "c+", "c+": "c+", "c-": "c+"},
    "cosh": {"+oo": "+oo", "-oo": "+oo", "0": "c+", "0+": "c+", "0-": "c+", "c": "c+", "c+": "c+", "c-": "c+"},
}

_ = (Add, Mul)
