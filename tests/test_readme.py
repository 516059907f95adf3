"""The README's tour runs: Python blocks as doctests, console blocks through the command line's own entry."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

README = Path(__file__).resolve().parents[1] / "README.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of one language."""
    return [body for found, body in FENCE.findall(text) if found == language]


def commands(body: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown below it (which may be nothing)."""
    parts = re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
    return [(command.strip(), shown) for command, _, shown in (part.partition("\n") for part in parts)]


def run(command: str) -> tuple[int, str]:
    """Exit status and output of a command of the tour: `derive ...` or `python FILE ...`."""
    program, *arguments = shlex.split(command)
    if program == "derive":
        from derive.cli import cli

        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        return result.exit_code, result.output
    assert program == "python", f"the tour runs derive and python only: {command}"
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def matches(shown: str, printed: str) -> bool:
    """Whether the output shown is the output printed; nothing shown promises nothing."""
    return not shown.strip() or doctest.OutputChecker().check_output(shown, printed, FLAGS)


TEXT = README.read_text("utf-8")
PYTHON = blocks(TEXT, "python")
CONSOLE = [pair for body in blocks(TEXT, "console") for pair in commands(body)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole tour, so that a command may use a file that an earlier one wrote."""
    return tmp_path_factory.mktemp("tour")


def test_the_readme_opens_with_the_two_commands() -> None:
    first = blocks(TEXT, "sh")[0]
    assert [line.split("#")[0].split() for line in first.splitlines()][:2] == [["make", "book"], ["make", "test"]]
    assert PYTHON, "no tour in Python"
    assert CONSOLE, "no tour on the command line"


def test_python(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one session."""
    monkeypatch.chdir(workplace)
    names: dict[str, object] = {}
    printed: list[str] = []
    for body in PYTHON:
        test = doctest.DocTestParser().get_doctest(body, names, "README.md", str(README), 0)
        assert test.examples
        result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=printed.append, clear_globs=False)
        names = test.globs
        assert not result.failed, "".join(printed)


def test_console(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one folder."""
    monkeypatch.chdir(workplace)
    for command, shown in CONSOLE:
        status, printed = run(command)
        assert status == 0, f"$ {command}\n{printed}"
        assert matches(shown, printed), f"$ {command}\nshown:\n{shown}\nprinted:\n{printed}"


def test_other_output_than_shown_is_seen() -> None:
    assert commands("$ derive list\na\nb\n$ derive show x\n") == [("derive list", "a\nb\n"), ("derive show x", "")]
    assert matches("t = 0.5...\n", "t   = 0.5123\n")
    assert matches("", "anything")
    assert not matches("t = 0.5...\n", "t = 0.6\n")
