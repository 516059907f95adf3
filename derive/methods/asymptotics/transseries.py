"""Transseries: finite sums of constants times scales, each scale of exponentials with the terms left out named.

A *monomial* is exp(P) X^p0 (log X)^p1 (log log X)^p2 ... with X going to infinity and P a finite sum of constants times
monomials that go to infinity themselves.  Monomials with one P form a *sector*; each sector of a series is cut on its
own, so that the exponentially small terms behind a power series are kept and named.  Every order of two monomials goes
through the signs of constants (`dominance`): where a sign is not settled, the exception says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cmp_to_key, lru_cache
from itertools import zip_longest

import sympy as sp
from sympy import Expr, S, Symbol

from derive.methods.asymptotics.coefficients import Ratio, Table
from derive.methods.asymptotics.dominance import Lost, NotExpandable, Signs, Undecided
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["ONE", "Monomial", "Ring", "Series", "normal"]


@lru_cache(maxsize=20000)
def normal(e: Expr) -> Expr:
    """A constant of an exponent, in a form in which equal ones mostly look equal."""
    if e.is_Rational or e.is_Symbol:
        return e
    if sp.count_ops(e) > 400:
        return e
    try:
        return timebox(1.0, _shaped, e)
    except (TimedOut, sp.PolynomialError, NotImplementedError):
        return e


def _shaped(e: Expr) -> Expr:
    if e.is_rational_function(*e.free_symbols):
        return sp.cancel(e)
    if e.is_Add and not any(a.as_numer_denom()[1].free_symbols for a in e.args):
        return sp.expand_mul(e)
    return sp.cancel(e)


Expo = tuple[tuple["Monomial", Expr], ...]


@dataclass(frozen=True)
class Monomial:
    """exp(sum of constants times monomials) times powers of X, log X, log log X, ..."""

    powers: tuple[Expr, ...] = ()
    expo: Expo = ()

    @staticmethod
    def of(powers: Iterable[Expr], expo: Mapping[Monomial, Expr]) -> Monomial:
        """Without trailing zeros, in an order of its own."""
        kept = list(powers)
        while kept and kept[-1] == 0:
            kept.pop()
        parts = [(m, c) for m, c in expo.items() if c != 0]
        return Monomial(tuple(kept), tuple(parts if len(parts) < 2 else sorted(parts, key=str)))

    def __hash__(self) -> int:
        found: int | None = self.__dict__.get("_hash")
        if found is None:
            found = hash((self.powers, self.expo))
            object.__setattr__(self, "_hash", found)
        return found

    def __mul__(self, other: Monomial) -> Monomial:
        if not other.powers and not other.expo:
            return self
        if not self.powers and not self.expo:
            return other
        made: Monomial = _product(self, other)
        return made

    def __pow__(self, power: Expr) -> Monomial:
        if power == 1:
            return self
        return Monomial.of((normal(p * power) for p in self.powers), {m: normal(c * power) for m, c in self.expo})

    def __truediv__(self, other: Monomial) -> Monomial:
        made: Monomial = self * other**S.NegativeOne
        return made

    @property
    def log_terms(self) -> tuple[tuple[Monomial, Expr], ...]:
        """The logarithm, a finite sum."""
        return (*self.expo, *((level(k + 1), p) for k, p in enumerate(self.powers) if p != 0))

    def expr(self, large: Expr) -> Expr:
        """The monomial as an expression, `large` in place of X."""
        logs, made = large, S.One
        for p in self.powers:
            made *= logs**p
            logs = sp.log(logs)
        exponent = sp.Add(*(c * m.expr(large) for m, c in self.expo))
        return made * sp.exp(exponent) if exponent != 0 else made

    @property
    def sector(self) -> Expo:
        return self.expo


ONE = Monomial()


@lru_cache(maxsize=100_000)
def _product(a: Monomial, b: Monomial) -> Monomial:
    powers = [normal(p + q) for p, q in zip_longest(a.powers, b.powers, fillvalue=S.Zero)]
    expo = dict(a.expo)
    for m, c in b.expo:
        expo[m] = normal(expo.get(m, S.Zero) + c)
    return Monomial.of(powers, expo)


def level(k: int) -> Monomial:
    """The k-fold logarithm of X; X itself for 0."""
    return Monomial((S.Zero,) * k + (S.One,))


@dataclass(frozen=True)
class Series:
    """Terms, the largest monomial left out in each sector, and a bound for all sectors below the last kept."""

    terms: Mapping[Monomial, Ratio]
    errors: tuple[Monomial, ...] = ()

    @property
    def exact(self) -> bool:
        return not self.errors


ZERO = Series({})


@dataclass
class Ring:
    """Arithmetic of transseries.

    Attributes: signs (what is known of the constants), terms (kept in a sector), sectors (kept).
    """

    signs: Signs
    terms: int = 6
    sectors: int = 4
    table: Table = field(default_factory=Table)
    _order: dict[tuple[Monomial, Monomial], int] = field(default_factory=dict)

    def with_(self, terms: int, sectors: int, signs: Signs | None = None) -> Ring:
        """The same constants with another number of terms and sectors, or more knowledge."""
        return Ring(signs or self.signs, terms, sectors, self.table, self._order)

    def sign(self, c: Ratio) -> int:
        """Sign of a coefficient, factor by factor; raises Undecided."""
        if not c:
            return 0
        content, found = self.table.factors(c)
        made = int(sp.sign(content))
        try:
            for base, power in found:
                made *= self.signs.sign(base) ** (power % 2 or 2)
        except Undecided:
            return self.signs.sign(self.table.expr(c))
        return made

    def is_zero(self, c: Ratio) -> bool:
        """Whether a coefficient vanishes; exact where no letters can be related."""
        return not c or (self.table.opaque(c) and self.signs.is_zero(self.table.expr(c)))

    # ------------------------------------------------------------------------------------------------------- order

    def compare(self, a: Monomial, b: Monomial) -> int:
        """1 where a/b goes to infinity, -1 where it vanishes, 0 where they are of one order.

        Raises: Undecided.
        """
        if a == b:
            return 0
        if (a, b) not in self._order:
            self._order[a, b] = self._compare(a / b)
        return self._order[a, b]

    def _compare(self, ratio: Monomial) -> int:
        if not ratio.expo:
            return next((k for k in map(self.signs.sign, ratio.powers) if k), 0)
        parts = list(ratio.log_terms)
        while parts:
            top = parts[0]
            for other in parts[1:]:
                if self.compare(other[0], top[0]) > 0:
                    top = other
            found = self.signs.sign(normal(sp.Add(*(c for m, c in parts if self.compare(m, top[0]) == 0))))
            if found:
                return found
            parts = [p for p in parts if self.compare(p[0], top[0]) < 0]
        return 0

    def sorted(self, monomials: Iterable[Monomial]) -> list[Monomial]:
        """Largest first."""
        return sorted(monomials, key=cmp_to_key(self.compare), reverse=True)

    def largest(self, monomials: Iterable[Monomial]) -> Monomial | None:
        """The largest of some monomials, None of none."""
        top: Monomial | None = None
        for m in monomials:
            if top is None or self.compare(m, top) > 0:
                top = m
        return top

    # ------------------------------------------------------------------------------------------------------ making

    def constant(self, value: Expr | int) -> Series:
        return self.of(self.table.ratio(sp.S(value)))

    def of(self, c: Ratio) -> Series:
        """A constant series."""
        return Series({ONE: c}) if c else ZERO

    def cut(self, terms: Mapping[Monomial, Ratio], errors: Iterable[Monomial]) -> Series:
        """Terms below the error of their sector dropped, at most so many terms and sectors kept."""
        worst: dict[Expo, Monomial] = {}
        for e in errors:
            if e.expo not in worst or self.compare(e, worst[e.expo]) > 0:
                worst[e.expo] = e
        rooms: dict[Expo, list[Monomial]] = {}
        for m, c in terms.items():
            if not c or (m.expo in worst and self.compare(m, worst[m.expo]) <= 0):
                continue
            rooms.setdefault(m.expo, []).append(m)
        kept: dict[Monomial, Ratio] = {}
        for sector, members in rooms.items():
            if len(members) <= self.terms:
                kept |= {m: terms[m] for m in members}
                continue
            ordered = self.sorted(members)
            kept |= {m: terms[m] for m in ordered[: self.terms]}
            worst[sector] = ordered[self.terms]
        if len(rooms.keys() | worst.keys()) > self.sectors:
            kept, worst = self._fewer(kept, worst)
        return Series(kept, tuple(worst.values()))

    def _fewer(
        self, kept: dict[Monomial, Ratio], worst: dict[Expo, Monomial]
    ) -> tuple[dict[Monomial, Ratio], dict[Expo, Monomial]]:
        ordered = self.sorted(self._heads((*kept, *worst.values())))
        stay = {m.expo for m in ordered[: self.sectors]}
        tail = ordered[self.sectors]
        kept = {m: c for m, c in kept.items() if m.expo in stay}
        return kept, {k: m for k, m in worst.items() if k in stay} | {tail.expo: tail}

    # -------------------------------------------------------------------------------------------------- arithmetic

    def add(self, *series: Series) -> Series:
        total: dict[Monomial, Ratio] = {}
        for s in series:
            for m, c in s.terms.items():
                total[m] = total[m] + c if m in total else c
        return self.cut(total, (e for s in series for e in s.errors))

    def scale(self, a: Series, factor: Ratio | Expr | int, by: Monomial = ONE) -> Series:
        k = factor if isinstance(factor, Ratio) else self.table.ratio(factor)
        if not k:
            return ZERO
        return Series({m * by: self.table.reduced(c * k) for m, c in a.terms.items()}, tuple(e * by for e in a.errors))

    def mul(self, a: Series, b: Series) -> Series:
        if len(a.terms) == 1 and a.exact:
            ((m, c),) = a.terms.items()
            return self.scale(b, c, m)
        if len(b.terms) == 1 and b.exact:
            return self.mul(b, a)
        sums: dict[Monomial, Ratio] = {}
        for m, c in a.terms.items():
            for k, d in b.terms.items():
                both = m * k
                sums[both] = sums[both] + c * d if both in sums else c * d
        sums = {m: self.table.reduced(c) for m, c in sums.items()}
        heads_a, heads_b = (self._heads((*s.terms, *s.errors)) for s in (a, b))
        return self.cut(sums, [e * h for e in a.errors for h in heads_b] + [e * h for e in b.errors for h in heads_a])

    def _heads(self, monomials: Iterable[Monomial]) -> list[Monomial]:
        """The largest of each sector."""
        heads: dict[Expo, Monomial] = {}
        for m in monomials:
            if m.expo not in heads or self.compare(m, heads[m.expo]) > 0:
                heads[m.expo] = m
        return list(heads.values())

    def leading(self, a: Series) -> tuple[Monomial, Ratio] | None:
        """The largest term; None of an exact zero.

        Raises: Lost where what was left out may be as large; Undecided.
        """
        terms = dict(a.terms)
        while terms:
            top = self.largest(terms)
            assert top is not None
            same = [m for m in terms if self.compare(m, top) == 0]
            total = terms[same[0]]
            for m in same[1:]:
                total = total + terms[m]
            if any(self.compare(e, top) >= 0 for e in a.errors):
                break
            if not self.is_zero(total):
                return top, total
            for m in same:
                del terms[m]
        if a.errors:
            raise Lost("all terms kept have cancelled", given=str(len(a.terms)), allowed="more terms")
        return None

    def split(self, a: Series) -> tuple[Series, Ratio, Series]:
        """Large, constant and vanishing part.

        Raises: Lost where what is left out does not vanish.
        """
        large: dict[Monomial, Ratio] = {}
        small: dict[Monomial, Ratio] = {}
        constant = Ratio.of(0)
        for m, c in a.terms.items():
            order = self.compare(m, ONE)
            if order == 0:
                constant = constant + c
            elif order < 0:
                small[m] = c
            elif not self.is_zero(c):
                large[m] = c
        if any(self.compare(e, ONE) >= 0 for e in a.errors):
            raise Lost("the terms left out do not vanish", given=str(len(a.terms)), allowed="more terms")
        return Series(large), constant, Series(small, a.errors)

    def compose(self, coefficient: Callable[[int], Expr | Ratio], small: Series) -> Series:
        """sum_k coefficient(k) small^k for a series that vanishes."""
        first = coefficient(0)
        total = self.of(first if isinstance(first, Ratio) else self.table.ratio(first))
        if not small.terms and not small.errors:
            return total
        head = self.largest((*small.terms, *small.errors))
        assert head is not None
        last = self.terms if not head.expo else self.sectors
        power = self.of(Ratio.of(1))
        parts = [total]
        for k in range(1, last + 1):
            power = self.mul(power, small)
            parts.append(self.scale(power, coefficient(k)))
            if not power.terms:
                parts.append(Series({}, power.errors))
                break
        else:
            rest = self.mul(power, small)
            parts.append(Series({}, (*rest.terms, *rest.errors)))
        return self.add(*parts)

    def unit(self, a: Series) -> tuple[Monomial, Ratio, Series]:
        """(m, c, small) with a = c m (1 + small).

        Raises: NotExpandable for an exact zero.
        """
        found = self.leading(a)
        if found is None:
            raise NotExpandable("a quotient or logarithm of zero", given="0", allowed="an expression that is not zero")
        m, c = found
        inverse = ONE / m
        rest = {k * inverse: self.table.reduced(d / c) for k, d in a.terms.items() if self.compare(k, m) != 0}
        return m, c, self.cut(rest, (e * inverse for e in a.errors))

    def power(self, a: Series, r: Expr) -> Series:
        """a^r for a constant r."""
        if r == 0:
            return self.constant(1)
        if r == 1:
            return a
        if r.is_Integer and 1 < r <= 8:
            made = a
            for _ in range(int(r) - 1):
                made = self.mul(made, a)
            return made
        m, c, small = self.unit(a)
        tail = self.compose(lambda k: sp.binomial(r, k) if r.is_Rational else sp.ff(r, k) / sp.factorial(k), small)
        return self.scale(tail, self.raised(c, r), m**r)

    def raised(self, c: Ratio, r: Expr) -> Ratio:
        """c^r of a constant, squares taken out with the right sign.

        Raises: NotExpandable for a negative constant and a power that is not an integer.
        """
        if r.is_Integer:
            return c ** int(r)
        made = Ratio.of(1)
        for base, power in self.factors(c):
            made = made * self.table.ratio(base ** (power * r) if base.is_number else _raise(base, power * r))
        return made

    def factors(self, c: Ratio) -> list[tuple[Expr, Expr]]:
        """A positive constant as powers of positive ones.

        Raises: NotExpandable for a negative constant; Undecided where a sign is open.
        """
        content, found = self.table.factors(c)
        made: list[tuple[Expr, Expr]] = [(abs(content), S.One)] if abs(content) != 1 else []
        side = int(sp.sign(content))
        for base, power in found:
            if not base.is_positive and self.signs.sign(base) < 0:
                side *= (-1) ** power
                base = sp.expand(-base)
            made.append((base, S(power)))
        if side < 0:
            raise NotExpandable(
                "a logarithm or root of a negative number", given=str(self.table.expr(c)), allowed="a positive argument"
            )
        return made

    def log(self, a: Series) -> Series:
        m, c, small = self.unit(a)
        head = Series({k: self.table.ratio(p) for k, p in m.log_terms})
        constant = self.constant(sp.Add(*(power * self.logarithm(base) for base, power in self.factors(c))))
        tail = self.compose(lambda k: S.Zero if k == 0 else sp.Rational((-1) ** (k + 1), k), small)
        return self.add(head, constant, tail)

    def logarithm(self, c: Expr) -> Expr:
        """log c of a positive constant, powers taken out."""
        if isinstance(c, sp.exp):
            return c.args[0]
        if c.is_Mul and all(self.signs.sign(a) > 0 for a in c.args):
            return sp.Add(*(self.logarithm(a) for a in c.args))
        if c.is_Pow and self.signs.sign(c.args[0]) > 0:
            return c.args[1] * self.logarithm(c.args[0])
        return sp.log(c)

    def exp(self, a: Series) -> Series:
        large, constant, small = self.split(a)
        powers: dict[int, Expr] = {}
        expo: dict[Monomial, Expr] = {}
        for m, c in large.terms.items():
            k = len(m.powers) - 1
            if k >= 1 and m == level(k):
                powers[k - 1] = normal(self.table.expr(c))
            else:
                expo[m] = normal(self.table.expr(c))
        made = Monomial.of([powers.get(i, S.Zero) for i in range(max(powers, default=-1) + 1)], expo)
        tail = self.compose(lambda k: 1 / sp.factorial(k), small)
        return self.scale(tail, self._exponential(constant), made)

    def _exponential(self, constant: Ratio) -> Ratio:
        """exp of a constant, logarithms in it undone."""
        if not constant:
            return Ratio.of(1)
        value, made = sp.expand(self.table.expr(constant)), Ratio.of(1)
        for part in sp.Add.make_args(value):
            logs = [f for f in sp.Mul.make_args(part) if isinstance(f, sp.log)]
            if len(logs) == 1 and part.is_finite is not False:
                power = part / logs[0]
                base = logs[0].args[0]
                made = made * self.table.ratio(_raise(base, power))
            else:
                made = made * self.table.ratio(sp.exp(part))
        return made

    def taylor(self, f: Callable[[Expr], Expr], at: Expr, small: Series) -> Series:
        """f(at + small) for f analytic at a constant.

        Raises: NotExpandable where a derivative is not finite there.
        """
        x = Symbol("x", real=True)
        derivatives = [f(x)]

        def coefficient(k: int) -> Expr:
            while len(derivatives) <= k:
                derivatives.append(derivatives[-1].diff(x))
            value = derivatives[k].subs(x, at) / sp.factorial(k)
            if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
                raise NotExpandable(f"{f(x)} is singular at {at}", given=str(at), allowed="a point where it is smooth")
            return value

        return self.compose(coefficient, small)

    # ----------------------------------------------------------------------------------------------------- reading

    def ordered(self, a: Series) -> list[tuple[Monomial, Expr]]:
        """Terms that are not zero, largest first, equal orders joined."""
        found: list[tuple[Monomial, Ratio]] = []
        for m in self.sorted(a.terms):
            if found and self.compare(found[-1][0], m) == 0:
                found[-1] = (found[-1][0], found[-1][1] + a.terms[m])
            else:
                found.append((m, a.terms[m]))
        return [(m, self.table.expr(c)) for m, c in found if not self.is_zero(c)]


def _raise(base: Expr, power: Expr) -> Expr:
    return sp.Pow(base, power)
