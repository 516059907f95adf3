"""Derivations, ledgers and equations as a page shows them: read from the objects, never retyped.

Everything here returns a small object with `_repr_markdown_`, which notebooks and the book render, and `str` for a
terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sympy import Add, And, Basic, Eq, Expr, latex

from derive.core import Step, Verdict
from derive.ledger import Ledger

if TYPE_CHECKING:
    from derive.quantity import Quantity

__all__ = ["Page", "counts", "equation", "notation", "steps"]

_KIND = {"definition": "definition", "assumption": "assumption", "theorem": "cited theorem"}


@dataclass(frozen=True)
class Page:
    """A piece of a page, in Markdown with LaTeX."""

    markdown: str

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __str__(self) -> str:
        return self.markdown


def steps(ledger: Ledger, labels: Iterable[str] | None = None) -> Page:
    """The steps of a checked derivation: claim, sentence, rule, premises, verdict and what the rule found.

    Args: ledger; labels of the steps to show, in the order of the derivation (all of them by default).
    Raises: DeriveError for a label that the derivation does not have.
    """
    wanted = list(ledger.derivation.labels) if labels is None else [ledger.derivation[k].label for k in labels]
    numbers = {label: i for i, label in enumerate(ledger.derivation.labels, 1)}
    blocks = [_step(ledger.derivation[k], ledger, numbers) for k in ledger.derivation.labels if k in wanted]
    return Page("\n\n".join(blocks))


def _step(step: Step, ledger: Ledger, numbers: dict[str, int]) -> str:
    evidence = ledger[step.label]
    verdict = evidence.verdict
    what = _KIND.get(step.rule, f"rule *{step.rule}*")
    premises = f", from {', '.join(f'({numbers[p]}) {p}' for p in step.premises)}" if step.premises else ""
    head = f"**({numbers[step.label]}) {step.label}** {_badge(verdict)} {what}{premises}"
    claim = f"> {step.claim}" if isinstance(step.claim, str) else f"$$\n{claim_latex(step.claim)}\n$$"
    detail = "" if verdict is Verdict.ASSUMED else f"\n\n<small>{_plain(evidence.detail)}</small>"
    return f"{head}<br>{step.text}\n\n{claim}{detail}"


def _badge(verdict: Verdict) -> str:
    return f'<span class="verdict {verdict.name.lower()}">{verdict.name}</span>'


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("$", "\\$").replace("<", "&lt;")


#: about how many signs fit on a line of a page
_LINE = 54


def claim_latex(claim: Basic) -> str:
    """A claim in LaTeX; one line for each part of a conjunction, and long equations and sums broken."""
    if isinstance(claim, And):
        lines = [line for part in claim.args for line in _claim_lines(part)]
    else:
        lines = _claim_lines(claim)
    if len(lines) == 1:
        return lines[0].removeprefix("& ")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _claim_lines(claim: Basic) -> list[str]:
    """The lines of one relation, each with its mark of alignment; broken before the sign where both sides are long."""
    if not isinstance(claim, Eq):
        return [f"& {latex(claim)}"]
    left, right = _side(claim.lhs), _side(claim.rhs)
    if len(left) == len(right) == 1 and not (
            _glyphs(left[0]) + _glyphs(right[0]) > _LINE and _glyphs(right[0]) > _LINE // 4):
        return [f"& {left[0]} = {right[0]}"]
    if len(left) == 1 and _glyphs(left[0]) <= _LINE // 4:
        first, *rest = right
        return [f"& {left[0]} = {first}", *(rf"& \qquad {k}" for k in rest)]
    first, *rest = right
    return [*(f"& {k}" for k in left), rf"& \quad = {first}", *(rf"& \qquad {k}" for k in rest)]


def _side(e: Expr) -> list[str]:
    """One side of an equation; a long sum on several lines, a number of terms on each."""
    whole = str(latex(e))
    if not isinstance(e, Add) or _glyphs(whole) <= _LINE:
        return [whole]
    lines: list[str] = []
    for term in e.as_ordered_terms():
        text = str(latex(term))
        signed = text if text.startswith("-") else f"+ {text}"
        if lines and _glyphs(lines[-1]) + _glyphs(signed) <= _LINE:
            lines[-1] += f" {signed}"
        else:
            lines.append(signed)
    return [lines[0].removeprefix("+ "), *lines[1:]]


def _glyphs(tex: str) -> int:
    """About how many signs a reader sees: a command counts as one, sizes, spaces and braces as none."""
    visible = re.sub(r"\\(left|right|limits|quad|[,;!])(?![a-zA-Z])", "", tex)
    return len(re.sub(r"[{}_^\s]", "", re.sub(r"\\[a-zA-Z]+", "x", visible)))


def equation(quantity: Quantity) -> Page:
    """The defining equation of a quantity, its parameters and where it comes from."""
    lines = [f"$$\n{claim_latex(quantity.equation)}\n$$", "", "| parameter | meaning | domain |", "|---|---|---|"]
    lines += [f"| ${latex(p.symbol)}$ (`{p.name}`) | {p.meaning} | ${latex(p.domain)}$ |" for p in quantity.parameters]
    cited = "; ".join(map(str, quantity.citations))
    return Page("\n".join([*lines, "", f"`{quantity.name}`: {quantity.title}, {quantity.ensemble.title} ({cited})."]))


def counts(ledgers: Sequence[Ledger]) -> Page:
    """How many steps have which verdict, a row a derivation, and what is not PROVED with the reason."""
    order = sorted(Verdict, key=lambda v: (v is Verdict.ASSUMED, -v.value))
    head = ["derivation", *(v.name for v in order), "proved of checked"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for ledger in ledgers:
        row = [
            ledger.derivation.name,
            *(str(ledger.counts[v.name]) for v in order),
            f"{100 * ledger.proved_share:.0f} %",
        ]
        lines.append("| " + " | ".join(row) + " |")
    for ledger in ledgers:
        for label, evidence in ledger.exceptions.items():
            lines += [
                "",
                f"- `{ledger.derivation.name}`, step *{label}*: {evidence.verdict.name}. {_plain(evidence.detail)}",
            ]
    return Page("\n".join(lines))


def notation() -> Page:
    """The alphabet as a table: symbol, meaning, unit, and the letters of the papers."""
    from derive.symbols import ALPHABET

    keys = sorted({key for e in ALPHABET.values() for key, _ in e.papers})
    lines = ["| symbol | typed as | meaning | unit | " + " | ".join(keys) + " |", "|" + "---|" * (4 + len(keys))]
    for e in ALPHABET.values():
        typed = e.aliases[0] if e.aliases else e.symbol.name
        own = dict(e.papers)
        papers = " | ".join(f"${own[k]}$" if k in own else "" for k in keys)
        lines.append(f"| ${latex(e.symbol)}$ | `{typed}` | {e.meaning} | {e.unit} | {papers} |")
    return Page("\n".join(lines))
