"""Inequalities and identities in several symbols: true ones proved by reduction, their false twins refuted."""

import pytest

from derive.core import Verdict
from derive.reader import read_page


def verdict(claim: str, where: str, rule: str = "positivity") -> Verdict:
    declared = "\n".join(part.strip() for part in where.split(";"))
    page = f"```{{symbols}}\n{declared}\n```\n```{{step}} s\n:rule: {rule}\n{claim}\n```\n"
    return read_page(page).derivation.check()["s"].verdict


POSITIVE, REAL, UNIT = "x: positive; y: positive", "x: real; y: real", "x: (0, 1); y: (0, 1)"
TWINS = [
    (POSITIVE, "(x+y)/2 >= sqrt(x*y)", "(x+y)/2 > sqrt(x*y)"),
    (POSITIVE + "; z: positive", "(x+y+z)/3 >= (x*y*z)^(1/3)", "(x+y+z)/3 >= 1.001*(x*y*z)^(1/3)"),
    (REAL + "; z: real", "x^2+y^2+z^2 >= x*y+y*z+z*x", "x^2+y^2+z^2 >= x*y+y*z+1.001*z*x"),
    (REAL, "(cosh(x)+cosh(y))/2 >= cosh((x+y)/2)", "(cosh(x)+cosh(y))/2 >= 1.001*cosh((x+y)/2)"),
    (REAL, "(exp(x)+exp(y))/2 >= exp((x+y)/2)", "(exp(x)+exp(y))/2 > exp((x+y)/2)"),
    (REAL, "(x^4+y^4)/2 >= ((x+y)/2)^4", "(x^4+y^4)/2 >= 1.001*((x+y)/2)^4"),
    (POSITIVE, "x*log(x/y) - x + y >= 0", "x*log(x/y) - x + y >= 0.00001*y"),
    (UNIT, "x*log(x/y) + (1-x)*log((1-x)/(1-y)) >= 2*(x-y)^2", "x*log(x/y) + (1-x)*log((1-x)/(1-y)) >= 2.01*(x-y)^2"),
    ("x: real; y: positive", "x*y <= exp(x) + y*log(y) - y", "x*y <= exp(x) + y*log(y) - 1.001*y"),
    ("x: real; b: (0, 1)", "b*x^2/2 >= log(cosh(b*x))", "b*x^2/2.1 >= log(cosh(b*x))"),
    ("x: real; b: positive", "x*y <= x^2/2 + y^2/2".replace("y", "b"), "x*b <= x^2/2 + b^2/2.001"),
    (REAL, "abs(x+y) <= abs(x)+abs(y)", "abs(x+y) <= abs(x)+0.999*abs(y)"),
    (REAL, "sqrt(x^2+y^2) <= abs(x)+abs(y)", "sqrt(x^2+y^2) <= abs(x)+0.1*abs(y)"),
    (REAL, "max(x, y) >= (x+y)/2", "max(x, y) > (x+y)/2"),
]


@pytest.mark.parametrize(("where", "true", "false"), TWINS)
def test_an_inequality_in_several_symbols_and_its_twin(where: str, true: str, false: str) -> None:
    assert verdict(true, where) is Verdict.PROVED
    assert verdict(false, where) is Verdict.REFUTED


@pytest.mark.parametrize(("true", "false"), [
    ("Heaviside(x-y) + Heaviside(y-x) = 1", "Heaviside(x-y) + Heaviside(y-x) = 1 + (1-sign(x-y)^2)"),
    ("max(x, y) + min(x, y) = x + y", "max(x, y) = y + (x-y)*Heaviside(x-y) + (1-sign(x-y)^2)/7"),
    ("abs(x-y) = max(x-y, 0) + max(y-x, 0)", "abs(x-y)*sign(x-y)^2 = abs(x-y) + 1 - sign(x-y)^2"),
])
def test_pieces_in_two_symbols(true: str, false: str) -> None:
    assert verdict(true, REAL, "identity") is Verdict.PROVED
    assert verdict(false, REAL, "identity") is Verdict.REFUTED


@pytest.mark.parametrize(("where", "claim"), [
    ("x: positive", "gamma(x)*gamma(x+1/2) = 2^(1-2*x)*sqrt(pi)*gamma(2*x)"),
    ("x: (0, 1)", "gamma(x)*gamma(1-x) = pi/sin(pi*x)"),
    ("x: (0, 1)", "Li2(x) + Li2(-x) = Li2(x^2)/2"),
    ("x: [-1, 1]", "asin(x) + acos(x) = pi/2"),
])
def test_special_functions(where: str, claim: str) -> None:
    assert verdict(claim, where, "identity") is Verdict.PROVED
    assert verdict(claim + " + 10^(-20)", where, "identity") is Verdict.REFUTED


@pytest.mark.parametrize("claim", ["gamma(x) >= 0.886", "log(x) <= 10 + x/1000000", "x^2*exp(-x) <= 0.541"])
def test_a_window_that_random_points_miss_is_found(claim: str) -> None:
    assert verdict(claim, "x: positive") is Verdict.REFUTED


@pytest.mark.parametrize(("where", "on", "claim"), [
    ("x: [3/7, 1)", "", "(x-3/7)*(y+z+w) > 0"),
    ("x: [3/7, 5/7]", "", "(x-3/7)*(5/7-x)*(y+z+w) > 0"),
    ("x: [1, 2]", "", "log(x)*(y+z+w) > 0"),
    ("x: [3/7, oo)", "", "exp(x-3/7)*(y+z+w) > y+z+w"),
    ("x: real", "x >= 3/7", "x*y > 3*y/7"),
    ("x: real", "x >= 3/7", "(x-3/7)*(y+z+w) > 0"),
    ("x: real", "x >= y", "x*z > y*z"),
    ("x: [3/7, 1]", "", "1/(x-3/7) > 0"),
    ("x: [3/7, 1]", "", "log(x-3/7) < 0"),
    ("x: real\nu: real", "", "(x^2+u^2)/(x-u)^2 >= 1/2"),
    ("x: real\nu: real", "", "x^2+u^2+y-y > 0"),
    ("x: real\nu: real", "", "(x-u)^2*(y+z+1) > 0"),
])
def test_a_strict_claim_that_fails_at_a_closed_end_is_refuted(where: str, on: str, claim: str) -> None:
    option = f":on: {on}\n" if on else ""
    page = (f"```{{symbols}}\n{where}\ny: positive\nz: positive\nw: positive\n```\n"
            f"```{{step}} s\n:rule: positivity\n{option}{claim}\n```\n")
    assert read_page(page).derivation.check()["s"].verdict is Verdict.REFUTED


@pytest.mark.parametrize("claim", ["x >= 3/7", "49*x^2 >= 9", "x*y >= 3*y/7", "x*y > 2*y/5"])
def test_what_holds_on_the_edge_too_is_proved(claim: str) -> None:
    page = f"```{{symbols}}\nx: real\ny: positive\n```\n```{{step}} s\n:rule: positivity\n:on: x >= 3/7\n{claim}\n```\n"
    assert read_page(page).derivation.check()["s"].verdict is Verdict.PROVED
