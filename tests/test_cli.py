"""The command line: what it answers, in which form, with which exit status, and how it refuses."""

# ruff: noqa: E501 - one case a line

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from click.testing import CliRunner, Result
from sympy import Eq, Interval, Symbol, exp, oo

from derive import atlas
from derive.cli import cli
from derive.core import Branch, Citation, Domain, Parameter, Problem, Step
from derive.ensembles import Gaussian
from derive.ledger import Derivation
from derive.ledger.derivation import check_many
from derive.quantity import Quantity
from derive.quantity import Result as Derived

LOAD = Symbol("alpha", positive=True)
VALUE = Symbol("t_x", positive=True)
DOMAIN = Domain(((LOAD, Interval.open(0, oo)),))


def toy(name: str, claim: Eq, calls: list[str] | None = None) -> Quantity:
    """The quantity t_x = exp(-alpha), with a derivation of two steps, the second of which claims something."""
    parameter = Parameter(LOAD, Interval.open(0, oo), "load", "per N")

    def make() -> Derived:
        if calls is not None:
            calls.append(name)
        steps = (
            Step("start", Eq(VALUE, exp(-LOAD)), "definition", domain=DOMAIN, text="what it is"),
            Step("claim", claim, "identity", domain=DOMAIN, text="what is claimed"),
        )
        problem = Problem(
            name, VALUE, (parameter,), (Branch("only", exp(-LOAD)),), outputs=(("t_half", exp(-LOAD) / 2),)
        )
        return Derived(Derivation(name, f"derivation of {name}", steps), Eq(VALUE, exp(-LOAD)), problem)

    return Quantity(name, f"title of {name}", VALUE, "variance", "toy", Gaussian(), (Citation("A1"),), (parameter,), make,
                    lambda ensemble: toy(name, claim))  # fmt: skip


RIGHT = Eq(exp(-LOAD) * exp(LOAD), 1)
WRONG = Eq(exp(-LOAD), 1 - LOAD)


def toys() -> dict[str, Quantity]:
    return {"good": toy("good", RIGHT), "bad": toy("bad", WRONG)}


def run(*arguments: str, obj: Any = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), obj=obj)


def answer(*arguments: str, status: int = 0, obj: Any = None) -> dict[str, Any]:
    result = run(*arguments, "--json", obj=obj)
    assert result.exit_code == status, result.output
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# -- solve ------------------------------------------------------------------------------------------------------------


def test_a_number() -> None:
    found = answer("solve", "collapse-time", "alpha=0.5", "alpha_D=1/2")
    assert set(found) >= {"schema", "quantity", "options", "parameters", "value", "log_value", "residual", "converged",
                          "branch", "reason"}  # fmt: skip
    assert found["quantity"] == "collapse-time"
    assert found["options"] == {"ensemble": "manifold"}
    assert found["parameters"] == {"alpha": 0.5, "alpha_D": 0.5}
    assert found["value"] == pytest.approx(0.243791980, rel=1e-8)  # PHYSICS numbers, section 4
    assert found["log_value"] == pytest.approx(math.log(found["value"]), abs=1e-14)
    assert found["converged"] is True
    assert abs(found["residual"]) < 1e-14
    assert found["reason"] is None


def test_the_answer_is_the_solvers() -> None:
    found = answer("solve", "generalization-time", "alpha=0.2:0.5:3", "alpha_D=log:0.1:10:4")
    direct = atlas["generalization-time"].solver()(
        alpha=np.linspace(0.2, 0.5, 3)[:, None], alpha_D=np.geomspace(0.1, 10, 4)
    )
    assert np.array(found["value"]) == pytest.approx(direct.value, rel=1e-13)
    assert np.array(found["log_value"]) == pytest.approx(direct.log_value, abs=1e-13)
    assert found["parameters"]["alpha"] == pytest.approx([0.2, 0.35, 0.5])
    assert found["parameters"]["alpha_D"] == pytest.approx(np.geomspace(0.1, 10, 4).tolist())
    assert found["axes"] == ["alpha", "alpha_D"]
    assert np.shape(found["converged"]) == np.shape(found["branch"]) == np.shape(found["reason"]) == (3, 4)


def test_the_order_of_axes_is_that_of_the_words() -> None:
    one = answer("solve", "collapse-time", "alpha=0.5:1:2", "alpha_D=0.5:2:3")
    other = answer("solve", "collapse-time", "alpha_D=0.5:2:3", "alpha=0.5:1:2")
    assert np.array(one["value"]) == pytest.approx(np.array(other["value"]).T, rel=1e-15)
    assert np.shape(other["value"]) == (3, 2)


def test_zip_pairs_ranges() -> None:
    grid = answer("solve", "collapse-time", "alpha=0.5:1:3", "alpha_D=0.5:2:3")
    pairs = answer("solve", "collapse-time", "alpha=0.5:1:3", "alpha_D=0.5:2:3", "--zip")
    assert pairs["value"] == pytest.approx(np.diag(grid["value"]).tolist(), rel=1e-14)


def test_below_the_smallest_double() -> None:
    found = answer("solve", "collapse-time", "alpha=1", "alpha_D=1/500")
    assert found["value"] == 0.0
    assert found["converged"] is True
    more = answer("solve", "collapse-time", "alpha=1", "alpha_D=1/500", "--digits", "30")
    assert found["log_value"] == pytest.approx(float(more["log_value"]), rel=1e-12)
    words = run("solve", "collapse-time", "alpha=1", "alpha_D=1/500").stdout
    assert "e-432" in words  # shown from the logarithm, not as 0


def test_digits_are_decimal_strings() -> None:
    low = answer("solve", "collapse-time", "alpha=0.5", "alpha_D=0.1:1:3", "--digits", "20")
    high = answer("solve", "collapse-time", "alpha=0.5", "alpha_D=0.1:1:3", "--digits", "50")
    assert low["parameters"] == {"alpha": "1/2", "alpha_D": ["1/10", "11/20", "1"]}
    with mpmath.workdps(60):
        for a, b in zip(low["value"], high["value"], strict=True):
            assert isinstance(a, str)
            assert abs(mpmath.mpf(a) / mpmath.mpf(b) - 1) < mpmath.mpf(10) ** -19
    assert len(high["value"][0].replace(".", "").lstrip("0").split("e")[0]) == 50


@pytest.mark.parametrize("clock", ["tau", "sigma"])
def test_clocks_of_times(clock: str) -> None:
    change = {"tau": lambda t: math.log1p(t) / 2, "sigma": math.sqrt}[clock]
    plain = answer("solve", "collapse-time", "alpha=0.5:2:3", "alpha_D=0.5")
    other = answer("solve", "collapse-time", "alpha=0.5:2:3", "alpha_D=0.5", "--time", clock)
    assert other["value"] == pytest.approx([change(t) for t in plain["value"]], rel=1e-14)
    assert other["log_value"] == pytest.approx(np.log(other["value"]).tolist(), abs=1e-13)
    assert other["options"]["time"] == clock
    digits = answer("solve", "collapse-time", "alpha=0.5:2:3", "alpha_D=0.5", "--time", clock, "--digits", "25")
    assert [float(k) for k in digits["value"]] == pytest.approx(other["value"], rel=1e-14)
    tiny = answer("solve", "collapse-time", "alpha=1", "alpha_D=1/500", "--time", clock)
    exact = answer("solve", "collapse-time", "alpha=1", "alpha_D=1/500", "--time", clock, "--digits", "20")
    assert tiny["log_value"] == pytest.approx(float(exact["log_value"]), rel=1e-13)
    # in and out: the same question in another clock, and outputs that are times
    t = 0.3
    there = answer("solve", "kl-divergence", "alpha=0.5", "alpha_D=0.5", f"t={t}")
    here = answer("solve", "kl-divergence", "alpha=0.5", "alpha_D=0.5", f"{clock}={change(t)!r}", "--time", clock)
    assert here["value"] == pytest.approx(there["value"], rel=1e-12)
    assert here["outputs"][f"{clock}_g"] == pytest.approx(change(there["outputs"]["t_g"]), rel=1e-13)
    assert here["parameters"][clock] == change(t)


def test_how_much_data_is_enough() -> None:
    forward = answer("solve", "collapse-time", "alpha=0.7", "alpha_D=0.5")
    back = answer("solve", "collapse-time", "--for", "alpha", f"t={forward['value']!r}", "alpha_D=0.5")
    assert back["value"] == pytest.approx(0.7, rel=1e-12)
    assert back["options"]["for"] == "alpha"
    assert back["parameters"] == {"t": forward["value"], "alpha_D": 0.5}
    for name in ("t_c", "value"):
        assert answer("solve", "collapse-time", "--for", "alpha", f"{name}=0.1", "alpha_D=0.5")["value"] > 0
    sized = answer("solve", "collapse-time", "--for", "alpha", "t=0.1", "D=25", "N=50")
    assert sized["outputs"]["log_P"] == pytest.approx(50 * sized["value"], rel=1e-14)
    assert sized["outputs"]["P"] == pytest.approx(math.exp(50 * sized["value"]), rel=1e-12)
    assert "large" in sized["note"]


def test_inversion_with_digits_and_clocks() -> None:
    back = answer("solve", "collapse-time", "--for", "alpha", "t=1/10", "alpha_D=1/2", "--digits", "40")
    again = answer("solve", "collapse-time", f"alpha={back['value']}", "alpha_D=1/2", "--digits", "38")
    assert abs(mpmath.mpf(again["value"]) - mpmath.mpf("0.1")) < 1e-15
    assert again["value"].startswith(
        ("0.1000000000000000000000000000000000000", "0.0999999999999999999999999999999999999")
    )
    tau = math.log1p(0.1) / 2
    clock = answer("solve", "collapse-time", "--for", "alpha", f"tau={tau!r}", "alpha_D=1/2", "--time", "tau")
    assert clock["value"] == pytest.approx(float(back["value"]), rel=1e-13)


def test_no_such_parameter_value() -> None:
    found = answer("solve", "onset-time", "--ensemble", "binary", "alpha=0.5:0.9:2", status=1)
    assert found["converged"] == [True, False]
    assert found["value"][1] is None
    assert found["log_value"][1] is None
    assert found["branch"][1] == "none"
    assert "log(2)" in found["reason"][1]
    assert found["reason"][0] is None
    words = run("solve", "onset-time", "--ensemble", "binary", "alpha=0.9")
    assert words.exit_code == 1
    assert "log(2)" in words.stdout


def test_finite_sizes() -> None:
    sized = answer("solve", "collapse-time", "P=60000", "N=784", "D=30")
    plain = answer("solve", "collapse-time", "alpha=log(60000)/784", "alpha_D=30/784")
    assert sized["value"] == pytest.approx(plain["value"], rel=1e-13)
    assert sized["parameters"]["alpha"] == pytest.approx(math.log(60000) / 784)
    assert sized["parameters"]["P"] == 60000
    assert "large N" in sized["note"]
    assert "note" not in plain
    exact = answer("solve", "collapse-time", "P=60000", "N=784", "D=30", "--digits", "30")
    assert float(exact["value"]) == pytest.approx(plain["value"], rel=1e-13)
    huge = answer("solve", "collapse-time", "P=1e1000", "N=5000", "D=log:50:5000:3")
    assert np.shape(huge["value"]) == (3,)
    assert huge["parameters"]["alpha"] == pytest.approx(1000 * math.log(10) / 5000)


def test_lam_and_lambda() -> None:
    found = [answer("solve", "full-capacity", f"{name}=0.5")["value"] for name in ("lam", "lambda")]
    assert found[0] == found[1] == pytest.approx(0.15274, abs=1e-5)  # PHYSICS numbers, section 2


def test_a_quantity_that_need_not_be_positive_still_has_its_logarithm() -> None:
    found = answer("solve", "kl-divergence", "alpha=0.5", "alpha_D=0.5", "t=0.05")
    assert found["log_value"] == pytest.approx(math.log(found["value"]))


@pytest.mark.parametrize(
    ("options", "same_as"),
    [
        (["--atoms", "-1:1/2,1:1/2"], ["--ensemble", "binary"]),
        (["--density", "exp(-x^2/2)", "--support", "-oo:oo"], ["--ensemble", "gaussian"]),
        (["--density", "7*exp(-x^2/2)"], ["--ensemble", "gaussian"]),
    ],
)
def test_ensembles_written_down(options: list[str], same_as: list[str]) -> None:
    written, named = (answer("solve", "onset-time", "alpha=0.3", *k) for k in (options, same_as))
    assert written["value"] == pytest.approx(named["value"], rel=1e-9)
    assert written["options"] != named["options"]


# -- how it reads -----------------------------------------------------------------------------------------------------


def test_words_of_a_number() -> None:
    text = run("solve", "collapse-time", "alpha=0.5", "alpha_D=0.5").stdout
    assert "t_c       0.2437919801   (variance)" in text
    assert "A2" in text
    assert "derive check collapse-time" in text
    assert "Traceback" not in text


def test_words_of_a_range_are_aligned_and_never_wrapped() -> None:
    text = run("solve", "collapse-time", "alpha=0.5", "alpha_D=0.1:2:5", "--digits", "60").stdout
    rows = [line for line in text.splitlines() if line.endswith("collapse")]
    assert len(rows) == 5
    assert len({len(line) for line in rows}) == 1
    assert all(len(line) > 60 for line in rows)
    assert "\x1b" not in text


def test_list_derives_nothing() -> None:
    calls: list[str] = []
    result = run("list", obj={"good": toy("good", RIGHT, calls)})
    assert result.exit_code == 0
    assert "title of good" in result.stdout
    assert calls == []
    names = [k["name"] for k in answer("list")["quantities"]]
    assert names == list(atlas)


def test_show_and_cite() -> None:
    text = run("show", "good", obj=toys()).stdout
    for word in ("exp(-alpha)", "(0, oo)", "load", "identity", "what is claimed", "variance"):
        assert word in text
    assert run("show", "good", "--latex", obj=toys()).stdout.strip() == r"t_{x} = e^{- \alpha}"
    found = answer("show", "good", obj=toys())
    assert [k["label"] for k in found["steps"]] == ["start", "claim"]
    assert found["parameters"][0]["domain"] == "(0, oo)"
    assert "2503.09518" in run("cite", "good", obj=toys()).stdout
    assert "2502.09578" in answer("cite", "collapse-time")["citations"][0]


def test_check_says_what_is_refuted() -> None:
    good = answer("check", "good", "-j", "1", obj=toys())
    assert good["verdict"] == "PROVED"
    assert good["counts"] == {
        "PROVED": 1,
        "CERTIFIED": 0,
        "CORROBORATED": 0,
        "UNDECIDED": 0,
        "REFUTED": 0,
        "ASSUMED": 1,
    }
    assert set(good["claims"][1]) >= {"quantity", "label", "rule", "premises", "verdict", "detail"}
    both = answer("check", "-j", "1", obj=toys(), status=1)
    assert both["verdict"] == "REFUTED"
    assert [(k["quantity"], k["verdict"]) for k in both["claims"]] == [
        ("good", "ASSUMED"), ("good", "PROVED"), ("bad", "ASSUMED"), ("bad", "REFUTED"),
    ]  # fmt: skip
    words = run("check", "-j", "1", obj=toys())
    assert words.exit_code == 1
    assert "bad, step claim: REFUTED" in words.stdout
    assert "alpha" in words.stdout  # the counter-example
    assert run("check", "good", "-j", "1", obj=toys()).exit_code == 0


def test_check_all_adds_what_the_book_answers_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every published derivation once, those of the atlas first; a wrong step of any of them is found."""
    checked: list[list[str]] = []

    def noted(derivations: tuple[Derivation, ...], **options: Any) -> Any:
        checked.append([d.name for d in derivations])
        return check_many(derivations, **options)

    monkeypatch.setattr("derive.ledger.derivation.check_many", noted)
    monkeypatch.setattr("derive.ledger.ground.misjudged", lambda workers: {})
    monkeypatch.setattr("derive.ledger.ground.misvalued", lambda workers: {})
    named, right, wrong = (toy(name, claim) for name, claim in (("good", RIGHT), ("right", RIGHT), ("wrong", WRONG)))
    for others, status in (((right,), 0), ((right, wrong), 1)):
        monkeypatch.setattr("derive.claims.published", lambda others=others: tuple(
            q.derivation for q in (named, *others)))
        found = answer("check", "--all", "-j", "1", obj={"good": named}, status=status)
        assert checked.pop() == [k["quantity"] for k in found["quantities"]] == ["good", *(q.name for q in others)]
        assert found["verdict"] == ("REFUTED" if status else "PROVED")
    answer("check", "-j", "1", obj={"good": named})
    assert checked.pop() == ["good"]


def test_export(tmp_path: Path) -> None:
    file = tmp_path / "solver.py"
    assert run("export", "good", "-o", str(file), obj=toys()).exit_code == 0
    done = subprocess.run([sys.executable, str(file), "--selftest"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before = file.read_bytes()
    refused = run("export", "good", "-o", str(file), obj=toys())
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert file.read_bytes() == before
    assert run("export", "good", "--target", "mpmath", "-o", str(file), "--force", obj=toys()).exit_code == 0
    assert file.read_bytes() != before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_plot(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"figure.{ending}"
    words = ("plot", "good", "alpha=0.1:2:9", "-o", str(file))
    assert run(*words, obj=toys()).exit_code == 0
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    first = file.read_bytes()
    assert first.startswith(magic)
    assert run(*words, obj=toys()).exit_code == 2
    assert run(*words, "--force", obj=toys()).exit_code == 0
    assert file.read_bytes() == first


def test_plot_with_gaps_has_status_one(tmp_path: Path) -> None:
    file = tmp_path / "figure.png"
    result = run("plot", "onset-time", "--ensemble", "binary", "alpha=0.1:0.9:5", "-o", str(file))
    assert result.exit_code == 1
    assert file.exists()
    assert "have no value" in result.stdout


def test_simulate_hands_over_and_compares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from derive import simulate

    log_theory = float(atlas["collapse-time"].solver()(alpha=0.2, alpha_D=0.5).log_value)
    record = {
        "name": "collapse-time",
        "parameters": {"alpha": 0.2, "alpha_D": 0.5},
        "results": [{"N": 16, "D": 8, "P": 25, "log_t_N": 0.7, "log_t_N_error": None, "reason": "too small"}],
        "extrapolation": {"log_t_c": log_theory + 0.02, "error": 0.01, "statistical": 0.01, "spread": 0.0, "fits": []},
    }
    seen: list[tuple[Any, ...]] = []

    def fake(name: str, size: str, out: Any = None, progress: Any = None) -> dict[str, Any]:
        seen.append((name, size, out))
        progress(0.5, "half way")
        return record

    monkeypatch.setattr(simulate, "run", fake)
    file = tmp_path / "record.json"
    result = run("simulate", "collapse-time", "--size", "full", "-o", str(file))
    assert result.exit_code == 0, result.output
    assert seen == [("collapse-time", "full", file)]
    assert "2.0 errors away" in result.stdout
    assert "too small" in result.stdout
    assert answer("simulate", "collapse-time")["results"] == record["results"]
    refused = run("simulate", "collapse-time", "--size", "ful")
    assert refused.exit_code == 2
    assert "did you mean 'full'" in refused.stderr


# -- refusals ---------------------------------------------------------------------------------------------------------

SOLVE = ("solve", "collapse-time")
REFUSALS: list[tuple[Sequence[str], str, str | None]] = [
    (("solve", "colapse-time", "alpha=1"), "no quantity is named", "collapse-time"),
    (("show", "onset"), "no quantity is named", "onset-time"),
    (("cite", "nothing-like-it"), "no quantity is named", None),
    (("check", "collapse-tim"), "no quantity is named", "collapse-time"),
    (("check", "collapse-time", "--all"), "--all goes without names", None),
    (("sovle", "collapse-time"), "no command", "solve"),
    (("extend", "collapse-time", "alpha_D=0"), "no command", None),
    ((*SOLVE, "alpha=1"), "needs alpha_D", "alpha_D=0.5"),
    (SOLVE, "needs alpha", "alpha=0.5"),
    ((*SOLVE, "alhpa=1", "alpha_D=1"), "no parameter 'alhpa'", "alpha"),
    ((*SOLVE, "alpha=1", "alpha_D=1", "lam=1"), "no parameter 'lam'", None),
    ((*SOLVE, "\u03b1=1", "alpha_D=1"), "no parameter", "alpha"),
    ((*SOLVE, "alpha=1", "alpha=2", "alpha_D=1"), "given twice", None),
    (("solve", "full-capacity", "lam=1", "lambda=2"), "given twice", None),
    ((*SOLVE, "alpha", "alpha_D=1"), "not NAME=VALUE", None),
    ((*SOLVE, "alpha=", "alpha_D=1"), "not NAME=VALUE", None),
    ((*SOLVE, "=1"), "not NAME=VALUE", None),
    ((*SOLVE, "alpha=0", "alpha_D=1"), "alpha = 0 is out of its domain (0, oo)", None),
    ((*SOLVE, "alpha=-1/3", "alpha_D=1"), "out of its domain (0, oo)", None),
    ((*SOLVE, "alpha=-1:1:5", "alpha_D=1"), "alpha = -1 is out of its domain", None),
    ((*SOLVE, "alpha=0", "alpha_D=1", "--digits", "20"), "out of its domain", None),
    ((*SOLVE, "alpha=nan", "alpha_D=1"), "not a finite number", None),
    ((*SOLVE, "alpha=inf", "alpha_D=1"), "not a finite number", None),
    ((*SOLVE, "alpha=two", "alpha_D=1"), "unknown name 'two'", None),
    ((*SOLVE, "alpha=1,2", "alpha_D=1"), "',' outside a call", None),
    ((*SOLVE, "alpha=1:2", "alpha_D=1"), "number of points are expected", None),
    ((*SOLVE, "alpha=1:2:1e9", "alpha_D=1"), "not a whole number", None),
    ((*SOLVE, "alpha=1:2:2000", "alpha_D=1:2:2000"), "grid of 4000000 points", None),
    ((*SOLVE, "alpha=1e-400", "alpha_D=1"), "beyond the range of a double", None),
    ((*SOLVE, "alpha=1", "alpha_D=9**9**9**9"), "too large", None),
    ((*SOLVE, "alpha=__import__('os').getpid()", "alpha_D=1"), "strings are not allowed", None),
    ((*SOLVE, "alpha=1:2:3", "alpha_D=1:2:4", "--zip"), "one length", None),
    ((*SOLVE, "alpha=1", "alpha_D=1", "--zip"), "needs ranges", None),
    ((*SOLVE, "alpha=1", "alpha_D=1", "--digits", "0"), "digits", None),
    ((*SOLVE, "alpha=1", "alpha_D=1", "--digits", "ten"), "digits", None),
    ((*SOLVE, "alpha=1", "alpha_D=1", "--time", "taus"), "--time taus", "tau"),
    ((*SOLVE, "alpha=1", "alpha_D=1", "--digts", "5"), "--digts", "--digits"),
    (("solve", "basin-radius", "alpha=1", "alpha_D=1", "tau=1"), "needs --time tau", "t"),
    (("solve", "basin-radius", "alpha=1", "alpha_D=1", "tau=-1", "--time", "tau"), "out of its domain", None),
    # finite sizes
    ((*SOLVE, "P=10", "alpha_D=1"), "P needs N", None),
    ((*SOLVE, "alpha=1", "D=10"), "D needs N", None),
    ((*SOLVE, "N=10", "alpha=1", "alpha_D=1"), "N alone", None),
    ((*SOLVE, "P=10", "N=5", "alpha=1", "alpha_D=1"), "P sets alpha", None),
    ((*SOLVE, "P=10", "N=5", "D=2", "alpha_D=1"), "D sets alpha_D", None),
    ((*SOLVE, "P=1", "N=5", "D=2"), "too small", None),
    ((*SOLVE, "P=10", "N=0", "D=2"), "too small", None),
    (("solve", "full-capacity", "P=10", "N=5", "lam=1"), "no parameter alpha", None),
    ((*SOLVE, "--ensemble", "binary", "P=10", "N=50", "D=5"), "no parameter alpha_D", None),
    # inversion
    ((*SOLVE, "--for", "alpha", "alpha_D=1"), "needs the value", "t=0.1"),
    ((*SOLVE, "--for", "beta", "t=1", "alpha_D=1"), "no parameter beta", None),
    ((*SOLVE, "--for", "alpha", "alpha=1", "t=1", "alpha_D=1"), "both asked for and given", None),
    ((*SOLVE, "--for", "alpha", "t=-1", "alpha_D=1"), "positive", None),
    ((*SOLVE, "--for", "alpha", "t=1", "P=5", "N=5", "alpha_D=1"), "asked for", None),
    (("solve", "retrieval-basin", "alpha=0.2", "lam=0.8"), "needs v", "v=0.5"),
    (("solve", "retrieval-basin", "alpha=0.2", "lam=0.8", "a=1", "v=1"), "a in place of v", None),
    # ensembles
    ((*SOLVE, "--ensemble", "binry", "alpha=0.1"), "no ensemble is named 'binry'", "binary"),
    ((*SOLVE, "--ensemble", "spherical", "alpha=0.1"), "not derived for this ensemble", "gaussian"),
    (("solve", "full-capacity", "--activation", "tanh", "lam=1", "alpha_D=1"), "not derived for this ensemble", None),
    ((*SOLVE, "--ensemble", "binary", "--atoms", "-1:1/2,1:1/2", "alpha=0.1"), "exclude each other", None),
    ((*SOLVE, "--atoms", "-1:1/2,1:1/2", "--density", "1", "alpha=0.1"), "exclude each other", None),
    ((*SOLVE, "--support", "-1:1", "alpha=0.1"), "--support needs --density", "--density"),
    ((*SOLVE, "--atoms", "-1:1/2,1:1/3", "alpha=0.1"), "sum to 5/6", None),
    ((*SOLVE, "--atoms", "1:1", "alpha=0.1"), "single value", None),
    ((*SOLVE, "--density", "1", "--support", "1:-1", "alpha=0.1"), "not below", None),
    ((*SOLVE, "--density", "1", "--support", "-1", "alpha=0.1"), "two are expected", None),
    ((*SOLVE, "--density", "1/(1 + abs(x))", "alpha=0.1"), "not normalisable", None),
    ((*SOLVE, "--density", "x", "--support", "-1:1", "alpha=0.1"), "negative", None),
    ((*SOLVE, "--density", "exp(-y^2)", "alpha=0.1"), "unknown name 'y'", None),
    ((*SOLVE, "--density", "__import__('os').system('x')", "alpha=0.1"), "strings are not allowed", None),
    ((*SOLVE, "--density", "x.__class__", "alpha=0.1"), "attribute access", None),
    ((*SOLVE, "--density", "(lambda: 1)()", "alpha=0.1"), "lambda", None),
    ((*SOLVE, "--density", "[x for x in (1,)]", "alpha=0.1"), "lists", None),
    ((*SOLVE, "--density", "9**9**9**9", "alpha=0.1"), "too large", None),
    ((*SOLVE, "--density", "(" * 300 + "x" + ")" * 300, "alpha=0.1"), "nested", None),
    ((*SOLVE, "--density", "expp(-x^2)", "alpha=0.1"), "unknown function 'expp'", "exp"),
    # files
    (("export", "collapse-time"), "--output", None),
    (("export", "collapse-time", "-o", "/no-such-folder/x.py"), "no directory", None),
    (("export", "collapse-time", "-o", "/"), "is a directory", None),
    (("export", "collapse-time", "-o", "x.py", "--target", "nunpy"), "no target", "numpy"),
    (("plot", "collapse-time", "alpha=1:2:3", "alpha_D=1", "-o", "x.gif"), "not a figure file", "x.png"),
    (("plot", "collapse-time", "alpha=1", "alpha_D=1", "-o", "x.png"), "one or two ranges", None),
    (("plot", "basin-radius", "alpha=1:2:2", "alpha_D=1:2:2", "t=1:2:2", "-o", "x.png"), "one or two ranges", None),
    (("plot", "collapse-time", "alpha=1:2:3", "alpha_D=1", "-o", "/no-such-folder/x.png"), "no directory", None),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said", "nearest"), REFUSALS, ids=[" ".join(k)[:70] for k, _, _ in REFUSALS])
def test_refusals(words: Sequence[str], said: str, nearest: str | None, tmp_path: Path,
                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    plain = run(*words)
    assert plain.exit_code == 2, plain.output
    assert plain.stdout == ""
    assert plain.stderr.count("\n") == 1
    assert plain.stderr.startswith("error: ")
    assert said in plain.stderr
    assert "Traceback" not in plain.stderr
    data = run(*words, "--json")
    assert data.exit_code == 2
    assert data.stderr == ""
    found = json.loads(data.stdout)
    assert set(found) == {"error", "given", "allowed", "nearest"}
    assert said in found["error"]
    assert found["allowed"]
    if nearest is not None:
        assert found["nearest"] == nearest
        assert nearest in plain.stderr
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_program_is_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("by surprise")

    quantity = Quantity("odd", "odd", VALUE, "", "toy", Gaussian(), (), (), broken, lambda e: quantity)
    result = run("solve", "odd", obj={"odd": quantity})
    assert result.exit_code == 1
    assert result.stderr.startswith("internal error: ZeroDivisionError: by surprise")
    monkeypatch.setenv("DERIVE_TRACEBACK", "1")
    assert isinstance(run("solve", "odd", obj={"odd": quantity}).exception, ZeroDivisionError)


@pytest.mark.parametrize("command", ["", "list", "show", "cite", "check", "solve", "export", "plot", "limit", "simulate"])
def test_help_has_an_example(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"derive {command or 'solve'}" in result.stdout
    assert "Example" in result.stdout


# -- as a process -----------------------------------------------------------------------------------------------------


def shell(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "derive.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_as_a_process() -> None:
    done = shell("solve", "full-capacity", "lam=0.5", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["value"] == pytest.approx(0.15274, abs=1e-5)
    assert shell("solve", "nothing").returncode == 2
    assert shell("--version").stdout.startswith("derive")


def test_help_imports_no_algebra() -> None:
    code = "import sys; from derive.cli import cli; cli.main(['--help'], standalone_mode=False); print('sympy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m derive.cli solve full-capacity lam=0.1:2:20000 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("full-capacity")
    assert done.stderr == ""
