"""Power series of spectral laws: moments from the polynomial, free cumulants, R- and S-transforms.

A series is the list of its coefficients in a field of SymPy (the rationals, or fractions in the parameters), constant
first; every function returns as many coefficients as it is given, which are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flint import arb, fmpq
from sympy import QQ, Dummy, Poly

from derive.ledger.balls import precision

__all__ = [
    "Branch",
    "branches",
    "compose",
    "cumulants_from_moments",
    "free_product_moments",
    "moments_from_cumulants",
    "reverse",
    "s_series",
    "satisfies",
]

Series = list[Any]
Bivariate = Mapping[tuple[int, int], Any]  # (power of the unknown, power of the variable): coefficient

_DEPTH = 24  # coefficients after which two branches that still agree are taken for one


def product(a: Sequence[Any], b: Sequence[Any]) -> Series:
    """a b to the order of the shorter."""
    n = min(len(a), len(b))
    return [sum((a[i] * b[k - i] for i in range(1, k + 1)), a[0] * b[k]) for k in range(n)]


def reciprocal(a: Sequence[Any]) -> Series:
    """1/a."""
    made: Series = [a[0] ** -1]
    for k in range(1, len(a)):
        made.append(-made[0] * sum((a[i] * made[k - i] for i in range(2, k + 1)), a[1] * made[k - 1]))
    return made


def compose(outer: Sequence[Any], inner: Sequence[Any]) -> Series:
    """outer(inner(s)), inner without constant term."""
    zero = inner[0] * 0
    made: Series = [zero] * len(inner)
    for value in reversed(outer):
        made = product(made, inner)
        made[0] = made[0] + value
    return made


def reverse(a: Sequence[Any]) -> Series:
    """The series b with a(b(s)) = s, for a = a_1 s + ... with a_1 not zero (Lagrange)."""
    n = len(a)
    one = a[1] / a[1]
    kernel = reciprocal(list(a[1:]))  # (s/a)
    power: Series = [one] + [one * 0] * (n - 2)
    made: Series = [one * 0]
    for k in range(1, n):
        power = product(power, kernel)
        made.append(power[k - 1] / k)
    return made


def cumulants_from_moments(moments: Sequence[Any]) -> Series:
    """Free cumulants [1, kappa_1, ...] of moments [1, m_1, ...]: C(s M(s)) = M(s)."""
    shifted = [moments[0] * 0, *moments[:-1]] if len(moments) > 1 else [moments[0] * 0]
    return compose(moments, reverse(shifted)) if len(moments) > 1 else list(moments)


def moments_from_cumulants(cumulants: Sequence[Any]) -> Series:
    """Moments [1, m_1, ...] of free cumulants [1, kappa_1, ...]."""
    if len(cumulants) == 1:
        return list(cumulants)
    inverse = [cumulants[0] * 0, *reciprocal(cumulants)]
    return reverse(inverse)[1:]


def s_series(moments: Sequence[Any]) -> Series:
    """S(y) = chi(y) (1 + y)/y with chi the inverse of psi(s) = m_1 s + m_2 s^2 + ...; needs m_1 != 0."""
    chi = reverse([moments[0] * 0, *moments[1:]])
    stripped = chi[1:]
    return [stripped[0], *(stripped[k] + stripped[k - 1] for k in range(1, len(stripped)))]


def moments_from_s(s: Sequence[Any]) -> Series:
    """Moments [1, m_1, ...] of an S-transform."""
    one = s[0] / s[0]
    alternating = [one if k % 2 == 0 else -one for k in range(len(s))]  # 1/(1 + y)
    return [one, *reverse([one * 0, *product(s, alternating)])[1:]]


def free_product_moments(a: Sequence[Any], b: Sequence[Any]) -> Series:
    """Moments of a b for free a and b, from S_ab = S_a S_b.

    Where a mean is zero it has no S-transform: the moments of (a + u) b are polynomials in u of known degree and are
    interpolated to u = 0.
    """
    n = len(a)
    if n <= 2:
        return [a[0], *(a[1] * b[1] for _ in range(n - 1))]
    if surely_nonzero(a[1]) and surely_nonzero(b[1]):
        return moments_from_s(product(s_series(a), s_series(b)))
    if surely_nonzero(b[1]):
        return _at_zero(a, lambda shifted: free_product_moments(shifted, b))
    return _at_zero(b, lambda shifted: free_product_moments(shifted, a))


def _at_zero(moments: Sequence[Any], function: Any) -> Series:
    n = len(moments)
    one = moments[0]
    points = [one * k for k in range(1, n + 1)]
    values = [function(_shifted(moments, u)) for u in points]
    made: Series = []
    for k in range(n):
        total = one * 0
        for i, u in enumerate(points):
            weight = one
            for j, v in enumerate(points):
                if i != j:
                    weight = weight * v / (v - u)
            total = total + weight * values[i][k]
        made.append(total)
    return made


def _shifted(moments: Sequence[Any], u: Any) -> Series:
    cumulants = cumulants_from_moments(moments)
    cumulants[1] = cumulants[1] + u
    return moments_from_cumulants(cumulants)


# ---- the branch g ~ -1/z of an equation


@dataclass(frozen=True)
class Branch:
    """One power series M(w) = 1 + m_1 w + ... with g = -w M(w), w = 1/z, on the curve P(g, z) = 0.

    Attributes: head (the coefficients that single the branch out, the last of them a simple root of the equation that
    `tail` holds), field (of all coefficients: rationals, fractions in parameters, or an extension by one real root).
    """

    head: tuple[Any, ...]
    tail: Bivariate
    field: Any

    def moments(self, n: int) -> Series:
        """[1, m_1, ..., m_n] in the field."""
        fixed = len(self.head) - 1
        rest = _newton(self.tail, self.head[-1], max(n - fixed, 0) + 1)
        return ([*self.head[:-1], *rest])[: n + 1]

    @property
    def is_rational(self) -> bool:
        """Whether all moments are rational numbers."""
        return bool(self.field == QQ)

    def balls(self, n: int, bits: int) -> list[arb]:
        """[1, m_1, ..., m_n] as real numbers."""
        with precision(bits):
            if self.is_rational:
                return [_ball(m) for m in self.moments(n)]
            digits = int(bits * 0.302) + 8
            root = arb(str(self.field.ext.as_expr().evalf(digits)))

            def real(value: Any) -> arb:
                total = arb(0)
                for c in value.to_list():
                    total = total * root + _ball(c)
                return total

            tail = {k: real(v) for k, v in self.tail.items()}
            fixed = len(self.head) - 1
            rest = _newton(tail, real(self.head[-1]), max(n - fixed, 0) + 1)
            return ([*(real(m) for m in self.head[:-1]), *rest])[: n + 1]


def _ball(value: Any) -> arb:
    return arb(fmpq(int(value.numerator), int(value.denominator)))


def branches(poly: Poly) -> list[Branch]:
    """The real branches g ~ -1/z of a polynomial in (g, z) whose moments all exist.

    With parameters only those are found whose moments are rational in them.
    """
    field = poly.domain.get_field()
    degree = poly.degree(poly.gens[1])
    phi: dict[tuple[int, int], Any] = {}
    for (i, j), value in poly.as_dict(native=True).items():
        # g^i z^j w^degree = (-M)^i w^(i - j + degree)
        key = (int(i), int(i - j + degree))
        phi[key] = phi.get(key, field.zero) + field.convert(value, poly.domain) * (-1) ** int(i)
    phi = _divided({k: v for k, v in phi.items() if v})
    return _lifted(phi, field.one, [], field)


def _divided(phi: Bivariate) -> dict[tuple[int, int], Any]:
    low = min(j for _, j in phi)
    return {(i, j - low): v for (i, j), v in phi.items()}


def _lifted(phi: Bivariate, root: Any, prefix: list[Any], field: Any) -> list[Branch]:
    at_zero = {i: v for (i, j), v in phi.items() if j == 0}
    if sum((v * root**i for i, v in at_zero.items()), field.zero):
        return []
    head = [*prefix, root]
    slope = sum((v * i * root ** (i - 1) for i, v in at_zero.items() if i), field.zero)
    if slope:
        return [Branch(tuple(head), phi, field)]
    if len(head) > _DEPTH:
        return []
    # M = root + w M': expand, divide by the power of w that all terms share
    moved: dict[tuple[int, int], Any] = {}
    for (i, j), v in phi.items():
        binomial = 1
        for k in range(i + 1):
            key = (k, j + k)
            moved[key] = moved.get(key, field.zero) + v * binomial * root ** (i - k)
            binomial = binomial * (i - k) // (k + 1)
    moved = _divided({k: v for k, v in moved.items() if v})
    found = []
    for larger, candidate in _roots({i: v for (i, j), v in moved.items() if j == 0}, field):
        if larger == field:
            found += _lifted(moved, candidate, head, field)
        else:
            lifted = {k: larger.convert(v, field) for k, v in moved.items()}
            found += _lifted(lifted, candidate, [larger.convert(m, field) for m in head], larger)
    return found


def _roots(values: Mapping[int, Any], field: Any) -> list[tuple[Any, Any]]:
    """The real roots of a polynomial, each with the field that it lies in."""
    unknown = Dummy("m")
    poly = Poly.from_dict({(k,): v for k, v in values.items()}, unknown, domain=field)
    found = []
    for factor, _ in poly.factor_list()[1]:
        if factor.degree() == 1:
            slope, constant = (field.convert(v, factor.domain) for v in factor.rep.to_list())
            found.append((field, -constant / slope))
        elif field == QQ:
            for root in factor.real_roots():
                larger = QQ.algebraic_field(root)
                found.append((larger, larger.unit))
    return found


def _newton(phi: Bivariate, start: Any, n: int) -> Series:
    """The n first coefficients of the series with constant term `start`, a simple root at w = 0."""
    top = max(i for i, _ in phi)
    zero = start * 0
    slope = sum((v * i * start ** (i - 1) for (i, j), v in phi.items() if j == 0 and i), zero)
    made: Series = [start]
    powers: list[Series] = []  # powers of the series so far, in step with it
    powers = [[start**i] for i in range(top + 1)]
    for k in range(1, n):
        # with the k-th coefficient zero for now
        for i in range(top + 1):
            powers[i].append(zero)
        for i in range(2, top + 1):
            powers[i][k] = sum((made[a] * powers[i - 1][k - a] for a in range(k)), zero)
        residual = sum((v * powers[i][k - j] for (i, j), v in phi.items() if j <= k), zero)
        value = -residual / slope
        made.append(value)
        for i in range(1, top + 1):
            powers[i][k] = powers[i][k] + value * i * start ** (i - 1)
    return made


def satisfies(poly: Poly, moments: Sequence[Any]) -> bool:
    """Whether g = -w (1 + m_1 w + ...) is on the curve, to the order of the moments given.

    Moments that are balls may refute it only: then True says that nothing speaks against it.
    """
    degree = poly.degree(poly.gens[1])
    n = len(moments)
    one, zero = moments[0], moments[0] * 0
    powers: list[Series] = [[one] + [zero] * (n - 1)]
    for _ in range(poly.degree(poly.gens[0])):
        powers.append(product(powers[-1], moments))
    terms = [((int(i), int(i - j + degree)), int(v)) for (i, j), v in poly.as_dict(native=True).items()]
    low = min(j for (_, j), _ in terms)
    total = [zero] * n
    for (i, j), v in terms:
        sign = v if i % 2 == 0 else -v
        for k in range(n - (j - low)):
            total[k + j - low] += powers[i][k] * sign
    return all(not surely_nonzero(v) for v in total)


def surely_nonzero(value: Any) -> bool:
    """Of an exact number or a ball."""
    return not value.contains(0) if isinstance(value, arb) else bool(value)
