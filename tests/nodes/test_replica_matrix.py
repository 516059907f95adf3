"""Overlap matrices of symbolic size against explicit matrices at integer n."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Determinant, Expr, Identity, Integer, Rational, Symbol, Trace, latex, symbols

from derive.core import DeriveError
from derive.nodes.replica_matrix import BASIS, Element, OverlapMatrix, as_element

n, p = Symbol("n", positive=True), Symbol("m_b", positive=True)
m, q, r, q0, q1, c = symbols("m q r q_0 q_1 c", real=True)
SYMMETRIC, PLANTED = OverlapMatrix.symmetric(n, r, q), OverlapMatrix.symmetric(n, r, q, planted=m, norm=c)
BROKEN, BOTH = OverlapMatrix.one_step(n, p, r, q1, q0), OverlapMatrix.one_step(n, p, r, q1, q0, planted=m, norm=c)
FAMILIES = [SYMMETRIC, PLANTED, BROKEN, BOTH]
SIZES = [(2, 1), (3, 1), (4, 1), (4, 2), (5, 1), (6, 2), (6, 3)]
numbers = st.fractions(-3, 3, max_denominator=7)


def at(e: Expr, size: int, block: int, values: dict[Symbol, Rational]) -> Expr:
    return e.subs({n: size, p: block}).subs(values)


def drawn(values: list) -> dict[Symbol, Rational]:
    return dict(zip((m, q, r, q0, q1, c), (Rational(v.numerator, v.denominator) for v in values), strict=True))


@pytest.mark.parametrize("matrix", FAMILIES)
@given(values=st.lists(numbers, min_size=6, max_size=6), size=st.sampled_from(SIZES))
@settings(max_examples=15)
def test_determinant_trace_and_inverse_are_those_of_the_explicit_matrix(matrix, values, size) -> None:
    point = drawn(values)
    explicit = matrix.explicit(*size).subs(point)
    assert explicit.trace() == at(Trace(matrix).doit(), *size, point)
    det = explicit.det()
    own = {v: at(v, *size, point) for v, _ in matrix.element.sectors()}
    if 0 in own.values():  # a multiplicity of zero times a vanishing eigenvalue
        return
    assert det == at(Determinant(matrix).doit(), *size, point)
    if det != 0:
        inverse = matrix.overlap_inverse().explicit(*size).subs(point)
        assert (explicit * inverse).is_diagonal()
        assert (explicit * inverse).trace() == explicit.rows


@pytest.mark.parametrize("matrix", FAMILIES)
def test_the_inverse_is_one_for_every_n(matrix: OverlapMatrix) -> None:
    product = (matrix.element @ matrix.overlap_inverse().element).coefficients
    unit = Element.identity(n, p, matrix.planted).coefficients
    assert all((product[k] - unit[k]).simplify() == 0 for k in BASIS)


@given(first=st.lists(numbers, min_size=6, max_size=6), second=st.lists(numbers, min_size=6, max_size=6),
       size=st.sampled_from(SIZES))
@settings(max_examples=30)
def test_products_of_any_two_elements(first, second, size) -> None:
    a, b = (Element.of(n, p, True, **dict(zip(BASIS, (Rational(v.numerator, v.denominator) for v in vs), strict=True)))
            for vs in (first, second))
    left = (a @ b).explicit(*size).subs({n: size[0], p: size[1]})
    assert left == a.explicit(*size) * b.explicit(*size)


@pytest.mark.parametrize("matrix", FAMILIES)
@pytest.mark.parametrize("size", [(4, 2), (6, 3)])
def test_eigenvalues_with_their_multiplicities(matrix: OverlapMatrix, size: tuple[int, int]) -> None:
    rng = random.Random(4)
    point = {s: Rational(rng.randint(1, 30), 10) for s in (m, q, r, q0, q1, c)}
    explicit = matrix.explicit(*size).subs(point)
    found = [(at(v, *size, point), at(k, *size, point)) for v, k in matrix.eigenvalues()]
    assert sum(k for _, k in found) == explicit.rows
    assert sum((v * k for v, k in found), Integer(0)).equals(explicit.trace())
    for value, times in found:
        assert len((explicit - value * Identity(explicit.rows).as_explicit()).nullspace(simplify=True)) >= times


def test_no_replicas_leave_the_planted_one() -> None:
    assert Determinant(PLANTED).doit().subs(n, 0).simplify() == c


def test_equal_overlaps_have_no_blocks() -> None:
    assert OverlapMatrix.one_step(n, p, r, q, q) == SYMMETRIC
    assert OverlapMatrix.one_step(n, 1, r, q1, q0).element.sectors()[0][0] == r - q1


def test_products_are_read_as_elements() -> None:
    e = as_element(2 * PLANTED * PLANTED - Identity(n + 1), n, p, True)
    values = {m: 1, q: 2, r: 3, c: 4}
    explicit = PLANTED.explicit(3).subs(values)
    assert e.explicit(3).subs({n: 3, **values}) == 2 * explicit**2 - Identity(4).as_explicit()


@pytest.mark.parametrize(("make", "message"), [
    (lambda: OverlapMatrix(n, 1, r, q, q, m), "a planted replica has an overlap"),
    (lambda: BROKEN.explicit(5, 2), "do not divide"),
    (lambda: OverlapMatrix.symmetric(n, 1, 1).overlap_inverse(), "no inverse"),
    (lambda: as_element(PLANTED, n, p, False), "another algebra"),
    (lambda: OverlapMatrix.from_element(Element.of(n, p, True, row=1)), "not symmetric"),
])
def test_what_cannot_be_is_refused(make, message: str) -> None:
    with pytest.raises(DeriveError, match=message):
        make()


def test_derivatives_are_taken_entry_by_entry() -> None:
    assert PLANTED.diff(m).explicit(3) == PLANTED.explicit(3).diff(m)
    assert BROKEN.diff(q1).explicit(4, 2) == BROKEN.explicit(4, 2).diff(q1)


def test_it_prints_as_a_paper_would() -> None:
    assert r"\mathbf{1}^{\mathsf T}" in latex(PLANTED)
    assert "I_{n}" in latex(SYMMETRIC)
