r"""Equations as papers print them: LaTeX read by a grammar of its own into the trees of derive.parse, never evaluated.

What is read, row by row, of an align block (or a gather, split, equation, $$ or bare rows):

- relations `=`, `<`, `>`, `\leq`, `\geq`; a row of several is a chain; a row that begins with one goes on from the
  row before, whose right side is its left side; a row that begins with + or - and has no relation continues the row
  before. `&`, spaces, `\nonumber` and the sizes `\left`, `\big` say nothing; `\label{...}`, `\tag{...}` name a row (of
  a chain the last relation).
- letters and Greek letters with subscripts and accents: `\alpha_D`, `\hat\lambda`, `t_{*}`. They stand for the names
  that are declared: `alpha_D`, `lam_hat` or `lambda_hat`, `t_star`; x_0 is also x0. Names of several letters are set
  upright: `\mathrm{KL}`. Where they are not declared, e and \pi are the numbers.
- numbers, + - / \cdot \times, implicit products, powers, `\frac`, `\sqrt[n]{x}`, parentheses of any kind, `\left| x
  \right|`, `\begin{cases}`.
- functions: `\log`, `\exp`, `\tanh^2 x`, `\operatorname{erf}`, `\max(a, b)`, ... A function without parentheses takes
  the implicit product that follows, up to + - / \cdot or another function: `\tanh\beta(m + z)` is the hyperbolic
  tangent of all of it.
- declared functions, applied: `F(q)`, their derivatives `F'(q)`, and `\frac{d}{dx}`, `\frac{\partial^2 F(q)}{\partial
  q^2}`.
- averages over independent standard normal variables: `\int Dz\, f`, `\int Dz\,Dw\, f`, `\mathbb{E}_{z}[f]`,
  `\langle f \rangle_{z}`. An integral reaches to the end of its product.

What could be read in two ways is refused with the reason: `\log(x)^2`, `a/bc`, `\log x/y`, `\tanh^{-1}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sympy import Eq, Expr, Ge, Gt, Le, Lt, Rel

from derive.core import DeriveError
from derive.parse import nearest_name, shorten
from derive.parse.builder import Parser
from derive.parse.functions import further_functions
from derive.parse.words import Token, Tree

__all__ = ["LatexLine", "parse_latex", "spelling"]

MAX_LENGTH = 20_000
"""Characters of one block."""

_SPACE = r"[ \t\r\n~]+|%[^\n]*|\\[,;:!> ]|\\(?:q?quad|displaystyle|textstyle|nonumber|notag|limits)(?![A-Za-z])"
_DELIMITER = r"[()\[\]|.]|\\[{}|]|\\[lr](?:angle|vert|brace|brack)(?![A-Za-z])"
_TOKEN = re.compile(
    rf"(?P<space>{_SPACE})"
    r"|(?P<row>\\\\(?:\[[^\]\n]*\])?)"
    r"|(?P<begin>\\begin\{(?P<opens>[A-Za-z]+)\*?\})|(?P<end>\\end\{[A-Za-z]+\*?\})"
    r"|(?P<label>\\(?:label|tag)\*?\{(?P<named>[^{}]*)\})"
    r"|(?P<word>\\(?:text|mathrm|operatorname\*?|mathit|mathsf|textrm|mbox|mathop)\s*\{(?P<content>[^{}$]*)\})"
    r"|(?P<font>\\(?:mathbb|mathcal|mathbf)\s*(?:\{\s*(?P<letter>[A-Za-z])\s*\}|(?P<bare>[A-Za-z])))"
    rf"|(?P<sized>\\(?P<side>left|right)\s*(?P<shape>{_DELIMITER}))"
    rf"|(?P<big>\\[bB]igg?[lrm]?\s*(?P<shaped>{_DELIMITER}))"
    rf"|(?P<shut>{_DELIMITER.replace('|.]', ']').replace('[{}|]', '[{}]')})"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(?P<command>\\[A-Za-z]+)|(?P<name>[A-Za-z])"
    r"|(?P<op><=|>=|[-+*/^_=<>{}&,'!:;$|.])"
)
_ENVIRONMENTS = ("align", "aligned", "gather", "gathered", "split", "equation", "multline", "eqnarray", "displaymath",
                 "math", "flalign")
_RELATIONS = {"=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "\\leq": "<=", "\\le": "<=", "\\leqslant": "<=",
              "\\geq": ">=", "\\ge": ">=", "\\geqslant": ">=", "\\lt": "<", "\\gt": ">"}
_CLASSES: Mapping[str, Any] = {"=": Eq, "<": Lt, ">": Gt, "<=": Le, ">=": Ge}
_OPENING = {"(": ")", "[": "]", "\\{": "\\}", "\\lbrace": "\\rbrace", "\\lbrack": "\\rbrack", "\\langle": "\\rangle",
            "\\lvert": "\\rvert"}
_CLOSING = frozenset(_OPENING.values())
_LETTERS = ("alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho "
            "varrho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell")
_GREEK = frozenset(_LETTERS.split())
_ACCENTS = {"hat": "hat", "widehat": "hat", "bar": "bar", "overline": "bar", "tilde": "tilde", "widetilde": "tilde",
            "dot": "dot"}
_SAME = "log exp sin cos tan sinh cosh tanh max min sech erf erfc asin acos atan asinh acosh atanh loggamma erfcx"
_FUNCTIONS = {
    **{name: name for name in _SAME.split()},
    "ln": "log", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arsinh": "asinh", "arcosh": "acosh",
    "artanh": "atanh", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "sgn": "sign", "sign": "sign",
    "Max": "max", "Min": "min", "Erf": "erf", "Erfc": "erfc",
}
_REFUSED = {
    "\\infty": "infinity is no finite number", "\\sum": "sums are not read", "\\prod": "products are not read",
    "\\pm": "two signs at once", "\\mp": "two signs at once", "\\lim": "limits are not read",
    "\\approx": "an approximation is no relation", "\\sim": "an approximation is no relation",
    "\\simeq": "an approximation is no relation", "\\propto": "a proportionality is no relation",
    "\\equiv": "an equivalence is no relation; write =", "\\neq": "an inequality without a side is no relation here",
    "\\to": "limits are not read", "\\rightarrow": "limits are not read", "\\dots": "dots stand for nothing definite",
    "\\ldots": "dots stand for nothing definite", "\\cdots": "dots stand for nothing definite",
    "\\newcommand": "macros are not read", "\\def": "macros are not read", "\\input": "files are not read",
    "\\middle": "\\middle is not read",
}


@dataclass(frozen=True)
class LatexLine:
    """One relation of a block: at which line of the text it stands, its label where it has one, and what it claims.

    `left` and `right`: what each side divides by that cancels (see derive.parse.Claim).
    """

    line: int
    label: str
    claim: Rel
    left: tuple[Expr, ...] = ()
    right: tuple[Expr, ...] = ()


def parse_latex(
    text: str, variables: Mapping[str, Expr] | None = None, functions: Mapping[str, int] | None = None, *,
    what: str = "latex", first: int = 1,
) -> tuple[LatexLine, ...]:
    r"""The relations of a block of LaTeX, a row of several as several.

    Args: text; variables (name -> symbol; `spelling` says which LaTeX stands for a name); functions (undefined
    functions: name -> number of arguments); what (how messages call the text); first (the number of its first line).
    Nothing is evaluated while reading, and what the trees hold is bounded as it is for plain text.
    Raises: DeriveError of one line that names each line that could not be read, with the reason for the first.

    >>> from sympy import symbols
    >>> m, beta, z = symbols("m beta z", real=True)
    >>> (row,) = parse_latex(r"m &= \int Dz\, \tanh\beta(m + z) \label{mag}", {"m": m, "beta": beta, "z": z})
    >>> row.label, row.claim
    ('mag', Eq(m, GaussianAverage(tanh(beta*(m + x)), x)))
    """
    if not isinstance(text, str):
        kind = type(text).__name__
        raise DeriveError(f"{what}: a {kind} is given; allowed: text", given=kind, allowed="text")
    if len(text) > MAX_LENGTH:
        raise DeriveError(f"{what}, line {first}: {len(text)} characters given; allowed: at most {MAX_LENGTH}",
                          given=text[:60], allowed=f"at most {MAX_LENGTH} characters")
    reader = _Reader(text, what, dict(variables or {}), [], further=further_functions(functions or {}), first=first,
                     declared=dict(functions or {}))
    found: list[LatexLine] = []
    refused: list[tuple[int, DeriveError]] = []
    before: LatexLine | None = None
    for row in reader.rows():
        try:
            lines = reader.read(row, before)
        except DeriveError as error:
            refused.append((reader.line(row[0].at), error))
            before = None
        else:
            found += lines
            before = lines[-1] if lines else before
    if refused:
        more = ", ".join(str(n) for n, _ in refused[1:])
        worst = refused[0][1]
        words = f"{worst} (and line{'s' * (len(refused) > 2)} {more} could not be read)" if more else str(worst)
        raise DeriveError(words, given=worst.given, allowed=worst.allowed, nearest=worst.nearest)
    if not found:
        raise DeriveError(f"{what}: no relation is given; allowed: rows such as x &= y", given=text[:60],
                          allowed="rows such as x &= y")
    return tuple(found)


def spelling(name: str) -> str:
    r"""The key under which a declared name and its LaTeX meet.

    >>> [spelling(k) for k in ("alpha_D", "lam", "lam_hat", r"\hat\lambda", "t_star", "x0", "eps", "varphi_{ab}")]
    ['alpha_D', 'lambda', 'lambda_hat', 'lambda_hat', 't_*', 'x_0', 'epsilon', 'phi_ab']
    """
    accent = re.match(r"\\(hat|bar|tilde|dot)(?![a-z])(.*)", name)
    if accent:
        return spelling(f"{accent[2]}_{accent[1]}")
    plain = re.sub(r"[\\{}\s]", "", name)
    base, _, rest = plain.partition("_")
    if digits := re.fullmatch(r"([A-Za-z]+?)([0-9]+)", base):
        base, rest = digits[1], digits[2] + ("_" + rest if rest else "")
    base = {"lam": "lambda", "eps": "epsilon", "ell": "l"}.get(base, base)
    base = base[3:] if base in ("varepsilon", "varphi", "vartheta", "varrho") else base
    rest = re.sub(r"(^|_)star$", r"\1*", rest)
    return f"{base}_{rest}" if rest else base


@dataclass
class _Reader(Parser):
    """Rows of LaTeX to trees. Tokens of a row stand in `tokens`; positions are those in the whole text."""

    first: int = 1
    declared: Mapping[str, int] = field(default_factory=dict)
    open_integrals: int = 0

    def __post_init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        for name, symbol in self.variables.items():
            keys = {spelling(name)} | ({spelling(symbol.name)} if getattr(symbol, "is_Symbol", False) else set())
            for key in keys:
                self.names.setdefault(key, []).append(name)
        self.calls = {spelling(name): name for name in self.declared}

    # ---- messages

    def line(self, at: int) -> int:
        return self.first + self.text.count("\n", 0, at)

    def allowed(self) -> str:
        names = ", ".join((*self.variables, *(f"{k}(...)" for k in self.declared)))
        return f"{names or 'numbers'}, and what derive.latex_input documents"

    def fail(self, reason: str, at: int, *, given: str | None = None, allowed: str | None = None,
             nearest: str | None = None) -> NoReturn:
        start = self.text.rfind("\n", 0, at) + 1
        stop = self.text.find("\n", at)
        row = self.text[start:len(self.text) if stop < 0 else stop]
        allowed = self.allowed() if allowed is None else allowed
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        raise DeriveError(
            f"{self.what}, line {self.line(at)}: {reason} at position {at - start + 1} of {shorten(row, at - start)}"
            f"{hint}; allowed: {allowed}", given=given if given is not None else row, allowed=allowed, nearest=nearest)

    # ---- rows

    def rows(self) -> Iterator[list[Token]]:
        """The tokens of each row; wrappers, alignment and spaces left out, continued rows joined."""
        rows: list[list[Token]] = [[]]
        depth, inner = 0, 0
        for token in self.lexed():
            if token.kind == "begin":
                if inner or token.text == "cases":
                    inner += 1
                    rows[-1].append(token)
                continue
            if token.kind == "end":
                if inner:
                    inner -= 1
                    rows[-1].append(token)
                continue
            if not inner:
                depth += (token.text == "{") - (token.text == "}")
                if token.kind == "row" and depth <= 0:
                    rows.append([])
                    continue
                if token.text == "&" and token.kind == "op":
                    continue
            rows[-1].append(token)
        joined: list[list[Token]] = []
        for row in rows:
            signs = any(self.sign(t) for t in row)
            if joined and row and not signs and row[0].text in ("+", "-", "/", "\\cdot", "\\times"):
                joined[-1] += row
            elif any(t.kind != "label" for t in row):
                joined.append(row)
        for row in joined:
            yield [*row, Token("end", "", row[-1].at + len(row[-1].text))]

    def lexed(self) -> Iterator[Token]:
        at = 0
        while at < len(self.text):
            found = _TOKEN.match(self.text, at)
            if found is None:
                yield Token("unknown", self.text[at], at)
                at += 1
                continue
            kind, shown = str(found.lastgroup), found.group()
            kind = next(k for k in _KINDS if found[k] is not None)
            at = found.end()
            if kind == "space" or (kind == "op" and shown == "$"):
                continue
            if kind == "shut":
                yield Token("op", shown, found.start())
            elif kind == "sized":
                shape = found["shape"]
                if shape == "|":
                    shape = "\\lvert" if found["side"] == "left" else "\\rvert"
                yield Token("op", shape, found.start())
            elif kind == "big":
                yield Token("op", found["shaped"], found.start())
            elif kind == "begin":
                opens = found["opens"]
                known = opens in (*_ENVIRONMENTS, "cases")
                yield Token("begin" if known else "unknown", opens if known else shown, found.start())
            elif kind == "label":
                yield Token("label", found["named"].strip(), found.start())
            elif kind == "word":
                yield Token("word", found["content"].strip(), found.start())
            elif kind == "font":
                yield Token("font", found["letter"] or found["bare"], found.start())
            elif kind == "command" and shown in ("\\lbrack", "\\rbrack"):
                yield Token("op", "[" if shown == "\\lbrack" else "]", found.start())
            else:
                yield Token(kind, shown, found.start())

    def sign(self, token: Token) -> str | None:
        return _RELATIONS.get(token.text) if token.kind in ("op", "command") else None

    def read(self, row: list[Token], before: LatexLine | None) -> list[LatexLine]:
        labels = [t.text for t in row if t.kind == "label"]
        words = [t for t in row if t.kind == "word" and re.fullmatch(r"\([\w.-]+\)", t.text)]
        if not labels and len(words) == 1 and row[-2] is words[0]:  # the form in which derivations are printed
            labels = [words[0].text[1:-1]]
            row = [t for t in row if t is not words[0]]
        self.tokens = [t for t in row if t.kind != "label"]
        while self.tokens[-2:-1] and self.tokens[-2].text in (",", ".", ";"):
            del self.tokens[-2]
        self.index = self.count = self.open_integrals = 0
        sides: list[Expr] = []
        divided: list[tuple[Expr, ...]] = []
        signs: list[str] = []
        if (sign := self.sign(self.now)) is not None:
            if before is None:
                self.fail("a row that goes on from no row before it", self.now.at, allowed="a left side")
            sides.append(before.claim.rhs)
            divided.append(before.right)
            signs.append(sign)
            self.take()
        while True:
            self.cancelled = []
            sides.append(self.build(self.sum(0)).expr)
            divided.append(tuple(self.cancelled))
            sign = self.sign(self.now)
            if sign is None:
                break
            signs.append(sign)
            self.take()
        if self.now.kind != "end":
            self.unexpected(self.now)
        if not signs:
            self.fail("no relation in this row", row[0].at, allowed="=, <, >, \\leq, \\geq")
        line = self.line(row[0].at)
        label = labels[0] if labels else ""
        claims = [_CLASSES[sign](left, right, evaluate=False)
                  for left, sign, right in zip(sides, signs, sides[1:], strict=False)]
        names = [""] * (len(claims) - 1) + [label]
        return [LatexLine(line, *made) for made in zip(names, claims, divided, divided[1:], strict=False)]

    def unexpected(self, token: Token) -> NoReturn:
        if token.text in _REFUSED:
            self.fail(f"{token.text}: {_REFUSED[token.text]}", token.at, given=token.text)
        if token.kind == "unknown" and token.text.startswith("\\begin"):
            self.fail(f"the environment {token.text}", token.at, given=token.text,
                      allowed=", ".join((*_ENVIRONMENTS, "cases")))
        if token.text == "|":
            self.fail("a bar without \\left or \\right", token.at, given="|", allowed="\\left| x \\right|")
        if token.text == "!":
            self.fail("factorials are not read; write \\Gamma(n + 1)", token.at, given="!")
        if token.kind == "command":
            more = ("frac", "sqrt", "int", "cdot", "left", "right", "langle", "partial")
            known = [f"\\{k}" for k in (*reversed(_LETTERS.split()), *_FUNCTIONS, *_ACCENTS, *more)]
            self.fail(f"the command {token.text} is not read here", token.at, given=token.text,
                      nearest=nearest_name(token.text, known))
        if token.kind == "word":
            self.fail(f"the words {shorten(token.text)}", token.at, given=token.text)
        found = "the row ends" if token.kind == "end" else f"{token.text!r} found"
        self.fail(f"{found} where it cannot be read", token.at, given=token.text)

    # ---- sums and products

    def sum(self, depth: int) -> Tree:
        at, terms = self.now.at, [self.term(depth)]
        while op := self.accept("+", "-"):
            term = self.product(depth)
            terms.append(self.node("neg", op.at, (term,)) if op.text == "-" else term)
        return terms[0] if len(terms) == 1 else self.node("sum", at, tuple(terms))

    def term(self, depth: int) -> Tree:
        """The first term of a sum, which may have a sign."""
        op = self.accept("+", "-")
        inner = self.product(depth)
        return self.node("neg", op.at, (inner,)) if op and op.text == "-" else inner

    def product(self, depth: int) -> Tree:
        at, factors = self.now.at, self.chain(depth)
        while (op := self.accept("/", "*")) or self.now.text in ("\\cdot", "\\times"):
            if op is None:
                self.take()
            more = self.chain(depth)
            if op and op.text == "/":
                if len(more) > 1:
                    self.fail("a division by a product without parentheses, which can be read in two ways", op.at,
                              given="/", allowed="\\frac{a}{b c} or (a/b) c")
                more = [self.node("divide", op.at, (more[0],))]
            factors += more
        return factors[0] if len(factors) == 1 else self.node("product", at, tuple(factors))

    def chain(self, depth: int) -> list[Tree]:
        """The factors of an implicit product."""
        factors = [self.factor(depth)]
        while self.begins():
            if self.now.kind == "number" and self.tokens[self.index - 1].kind == "number":
                self.fail("two numbers side by side", self.now.at, given=self.now.text, allowed="2 \\cdot 3")
            factors.append(self.factor(depth))
        return factors

    def begins(self) -> bool:
        """Whether a factor begins here."""
        token = self.now
        if token.kind in ("number", "name", "font", "begin"):
            return not (self.open_integrals and self.measure(self.index) is not None)
        if token.kind == "word":
            return bool(re.fullmatch(r"[A-Za-z]\w*", token.text)) and not (
                self.open_integrals and self.measure(self.index) is not None)
        if token.kind == "command":
            name = token.text[1:]
            return name in _GREEK or name in _ACCENTS or name in _FUNCTIONS or name in (
                "frac", "tfrac", "dfrac", "sqrt", "int") or token.text in _OPENING
        return token.kind == "op" and (token.text in _OPENING or token.text == "{")

    def factor(self, depth: int) -> Tree:
        base = self.atom(self.deeper(depth))
        return self.powers(base, depth)

    def powers(self, base: Tree, depth: int) -> Tree:
        if op := self.accept("^"):
            base = self.node("power", op.at, (base, self.script(self.deeper(depth))))
            if self.now.text in ("^", "_", "'"):
                self.fail(f"{self.now.text!r} after a power", self.now.at, given=self.now.text,
                          allowed="the subscript before the power, one power")
        return base

    def script(self, depth: int) -> Tree:
        """What stands after ^ or as an argument of \\frac: a group, or one sign."""
        token = self.now
        if token.text == "{":
            return self.group(depth)
        if token.kind == "number":
            return self.digit()
        if token.kind == "name" or (token.kind == "command" and token.text[1:] in _GREEK):
            self.take()
            return self.symbol(token, spelling(token.text), bare=True)
        self.unexpected(token)

    def digit(self) -> Tree:
        """The first digit of a number, as TeX reads a script without braces."""
        token = self.now
        if not token.text[0].isdigit():
            self.unexpected(token)
        if len(token.text) == 1:
            self.take()
        else:
            self.tokens = [*self.tokens]
            self.tokens[self.index] = Token("number", token.text[1:], token.at + 1)
        return self.node("number", token.at, text=token.text[0])

    def group(self, depth: int) -> Tree:
        self.expect("{", "here")
        inner = self.sum(self.deeper(depth))
        self.expect("}", "after the '{' opened before it")
        return inner

    # ---- atoms

    def atom(self, depth: int) -> Tree:
        token = self.now
        if token.kind == "number":
            self.take()
            return self.node("number", token.at, text=token.text)
        if token.kind == "begin":
            return self.piecewise_of(depth)
        if token.text == "{" and token.kind == "op":
            return self.group(depth)
        if token.text in _OPENING and token.kind in ("op", "command"):
            return self.delimited(depth)
        if token.kind == "font":
            return self.expectation(depth)
        if token.kind == "word":
            return self.worded(depth)
        if token.kind == "name":
            return self.named_symbol(depth)
        if token.kind == "command":
            name = token.text[1:]
            if name in _FUNCTIONS:
                self.take()
                return self.function(token, _FUNCTIONS[name], depth)
            if name in _GREEK or name in _ACCENTS:
                return self.named_symbol(depth)
            if name in ("frac", "tfrac", "dfrac"):
                return self.fraction(depth)
            if name == "sqrt":
                return self.root(depth)
            if name == "int":
                return self.integral(depth)
        self.unexpected(token)

    def delimited(self, depth: int) -> Tree:
        opened = self.take()
        if opened.text == "\\lvert":
            inner = self.sum(depth)
            self.shut(opened)
            return self.node("call", opened.at, (inner,), "abs")
        inner = self.sum(depth)
        if self.now.text == "," and opened.text != "\\langle":
            self.fail("a list in parentheses that no function takes", self.now.at, given=",", allowed="one expression")
        self.shut(opened)
        if opened.text == "\\langle":
            at = self.now.at
            if not self.accept("_"):
                self.fail("an average that does not say over what", at, given="\\langle",
                          allowed="\\langle ... \\rangle_{z}, over a standard normal z")
            return self.average(inner, self.subscript_names(), opened.at)
        return inner

    def shut(self, opened: Token) -> None:
        closing = _OPENING[opened.text]
        token = self.now
        if token.text != closing or token.kind not in ("op", "command"):
            found = "the row ends" if token.kind == "end" else f"{token.text!r} found"
            if token.kind != "end" and token.text not in _CLOSING and token.text != "}":
                self.unexpected(token)
            self.fail(f"{closing!r} is missing after {opened.text!r}, {found}", token.at, given=token.text,
                      allowed=closing)
        self.take()

    def fraction(self, depth: int) -> Tree:
        token = self.take()
        if self.differential(self.index) and (found := self.derivative(token, depth)):
            return found
        above = self.script(self.deeper(depth))
        below = self.script(self.deeper(depth))
        return self.node("product", token.at, (above, self.node("divide", token.at, (below,))))

    def root(self, depth: int) -> Tree:
        token = self.take()
        order: Tree | None = None
        if self.accept("["):
            order = self.sum(self.deeper(depth))
            self.expect("]", "after the order of a root")
        inner = self.script(self.deeper(depth))
        if order is None:
            return self.node("call", token.at, (inner,), "sqrt")
        one = self.node("number", token.at, text="1")
        power = self.node("product", token.at, (one, self.node("divide", token.at, (order,))))
        return self.node("power", token.at, (inner, power))

    def piecewise_of(self, depth: int) -> Tree:
        """The cases of \\begin{cases}: value & \\text{for} condition, the last \\text{otherwise}."""
        token = self.take()
        cases: list[Tree] = []
        while True:
            value = self.sum(self.deeper(depth))
            self.expect("&", "after the value of a case")
            at = self.now.at
            while self.now.kind == "word" and self.now.text.lower() in ("for", "if", "when"):
                self.take()
            if self.now.kind == "word" and self.now.text.lower() in ("otherwise", "else"):
                self.take()
                condition = self.node("true", at)
            else:
                condition = self.comparison(depth)
            cases.append(self.node("case", at, (value, condition)))
            self.accept(",", ".", ";")
            if self.now.kind == "end" and self.now.text:
                self.take()
                break
            if self.now.kind != "row":
                self.unexpected(self.now)
            self.take()
            if self.now.kind == "end" and self.now.text:
                self.take()
                break
        if cases[-1].args[1].head != "true":
            self.fail("the last case needs \\text{otherwise}", cases[-1].at, allowed="\\text{otherwise}")
        return self.node("piecewise", token.at, tuple(cases))

    def comparison(self, depth: int) -> Tree:
        terms = []
        while True:
            left = self.sum(self.deeper(depth))
            sign = self.sign(self.now)
            if sign is None or sign == "=":
                self.fail("a comparison is expected", self.now.at, allowed="<, >, \\leq, \\geq, \\text{otherwise}")
            at = self.take().at
            terms.append(self.node(sign, at, (left, self.sum(self.deeper(depth)))))
            if self.now.text not in ("\\wedge", "\\land"):
                break
            self.take()
        return terms[0] if len(terms) == 1 else self.node("&", terms[0].at, tuple(terms))

    # ---- names

    def named_symbol(self, depth: int) -> Tree:
        token = self.take()
        base = token.text
        if token.kind == "command" and token.text[1:] in _ACCENTS:
            base = self.accented(token)
        key = spelling(base)
        if self.accept("_"):
            key = spelling(f"{base}_{self.subscript()}") if "_" not in key else f"{key}_{self.subscript()}"
        primes = 0
        while self.accept("'"):
            primes += 1
        return self.symbol(token, key, depth=depth, primes=primes)

    def accented(self, token: Token) -> str:
        braced = self.accept("{")
        inner = self.take()
        if inner.kind != "name" and not (inner.kind == "command" and inner.text[1:] in _GREEK):
            self.unexpected(inner)
        if braced:
            self.expect("}", f"after {token.text}")
        return f"{spelling(inner.text)}_{_ACCENTS[token.text[1:]]}"

    def subscript(self) -> str:
        """The text of a subscript."""
        parts = []
        if not self.accept("{"):
            return self.subscript_part(self.take())
        while self.now.text != "}":
            parts.append(self.subscript_part(self.take()))
        self.take()
        return "".join(parts)

    def subscript_part(self, token: Token) -> str:
        if token.kind in ("name", "number", "font"):
            return token.text
        if token.kind == "word" and re.fullmatch(r"[\w ]+", token.text):
            return token.text.replace(" ", "_")
        if token.kind == "command" and token.text[1:] in _GREEK:
            return spelling(token.text)
        if token.kind == "command" and token.text in ("\\ast", "\\star"):
            return "*"
        if token.kind == "command" and token.text in ("\\max", "\\min"):
            return token.text[1:]
        if token.text in ("*", "+", "-", ",", "_"):
            return token.text
        self.fail(f"{token.text!r} in a subscript", token.at, given=token.text, allowed="letters, digits, *")

    def symbol(self, token: Token, key: str, *, bare: bool = False, depth: int = 0, primes: int = 0) -> Tree:
        """The tree of a name: a declared symbol, a declared function that is applied, or a number of its own."""
        names = self.names.get(key, [])
        applied = not bare and (self.now.text in ("(", "[") or (self.now.text == "{" and self.peek().text in "(["))
        if key in self.calls and applied:
            return self.applied(token, self.calls[key], primes, depth)
        if primes:
            self.fail(f"a prime on {key}, which is no declared function that is applied", token.at, given=key + "'")
        if len(names) > 1:
            self.fail(f"{key} can be {' or '.join(names)}", token.at, given=key, allowed="one declared name")
        if names:
            return self.node("name", token.at, text=names[0])
        if key in ("e", "pi"):
            return self.node("name", token.at, text="E" if key == "e" else "pi")
        if key in ("Gamma", "theta") and applied:
            return self.function(token, "gamma" if key == "Gamma" else "Heaviside", depth)
        if key in self.calls:
            self.fail(f"the function {key} without its argument", token.at, given=key,
                      nearest=f"{key}({', '.join('x' * self.declared[self.calls[key]])})")
        kind = "function" if applied and not names else "name"
        known = [*self.names, *self.calls]
        self.fail(f"unknown {kind} {shorten(key)}", token.at, given=key, nearest=nearest_name(key, known))

    def peek(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def worded(self, depth: int) -> Tree:
        """An upright word: a function's name, or a name of several letters."""
        token = self.take()
        word = token.text
        if word in _FUNCTIONS and spelling(word) not in self.names:
            return self.function(token, _FUNCTIONS[word], depth)
        if not re.fullmatch(r"[A-Za-z]\w*", word):
            self.unexpected(token)
        key = spelling(word)
        if self.accept("_"):
            key = f"{key}_{self.subscript()}"
        return self.symbol(token, key, depth=depth)

    # ---- functions

    def function(self, token: Token, name: str, depth: int) -> Tree:
        power: Tree | None = None
        if self.now.text == "_":
            self.fail(f"a subscript of the function {name}", self.now.at, given="_", allowed="natural logarithms")
        if self.accept("^"):
            at = self.now.at
            power = self.script(self.deeper(depth))
            if power.head == "neg":
                self.fail(f"a negative power of {name}, which can be read as its inverse", at,
                          given=name, allowed=f"1/\\{name}(x), or the inverse by its name")
        arguments, closed = self.arguments(token, name, depth)
        function = self.functions[name]
        if not function.fewest <= len(arguments) <= function.most:
            self.fail(f"{name} takes {function.fewest} to {function.most} arguments, {len(arguments)} given", token.at,
                      given=name)
        call = self.node("call", token.at, tuple(arguments), name)
        if self.now.text == "^":
            if power is not None or closed != "group":
                self.fail(f"a power after {name}(...), which can be read in two ways", self.now.at, given="^",
                          allowed=f"({name}(x))^n, {name}^n(x) or {name}(x^n)")
            call = self.powers(call, depth)
        if power is not None:
            call = self.node("power", token.at, (call, power))
        if closed == "open" and self.now.text == "/":
            self.fail(f"a division after {name} without parentheses, which can be read in two ways", self.now.at,
                      given="/", allowed=f"{name}(a/b) or (\\{name} a)/b")
        return call

    def arguments(self, token: Token, name: str, depth: int) -> tuple[list[Tree], str]:
        """The arguments, and how they stand: in a group, in parentheses, or open."""
        depth = self.deeper(depth)
        if self.now.text == "{" and self.now.kind == "op":
            wrapped = self.peek().text in ("(", "[")
            at = self.index
            if wrapped:
                self.take()
                found = self.listed(depth)
                if self.accept("}"):
                    return found, "group"
                self.index = at
            return [self.group(depth)], "group"
        if self.now.text in ("(", "["):
            return self.listed(depth), "parentheses"
        if self.now.kind in ("word", "command") and self.function_here():
            return [self.factor(depth)], "parentheses"
        if not self.begins():
            self.fail(f"the function {name} has no argument", token.at, given=name)
        at, factors = self.now.at, [self.factor(depth)]
        while self.begins() and not self.function_here() and self.now.text not in ("\\int", "\\frac"):
            factors.append(self.factor(depth))
        return [factors[0] if len(factors) == 1 else self.node("product", at, tuple(factors))], "open"

    def function_here(self) -> bool:
        word = self.now.text.lstrip("\\")
        return self.now.kind in ("word", "command") and word in _FUNCTIONS and spelling(word) not in self.names

    def listed(self, depth: int) -> list[Tree]:
        opened = self.take()
        found = [self.sum(depth)]
        while self.accept(","):
            found.append(self.sum(depth))
        self.shut(opened)
        return found

    def applied(self, token: Token, name: str, primes: int, depth: int) -> Tree:
        """A declared function with its arguments, or its derivative at a symbol."""
        grouped = self.accept("{")
        arguments = self.listed(self.deeper(depth))
        if grouped:
            self.expect("}", f"after the arguments of {name}")
        count = self.declared[name]
        if len(arguments) != count:
            self.fail(f"{name} takes {count} argument{'s' * (count > 1)}, {len(arguments)} given", token.at, given=name)
        call = self.node("call", token.at, tuple(arguments), name)
        if self.now.text == "^" and not grouped:
            self.fail(f"a power after {name}(...), which can be read in two ways", self.now.at, given="^",
                      allowed=f"({name}(x))^n or {name}(x^n)")
        if not primes:
            return call
        if count != 1 or arguments[0].head != "name" or primes > 2:
            self.fail(f"a prime on {name} whose argument is no symbol", token.at, given=f"{name}'",
                      allowed=f"{name}'(x) and {name}''(x) of a symbol x")
        return self.node("call", token.at, (call, *[arguments[0]] * primes), "diff")

    # ---- derivatives, averages

    def differential(self, index: int) -> bool:
        """Whether a group that begins with d or a partial sign stands here."""
        if self.tokens[index].text != "{":
            return False
        token = self.tokens[index + 1]
        upright = token.kind in ("word", "font") and token.text == "d"
        return token.text == "\\partial" or upright or (
            token.kind == "name" and token.text == "d" and "d" not in self.names)

    def derivative(self, token: Token, depth: int) -> Tree | None:
        start = self.index
        level, below = 0, start
        for below in range(start, len(self.tokens)):
            level += (self.tokens[below].text == "{") - (self.tokens[below].text == "}")
            if level == 0:
                break
        if below + 2 >= len(self.tokens) or not self.differential(below + 1):
            return None
        self.index += 2
        if self.accept("^"):
            self.script(depth)
        operand = None if self.now.text == "}" else self.product(self.deeper(depth))
        self.expect("}", "above a derivative")
        self.expect("{", "below a derivative")
        variables: list[Tree] = []
        while not self.accept("}"):
            self.take()  # d, or a partial sign
            at = self.now
            if at.text == "}":
                self.unexpected(at)
            variable = self.plain_symbol()
            times = 1
            if self.accept("^"):
                order = self.script(depth)
                times = int(order.text) if order.head == "number" and order.text in ("1", "2") else 0
                if not times:
                    self.fail("the order of a derivative", at.at, given=order.text, allowed="1 or 2")
            variables += [variable] * times
            if not variables or len(variables) > 2:
                self.fail(f"a derivative of order {len(variables)}", token.at, allowed="1 or 2")
        if operand is None:
            operand = self.factor(depth)
            if self.begins():
                self.fail("a product after a derivative sign, which can be read in two ways", self.now.at,
                          allowed="\\frac{d}{dx} (f g)")
        return self.node("call", token.at, (operand, *variables), "diff")

    def plain_symbol(self) -> Tree:
        token = self.now
        if token.kind not in ("name", "word") and not (
                token.kind == "command" and token.text[1:] in (*_GREEK, *_ACCENTS)):
            self.unexpected(token)
        self.take()
        base = self.accented(token) if token.kind == "command" and token.text[1:] in _ACCENTS else token.text
        key = spelling(base)
        if self.accept("_"):
            key = f"{key}_{self.subscript()}" if "_" in key else spelling(f"{base}_{self.subscript()}")
        return self.symbol(token, key, bare=True)

    def measure(self, index: int) -> int | None:
        """Where the variable of a Gaussian measure Dz stands, if one stands at this index."""
        token = self.tokens[index]
        marked = token.text == "D" and token.kind in ("name", "font", "word")
        if not marked:
            return None
        after = self.tokens[index + 1]
        named = after.kind == "name" or (after.kind == "command" and after.text[1:] in (*_GREEK, *_ACCENTS))
        return index + 1 if named else None

    def integral(self, depth: int) -> Tree:
        token = self.take()
        self.limits()
        variables = self.measures()
        self.open_integrals += 0 if variables else 1
        if not variables and self.now.kind == "name" and self.now.text == "d" and "d" not in self.names:
            self.fail("an integral over a measure other than Dz", self.now.at, given="\\int",
                      allowed="\\int Dz f, over a standard normal z")
        body = self.term(self.deeper(depth))
        if not variables:
            self.open_integrals -= 1
            variables = self.measures()
        if not variables:
            self.fail("an integral without a Gaussian measure", token.at, given="\\int",
                      allowed="\\int Dz f, over a standard normal z")
        return self.average(body, variables, token.at)

    def limits(self) -> None:
        """The ends of an integral over the whole line, which say nothing more."""
        seen = ""
        while self.now.text in ("_", "^"):
            at = self.take()
            if not self.accept("{"):
                part = self.take().text
                seen += part
            else:
                while self.now.text != "}" and self.now.kind != "end":
                    seen += self.take().text
                self.expect("}", "after the end of an integral")
        if seen not in ("", "-\\infty\\infty", "-\\infty+\\infty", "\\infty-\\infty", "\\mathbb{R}", "R"):
            self.fail("ends of an integral other than the whole line", at.at, given=seen, allowed="-\\infty, \\infty")

    def measures(self) -> list[Tree]:
        found = []
        while self.now.kind != "end" and self.measure(self.index) is not None:
            self.take()
            found.append(self.plain_symbol())
        return found

    def expectation(self, depth: int) -> Tree:
        token = self.now
        if token.text != "E":
            self.unexpected(token)
        self.take()
        if not self.accept("_"):
            self.fail("an average that does not say over what", token.at, given="\\mathbb{E}",
                      allowed="\\mathbb{E}_{z}[...], over a standard normal z")
        names = self.subscript_names()
        if self.now.text == "{" or self.now.text not in _OPENING:
            self.fail("an average without brackets", self.now.at, given="\\mathbb{E}", allowed="\\mathbb{E}_{z}[...]")
        return self.average(self.delimited(self.deeper(depth)), names, token.at)

    def subscript_names(self) -> list[Tree]:
        if not self.accept("{"):
            return [self.plain_symbol()]
        found = [self.plain_symbol()]
        while self.accept(","):
            found.append(self.plain_symbol())
        self.expect("}", "after what an average is over")
        return found

    def average(self, body: Tree, variables: Sequence[Tree], at: int) -> Tree:
        if any(v.head != "name" for v in variables):
            self.fail("an average over what is no symbol", at, allowed="declared symbols")
        most = self.functions["mean"].most - 1
        if len(variables) > most or len({v.text for v in variables}) < len(variables):
            self.fail(f"an average over {len(variables)} variables", at, allowed=f"1 to {most} different ones")
        return self.node("call", at, (body, *variables), "mean")


_KINDS = ("space", "row", "begin", "end", "label", "word", "font", "sized", "big", "shut", "number", "command", "name",
          "op")
