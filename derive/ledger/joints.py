"""Points at which functions of pieces go from one piece to another: where a claim may fail at a single point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from sympy import Expr, Rational, Symbol

from derive.core import Domain
from derive.ledger.one_symbol import KINKS, switches
from derive.ledger.poles import rational_zeros

__all__ = ["joints"]

_EACH = 6


def joints(exprs: Sequence[Expr], domain: Domain) -> Iterator[dict[Symbol, Rational]]:
    """Rational points of a domain at which an absolute value, sign, step, maximum or case of some expression switches.

    >>> from sympy import sign
    >>> x = Symbol("x", real=True)
    >>> list(joints([sign(x - 3)], Domain()))
    [{x: 3}]
    """
    symbols = {s for e in exprs for s in e.free_symbols if isinstance(s, Symbol)}
    seen: set[Expr] = set()
    for e in exprs:
        for node in sorted(e.atoms(*KINKS), key=str):
            for switch in switches(node):
                if switch in seen or not switch.free_symbols or switch.has(*KINKS):
                    continue
                seen.update((switch, -switch))
                found: list[dict[Symbol, Rational]] = []
                for point in islice(rational_zeros(switch, tuple(symbols), domain), _EACH):
                    if dict(point) not in found and all(not s.is_integer or v.is_integer for s, v in point.items()):
                        found.append(dict(point))
                yield from found
