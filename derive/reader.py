r"""A reader's own derivation: a Markdown page with definitions, steps and assumptions, checked and never executed.

The page is MyST Markdown; what counts are its fenced blocks, everything else is prose:

    ```{symbols}
    x: real
    beta: positive
    q: (0, 1)
    F(q): function
    ```

    ```{definition} energy
    F(q) = q^2/2
    ```

    ```{step} slope
    :rule: differentiate
    :from: energy
    :text: the force
    diff(F(q), q) = q
    ```

    ```{assumption} large-n
    The energy is self-averaging.
    ```

A step names its rule (derive.ledger.RULES) and, with `:from:`, the earlier steps it may use. `:on:` adds relations to
the domain, `:put:` values for symbols (`x = 1, y = 2*x`), `:source:` a citation, `:text:` words for the reader. An
assumption or a cited theorem (`{theorem}`) is a sentence, or a relation where it has one of the signs = < >. Claims go
through the allow-list of derive.parse, or are LaTeX as derive.latex_input reads it: a body with a backslash in it,
bare, between $$, or in a ```latex or ```{math} block inside a block of more backticks. Several rows make a step each,
named by their \label or label-1, label-2. Blocks of other kinds, code cells among them, are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sympy import Dummy, Eq, Expr, Interval, Rel, Symbol, oo

from derive.core import DeriveError, Domain, Step
from derive.latex_input import parse_latex
from derive.ledger import Derivation
from derive.ledger.poles import divided_by
from derive.parse import Claim, nearest_name, parse_claim, parse_constant
from derive.saved import load

__all__ = ["Page", "read_file", "read_page"]

MAX_BYTES = 1_000_000
KINDS = ("symbols", "definition", "assumption", "theorem", "step")
OPTIONS = ("rule", "from", "on", "put", "source", "text")

_OPEN = re.compile(
    r"(?P<indent> {0,3})(?P<fence>`{3,}|~{3,}|:{3,})[ \t]*\{[ \t]*(?P<kind>[\w-]+)[ \t]*\}[ \t]*(?P<label>.*)$")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,}|:{3,})(?P<rest>.*)$")
_OPTION = re.compile(r":(?P<name>[\w-]+):[ \t]*(?P<value>.*)$")
_LABEL = re.compile(r"[A-Za-z][\w.-]{0,79}")
_SIGNS = {"real": {"real": True}, "positive": {"positive": True}, "negative": {"negative": True},
          "integer": {"integer": True}}


@dataclass(frozen=True)
class Page:
    """A page that was read: the derivation, and at which line each step stands."""

    derivation: Derivation
    lines: Mapping[str, int]


@dataclass
class _Block:
    kind: str
    label: str
    line: int
    options: dict[str, tuple[str, int]] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)
    start: int = 0


@dataclass
class _Names:
    """What a page has declared so far."""

    symbols: dict[str, Expr] = field(default_factory=dict)
    intervals: dict[Symbol, Interval] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)


def read_page(source: str | Path, name: str | None = None) -> Page:
    """The derivation that stands on a page.

    Args: source (a path, or the text itself where it has more than one line); name (of the derivation; else the
    file's).
    Raises: DeriveError of one line with the line number: an unknown kind of option, rule or label, a premise that is
    circular or comes later, a step without a rule, a claim outside the allow-list, a page without steps.

    >>> lines = ["```{symbols}", "x: real", "```", "```{step} half", ":rule: identity", "x/2 + x/2 = x", "```"]
    >>> read_page("\\n".join(lines)).derivation.check().verdict.name
    'PROVED'
    """
    text, title = _text(source)
    title = name or title
    names, steps = _Names(), []
    lines: dict[str, int] = {}
    for block in _blocks(text):
        if block.kind == "symbols":
            _declare(block, names)
            continue
        for step, line in _steps(block, names, lines):
            lines[step.label] = line
            steps.append(step)
    if not steps:
        raise DeriveError(f"{title}: the page has no steps", given=title, allowed="blocks such as ```{step} label")
    order = [s.label for s in steps]
    for at, step in enumerate(steps):
        for premise in step.premises:
            if premise not in lines:
                near = nearest_name(premise, order)
                _fail(lines[step.label], f"step {step.label!r} stands on {premise!r}, which is no step of this page",
                      premise, "earlier steps", near)
            if order.index(premise) >= at:
                circular = premise == step.label or _reaches(steps, premise, step.label)
                what = "circular" if circular else "a later step"
                _fail(lines[step.label], f"step {step.label!r} stands on {premise!r}, which is {what}",
                      premise, "earlier steps")
    return Page(Derivation(title, _heading(text) or title, tuple(steps)), lines)


def read_file(path: str | Path) -> Page:
    """The derivation of a file: a saved one where the name ends in .json, else a page.

    Raises: DeriveError of one line, as `read_page` and derive.saved.load do.
    """
    place = Path(path)
    if place.suffix.lower() != ".json":
        return read_page(place)
    derivation = load(place)
    written = place.read_text("utf-8").splitlines()
    marks = {label: f'"label": {json.dumps(label)}' for label in derivation.labels}
    return Page(derivation, {label: next((k for k, line in enumerate(written, 1) if mark in line), 1)
                             for label, mark in marks.items()})


def _text(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str) and "\n" in source:
        return source, "page"
    path = Path(source)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DeriveError(f"{path} has more than {MAX_BYTES} bytes", given=str(path), allowed="a smaller page")
        raw = path.read_bytes()
        return raw.decode("utf-8-sig").replace("\r\n", "\n"), path.stem
    except UnicodeDecodeError as error:
        line = 1 + error.object[:error.start].count(b"\n")
        raise DeriveError(
            f"{path}: line {line} is not UTF-8 text", given=str(path), allowed="a Markdown page") from None
    except OSError as error:
        raise DeriveError(
            f"{path} cannot be read: {error.strerror}", given=str(path), allowed="a Markdown page") from None


def _fail(line: int, reason: str, given: str, allowed: str, nearest: str | None = None) -> Any:
    hint = f"; did you mean {nearest!r}?" if nearest else ""
    raise DeriveError(f"line {line}: {reason}{hint}; allowed: {allowed}", given=given, allowed=allowed, nearest=nearest)


def _heading(text: str) -> str:
    found = re.search(r"^# +(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _blocks(text: str) -> Iterator[_Block]:
    """The blocks of the page that count, in order; a fence of another kind hides what is inside it."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opened, any_fence = _OPEN.match(lines[at]), _FENCE.match(lines[at])
        if any_fence is None:
            at += 1
            continue
        fence = any_fence["fence"]
        end = next((k for k in range(at + 1, len(lines))
                    if (m := _FENCE.match(lines[k])) and m["fence"].startswith(fence) and not m["rest"].strip()), None)
        counts = opened is not None and opened["kind"] in KINDS
        if end is None:
            if counts:
                _fail(at + 1, f"the block {lines[at].strip()!r} is not closed", lines[at].strip(), f"a line {fence!r}")
            return
        if counts and opened is not None:
            yield _read_block(opened["kind"], opened["label"].strip(), lines, at, end)
        elif opened is not None and (near := nearest_name(opened["kind"], KINDS)) and near != opened["kind"]:
            _fail(at + 1, f"a block of the unknown kind {opened['kind']!r}", opened["kind"], ", ".join(KINDS), near)
        at = end + 1


def _read_block(kind: str, label: str, lines: list[str], at: int, end: int) -> _Block:
    block = _Block(kind, label, at + 1)
    k = at + 1
    while k < end and (option := _OPTION.match(lines[k].strip())):
        name = option["name"]
        if name not in OPTIONS:
            _fail(k + 1, f"an option {name!r}", name, ", ".join(OPTIONS), nearest_name(name, OPTIONS))
        if name in block.options:
            _fail(k + 1, f"the option {name!r} is given twice", name, "each option once")
        block.options[name] = (option["value"].strip(), k + 1)
        k += 1
    block.start = k + 1
    block.body = lines[k:end]
    return block


def _declare(block: _Block, names: _Names) -> None:
    for k, raw in enumerate(block.body, block.start):
        line = raw.split("#")[0].strip()
        if not line:
            continue
        left, colon, right = (part.strip() for part in line.partition(":"))
        form = "NAME: real | positive | negative | integer | (a, b) | [a, b], or NAME(x, ...): function"
        function = re.fullmatch(r"([A-Za-z_]\w*)\(([^()]*)\)", left)
        if not colon or not right:
            _fail(k, f"a declaration {line!r}", line, form)
        if right == "function":
            if not function or not function[2].strip():
                _fail(k, f"a function declared as {left!r}", left, "NAME(x, ...): function")
            assert function is not None
            names.functions[function[1]] = len(function[2].split(","))
            continue
        if not re.fullmatch(r"[A-Za-z_]\w*", left) or left in names.symbols or left in names.functions:
            _fail(k, f"a symbol {left!r}, which is no name or is declared already", left, form)
        names.symbols[left] = symbol = _symbol(left, right, k, names)
        assert isinstance(symbol, Symbol)


def _symbol(name: str, kind: str, line: int, names: _Names) -> Symbol:
    if kind in _SIGNS:
        symbol = Symbol(name, **_SIGNS[kind])
        ends = {"positive": Interval.open(0, oo), "negative": Interval.open(-oo, 0)}
        names.intervals[symbol] = ends.get(kind, Interval(-oo, oo))
        return symbol
    found = re.fullmatch(r"([(\[])\s*([^,]+?)\s*,\s*([^,]+?)\s*([)\]])", kind)
    if not found:
        near = nearest_name(kind, list(_SIGNS))
        _fail(line, f"{name} is declared as {kind!r}", kind, "real, positive, negative, integer, (a, b), [a, b]", near)
    assert found is not None
    low, high = (_end(text, line) for text in (found[2], found[3]))
    if not low < high:
        _fail(line, f"the interval {kind} of {name} is empty", kind, "(a, b) with a < b")
    assumed = {"positive": True} if low >= 0 and (low > 0 or found[1] == "(") else (
        {"nonnegative": True} if low >= 0 else {"real": True})
    symbol = Symbol(name, **assumed)
    names.intervals[symbol] = Interval(low, high, found[1] == "(" or low == -oo, found[4] == ")" or high == oo)
    return symbol


def _end(text: str, line: int) -> Expr:
    if text in ("oo", "+oo", "-oo"):
        return -oo if text == "-oo" else oo
    try:
        return parse_constant(text, what=f"line {line}: end of an interval")
    except DeriveError as error:
        raise DeriveError(str(error), given=text, allowed=error.allowed, nearest=error.nearest) from None


def _relation(text: str, line: int, names: _Names) -> Rel:
    return _claim(text, line, names).relation


def _claim(text: str, line: int, names: _Names) -> Claim:
    return parse_claim(text, names.symbols, names.functions, what=f"line {line}")


def _steps(block: _Block, names: _Names, known: Mapping[str, int]) -> list[tuple[Step, int]]:
    """The step of a block, or the steps of a block of several rows, each with its line."""
    label = block.label
    if not _LABEL.fullmatch(label):
        _fail(block.line, f"the label {label!r} of a {block.kind}", label, "a name such as saddle-point")
    rule = _rule(block)
    written = [(k, line) for k, line in enumerate(block.body, block.start) if line.strip()]
    if not written:
        _fail(block.line, f"{block.kind} {label!r} claims nothing", label, "a relation or a sentence")
    claims: list[tuple[str, int, Claim | str]]
    if any("\\" in line or "$$" in line for _, line in written):
        rows = parse_latex(_unfenced(block), names.symbols, names.functions, what="claim", first=block.start)
        claims = [(label, block.line, Claim(row.claim, row.left, row.right)) if len(rows) == 1
                  else (row.label or f"{label}-{k}", row.line, Claim(row.claim, row.left, row.right))
                  for k, row in enumerate(rows, 1)]
    else:
        body = " ".join(line.strip() for _, line in written)
        mathematical = rule not in ("assumption", "theorem") or re.search(r"[=<>]", body)
        claims = [(label, block.line, _claim(body, written[0][0], names) if mathematical else body)]
    constraints, hints = _narrowed(block, names)
    premises = tuple(p.strip() for p in block.options.get("from", ("", 0))[0].split(",") if p.strip())
    source, text = (block.options.get(name, ("", 0))[0] for name in ("source", "text"))
    found: list[tuple[Step, int]] = []
    taken = dict(known)
    for name, line, read in claims:
        if not _LABEL.fullmatch(name):
            _fail(line, f"the label {name!r} of a row", name, "a name such as saddle-point")
        if name in taken:
            _fail(line, f"the label {name!r} is taken at line {taken[name]}", name, "one block a label")
        taken[name] = line
        claim = read if isinstance(read, str) else read.relation
        divided = () if isinstance(read, str) else divided_by(read.left, read.right)
        used = set().union(*(c.free_symbols for c in (*constraints, *([] if isinstance(claim, str) else [claim]))))
        intervals = tuple((s, i) for s, i in names.intervals.items() if s in used or premises)
        step = Step(name, claim, rule, premises, Domain(intervals, constraints), source, text,
                    (*hints, *divided))
        found.append((step, line))
    return found


def _unfenced(block: _Block) -> str:
    """The body without the lines that open, describe and close a block of LaTeX inside it; line numbers stay."""
    fence = re.compile(r"\s*(?:`{3,}|~{3,}|:{3,})(?:latex|tex|math|\{math\})?\s*|\s*:[\w-]+:.*")
    return "\n".join("" if fence.fullmatch(line) else line for line in block.body)


def _narrowed(block: _Block, names: _Names) -> tuple[tuple[Rel, ...], tuple[tuple[Any, Any], ...]]:
    """What `:on:` adds to the domain, and what `:put:` puts in place of symbols."""
    constraints: list[Rel] = []
    hints: list[tuple[Any, Any]] = []
    if "on" in block.options:
        text, line = block.options["on"]
        constraints = [_relation(part, line, names) for part in _split(text)]
    if "put" in block.options:
        text, line = block.options["put"]
        for part in _split(text):
            pair = _relation(part, line, names)
            if not isinstance(pair, Eq) or not isinstance(pair.lhs, Symbol | Dummy):
                _fail(line, f"a value put as {part!r}", part, "SYMBOL = value")
            hints.append((pair.lhs, pair.rhs))
    return tuple(constraints), tuple(hints)


def _rule(block: _Block) -> str:
    from derive.ledger.rules import RULES

    if block.kind != "step":
        if "rule" in block.options:
            rule, line = block.options["rule"]
            _fail(line, f"a {block.kind} with a rule", rule, "a rule in steps only")
        return block.kind
    if "rule" not in block.options:
        _fail(block.line, f"step {block.label!r} names no rule", block.label, ":rule: and one of " + ", ".join(RULES))
    rule, line = block.options["rule"]
    if rule not in RULES:
        _fail(line, f"the rule {rule!r} of step {block.label!r} is unknown", rule, ", ".join(RULES),
              nearest_name(rule, list(RULES)))
    return rule


def _split(text: str) -> list[str]:
    """The parts between commas that stand outside parentheses."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [p.strip() for p in parts if p.strip()]


def _reaches(steps: list[Step], start: str, goal: str) -> bool:
    by_label = {s.label: s for s in steps}
    waiting, seen = [start], set()
    while waiting:
        label = waiting.pop()
        if label == goal:
            return True
        if label not in seen and label in by_label:
            seen.add(label)
            waiting.extend(by_label[label].premises)
    return False
