"""LaTeX as papers print it: read by a grammar of its own, refused line by line where it is not, never evaluated."""

from typing import Any

import pytest
import sympy as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sympy import Derivative, Eq, Rational, exp, latex, log, pi, sqrt, tanh
from sympy.core.function import AppliedUndef

from derive import atlas
from derive.core import DeriveError, Verdict
from derive.ensembles import Binary, Gaussian, HiddenManifold, Spherical
from derive.latex_input import parse_latex, spelling
from derive.nodes import GaussianAverage
from derive.reader import read_page

M, BETA, Q, X, Y, LAM, Z, W, R, C0 = sp.symbols("m beta q x y lambda z w r c_0", real=True)
ALPHA = sp.Symbol("alpha_D", positive=True)
NAMES = {str(s): s for s in (M, BETA, Q, X, Y, Z, W, R)} | {"lam": LAM, "alpha_D": ALPHA, "c0": C0}
FUNCTIONS = {"F": 1, "Phi": 2}
F = sp.Function("F", real=True)
PHI = sp.Function("Phi", real=True)


def only(text: str) -> Any:
    (row,) = parse_latex(text, NAMES, FUNCTIONS)
    return row.claim


FIELD = BETA * (M + sqrt(ALPHA * R) * Z)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{1}{2} x^2", X**2 / 2), (r"\tfrac12 x", X / 2), (r"\frac x2", X / 2), (r"x^23", 3 * X**2),
        (r"-x^2", -X**2), (r"2xy", 2 * X * Y), (r"2 \cdot 3^{x}", 2 * 3**X), (r"(x+1)(x-1)", (X + 1) * (X - 1)),
        (r"\left[ x \left\{ y + 1 \right\} \right]", X * (Y + 1)), (r"\bigl( x + y \bigr)^2", (X + Y)**2),
        (r"\sqrt{2\pi}", sqrt(2 * pi)), (r"\sqrt[3]{8 x}", (8 * X)**Rational(1, 3)), (r"x/2", X / 2),
        (r"e^{-x^2/2}", exp(-X**2 / 2)), (r"\mathrm{e}^{x}", exp(X)), (r"\exp(x) y", exp(X) * Y),
        (r"\log(1+x) - \ln y", log(1 + X) - log(Y)), (r"\log 2 x", log(2 * X)), (r"\log x \tanh y", log(X) * tanh(Y)),
        (r"\log \cosh x", log(sp.cosh(X))), (r"\tanh^2 \beta m", tanh(BETA * M)**2), (r"\tanh{\left(x \right)}^{2}",
                                                                                       tanh(X)**2),
        (r"\tanh\beta(m + z)", tanh(BETA * (M + Z))), (r"\tanh(\beta)(m + z)", tanh(BETA) * (M + Z)),
        (r"\alpha_D \alpha_{D}", ALPHA**2), (r"\lambda", LAM), (r"c_0 c_{0}", C0**2),
        (r"\operatorname{erf}\left(x\right)", sp.erf(X)),
        (r"\mathrm{sgn}(x)", sp.sign(X)), (r"\max(x, y)", sp.Max(X, Y)),
        (r"\left| x \right|", sp.Abs(X)), (r"\lvert x \rvert", sp.Abs(X)), (r"\Gamma(x)", sp.gamma(X)),
        (r"F(x) + F{\left(x \right)}", 2 * F(X)), (r"\Phi\left(x, y\right)", PHI(X, Y)),
        (r"F'(x)", Derivative(F(X), X)), (r"F''(x)", Derivative(F(X), X, X)),
        (r"\frac{d}{dx} F(x)", Derivative(F(X), X)), (r"\frac{\partial^2 F(x)}{\partial x^2}", Derivative(F(X), X, X)),
        (r"\frac{\partial}{\partial x} (x y)", Derivative(X * Y, X)),
        (r"\frac{\partial^2}{\partial x \partial y} \Phi(x, y)", Derivative(PHI(X, Y), X, Y)),
        (r"\int Dz\, \tanh \beta\left(m + \sqrt{\alpha_D r}\, z\right)", GaussianAverage(tanh(FIELD), Z)),
        (r"\int \mathcal{D}z\, \tanh^2 \beta (m + \sqrt{\alpha_D r} z) + 1", GaussianAverage(tanh(FIELD)**2, Z) + 1),
        (r"\int_{-\infty}^{\infty} x z^2 Dz", GaussianAverage(X * Z**2, Z)),
        (r"\int Dz\,Dw\, F(z + w)", GaussianAverage(F(Z + W), Z, W)),
        (r"\mathbb{E}_{z}[z^2] \langle z \rangle_z", GaussianAverage(Z**2, Z) * GaussianAverage(Z, Z)),
        (r"\begin{cases} x & \text{if } x > 0 \\ 0 & \text{otherwise} \end{cases}",
         sp.Piecewise((X, X > 0), (0, True))),
        ("x % a comment\n + y", X + Y), (r"1.5 x", 3 * X / 2), (r"10^{-3}", Rational(1, 1000)),
    ],
)
def test_what_an_expression_stands_for(text: str, value: sp.Expr) -> None:
    assert only(text + " = 1") == Eq(value, 1, evaluate=False)


def test_rows_chains_labels_and_continued_rows() -> None:
    text = r"""
\begin{align}
  x &= y = m \label{eq:first} \\
    &= q,  \nonumber \\[2pt]
  q &\leq x \\
    &\qquad + 1 \tag{A} \\
  y + 1 > 0. && \text{(named)}
\end{align}
"""
    rows = parse_latex(text, NAMES)
    assert [(r.line, r.label) for r in rows] == [(3, ""), (3, "eq:first"), (4, ""), (5, "A"), (7, "named")]
    assert [r.claim for r in rows] == [Eq(X, Y), Eq(Y, M), Eq(M, Q), sp.Le(Q, X + 1), sp.Gt(Y + 1, 0)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"x = y \\ x = \foo \\ y = x", "the command \\foo"), (r"x = \input{/etc/passwd}", "files are not read"),
        (r"\newcommand{\a}{x} x = \a", "macros"), (r"\log(x)^2 = 1", "two ways"), (r"x/2y = 1", "two ways"),
        (r"\log x/y = 1", "two ways"), (r"\tanh^{-1} x = 1", "inverse"), (r"\log_2 x = 1", "natural logarithms"),
        (r"x = \sum_i y", "sums"), (r"x \approx 2", "approximation"), (r"x = |y|", "bar"), (r"x! = 1", "factorial"),
        (r"x = 2 3", "two numbers"), (r"x = y_2", "unknown name 'y_2'"), (r"x = \lamda", "did you mean '\\\\lambda'"),
        (r"x = \int dz z", "measure"), (r"x = \int_0^1 Dz z", "whole line"), (r"x = \int z", "Gaussian measure"),
        (r"x = \langle z \rangle", "does not say over what"), (r"x = (y", "missing"),
        (r"x = y)", "')'"), (r"x = {y", "}"),
        (r"x = \frac{1}{0}", "division by zero"), (r"x = 9^{9^{9^9}}", "too large"), (r"x + y", "no relation"),
        (r"= x", "goes on from no row"), ("", "no relation"), (r"F = 1", "without its argument"),
        (r"F(x, y) = 1", "takes 1"),
        (r"F'(2 x) = 1", "prime"), (r"x' = 1", "prime"), (r"\begin{tikzpicture} x = 1", "environment"),
        (r"x = \log", "argument"),
        (r"\text{hello} = 1", "hello"), ("x = é", "é"), (r"\begin{cases} x & x > 0 \end{cases} = 1", "otherwise"),
        (r"x = \frac{d^3}{dx^3} F(x)", "order"), (r"x = \infty", "infinity"), ("x" * 30_000, "characters"),
        (r"\frac{d}{dx} F(x) y = 1", "two ways"), ("(" * 500 + "x", "nested"), (r"x = \max(x)", "takes 2"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(text: str, words: str) -> None:
    with pytest.raises(DeriveError) as caught:
        parse_latex(text, NAMES, FUNCTIONS)
    message = str(caught.value)
    assert "\n" not in message
    assert words in message


def test_every_line_that_could_not_be_read_is_named() -> None:
    with pytest.raises(DeriveError, match=r"line 12: unknown name 'k'.*and lines 14, 15 could not be read"):
        parse_latex("x = y \\\\\n x = k \\\\\n y = x \\\\\n \\sum x = 1 \\\\\n x", NAMES, first=11)


def test_a_name_that_two_symbols_share_is_refused_where_it_is_used() -> None:
    names = {"x0": sp.Symbol("x0"), "x_0": sp.Symbol("x_0"), "y": Y}
    assert parse_latex("y = 1", names)[0].claim == Eq(Y, 1)
    with pytest.raises(DeriveError, match="can be x0 or x_0"):
        parse_latex("x_0 = 1", names)


SYMBOLS = [X, Y, LAM, ALPHA, C0]
LEAVES = st.one_of(st.sampled_from(SYMBOLS), st.integers(-20, 20).map(sp.Integer),
                   st.builds(Rational, st.integers(-9, 9), st.integers(1, 9)), st.just(pi))


def grow(inner: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    functions = [exp, log, tanh, sp.cosh, sp.sinh, sp.erf, sp.erfc, sp.sech, sp.sign, sp.Abs, F, sp.atan, sp.cos]
    few = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        few.map(lambda a: sp.Add(*a)), few.map(lambda a: sp.Mul(*a)),
        st.builds(lambda f, a: f(a), st.sampled_from(functions), inner),
        st.builds(lambda a, n: sp.Pow(a, n), st.sampled_from([X, ALPHA, X + Y, 1 + ALPHA]),
                  st.sampled_from([2, 3, -1, -2, Rational(1, 2), Rational(-3, 2), X])),
        inner.map(lambda a: GaussianAverage(a * tanh(Z), Z)),
        inner.map(lambda a: sp.Derivative(F(X) * a, X, evaluate=False)),
        inner.map(lambda a: sp.Piecewise((a, X > 0), (Y, True))),
    )


@settings(max_examples=250)
@given(st.recursive(LEAVES, grow, max_leaves=7))
@example(log(X)**2 * tanh(Y)**2 / 3)
@example(exp(-X**2 / 2) / sqrt(2 * pi))
def test_what_the_printer_writes_is_read_back(value: sp.Expr) -> None:
    if value.has(sp.nan, sp.zoo, sp.oo, sp.I):
        return
    try:
        (row,) = parse_latex(f"{latex(value)} = 1", NAMES | {"z": Z}, FUNCTIONS)
    except DeriveError as error:  # the printer leaves out parentheses that a second reading would need
        assert "two ways" in str(error) or "not real" in str(error) or "not finite" in str(error)  # noqa: PT017
        return
    back = row.claim.lhs
    assert back == value or sp.simplify(back - value) == 0 or abs(_difference(back, value)) < 1e-20


def _difference(a: sp.Expr, b: sp.Expr) -> Any:
    values = {X: Rational(3, 7), Y: Rational(5, 11), LAM: Rational(13, 9), ALPHA: Rational(8, 5), C0: Rational(2, 3)}
    difference = (a - b).replace(F, sp.cosh).doit().subs(values)
    return sp.N(difference, 30)


@pytest.mark.parametrize("name", ["rem-condensation", "retrieval-capacity", "collapse-time"])
def test_claims_of_our_own_come_back(name: str) -> None:
    """Read back from their LaTeX, claims of the atlas are the claims; the others are refused."""
    read = 0
    for ensemble in (Gaussian(), HiddenManifold(), Binary(), Spherical()):
        try:
            derivation = atlas[name].with_(ensemble=ensemble).derivation
        except DeriveError:
            continue  # not derived for this ensemble
        for step in derivation:
            claim = step.claim
            if not isinstance(claim, Eq):
                continue
            unknown = claim.atoms(AppliedUndef)
            functions = {type(f).__name__: len(f.args) for f in unknown}
            names = {s.name: s for s in claim.free_symbols} | {str(s): s for s in (X, Y)}
            try:
                (row,) = parse_latex(f"{latex(claim.lhs)} = {latex(claim.rhs)}", names, functions)
            except DeriveError:
                continue  # averages over other laws, cumulants
            sides = [sp.simplify(a - b) for a, b in zip(row.claim.args, claim.args, strict=True)]
            assert sides == [0, 0] or row.claim.subs({}) == claim
            read += 1
    assert read >= 12


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*"xyF()[]{}^_=+-/\\& 12dD'|.,<>", "\\frac", "\\int", "\\left(", "\\right)", "\\tanh",
                                 "\\\\", "\\begin{cases}", "\\end{cases}", "\\langle"]), max_size=25).map("".join))
def test_no_text_leads_to_anything_but_rows_or_one_line(text: str) -> None:
    try:
        message = "" if parse_latex(text, NAMES, FUNCTIONS) else "nothing"
    except DeriveError as error:
        message = str(error)
    assert "\n" not in message
    assert message != "nothing"


def test_spelling_is_its_own_spelling() -> None:
    for name in ("alpha_D", "lam", "lam_hat", "t_star", "x0", "eps", "lambda_*", "t_g", "R_12"):
        assert spelling(spelling(name)) == spelling(name)


PAGE = r"""# Curie-Weiss

```{symbols}
m: (-1, 1)
beta: positive
f: real
F(m): function
```

````{definition} free
```{math}
:label: whatever
F(m) = \frac{m^2}{2} - \frac{1}{\beta} \log \cosh \beta m
```
````

```{step} slope
:rule: differentiate
:from: free
\frac{d}{dm} F(m) = m - \tanh(\beta m)
```

```{step} identities
:rule: identity
\begin{align}
\cosh^2 m - \sinh^2 m &= 1 \label{hyperbolic} \\
(m+1)^2 &= m^2 + 2 m + 1
\end{align}
```
"""


def test_on_a_page() -> None:
    page = read_page(PAGE)
    assert page.lines == {"free": 10, "slope": 17, "hyperbolic": 26, "identities-2": 27}
    assert [e.verdict for e in page.derivation.check().values()] == [Verdict.ASSUMED, *[Verdict.PROVED] * 3]
    red = read_page(PAGE.replace("m - \\tanh", "m + \\tanh")).derivation.check()
    assert red["slope"].verdict is Verdict.REFUTED
    with pytest.raises(DeriveError, match="line 27: the command"):
        read_page(PAGE.replace("2 m + 1", "2 m \\foo 1"))
    with pytest.raises(DeriveError, match=r"line 26: .*'hyperbolic' is taken"):
        read_page(PAGE.replace("{step} slope", "{step} hyperbolic"))
