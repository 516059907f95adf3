"""The allow-list parser: what must be refused, what must be read, and that anything at all ends in one of the two."""
# ruff: noqa: E501 - long lists of short texts are easier to scan when they are dense

import itertools
import time
from typing import Any

import mpmath
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Rational

from derive.core import DeriveError
from derive.nodes import log_cosh, log_erfc
from derive.parse import (
    nearest_name,
    parse_atoms,
    parse_constant,
    parse_expression,
    parse_number,
    parse_range,
    parse_support,
)
from derive.parse.words import MAX_DIGITS, MAX_LENGTH
from derive.symbols import x

VARIABLES = {"x": x}
SECONDS = 2.0


REFUSED = [
    # calls of the interpreter
    "__import__('os').system('x')", '__import__("os")', "exec('1')", "eval('x')", "open('/etc/passwd')", "print(x)",
    "compile('1', '', 'eval')", "getattr(x, 'a')", "globals()", "vars()", "input()", "breakpoint()", "exit()", "sympify('x')",
    "lambdify(x, x)", "Symbol('y')", "os.system", "sp.exp(x)", "numpy.exp(x)", "x.__class__", "x.subs(x, 1)",
    "().__class__.__bases__", "(1).__class__", "exp.__call__(x)", "x.y", "1..real", "__builtins__", "__name__", "_", "_x",
    # forms of the language
    "lambda: 1", "lambda x: x", "[x for x in (1, 2)]", "{x}", "{x: 1}", "[x]", "x[0]", "(x, 1)", "x, 1", "()", "(x := 1)",
    "x = 1", "x == 1", "x < 1", "x > 0 and x < 1", "not x", "x if x else 1", "x or 1", "yield x", "await x", "import os",
    "del x", "raise x", "assert x", "None", "True", "False", "x; x", "x # comment", "x\\", "`x`", "'x'", '"x"', "f'{x}'",
    "b'x'", "'''x'''", "...", "*x", "exp(*x)", "exp(**x)", "exp(x=1)", "exp(x, evaluate=False)", "x @ x", "x // 2", "x % 2",
    "~x", "x | 1", "x & 1", "x << 2", "$x", "?", "@x", "x!", "5!", "x'", "\\exp(x)", "\\frac{1}{2}",
    # products without a sign, and other slips
    "2x", "2 x", "x x", "2(x)", "(x)(x)", "(2*x)(3)", "x(1)", "pi(x)", "2pi", "x2", "1_000", "0x10", "0b1", "1j", "1e", "1e+",
    "e", "i", "I", "y", "X", "alpha", "expx", "exp x", "exp", "sin", "sin()", "sin(x, 1)", "Max(x)", "Max()", "erf(1, 2, 3)",
    "foo(x)", "colh(x)", "Exp(x)", "factorial(5)", "binomial(5, 2)", "Sum(x)", "Integral(x)", "Derivative(x)", "Function(x)",
    "", " ", "\t", "(", ")", "(x", "x)", "x + ", "x * * x", "* x", "/ x", "x ** ", "x +* 2", "((x)", "(x))", ",", "exp(,x)",
    "exp(x,)", ".", "1.2.3", "..1", "x..", "--", "^", "x^", "^x",
    # sizes and depths
    "9**9**9**9", "9^9^9^9", "10**10**10", "2**(10**9)", "2**-(10**9)", "(1/3)**(10**8)", "1e999999999", "1e-999999999",
    "1e" + "9" * 50, "9" * (MAX_DIGITS + 1), "1" * (MAX_LENGTH + 1), "10**3000*10**3000", "1e-3000/1e3000",
    "exp(10**9)", "exp(exp(exp(exp(10))))", "exp(log(2)*10**9)", "exp(10**9*log(1 + 1/10**9))", "E**(10**9*log(1+1/10**9))",
    "2**(10**9*log(1 + 1/10**6)/log(2))", "sqrt(2)**(10**9)", "(1+sqrt(2))**(10**9)", "sin(exp(10**9))", "cosh(10**9)",
    "gamma(10**8)", "gamma(-10**9 + 1/2)", "loggamma(10**9)", "(1 + x)**1000000", "x**(10**9)", "((x**100)**100)**100",
    "exp(10**7*log(1 + x))", "(" * 200 + "x" + ")" * 200, "-" * 500 + "x", "exp(" * 100 + "x" + ")" * 100,
    "**".join(["x"] * 100), "+".join(["x"] * 600), "*".join(["x"] * 600), "x" * (MAX_LENGTH + 1), "Max(" + "x," * 50 + "x)",
    # numbers that are not finite or not real
    "1/0", "x/0", "0/0", "1/(x - x)", "0**0", "0**-1", "log(0)", "sqrt(-1)", "(-8)**(1/3)", "log(-1)", "acos(2)", "asin(-3)",
    "acosh(0)", "atanh(1)", "gamma(0)", "gamma(-1)", "nan", "inf", "oo", "-oo", "zoo", "infinity", "NaN", "x + oo", "x*nan",
    # characters that only look right
    "\uff58", "\uff11 + x", "x\u00b2", "\u03b1", "\u03c0", "\u221ax", "x \u00d7 2", "x \u2212 1", "x\u200b", "\u212f", "\u0445", "x\u0301",
    "\uff45\uff58\uff50(x)", "\u222b x", "\u221e", "x\u00a0+ 1", "\u2028", "\x00", "x\x07", "\x1b[0m", "\U0001d465", "1\u0660", "\u0661",
    # cases
    "Piecewise()", "Piecewise(x)", "Piecewise((x, 1))", "Piecewise((x, x < 0))", "Piecewise((x, x == 0), (1, True))",
    "Piecewise((x, True", "Piecewise((x, x), (1, True))", "Piecewise((1, lambda: 1), (2, True))", "Piecewise",
    "Piecewise((1, 0 < x < 1), (0, True))",
]  # fmt: skip

ACCEPTED: list[tuple[str, Any]] = [
    # numbers
    ("0", 0), ("1", 1), ("007", 7), ("0.5", Rational(1, 2)), (".5", Rational(1, 2)), ("5.", 5), ("1e3", 1000),
    ("1E3", 1000), ("1e+3", 1000), ("1e-3", Rational(1, 1000)), ("2.50e-1", Rational(1, 4)), ("1/500", Rational(1, 500)),
    ("1e-400", Rational(1, 10**400)), ("1e3000", sp.Integer(10) ** 3000), ("-2", -2), ("+2", 2), ("--2", 2), ("-+-2", 2),
    # arithmetic
    ("1 + 2*3", 7), ("(1 + 2)*3", 9), ("2 - 3 - 4", -5), ("2/3/4", Rational(1, 6)), ("2**3**2", 512), ("2^3^2", 512),
    ("(2^3)^2", 64), ("-2**2", -4), ("(-2)**2", 4), ("2**-1", Rational(1, 2)), ("2**-2**2", Rational(1, 16)),
    ("4**(1/2)", 2), ("2*-3", -6), ("2/-4", Rational(-1, 2)), ("1-(-1)", 2), ("6/2*3", 9), ("9**9", 9**9), ("10**10", 10**10),
    ("  1 +\t2 ", 3), ("1\n+ 2", 3), ("((((1))))", 1),
    # constants and functions of numbers
    ("pi", sp.pi), ("E", sp.E), ("2*pi", 2 * sp.pi), ("log(2)", sp.log(2)), ("ln(2)", sp.log(2)), ("log(2)/2", sp.log(2) / 2),
    ("sqrt(3)", sp.sqrt(3)), ("sqrt(4)", 2), ("exp(0)", 1), ("exp(1)", sp.E), ("E**2", sp.exp(2)), ("exp(-1/2)", sp.exp(-Rational(1, 2))),
    ("sin(pi/6)", Rational(1, 2)), ("cos(pi)", -1), ("tan(pi/4)", 1), ("asin(1)", sp.pi / 2), ("acos(1)", 0), ("atan(1)", sp.pi / 4),
    ("sinh(0)", 0), ("cosh(0)", 1), ("tanh(0)", 0), ("erf(0)", 0), ("erfc(0)", 1), ("abs(-3)", 3), ("Abs(-3)", 3), ("sign(-3)", -1),
    ("Heaviside(2)", 1), ("Heaviside(-2)", 0), ("Max(1, 2, 3)", 3), ("Min(1, 2)", 1), ("max(1, pi)", sp.pi), ("min(1, pi)", 1),
    ("gamma(5)", 24), ("gamma(1/2)", sp.sqrt(sp.pi)), ("loggamma(1)", 0), ("asinh(0)", 0), ("acosh(1)", 0), ("atanh(0)", 0),
    ("exp(log(5))", 5), ("2**(log(3)/log(2))", 3), ("exp(10*log(2))", 1024),
    # densities and activations
    ("x", x), ("-x", -x), ("x**2", x**2), ("x^2", x**2), ("-x^2", -(x**2)), ("x*x", x**2), ("2*x", 2 * x), ("x/2", x / 2),
    ("x**0", 1), ("x - x", 0), ("x**(1/2)", sp.sqrt(x)), ("1 - x^2", 1 - x**2), ("(1 - x)*(1 + x)", (1 - x) * (1 + x)),
    ("exp(-x^2/2)/sqrt(2*pi)", sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)), ("exp(-abs(x))", sp.exp(-sp.Abs(x))),
    ("1/(1 + x^2)", 1 / (1 + x**2)), ("1/(pi*sqrt(1 - x^2))", 1 / (sp.pi * sp.sqrt(1 - x**2))), ("exp(-x^4)", sp.exp(-(x**4))),
    ("exp(-(x - 1)^2/(2*0.01))", sp.exp(-50 * (x - 1) ** 2)), ("exp(-x^4/4 + x^2/2)", sp.exp(-(x**4) / 4 + x**2 / 2)),
    ("x^3*exp(-x)", x**3 * sp.exp(-x)), ("x**2.5*exp(-x)", x ** Rational(5, 2) * sp.exp(-x)),
    ("sqrt(4 - x^2)/(2*pi)", sp.sqrt(4 - x**2) / (2 * sp.pi)), ("tanh(x)", sp.tanh(x)), ("sin(x)**2", sp.sin(x) ** 2),
    ("cos(pi*x/2)", sp.cos(sp.pi * x / 2)), ("erf(x/sqrt(2))", sp.erf(x / sp.sqrt(2))), ("erfc(-x)", sp.erfc(-x)),
    ("Heaviside(x)", sp.Heaviside(x)), ("Max(0, x)", sp.Max(0, x)), ("max(0, 1 - abs(x))", sp.Max(0, 1 - sp.Abs(x))),
    ("sech(x)", 1 / sp.cosh(x)), ("sech(pi*x/2)/2", 1 / (2 * sp.cosh(sp.pi * x / 2))), ("atan(x)", sp.atan(x)),
    ("log(1 + x^2)", sp.log(1 + x**2)), ("log(1 + exp(x))", sp.log(1 + sp.exp(x))), ("x*log(x)", x * sp.log(x)),
    ("log_cosh(x)", log_cosh(x)), ("log_erfc(x)", log_erfc(x)), ("exp(-log_cosh(x))", sp.exp(-log_cosh(x))),
    ("gamma(x)", sp.gamma(x)), ("2**x", 2**x), ("x**x", x**x), ("E**(-x)", sp.exp(-x)), ("x**200", x**200),
    ("(1 + x)**100", (1 + x) ** 100), ("sign(x)*x", sp.sign(x) * x), ("exp(-x) + 1e-300", sp.exp(-x) + Rational(1, 10**300)),
    ("+".join(["x"] * 150), 150 * x), ("(" * 35 + "x" + ")" * 35, x),
    ("Piecewise((1, x < 0), (2, True))", sp.Piecewise((1, x < 0), (2, True))),
    ("Piecewise((x, x <= 1), (x^2, (x > 1) & (x < 2)), (0, True))",
     sp.Piecewise((x, x <= 1), (x**2, (x > 1) & (x < 2)), (0, True))),
    ("Piecewise((1, x < -1 | x > 1), (0, True))", sp.Piecewise((1, (x < -1) | (x > 1)), (0, True))),
]  # fmt: skip


def test_the_lists_are_long() -> None:
    assert len(REFUSED) >= 80
    assert len(ACCEPTED) >= 80
    assert len(set(REFUSED)) == len(REFUSED)


def check_message(error: DeriveError) -> None:
    message = str(error)
    assert "\n" not in message
    assert message.isprintable()
    assert error.allowed
    assert len(message) < 800


@pytest.mark.parametrize("text", REFUSED, ids=lambda t: ascii(t)[:40])
def test_refused(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(DeriveError) as caught:
        parse_expression(text, VARIABLES, what="density")
    assert time.perf_counter() - start < SECONDS
    check_message(caught.value)
    assert str(caught.value).startswith("density: ")


@pytest.mark.parametrize(("text", "expected"), ACCEPTED, ids=[t[:40] for t, _ in ACCEPTED])
def test_accepted(text: str, expected: Any) -> None:
    start = time.perf_counter()
    found = parse_expression(text, VARIABLES)
    assert time.perf_counter() - start < SECONDS
    assert found == sp.sympify(expected)
    assert found.free_symbols <= {x}


@pytest.mark.parametrize(
    ("text", "nearest", "position"),
    [
        ("colh(x)", "cosh", 1),
        ("1 + tanhh(x)", "tanh", 5),
        ("exp(-xx)", "x", 6),
        ("e", "E", 1),
        ("Exp(x)", "exp", 1),
        ("\uff58", "x", 1),
        ("2*\u03b1", "alpha", 3),
        ("exp + 1", "exp(x)", 1),
    ],
)
def test_names_the_nearest_and_the_place(text: str, nearest: str, position: int) -> None:
    with pytest.raises(DeriveError) as caught:
        parse_expression(text, VARIABLES)
    assert caught.value.nearest == nearest
    assert f"position {position} " in str(caught.value)


def test_no_variables_but_the_allowed() -> None:
    with pytest.raises(DeriveError, match="unknown name 'x'"):
        parse_expression("x")
    h = sp.Symbol("h", real=True)
    assert parse_expression("h**2", {"h": h}) == h**2
    assert parse_expression("gamma + 1", {"gamma": h}) == h + 1  # a variable may have a function's name


def test_symbols_keep_their_assumptions() -> None:
    found = parse_expression("abs(x)", {"x": sp.Symbol("x", positive=True)})
    assert found == sp.Symbol("x", positive=True)


WORDS = [
    "x", "1", "2", "0.5", "1e-3", "pi", "E", "exp(", "log(", "sqrt(", "sin(", "gamma(", "tanh(", "erf(", "Max(", "Piecewise((",
    "abs(", "(", ")", ",", "+", "-", "*", "/", "**", "^", "<", ">", "True", "lambda", "__import__", ".", "[", "'", " ", "10**9",
    "9**9", "100", "log(1+1/10**6)", "x**99", "y", "\u03b1", "sign(", "Heaviside(", "log_cosh(", "=", ":", "oo", "nan", "tan(",
]  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map("".join))
def test_any_words_end_in_an_expression_or_an_error(text: str) -> None:
    check_any(text)


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_text_ends_in_an_expression_or_an_error(text: str) -> None:
    check_any(text)


def check_any(text: str) -> None:
    start = time.perf_counter()
    try:
        found = parse_expression(text, VARIABLES)
    except DeriveError as error:
        check_message(error)
    else:
        assert isinstance(found, sp.Expr)
        assert found.free_symbols <= {x}
        assert not found.has(sp.I, sp.nan, sp.oo, sp.zoo)
    assert time.perf_counter() - start < SECONDS


@st.composite
def trees(draw: Any, depth: int = 4) -> tuple[str, Any]:
    """A text and, made beside it, what it means at x = 3/10, to 30 digits."""
    mp = mpmath.mp
    if depth == 0 or draw(st.booleans()):
        kind = draw(st.sampled_from(["x", "integer", "decimal", "pi"]))
        if kind == "x":
            return "x", mp.mpf(3) / 10
        if kind == "pi":
            return "pi", +mp.pi
        n = draw(st.integers(1, 9))
        return (str(n), mp.mpf(n)) if kind == "integer" else (f"0.{n}", mp.mpf(n) / 10)
    kind = draw(st.sampled_from(["+", "-", "*", "/", "neg", "square", "exp", "tanh", "atan"]))
    left, a = draw(trees(depth - 1))
    if kind == "neg":
        return f"(-({left}))", -a
    if kind == "square":
        return f"({left})^2", a * a
    if kind in ("exp", "tanh", "atan"):
        shrunk = f"({left})/(1 + ({left})**2)"
        return f"{kind}({shrunk})", getattr(mp, kind)(a / (1 + a * a))
    right, b = draw(trees(depth - 1))
    if kind == "/":
        return f"({left})/(1 + ({right})^2)", a / (1 + b * b)
    return f"({left}){kind}({right})", {"+": a + b, "-": a - b, "*": a * b}[kind]


@settings(max_examples=100)
@given(st.data())
def test_values_of_random_expressions(data: Any) -> None:
    with mpmath.workdps(40):
        text, expected = data.draw(trees())
        found = parse_expression(text, VARIABLES).subs(x, Rational(3, 10))
        assert abs(mpmath.mpf(sp.N(found, 40)) - expected) < mpmath.mpf(10) ** -25 * max(1, abs(expected))


# -- numbers, ranges, laws --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", Rational(1, 2)), ("1/500", Rational(1, 500)), ("1e-3", Rational(1, 1000)), ("-2", -2), (" 3 ", 3),
     ("1e-400", Rational(1, 10**400)), ("1e400", sp.Integer(10) ** 400), ("2/3", Rational(2, 3)), ("-1/2", Rational(-1, 2))],
)  # fmt: skip
def test_numbers(text: str, value: Any) -> None:
    found = parse_number(text)
    assert found == value
    assert found.is_Rational


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "oo", "", "abc", "1,5", "0.5.1", "1e999999999", "pi", "x", "--", "½"])
def test_numbers_refused(text: str) -> None:
    with pytest.raises(DeriveError) as caught:
        parse_number(text, what="alpha")
    assert str(caught.value).startswith("alpha: ")
    check_message(caught.value)


def test_constants() -> None:
    assert parse_constant("log(2)") == sp.log(2)
    assert parse_constant("sqrt(3)/2") == sp.sqrt(3) / 2
    with pytest.raises(DeriveError, match="not a finite number"):
        parse_constant("inf")
    with pytest.raises(DeriveError, match="a int is given"):
        parse_expression(3)  # type: ignore[arg-type]


def test_ranges() -> None:
    even = parse_range("0.1:2:50")
    assert not isinstance(even, sp.Expr)
    points = even.values()
    assert len(points) == 50
    assert (points[0], points[-1]) == (Rational(1, 10), 2)
    assert {b - a for a, b in itertools.pairwise(points)} == {Rational(19, 490)}
    geometric = parse_range("log:1e-400:1:5")
    assert not isinstance(geometric, sp.Expr)
    logs = [sp.N(sp.log(k, 10), 20) for k in geometric.values()]
    assert [float(k) for k in logs] == pytest.approx([-400, -300, -200, -100, 0], abs=1e-12)
    assert parse_range("log(2)") == sp.log(2)
    down = parse_range("2:1:3")
    assert not isinstance(down, sp.Expr)
    assert down.values() == [2, Rational(3, 2), 1]


@pytest.mark.parametrize(
    "text",
    ["1:2", "1:2:3:4", "1:2:0", "1:2:1", "1:2:-3", "1:2:2.5", "1:2:x", "1:1:5", "log:0:1:5", "log:-1:1:5", "log:1:2", "nan:1:5",
     "0:inf:5", ":", "::", "1:2:9999999999", "1:2:10000000", "lin:1:2:3", "", "1:2:\u0663", "1,2,3"],
)  # fmt: skip
def test_ranges_refused(text: str) -> None:
    with pytest.raises(DeriveError) as caught:
        parse_range(text, what="alpha")
    check_message(caught.value)


def test_atoms() -> None:
    assert parse_atoms("-1:1/2,1:1/2") == {-1: Rational(1, 2), 1: Rational(1, 2)}
    assert parse_atoms("0:0.9, sqrt(10):0.1") == {0: Rational(9, 10), sp.sqrt(10): Rational(1, 10)}


@pytest.mark.parametrize(
    ("text", "words"),
    [("-1:1/2,1:1/3", "sum to 5/6"), ("1:1/2,1:1/2", "given twice"), ("0:-1,1:2", "not positive"), ("0:0,1:1", "not positive"),
     ("1", "POINT:WEIGHT"), ("1:2:3", "POINT:WEIGHT"), ("", "POINT:WEIGHT"), ("a:1", "unknown name"), ("nan:1", "not a finite"),
     ("0:inf", "not a finite"), ("0:1,", "POINT:WEIGHT"), ("1:1," * 900, "characters")],
)  # fmt: skip
def test_atoms_refused(text: str, words: str) -> None:
    with pytest.raises(DeriveError, match=words) as caught:
        parse_atoms(text)
    check_message(caught.value)


def test_supports() -> None:
    assert parse_support("-1:1") == (-1, 1)
    assert parse_support("0:oo") == (0, sp.oo)
    assert parse_support("-inf:inf") == (-sp.oo, sp.oo)
    assert parse_support("-sqrt(3):pi") == (-sp.sqrt(3), sp.pi)


@pytest.mark.parametrize("text", ["1:1", "2:1", "oo:1", "0:-oo", "1", "0:1:2", "", ":", "nan:1", "x:1", "--oo:1", "oo:oo", "-oo:-oo"])
def test_supports_refused(text: str) -> None:
    with pytest.raises(DeriveError) as caught:
        parse_support(text)
    check_message(caught.value)


def test_nearest_name() -> None:
    assert nearest_name("colapse-time", ["collapse-time", "onset-time"]) == "collapse-time"
    assert nearest_name("LAM", ["lam", "alpha"]) == "lam"
    assert nearest_name("zzzz", ["lam", "alpha"]) is None
