"""What a user installs: versions, extras, the lock file, a light import; and the check that the book works offline."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

import derive

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = dict(
    line.split("==") for line in (ROOT / "requirements.lock").read_text("utf-8").split() if re.match(r"[\w.-]+==", line)
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_one_version() -> None:
    assert derive.__version__ == PROJECT["version"] == version("derive")


def test_the_command_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="derive")
    assert callable(script.load())


def test_types_and_licence_are_shipped() -> None:
    assert (ROOT / "derive/py.typed").exists()
    assert (ROOT / "LICENSE").read_text("utf-8").strip()


def test_the_lock_satisfies_every_requirement() -> None:
    locked = {canonical(name): found for name, found in LOCK.items()}
    wanted = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[canonical(requirement.name)]), requirement


def test_the_lock_pins_versions_and_names_no_place() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines), lines


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


HEAVY = {"sympy", "mpmath", "scipy", "matplotlib", "jax", "rich", "click"}


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [("import derive", HEAVY), ("from derive import atlas; list(atlas)", HEAVY - {"sympy", "mpmath"})],
)
def test_import_is_light(statement: str, heavy: set[str]) -> None:
    """Importing derive and listing its quantities loads only what that needs (the error type's module needs SymPy)."""
    loaded = run(f"import sys; {statement}; print(*{{m.partition('.')[0] for m in sys.modules}})").split()
    assert not heavy & set(loaded)


@pytest.fixture(scope="module")
def offline() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_offline", ROOT / "book/check_offline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', "https://cdn.example.org/a.js: outside"),
        ('<script src="//cdn.example.org/a.js"></script>', "//cdn.example.org/a.js: outside"),
        ('<link rel="stylesheet" href="http://example.org/a.css">', "http://example.org/a.css: outside"),
        ('<img src="https://example.org/a.png">', "https://example.org/a.png: outside"),
        ('<img srcset="a.svg 1x, https://example.org/a.png 2x">', "https://example.org/a.png: outside"),
        ('<p style="background: url(https://example.org/a.png)">', "https://example.org/a.png: outside"),
        ('<style>@import "https://example.org/a.css";</style>', "https://example.org/a.css: outside"),
        ('<svg><image href="https://example.org/a.png"/></svg>', "https://example.org/a.png: outside"),
        ('<script>load("https://example.org/lib.js")</script>', "https://example.org/lib.js: a script names it"),
        ('<script src="missing.js"></script>', "missing.js: not in the build"),
    ],
)
def test_the_offline_check_sees(page: str, fault: str, offline: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.svg").touch()
    (tmp_path / "index.html").write_text(page)
    assert [line for line in offline.faults(tmp_path) if fault in line]
    assert offline.main([str(tmp_path)]) == 1


def test_the_offline_check_sees_style_sheets(offline: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<link rel="stylesheet" href="a.css">')
    (tmp_path / "a.css").write_text('@font-face { src: url("https://example.org/a.woff2") }')
    assert list(offline.faults(tmp_path)) == ["a.css: https://example.org/a.woff2: outside the build"]


def test_the_offline_check_lets_pass(offline: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.svg").touch()
    (tmp_path / "index.html").write_text(
        '<a href="https://example.org/paper">a link to click</a><img src="a.svg?v=1"><img src="data:image/png;base64,">'
        '<link rel="canonical" href="https://example.org/">'
    )
    assert list(offline.faults(tmp_path)) == []
    assert offline.main([str(tmp_path)]) == 0


def test_the_offline_check_wants_pages(offline: ModuleType, tmp_path: Path) -> None:
    assert offline.main([str(tmp_path)]) == 1


def test_notebooks_are_kept_without_outputs() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            assert not cell.get("outputs"), path.name
            assert cell.get("execution_count") is None, path.name
