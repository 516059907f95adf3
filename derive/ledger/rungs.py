"""The rungs of the ladder (derive.ledger.ladder): exact proofs that an expression is zero on a domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sympy import (
    Basic,
    Dummy,
    Eq,
    Expr,
    Integer,
    Pow,
    Rational,
    S,
    Symbol,
    expand_func,
    expand_trig,
    gamma,
    log,
    loggamma,
    pi,
    polylog,
    sin,
    sqrt,
    sqrtdenest,
    together,
)

from derive.core import Domain
from derive.ledger.domain import declared
from derive.ledger.field import Field
from derive.ledger.generators import Fraction, Full, Generator, Unsupported
from derive.ledger.rewriting import carried_out
from derive.nodes.averages import Average, DivergentAverage
from derive.nodes.binders import Binder
from derive.nodes.functions import MPResponse

__all__ = [
    "Attempts", "Proof", "averages_done", "by_closed_forms", "exactly_zero", "modulo_premises", "parametrised",
    "shown_expr", "sign_oracle", "vanishes", "with_field",
]


@dataclass
class Proof:
    """How zero was proved: the rung in words, and conditions that stay open."""

    how: str
    open: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        parts = [self.how]
        if self.named:
            parts.append("where " + ", ".join(self.named))
        if self.open:
            parts.append("not shown: " + ", ".join(self.open))
        return "; ".join(parts)


@dataclass
class Attempts:
    """What was tried on the way, for the report."""

    tried: list[str] = field(default_factory=list)


_CAPACITIES = (16, 32, 64, 128)


def vanishes(difference: Expr, domain: Domain, attempts: Attempts | None = None, depth: int = 2) -> Proof | None:
    """A proof that an expression is zero on a domain, or None."""
    attempts = attempts or Attempts()
    rungs: list[tuple[str, Callable[[], Proof | None]]] = [
        ("normal form", lambda: exactly_zero(difference, domain)),
        ("closed forms", lambda: by_closed_forms(difference, domain)),
        ("averages", lambda: _merged_averages(difference, domain, depth)),
        ("calculus", lambda: _calculus(difference, domain, depth) if depth else None),
    ]
    for name, rung in rungs:
        try:
            proof = rung()
        except (Unsupported, Full) as obstacle:
            attempts.tried.append(f"{name}: {obstacle or 'too large'}")
            continue
        except DivergentAverage as obstacle:
            attempts.tried.append(f"{name}: {obstacle}")
            continue
        if proof is not None:
            return proof
        attempts.tried.append(name)
    return None


def sign_oracle(domain: Domain) -> Callable[[Expr], bool]:
    """Tells whether an expression is known to be positive on a domain."""
    def positive(expr: Expr) -> bool:
        from derive.ledger.positivity import prove_positive

        return prove_positive(expr, domain, depth=1) is not None

    return positive


def with_field(domain: Domain, work: Callable[[Field], Proof | None], oracle: bool = True) -> Proof | None:
    """Work in a field that is made larger as often as needed."""
    for capacity in _CAPACITIES:
        try:
            return work(Field(domain, sign_oracle(domain) if oracle else None, capacity))
        except Full:
            continue
    raise Unsupported("too many generators")


def exactly_zero(expr: Expr, domain: Domain) -> Proof | None:
    """Rung 1: the numerator of the normal form is the zero polynomial."""
    if expr.is_zero or expr == 0:
        return Proof("normal form")
    if not expr.free_symbols and expr.is_Rational:
        return None

    def work(f: Field) -> Proof | None:
        how = "normal form"
        if parametrised(f, expr):
            how = "normal form through the rational parametrisation of the Marchenko-Pastur response"
        found = f.build(expr)
        return _concluded(f, found, how) if found.is_zero else None

    return with_field(domain, work)


def _concluded(f: Field, found: Fraction, how: str) -> Proof:
    """The conditions met on the way, discharged where they can be."""
    opened, named = [], []
    if f.relations:
        how += f", modulo {len(f.relations)} polynomial relation{'s' * (len(f.relations) > 1)}"
    for expr, kind in f.conditions.items():
        from derive.ledger.positivity import prove_nonzero, prove_positive

        if kind in ("positive", "non-negative"):
            strict = kind == "positive"
            if prove_positive(expr, f.domain, depth=2, strict=strict) is None:
                opened.append(f"{shown_expr(expr)} {'>' if strict else '>='} 0")
        elif prove_nonzero(expr, f.domain) is None:
            named.append(f"{shown_expr(expr)} != 0")
    return Proof(how, tuple(opened), tuple(named))


def shown_expr(e: Expr) -> str:
    text = str(e.xreplace({s: Symbol(s.name) for s in e.free_symbols if isinstance(s, Dummy)}))
    return text if len(text) < 120 else text[:117] + "..."


def parametrised(f: Field, expr: Expr) -> bool:
    """Write a symbol in terms of the response V(b, ratio), where b is a ratio of linear forms in that symbol.

    From ratio b V^2 + (b (1 - ratio) + ratio) V = ratio: b = ratio (1 - V)/(V (ratio V + 1 - ratio)).
    """
    responses = sorted(expr.atoms(MPResponse), key=lambda v: (len(str(v)), str(v)))
    done = False
    for node in responses:
        b, ratio = node.args
        taken = set(f.assigned)
        candidates = sorted((s for s in b.free_symbols - ratio.free_symbols - taken if isinstance(s, Symbol)), key=str)
        if (b.free_symbols & taken) or (ratio.free_symbols & taken) or b.has(MPResponse) or ratio.has(MPResponse):
            continue
        for symbol in candidates:
            moebius = _moebius(b, symbol)
            if moebius is None or not b.is_positive or not ratio.is_positive:
                continue
            p, q, r, s = moebius  # b = (p x + q)/(r x + s)
            V = Dummy("V", positive=True)
            w = ratio * (1 - V) / (V * (ratio * V + 1 - ratio))
            value = (q - s * w) / (r * w - p)
            made = f.generator(("symbol", V), partial(_response_generator, node))
            one = f.ctx.constant(1)
            g = made.num
            ratio_form = f.build(ratio)
            f.facts.append(one - g)
            if f.sign(ratio_form.den, ask=False) > 0:
                f.facts.append(ratio_form.num * g + ratio_form.den - ratio_form.num)
            f._memo[V] = made
            f.assigned[symbol] = f.build(value)
            f._memo[node] = made
            if symbol.is_positive:
                _known_positive(f, f.assigned[symbol])
            done = True
            break
    return done


def _response_generator(node: MPResponse) -> Generator:
    return Generator(node, "response", True, symbols=frozenset(node.free_symbols))


def _known_positive(f: Field, a: Fraction) -> None:
    """One factor of unknown sign in a positive quantity is known when all others are."""
    _, parts = f.factors(a)
    unknown = [(p, m) for p, m in parts if m % 2 and not f.sign(p, ask=False)]
    if len(unknown) == 1:
        content, _ = f.factors(a)
        sign = 1 if content > 0 else -1
        for p, m in parts:
            if m % 2 and f.sign(p, ask=False) < 0:
                sign = -sign
        f.facts.append(unknown[0][0] * sign)
        f._signs.clear()


def _moebius(b: Expr, x: Symbol) -> tuple[Expr, Expr, Expr, Expr] | None:
    num, den = together(b).as_numer_denom()
    try:
        pn, pd = num.as_poly(x), den.as_poly(x)
    except Exception:  # a form that is no polynomial
        return None
    if pn is None or pd is None or pn.degree() > 1 or pd.degree() > 1 or max(pn.degree(), pd.degree()) < 1:
        return None
    return pn.coeff_monomial(x), pn.coeff_monomial(1), pd.coeff_monomial(x), pd.coeff_monomial(1)


# ---- rung 2


def by_closed_forms(difference: Expr, domain: Domain) -> Proof | None:
    done = averages_done(difference, domain)
    special = _special(done)
    for form in dict.fromkeys((done, special)):
        if form != difference:
            proof = exactly_zero(form, domain)
            if proof is not None:
                return Proof("closed forms of the averages, " + proof.how, proof.open, proof.named)
    return None


def averages_done(e: Expr, domain: Domain, conditional: bool = False) -> Expr:
    """Averages carried out where closed forms hold: without further conditions, or with one proved on the domain.

    Args: conditional (closed forms that hold under a condition are kept with it, as a Piecewise).
    """
    if not e.has(Binder):
        return e
    from sympy import Piecewise

    def walk(x: Basic) -> Basic:
        if isinstance(x, Average):
            value = x.doit()
            if isinstance(value, Piecewise) and not x.has(Piecewise) and _holds(value.args[0][1], domain):
                return value.args[0][0]
            return x if value.has(Piecewise) and not x.has(Piecewise) and not conditional else value
        if not x.args or not x.has(Binder):
            return x
        return x.func(*(walk(a) for a in x.args))

    return walk(e)


def _holds(condition: Basic, domain: Domain) -> bool:
    """The condition under which a closed form holds, proved on the domain."""
    from derive.ledger.positivity import prove_relation

    return prove_relation(condition, domain) is not None


def _special(e: Expr) -> Expr:
    """Rewritings of special functions that hold without conditions."""
    from sympy import cos, tan

    if e.has(sin, cos, tan):
        e = expand_trig(e)
    if e.has(polylog):
        e = expand_func(e)
    if e.has(gamma, loggamma):
        e = e.replace(lambda u: isinstance(u, loggamma) and u.args[0].is_positive, lambda u: log(gamma(u.args[0])))
        e = _gamma_products(e.replace(lambda u: isinstance(u, gamma), expand_func))
    if any(p.exp == Rational(1, 2) and p.base.has(Rational(1, 2)) for p in e.atoms(Pow) if p.base.is_Add):
        e = sqrtdenest(e)
    return e


def _gamma_products(e: Expr) -> Expr:
    """Gauss's duplication and Euler's reflection, where the arguments of gamma functions call for them."""
    for b in sorted({g.args[0] for g in e.atoms(gamma)}, key=str):
        others = {g.args[0] for g in e.atoms(gamma)} - {b}
        if any((2 * a - b).expand().is_integer and b.free_symbols for a in others):
            e = e.xreplace({gamma(b): 2 ** (b - 1) / sqrt(pi) * gamma(b / 2) * gamma(b / 2 + Rational(1, 2))})
    e = e.replace(lambda u: isinstance(u, gamma), expand_func)
    for b in sorted({g.args[0] for g in e.atoms(gamma)}, key=str):
        a = next((g.args[0] for g in e.atoms(gamma) if g.args[0] != b and (g.args[0] + b).expand().is_integer), None)
        if a is not None and b.could_extract_minus_sign():
            e = e.xreplace({gamma(b): pi / (sin(pi * b) * expand_func(gamma(1 - b)))})
    return e


# ---- rung 3


def _calculus(difference: Expr, domain: Domain, depth: int) -> Proof | None:
    """A function that is continuous on an interval, with slope zero inside it, is constant there."""
    from derive.ledger.positivity import Prover

    for symbol in sorted((s for s in difference.free_symbols if isinstance(s, Symbol)), key=lambda s: s.name):
        if symbol.is_integer or not symbol.is_real:
            continue
        whole = _freed(symbol, domain)
        if whole is None or not Prover(whole).continuous(difference, symbol):
            continue
        try:
            slope = carried_out(difference.diff(symbol))
        except (ValueError, NotImplementedError):
            continue
        proof = _first(partial(exactly_zero, slope, whole), partial(by_closed_forms, slope, whole),
                       partial(_merged_averages, slope, whole, depth - 1))
        if proof is None:
            continue
        for point in _exact_points(symbol, whole):
            at = carried_out(difference.subs(symbol, point))
            if at.has(S.NaN, S.ComplexInfinity, S.Infinity):
                continue
            value = S.Zero if at == 0 else None
            there = Proof("") if value == 0 else vanishes(at, whole, depth=depth - 1)
            if there is not None:
                opened = tuple(dict.fromkeys((*proof.open, *there.open)))
                return Proof(f"the derivative in {symbol.name} vanishes ({proof.how}) and the sides agree at "
                             f"{symbol.name} = {point}", opened, tuple(dict.fromkeys((*proof.named, *there.named))))
        end = _agreeing_end(difference, symbol, whole) if not proof.open else None
        if end is not None:
            return Proof(f"the derivative in {symbol.name} vanishes ({proof.how}) and the sides agree in the limit "
                         f"{symbol.name} -> {end}", (), proof.named)
    return None


def _agreeing_end(difference: Expr, symbol: Symbol, domain: Domain) -> Expr | None:
    """An end of the interval of a symbol at which an expression is continuous and zero."""
    from derive.ledger.positivity import continuous_at

    r = declared(symbol, domain)
    for end in (r.lower, r.upper):
        if end.is_finite and continuous_at(difference, symbol, end, domain):
            at = carried_out(difference.subs(symbol, end))
            if not at.has(S.NaN, S.ComplexInfinity, S.Infinity) and (
                    _first(partial(exactly_zero, at, domain), partial(by_closed_forms, at, domain))):
                return end
    return None


def _freed(symbol: Symbol, domain: Domain) -> Domain | None:
    """The domain without the relations that bind a symbol, which then ranges over an interval; None where others'
    intervals depend on it."""
    if any(symbol in i.free_symbols for s, i in domain.intervals if s != symbol):
        return None
    return Domain(domain.intervals, tuple(c for c in domain.constraints if symbol not in c.free_symbols))


def _first(*rungs: Callable[[], Proof | None]) -> Proof | None:
    for rung in rungs:
        try:
            proof = rung()
        except (Unsupported, Full, DivergentAverage):
            continue
        if proof is not None:
            return proof
    return None


def _exact_points(symbol: Symbol, domain: Domain) -> Iterator[Expr]:
    """Simple points inside the interval of a symbol."""
    r = declared(symbol, domain)
    for value in (S.Zero, S.One, S.Half, Integer(2), Rational(-1, 2), S.NegativeOne, Rational(1, 4), Integer(4)):
        if value in r:
            yield value
    if r.lower.is_finite and r.upper.is_finite:
        middle = (r.lower + r.upper) / 2
        if not middle.free_symbols:
            yield middle


# ---- rung 4


def _merged_averages(difference: Expr, domain: Domain, depth: int) -> Proof | None:
    """A combination of averages over one law is the average of the combination."""
    if not difference.has(Average):
        return None
    from derive.ledger.merging import merged

    return merged(difference, domain, lambda e, d: vanishes(e, d, depth=max(depth - 1, 0)))


# ---- premises as an ideal


def modulo_premises(difference: Expr, given: Sequence[Eq], domain: Domain, attempts: Attempts) -> Proof | None:
    """The numerator is a combination of those of the premises: pseudo-division by each premise that is linear in some
    generator with a coefficient of known sign, in turn, of the numerator and of the other premises; what is left is a
    multiple of one of them."""
    attempts.tried.append("modulo the premises")

    def work(f: Field) -> Proof | None:
        target = f.build(difference)
        waiting = [f.build(g.lhs - g.rhs).num for g in given]
        num, stuck = target.num, []
        while waiting:
            p = waiting.pop(0)
            pivot = _pivot(f, p)
            if pivot is None:
                stuck.append(p)
                continue
            num, *others = (_without(f, e, p, *pivot) for e in (num, *waiting, *stuck))
            waiting, stuck = others[:len(waiting)], others[len(waiting):]
        multiple = not num.is_zero() and any(not p.is_zero() and divmod(num, p)[1].is_zero() for p in stuck)
        how = "normal form, a multiple of a premise" if multiple else "normal form modulo the premises"
        return _concluded(f, target, how) if multiple or num.is_zero() else None

    try:
        return with_field(domain, work)
    except (Unsupported, Full):
        return None


def _pivot(f: Field, p: Any) -> tuple[int, Any] | None:
    """A generator in which a premise is linear with a coefficient of known sign, and that coefficient."""
    for index in reversed(range(len(f.gens))):
        if p.degrees()[index] == 1:
            high = f.ctx.from_dict({(*m[:index], 0, *m[index + 1:]): c for m, c in p.terms() if m[index] == 1})
            if f.sign(high):
                return index, high
    return None


def _without(f: Field, e: Any, p: Any, index: int, high: Any) -> Any:
    """e times a power of what does not vanish, with the generator that the premise p fixes put in."""
    rest = high * f.polys[index] - p
    degree = e.degrees()[index]
    total = f.ctx.constant(0)
    for k in range(degree + 1):
        part = {(*m[:index], 0, *m[index + 1:]): c for m, c in e.terms() if m[index] == k}
        if part:
            total += f.ctx.from_dict(part) * rest**k * high ** (degree - k)
    return f.reduce(total)[0]
