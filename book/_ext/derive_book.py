"""What the book needs of Sphinx besides its configuration.

- The execution cache is keyed on the package's source, and all pages are read anew when that changes: a cell's output
  depends on the package that it imports, which the cache of cells alone does not see.
- Kernels see the book's own figure style and settings, and none of the user's.
- Every label of an equation, and every `claim` role, names an entry of the published ledger (claims.json, `name#step`);
  one that does not is a warning, which fails the strict build.
- Docstrings are plain text with a few habits in this project: `restructured` makes markup of the habits, and of
  bars, stars and trailing underscores what they are, characters.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.roles import XRefRole
from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "derive/**/*.py", "notebooks/records/**/*", "requirements.lock", "pyproject.toml", "book/_ext/*.py",
    "book/_style/matplotlibrc", "book/claims.json",
)
KERNEL_CONFIG = """\
c = get_config()
c.HistoryManager.enabled = False
c.IPKernelApp.log_level = "ERROR"
c.InlineBackend.figure_formats = {"svg"}
"""
MARKUP = re.compile(r"``(?P<code>[^`]+)``|`(?P<single>[^`]+)`|[|*\\`]|(?<=\w)_(?!\w)")
DOCTEST = re.compile(r"\s*>>> ")
BULLET = re.compile(r"\s*[-*] ")
SECTION = re.compile(r"(Args|Arguments|Attributes|Returns|Yields|Raises|Shapes?|Units?|Source|See|Note|Examples?): *")


def source_key(root: Path = ROOT) -> str:
    """A hash of everything outside the pages on which a cell's output depends."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(path for pattern in SOURCES for path in root.glob(pattern) if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def set_cache(app: Sphinx, config: Config) -> None:
    """Move the execution cache into a folder named by the source's key, and drop those of other keys.

    Sphinx reads all pages anew when this path changes.
    """
    caches = Path(app.outdir).parent / ".jupyter_cache"
    current = caches / source_key()
    for stale in caches.glob("*"):
        if stale.is_dir() and stale != current:
            shutil.rmtree(stale)
    config.nb_execution_cache_path = str(current)


def set_kernel(app: Sphinx, config: Config) -> None:
    """Give kernels the book's figure style and a profile of its own."""
    profile = Path(app.outdir).parent / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(KERNEL_CONFIG)
    os.environ.update(
        IPYTHONDIR=str(profile.parent),
        MATPLOTLIBRC=str(ROOT / "book/_style/matplotlibrc"),
        JAX_PLATFORMS="cpu",
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )


def inline(text: str) -> str:
    """One paragraph: code in backticks becomes an inline literal, all other markup characters are escaped.

    >>> inline("Norm |x|^2 of `*x`s, a_")
    'Norm \\\\|x\\\\|^2 of ``*x``\\\\ s, a\\\\_'
    """

    def literal(match: re.Match[str]) -> str:
        if not (code := match["code"] or match["single"]):
            return "\\" + match[0]
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        glue = ("\\ " if re.match(r"[^\s([{]", before) else "", "\\ " if re.match(r"\w", after) else "")
        return f"{glue[0]}``{code.strip()}``{glue[1]}"

    return MARKUP.sub(literal, text)


def items(lines: Sequence[str]) -> list[str]:
    """A bullet list: a line that is indented no further than the first opens an item, others continue it."""
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    found: list[str] = []
    for line in lines:
        if line[margin] == " " and found:
            found[-1] += " " + line.strip()
        else:
            found.append(line.strip())
    return [f"- {inline(re.sub(BULLET, '', item))}" for item in found]


def block(lines: Sequence[str]) -> list[str]:
    """One block of a docstring (between blank lines) as reStructuredText."""
    first = lines[0]
    if DOCTEST.match(first):
        return list(lines)
    for at in range(1, len(lines)):
        if DOCTEST.match(lines[at]) or (opens(lines[at]) and not BULLET.match(first)):
            return [*block(lines[:at]), "", *block(lines[at:])]
    if len(lines) > 2 and re.fullmatch(r"-{3,}\s*", lines[1]):
        return [f"**{first.strip()}**", "", *items(lines[2:])]
    if BULLET.match(first):
        return items(lines)
    if section := SECTION.match(first):
        rest = [first[section.end() :], *lines[1:]]
        if rest[0].strip():
            return [f"**{section[1]}:** {inline(' '.join(line.strip() for line in rest))}"]
        return [f"**{section[1]}:**", "", *(items(lines[1:]) if lines[1:] else [])]
    if all(line.startswith("  ") for line in lines):
        return ["::", "", *(f"  {line}" for line in lines)]
    return [inline("\n".join(line.strip() for line in lines))]


def opens(line: str) -> bool:
    """Whether a line begins a block of its own even where no blank line stands before it."""
    return bool(DOCTEST.match(line) or SECTION.match(line) or BULLET.match(line))


def restructured(lines: Iterable[str]) -> list[str]:
    """A docstring of this project, which is plain text with a few habits, as reStructuredText.

    The habits: code in backticks; doctests; bullets; indented formulas; paragraphs that open with Args:, Returns:,
    Raises: and the like; sections underlined by dashes with one `name: text` a line.

    >>> restructured(["Bound |x|.", "Args: x, a", "    number."])
    ['Bound \\\\|x\\\\|.', '', '**Args:** x, a number.', '']
    >>> restructured(["Attributes", "----------", "name: what it", "    is called"])
    ['**Attributes**', '', '- name: what it is called', '']
    """
    text: list[str] = []
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        if not blank:
            text += ["\n".join(block(list(group))), ""]
    return "\n".join(text).split("\n")


def plain_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Handler of autodoc-process-docstring."""
    lines[:] = restructured(lines)


def entries(root: Path = ROOT) -> frozenset[str]:
    """The entries of the published ledger, each as "derivation#step"."""
    known = json.loads((root / "book/claims.json").read_text("utf-8"))
    return frozenset(f"{derivation}#{label}" for derivation, labels in known.items() for label in labels)


def check_labels(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of a labelled equation that the published ledger does not know."""
    known = entries()
    for block in doctree.findall(nodes.math_block):
        label = block.get("label")
        if label and label not in known:
            logging.getLogger(__name__).warning(
                "the labelled equation %r has no entry in the ledger", label, location=block)


def resolve_claim(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """The place of a claim on the ledger's page; None, and so a warning, where there is no such entry."""
    if node.get("reftype") != "claim" or node["reftarget"] not in entries():
        return None
    from derive.claims import anchor

    target = app.builder.get_relative_uri(node["refdoc"], "claims") + "#" + anchor(*node["reftarget"].split("#"))
    return nodes.reference("", "", content, internal=True, refuri=target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers."""
    app.add_role("claim", XRefRole(warn_dangling=True))
    app.connect("doctree-read", check_labels)
    app.connect("missing-reference", resolve_claim)
    app.add_config_value("comments_config", {}, "html", dict)  # set by jupyter-book for an extension that is left out
    app.connect("config-inited", set_cache, priority=100)
    app.connect("config-inited", set_kernel, priority=100)
    app.connect("autodoc-process-docstring", plain_docstring, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
