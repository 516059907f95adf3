"""Records: where a result was measured, and plain JSON written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from derive.simulate.errors import SimulationError

__all__ = ["SCHEMA", "check_target", "code_version", "read_record", "versions", "write_record"]

SCHEMA = "derive.simulate/1"
ROOM = Path(__file__).resolve().parent


def versions() -> dict[str, str | None]:
    """Versions of what the numbers depend on; None for what is not installed."""

    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    return {"python": platform.python_version(), "numpy": np.__version__} | {
        package: version(package) for package in ("jax", "jaxlib", "derive")
    }


def code_version() -> dict[str, Any]:
    """Commit of this room's source and whether it was modified since; both None outside its repository."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOM), *words], capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # the repository around an installed copy is not ours
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "modified": None}


def check_target(path: Path) -> None:
    """Raise where a record could not be written: said before a long run, not after it."""
    if path.is_dir():
        raise SimulationError(f"{path} is a folder: the record needs a file name", given=str(path), allowed="a file")
    if not path.parent.is_dir():
        raise SimulationError(f"no folder {path.parent} for the record", given=str(path), allowed="an existing folder")
    if not os.access(path.parent, os.W_OK):
        raise SimulationError(f"the folder {path.parent} cannot be written to", given=str(path))


def write_record(record: dict[str, Any], path: Path) -> None:
    """Write a record as JSON, replacing a file of that name; whole or not at all.

    Raises SimulationError where the folder is not there; ValueError for a number that is not finite.
    """
    check_target(path)
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def read_record(path: str | Path) -> dict[str, Any]:
    """A record that `write_record` wrote. Raises SimulationError where there is none, or one of another schema."""
    try:
        record = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SimulationError(f"no record in {path}: {error}", given=str(path), allowed=f"JSON of {SCHEMA}") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise SimulationError(f"{path} is not a record of schema {SCHEMA}", given=str(path), allowed=SCHEMA)
    return record
