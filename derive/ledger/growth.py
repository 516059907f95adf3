"""Limits and growth, read off the form of an expression."""

from __future__ import annotations

from sympy import Add, Basic, Dummy, Expr, Poly, Pow, S, Symbol, log, oo, together

from derive.core import Domain
from derive.ledger.domain import declared
from derive.nodes.averages import Average, GaussianAverage, MeasureAverage, SpectralAverage
from derive.nodes.laws import Atoms, Density, MarchenkoPastur, Normal

__all__ = ["behaviour", "grows_beyond"]


def grows_beyond(f: Expr, x: Symbol, end: Expr, domain: Domain) -> str | None:
    """Why f -> +oo, or to a positive limit, as x goes to an end of its interval, whatever the other symbols; or None.

    The end is first moved to infinity, x = 1/y or lower + 1/y or upper - 1/y; then each term is classified by its form
    alone: rational functions by degrees and leading coefficients; sums, products, powers, exponentials and logarithms
    of what is constant, grows to infinity, falls to zero; averages by Fatou's lemma.
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
    kind = behaviour(g, y, domain)
    return {"+oo": "it grows beyond all bounds", "c+": "it has a positive limit"}.get(kind or "")


def behaviour(e: Basic, y: Symbol, domain: Domain) -> str | None:
    """What e does as y -> oo: "+oo", "-oo", "0+", "0-", "0", "c+", "c-", "c" (a finite limit of that sign), or None.

    "0+" is a limit zero from above.  Finite limits are those whose existence follows from continuity of the parts.
    """
    if y not in e.free_symbols:
        return "c+" if e.is_positive else "c-" if e.is_negative else "0" if e.is_zero else "c" if e.is_real else None
    if e == y:
        return "+oo"
    if e.is_rational_function(y):
        return _rational(e, y, domain)
    if e.is_Add:
        rational = [a for a in e.args if a.is_rational_function(y)]
        others = [behaviour(a, y, domain) for a in e.args if a not in rational]
        return _sum([_rational(Add(*rational), y, domain), *others] if rational else others)
    if e.is_Mul:
        return _product([behaviour(a, y, domain) for a in e.args])
    if isinstance(e, Pow) and e.base is not S.Exp1 and e.exp.is_Rational:
        return _power(behaviour(e.base, y, domain), e.exp)
    if isinstance(e, SpectralAverage | MeasureAverage | GaussianAverage) and len(e.bound_symbols) == 1:
        return _average(e, y, domain)
    if isinstance(e, log) and (near := behaviour(e.args[0] - 1, y, domain)) in ("0", "0+", "0-"):
        return near
    inner = behaviour(e.args[0], y, domain) if len(e.args) == 1 else None
    table = _TABLES.get(type(e).__name__)
    return table.get(inner) if table is not None and inner is not None else None


def _rational(e: Basic, y: Symbol, domain: Domain) -> str | None:
    """By the degrees and the leading coefficients of numerator and denominator."""
    if y not in e.free_symbols:
        return behaviour(e, y, domain)
    num, den = (Poly(p, y) for p in together(e).as_numer_denom())
    if num.is_zero:
        return "0"
    below = _sign(den.LC(), domain)
    if below == 0:
        return None
    sign = below * _sign(num.LC(), domain)
    gap = num.degree() - den.degree()
    if gap == 0:
        return {1: "c+", -1: "c-", 0: "c"}[sign]
    if sign == 0:
        return "0" if gap < 0 else None
    return ("+oo" if sign > 0 else "-oo") if gap > 0 else ("0+" if sign > 0 else "0-")


def _sign(e: Expr, domain: Domain) -> int:
    from derive.ledger.positivity import prove_positive

    if prove_positive(e, domain, 1):
        return 1
    return -1 if prove_positive(-e, domain, 1) else 0


def _average(e: Average, y: Symbol, domain: Domain) -> str | None:
    """By Fatou's lemma: an integrand of one sign that grows beyond all bounds at every point off zero.

    All these laws have weight off zero, so that the average grows beyond all bounds too.  And by monotone convergence:
    an integrand of one sign whose size falls to zero at every point has an average that falls to zero.
    """
    from derive.ledger.positivity import prove_positive

    law = Normal() if isinstance(e, GaussianAverage) else e.law
    if isinstance(law, Atoms):
        pairs = zip(law.points, law.weights, strict=True)
        return behaviour(Add(*(w * e.body.xreplace({e.var: p}) for p, w in pairs)), y, domain)
    if not isinstance(law, MarchenkoPastur | Density | Normal) or y in law.free_symbols:
        return None
    bound = e.bound_symbols[0]
    off = [Dummy("c", positive=True)]
    if not (bound.is_nonnegative or isinstance(law, MarchenkoPastur)):
        off.append(Dummy("c", negative=True))
    anywhere = Dummy("c", **bound._assumptions_orig)
    for sign, word in ((1, "+oo"), (-1, "-oo")):
        grows = all(behaviour(sign * e.body.xreplace({bound: c}), y, domain) == "+oo" for c in off)
        body = sign * e.body.xreplace({bound: anywhere})
        if grows and prove_positive(body, domain, 3, strict=False):
            return word
        falls = all(behaviour((sign * e.body.xreplace({bound: c})).expand(), y, domain) in ("0", "0+") for c in off)
        if falls and all(prove_positive(k, domain, 3, strict=False) for k in (body, -body.diff(y))):
            return "0+" if sign > 0 else "0-"
    return None


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


_ODD = {"0": "0", "0+": "0+", "0-": "0-", "c": "c", "c+": "c+", "c-": "c-"}
_POSITIVE = dict.fromkeys(("0", "0+", "0-", "c", "c+", "c-"), "c+")
_TABLES: dict[str, dict[str, str]] = {
    "exp": {"+oo": "+oo", "-oo": "0+", **_POSITIVE},
    "log": {"+oo": "+oo", "0+": "-oo", "c+": "c"},
    "tanh": {"+oo": "c+", "-oo": "c-", **_ODD},
    "sinh": {"+oo": "+oo", "-oo": "-oo", **_ODD},
    "log_cosh": {"+oo": "+oo", "-oo": "+oo", "0": "0", "0+": "0+", "0-": "0+", "c": "c", "c+": "c+", "c-": "c+"},
    "softplus": {"+oo": "+oo", "-oo": "0+", **_POSITIVE},
    "erf": {"+oo": "c+", "-oo": "c-", **_ODD},
    "erfc": {"+oo": "0+", "-oo": "c+", **_POSITIVE},
    "cosh": {"+oo": "+oo", "-oo": "+oo", **_POSITIVE},
}
