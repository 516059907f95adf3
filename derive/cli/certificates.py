"""A value with its proof: what `derive solve --certify` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from derive.cli.answer import SCHEMA
from derive.cli.errors import mistake
from derive.cli.request import read_request

if TYPE_CHECKING:
    from derive.certify import Certificate, SpectrumCertificate
    from derive.quantity import Quantity

__all__ = ["answer_certificate"]


def answer_certificate(
    quantity: Quantity, parameters: Sequence[str], options: dict[str, Any], as_json: bool
) -> int:
    """Print a value, or all that is read off a spectrum, with its proof; 1 where it could not be proven."""
    from derive.certify import MAX_DIGITS, SpectrumCertificate, certify, certify_spectrum
    from derive.core import Verdict

    digits = options["digits"] or 30
    if digits > MAX_DIGITS:
        mistake(f"--certify with --digits {digits}", given=str(digits), allowed=f"at most {MAX_DIGITS} digits")
    request = read_request(quantity, parameters, {**options, "digits": digits})
    if request.shape or request.unknown is not None or request.time != "t":
        given = " ".join(parameters)
        mistake("--certify proves one value, in t", given=given, allowed="single parameters, no --for or --time")
    arguments: dict[str, Any] = {k: v.item() if hasattr(v, "item") else v for k, v in request.arguments().items()}
    prove = certify_spectrum if request.quantity.kind == "Spectrum" else certify
    found = prove(request.quantity, digits, **arguments)
    at = ", ".join(f"{k} = {v}" for k, v in arguments.items())
    proven = found.verdict is Verdict.CERTIFIED
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "quantity": quantity.name, "at": at, **found.to_dict()}, indent=2))
        return 0 if proven else 1
    click.echo(f"{quantity.name}: {quantity.title}, {quantity.ensemble.title}, at {at}")
    if isinstance(found, SpectrumCertificate):
        _show_spectrum(found)
    else:
        _show([("verdict", found.verdict.name), *_rows(quantity.symbol.name, found)])
    return 0 if proven else 1


def _show_spectrum(found: SpectrumCertificate) -> None:
    """What was proven of the whole, then every value with its ends."""
    rows = [("verdict", found.verdict.name), ("how many", found.counted)]
    if found.digits:
        rows.append(("digits", f"{found.digits} proven"))
    rows += [(f"bracket of {k}", f"({low}, {high})") for k, (low, high) in found.brackets.items()]
    rows += [("existence", found.existence), ("uniqueness", found.uniqueness)]
    if found.obstacle:
        rows.append(("not proven", found.obstacle))
    _show(rows)
    for name, row in found.values.items():
        lines = [(entry, f"{k.value}  in [{k.lower}, {k.upper}]" if k.digits else k.value) for entry, k in row.items()]
        if "" in row:
            click.echo(f"{name}: {lines[0][1]}")
        else:
            click.echo(f"{name}:")
            _show(lines)


def _rows(symbol: str, found: Certificate) -> list[tuple[str, str]]:
    """The lines of one certificate: a title and its words."""
    from derive.core import Verdict

    rows = [(symbol, found.value)]
    if found.log_value != "nan":
        rows.append((f"log {symbol}", found.log_value))
    if found.verdict is Verdict.CERTIFIED:
        rows += [("digits", f"{found.digits} proven"), ("between", found.lower), ("and", found.upper)]
    rows.append(("branch", found.branch))
    rows += [(f"bracket of {k}", f"({low}, {high})") for k, (low, high) in found.brackets.items()]
    rows += [("existence", found.existence), ("uniqueness", found.uniqueness)]
    if found.obstacle:
        rows.append(("not proven", found.obstacle))
    return rows


def _show(rows: Sequence[tuple[str, str]]) -> None:
    wide = max(len(k) for k, _ in rows)
    for key, words in rows:
        click.echo(f"  {key.ljust(wide)}  {words}")
