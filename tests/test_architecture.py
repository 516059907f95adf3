"""The house: imports go down only, no room is in a circle with another, and nothing evaluates a user's text."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "derive"

# room -> rooms that it may import; book/developing.md shows the same table with the reasons.
GROUND = {"symbols", "papers", "nodes", "core"}
FLOORS: dict[str, set[str]] = {
    "symbols": set(),
    "papers": set(),
    "nodes": {"symbols"},  # and DeriveError, see below
    "core": {"symbols", "papers"},
    "ledger": GROUND,
    "methods": GROUND | {"ledger"},
    "solvers": GROUND,
    "quantity": GROUND | {"ledger", "methods", "solvers"},
    "ensembles": GROUND | {"ledger", "methods"},
    "systems": GROUND | {"ledger", "methods", "solvers", "quantity", "ensembles"},
    "catalogue": GROUND | {"ledger", "methods", "solvers", "quantity", "ensembles", "systems"},
    "parse": {"symbols", "nodes"},
    "saved": GROUND | {"ledger", "parse"},
    "latex_input": {"symbols", "nodes", "parse"},
    "reader": GROUND | {"ledger", "parse", "latex_input", "saved"},
    "references": set(),
    "witnesses": GROUND | {"ledger", "solvers", "quantity", "ensembles", "catalogue", "references", "parse"},
    "mutation": GROUND | {"ledger", "quantity", "witnesses"},
    "breaking": GROUND | {"ledger", "methods", "solvers", "quantity"},
    "certify": GROUND | {"ledger", "solvers", "quantity"},
    "simulate": set(),
}
BELOW_THE_FACES = set(FLOORS)
FLOORS |= {"show": BELOW_THE_FACES - {"parse", "simulate"}, "plot": BELOW_THE_FACES - {"parse", "simulate"}}
FLOORS["claims"] = FLOORS["show"] | {"show"}
FLOORS |= {"cli": set(FLOORS), "__main__": {"cli"}}
FLOORS |= {"derive": set(FLOORS)}  # the package's own __init__, which is lazy

# The one name that stands above those who use it: the error type, which is data and needs nothing.
ERROR_TYPE = {("nodes", "derive.core.DeriveError"), ("parse", "derive.core.DeriveError"),
              ("latex_input", "derive.core.DeriveError")}

# Packages that only some rooms may import, anywhere in them.
RESERVED = {
    "jax": {"simulate", "solvers"},
    "matplotlib": {"plot", "cli"},
    "rich": {"cli"},
    "click": {"cli"},
}


class Import(NamedTuple):
    """One name imported somewhere in the package."""

    module: str
    target: str
    line: int


def module_name(path: Path) -> str:
    parts = ("derive", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8"), str(path)) for name, path in MODULES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "derive"


def imports(name: str, tree: ast.AST) -> Iterator[Import]:
    """Every import of a module, also those inside functions and by import_module of a constant."""
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            yield from (Import(name, f"{source}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            constants = [argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)]
            yield from (Import(name, str(value), node.lineno) for value in constants)


def called(call: ast.Call) -> str:
    """The last name of what is called."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


ALL = [found for name, tree in TREES.items() for found in imports(name, tree)]
INSIDE = [found for found in ALL if found.target.partition(".")[0] == "derive"]


def target_room(target: str) -> str:
    """The room that an imported name lives in; names of the package itself are the package's."""
    parts = target.split(".")
    return parts[1] if len(parts) > 1 and (parts[1] in FLOORS or f"derive.{parts[1]}" in MODULES) else "derive"


def crossings(found: list[Import]) -> list[str]:
    """Imports that do not go down, one line each."""
    return [
        f"{name}:{line} imports {target}"
        for name, target, line in found
        if target.partition(".")[0] == "derive"
        and target_room(target) != room(name)
        and target_room(target) not in FLOORS[room(name)]
        and (room(name), target) not in ERROR_TYPE
    ]


def test_every_room_is_on_a_floor() -> None:
    unknown = {room(name) for name in MODULES} - set(FLOORS)
    assert not unknown, f"rooms on no floor, add them to FLOORS and to book/developing.md: {unknown}"


def test_imports_go_down_only() -> None:
    assert not crossings(ALL)


def test_an_import_upwards_is_seen() -> None:
    inside_a_function = ast.parse("def f():\n    from derive.systems import diffusion\n")
    assert crossings(list(imports("derive.nodes", inside_a_function))) == [
        "derive.nodes:2 imports derive.systems.diffusion"
    ]
    relative = ast.parse("from ..systems import diffusion")
    assert crossings(list(imports("derive.solvers.runtime", relative))) == [
        "derive.solvers.runtime:1 imports derive.systems.diffusion"
    ]
    by_name = ast.parse("from importlib import import_module\nimport_module('derive.catalogue')")
    assert crossings(list(imports("derive.solvers.runtime", by_name))) == [
        "derive.solvers.runtime:2 imports derive.catalogue"
    ]


def test_no_room_is_in_a_circle_with_another() -> None:
    graph: dict[str, set[str]] = {}
    for name, target, _ in INSIDE:
        if (room(name), target) not in ERROR_TYPE and target_room(target) != room(name):
            graph.setdefault(room(name), set()).add(target_room(target))
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("package", RESERVED)
def test_reserved_packages(package: str) -> None:
    elsewhere = [
        f"{name}:{line}"
        for name, target, line in ALL
        if target.split(".")[0] == package and room(name) not in RESERVED[package]
    ]
    assert not elsewhere, f"{package} belongs to {RESERVED[package]}"


def test_simulations_know_no_theory() -> None:
    algebra = {"sympy", "mpmath", "flint", "derive"}
    theory = [
        found for found in ALL
        if room(found.module) == "simulate"
        and found.target.split(".")[0] in algebra
        and target_room(found.target) != "simulate"
    ]
    assert not theory


def test_nothing_evaluates_text_but_the_solvers_their_own() -> None:
    """`exec` and `compile` run the text of our own printer, in one room; nothing else turns text into code."""
    forbidden = {"eval", "exec", "compile", "parse_expr", "lambdify"}
    found = [
        f"{name}:{node.lineno} calls {node.func.id}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in forbidden
        and not (room(name) == "solvers" and node.func.id in ("exec", "compile"))
    ]
    assert not found


def test_nothing_prints_but_the_command_line() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" and room(name) != "cli"
    ]
    assert not found
