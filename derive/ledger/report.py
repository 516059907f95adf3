"""Ledgers in words: plain text tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from derive.ledger.derivation import Ledger

__all__ = ["text_table"]


def text_table(ledger: Ledger, width: int = 110) -> str:
    """One line a step: label, rule, verdict, what was found; then the verdict of the whole."""
    rows = [(s.label, s.rule, ledger[s.label].verdict.name, ledger[s.label].detail) for s in ledger.derivation]
    sizes = [max(len(row[k]) for row in rows) for k in range(3)]
    room = max(width - sum(sizes) - 6, 20)
    lines = []
    for *head, detail in rows:
        shown = detail if len(detail) <= room else detail[: room - 3] + "..."
        lines.append("  ".join([*(h.ljust(n) for h, n in zip(head, sizes, strict=True)), shown]).rstrip())
    given = len(ledger.derivation.assumptions)
    condition = f", given {given} assumption{'s' * (given > 1)}" if given else ""
    lines.append(f"{ledger.derivation.name}: {ledger.verdict.name}{condition}")
    return "\n".join(lines)
