"""User text to expressions: the one door, with an allow-list.

Nothing here is ever evaluated by Python.  A tokenizer reads numbers, names and a few operators; a precedence-climbing
parser builds a small tree of its own; the tree is bounded in size, depth and in the numbers it may produce, and only
then turned into SymPy objects from a fixed table of functions.  Every refusal is a DeriveError of one line that names
what was given, where, what is allowed and the nearest allowed name.

Grammar, loosest first::

    sum      = product { ("+" | "-") product }
    product  = unary { ("*" | "/") unary }
    unary    = { "+" | "-" } power
    power    = atom [ ("**" | "^") unary ]           right-associative; -x**2 is -(x**2)
    atom     = number | name | name "(" sum { "," sum } ")" | "(" sum ")"
    Piecewise((value, condition), ..., (value, True))  with conditions  sum < sum, <=, >, >=, joined by & or |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import sympy as sp
from sympy import Expr, Rational

from derive.core import DeriveError
from derive.parse.builder import Parser
from derive.parse.functions import CONSTANTS, context, functions, further_functions
from derive.parse.grammar import tokenize
from derive.parse.words import INFINITE, MAX_LENGTH, nearest_name, read_number, shorten

__all__ = ["Claim", "Range", "nearest_name", "parse_activation", "parse_atoms", "parse_claim", "parse_constant",
           "parse_expression", "parse_number", "parse_range", "parse_relation", "parse_support", "parse_variances",
           "shorten"]

MAX_POINTS = 1_000_000
"""Points of one range."""


def parse_expression(text: str, variables: Mapping[str, Expr] | None = None, *, what: str = "expression") -> Expr:
    """The expression that a text stands for.

    Args: text (at most MAX_LENGTH characters); variables (allowed name -> symbol); what (how messages call the text).
    Decimal numbers become exact rationals; `^` and `**` are powers; a product needs its `*`.
    Raises: DeriveError, one line, for anything that is not on the allow-list or would grow without bound.

    >>> from derive.symbols import x
    >>> parse_expression("exp(-x^2/2)/sqrt(2*pi)", {"x": x})
    sqrt(2)*exp(-x**2/2)/(2*sqrt(pi))
    """
    if not isinstance(text, str):
        kind = type(text).__name__
        raise DeriveError(f"{what}: a {kind} is given; allowed: text", given=kind, allowed="text")
    parser = Parser(text, what, dict(variables or {}), [])
    parser.tokens = tokenize(parser)
    return parser.build(parser.whole()).expr


_ACTIVATIONS = {"linear": "h", "identity": "h", "gelu": "h*(1 + erf(h/sqrt(2)))/2", "silu": "h*sigmoid(h)",
                "hardtanh": "Max(-1, Min(1, h))", "softsign": "h/(1 + abs(h))"}


def parse_activation(text: str, *, what: str = "--activation") -> Expr:
    """The activation that a text stands for: an expression in h ("h**3/3 - h"), or the bare name of a function.

    Bare names are those of the functions of one argument ("tanh", "relu", "sign", "erf", "softplus") and linear, gelu,
    silu, hardtanh, softsign.  The result is an expression in the real symbol h; whether it can be an activation is
    not decided here.

    >>> parse_activation("tanh"), parse_activation("max(0, h) - 1/2")
    (tanh(h), Max(0, h) - 1/2)
    """
    h = sp.Symbol("h", real=True)
    bare = text.strip() if isinstance(text, str) else text
    if isinstance(bare, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", bare, re.ASCII) and bare != "h":
        single = sorted(k for k, f in functions().items() if f.fewest == 1)
        name = next((k for k in (*single, *_ACTIVATIONS) if k == bare), None) or next(
            (k for k in (*single, *_ACTIVATIONS) if k.lower() == bare.lower()), None)
        if name is None and bare not in CONSTANTS:
            near = nearest_name(bare, [*single, *_ACTIVATIONS])
            hint = f"; did you mean {near!r}?" if near else ""
            names = ", ".join((*single, *_ACTIVATIONS))
            raise DeriveError(f"{what}: no activation is named {shorten(bare)}{hint}; allowed: an expression in h, or "
                              f"one of {names}", given=bare, allowed=f"an expression in h, or one of {names}",
                              nearest=near)
        text = bare if name is None else _ACTIVATIONS.get(name, f"{name}(h)")
    return parse_expression(text, {"h": h}, what=what)


def parse_relation(
    text: str, variables: Mapping[str, Expr] | None = None, functions: Mapping[str, int] | None = None, *,
    what: str = "claim",
) -> sp.Rel:
    """The relation that a text stands for: two expressions around one of = < <= > >=.

    Args: text; variables (allowed name -> symbol); functions (undefined functions: name -> number of arguments); what.
    Beside what `parse_expression` reads: mean(f, z), the average of f over a standard normal z (several: mean(f, z,
    w)), diff(f, x), the derivative, which stays unperformed, and Li2(z), Li3(z), the di- and
    trilogarithm. Nothing is simplified.
    Raises: DeriveError, one line.

    >>> q, z = sp.symbols("q z", real=True)
    >>> parse_relation("F(q) = mean(exp(q*z), z)", {"q": q, "z": z}, {"F": 1}).lhs
    F(q)
    """
    return parse_claim(text, variables, functions, what=what).relation


@dataclass(frozen=True)
class Claim:
    """A relation, and what each side divides by that cancelled while it was made: x of x/x, |x| of x/|x|."""

    relation: sp.Rel
    left: tuple[Expr, ...] = ()
    right: tuple[Expr, ...] = ()


def parse_claim(
    text: str, variables: Mapping[str, Expr] | None = None, functions: Mapping[str, int] | None = None, *,
    what: str = "claim",
) -> Claim:
    """As `parse_relation`, with the divisors that cancel.

    >>> x = sp.Symbol("x", real=True)
    >>> parse_claim("x^2/x = x", {"x": x}).left
    (x,)
    """
    signs = {"=": sp.Eq, "<": sp.Lt, "<=": sp.Le, ">": sp.Gt, ">=": sp.Ge}
    found = [m for m in re.finditer(r"<=|>=|==|<|>|=", text)
             if text.count("(", 0, m.start()) <= text.count(")", 0, m.start())]  # others stand in a Piecewise
    if len(found) != 1 or found[0].group() not in signs:
        raise DeriveError(
            f"{what}: {len(found)} relation signs in {shorten(text)}; allowed: exactly one of =, <, <=, >, >=",
            given=text, allowed="exactly one of =, <, <=, >, >=")
    sign = found[0]
    sides, cancelled = [], []
    for part, words in ((text[:sign.start()], "left side"), (text[sign.end():], "right side")):
        parser = Parser(part, f"{what}, {words}", dict(variables or {}), [], further=further_functions(functions or {}))
        parser.tokens = tokenize(parser)
        sides.append(parser.build(parser.whole()).expr)
        cancelled.append(tuple(parser.cancelled))
    return Claim(signs[sign.group()](*sides, evaluate=False), *cancelled)


def parse_constant(text: str, *, what: str = "number") -> Expr:
    """An exact finite constant: anything parse_number reads, and closed forms such as "log(2)" or "sqrt(3)/2".

    >>> parse_constant("log(2)/2")
    log(2)/2
    """
    plain = text.strip() if isinstance(text, str) else text
    if isinstance(plain, str) and plain.lower().lstrip("+-") in ("nan", *INFINITE):
        allowed = "finite numbers such as 0.5, 1/500, 1e-3, log(2)"
        raise DeriveError(f"{what}: {plain!r} is not a finite number; allowed: {allowed}", given=plain, allowed=allowed)
    return parse_expression(text, what=what)


def parse_number(text: str, *, what: str = "number") -> Rational:
    """An exact rational number: 0.5, 1/500, 1e-3, 1e-400, -2.

    Raises: DeriveError where the text is not a rational number (nan and infinities included).

    >>> parse_number("1/500"), parse_number("1e-3")
    (1/500, 1/1000)
    """
    value = parse_constant(text, what=what)
    if not value.is_Rational:
        allowed = "rational numbers such as 0.5, 1/500, 1e-3"
        raise DeriveError(f"{what}: {shorten(text)} is not a rational number; allowed: {allowed}",
                          given=text, allowed=allowed)
    return value


@dataclass(frozen=True)
class Range:
    """`count` points from `start` to `stop`, ends included; in geometric progression where `geometric`."""

    start: Expr
    stop: Expr
    count: int
    geometric: bool = False

    def values(self) -> list[Expr]:
        """The points, exact: those of an even range as they are, those inside a geometric one as 17-digit decimals."""
        steps = self.count - 1
        inside = (self._inside(Rational(k, steps)) for k in range(1, steps))
        return [self.start, *inside, self.stop]

    def _inside(self, part: Rational) -> Expr:
        if not self.geometric:
            return self.start + (self.stop - self.start) * part
        mp = context()
        low, high = mp.mpf(sp.N(self.start, 50)), mp.mpf(sp.N(self.stop, 50))
        point = low * (high / low) ** (mp.mpf(part.p) / part.q)
        decimal = read_number(mp.nstr(point, 17, min_fixed=0, max_fixed=0))
        assert decimal is not None  # it lies between two numbers that were read
        return decimal


def parse_range(text: str, *, what: str = "range") -> Expr | Range:
    """A scalar ("0.5"), an even range "a:b:n" or a geometric one "log:a:b:n"; n points, ends included.

    >>> parse_range("0:1:3").values(), parse_range("log:1:100:3").values(), parse_range("1/2")
    ([0, 1/2, 1], [1, 10, 100], 1/2)
    """
    allowed = "a number, a:b:n (n points, ends included) or log:a:b:n (geometric)"
    parts = text.split(":") if isinstance(text, str) else [text]
    if len(parts) == 1:
        return parse_constant(text, what=what)
    geometric = parts[0].strip() == "log"
    ends = parts[1:] if geometric else parts

    def refuse(reason: str) -> NoReturn:
        raise DeriveError(f"{what}: {reason} in {shorten(text)}; allowed: {allowed}", given=text, allowed=allowed)

    if len(ends) != 3:
        refuse(f"{len(ends)} part{'s' * (len(ends) != 1)} where start, stop and the number of points are expected")
    start, stop = (parse_constant(k, what=what) for k in ends[:2])
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", ends[2], re.ASCII):
        refuse(f"the number of points {shorten(ends[2])} is not a whole number")
    count = int(ends[2])
    if not 2 <= count <= MAX_POINTS:
        refuse(f"{count} points, where 2 to {MAX_POINTS} are possible")
    if geometric and not (_positive(start) and _positive(stop)):
        refuse("an end that is not positive")
    if start == stop:
        refuse("two equal ends")
    return Range(start, stop, count, geometric)


def _positive(value: Expr) -> bool:
    return bool(sp.N(value, 30) > 0)


def parse_atoms(text: str, *, what: str = "atoms") -> dict[Expr, Expr]:
    """The atoms "point:weight,point:weight" of a discrete law; weights are positive and sum to one exactly.

    >>> parse_atoms("-1:1/2, 1:1/2")
    {-1: 1/2, 1: 1/2}
    """
    allowed = "POINT:WEIGHT,POINT:WEIGHT,... with different points and positive weights that sum to 1"
    return _shares(text, what, ("point", "weight"), allowed)


def parse_variances(text: str, *, what: str = "variances") -> dict[Expr, Expr]:
    """Variances "variance:fraction,..." of the latent space; both positive, the fractions sum to one exactly.

    >>> parse_variances("1:1/2, 0.09:1/2")
    {1: 1/2, 9/100: 1/2}
    """
    allowed = "VARIANCE:FRACTION,... with different positive variances, and positive fractions that sum to 1"
    found = _shares(text, what, ("variance", "fraction"), allowed)
    for variance in found:
        if not _positive(variance):
            message = f"{what}: the variance {variance} is not positive in {shorten(text)}; allowed: {allowed}"
            raise DeriveError(message, given=text, allowed=allowed)
    return found


def _shares(text: str, what: str, names: tuple[str, str], allowed: str) -> dict[Expr, Expr]:
    """Pairs "place:share,..." of constants, the shares positive with sum 1."""
    place, share = names

    def refuse(reason: str) -> NoReturn:
        raise DeriveError(f"{what}: {reason} in {shorten(text)}; allowed: {allowed}", given=text, allowed=allowed)

    if len(text) > MAX_LENGTH:
        refuse(f"{len(text)} characters, at most {MAX_LENGTH} are possible,")
    found: dict[Expr, Expr] = {}
    for part in text.split(","):
        pair = part.split(":")
        if len(pair) != 2:
            refuse(f"{shorten(part.strip())} is not {place.upper()}:{share.upper()}")
        at, weight = (parse_constant(k, what=what) for k in pair)
        if at in found:
            refuse(f"the {place} {at} is given twice")
        if not _positive(weight):
            refuse(f"the {share} {weight} is not positive")
        found[at] = weight
    total = sp.Add(*found.values())
    if sp.simplify(total - 1) != 0:
        refuse(f"the {share}s sum to {sp.N(total, 12) if not total.is_Rational else total}, not 1,")
    return found


def parse_support(text: str, *, what: str = "support") -> tuple[Expr, Expr]:
    """The ends "a:b" of an interval, a < b; oo, -oo and inf are ends too.

    >>> parse_support("-oo:oo"), parse_support("0:sqrt(3)")
    ((-oo, oo), (0, sqrt(3)))
    """
    allowed = "LOWER:UPPER with LOWER below UPPER, such as -1:1, 0:oo or -sqrt(3):sqrt(3)"

    def refuse(reason: str) -> NoReturn:
        raise DeriveError(f"{what}: {reason} in {shorten(text)}; allowed: {allowed}", given=text, allowed=allowed)

    parts = text.split(":")
    if len(parts) != 2:
        refuse(f"{len(parts)} part{'s' * (len(parts) != 1)} where two are expected")
    low, high = (_end(k.strip(), what) for k in parts)
    if low is sp.oo or high is -sp.oo or not bool(sp.N(low, 30) < sp.N(high, 30)):
        refuse("a lower end that is not below the upper one")
    return low, high


def _end(text: str, what: str) -> Expr:
    bare = text.lstrip("+-")
    if bare.lower() in INFINITE and len(text) - len(bare) <= 1:
        return -sp.oo if text.startswith("-") else sp.oo
    return parse_constant(text, what=what)
