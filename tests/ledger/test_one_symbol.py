"""Claims in one symbol: textbook inequalities that touch, their false twins, and functions of pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Expr, Integer, Rational, S, Symbol, atan, cosh, erf, exp, log, oo, pi, sin, sqrt, tanh

from derive.core import Verdict
from derive.ledger.balls import enclose
from derive.ledger.end_values import end_value
from derive.ledger.marks import Unknown
from derive.ledger.sign_charts import chart
from derive.reader import read_page

x = Symbol("x", real=True)


def verdict(claim: str, where: str, rule: str = "positivity") -> Verdict:
    page = f"```{{symbols}}\nx: {where}\n```\n```{{step}} s\n:rule: {rule}\n{claim}\n```\n"
    return read_page(page).derivation.check()["s"].verdict


# (range, inequality, the same made a little too strong)
TWINS = [
    ("real", "exp(x) >= 1 + x", "exp(x) >= 1 + x + x^2/2"),
    ("real", "exp(x) >= 1 + x + x^2/2 + x^3/6", "exp(x) >= 1 + x + x^2/2 + x^3/6 + x^4/1000000"),
    ("real", "exp(x) >= E*x", "exp(x) >= 2.7182818284590452354*x"),
    ("real", "log(cosh(x)) <= x^2/2", "log(cosh(x)) <= x^2/2.0001"),
    ("real", "log(cosh(x)) >= x^2/2 - x^4/12", "log(cosh(x)) > x^2/2 - x^4/12"),
    ("real", "cosh(x) <= exp(x^2/2)", "cosh(x) <= exp(x^2/2.001)"),
    ("(0, 1)", "-x*log(x) - (1-x)*log(1-x) <= log(2)", "-x*log(x) - (1-x)*log(1-x) < log(2)"),
    ("(0, 1)", "-x*log(x) - (1-x)*log(1-x) >= 4*log(2)*x*(1-x)", "-x*log(x) - (1-x)*log(1-x) >= 2.773*x*(1-x)"),
    ("positive", "sin(x) < x", "sin(x) < x - x^3/6"),
    ("real", "cos(x) >= 1 - x^2/2", "cos(x) >= 1 - x^2/2.1"),
    ("[0, pi/2]", "sin(x) >= 2*x/pi", "sin(x) >= 0.6367*x"),
    ("positive", "log(x) <= x - 1", "log(x) <= x - 1 - 10^(-12)"),
    ("positive", "x*log(x) >= -exp(-1)", "x*log(x) > -exp(-1)"),
    ("positive", "tanh(x) < x", "tanh(x) < x - x^3/3"),
    ("[0, oo)", "erfc(x) <= exp(-x^2)", "erfc(x) < exp(-x^2)"),
    ("positive", "erfc(x) < exp(-x^2)/(x*sqrt(pi))", "erfc(x) < exp(-x^2)/(x*1.7725)"),
    ("real", "log(1+exp(x)) > x", "log(1+exp(x)) > x + 10^(-9)"),
    ("real", "log(1+exp(x)) <= log(2) + x/2 + x^2/8", "log(1+exp(x)) <= log(2) + x/2 + x^2/8.001"),
    ("real", "log(cosh(x)) >= abs(x) - log(2)", "log(cosh(x)) >= abs(x) - 0.6931"),
    ("real", "log(2*cosh(x)) - x*tanh(x) <= log(2)", "log(2*cosh(x)) - x*tanh(x) <= 0.6931"),
    ("positive", "(1+1/x)^x < E", "(1+1/x)^x < 2.718"),
    ("positive", "x^2*exp(-x) <= 4*exp(-2)", "x^2*exp(-x) <= 0.541"),
    ("real", "atan(x) < pi/2", "atan(x) < 1.5707"),
    ("integer", "x^2 >= x", "x^2 > x"),
    ("integer", "(2*x-35)^2 >= 1", "(2*x-35)^2 > 1"),
]


@pytest.mark.parametrize(("where", "true", "false"), TWINS)
def test_an_inequality_that_touches_is_proved_and_its_twin_refuted(where: str, true: str, false: str) -> None:
    assert verdict(true, where) is Verdict.PROVED
    assert verdict(false, where) is Verdict.REFUTED


# ranges, true and false statements of pieces; the false ones fail at single points
PIECES = [
    ("max(x, 0) - max(-x, 0) = x", "max(x, 0) = x*Heaviside(x) + (1 - sign(x)^2)/10"),
    ("sign(x)*abs(x) = x", "abs(x - pi) = (x - pi)*sign(x - pi) + 1 - sign(x - pi)^2"),
    ("Heaviside(x) = (1 + sign(x))/2", "Heaviside(x) = (1 + sign(x))/2 + (1 - sign(x)^2)/4"),
    ("sign(x^2 + 1) = 1", "sign(x^2 - 2)^2 = 1"),
    ("sign(exp(x)) = 1", "sign(exp(x) - 2)^2 = 1"),
    ("sign(x)^3 = sign(x)", "sign(x^3 - x - 1)^2 = 1"),
    ("Piecewise((x^2, x <= 1), (2*x - 1, True)) = Piecewise((x^2, x < 1), (2*x - 1, True))",
     "Piecewise((x^2, x <= 1), (2*x, True)) = Piecewise((x^2, x < 1), (2*x, True))"),
]


@pytest.mark.parametrize(("true", "false"), PIECES)
def test_pieces_are_compared_where_they_join(true: str, false: str) -> None:
    assert verdict(true, "real", "identity") is Verdict.PROVED
    assert verdict(false, "real", "identity") is Verdict.REFUTED


@pytest.mark.parametrize(("e", "end", "side", "value"), [
    (log(1 + exp(x)) - x, oo, -1, 0),
    (x * log(x), S.Zero, 1, 0),
    (log(cosh(x)) - x, oo, -1, -log(2)),
    (exp(x) - x**5, oo, -1, oo),
    (exp(-(x**2)) - 1 + erf(x), oo, -1, 0),
    (atan(x), -oo, 1, -pi / 2),
    (exp(1 / x - 1 / x**2), S.Zero, 1, 0),
    (log(x) ** 3, S.Zero, 1, -oo),
])
def test_limits_at_ends(e: Expr, end: Expr, side: int, value: Expr) -> None:
    assert end_value(e, x, end, side) == value


def test_a_limit_of_the_shape_of_a_condensation_is_not_infinite() -> None:
    e = (2 * exp(-2 * x) + 3 * exp(-3 * x)) * exp(2 * x)  # SymPy says oo for such a limit
    assert end_value(e, x, oo, -1) == 2


_ATOMS = st.sampled_from([
    x, x**2, x**3, exp(x), exp(-x), log(1 + x**2), log(1 + exp(x)), tanh(x), erf(x), cosh(x), atan(x), sqrt(1 + x**2),
    x * exp(x), Integer(1), log(2), sin(x)])
_NUMBERS = st.fractions(-5, 5, max_denominator=3).map(lambda q: Rational(q.numerator, q.denominator))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(_NUMBERS, _ATOMS), min_size=2, max_size=3), st.lists(_NUMBERS, min_size=5, max_size=5))
def test_a_chart_agrees_with_balls_at_points(terms: list[tuple[Rational, Expr]], points: list[Rational]) -> None:
    e = sum((c * a for c, a in terms), Integer(0))
    try:
        found = chart(e, x, -oo, oo)
    except Unknown:
        return
    for point in points:
        if any(m.low <= point <= m.high for m in found.marks):
            continue
        ball = enclose(e, {x: point}, 200)
        sign = found.cells[sum(bool(m.high < point) for m in found.marks)]
        assert ball.contains(0) if sign == 0 else sign * ball > 0 or found.touching
