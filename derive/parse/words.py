"""What is read: names and numbers of a text, its tokens and trees, and how much of each there may be."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp
from sympy import Rational

__all__ = [
    "MAX_DEGREE", "MAX_DEPTH", "MAX_DIGITS", "MAX_LENGTH", "MAX_NODES", "Token", "Tree", "nearest_name", "read_number",
    "shorten",
]


MAX_LENGTH = 2000
"""Characters of one expression."""
MAX_NODES = 400
"""Numbers, names, operations and calls of one expression."""
MAX_DEPTH = 40
"""Nesting of parentheses, calls, powers and signs."""
MAX_DIGITS = 4000
"""Decimal digits (numerator, denominator, exponent) of any number an expression contains or produces."""
MAX_DEGREE = 256
"""Degree of a power of something that contains a variable."""
MAX_BITS = int(MAX_DIGITS * 3.3219280948873626)
MAX_GAMMA = 1000

TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>\*\*|<=|>=|[-+*/^(),<>&|])"
)
PLAIN = re.compile(r"(?P<sign>[+-]?)(?P<num>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exp>[+-]?[0-9]+))?\Z")
REFUSED = {
    ".": "attribute access is not allowed",
    "=": "assignments and keyword arguments are not allowed",
    ":": "':' is not allowed here",
    "!": "factorials are not allowed, write gamma(n + 1)",
    ";": "one expression only",
    "#": "comments are not allowed",
    "\\": "backslashes are not allowed (LaTeX is not read)",
    **dict.fromkeys("[]", "subscripts and lists are not allowed"),
    **dict.fromkeys("{}", "braces are not allowed"),
    **dict.fromkeys("'\"`", "strings are not allowed"),
}
KEYWORDS = frozenset(keyword.kwlist)
INFINITE = {"oo": sp.oo, "inf": sp.oo, "infinity": sp.oo}
LONG = 60


def shorten(text: str, at: int | None = None) -> str:
    """The text quoted on one line, cut around a position where it is long.

    >>> shorten("a" * 100)[:8]
    "'aaaaaaa"
    """
    if len(text) > LONG:
        start = max(0, min((at or 0) - LONG // 2, len(text) - LONG))
        text = ("..." if start else "") + text[start:start + LONG] + ("..." if start + LONG < len(text) else "")
    return ascii(text)


def nearest_name(given: str, allowed: Sequence[str]) -> str | None:
    """The allowed name closest to the given one, or None where none is close.

    >>> nearest_name("colapse-time", ["collapse-time", "onset-time"])
    'collapse-time'
    """
    given = given[:64]
    by_folded = {name.lower(): name for name in allowed}
    found = difflib.get_close_matches(given.lower(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Tree:
    """head: 'number', 'name', 'neg', 'sum', 'product', 'divide', 'power', 'call', a relation, '&', '|', 'case'."""

    head: str
    at: int
    args: tuple[Tree, ...] = ()
    text: str = ""


def read_number(text: str) -> Rational | None:
    """The exact rational of a decimal literal; None where it has too many digits."""
    found = PLAIN.match(text)
    assert found is not None  # the tokenizer lets nothing else through
    digits, exponent = found["num"], (found["exp"] or "0")
    if len(digits) > MAX_DIGITS or len(exponent) > 8 or len(digits) + abs(int(exponent)) > MAX_DIGITS:
        return None
    whole, _, fraction = digits.partition(".")
    power = int(exponent) - len(fraction)
    mantissa = int((whole + fraction) or "0") * (-1 if found["sign"] == "-" else 1)
    return Rational(mantissa * 10**power, 1) if power >= 0 else Rational(mantissa, 10**-power)
