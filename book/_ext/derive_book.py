"""What the book needs of Sphinx besides its configuration.

- The execution cache is keyed on the package's source, and all pages are read anew when that changes: a cell's output
  depends on the package that it imports, which the cache of cells alone does not see.
- Kernels see the book's own figure style and settings, and none of the user's.
- Docstrings are plain text in this project: bars, stars and trailing underscores in them are characters, not markup.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "derive/**/*.py", "notebooks/records/**/*", "requirements.lock", "pyproject.toml", "book/_ext/*.py",
    "book/_style/matplotlibrc",
)
KERNEL_CONFIG = """\
c = get_config()
c.HistoryManager.enabled = False
c.InlineBackend.figure_formats = {"svg"}
"""
MARKUP = re.compile(r"(`[^`]*`)|([|*\\]|(?<=\w)_(?!\w))")


def source_key(root: Path = ROOT) -> str:
    """A hash of everything outside the pages on which a cell's output depends."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(path for pattern in SOURCES for path in root.glob(pattern) if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def set_cache(app: Sphinx, config: Config) -> None:
    """Move the execution cache into a folder named by the source's key, and drop those of other keys."""
    config.derive_source_key = source_key()
    caches = Path(app.outdir).parent / ".jupyter_cache"
    for stale in caches.glob("*"):
        if stale.is_dir() and stale.name != config.derive_source_key:
            shutil.rmtree(stale)
    config.nb_execution_cache_path = str(caches / config.derive_source_key)


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


def plain(lines: Iterable[str]) -> list[str]:
    """Escape what reStructuredText would take for markup, outside code and doctests.

    >>> plain(["Norm |x|^2 of `*x`.", "", ">>> f(*x)", "3"])
    ['Norm \\\\|x\\\\|^2 of `*x`.', '', '>>> f(*x)', '3']
    """
    escaped, doctest = [], False
    for line in lines:
        doctest = bool(line.strip()) and (doctest or line.lstrip().startswith(">>>"))
        escaped.append(line if doctest else MARKUP.sub(lambda m: m[1] or "\\" + m[2], line))
    return escaped


def plain_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Handler of autodoc-process-docstring."""
    lines[:] = plain(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers."""
    app.add_config_value("derive_source_key", "", "env", str)
    app.connect("config-inited", set_cache, priority=100)
    app.connect("config-inited", set_kernel, priority=100)
    app.connect("autodoc-process-docstring", plain_docstring, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
