"""Derivations as JSON: what is written is read back exactly, what is not on the allow-list is refused by name."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from derive import atlas
from derive.core import DeriveError, Domain, Step, UniqueRoot
from derive.ensembles import Binary, Gaussian, HiddenManifold, ProductMeasure, Spherical
from derive.ledger import Derivation
from derive.nodes import Atoms, Density, GaussianAverage, LogAverageExp, Noisy, log_cosh, softplus
from derive.reader import read_file, read_page
from derive.saved import SCHEMA, from_json, load, save, to_json

X, Y = sp.symbols("x y", real=True)
T = sp.Symbol("t", positive=True)
EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "book" / "examples").glob("*.md"))
LAPLACE = ProductMeasure(density=sp.exp(-sp.Abs(X)) / 2)


def one(claim: Any, *hints: tuple[Any, Any], domain: Domain | None = None) -> Derivation:
    step = Step("s", claim, "identity", (), domain or Domain(), "", "", hints)
    return Derivation("one", "One step", (step,))


@pytest.mark.parametrize("name", list(atlas))
def test_every_derivation_of_the_atlas_comes_back_equal(name: str) -> None:
    read = 0
    for ensemble in (Gaussian(), HiddenManifold(), Binary(), Spherical(), LAPLACE):
        try:
            derivation = atlas[name].with_(ensemble=ensemble).derivation
        except DeriveError:
            continue  # not derived for this ensemble
        text = to_json(derivation)
        assert from_json(text) == derivation
        assert to_json(from_json(text)) == text
        read += 1
    assert read


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_a_readers_page_comes_back_equal_with_its_verdicts(path: Path, tmp_path: Path) -> None:
    derivation = read_page(path).derivation
    written = save(derivation, tmp_path / "own.json")
    read = read_file(written)
    assert read.derivation == derivation
    assert [written.read_text().splitlines()[n - 1].count(json.dumps(k)) for k, n in read.lines.items()]
    found, again = derivation.check(), read.derivation.check()
    assert {k: e.verdict for k, e in found.items()} == {k: e.verdict for k, e in again.items()}


LEAVES = st.one_of(
    st.sampled_from([X, Y, T, sp.pi, sp.E]), st.integers(-10**30, 10**30).map(sp.Integer),
    st.builds(sp.Rational, st.integers(-99, 99), st.integers(1, 99)),
)


def grow(inner: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    unary = st.sampled_from([sp.exp, sp.tanh, sp.erfc, log_cosh, softplus, sp.Abs, sp.Function("F", real=True)])
    few = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        few.map(lambda a: sp.Add(*a)), few.map(lambda a: sp.Mul(*a)), st.builds(lambda f, a: f(a), unary, inner),
        st.builds(sp.Pow, st.sampled_from([X, T, 1 + T]), st.integers(-5, 5).map(sp.Integer)),
        inner.map(lambda a: GaussianAverage(a, X)), inner.map(lambda a: sp.Derivative(a * X, X, evaluate=False)),
        inner.map(lambda a: sp.Piecewise((a, X > 0), (a + 1, True))),
        inner.map(lambda a: LogAverageExp(a, X, Noisy(Atoms([-1, 1], [sp.S.Half, sp.S.Half]), T))),
    )


@settings(max_examples=120)
@given(st.recursive(LEAVES, grow, max_leaves=8), st.recursive(LEAVES, grow, max_leaves=4))
def test_random_trees_come_back_equal(left: sp.Expr, right: sp.Expr) -> None:
    if any(e.has(sp.nan, sp.zoo, sp.oo) for e in (left, right)):
        return
    derivation = one(sp.Eq(left, right, evaluate=False), (X, right), ("at", left))
    assert from_json(to_json(derivation)) == derivation


def test_nodes_that_trees_of_the_atlas_do_not_have() -> None:
    f = sp.Function("f")
    claims = [
        sp.Eq(f(X).diff(X), sp.Matrix([[1, X], [X, 2]]).as_immutable().det(), evaluate=False),
        UniqueRoot(X**3 - 2, X, sp.Interval.open(0, sp.oo)),
        sp.Ne(X, Y, evaluate=False), sp.Lt(X, sp.Max(1, Y), evaluate=False),
        sp.Eq(GaussianAverage(X**2, X), LogAverageExp(X, X, Density(sp.exp(-X), X, 0, sp.oo)), evaluate=False),
        sp.Eq(X + X, 2 * X, evaluate=False), sp.Eq(sp.Add(X, X, evaluate=False), 2 * X, evaluate=False),
    ]
    for claim in claims:
        assert from_json(to_json(one(claim))) == one(claim)
    dummy = sp.Dummy("d", real=True)
    back = from_json(to_json(one(sp.Eq(dummy, dummy**2, evaluate=False), (dummy, X))))
    (again,) = back["s"].claim.free_symbols
    assert again == back["s"].hints[0][0]
    assert again.is_real


def test_what_no_file_can_hold_is_named() -> None:
    with pytest.raises(DeriveError, match="besselj"):
        to_json(one(sp.Eq(sp.besselj(0, X), X, evaluate=False)))


def changed(**fields: Any) -> str:
    data = json.loads(to_json(one(sp.Eq(X, Y, evaluate=False))))
    data["steps"][0] |= {k: v for k, v in fields.items() if k in data["steps"][0] or k.startswith("x_")}
    return json.dumps(data | {k: v for k, v in fields.items() if k in data})


DEEP: Any = 1
for _ in range(300):
    DEEP = ["Add", DEEP, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(schema=SCHEMA + 1), f"schema version {SCHEMA + 1}; allowed: schema version {SCHEMA}"),
        (changed(schema=True), "schema version true"),
        (changed(format="notebook"), "no saved derivation"),
        ("{", "line 1, column 2"),
        ("[1]", "no saved derivation"),
        ("[" * 100_000, "nested too deep"),
        ('{"format": "derivation", "schema": 1, "schema": 1}', "'schema' occurs twice"),
        ('{"format": "derivation", "schema": NaN}', "NaN"),
        (changed(claim=["__import__", ["Str", "os"]]), "no node is called '__import__'"),
        (changed(claim=["GausianAverage", 1, 2]), "did you mean 'GaussianAverage'"),
        (changed(claim=["Eq", 1]), "no node is called 'Eq'"),
        (changed(claim=["Add", "os.system('x')", 1]), "text among the arguments of Add"),
        (changed(claim=["Symbol", "x", {"rael": True}]), "did you mean 'real'"),
        (changed(claim=["Symbol", "x", {"positive": True, "negative": True}]), "contradict"),
        (changed(claim=["Symbol", "", {}]), "as a name"),
        (changed(claim=["Pow", 9, 10**9]), "a power that is too large"),
        (changed(claim=["gamma", 10**9]), "gamma of a number above"),
        (changed(claim=["Rational", 1, 0]), "denominator"),
        (changed(claim=["UniqueRoot", 1]), "UniqueRoot cannot be made of 1"),
        (changed(claim=["GaussianAverage", 1, 2]), "must be a symbol"),
        (changed(claim=1.5), "1.5"),
        (changed(claim=DEEP), "nested more than"),
        (changed(claim={"head": "Add"}), "where a node is expected"),
        (changed(premises="s"), "no list of labels"),
        (changed(premises=["s"]), "circular"),
        (changed(premises=["r"]), "no step"),
        (changed(rule="identiy"), "did you mean 'identity'"),
        (changed(x_more=1), "a field 'x_more'"),
        (changed(steps=[]), "has no steps"),
        (changed(domain={"intervals": [[1, 2]], "constraints": []}), "an interval that is no pair"),
        (changed(hints=[[1]]), "a pair that has not two parts"),
    ],
)
def test_mistakes_are_one_line_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(DeriveError) as caught:
        from_json(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=150)
@given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.sampled_from(
    ["Add", "Symbol", "Apply", "GaussianAverage", "Interval", "Atoms", "Dummy", "Float", "Str", "Rational"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=12))
def test_a_tree_of_rubbish_is_refused_in_one_line_or_read(tree: Any) -> None:
    try:
        message = "" if from_json(changed(claim=tree)) else "empty"
    except DeriveError as error:
        message = str(error)
    assert "\n" not in message


def test_files(tmp_path: Path) -> None:
    derivation, place = one(sp.Eq(X, X, evaluate=False)), tmp_path / "d.json"
    assert load(save(derivation, place)) == derivation
    with pytest.raises(DeriveError, match="exists already"):
        save(derivation, place)
    save(derivation, place, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["d.json"]
    with pytest.raises(DeriveError, match="cannot be read"):
        load(tmp_path / "none.json")
    with pytest.raises(DeriveError, match="cannot be written"):
        save(derivation, tmp_path / "none" / "d.json")
    place.write_bytes(b"\xff\xfe")
    with pytest.raises(DeriveError, match="not UTF-8"):
        load(place)


def test_on_the_command_line(tmp_path: Path) -> None:
    def derive(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "derive", *arguments], capture_output=True, text=True, check=False)

    place = tmp_path / "condensation.json"
    written = derive("export", "rem-condensation", "--target", "json", "-o", str(place))
    assert written.returncode == 0, written.stderr
    good = derive("check", "--file", str(place))
    assert good.returncode == 0, good.stderr
    assert "PROVED" in good.stdout
    wrong = json.loads(to_json(read_page(EXAMPLES[0]).derivation))
    last = next(s for s in reversed(wrong["steps"]) if s["claim"][0] == "Equality" and s["rule"] == "differentiate")
    last["claim"][1] = ["Add", last["claim"][1], 1]
    own = tmp_path / "own.json"
    own.write_text(json.dumps(wrong), "utf-8")
    bad = derive("check", "--file", str(own), "--json")
    assert bad.returncode == 1
    assert {c["label"]: c["verdict"] for c in json.loads(bad.stdout)["claims"]}[last["label"]] == "REFUTED"
    place.write_text(place.read_text().replace('"schema": 1', '"schema": 2'), "utf-8")
    old = derive("check", "--file", str(place))
    assert old.returncode == 2
    assert old.stderr.count("\n") == 1
