"""Mistakes, one line each, and the exit status."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

__all__ = ["Cli", "mistake", "nearest"]


def mistake(message: str, *, given: str = "", allowed: str = "", nearest: str | None = None) -> NoReturn:
    from derive.core import DeriveError

    raise DeriveError(message, given=given, allowed=allowed, nearest=nearest)


def nearest(given: str, allowed: Sequence[str]) -> str | None:
    from derive.parse import nearest_name

    return nearest_name(given, allowed)


def _refuse(error: dict[str, Any], as_json: bool) -> int:
    """Say what is wrong, as JSON on stdout or as one line on stderr; the exit status of wrong usage."""
    if as_json:
        click.echo(json.dumps(error))
        return 2
    line = " ".join(str(error["error"]).split()).rstrip(".")
    if error["nearest"] and "did you mean" not in line and "nearest: " not in line:
        line += f"; did you mean {error['nearest']!r}?"
    if error["allowed"] and "allowed: " not in line:
        line += f"; allowed: {error['allowed']}"
    click.echo(f"error: {line}", err=True)
    return 2


def _click_error(error: click.ClickException) -> dict[str, Any]:
    near = [str(k) for k in getattr(error, "possibilities", None) or ()]
    given = getattr(error, "option_name", None) or getattr(error, "param_hint", None) or ""
    if isinstance(given, list | tuple):
        given = " ".join(given)
    message = error.format_message().split(" Did you mean")[0].split(" (Possible options")[0]
    return {"error": message, "given": str(given), "allowed": "see derive --help", "nearest": near[0] if near else None}


def _is_mistake(error: ValueError) -> bool:
    """Whether an error is the user's; asked without importing what was not needed so far."""
    core = sys.modules.get("derive.core")
    return core is not None and isinstance(error, core.DeriveError)


class Cli(click.Group):
    """A group whose mistakes are one line each."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            commands = self.list_commands(ctx)
            mistake(
                f"there is no command {name!r}",
                given=name,
                allowed=", ".join(commands),
                nearest=nearest(name, commands),
            )
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        status = self._run(arguments, prog_name or "derive", extra)
        if standalone_mode:
            sys.exit(status)
        return status

    def _run(self, arguments: list[str], prog_name: str, extra: Mapping[str, Any]) -> int:
        as_json = "--json" in arguments
        try:
            try:
                status = super().main(arguments, prog_name, standalone_mode=False, **extra)
                sys.stdout.flush()
                return int(status or 0)
            except ValueError as error:
                if not _is_mistake(error):
                    raise
                said = {"error": str(error), "given": error.given, "allowed": error.allowed, "nearest": error.nearest}  # type: ignore[attr-defined]
                return _refuse(said, as_json)
            except click.exceptions.NoArgsIsHelpError as error:
                click.echo(error.ctx.get_help() if error.ctx else error.format_message())
                return 2
            except click.ClickException as error:
                return _refuse(_click_error(error), as_json)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            return 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader left: nothing more to say, not even at exit
            return 1
        except Exception as error:
            if os.environ.get("DERIVE_TRACEBACK"):
                raise
            words = " ".join(str(error).split())[:300]
            click.echo(f"internal error: {type(error).__name__}: {words} (DERIVE_TRACEBACK=1 shows where)", err=True)
            return 1
