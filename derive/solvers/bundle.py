"""Pieces of our own modules' text: the functions a generated file needs, with everything they rest on."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from functools import cache
from types import ModuleType

__all__ = ["bundle"]


class _Names(ast.NodeVisitor):
    """Names that a piece of code reads when it runs; annotations are not read."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def visit_arg(self, node: ast.arg) -> None:
        return

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        for part in (node.target, node.value):
            if part is not None:
                self.visit(part)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d), *node.body):
            self.visit(part)


@cache
def _pieces(module: ModuleType) -> tuple[dict[str, tuple[int, str, frozenset[str]]], dict[str, str]]:
    """Top-level definitions of a module (place, text, names read), and its imports by the name that they bind."""
    text = inspect.getsource(module)
    lines = text.splitlines()
    found: dict[str, tuple[int, str, frozenset[str]]] = {}
    imports: dict[str, str] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                continue
            for alias in node.names:
                bare = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], 0)
                imports[alias.asname or alias.name.partition(".")[0]] = ast.unparse(bare)
            continue
        targets: list[str] = []
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            targets = [node.name]
        elif isinstance(node, ast.Assign):
            targets = [t.id for t in node.targets if isinstance(t, ast.Name)]
        if not targets or targets == ["__all__"]:
            continue
        names = _Names()
        names.visit(node)
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in decorators)])
        piece = "\n".join(lines[first - 1 : node.end_lineno])
        for target in targets:
            found[target] = (first, piece, frozenset(names.names - {target}))
    return found, imports


def bundle(wanted: Iterable[str], *modules: ModuleType) -> tuple[str, str]:
    """Import lines, and the text of the wanted definitions with everything they use, in the order of the modules.

    Args: wanted names; modules to take them from, each standing alone but for what it imports from earlier ones.
    Raises: KeyError for a name that no module defines.
    """
    imports: set[str] = set()
    texts: list[str] = []
    left = set(wanted)
    for module in reversed(modules):
        found, known = _pieces(module)
        todo, taken = [n for n in left if n in found], set()
        left -= set(found)
        while todo:
            name = todo.pop()
            if name in taken:
                continue
            taken.add(name)
            for used in found[name][2]:
                if used in found:
                    todo.append(used)
                elif used in known and known[used].startswith("from derive."):
                    left.add(used)
                elif used in known:
                    imports.add(known[used])
        placed = {found[n][:2] for n in taken}
        ordered = sorted(placed)
        own = [("\n\n" if "\n" in text or text.startswith(("def", "class")) else "") + text for _, text in ordered]
        texts = own + texts
    if left:
        raise KeyError(", ".join(sorted(left)))
    order = sorted(imports, key=lambda line: ("numpy" in line or "scipy" in line or "mpmath" in line, line))
    return "\n".join(order), "\n".join(texts).strip() + "\n"
