"""Exported files: they stand alone, test themselves, and are written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import problems
import pytest

from derive.core import DeriveError, Problem
from derive.solvers import ExportMeta, compile_numpy, export
from derive.solvers.exporting import check_points

META = ExportMeta(
    "collapse-time",
    title="Collapse",
    equation="alpha = <log(1 + c/t)>/2",
    latex=r"\alpha = \frac{1}{2}\langle\log(1 + c/t)\rangle",
    citation="A2, section 4",
    domain="alpha > 0, alpha_D > 0",
    verdict="PROVED",
    source_hash="0123456789abcdef",
    units="variance",
)


def python(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a file with an import of ours made to fail."""
    blocked = path.parent / "blocked"
    blocked.mkdir(exist_ok=True)
    for name in ("derive", "sympy"):
        (blocked / f"{name}.py").write_text("raise ImportError('not here')\n")
    environment = {**os.environ, "PYTHONPATH": str(blocked), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=100,
        cwd=path.parent,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(problems.collapse(), META, tmp_path_factory.mktemp("export") / "collapse.py")


def test_the_file_tests_itself(written: Path) -> None:
    done = python(written, "--selftest")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert "16 of 16 checks passed" in done.stdout


def test_the_head(written: Path) -> None:
    head = written.read_text().split('"""')[1]
    for part in (
        META.title,
        META.equation,
        META.latex,
        META.citation,
        META.domain,
        META.verdict,
        META.source_hash,
        META.units,
        "content: ",
    ):
        assert part in head


@pytest.mark.parametrize(
    ("old", "new"), [("0.5 *", "0.50000001 *"), ("twice = 2.0 * ratio", "twice = 2.0000001 * ratio")]
)
def test_a_change_in_the_code_is_noticed(written: Path, tmp_path: Path, old: str, new: str) -> None:
    text = written.read_text()
    assert old in text
    broken = tmp_path / "broken.py"
    broken.write_text(text.replace(old, new))
    done = python(broken, "--selftest")
    assert done.returncode == 1
    assert "16 of 16" not in done.stdout


def test_use_from_the_command_line(written: Path) -> None:
    done = python(written, "alpha=1", "alpha_D=1/500")
    assert done.returncode == 0
    assert "log_value = -993.786392568" in done.stdout
    wrong = python(written, "alpha=-1", "alpha_D=1")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "out of its domain" in wrong.stderr
    assert python(written, "alpha=x").returncode == 2


@pytest.mark.parametrize("make", [problems.gaussian_capacity, problems.binary_condensation, problems.full_capacity])
def test_other_problems(make, tmp_path: Path) -> None:
    path = export(make(), ExportMeta("other"), tmp_path / "other.py")
    done = python(path, "--selftest")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_problem_with_averages(tmp_path: Path) -> None:
    problem = problems.noisy_signs()
    done = python(export(problem, ExportMeta("density"), tmp_path / "density.py"), "--selftest")
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(DeriveError, match="average"):
        export(problem, ExportMeta("density"), tmp_path / "density_mp.py", target="mpmath")


def test_the_mpmath_file(tmp_path: Path) -> None:
    path = export(problems.collapse(), META, tmp_path / "digits.py", target="mpmath")
    for name in ("numpy", "scipy"):
        (tmp_path / "blocked").mkdir(exist_ok=True)
        (tmp_path / "blocked" / f"{name}.py").write_text("raise ImportError('not here')\n")
    done = python(path, "--selftest")
    assert (done.returncode, done.stderr) == (0, "")
    assert "checks passed to 30 digits" in done.stdout
    assert (
        "-993.78639256891194265888935655675409111731684081286"
        in python(path, "alpha=1", "alpha_D=1/500", "digits=50").stdout
    )
    assert python(path, "alpha=0", "alpha_D=1").returncode == 2


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "kept.py"
    path.write_text("mine\n")
    with pytest.raises(DeriveError, match="only with force"):
        export(problems.gaussian_capacity(), META, path)
    assert path.read_text() == "mine\n"
    export(problems.gaussian_capacity(), META, path, force=True)
    assert "PROBLEM" in path.read_text()
    assert os.listdir(tmp_path) == ["kept.py"]


def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(DeriveError, match="cannot be written"):
        export(problems.gaussian_capacity(), META, tmp_path / "none.py")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("a.py", "jax", "jax target is not offered"),
        ("a.py", "fortran", "no export target 'fortran'"),
        (".", "numpy", "is a directory"),
        ("nowhere/a.py", "numpy", "there is no directory"),
    ],
)
def test_wrong_targets_and_places(tmp_path: Path, name: str, target: str, words: str) -> None:
    with pytest.raises(DeriveError, match=words):
        export(problems.gaussian_capacity(), META, tmp_path / name, target=target)
    assert os.listdir(tmp_path) == []


def test_points_of_the_self_test_reach_both_sides_of_a_joint() -> None:
    problem: Problem = problems.gaussian_capacity()
    points = [p["lam"] for p in check_points(problem, 16)]
    assert points == [p["lam"] for p in check_points(problem, 16)]
    assert {str(b) for b in compile_numpy(problem)(lam=points).branch} == {"unsaturated", "saturated"}
    assert any(abs(p - 1) < 1e-11 for p in points if p != 1)
