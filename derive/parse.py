"""User text to expressions: the one door, with an allow-list.

Nothing here is ever evaluated by Python.  A tokenizer reads numbers, names and a few operators; a precedence-climbing
parser builds a small tree of its own; the tree is bounded in size, depth and in the numbers it may produce, and only
then turned into SymPy objects from a fixed table of functions.  Every refusal is a DeriveError of one line that names
what was given, where, what is allowed and the nearest allowed name.

Grammar, loosest first::

    sum      = product { ("+" | "-") product }
    product  = unary { ("*" | "/") unary }
    unary    = { "+" | "-" } power
    power    = atom [ ("**" | "^") unary ]           right-associative; -x**2 is -(x**2)
    atom     = number | name | name "(" sum { "," sum } ")" | "(" sum ")"
    Piecewise((value, condition), ..., (value, True))  with conditions  sum < sum, <=, >, >=, joined by & or |
"""

from __future__ import annotations

import difflib
import keyword
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NoReturn

import mpmath
import sympy as sp
from sympy import Expr, Rational

from derive.core import DeriveError

__all__ = ["Claim", "Range", "nearest_name", "parse_activation", "parse_atoms", "parse_claim", "parse_constant",
           "parse_expression",
           "parse_number", "parse_range", "parse_relation", "parse_support", "parse_variances", "shorten"]

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
MAX_POINTS = 1_000_000
"""Points of one range."""
_MAX_BITS = int(MAX_DIGITS * 3.3219280948873626)
_MAX_GAMMA = 1000

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>\*\*|<=|>=|[-+*/^(),<>&|])"
)
_PLAIN = re.compile(r"(?P<sign>[+-]?)(?P<num>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exp>[+-]?[0-9]+))?\Z")
_REFUSED = {
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
_KEYWORDS = frozenset(keyword.kwlist)
_INFINITE = {"oo": sp.oo, "inf": sp.oo, "infinity": sp.oo}
_LONG = 60


def shorten(text: str, at: int | None = None) -> str:
    """The text quoted on one line, cut around a position where it is long.

    >>> shorten("a" * 100)[:8]
    "'aaaaaaa"
    """
    if len(text) > _LONG:
        start = max(0, min((at or 0) - _LONG // 2, len(text) - _LONG))
        text = ("..." if start else "") + text[start:start + _LONG] + ("..." if start + _LONG < len(text) else "")
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


# -- the tree ---------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class _Value:
    """An expression with what bounds its cost: an approximate value where it is constant, and its degree."""

    expr: Expr
    approx: Any = None
    degree: int = 0


@dataclass(frozen=True)
class _Function:
    build: Callable[..., Expr]
    approx: Callable[..., Any]
    fewest: int = 1
    most: int = 1


@lru_cache(maxsize=1)
def _context() -> Any:
    context = mpmath.MPContext()
    context.dps = 50
    return context


@lru_cache(maxsize=1)
def _functions() -> dict[str, _Function]:
    """The allow-list: what a name may call, with the number of its arguments."""
    from derive import nodes

    mp = _context()

    def step(z: Any) -> Any:
        return (1 + mp.sign(z)) / 2

    plain = {
        "exp": (sp.exp, mp.exp), "log": (sp.log, mp.log), "ln": (sp.log, mp.log), "sqrt": (sp.sqrt, mp.sqrt),
        "sin": (sp.sin, mp.sin), "cos": (sp.cos, mp.cos), "tan": (sp.tan, mp.tan),
        "asin": (sp.asin, mp.asin), "acos": (sp.acos, mp.acos), "atan": (sp.atan, mp.atan),
        "sinh": (sp.sinh, mp.sinh), "cosh": (sp.cosh, mp.cosh), "tanh": (sp.tanh, mp.tanh),
        "sech": (lambda z: 1 / sp.cosh(z), mp.sech),
        "asinh": (sp.asinh, mp.asinh), "acosh": (sp.acosh, mp.acosh), "atanh": (sp.atanh, mp.atanh),
        "erf": (sp.erf, mp.erf), "erfc": (sp.erfc, mp.erfc),
        "abs": (sp.Abs, mp.fabs), "Abs": (sp.Abs, mp.fabs), "sign": (sp.sign, mp.sign),
        "Heaviside": (sp.Heaviside, step),
        "relu": (lambda z: sp.Max(0, z), lambda z: max(mp.mpf(0), z)), "step": (sp.Heaviside, step),
        "sigmoid": (lambda z: 1 / (1 + sp.exp(-z)), lambda z: 1 / (1 + mp.exp(-z))),
        "gamma": (sp.gamma, mp.gamma), "loggamma": (sp.loggamma, mp.loggamma),
    }
    own = {
        "log_cosh": lambda z: mp.log(mp.cosh(z)), "log_erfc": lambda z: mp.log(mp.erfc(z)),
        "softplus": lambda z: mp.log(1 + mp.exp(z)), "erfcx": lambda z: mp.exp(z * z) * mp.erfc(z),
    }
    table = {name: _Function(build, approx) for name, (build, approx) in plain.items()}
    table |= {name: _Function(getattr(nodes, name), approx) for name, approx in own.items() if hasattr(nodes, name)}
    table |= {name: _Function(build, approx, 2, 8) for name, build, approx in
              (("Max", sp.Max, max), ("Min", sp.Min, min), ("max", sp.Max, max), ("min", sp.Min, min))}
    return table


_CONSTANTS = {"pi": sp.pi, "E": sp.E}


@dataclass
class Parser:
    """Text to tree, by precedence climbing; `what` names the text in messages ("density")."""

    text: str
    what: str
    variables: Mapping[str, Expr]
    tokens: list[Token]
    index: int = 0
    count: int = 0
    further: Mapping[str, _Function] = field(default_factory=dict)
    cancelled: list[Expr] = field(default_factory=list)
    """What is divided by and cancels while the expression is made; it may be zero still."""

    @property
    def functions(self) -> Mapping[str, _Function]:
        return {**_functions(), **self.further} if self.further else _functions()

    # errors

    def allowed(self) -> str:
        names = ", ".join((*self.variables, *_CONSTANTS))
        functions = ", ".join(sorted((*self.functions, "Piecewise")))
        return f"numbers, {names}, + - * / ** ^ ( ) and the functions {functions}"

    def fail(self, reason: str, at: int, *, given: str | None = None, allowed: str | None = None,
             nearest: str | None = None) -> NoReturn:
        allowed = self.allowed() if allowed is None else allowed
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        raise DeriveError(
            f"{self.what}: {reason} at position {at + 1} of {shorten(self.text, at)}{hint}; allowed: {allowed}",
            given=given if given is not None else self.text, allowed=allowed, nearest=nearest)

    # tokens

    @property
    def now(self) -> Token:
        return self.tokens[self.index]

    def take(self) -> Token:
        token = self.now
        self.index += 1
        return token

    def accept(self, *ops: str) -> Token | None:
        return self.take() if self.now.kind == "op" and self.now.text in ops else None

    def expect(self, op: str, after: str) -> None:
        if not self.accept(op):
            found = "the end" if self.now.kind == "end" else shorten(self.now.text)
            self.fail(f"{op!r} is missing {after}, found {found}", self.now.at, allowed=f"{op!r}")

    def node(self, head: str, at: int, args: tuple[Tree, ...] = (), text: str = "") -> Tree:
        self.count += 1
        if self.count > MAX_NODES:
            self.fail(f"more than {MAX_NODES} operations", at,
                      allowed=f"at most {MAX_NODES} numbers, names and operations")
        return Tree(head, at, args, text)

    def deeper(self, depth: int) -> int:
        if depth >= MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} deep", self.now.at, allowed=f"nesting up to {MAX_DEPTH}")
        return depth + 1

    # grammar

    def whole(self) -> Tree:
        tree = self.sum(0)
        if self.now.kind != "end":
            self.trailing()
        return tree

    def trailing(self) -> NoReturn:
        token = self.now
        if token.text == ")":
            self.fail("unbalanced ')'", token.at, allowed="balanced parentheses")
        if token.text == ",":
            self.fail("',' outside a call (tuples are not allowed)", token.at)
        if token.kind == "op":
            self.fail(f"{token.text!r} is not allowed here (comparisons belong into Piecewise)", token.at)
        if token.text in _KEYWORDS:
            self.fail(f"the word {token.text!r} is not allowed", token.at, given=token.text)
        self.fail(f"an operator is missing before {shorten(token.text)}: write '*' for a product", token.at,
                  given=token.text)

    def sum(self, depth: int) -> Tree:
        terms, at = [self.product(depth)], self.now.at
        while op := self.accept("+", "-"):
            term = self.product(depth)
            terms.append(self.node("neg", op.at, (term,)) if op.text == "-" else term)
        return terms[0] if len(terms) == 1 else self.node("sum", at, tuple(terms))

    def product(self, depth: int) -> Tree:
        factors, at = [self.unary(depth)], self.now.at
        while op := self.accept("*", "/"):
            factor = self.unary(depth)
            factors.append(self.node("divide", op.at, (factor,)) if op.text == "/" else factor)
        return factors[0] if len(factors) == 1 else self.node("product", at, tuple(factors))

    def unary(self, depth: int) -> Tree:
        negative, at = False, self.now.at
        while op := self.accept("+", "-"):
            depth = self.deeper(depth)
            negative ^= op.text == "-"
        inner = self.power(depth)
        return self.node("neg", at, (inner,)) if negative else inner

    def power(self, depth: int) -> Tree:
        base = self.atom(depth)
        if op := self.accept("**", "^"):
            return self.node("power", op.at, (base, self.unary(self.deeper(depth))))
        return base

    def atom(self, depth: int) -> Tree:
        token = self.take()
        if token.kind == "number":
            return self.node("number", token.at, text=token.text)
        if token.kind == "name":
            return self.named(token, depth)
        if token.text == "(" and token.kind == "op":
            inner = self.sum(self.deeper(depth))
            if self.now.text == ",":
                self.fail("',' outside a call (tuples are not allowed)", self.now.at)
            self.expect(")", "after the '(' opened before it")
            if self.now.text == "(":
                self.fail("only a function's name may be called: write '*' for a product", self.now.at)
            return inner
        found = "the text ends" if token.kind == "end" else f"{token.text!r} found"
        if not self.text.strip():
            self.fail("nothing is given", 0)
        self.fail(f"{found} where a number, a name or '(' is expected", token.at)

    def named(self, token: Token, depth: int) -> Tree:
        name, called = token.text, self.now.text == "(" and self.now.kind == "op"
        functions = self.functions
        if called and name == "Piecewise":
            return self.piecewise(token, self.deeper(depth))
        if called and name in functions:
            return self.call(token, functions[name], self.deeper(depth))
        if called and name in (*self.variables, *_CONSTANTS):
            self.fail(f"{name!r} is not a function: write '*' for a product", token.at, given=name)
        if not called and (name in self.variables or name in _CONSTANTS):
            return self.node("name", token.at, text=name)
        if not called and (name in functions or name == "Piecewise"):
            self.fail(f"the function {name!r} needs its argument in parentheses", token.at, given=name,
                      nearest=f"{name}({next(iter(self.variables), '2')})")
        if name in _KEYWORDS and name not in self.variables:
            self.fail(f"the word {name!r} is not allowed", token.at, given=name)
        if name.lower() in _INFINITE or name.lower() == "nan":
            self.fail(f"{name!r} is not a finite number", token.at, given=name)
        names = [*functions, "Piecewise"] if called else [*self.variables, *_CONSTANTS]
        kind = "function" if called else "name"
        self.fail(f"unknown {kind} {shorten(name)}", token.at, given=name,
                  nearest=nearest_name(name, names) or nearest_name(name, [*self.variables, *_CONSTANTS, *functions]))

    def call(self, token: Token, function: _Function, depth: int) -> Tree:
        self.take()
        arguments: list[Tree] = []
        if self.now.text != ")":
            arguments.append(self.sum(depth))
            while self.accept(","):
                arguments.append(self.sum(depth))
        self.expect(")", f"after the arguments of {token.text}")
        if self.now.text == "(":
            self.fail("only a function's name may be called: write '*' for a product", self.now.at)
        if not function.fewest <= len(arguments) <= function.most:
            number = str(function.most) if function.fewest == function.most else f"{function.fewest} to {function.most}"
            self.fail(f"{token.text} takes {number} argument{'s' * (number != '1')}, {len(arguments)} given", token.at,
                      given=token.text, allowed=f"{number} argument{'s' * (number != '1')}")
        return self.node("call", token.at, tuple(arguments), token.text)

    def piecewise(self, token: Token, depth: int) -> Tree:
        form = "Piecewise((value, condition), ..., (value, True))"
        self.take()
        cases: list[Tree] = []
        while not cases or self.accept(","):
            at = self.now.at
            self.expect("(", f"in {form}")
            value = self.sum(self.deeper(depth))
            self.expect(",", f"in {form}")
            cases.append(self.node("case", at, (value, self.condition(self.deeper(depth)))))
            self.expect(")", f"in {form}")
        self.expect(")", f"at the end of {form}")
        if cases[-1].args[1].head != "true":
            self.fail("the last case needs the condition True", cases[-1].at, allowed=form)
        return self.node("piecewise", token.at, tuple(cases))

    def condition(self, depth: int) -> Tree:
        terms = [self.conjunction(depth)]
        while self.accept("|"):
            terms.append(self.conjunction(depth))
        return terms[0] if len(terms) == 1 else self.node("|", terms[0].at, tuple(terms))

    def conjunction(self, depth: int) -> Tree:
        terms = [self.relation(depth)]
        while self.accept("&"):
            terms.append(self.relation(depth))
        return terms[0] if len(terms) == 1 else self.node("&", terms[0].at, tuple(terms))

    def relation(self, depth: int) -> Tree:
        if self.now.text == "True":
            return self.node("true", self.take().at)
        if self.now.text == "(" and self._parenthesised_relation():
            self.take()
            inner = self.condition(self.deeper(depth))
            self.expect(")", "after a condition")
            return inner
        left = self.sum(depth)
        op = self.accept("<", "<=", ">", ">=")
        if op is None:
            self.fail("a comparison is expected", self.now.at, allowed="<, <=, >, >=, True")
        return self.node(op.text, op.at, (left, self.sum(depth)))

    def _parenthesised_relation(self) -> bool:
        """Whether the parenthesis that opens here holds a comparison at its own level."""
        level = 0
        for token in self.tokens[self.index:]:
            level += {"(": 1, ")": -1}.get(token.text, 0)
            if level == 0:
                return False
            if level == 1 and token.text in ("<", "<=", ">", ">="):
                return True
        return False

    # tree to expression

    def build(self, node: Tree) -> _Value:
        """The expression of a tree, every intermediate number bounded before it is made."""
        if node.head == "number":
            value = self.number(node)
        elif node.head == "name":
            value = self.name(node.text)
        elif node.head == "neg":
            inner = self.build(node.args[0])
            value = _Value(-inner.expr, None if inner.approx is None else -inner.approx, inner.degree)
        elif node.head == "sum":
            value = self.total([self.build(k) for k in node.args], node)
        elif node.head == "product":
            value = self.times(node)
        elif node.head == "power":
            value = self.raised(self.build(node.args[0]), self.build(node.args[1]), node)
        elif node.head == "call":
            value = self.called(node)
        else:
            value = self.cases(node)
        return self.bounded(value, node)

    def bounded(self, value: _Value, node: Tree) -> _Value:
        if value.expr.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
            self.fail("a number that is not finite (a division by zero, the logarithm of zero)", node.at,
                      allowed="finite real numbers")
        if value.expr.has(sp.I) or (value.approx is not None and mpmath.im(value.approx) != 0):
            self.fail("a number that is not real", node.at, allowed="finite real numbers")
        if value.degree > MAX_DEGREE:
            self.fail(f"a power above {MAX_DEGREE} of a variable", node.at, allowed=f"powers up to {MAX_DEGREE}")
        if value.approx is not None and value.approx != 0:
            size = mpmath.mag(value.approx)
            if not abs(size) <= _MAX_BITS:
                self.too_large(node)
        return value

    def too_large(self, node: Tree) -> NoReturn:
        self.fail("a number that is too large (or too close to zero)", node.at,
                  allowed=f"numbers of at most {MAX_DIGITS} digits")

    def number(self, node: Tree) -> _Value:
        value = _read_number(node.text)
        if value is None:
            self.too_large(node)
        mp = _context()
        return _Value(value, mp.mpf(value.p) / value.q)

    def name(self, name: str) -> _Value:
        expr = self.variables.get(name, _CONSTANTS.get(name))
        assert expr is not None  # the parser lets no other name through
        if name in self.variables and expr.free_symbols:
            return _Value(expr, None, 1)
        return _Value(expr, _context().mpf(sp.N(expr, 50)))

    def total(self, values: list[_Value], node: Tree) -> _Value:
        if sum(_bits(k.expr) for k in values) > 2 * _MAX_BITS:
            self.too_large(node)
        constant = all(k.approx is not None for k in values)
        approx = _context().fsum(k.approx for k in values) if constant else None
        return _Value(self.made(sp.Add, [k.expr for k in values]), approx, max(k.degree for k in values))

    def made(self, function: Callable[..., Expr], parts: Sequence[Expr]) -> Expr:
        """A sum, a product or a power; a divisor of its parts that cancels is kept in mind."""
        whole = function(*parts)
        left = _divisors((whole,))
        self.cancelled.extend(d for d in _divisors(parts) if d not in left and d not in self.cancelled)
        return whole

    def times(self, node: Tree) -> _Value:
        values = []
        for k in node.args:
            if k.head != "divide":
                values.append(self.build(k))
                continue
            inner = self.build(k.args[0])
            if inner.expr.is_zero:
                self.fail("a division by zero", k.at, allowed="finite real numbers")
            values.append(self.bounded(self.raised(inner, _Value(sp.Integer(-1), _context().mpf(-1)), k), k))
        if sum(_bits(k.expr) for k in values) > 2 * _MAX_BITS:
            self.too_large(node)
        constant = all(k.approx is not None for k in values)
        approx = _context().fprod(k.approx for k in values) if constant else None
        return _Value(self.made(sp.Mul, [k.expr for k in values]), approx, sum(k.degree for k in values))

    def raised(self, base: _Value, exponent: _Value, node: Tree) -> _Value:
        mp = _context()
        steep = self.steepness(exponent.expr)
        if steep * (_bits(base.expr) + _bits_in_logs(exponent.expr)) > 2 * _MAX_BITS:
            self.too_large(node)
        degree = max(1, exponent.degree) if exponent.degree else base.degree * max(1, int(mpmath.ceil(steep)))
        in_logs = any(k.free_symbols for k in exponent.expr.atoms(sp.log))  # exp(n log(1 + x)) is (1 + x)^n
        if (base.degree and degree > MAX_DEGREE) or (in_logs and steep > MAX_DEGREE):
            self.fail(f"a power above {MAX_DEGREE} of a variable", node.at, allowed=f"powers up to {MAX_DEGREE}")
        approx = None
        if base.approx is not None and exponent.approx is not None:
            if base.approx == 0 and not exponent.approx > 0:
                self.fail("zero to a power that is not positive", node.at, allowed="finite real numbers")
            if base.approx != 0 and abs(mp.log(abs(base.approx), 2) * exponent.approx) > _MAX_BITS:
                self.too_large(node)
            approx = mp.power(base.approx, exponent.approx)
        return _Value(self.made(sp.Pow, [base.expr, exponent.expr]), approx, degree)

    def steepness(self, exponent: Expr) -> Any:
        """The largest number by which an exponent can multiply the size of its base."""
        coefficients = (term.as_coeff_Mul()[0] for term in sp.Add.make_args(exponent))
        return max(abs(_context().mpf(k.p) / k.q) if k.is_Rational else 1 for k in coefficients)

    def called(self, node: Tree) -> _Value:
        mp = _context()
        function, arguments = self.functions[node.text], [self.build(k) for k in node.args]
        if node.text == "exp":
            return self.raised(_Value(sp.E, mp.e), arguments[0], node)
        if node.text == "sqrt":
            return self.raised(arguments[0], _Value(Rational(1, 2), mp.mpf(1) / 2), node)
        constant = all(k.approx is not None for k in arguments)
        if constant and node.text in ("gamma", "loggamma") and not abs(arguments[0].approx) <= _MAX_GAMMA:
            self.fail(f"{node.text} of a number above {_MAX_GAMMA}", node.at, allowed=f"arguments up to {_MAX_GAMMA}")
        approx = None
        if constant:
            if node.text in ("sinh", "cosh", "sech", "softplus", "erfc", "log_erfc", "erfcx", "log_cosh") \
                    and not abs(arguments[0].approx) ** 2 <= _MAX_BITS ** 2:
                self.too_large(node)
            try:
                approx = function.approx(*(k.approx for k in arguments))
            except (ValueError, ZeroDivisionError):
                self.fail(f"{node.text} has no value there", node.at, allowed="finite real numbers")
        degree = max(k.degree for k in arguments)
        if node.text == "mean":  # one value of what is averaged over does not count
            bound = set().union(*(k.expr.free_symbols for k in arguments[1:]))
            self.cancelled = [d for d in self.cancelled if not d.free_symbols & bound]
        return _Value(function.build(*(k.expr for k in arguments)), approx, degree)

    def cases(self, node: Tree) -> _Value:
        values = [self.build(k.args[0]) for k in node.args]
        conditions = [self.truth(k.args[1]) for k in node.args]
        expr = sp.Piecewise(*zip((k.expr for k in values), conditions, strict=True))
        approx = None if expr.free_symbols else _context().mpf(sp.N(expr, 50))
        return _Value(expr, approx, max(k.degree for k in values))

    def truth(self, node: Tree) -> Any:
        if node.head == "true":
            return sp.true
        if node.head in ("&", "|"):
            return (sp.And if node.head == "&" else sp.Or)(*(self.truth(k) for k in node.args))
        relation = {"<": sp.Lt, "<=": sp.Le, ">": sp.Gt, ">=": sp.Ge}[node.head]
        left, right = (self.build(k).expr for k in node.args)
        return relation(left, right)


def _divisors(parts: Sequence[Expr]) -> list[Expr]:
    """What expressions divide by, as far as it may be zero; of a product its factors."""
    powers = {p for e in parts for p in e.atoms(sp.Pow) if p.exp.is_negative}
    return sorted({p.base for p in powers if p.base.is_nonzero is not True}, key=str)


def _bits(expr: Expr) -> int:
    """The size in bits of the rational numbers in an expression."""
    return sum(max(int(k.p).bit_length(), int(k.q).bit_length()) - 1 for k in _numbers(expr))


def _bits_in_logs(expr: Expr) -> int:
    return sum(_bits(k) for k in expr.atoms(sp.log))


def _numbers(expr: Expr) -> Iterator[Any]:
    return (k for k in sp.preorder_traversal(expr) if k.is_Rational)


def _read_number(text: str) -> Rational | None:
    """The exact rational of a decimal literal; None where it has too many digits."""
    found = _PLAIN.match(text)
    assert found is not None  # the tokenizer lets nothing else through
    digits, exponent = found["num"], (found["exp"] or "0")
    if len(digits) > MAX_DIGITS or len(exponent) > 8 or len(digits) + abs(int(exponent)) > MAX_DIGITS:
        return None
    whole, _, fraction = digits.partition(".")
    power = int(exponent) - len(fraction)
    mantissa = int((whole + fraction) or "0") * (-1 if found["sign"] == "-" else 1)
    return Rational(mantissa * 10**power, 1) if power >= 0 else Rational(mantissa, 10**-power)


def _tokenize(parser: Parser) -> list[Token]:
    text, at, tokens = parser.text, 0, []
    if len(text) > MAX_LENGTH:
        allowed = f"at most {MAX_LENGTH} characters"
        raise DeriveError(f"{parser.what}: {len(text)} characters given in {shorten(text)}; allowed: {allowed}",
                          given=text[:_LONG], allowed=allowed)
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            _refuse(parser, at)
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(Token(kind, found.group(), at))
        at = found.end()
    return [*tokens, Token("end", "", len(text))]


def _refuse(parser: Parser, at: int) -> NoReturn:
    character = parser.text[at]
    if character in _REFUSED:
        parser.fail(_REFUSED[character], at, given=character)
    if not character.isascii():
        plain = unicodedata.normalize("NFKC", character)
        name = unicodedata.name(character, "unnamed").lower()
        near = plain if plain.isascii() and plain != character else _greek(name)
        parser.fail(f"the character {character!a} ({name}) is not plain ASCII", at, given=character, nearest=near)
    parser.fail(f"the character {character!r} is not allowed", at, given=character)


def _greek(name: str) -> str | None:
    found = re.match(r"greek small letter (?:final )?([a-z]+)", name)
    return {"lamda": "lam"}.get(found[1], found[1]) if found else None


# -- what is offered --------------------------------------------------------------------------------------------------


def parse_expression(text: str, variables: Mapping[str, Expr] | None = None, *, what: str = "expression") -> Expr:
    """The expression that a text stands for.

    Args: text (at most MAX_LENGTH characters); variables (allowed name -> symbol); what (how messages call the text).
    Decimal numbers become exact rationals; `^` and `**` are powers; a product needs its `*`.
    Raises: DeriveError, one line, for anything that is not on the allow-list or would grow without bound.

    >>> from derive.symbols import x
    >>> parse_expression("exp(-x^2/2)/sqrt(2*pi)", {"x": x})
    sqrt(2)*exp(-x**2/2)/(2*sqrt(pi))
    """
    if not isinstance(text, str):
        kind = type(text).__name__
        raise DeriveError(f"{what}: a {kind} is given; allowed: text", given=kind, allowed="text")
    parser = Parser(text, what, dict(variables or {}), [])
    parser.tokens = _tokenize(parser)
    return parser.build(parser.whole()).expr


_ACTIVATIONS = {"linear": "h", "identity": "h", "gelu": "h*(1 + erf(h/sqrt(2)))/2", "silu": "h*sigmoid(h)",
                "hardtanh": "Max(-1, Min(1, h))", "softsign": "h/(1 + abs(h))"}


def parse_activation(text: str, *, what: str = "--activation") -> Expr:
    """The activation that a text stands for: an expression in h ("h**3/3 - h"), or the bare name of a function.

    Bare names are those of the functions of one argument ("tanh", "relu", "sign", "erf", "softplus") and linear, gelu,
    silu, hardtanh, softsign.  The result is an expression in the real symbol h; whether it can be an activation is
    not decided here.

    >>> parse_activation("tanh"), parse_activation("max(0, h) - 1/2")
    (tanh(h), Max(0, h) - 1/2)
    """
    h = sp.Symbol("h", real=True)
    bare = text.strip() if isinstance(text, str) else text
    if isinstance(bare, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", bare, re.ASCII) and bare != "h":
        single = sorted(k for k, f in _functions().items() if f.fewest == 1)
        name = next((k for k in (*single, *_ACTIVATIONS) if k == bare), None) or next(
            (k for k in (*single, *_ACTIVATIONS) if k.lower() == bare.lower()), None)
        if name is None and bare not in _CONSTANTS:
            near = nearest_name(bare, [*single, *_ACTIVATIONS])
            hint = f"; did you mean {near!r}?" if near else ""
            names = ", ".join((*single, *_ACTIVATIONS))
            raise DeriveError(f"{what}: no activation is named {shorten(bare)}{hint}; allowed: an expression in h, or "
                              f"one of {names}", given=bare, allowed=f"an expression in h, or one of {names}",
                              nearest=near)
        text = bare if name is None else _ACTIVATIONS.get(name, f"{name}(h)")
    return parse_expression(text, {"h": h}, what=what)


def parse_relation(
    text: str, variables: Mapping[str, Expr] | None = None, functions: Mapping[str, int] | None = None, *,
    what: str = "claim",
) -> sp.Rel:
    """The relation that a text stands for: two expressions around one of = < <= > >=.

    Args: text; variables (allowed name -> symbol); functions (undefined functions: name -> number of arguments); what.
    Beside what `parse_expression` reads: mean(f, z), the average of f over a standard normal z (several: mean(f, z,
    w)), diff(f, x), the derivative, which stays unperformed, and Li2(z), Li3(z), the di- and
    trilogarithm. Nothing is simplified.
    Raises: DeriveError, one line.

    >>> q, z = sp.symbols("q z", real=True)
    >>> parse_relation("F(q) = mean(exp(q*z), z)", {"q": q, "z": z}, {"F": 1}).lhs
    F(q)
    """
    return parse_claim(text, variables, functions, what=what).relation


@dataclass(frozen=True)
class Claim:
    """A relation, and what each side divides by that cancelled while it was made: x of x/x, |x| of x/|x|."""

    relation: sp.Rel
    left: tuple[Expr, ...] = ()
    right: tuple[Expr, ...] = ()


def parse_claim(
    text: str, variables: Mapping[str, Expr] | None = None, functions: Mapping[str, int] | None = None, *,
    what: str = "claim",
) -> Claim:
    """As `parse_relation`, with the divisors that cancel.

    >>> x = sp.Symbol("x", real=True)
    >>> parse_claim("x^2/x = x", {"x": x}).left
    (x,)
    """
    signs = {"=": sp.Eq, "<": sp.Lt, "<=": sp.Le, ">": sp.Gt, ">=": sp.Ge}
    found = [m for m in re.finditer(r"<=|>=|==|<|>|=", text)
             if text.count("(", 0, m.start()) <= text.count(")", 0, m.start())]  # others stand in a Piecewise
    if len(found) != 1 or found[0].group() not in signs:
        raise DeriveError(
            f"{what}: {len(found)} relation signs in {shorten(text)}; allowed: exactly one of =, <, <=, >, >=",
            given=text, allowed="exactly one of =, <, <=, >, >=")
    sign = found[0]
    sides, cancelled = [], []
    for part, words in ((text[:sign.start()], "left side"), (text[sign.end():], "right side")):
        parser = Parser(part, f"{what}, {words}", dict(variables or {}), [], further=further_functions(functions or {}))
        parser.tokens = _tokenize(parser)
        sides.append(parser.build(parser.whole()).expr)
        cancelled.append(tuple(parser.cancelled))
    return Claim(signs[sign.group()](*sides, evaluate=False), *cancelled)


def further_functions(functions: Mapping[str, int]) -> dict[str, _Function]:
    """The undefined functions that a text declares, the Gaussian average, the derivative, polylogarithms."""
    from derive.nodes import GaussianAverage

    def unknown(*values: Any) -> Any:
        return None

    table = {name: _Function(sp.Function(name, real=True), unknown, n, n) for name, n in functions.items()}
    table["mean"] = _Function(GaussianAverage, unknown, 2, 4)
    for order in (2, 3):
        table[f"Li{order}"] = _Function(partial(sp.polylog, order), partial(_context().polylog, order))
    table["diff"] = _Function(lambda f, *xs: sp.Derivative(f, *xs, evaluate=False), unknown, 2, 3)
    return table


def parse_constant(text: str, *, what: str = "number") -> Expr:
    """An exact finite constant: anything parse_number reads, and closed forms such as "log(2)" or "sqrt(3)/2".

    >>> parse_constant("log(2)/2")
    log(2)/2
    """
    plain = text.strip() if isinstance(text, str) else text
    if isinstance(plain, str) and plain.lower().lstrip("+-") in ("nan", *_INFINITE):
        allowed = "finite numbers such as 0.5, 1/500, 1e-3, log(2)"
        raise DeriveError(f"{what}: {plain!r} is not a finite number; allowed: {allowed}", given=plain, allowed=allowed)
    return parse_expression(text, what=what)


def parse_number(text: str, *, what: str = "number") -> Rational:
    """An exact rational number: 0.5, 1/500, 1e-3, 1e-400, -2.

    Raises: DeriveError where the text is not a rational number (nan and infinities included).

    >>> parse_number("1/500"), parse_number("1e-3")
    (1/500, 1/1000)
    """
    value = parse_constant(text, what=what)
    if not value.is_Rational:
        allowed = "rational numbers such as 0.5, 1/500, 1e-3"
        raise DeriveError(f"{what}: {shorten(text)} is not a rational number; allowed: {allowed}",
                          given=text, allowed=allowed)
    return value


@dataclass(frozen=True)
class Range:
    """`count` points from `start` to `stop`, ends included; in geometric progression where `geometric`."""

    start: Expr
    stop: Expr
    count: int
    geometric: bool = False

    def values(self) -> list[Expr]:
        """The points, exact: those of an even range as they are, those inside a geometric one as 17-digit decimals."""
        steps = self.count - 1
        inside = (self._inside(Rational(k, steps)) for k in range(1, steps))
        return [self.start, *inside, self.stop]

    def _inside(self, part: Rational) -> Expr:
        if not self.geometric:
            return self.start + (self.stop - self.start) * part
        mp = _context()
        low, high = mp.mpf(sp.N(self.start, 50)), mp.mpf(sp.N(self.stop, 50))
        point = low * (high / low) ** (mp.mpf(part.p) / part.q)
        decimal = _read_number(mp.nstr(point, 17, min_fixed=0, max_fixed=0))
        assert decimal is not None  # it lies between two numbers that were read
        return decimal


def parse_range(text: str, *, what: str = "range") -> Expr | Range:
    """A scalar ("0.5"), an even range "a:b:n" or a geometric one "log:a:b:n"; n points, ends included.

    >>> parse_range("0:1:3").values(), parse_range("log:1:100:3").values(), parse_range("1/2")
    ([0, 1/2, 1], [1, 10, 100], 1/2)
    """
    allowed = "a number, a:b:n (n points, ends included) or log:a:b:n (geometric)"
    parts = text.split(":") if isinstance(text, str) else [text]
    if len(parts) == 1:
        return parse_constant(text, what=what)
    geometric = parts[0].strip() == "log"
    ends = parts[1:] if geometric else parts

    def refuse(reason: str) -> NoReturn:
        raise DeriveError(f"{what}: {reason} in {shorten(text)}; allowed: {allowed}", given=text, allowed=allowed)

    if len(ends) != 3:
        refuse(f"{len(ends)} part{'s' * (len(ends) != 1)} where start, stop and the number of points are expected")
    start, stop = (parse_constant(k, what=what) for k in ends[:2])
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", ends[2], re.ASCII):
        refuse(f"the number of points {shorten(ends[2])} is not a whole number")
    count = int(ends[2])
    if not 2 <= count <= MAX_POINTS:
        refuse(f"{count} points, where 2 to {MAX_POINTS} are possible")
    if geometric and not (_positive(start) and _positive(stop)):
        refuse("an end that is not positive")
    if start == stop:
        refuse("two equal ends")
    return Range(start, stop, count, geometric)


def _positive(value: Expr) -> bool:
    return bool(sp.N(value, 30) > 0)


def parse_atoms(text: str, *, what: str = "atoms") -> dict[Expr, Expr]:
    """The atoms "point:weight,point:weight" of a discrete law; weights are positive and sum to one exactly.

    >>> parse_atoms("-1:1/2, 1:1/2")
    {-1: 1/2, 1: 1/2}
    """
    allowed = "POINT:WEIGHT,POINT:WEIGHT,... with different points and positive weights that sum to 1"
    return _shares(text, what, ("point", "weight"), allowed)


def parse_variances(text: str, *, what: str = "variances") -> dict[Expr, Expr]:
    """Variances "variance:fraction,..." of the latent space; both positive, the fractions sum to one exactly.

    >>> parse_variances("1:1/2, 0.09:1/2")
    {1: 1/2, 9/100: 1/2}
    """
    allowed = "VARIANCE:FRACTION,... with different positive variances, and positive fractions that sum to 1"
    found = _shares(text, what, ("variance", "fraction"), allowed)
    for variance in found:
        if not _positive(variance):
            message = f"{what}: the variance {variance} is not positive in {shorten(text)}; allowed: {allowed}"
            raise DeriveError(message, given=text, allowed=allowed)
    return found


def _shares(text: str, what: str, names: tuple[str, str], allowed: str) -> dict[Expr, Expr]:
    """Pairs "place:share,..." of constants, the shares positive with sum 1."""
    place, share = names

    def refuse(reason: str) -> NoReturn:
        raise DeriveError(f"{what}: {reason} in {shorten(text)}; allowed: {allowed}", given=text, allowed=allowed)

    if len(text) > MAX_LENGTH:
        refuse(f"{len(text)} characters, at most {MAX_LENGTH} are possible,")
    found: dict[Expr, Expr] = {}
    for part in text.split(","):
        pair = part.split(":")
        if len(pair) != 2:
            refuse(f"{shorten(part.strip())} is not {place.upper()}:{share.upper()}")
        at, weight = (parse_constant(k, what=what) for k in pair)
        if at in found:
            refuse(f"the {place} {at} is given twice")
        if not _positive(weight):
            refuse(f"the {share} {weight} is not positive")
        found[at] = weight
    total = sp.Add(*found.values())
    if sp.simplify(total - 1) != 0:
        refuse(f"the {share}s sum to {sp.N(total, 12) if not total.is_Rational else total}, not 1,")
    return found


def parse_support(text: str, *, what: str = "support") -> tuple[Expr, Expr]:
    """The ends "a:b" of an interval, a < b; oo, -oo and inf are ends too.

    >>> parse_support("-oo:oo"), parse_support("0:sqrt(3)")
    ((-oo, oo), (0, sqrt(3)))
    """
    allowed = "LOWER:UPPER with LOWER below UPPER, such as -1:1, 0:oo or -sqrt(3):sqrt(3)"

    def refuse(reason: str) -> NoReturn:
        raise DeriveError(f"{what}: {reason} in {shorten(text)}; allowed: {allowed}", given=text, allowed=allowed)

    parts = text.split(":")
    if len(parts) != 2:
        refuse(f"{len(parts)} part{'s' * (len(parts) != 1)} where two are expected")
    low, high = (_end(k.strip(), what) for k in parts)
    if low is sp.oo or high is -sp.oo or not bool(sp.N(low, 30) < sp.N(high, 30)):
        refuse("a lower end that is not below the upper one")
    return low, high


def _end(text: str, what: str) -> Expr:
    bare = text.lstrip("+-")
    if bare.lower() in _INFINITE and len(text) - len(bare) <= 1:
        return -sp.oo if text.startswith("-") else sp.oo
    return parse_constant(text, what=what)
