"""Derivations as JSON: written, read back exactly, never evaluated as text.

A file holds one derivation: its schema version, name, title and steps, one a line. Expressions are trees of arrays
whose first entry is the name of a node::

    5                                   an integer
    ["Rational", 1, 2]                  a fraction
    ["Symbol", "t", {"positive": true}] a symbol with its assumptions
    ["Apply", "zeta", {"real": true}, x]    a function of which nothing is known, applied
    ["Add", a, b, ...]                  any other node of the allow-list, with its arguments
    "a sentence"                        a claim in words

Names of nodes come from an allow-list (SymPy's elementary nodes, those of derive.nodes, and UniqueRoot); every other
name is refused. A node is built from its arguments as they stand, without evaluation where SymPy has any.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import sympy as sp
from sympy import Basic, Dummy, Symbol
from sympy.core.function import AppliedUndef, UndefinedFunction
from sympy.core.symbol import Str
from sympy.functions.elementary.piecewise import ExprCondPair

from derive.core import DeriveError, Domain, Step, UniqueRoot
from derive.ledger import Derivation
from derive.nodes import BoundSymbol
from derive.parse import nearest_name, shorten
from derive.parse.words import MAX_DIGITS

__all__ = ["SCHEMA", "from_json", "load", "save", "to_json"]

#: version of the files that this module writes, and the only one that it reads
SCHEMA = 1
FORMAT = "derivation"
MAX_BYTES = 16_000_000
MAX_NODES = 400_000
"""Nodes of all expressions of one file."""
MAX_DEPTH = 120
"""Nesting of one expression."""
MAX_NAME = 80
_MAX_BITS = int(MAX_DIGITS * 3.3219280948873626)
_MAX_GAMMA = 1000

_EVALUATING = (
    "Add Mul Pow exp log sin cos tan cot sec csc asin acos atan sinh cosh tanh coth sech csch asinh acosh atanh erf "
    "erfc erfi erfinv gamma loggamma polygamma digamma polylog zeta LambertW Abs sign Heaviside Max Min Piecewise "
    "floor ceiling re im conjugate factorial binomial And Or Not Equality Unequality StrictLessThan LessThan "
    "StrictGreaterThan GreaterThan Derivative Integral Sum Product"
)
_PLAIN = (
    "Tuple Interval FiniteSet Union Lambda Subs Limit ImmutableDenseMatrix Determinant Trace DiracDelta KroneckerDelta"
)
_CONSTANTS: Mapping[str, Basic] = {
    "pi": sp.pi, "E": sp.E, "I": sp.I, "oo": sp.oo, "-oo": -sp.oo, "zoo": sp.zoo, "EulerGamma": sp.EulerGamma,
    "Catalan": sp.Catalan, "true": sp.true, "false": sp.false, "Reals": sp.S.Reals, "Integers": sp.S.Integers,
    "EmptySet": sp.S.EmptySet,
}
_ASSUMPTIONS = (
    "real positive negative nonnegative nonpositive zero nonzero integer rational finite complex commutative "
    "extended_real extended_positive extended_negative extended_nonnegative extended_nonpositive extended_nonzero even "
    "odd prime composite hermitian antihermitian imaginary infinite irrational algebraic transcendental noninteger "
    "polar"
)
_NAMES = {value: name for name, value in _CONSTANTS.items()}
_FIELDS = {"label", "claim", "rule", "premises", "domain", "source", "text", "hints"}


@lru_cache(maxsize=1)
def _heads() -> Mapping[str, Callable[..., Basic]]:
    """The allow-list: the name of a node and how it is built from its arguments."""
    from derive import nodes

    def bare(node: Any) -> Callable[..., Basic]:
        return lambda *args: node(*args, evaluate=False)

    found: dict[str, Callable[..., Basic]] = {name: bare(getattr(sp, name)) for name in _EVALUATING.split()}
    found |= {name: getattr(sp, name) for name in _PLAIN.split()}
    found |= {"ExprCondPair": ExprCondPair, "UniqueRoot": UniqueRoot}
    for name in nodes.__all__:
        node = getattr(nodes, name)
        if isinstance(node, type) and issubclass(node, Basic) and not issubclass(node, Symbol):
            found[name] = bare(node) if issubclass(node, sp.Function) else node
    return found


# -- writing ----------------------------------------------------------------------------------------------------------


def to_json(derivation: Derivation) -> str:
    """A derivation as the text of a file, one step a line.

    Raises: DeriveError where a step holds something that is no node of the allow-list.

    >>> from sympy import Eq, Symbol
    >>> x = Symbol("x", real=True)
    >>> d = Derivation("double", "Twice", (Step("double", Eq(x + x, 2*x, evaluate=False), "identity"),))
    >>> from_json(to_json(d)) == d
    True
    """
    write = _Writer(derivation.name)
    lines = ",\n".join("  " + json.dumps(write.step(step), ensure_ascii=True) for step in derivation)
    head = {"format": FORMAT, "schema": SCHEMA, "name": derivation.name, "title": derivation.title}
    fields = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items())
    return f"{{\n{fields},\n \"steps\": [\n{lines}\n ]\n}}\n"


def save(derivation: Derivation, path: str | Path, *, force: bool = False) -> Path:
    """Write a derivation to a file, whole or not at all.

    Args: derivation, path, force to replace an existing file.
    Raises: DeriveError where the file exists and force is not set, or cannot be written.
    """
    place, text = Path(path), to_json(derivation)
    if place.exists() and not force:
        raise DeriveError(f"{place} exists already", given=str(place), allowed="a new file, or force to replace it")
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, delete=False) as file:
            file.write(text)
        os.replace(file.name, place)
    except OSError as error:
        raise DeriveError(
            f"{place} cannot be written: {error.strerror}", given=str(place), allowed="a place to write to") from None
    return place


@dataclass
class _Writer:
    name: str
    dummies: dict[Dummy, int] = field(default_factory=dict)

    def step(self, step: Step) -> dict[str, Any]:
        domain = {"intervals": [[self.tree(s), self.tree(i)] for s, i in step.domain.intervals],
                  "constraints": [self.tree(c) for c in step.domain.constraints]}
        return {"label": step.label, "claim": self.tree(step.claim), "rule": step.rule,
                "premises": list(step.premises), "domain": domain, "source": step.source, "text": step.text,
                "hints": [[self.tree(key), self.tree(value)] for key, value in step.hints]}

    def tree(self, thing: Any) -> Any:
        if isinstance(thing, str):
            return thing
        if isinstance(thing, UndefinedFunction):
            return ["Function", thing.__name__, _essential(thing._kwargs)]
        if not isinstance(thing, Basic):
            raise DeriveError(f"{self.name} holds a {type(thing).__name__}, which no file can hold",
                              given=type(thing).__name__, allowed="SymPy expressions and text")
        if thing.is_Integer:
            return int(thing)
        if thing.is_Rational:
            return ["Rational", int(thing.p), int(thing.q)]
        if isinstance(thing, sp.Float):
            return ["Float", str(thing), int(thing._prec)]
        if thing in _NAMES:
            return [_NAMES[thing]]
        if isinstance(thing, Dummy):
            number = self.dummies.setdefault(thing, len(self.dummies))
            return ["Dummy", thing.name, _plain(thing._assumptions_orig), number]
        if isinstance(thing, Symbol):
            head = "BoundSymbol" if isinstance(thing, BoundSymbol) else "Symbol"
            return [head, thing.name, _plain(thing._assumptions_orig)]
        if isinstance(thing, Str):
            return ["Str", thing.name]
        args = [self.tree(a) for a in thing.args]
        if isinstance(thing, AppliedUndef):
            return ["Apply", type(thing).__name__, _essential(type(thing)._kwargs), *args]
        head = type(thing).__name__
        if head not in _heads():
            raise DeriveError(f"{self.name} holds the node {head}, which no file can hold", given=head,
                              allowed=", ".join(sorted(_heads())), nearest=nearest_name(head, list(_heads())))
        return [head, *args]


def _plain(assumptions: Mapping[str, Any]) -> dict[str, bool]:
    return {str(k): bool(v) for k, v in sorted(assumptions.items()) if v is not None}


def _essential(closure: Mapping[str, Any]) -> dict[str, bool]:
    """The assumption that all those of a function follow from, where there is one; else all of them."""
    stated = _plain(closure)
    for key in (k for k in ("integer", "positive", "negative", "nonnegative", "real", "complex") if stated.get(k)):
        if sp.Function("f", **{key: True})._kwargs == closure:
            return {key: True}
    return stated


# -- reading ----------------------------------------------------------------------------------------------------------


def load(path: str | Path) -> Derivation:
    """The derivation that a file holds.

    Raises: DeriveError of one line where the file cannot be read, has another schema version, or names a node, an
    assumption or a field outside the allow-list.
    """
    place = Path(path)
    try:
        if place.stat().st_size > MAX_BYTES:
            raise DeriveError(f"{place} has more than {MAX_BYTES} bytes", given=str(place), allowed="a smaller file")
        return from_json(place.read_text("utf-8"), what=str(place))
    except UnicodeDecodeError:
        raise DeriveError(f"{place} is not UTF-8 text", given=str(place), allowed="a JSON file") from None
    except OSError as error:
        raise DeriveError(
            f"{place} cannot be read: {error.strerror}", given=str(place), allowed="a JSON file") from None


def from_json(text: str, *, what: str = "derivation") -> Derivation:
    """The derivation that a text holds; `what` names it in messages.

    Raises: DeriveError as `load` does, and as Derivation does where the steps do not fit together.
    """
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            twice = next(k for k, _ in items if sum(k == other for other, _ in items) > 1)
            refuse(f"the field {twice!r} occurs twice", twice, "each field once")
        return found

    def refuse(reason: str, given: str, allowed: str, nearest: str | None = None) -> NoReturn:
        _refuse(what, reason, given, allowed, nearest)

    def constant(name: str) -> NoReturn:
        refuse(f"the number {name}", name, "whole numbers")

    try:
        data = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        refuse(f"line {error.lineno}, column {error.colno}: {error.msg}", "", "JSON")
    except RecursionError:
        refuse("it is nested too deep", "", f"at most {MAX_DEPTH} levels")
    except ValueError as error:
        if isinstance(error, DeriveError):
            raise
        refuse("a number with too many digits", "", f"numbers of at most {MAX_DIGITS} digits")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        refuse("this is no saved derivation", shorten(text[:40]), f'an object with "format": "{FORMAT}"')
    version = data.get("schema")
    if version != SCHEMA or isinstance(version, bool):
        refuse(f"schema version {json.dumps(version)}", json.dumps(version), f"schema version {SCHEMA}")
    wanted = {"format", "schema", "name", "title", "steps"}
    _fields(data, wanted, what)
    if not isinstance(data["steps"], list):
        refuse("the steps are no list", type(data["steps"]).__name__, "a list of steps")
    read = _Reader(what)
    steps = tuple(read.step(entry, k) for k, entry in enumerate(data["steps"], 1))
    name, title = (_text(data[k], what, k) for k in ("name", "title"))
    return Derivation(name, title, steps)


def _refuse(where: str, reason: str, given: str, allowed: str, nearest: str | None = None) -> NoReturn:
    hint = f"; did you mean {nearest!r}?" if nearest else ""
    raise DeriveError(f"{where}: {reason}{hint}; allowed: {allowed}", given=given, allowed=allowed, nearest=nearest)


def _fields(entry: Mapping[str, Any], wanted: set[str], where: str) -> None:
    for key in entry:
        if key not in wanted:
            near = nearest_name(key, sorted(wanted))
            _refuse(where, f"a field {shorten(key)}", key, ", ".join(sorted(wanted)), near)
    for key in sorted(wanted - set(entry)):
        _refuse(where, f"the field {key!r} is missing", key, ", ".join(sorted(wanted)))


def _text(value: Any, where: str, field_name: str) -> str:
    if not isinstance(value, str):
        _refuse(where, f"{field_name} is a {type(value).__name__}", str(value)[:40], "text")
    return value


@dataclass
class _Reader:
    """Trees to expressions; counts nodes, and knows the Dummies of the file by number."""

    what: str
    nodes: int = 0
    where: str = ""
    dummies: dict[int, Dummy] = field(default_factory=dict)

    def fail(self, reason: str, given: str, allowed: str, nearest: str | None = None) -> NoReturn:
        _refuse(f"{self.what}, {self.where}", reason, given, allowed, nearest)

    def step(self, entry: Any, number: int) -> Step:
        self.where = f"step {number}"
        if not isinstance(entry, dict):
            self.fail(f"a {type(entry).__name__} where a step is expected", str(entry)[:40], "an object")
        _fields(entry, _FIELDS, f"{self.what}, {self.where}")
        label, rule, source, text = (
            _text(entry[k], f"{self.what}, {self.where}", k) for k in ("label", "rule", "source", "text"))
        self.where = f"step {number} ({shorten(label)[1:-1]})"
        premises = entry["premises"]
        if not isinstance(premises, list) or not all(isinstance(p, str) for p in premises):
            self.fail("premises that are no list of labels", str(premises)[:40], "a list of labels")
        domain, hints = entry["domain"], entry["hints"]
        if not isinstance(domain, dict):
            self.fail("a domain that is no object", str(domain)[:40], "intervals and constraints")
        _fields(domain, {"intervals", "constraints"}, f"{self.what}, {self.where}, domain")
        claim = entry["claim"]
        read = claim if isinstance(claim, str) else self.basic(claim)
        intervals = tuple(self.pair(p) for p in self.entries(domain["intervals"], "intervals"))
        for symbol, interval in intervals:
            if not isinstance(symbol, Symbol) or not isinstance(interval, sp.Interval):
                self.fail("an interval that is no pair", str((symbol, interval))[:60], "[symbol, interval]")
        constraints = tuple(self.basic(c) for c in self.entries(domain["constraints"], "constraints"))
        given = tuple(self.pair(p) for p in self.entries(hints, "hints"))
        return Step(label, read, rule, tuple(premises), Domain(intervals, constraints), source, text, given)

    def entries(self, value: Any, name: str) -> list[Any]:
        if not isinstance(value, list):
            self.fail(f"{name} that are no list", str(value)[:40], "a list")
        return value

    def pair(self, value: Any) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            self.fail("a pair that has not two parts", str(value)[:40], "[key, value]")
        key, thing = (self.tree(v, 0) for v in value)
        return key, thing

    def basic(self, tree: Any) -> Basic:
        found = self.tree(tree, 0)
        if not isinstance(found, Basic):
            self.fail(f"{shorten(str(found))} where an expression is expected", str(found)[:40], "an expression")
        return found

    def tree(self, tree: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.fail(f"more than {MAX_NODES} nodes", "", f"at most {MAX_NODES}")
        if depth > MAX_DEPTH:
            self.fail(f"an expression nested more than {MAX_DEPTH} deep", "", f"nesting up to {MAX_DEPTH}")
        if isinstance(tree, str):
            return tree
        if isinstance(tree, int) and not isinstance(tree, bool):
            return sp.Integer(self.whole(tree))
        if not isinstance(tree, list) or not tree or not isinstance(tree[0], str):
            self.fail(f"{shorten(json.dumps(tree))} where a node is expected", json.dumps(tree)[:40],
                      "a whole number or [name, arguments...]")
        head, rest = tree[0], tree[1:]
        reader = getattr(self, f"_on_{head.lower()}", None) if head in _SPECIAL else None
        if reader is not None:
            return reader(rest, depth)
        if head in _CONSTANTS:
            if rest:
                self.fail(f"the constant {head} with arguments", head, f"[{head!r}]")
            return _CONSTANTS[head]
        if head not in _heads():
            names = [*_heads(), *_SPECIAL, *_CONSTANTS]
            self.fail(f"no node is called {shorten(head)}", head, ", ".join(sorted(names)), nearest_name(head, names))
        args = [self.tree(a, depth + 1) for a in rest]
        return self.built(head, _heads()[head], args)

    def built(self, head: str, make: Callable[..., Basic], args: list[Any]) -> Basic:
        if any(not isinstance(a, Basic) for a in args):
            self.fail(f"text among the arguments of {head}", head, 'nodes; text stands in ["Str", ...]')
        self.bounded(head, args)
        try:
            made = make(*args)
        except DeriveError as error:
            self.fail(str(error), head, error.allowed or f"arguments that {head} takes", error.nearest)
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, NotImplementedError) as error:
            why = (str(error).splitlines() or [""])[0][:120]
            self.fail(f"{head} cannot be made of {len(args)} such arguments ({type(error).__name__}: {why})", head,
                      f"arguments that {head} takes")
        if not isinstance(made, Basic):
            self.fail(f"{head} of these arguments is no expression", head, f"arguments that {head} takes")
        return made

    def bounded(self, head: str, args: list[Any]) -> None:
        """Numbers that would grow without bound once a rule evaluates them."""
        if head == "Pow" and len(args) == 2 and args[0].is_Rational and args[1].is_Rational:
            size = max(abs(int(args[0].p)), int(args[0].q)).bit_length()
            if size * abs(args[1]) > _MAX_BITS:
                self.fail("a power that is too large", head, f"numbers of at most {MAX_DIGITS} digits")
        if head in ("gamma", "loggamma", "factorial", "binomial") and any(
                a.is_Rational and abs(a) > _MAX_GAMMA for a in args):
            self.fail(f"{head} of a number above {_MAX_GAMMA}", head, f"arguments up to {_MAX_GAMMA}")

    # nodes that are not built from nodes alone

    def whole(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(f"{shorten(json.dumps(value))} where a whole number is expected", str(value)[:40], "an integer")
        if value.bit_length() > _MAX_BITS:
            self.fail("a number with too many digits", "", f"numbers of at most {MAX_DIGITS} digits")
        return value

    def exactly(self, rest: list[Any], count: int, form: str) -> list[Any]:
        if len(rest) != count:
            self.fail(f"{len(rest)} entries after the name of a node", str(rest)[:40], form)
        return rest

    def named(self, value: Any) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME or not value.isprintable():
            self.fail(f"{shorten(json.dumps(value))} as a name", str(value)[:40], f"1 to {MAX_NAME} printed characters")
        return value

    def assumptions(self, value: Any) -> dict[str, bool]:
        if not isinstance(value, dict):
            self.fail("assumptions that are no object", str(value)[:40], '{"real": true}')
        for key, truth in value.items():
            if key not in (known := _ASSUMPTIONS.split()):
                self.fail(f"the assumption {shorten(key)}", key, ", ".join(known), nearest_name(key, known))
            if not isinstance(truth, bool):
                self.fail(f"the assumption {key} is neither true nor false", str(truth)[:40], "true, false")
        return value

    def _symbol(self, rest: list[Any], form: str, make: Callable[..., Basic]) -> Basic:
        name, assumptions = self.exactly(rest, 2, form)
        try:
            return make(self.named(name), **self.assumptions(assumptions))
        except ValueError as error:
            if isinstance(error, DeriveError):
                raise
            self.fail(f"assumptions of {shorten(name)} that contradict each other", name, "consistent assumptions")

    def _on_symbol(self, rest: list[Any], depth: int) -> Basic:
        return self._symbol(rest, '["Symbol", name, assumptions]', Symbol)

    def _on_boundsymbol(self, rest: list[Any], depth: int) -> Basic:
        if rest and isinstance(rest[0], str) and not rest[0].rpartition("_")[2].isdecimal():
            self.fail(f"the bound symbol {shorten(rest[0])}", rest[0], "a letter and its number, such as x_0")
        return self._symbol(rest, '["BoundSymbol", name, assumptions]', BoundSymbol)

    def _on_dummy(self, rest: list[Any], depth: int) -> Basic:
        *both, number = self.exactly(rest, 3, '["Dummy", name, assumptions, number]')
        made = self._symbol(both, "", Dummy)
        return self.dummies.setdefault(self.whole(number), made)

    def _on_function(self, rest: list[Any], depth: int) -> Any:
        return self._symbol(rest, '["Function", name, assumptions]', sp.Function)

    def _on_apply(self, rest: list[Any], depth: int) -> Basic:
        if len(rest) < 3:
            self.exactly(rest, 3, '["Apply", name, assumptions, arguments...]')
        function: Any = self._on_function(rest[:2], depth)
        return self.built(rest[0], function, [self.tree(a, depth + 1) for a in rest[2:]])

    def _on_str(self, rest: list[Any], depth: int) -> Basic:
        return Str(self.named(self.exactly(rest, 1, '["Str", text]')[0]))

    def _on_rational(self, rest: list[Any], depth: int) -> Basic:
        p, q = (self.whole(k) for k in self.exactly(rest, 2, '["Rational", p, q]'))
        if q <= 0:
            self.fail("a fraction whose denominator is not positive", f"{p}/{q}", '["Rational", p, q] with q > 0')
        return sp.Rational(p, q)

    def _on_float(self, rest: list[Any], depth: int) -> Basic:
        text, bits = self.exactly(rest, 2, '["Float", digits, bits]')
        if not isinstance(text, str) or not set(text) <= set("0123456789.eE+-") or len(text) > MAX_DIGITS:
            self.fail(f"{shorten(str(text))} as a number", str(text)[:40], "decimal digits")
        if not 1 <= self.whole(bits) <= _MAX_BITS:
            self.fail(f"a precision of {bits} bits", str(bits), f"1 to {_MAX_BITS}")
        try:
            return sp.Float(text, precision=bits)
        except ValueError:
            self.fail(f"{shorten(text)} as a number", text, "decimal digits")


_SPECIAL = ("Symbol", "BoundSymbol", "Dummy", "Function", "Apply", "Str", "Rational", "Float")
