"""Pages break a long equation where a reader needs it, not where its source is long."""

import subprocess
import sys

from sympy import Derivative, Eq, Function, exp, symbols

from derive.show import claim_latex

a, x, y, z = symbols("alpha_longsubscript x y z")
zeta = Function("zeta")


def test_a_short_equation_with_a_long_source_stays_on_one_line() -> None:
    hat = symbols("lambdahat")
    claim = Eq(hat * Derivative(zeta(hat), hat) - zeta(hat), hat - zeta(hat))
    assert "aligned" not in claim_latex(claim)


def test_an_equation_that_is_long_on_the_page_is_broken_before_the_sign() -> None:
    long = sum(k * exp(-k * x) * y ** (k + 1) for k in range(2, 9))
    text = claim_latex(Eq(long, long.subs(x, z)))
    assert text.startswith("\\begin{aligned}")
    assert text.count("\\quad = ") == 1


def test_python_m_derive_is_the_command() -> None:
    run = subprocess.run([sys.executable, "-m", "derive", "list"], capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert "collapse-time" in run.stdout
    assert not run.stderr
