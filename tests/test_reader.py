"""A reader's page: what it says is checked, what it gets wrong is named with its line, and nothing is executed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from derive.core import DeriveError, Verdict
from derive.ledger.asking import ask
from derive.reader import read_page
from derive.saved import from_json, to_json

EXAMPLE = Path(__file__).resolve().parents[1] / "book" / "examples" / "hopfield.md"
HEAD = "```{symbols}\nx: real\np: positive\nF(x): function\n```\n"


def page(*blocks: str) -> str:
    return HEAD + "\n".join(f"```{block}\n```\n" for block in blocks)


def test_the_example_of_the_book_is_proved() -> None:
    ledger = read_page(EXAMPLE).derivation.check()
    assert ledger.derivation.title == "The Hopfield model at zero temperature"
    assert {e.verdict for e in ledger.values()} == {Verdict.PROVED, Verdict.ASSUMED}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("sqrt(2*alpha) + 2/sqrt(pi)*exp(-y^2))\n", "sqrt(2*alpha) - 2/sqrt(pi)*exp(-y^2))\n"),
     ("z) = erf(m/(sqrt(2*alpha)*R))", "z) = erf(m/(sqrt(alpha)*R))"),
     ("R - R*C = 1\n", "R + R*C = 1\n")],
)
def test_a_planted_error_is_refuted_where_it_stands(right: str, wrong: str) -> None:
    text = EXAMPLE.read_text("utf-8")
    assert text.count(right) == 1
    found = read_page(text.replace(right, wrong))
    refuted = [k for k, e in found.derivation.check().items() if e.verdict is Verdict.REFUTED]
    assert len(refuted) == 1
    line = found.lines[refuted[0]]
    assert text.splitlines()[line - 1].endswith(refuted[0])


def test_functions_derivatives_conditions_and_values() -> None:
    text = page(
        "{definition} f\nF(x) = x^2/2 + x^4",
        "{step} slope\n:rule: differentiate\n:from: f\ndiff(F(x), x) = x + 4*x^3",
        "{step} at-two\n:rule: substitute\n:from: slope-value\n:put: x = 2\n2 + 4*2^3 = 34",
        "{step} root\n:rule: identity\n:on: x > 0\nsqrt(x^2) = x",
        "{step} positive\n:rule: positivity\np + p^2 > 0",
    ).replace(":from: slope-value", ":from: slope")
    verdicts = {k: e.verdict for k, e in read_page(text).derivation.check().items()}
    assert verdicts["slope"] is Verdict.PROVED
    assert verdicts["root"] is Verdict.PROVED
    assert verdicts["positive"] is Verdict.PROVED
    assert verdicts["at-two"] is not Verdict.REFUTED


def test_sentences_stand_as_assumptions_and_other_blocks_are_passed_over() -> None:
    text = page("{assumption} big\nN is large.", "{code-cell} python\nraise SystemExit('executed')",
                "python\nraise SystemExit('executed')", "{step} s\n:rule: identity\nx + x = 2*x")
    found = read_page(text)
    assert found.derivation["big"].claim == "N is large."
    assert found.derivation.labels == ("big", "s")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (page("{step} a\nx = x"), 6, "names no rule"),
        (page("{step} a\n:rule: identiy\nx = x"), 7, "did you mean 'identity'"),
        (page("{step} a\n:rule: identity\n:from: b\nx = x"), 6, "no step of this page"),
        (page("{step} a\n:rule: identity\n:from: a\nx = x"), 6, "circular"),
        (page("{step} a\n:rule: identity\n:from: b\nx = x", "{step} b\n:rule: identity\n:from: a\nx = x"),
         6, "circular"),
        (page("{step} a\n:rule: identity\n:from: b\nx = x", "{step} b\n:rule: identity\nx = x"), 6, "a later step"),
        (page("{step} a\n:rule: identity\nx = x", "{step} a\n:rule: identity\nx = x"), 11, "is taken at line 6"),
        (page("{step} a\n:rule: identity\nx = y"), 8, "unknown name 'y'"),
        (page("{step} a\n:rule: identity\nx = x = x"), 8, "2 relation signs"),
        (page("{step} a\n:rule: identity\nx + = x"), 8, "expected"),
        (page("{step} a\n:rule: identity\n__import__('os').system('x') = 1"), 8, "not allowed"),
        (page("{step} a\n:rule: identity\n9**9**9**9 = 1"), 8, "too large"),
        (page("{step} a\n:ruel: identity\nx = x"), 7, "did you mean 'rule'"),
        (page("{stpe} a\n:rule: identity\nx = x"), 6, "did you mean 'step'"),
        (page("{step} a\n:rule: identity"), 6, "claims nothing"),
        (page("{step} \n:rule: identity\nx = x"), 6, "label"),
        (HEAD + "```{step} a\n:rule: identity\nx = x\n", 6, "not closed"),
        ("```{symbols}\nx: reel\n```\n", 2, "did you mean 'real'"),
        ("```{symbols}\nx: (1, 0)\n```\n", 2, "empty"),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, line: int, words: str) -> None:
    with pytest.raises(DeriveError) as caught:
        read_page(text)
    message = str(caught.value)
    assert "\n" not in message
    assert f"line {line}" in message
    assert words in message


def test_on_the_command_line(tmp_path: Path) -> None:
    def derive(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "derive", *arguments], capture_output=True, text=True, check=False)

    good = derive("check", "--file", str(EXAMPLE))
    assert good.returncode == 0, good.stderr
    assert "one-equation" in good.stdout
    wrong = tmp_path / "wrong.md"
    wrong.write_text(EXAMPLE.read_text("utf-8").replace("R - R*C = 1\n", "R - R*C = 2\n"), "utf-8")
    bad = derive("check", "--file", str(wrong), "--json")
    assert bad.returncode == 1
    claims = {c["label"]: c for c in json.loads(bad.stdout)["claims"]}
    assert claims["noise-solved"]["verdict"] == "REFUTED"
    assert claims["noise-solved"]["line"] == wrong.read_text("utf-8").splitlines().index("```{step} noise-solved") + 1
    missing = derive("check", "--file", str(tmp_path / "none.md"))
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
    assert "cannot be read" in missing.stderr


AGS = EXAMPLE.with_name("ags.md")


def test_the_example_in_latex_is_proved() -> None:
    ledger = read_page(AGS).derivation.check()
    assert [e.verdict for e in ledger.values()] == [Verdict.ASSUMED] * 3 + [Verdict.PROVED] * 5


@pytest.mark.parametrize(
    ("right", "wrong", "label"),
    [(r"\right)^2 = q", r"\right)^2 = 2 q", "noise-solved"),
     (r"= 1 - \tanh^2 x", r"= 1 + \tanh^2 x", "sech"),
     (r"= \beta \left(1 - \tanh^2(\beta m)", r"= \left(1 - \tanh^2(\beta m)", "response"),
     (" = \\beta (1 - q)\n", " = \\beta (1 + q)\n", "susceptibility"),
     (r"\frac{q}{(1 - \beta (1 - q))^2} > q", r"\frac{q}{(1 - \beta (1 - q))^2} < q", "spread")],
)
def test_an_error_planted_in_latex_is_refuted_where_it_stands(right: str, wrong: str, label: str) -> None:
    text = AGS.read_text("utf-8")
    assert text.count(right) == 1
    found = read_page(text.replace(right, wrong)).derivation.check()
    assert [k for k, e in found.items() if e.verdict is Verdict.REFUTED] == [label]


def test_a_mark_of_the_byte_order_hides_nothing(tmp_path: Path) -> None:
    place = tmp_path / "marked.md"
    place.write_bytes(b"\xef\xbb\xbf" + page("{step} s\n:rule: identity\nx + x = 2*x").replace("\n", "\r\n").encode())
    assert read_page(place).lines == {"s": 6}


@pytest.mark.parametrize("opened", ["``` {step} s", "```{ step } s", "```  {step}   s"])
def test_a_step_is_not_passed_over_for_a_space(opened: str) -> None:
    text = HEAD + f"{opened}\n:rule: identity\nx + x = 3*x\n```\n"
    assert read_page(text).derivation.check()["s"].verdict is Verdict.REFUTED


def test_a_byte_that_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    place = tmp_path / "latin.md"
    place.write_bytes(b"# Notes\n\ncaf\xe9\n")
    with pytest.raises(DeriveError, match="line 3 is not UTF-8 text"):
        read_page(place)


def test_too_much_latex_is_named_with_its_line() -> None:
    text = page("{step} s\n:rule: identity\n" + r"\left(" * 4000 + "x" + r"\right)" * 4000 + " = x")
    with pytest.raises(DeriveError, match=r"line 8: \d+ characters given"):
        read_page(text)


@pytest.mark.parametrize(("claim", "expected"), [
    ("Li2(u) + Li2(1 - u) = pi^2/6 - log(u)*log(1 - u)", Verdict.PROVED),
    ("Li2(u) + Li2(1 - u) = pi^2/6 + log(u)*log(1 - u)", Verdict.REFUTED),
    ("Li2(u) + Li2(1 - u) = pi^2/6*(1 + 10^(-12)) - log(u)*log(1 - u)", Verdict.REFUTED),
    ("Li2(-p) + Li2(-1/p) = -pi^2/6 - log(p)^2/2", Verdict.PROVED),
    ("diff(Li3(u), u) = Li2(u)/u", Verdict.PROVED),
])
def test_dilogarithms(claim: str, expected: Verdict) -> None:
    text = HEAD.replace("x: real", "x: real\nu: (0, 1)") + f"```{{step}} s\n:rule: identity\n{claim}\n```\n"
    assert read_page(text).derivation.check()["s"].verdict is expected


@pytest.mark.parametrize(("symbols", "claim", "verdict"), [
    ("x: real", "x/x = 1", "REFUTED"),
    ("x: positive", "x/x = 1", "PROVED"),
    ("x: real", "x/abs(x) = sign(x)", "REFUTED"),
    ("x: real", "$$\\frac{x^2}{x} = x$$", "REFUTED"),
    ("x: real", "1/x - 1/x = 0", "REFUTED"),
    ("x: real", "x/x = x^2/x^2", "PROVED"),
    ("x: real\ny: positive", "x*y/y = x", "PROVED"),
    ("x: real\nz: real", "mean(z^3/z, z) = 1", "PROVED"),
])
def test_a_divisor_that_cancels_counts_where_it_is_zero(symbols: str, claim: str, verdict: str) -> None:
    page = f"```{{symbols}}\n{symbols}\n```\n````{{step}} s\n:rule: evaluate\n{claim}\n````\n"
    derivation = read_page(page).derivation
    assert derivation.check()["s"].verdict.name == verdict
    again = from_json(to_json(derivation))
    assert again.check()["s"].verdict.name == verdict


def test_a_divisor_that_cancels_is_no_matter_where_the_domain_keeps_away_from_it() -> None:
    page = "```{symbols}\nx: real\n```\n```{step} s\n:rule: identity\n:on: x > 1\nx/x = 1\n```\n"
    assert read_page(page).derivation.check()["s"].verdict.name == "PROVED"


def test_a_claim_is_judged_alike_whoever_asks() -> None:
    derivation = read_page("```{symbols}\nx: real\n```\n```{step} a\n:rule: identity\ncos(x)^2 = 1 - sin(x)^2\n```\n"
                           "```{step} b\n:rule: positivity\nexp(x) >= 1 + 1.01*x\n```\n").derivation
    for label, found in derivation.check().items():
        assert ask(derivation, label).verdict is found.verdict
