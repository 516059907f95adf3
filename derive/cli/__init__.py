"""The command line: list, show, cite, check, solve, export, plot, simulate.

Exit status: 0 where everything converged or every verdict is sound, 1 where something did not converge, has no root or
is REFUTED or UNDECIDED, 2 for wrong usage. A mistake is one line, never a traceback. Heavy modules are imported inside
the commands, so that `derive --help` is quick.
"""

from derive.cli.commands import cli, main

__all__ = ["cli", "main"]
