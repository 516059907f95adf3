"""Bound variables: nothing is captured, and names do not matter."""

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Dummy, Function, Integer, Interval, Lambda, Rational, Symbol, cos, exp, log, oo, sin, tanh

from derive.core import DeriveError
from derive.nodes import (
    Atoms,
    BoundSymbol,
    Density,
    Extremum,
    GaussianAverage,
    LogAverageExp,
    MarchenkoPastur,
    MeasureAverage,
    Noisy,
    Normal,
    SpectralAverage,
    TiltedAverage,
)

x, y, z, k, h = (Symbol(n, real=True) for n in "xyzkh")
c = Symbol("c", nonnegative=True)
p = Symbol("p", positive=True)
f, g = Function("f"), Function("g")
HALF = Rational(1, 2)
COIN = Atoms([-1, 1], [HALF, HALF])


def nodes(v):
    """One node of every kind, written in the variable v with the free symbol k."""
    inner = Density(exp(-v), v, 0, oo)
    return [
        GaussianAverage(f(k * v), v),
        GaussianAverage(v * GaussianAverage(f(v * z) + k * z**2, z), v),
        MeasureAverage(f(k + v), v, inner),
        MeasureAverage(tanh(k * v), v, Noisy(COIN, p)),
        SpectralAverage(log(1 + p * v) + k, v, MarchenkoPastur(p)),
        LogAverageExp(k * v, v, COIN),
        TiltedAverage(f(v), k * v**2, v, inner),
        Extremum(k * v - v**2, v, Interval(0, p), "max"),
        Extremum(k * v - v**2, v, Interval(-oo, oo), "max").argument,
        inner,
    ]


@pytest.mark.parametrize("number", range(10))
def test_renaming_gives_the_same_node(number):
    one, two = nodes(x)[number], nodes(y)[number]
    plain = nodes(Symbol("anything"))[number]
    assert one == two == plain
    assert len({one, two, plain}) == 1
    assert str(one) == str(two)


@pytest.mark.parametrize("number", range(10))
def test_rebuilding_copying_and_pickling_change_nothing(number):
    node = nodes(x)[number]
    for again in (node.func(*node.args), copy.copy(node), copy.deepcopy(node), pickle.loads(pickle.dumps(node))):
        assert again == node
        assert hash(again) == hash(node)
    assert node.xreplace({}) == node


@pytest.mark.parametrize("number", range(10))
def test_bound_variables_are_not_free_and_not_substituted(number):
    node = nodes(x)[number]
    assert node.free_symbols <= {k, p}
    assert node.subs(x, 7) == node
    for bound in node.bound_symbols:
        assert node.subs(bound, 7) == node
        assert node.xreplace({bound: Integer(7)}) == node


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("how", ["subs", "xreplace", "simultaneous"])
def test_a_value_is_never_captured(number, how):
    """Bringing in the node's own bound symbol is the same as bringing in a fresh symbol and renaming it later."""
    node = nodes(x)[number]
    bound = node.bound_symbols[0]
    fresh = Dummy(**bound._assumptions_orig)

    def put(value):
        if how == "xreplace":
            return node.xreplace({k: value})
        return node.subs({k: value}, simultaneous=how == "simultaneous")

    captured_or_not = put(bound**2 + bound)
    assert captured_or_not == put(fresh**2 + fresh).xreplace({fresh: bound})
    if k in node.free_symbols:
        assert bound in captured_or_not.free_symbols


def test_substituting_an_average_for_a_symbol_inside_an_average():
    inside = GaussianAverage(cos(h * x), x)
    outside = GaussianAverage(sin(k * x) ** 2, x)
    put = outside.subs(k, inside)
    assert put == GaussianAverage(sin(y * inside) ** 2, y)
    assert put.doit().subs(h, 1).evalf(15) == outside.doit().subs(k, exp(-HALF)).evalf(15)


def test_binding_a_symbol_that_was_bound_before():
    node = GaussianAverage(f(k * x), x)
    body, bound = node.body, node.variables[0]
    assert isinstance(bound, BoundSymbol)
    assert GaussianAverage(body, bound) == node
    crossed = GaussianAverage(GaussianAverage(f(bound * y) * y, y) * bound, bound)
    assert crossed == GaussianAverage(x * GaussianAverage(f(x * y) * y, y), x)
    assert crossed.free_symbols == set()


def test_the_law_lies_outside_the_scope_of_the_variable():
    shifted = Density(exp(-(y - x)), y, x, oo)
    node = MeasureAverage(f(x), x, shifted)
    assert node.free_symbols == {x}
    assert node == MeasureAverage(f(z), z, shifted)
    assert node.subs(x, 3) == MeasureAverage(f(z), z, shifted.subs(x, 3))


def test_canonical_names_depend_on_structure_alone():
    left = GaussianAverage(GaussianAverage(f(x, y) + y, y) * x, x)
    built_inside_out = GaussianAverage(f(Symbol("q", real=True), y) + y, y)
    right = GaussianAverage(built_inside_out * Symbol("q", real=True), Symbol("q", real=True))
    assert left == right
    assert left.xreplace({x: y}) == left


def test_nested_averages_are_joined_and_constants_come_out():
    assert GaussianAverage(GaussianAverage(f(x, y), y), x) == GaussianAverage(f(x, y), x, y)
    assert GaussianAverage(k, x) == k
    assert GaussianAverage(f(x), x, y) == GaussianAverage(f(x), x)
    assert MeasureAverage(k, x, COIN) == k
    assert SpectralAverage(k, c, MarchenkoPastur(p)) == k
    assert LogAverageExp(k, x, COIN) == k
    assert TiltedAverage(k, h * x, x, COIN) == k
    assert TiltedAverage(x, k, x, COIN) != 0


def test_patterns_with_bound_symbols_do_not_match_inside():
    node = GaussianAverage(x**2 * k**2, x)
    assert node.subs(k**2, h) == GaussianAverage(x**2 * h, x)
    assert node.subs(node.variables[0] ** 2, h) == node


def test_lambdas_and_functions_can_be_brought_in():
    node = GaussianAverage(f(x) * k, x)
    assert node.subs(f, Lambda(z, z**4)).doit() == 3 * k
    assert node.replace(f, lambda a: a**2).doit() == k


@pytest.mark.parametrize(
    "build",
    [
        lambda: GaussianAverage("__import__('os')", x),
        lambda: GaussianAverage(x, x**2),
        lambda: GaussianAverage(x * y, x, x),
        lambda: MeasureAverage(x, x, MarchenkoPastur(2)),
        lambda: SpectralAverage(c, c, Normal()),
        lambda: MeasureAverage(x, x, 3),
        lambda: Density(x, x, 2, 1),
        lambda: Atoms([1, 2], [HALF]),
        lambda: Atoms([1, 2], [HALF, HALF + Rational(1, 10**9)]),
        lambda: Atoms([1, 2], [Rational(3, 2), -HALF]),
        lambda: MarchenkoPastur(-1),
        lambda: Noisy(COIN, -1),
        lambda: Extremum(x, x, Interval(0, 1), "largest"),
        lambda: Extremum(x, x, Interval(1, 0), "max"),
    ],
)
def test_wrong_arguments_get_one_clear_line(build):
    with pytest.raises(DeriveError) as error:
        build()
    assert "\n" not in str(error.value)


trees = st.recursive(
    st.sampled_from([x, y, z, k, Integer(2)]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda ab: ab[0] + ab[1]),
        st.tuples(inner, inner).map(lambda ab: ab[0] * ab[1]),
        inner.map(f),
        st.tuples(inner, st.sampled_from([x, y, z])).map(lambda ab: GaussianAverage(*ab)),
        st.tuples(inner, st.sampled_from([x, y, z])).map(lambda ab: MeasureAverage(*ab, COIN)),
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(trees, trees)
def test_substitution_agrees_with_renaming_everything_first(tree, value):
    """Values with fresh free symbols, renamed afterwards, give what direct substitution gives."""
    names = {s: Dummy(s.name, real=True) for s in (x, y, z)}
    back = {d: s for s, d in names.items()}
    assert tree.subs(k, value) == tree.subs(k, value.xreplace(names)).xreplace(back)
    assert tree.xreplace({k: value}) == tree.subs(k, value)


@settings(max_examples=60)
@given(trees)
def test_binding_does_not_see_the_name(tree):
    renamed = tree.xreplace({x: h})
    assert GaussianAverage(tree, x) == GaussianAverage(renamed, h)
    assert x not in GaussianAverage(tree, x).free_symbols
