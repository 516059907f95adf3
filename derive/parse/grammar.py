"""Text to tree, by precedence climbing: nothing is made of what is read, and every refusal says what is allowed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from sympy import Expr

from derive.core import DeriveError
from derive.parse.functions import CONSTANTS, Function, functions
from derive.parse.words import (
    INFINITE,
    KEYWORDS,
    LONG,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_NODES,
    REFUSED,
    TOKEN,
    Token,
    Tree,
    nearest_name,
    shorten,
)

__all__ = ["Grammar", "tokenize"]


@dataclass
class Grammar:
    """Text to tree, by precedence climbing; `what` names the text in messages ("density")."""

    text: str
    what: str
    variables: Mapping[str, Expr]
    tokens: list[Token]
    index: int = 0
    count: int = 0
    further: Mapping[str, Function] = field(default_factory=dict)
    cancelled: list[Expr] = field(default_factory=list)
    """What is divided by and cancels while the expression is made; it may be zero still."""

    @property
    def functions(self) -> Mapping[str, Function]:
        return {**functions(), **self.further} if self.further else functions()

    # errors

    def allowed(self) -> str:
        names = ", ".join((*self.variables, *CONSTANTS))
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
        if token.text in KEYWORDS:
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
        if called and name in (*self.variables, *CONSTANTS):
            self.fail(f"{name!r} is not a function: write '*' for a product", token.at, given=name)
        if not called and (name in self.variables or name in CONSTANTS):
            return self.node("name", token.at, text=name)
        if not called and (name in functions or name == "Piecewise"):
            self.fail(f"the function {name!r} needs its argument in parentheses", token.at, given=name,
                      nearest=f"{name}({next(iter(self.variables), '2')})")
        if name in KEYWORDS and name not in self.variables:
            self.fail(f"the word {name!r} is not allowed", token.at, given=name)
        if name.lower() in INFINITE or name.lower() == "nan":
            self.fail(f"{name!r} is not a finite number", token.at, given=name)
        names = [*functions, "Piecewise"] if called else [*self.variables, *CONSTANTS]
        kind = "function" if called else "name"
        self.fail(f"unknown {kind} {shorten(name)}", token.at, given=name,
                  nearest=nearest_name(name, names) or nearest_name(name, [*self.variables, *CONSTANTS, *functions]))

    def call(self, token: Token, function: Function, depth: int) -> Tree:
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


def tokenize(parser: Grammar) -> list[Token]:
    text, at, tokens = parser.text, 0, []
    if len(text) > MAX_LENGTH:
        allowed = f"at most {MAX_LENGTH} characters"
        raise DeriveError(f"{parser.what}: {len(text)} characters given in {shorten(text)}; allowed: {allowed}",
                          given=text[:LONG], allowed=allowed)
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            _refuse(parser, at)
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(Token(kind, found.group(), at))
        at = found.end()
    return [*tokens, Token("end", "", len(text))]


def _refuse(parser: Grammar, at: int) -> NoReturn:
    character = parser.text[at]
    if character in REFUSED:
        parser.fail(REFUSED[character], at, given=character)
    if not character.isascii():
        plain = unicodedata.normalize("NFKC", character)
        name = unicodedata.name(character, "unnamed").lower()
        near = plain if plain.isascii() and plain != character else _greek(name)
        parser.fail(f"the character {character!a} ({name}) is not plain ASCII", at, given=character, nearest=near)
    parser.fail(f"the character {character!r} is not allowed", at, given=character)


def _greek(name: str) -> str | None:
    found = re.match(r"greek small letter (?:final )?([a-z]+)", name)
    return {"lamda": "lam"}.get(found[1], found[1]) if found else None
