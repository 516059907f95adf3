"""derive limit: the question in words, the expansion as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from derive.cli.answer import SCHEMA
from derive.cli.display import table
from derive.cli.errors import mistake, nearest

if TYPE_CHECKING:
    from derive.core import Expansion
    from derive.quantity import Quantity

__all__ = ["ask", "over_of", "show_limit"]

WORDS = {"+": "from above", "-": "from below", "+-": "from both sides"}


def ask(quantity: Quantity, words: Sequence[str], over: Quantity | str | None, options: Mapping[str, Any]) -> Expansion:
    """The expansion that the words of the command line ask for; the first PARAM=POINT moves, the others are given."""
    moving, *given = [_assignment(w) for w in words]
    name, point = moving
    quantity = quantity.given(name, *(k for k, _ in given))
    where = [_relation(quantity, f"{k} = {v}") for k, v in given]
    where += [_relation(quantity, text) for text in options["where"]]
    parameter = quantity.parameter(name)
    direction = options["direction"]
    place = point if point.replace("lambda", "lam") in _unknowns(quantity) else _number(point)
    if direction is None:
        inner = place not in (parameter.domain.start, parameter.domain.end)
        direction = "+-" if inner else "+"
    symbols = {k: p.symbol for p in quantity.parameters for k in (p.name, p.symbol.name)}
    return quantity.limit(
        name,
        place,
        direction=direction,
        order=options["order"],
        hold=dict(_held(text, symbols) for text in options["hold"]),
        where=where,
        over=_expression(over, symbols, "--over") if isinstance(over, str) else over,
        of=options["of"],
        seconds=options["seconds"],
    )


def _unknowns(quantity: Quantity) -> set[str]:
    """The names of unknowns that a parameter may approach: lam_*."""
    return {s.unknown.name.replace("lambda", "lam") for s in quantity.problem.stages}


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = (k.strip() for k in text.partition("="))
    if not equals or not name or not value:
        mistake(f"{text!r} is not PARAM=POINT", given=text, allowed="PARAM=POINT, such as alpha_D=0 or lam=oo")
    return name, value


def _number(text: str) -> Any:
    """A point: a number, oo or -oo."""
    import sympy as sp

    from derive.parse import parse_constant

    ends = {"oo": sp.oo, "+oo": sp.oo, "inf": sp.oo, "-oo": -sp.oo, "-inf": -sp.oo}
    return ends[text.lower()] if text.lower() in ends else parse_constant(text, what="the point")


def _expression(text: str, symbols: Mapping[str, Any], what: str) -> Any:
    from derive.parse import parse_expression

    return parse_expression(text, symbols, what=what)


def _held(text: str, symbols: Mapping[str, Any]) -> tuple[str, Any]:
    name, value = _assignment(text)
    return name, _expression(value, symbols, "--hold")


def _relation(quantity: Quantity, text: str) -> Any:
    from derive.parse import parse_relation

    symbols = {k: p.symbol for p in quantity.parameters for k in (p.name, p.symbol.name)}
    name = text.partition("=")[0].strip()
    if "=" in text and name.isidentifier() and name not in symbols and not any(k in text for k in "<>"):
        quantity.parameter(name)
    return parse_relation(text, symbols, what="--where")


def over_of(atlas: Mapping[str, Quantity], text: str, ensemble: Any) -> Quantity | str:
    """The other quantity by name, with the same ensemble, or an expression in the parameters."""
    if text in atlas:
        return atlas[text].with_(ensemble=ensemble) if ensemble is not None else atlas[text]
    if text.replace("-", "").isalpha() and "-" in text:
        near = nearest(text, list(atlas))
        mistake(f"no quantity is named {text!r}", given=text, allowed=", ".join(atlas), nearest=near)
    return text


def show_limit(quantity: Quantity, found: Expansion, as_json: bool) -> int:
    """Print the expansion; 1 where it is REFUTED or UNDECIDED, or where the two sides of a point differ."""
    status = 0 if found.verdict.sound and not found.reason else 1
    if as_json:
        plain = {"schema": SCHEMA, "quantity": quantity.name, "options": dict(quantity.options), **found.to_dict()}
        click.echo(json.dumps(plain, indent=2))
        return status
    where = f"{found.variable} -> {found.point}" + ("" if found.point.is_infinite else f" {WORDS[found.direction]}")
    click.echo(f"{found.subject} as {where}: {quantity.title}, {quantity.ensemble.title}")
    for case in found.cases or (found,):
        if case.assumptions:
            click.echo(f"\nfor {', '.join(_plain(a) for a in case.assumptions)}:")
        _show_case(case)
    if found.cases and found.reason:
        click.echo(f"\n{found.reason}")
    click.echo(f"\n{found.verdict.name}, {found.seconds:.1f} s; source: {'; '.join(map(str, quantity.citations))}")
    return status


def _plain(assumption: Any) -> str:
    from sympy import Eq

    return f"{assumption.lhs} = {assumption.rhs}" if isinstance(assumption, Eq) else str(assumption)


def _show_case(case: Expansion) -> None:
    if case.limit is None:
        click.echo(f"  no answer: {case.reason}")
        return
    rows = [("limit", str(case.limit))]
    for i, term in enumerate(case.terms):
        rows.append(("leading" if i == 0 else f"term {i}", _product(term)))
    if not case.terms:
        rows.append(("terms", "0, exactly"))
    if case.closed is not None:
        rows.append(("in all orders", str(case.closed)))
    rows.append(("remainder", "none" if case.remainder is None else f"O({case.remainder})"))
    if case.exponential is not None:
        rows.append(("exponential", _product(case.exponential)))
    rows += [("where", _plain(equation)) for _, equation in case.definitions]
    rows += [("balance", words) for words in case.balance]
    rows += [(w.name, f"{w.verdict.name}: {w.detail}") for w in case.witnesses]
    table(("", ""), rows)


def _product(term: Any) -> str:
    if term.scale == 1:
        return str(term.coefficient)
    if term.coefficient == 1:
        return str(term.scale)
    return f"({term.coefficient}) * " + (f"({term.scale})" if _signed(term.scale) else str(term.scale))


def _signed(scale: Any) -> bool:
    """Whether a scale needs brackets behind a factor."""
    return bool(scale.is_Add or scale.could_extract_minus_sign())
