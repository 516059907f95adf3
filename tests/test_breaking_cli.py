"""--breaking: what an answer says where replica symmetry is unstable, and what is refused."""

import json

import numpy as np
import pytest
import sympy as sp
from click.testing import CliRunner

from derive import atlas
from derive.breaking import broken
from derive.cli.answer import Answer, noted
from derive.cli.commands import cli
from derive.cli.request import read_request
from derive.core import DeriveError
from derive.ensembles import HiddenManifold

OPTIONS = {"time": "t", "digits": None, "asked": None, "zipped": False}


def answer(stability: list[float]) -> Answer:
    one = np.ones(len(stability))
    return Answer(one, one, one, one.astype(bool), one.astype(str), np.array([""] * one.size), {}, np.array(stability))


@pytest.mark.parametrize(("breaking", "words"), [(0, "--breaking 1 solves"), (1, "break up further")])
def test_an_unstable_answer_says_so_and_what_to_do(breaking: int, words: str) -> None:
    quantity = atlas["retrieval-capacity"].with_(ensemble=HiddenManifold(sp.tanh))
    request = read_request(quantity, ["lam=1:2:2", "alpha_D=1"], {**OPTIONS, "breaking": breaking})
    assert words in noted(request, answer([0.5, -0.1]))
    assert "1 of 2 points" in noted(request, answer([0.5, -0.1]))
    assert noted(request, answer([0.5, np.nan])) == ""


def test_where_symmetry_is_stable_the_option_changes_nothing() -> None:
    words = ["solve", "retrieval-capacity", "lam=0.5", "alpha_D=1", "--activation", "relu", "--json"]
    plain, once = (CliRunner().invoke(cli, [*words, *more]) for more in ([], ["--breaking", "1"]))
    assert plain.exit_code == once.exit_code == 0
    first, second = json.loads(plain.output), json.loads(once.output)
    assert first["value"] == second["value"]
    assert second["options"]["breaking"] == 1
    assert second["outputs"]["breaking"] == 0.0
    assert second["outputs"]["q_1"] is None


@pytest.mark.parametrize("more", [["--digits", "20"], ["--certify"]])
def test_breaking_is_for_doubles(more: list[str]) -> None:
    words = ["solve", "retrieval-capacity", "lam=0.5", "alpha_D=1", "--activation", "relu", "--breaking", "1"]
    found = CliRunner().invoke(cli, [*words, *more])
    assert found.exit_code == 2
    assert "--breaking" in found.output


def test_a_quantity_without_replicas_has_none_to_break() -> None:
    with pytest.raises(DeriveError, match="rests on no saddle point"):
        broken(atlas["retrieval-capacity"])
    with pytest.raises(DeriveError, match="spectrum"):
        broken(atlas["spectral-edges"])
    assert callable(broken(atlas["retrieval-capacity"].with_(ensemble=HiddenManifold(sp.tanh))))
