"""Claims in one real symbol, decided by sign charts, piece by piece where functions jump or have kinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from sympy import (
    Abs,
    Basic,
    Dummy,
    Expr,
    Heaviside,
    Integer,
    Interval,
    Max,
    Min,
    Piecewise,
    Pow,
    Rational,
    Rel,
    S,
    Symbol,
    ceiling,
    cos,
    expand_log,
    expand_trig,
    floor,
    log,
    oo,
    pi,
    sin,
    tan,
)
from sympy import sign as sgn
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import And, Not, Or

from derive.core import Domain, Evidence, Verdict
from derive.ledger.balls import enclose
from derive.ledger.domain import Range, declared
from derive.ledger.end_values import number_sign
from derive.ledger.generators import Full, Unsupported
from derive.ledger.marks import Mark, Unknown, ball_over, rational_near, resolved, sign_at
from derive.ledger.rungs import exactly_zero
from derive.ledger.sign_charts import Chart, chart
from derive.nodes.binders import Binder

__all__ = ["KINKS", "decided", "equal_in_pieces", "switches"]

#: functions of pieces
KINKS = (Abs, Heaviside, Max, Min, Piecewise, sgn)
_PIECES = 16


@dataclass(frozen=True)
class _Piece:
    """An open interval on which an expression has no kinks, and the expression there."""

    lower: Expr
    upper: Expr
    expr: Expr


def switches(node: Basic) -> tuple[Expr, ...]:
    """The expressions at whose zeros a function of pieces goes from one piece to another."""
    if isinstance(node, Max | Min):
        return tuple(a - b for a, b in combinations(node.args, 2))
    if isinstance(node, Piecewise):
        return tuple(r.lhs - r.rhs for r in sorted(node.atoms(Rel), key=str))
    return (node.args[0],)


def decided(e: Expr, domain: Domain, strict: bool, nonzero: bool = False) -> Evidence | None:
    """What a sign chart says of e > 0 (e >= 0 where not strict, e != 0 where only that is asked); None if it is silent.

    For an integer symbol only the integers count.

    >>> x = Symbol("x", real=True)
    >>> decided(x**2 - 2*x + 1, Domain(), False).verdict.name
    'PROVED'
    """
    line = _line(e, domain)
    if line is None:
        return None
    x, r = line
    for form in _forms(e):
        try:
            found = _Decision(form, x, r, strict, nonzero).evidence()
        except Unknown:
            continue
        if found is not None:
            return found
    for place in _turns(e, r):
        if (not x.is_integer or place.is_integer) and _refuting(number_sign(e.subs(x, place)), strict, nonzero):
            return _refuted(x, place, e.subs(x, place))
    return _by_half_angle(e, x, strict, nonzero)


def _by_half_angle(e: Expr, x: Symbol, strict: bool, nonzero: bool) -> Evidence | None:
    """A proof for all real x of what sin x and cos x make, as a rational function of t = tan(x/2), and at x = pi."""
    t = Dummy("t", real=True)
    plain = expand_trig(e).xreplace({sin(x): 2 * t / (1 + t**2), cos(x): (1 - t**2) / (1 + t**2)})
    if x in plain.free_symbols or t not in plain.free_symbols or e.has(tan):
        return None
    far = _refuting(number_sign(e.subs(x, pi)), strict, nonzero)
    found = None if far is not False else decided(plain, Domain(), strict, nonzero)
    if found is None or found.verdict is not Verdict.PROVED:
        return None
    return Evidence(Verdict.PROVED, f"a rational function of tan({x.name.lstrip('_')}/2): {found.detail}")


def _refuting(sign: int | None, strict: bool, nonzero: bool) -> bool | None:
    """Whether a value of that sign is against a claim."""
    return None if sign is None else sign == 0 if nonzero else sign < 0 or (strict and sign == 0)


def _forms(e: Expr) -> Iterator[Expr]:
    """The expression; instead, for a difference of two positive terms with symbols in exponents, that of their
    logarithms, and before it, for one of two absolute values, that of the squares."""
    terms = e.as_ordered_terms() if e.is_Add else []
    powers = any(p.exp.free_symbols and p.base is not S.Exp1 for p in e.atoms(Pow))
    if powers and len(terms) == 2:
        up, down = sorted(terms, key=lambda t: bool(t.could_extract_minus_sign()))
        if up.is_positive and (-down).is_positive:
            yield expand_log(log(up)) - expand_log(log(-down))
    if len(terms) == 2 and all(isinstance(abs_free, Abs) for abs_free in (t.as_coeff_Mul()[1] for t in terms)):
        (c, u), (d, v) = (t.as_coeff_Mul() for t in terms)
        if c * d < 0:  # |a| - |b| has the sign of a^2 - b^2
            yield sgn(c) * ((c * u.args[0]) ** 2 - (d * v.args[0]) ** 2)
    if not powers:
        yield e


def equal_in_pieces(difference: Expr, domain: Domain) -> Evidence | None:
    """Whether an expression in one symbol is zero in each of its pieces and at the points between them; None where that
    is not decided, or where it has no pieces."""
    line = _line(difference, domain)
    if line is None or not difference.has(*KINKS):
        return None
    x, r = line
    try:
        pieces = list(_pieces(difference, x, r.lower, r.upper))
        places = _places(pieces, r)
    except _Jump as jump:
        return jump.refutation(x)
    except (Unknown, Unsupported, Full):
        pieces, places = [], _turns(difference, r)
    for place in places:
        if x.is_integer and not place.is_integer:
            continue
        value = difference.subs(x, place)
        sign = number_sign(value)
        if sign:
            return _refuted(x, place, value, "lhs - rhs")
        if sign is None:
            return None
    if not pieces or not all(_zero_inside(piece, x) for piece in pieces):
        return None
    return Evidence(Verdict.PROVED, f"normal form in each of {len(pieces)} pieces, and the points between them")


def _zero_inside(piece: _Piece, x: Symbol) -> bool:
    try:
        proof = exactly_zero(piece.expr, Domain(((x, Interval.open(piece.lower, piece.upper)),)))
    except (Unsupported, Full):
        return False
    return proof is not None and not proof.open


def _turns(e: Expr, r: Range) -> list[Expr]:
    """Where sines and cosines take simple values, a few of these places."""
    found: list[Expr] = []
    for node in sorted(e.atoms(sin, cos), key=str)[:3]:
        (x,) = e.free_symbols
        slope = node.args[0].diff(x)
        if slope.is_number and slope != 0:
            start = (node.args[0] - slope * x).expand()
            found += [(k * pi / 12 - start) / slope for k in (12, 6, 3, 4, 2, 1, 9, 8, 18, 24, -12, -6, -3, -4, -9, -8)]
    return [v for v in dict.fromkeys(found) if v in r]


class _Jump(Unknown):
    """A joint that is not known exactly, at which an expression takes a value that is not zero."""

    def __init__(self, mark: Mark, value: Expr) -> None:
        super().__init__("a joint that is not known exactly")
        self.mark, self.value = mark, value

    def refutation(self, x: Symbol) -> Evidence | None:
        if self.value.has(S.NaN, *KINKS):
            return None
        ball = enclose(self.value, {x: ball_over(self.mark)}, 200)
        if ball.contains(0):
            return None
        name, place = x.name.lstrip("_"), f"{float(self.mark.low):.15g}..., where {self.mark.owner} = 0"
        return Evidence(Verdict.REFUTED, f"lhs - rhs = {ball.str(10)} at {name} = {place}",
                        ((name, place), ("lhs - rhs", str(ball.str(10)))))


def _line(e: Expr, domain: Domain) -> tuple[Symbol, Range] | None:
    """The one symbol of an expression and where it lies, cut by relations that are linear in it."""
    symbols = [s for s in e.free_symbols if isinstance(s, Symbol)]
    if len(symbols) != 1 or e.has(Binder, AppliedUndef) or e.count_ops() > 300:
        return None
    (x,) = symbols
    if not x.is_real:
        return None
    r = declared(x, domain)
    for c in domain.constraints:
        if isinstance(c, Rel) and c.free_symbols == {x} and c.rel_op in (">", ">=", "<", "<="):
            d = c.lhs - c.rhs if c.rel_op in (">", ">=") else c.rhs - c.lhs
            slope = d.diff(x)
            if not slope.is_number or slope == 0:
                return None
            at = -(d - slope * x).expand() / slope
            if at.free_symbols:
                return None
            r = _cut(r, at, bool(slope > 0), c.rel_op in (">", "<"))
        elif x in c.free_symbols:
            return None
    return None if r.lower.free_symbols or r.upper.free_symbols else (x, r)


def _cut(r: Range, at: Expr, below: bool, is_open: bool) -> Range:
    """A range without what lies below (or above) a number."""
    end = r.lower if below else r.upper
    side = 1 if end.is_infinite else (number_sign(at - end) or 0) * (1 if below else -1)
    if side < 0 or (side == 0 and (r.lower_open if below else r.upper_open)):
        return r
    return (Range(at, r.upper, is_open, r.upper_open) if below else Range(r.lower, at, r.lower_open, is_open))


@dataclass
class _Decision:
    e: Expr
    x: Symbol
    r: Range
    strict: bool
    nonzero: bool

    def evidence(self) -> Evidence | None:
        if self.r.lower == self.r.upper:
            return None
        pieces = list(_pieces(self.e, self.x, self.r.lower, self.r.upper))
        charts = [chart(p.expr, self.x, p.lower, p.upper) for p in pieces]
        for place in _places(pieces, self.r):
            if self.x.is_integer and not place.is_integer:
                continue
            sign = number_sign(self.e.subs(self.x, place))
            if sign is None:
                return None
            if self._wrong(sign):
                return _refuted(self.x, place, self.e.subs(self.x, place))
        for piece, found in zip(pieces, charts, strict=True):
            outcome = self._of(piece, found)
            if outcome is not True:
                return outcome if isinstance(outcome, Evidence) else None
        shown = "; ".join(dict.fromkeys(c.shown() for c in charts))
        where = f" in {len(pieces)} pieces" if len(pieces) > 1 else ""
        return Evidence(Verdict.PROVED, f"a sign chart by derivatives{where}: {shown}")

    def _wrong(self, sign: int) -> bool:
        return bool(_refuting(sign, self.strict, self.nonzero))

    def _of(self, piece: _Piece, found: Chart) -> Evidence | bool | None:
        """True where all is well in a piece; a refutation; None where it is not known."""
        if found.touching and (self.strict or self.nonzero):
            return None
        bounds: list[Mark | Expr] = [piece.lower, *found.marks, piece.upper]
        for cell, (left, right) in zip(found.cells, pairwise(bounds), strict=True):
            if self._wrong(cell):
                refuted = self._inside(left, right)
                if refuted is not True:
                    return refuted
        for mark, sign in zip(found.marks, found.at, strict=True):
            if self._wrong(sign) and not (self.x.is_integer and mark.exact is not None and not mark.exact.is_integer):
                if mark.exact is None:
                    whole = floor(mark.high) >= ceiling(mark.low)
                    if self.x.is_integer and not whole:
                        continue
                    return Evidence(Verdict.REFUTED, f"it is zero at {self.x.name} between {mark.low} and {mark.high}",
                                    ((self.x.name.lstrip("_"), f"in ({mark.low}, {mark.high})"),))
                return _refuted(self.x, mark.exact, Integer(0))
        return True

    def _inside(self, left: Mark | Expr, right: Mark | Expr) -> Evidence | bool | None:
        """A refutation inside an open cell of the wrong sign; True where the symbol has no value there."""
        low = left.high if isinstance(left, Mark) else left
        high = right.low if isinstance(right, Mark) else right
        if self.x.is_integer:
            start = (left.exact if isinstance(left, Mark) and left.exact is not None else low)
            end = (right.exact if isinstance(right, Mark) and right.exact is not None else high)
            place = (S.Zero if start == -oo and end == oo else floor(start) + 1 if start != -oo else ceiling(end) - 1)
            if not bool(place > start) or not bool(place < end):
                return True if place.is_integer else None
            places: Iterator[Any] = iter((place,))
        else:
            places = _inner(low, high)
        for place in places:
            sign = sign_at(self.e, self.x, place)
            if sign is not None and self._wrong(sign):
                return _refuted(self.x, place, self.e.subs(self.x, place))
        return None


def _inner(low: Expr, high: Expr) -> Iterator[Rational]:
    a = None if low.is_infinite else rational_near(low, 1)
    b = None if high.is_infinite else rational_near(high, -1)
    if a is not None and b is not None:
        middle = (a + b) / 2
        short = next((Rational(round(middle * 10**k), 10**k) for k in range(20)
                      if a < Rational(round(middle * 10**k), 10**k) < b), middle)
        yield from (short, middle)
    elif a is not None:
        yield from (floor(a) + 1, a + 1, a + 10**6)
    elif b is not None:
        yield from (ceiling(b) - 1, b - 1, b - 10**6)
    else:
        yield S.Zero


def _refuted(x: Symbol, place: Expr, value: Expr, what: str = "difference") -> Evidence:
    name = x.name.lstrip("_")
    shown = str(value) if value.is_Rational else str(value.evalf(12))
    said = f"{what} = {shown}" if what != "difference" else f"the difference is {shown}"
    return Evidence(Verdict.REFUTED, f"{said} at {name} = {place}", ((name, str(place)), (what, shown)))


# ---- pieces


def _places(pieces: list[_Piece], r: Range) -> list[Expr]:
    """The ends that belong to the range, and the points between pieces."""
    inner = [p.upper for p in pieces[:-1]]
    ends = [v for v, is_open in ((r.lower, r.lower_open), (r.upper, r.upper_open)) if not is_open]
    return [*ends, *inner]


def _pieces(e: Expr, x: Symbol, lower: Expr, upper: Expr) -> Iterator[_Piece]:
    waiting = [_Piece(lower, upper, e)]
    made = 0
    while waiting:
        piece = waiting.pop(0)
        node = _innermost(piece.expr, x)
        if node is None:
            made += 1
            if made > _PIECES:
                raise Unknown("too many pieces")
            yield piece
            continue
        places: list[Expr] = []
        for switch in switches(node):
            if x not in switch.free_symbols:
                continue
            for rough in chart(switch, x, piece.lower, piece.upper).marks:
                mark = resolved(rough, x)
                if mark.exact is None:
                    there = node.func(S.Zero) if isinstance(node, Abs | Heaviside | sgn) else S.NaN
                    raise _Jump(mark, piece.expr.xreplace({node: there}))
                if not any(number_sign(p - mark.exact) == 0 for p in places):
                    places.append(mark.exact)
        ordered = [piece.lower, *sorted(places, key=lambda v: v.evalf(40)), piece.upper]
        waiting[:0] = [_Piece(a, b, piece.expr.xreplace({node: _branch(node, x, a, b)})) for a, b in pairwise(ordered)]


def _innermost(e: Expr, x: Symbol) -> Basic | None:
    found = [n for n in e.atoms(*KINKS) if x in n.free_symbols and not any(
        a.has(*KINKS) for a in (switches(n) if isinstance(n, Piecewise) else n.args))]
    return min(found, key=lambda n: (len(str(n)), str(n))) if found else None


def _branch(node: Basic, x: Symbol, a: Expr, b: Expr) -> Expr:
    """What a function of pieces is on an open interval on which its switches have one sign each."""
    def sign(u: Expr) -> int:
        place = next(_inner(a, b))
        found = sign_at(u, x, place)
        if found is None:
            raise Unknown("a sign between joints")
        return found

    if isinstance(node, Abs):
        return node.args[0] * sign(node.args[0])
    if isinstance(node, sgn):
        return Integer(sign(node.args[0]))
    if isinstance(node, Heaviside):
        s = sign(node.args[0])
        return Integer(s > 0) if s else node.subs(node.args[0], 0)
    if isinstance(node, Max | Min):
        best = node.args[0]
        for other in node.args[1:]:
            s = sign(other - best)
            best = other if (s > 0) == isinstance(node, Max) and s else best
        return best
    for value, condition in node.args:
        if _true(condition, sign):
            return value
    raise Unknown("no piece")


def _true(condition: Basic, sign: Callable[[Expr], int]) -> bool:
    if condition == True:  # noqa: E712 - a SymPy Boolean
        return True
    if isinstance(condition, And | Or):
        return (all if isinstance(condition, And) else any)(_true(c, sign) for c in condition.args)
    if isinstance(condition, Not):
        return not _true(condition.args[0], sign)
    if not isinstance(condition, Rel):
        raise Unknown(f"the condition {condition}")
    s = sign(condition.lhs - condition.rhs)
    holds: dict[str, bool] = {">": s > 0, ">=": s >= 0, "<": s < 0, "<=": s <= 0, "==": s == 0, "!=": s != 0}
    return holds[condition.rel_op]
