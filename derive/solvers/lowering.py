"""From an expression to the text of a NumPy function, by way of an allow-listed tree.

An expression is read once and turned into a list of operations, equal ones shared, in the order of their making.  A
positive unknown u is known by its logarithm: products that contain it become exponentials of sums of logarithms,
logarithms of sums become `log_add` or `softplus`, so that nothing over- or underflows on the way.  The slope in the
unknown is made from the operations themselves, forwards.  A SymPy class that is not in the list is refused by name.
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy import Add, Basic, Expr, Function, Mul, Pow, Symbol
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import And, BooleanFalse, BooleanTrue, Not, Or

from derive.core import DeriveError

__all__ = ["Code", "Lowering", "NoSlope", "Operation", "identifier"]


class NoSlope(Exception):
    """The operations do not say how they vary with the unknown; a method without derivatives is used."""


class _Gain(Function):  # type: ignore[misc]
    """b V, with V = MPResponse(b, ratio)."""

    is_positive = True


class _Rest(Function):  # type: ignore[misc]
    """1 - V, with V = MPResponse(b, ratio)."""

    is_positive = True


def identifier(name: str, taken: Iterable[str] = ()) -> str:
    """A Python name made from a symbol's, different from those taken.

    >>> identifier("lambda"), identifier("x'", ("x_",))
    ('lambda_', 'x__')
    """
    text = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name) or "_"
    if text[0].isdigit() or text.startswith(("_", "log_")):
        text = "s" + text
    reserved = {"np", "special", "math", "mpmath", "mp", "u", "unknown", "center", "width", *taken}
    while keyword.iskeyword(text) or text in reserved or hasattr(builtins, text):
        text += "_"
    return text


class _Information(Function):  # type: ignore[misc]
    """log(1 + b V) - ratio log V - ratio (1 - V), with V = MPResponse(b, ratio): <log(1 + b c)>."""

    is_positive = True


class _Share(Function):  # type: ignore[misc]
    """b V/(1 + b V) = ratio (1 - V), with V = MPResponse(b, ratio)."""

    is_positive = True


@dataclass(frozen=True)
class Operation:
    """One operation: kind, the operands' numbers, and what else it needs (a constant, a name, a call)."""

    kind: str
    operands: tuple[int, ...] = ()
    data: Any = None


# text of an operation (operands as {0}, {1}, ...), its precedence, and the names it needs from the runtime
_TEXT: dict[str, tuple[str, int]] = {
    "sub": ("{0} - {1}", 1),
    "div": ("{0} / {1}", 2),
    "neg": ("-{0}", 2),
    "not": ("~{0}", 3),
    "exp": ("np.exp({0})", 4),
    "log": ("np.log({0})", 4),
    "log1p": ("np.log1p({0})", 4),
    "expm1": ("np.expm1({0})", 4),
    "sqrt": ("np.sqrt({0})", 4),
    "sin": ("np.sin({0})", 4),
    "cos": ("np.cos({0})", 4),
    "tan": ("np.tan({0})", 4),
    "sinh": ("np.sinh({0})", 4),
    "cosh": ("np.cosh({0})", 4),
    "tanh": ("np.tanh({0})", 4),
    "asin": ("np.arcsin({0})", 4),
    "acos": ("np.arccos({0})", 4),
    "atan": ("np.arctan({0})", 4),
    "asinh": ("np.arcsinh({0})", 4),
    "acosh": ("np.arccosh({0})", 4),
    "atanh": ("np.arctanh({0})", 4),
    "abs": ("np.abs({0})", 4),
    "sign": ("np.sign({0})", 4),
    "floor": ("np.floor({0})", 4),
    "maximum": ("np.maximum({0}, {1})", 4),
    "minimum": ("np.minimum({0}, {1})", 4),
    "power": ("{0} ** {1}", 3),
    "step": ("np.heaviside({0}, {1})", 4),
    "erf": ("special.erf({0})", 4),
    "erfc": ("special.erfc({0})", 4),
    "erfinv": ("special.erfinv({0})", 4),
    "erfcinv": ("special.erfcinv({0})", 4),
    "erfcx": ("special.erfcx({0})", 4),
    "gamma": ("special.gamma({0})", 4),
    "log_gamma": ("log_gamma({0})", 4),
    "lambert_w": ("lambert_w({0})", 4),
    "softplus": ("softplus({0})", 4),
    "log_softplus": ("log_softplus({0})", 4),
    "logistic": ("logistic({0})", 4),
    "log_add": ("log_add({0}, {1})", 4),
    "log_subtract": ("log_subtract({0}, {1})", 4),
    "log1mexp": ("log1mexp({0})", 4),
    "log_cosh": ("log_cosh({0})", 4),
    "log_erfc": ("log_erfc({0})", 4),
    "log_erfc_drop": ("log_erfc_drop({0}, {1})", 4),
    "mp_response": ("mp_response({0}, {1})", 4),
    "mp_information": ("mp_information({0}, {1})", 4),
    "less": ("less({0}, {1}, {2})", 4),
    "less_equal": ("less_equal({0}, {1}, {2})", 4),
    "equal": ("equal({0}, {1}, {2})", 4),
    "all_of": ("np.logical_and({0}, {1})", 4),
    "one_of": ("np.logical_or({0}, {1})", 4),
}

_ELEMENTARY: dict[type, str] = {
    sp.sin: "sin",
    sp.cos: "cos",
    sp.tan: "tan",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.tanh: "tanh",
    sp.asin: "asin",
    sp.acos: "acos",
    sp.atan: "atan",
    sp.asinh: "asinh",
    sp.acosh: "acosh",
    sp.atanh: "atanh",
    sp.Abs: "abs",
    sp.sign: "sign",
    sp.floor: "floor",
    sp.erf: "erf",
    sp.erfc: "erfc",
    sp.erfinv: "erfinv",
    sp.erfcinv: "erfcinv",
    sp.gamma: "gamma",
    sp.loggamma: "log_gamma",
    sp.LambertW: "lambert_w",
}
_NODE_FUNCTIONS = {
    "log_cosh": "log_cosh",
    "log_erfc": "log_erfc",
    "log1mexp": "log1mexp",
    "softplus": "softplus",
    "erfcx": "erfcx",
}
_AVERAGES = ("GaussianAverage", "MeasureAverage", "SpectralAverage", "LogAverageExp", "TiltedAverage")


def _kind(e: Basic) -> str:
    """The class name of one of our own nodes, or nothing for anything else."""
    cls = type(e)
    return cls.__name__ if (cls.__module__ or "").startswith("derive.nodes.") else ""


@dataclass
class Code:
    """The text made so far of one module: functions and laws, and the run-time names they use.

    `names` maps symbols to identifiers, `logs` are the positive unknowns known by their logarithms.
    """

    names: dict[Symbol, str]
    logs: frozenset[Symbol] = frozenset()
    functions: dict[str, str] = field(default_factory=dict)
    laws: dict[str, str] = field(default_factory=dict)
    uses: set[str] = field(default_factory=set)

    def add(self, hint: str, arguments: Sequence[str], lines: Sequence[str], doc: str = "") -> str:
        """Put a function into the module, once for each text; returns its name."""
        head = f"({', '.join(arguments)}):\n"
        body = (f'    """{doc}"""\n' if doc else "") + "".join(f"    {line}\n" for line in lines)
        for name, text in self.functions.items():
            if text == head + body and name.rstrip("0123456789") == hint + "_":
                return name
        name = f"{hint}_{len(self.functions) + 1}"
        self.functions[name] = head + body
        return name

    def bound(self, symbol: Symbol) -> str:
        """The name of a bound variable, different from every parameter's and unknown's."""
        return identifier(symbol.name, self.names.values())

    def law(self, text: str) -> str:
        """Put a law into the module, once for each text; returns its name."""
        return self.laws.setdefault(text, f"LAW_{len(self.laws) + 1}")

    def source(self) -> str:
        """The functions, then the laws that are built of them."""
        functions = "\n\n".join(f"def {name}{text}" for name, text in self.functions.items())
        laws = "\n".join(f"{name} = {text}" for text, name in self.laws.items())
        return functions + (f"\n\n{laws}\n" if laws else "")


class Lowering:
    """One generated function in the making.

    Arguments: code (the module it belongs to).  `value(e)`, `log(e)` and `condition(e)` return the number of the
    operation that gives the expression, its logarithm, its truth; `write` puts the function into the module.
    """

    def __init__(self, code: Code, local: dict[Symbol, str] | None = None) -> None:
        self.code = code
        self.local = local or {}
        self._groups: dict[tuple[Basic, ...], list[Expr]] = {}
        self.operations: list[Operation] = []
        self._number: dict[Operation, int] = {}
        self._values: dict[Basic, int] = {}
        self._logs: dict[Basic, int] = {}
        self._slopes: dict[int, int | None] = {}
        self._hot: dict[Basic, bool] = {}

    def child(self, local: dict[Symbol, str]) -> Lowering:
        """A function with further local variables, to be called from this one."""
        return Lowering(self.code, {**self.local, **local})

    def prepare(self, *roots: Basic) -> None:
        """Note which averages share a tilt, so that they are taken together."""
        todo = list(roots)
        while todo:
            e = todo.pop()
            if _kind(e) == "TiltedAverage":
                f, g = e.scoped
                group = self._groups.setdefault((g, e.bound_symbols[0], e.law), [])
                if f not in group:
                    group.append(f)
                    group.sort(key=sp.default_sort_key)
            elif _kind(e) not in _AVERAGES:
                todo += e.args

    def siblings(self, e: Any) -> list[Expr]:
        """The integrands of all averages that share the tilt of this one."""
        f, g = e.scoped
        group = self._groups.setdefault((g, e.bound_symbols[0], e.law), [])
        return list(group) if f in group else [f]

    # --- operations --------------------------------------------------------------------------------------------

    def make(self, kind: str, *operands: int, data: Any = None) -> int:
        """The number of an operation, an equal one used again, constants folded where nothing is lost."""
        simple = self._simplified(kind, operands)
        if simple is not None:
            return simple
        operation = Operation(kind, operands, data)
        if operation not in self._number:
            self._number[operation] = len(self.operations)
            self.operations.append(operation)
        return self._number[operation]

    def _simplified(self, kind: str, operands: tuple[int, ...]) -> int | None:
        values = [self.operations[i].data if self.operations[i].kind == "const" else None for i in operands]
        if kind == "add" and len(operands) == 1:
            return operands[0]
        if kind in ("add", "mul") and any(v == (0.0 if kind == "add" else 1.0) for v in values):
            neutral = 0.0 if kind == "add" else 1.0
            kept = [i for i, v in zip(operands, values, strict=True) if v != neutral]
            return self.make(kind, *kept) if len(kept) > 1 else kept[0] if kept else self.const(neutral)
        if kind == "mul" and len(operands) == 1:
            return operands[0]
        if kind == "mul" and len(operands) == 2 and -1.0 in values:
            return self.make("neg", operands[1 - values.index(-1.0)])
        if kind == "sub" and values[1] == 0.0:
            return operands[0]
        if kind == "div" and values[1] == 1.0:
            return operands[0]
        if kind == "neg" and values[0] is not None:
            return self.const(-values[0])
        if kind == "neg" and self.operations[operands[0]].kind == "neg":
            return self.operations[operands[0]].operands[0]
        if kind == "log_subtract" and values[0] == 0.0:
            return self.make("log1mexp", self.make("neg", operands[1]))
        if kind == "log_add" and 0.0 in values:
            return self.make("softplus", operands[1 - values.index(0.0)])
        if kind == "softplus":
            inner = self.operations[operands[0]]
            if inner.kind == "item" and inner.data == 2 and self.operations[inner.operands[0]].kind == "mp_response":
                return self.make("item", inner.operands[0], data=4)
        return None

    def const(self, value: float) -> int:
        """A constant."""
        return self.make("const", data=float(value))

    def argument(self, name: str) -> int:
        """An argument of the function."""
        return self.make("arg", data=name)

    def total(self, positive: Sequence[int], negative: Sequence[int] = ()) -> int:
        """A sum of operations less another."""
        if not positive:
            return self.make("neg", self.total(negative)) if negative else self.const(0.0)
        head = self.make("add", *positive) if len(positive) > 1 else positive[0]
        return self.make("sub", head, self.total(negative)) if negative else head

    # --- what an expression is ---------------------------------------------------------------------------------

    def hot(self, e: Basic) -> bool:
        """Whether the size of e may lie beyond the doubles: it holds a logarithmic unknown, or an exponential."""
        if e not in self._hot:
            if isinstance(e, sp.exp | sp.cosh | sp.sinh) and e.free_symbols:
                self._hot[e] = True
            else:
                self._hot[e] = e in self.code.logs or (_kind(e) not in _AVERAGES and any(self.hot(a) for a in e.args))
        return self._hot[e]

    @staticmethod
    def sign(e: Expr) -> int:
        """+1 where e is known to be positive (or zero), -1 where negative, 0 where it is not known."""
        if e.is_positive or e.is_nonnegative:
            return 1
        return -1 if e.is_negative or e.is_nonpositive else 0

    def refuse(self, e: Basic) -> DeriveError:
        """The error for something that is not in the list."""
        name = type(e).__name__
        return DeriveError(
            f"no numerical code is generated for {name}: {str(e)[:80]}",
            given=name,
            allowed="arithmetic, elementary functions, and the averages and safe functions of derive.nodes",
        )

    # --- values ------------------------------------------------------------------------------------------------

    def value(self, e: Expr) -> int:
        """The operation that gives e.

        Raises: DeriveError for a class that is not in the list, or a symbol that is not an argument.
        """
        if e not in self._values:
            self._values[e] = self._value(e)
        return self._values[e]

    def _value(self, e: Expr) -> int:
        if not e.free_symbols:
            return self._constant(e)
        if isinstance(e, Symbol):
            name = self.local.get(e) or self.code.names.get(e)
            if name is None:
                raise DeriveError(f"the symbol {e} is neither a parameter nor an unknown", given=str(e))
            return self.argument(name)
        if isinstance(e, Add):
            return self._sum(e)
        if isinstance(e, Mul):
            return self._product(e)
        if isinstance(e, sp.exp):
            return self.make("exp", self.value(e.args[0]))
        if isinstance(e, Pow):
            return self._power(e)
        if isinstance(e, sp.log):
            return self.log(e.args[0])
        if isinstance(e, sp.Max | sp.Min):
            kind = "maximum" if isinstance(e, sp.Max) else "minimum"
            first, *others = (self.value(a) for a in e.args)
            for other in others:
                first = self.make(kind, first, other)
            return first
        if isinstance(e, sp.Heaviside):
            return self.make("step", self.value(e.args[0]), self.value(e.args[1]))
        if isinstance(e, sp.coth | sp.sech | sp.csch | sp.sec | sp.csc | sp.cot):
            inverse = {
                sp.coth: sp.tanh,
                sp.sech: sp.cosh,
                sp.csch: sp.sinh,
                sp.sec: sp.cos,
                sp.csc: sp.sin,
                sp.cot: sp.tan,
            }
            return self.make("div", self.const(1.0), self.value(inverse[type(e)](e.args[0])))
        if isinstance(e, sp.Piecewise):
            return self._pieces(e)
        if type(e) is sp.LambertW and len(e.args) == 1:
            return self.make("lambert_w", self.value(e.args[0]))
        if type(e) in _ELEMENTARY and len(e.args) == 1:
            return self.make(_ELEMENTARY[type(e)], self.value(e.args[0]))
        if isinstance(e, _Gain):
            return self.make("exp", self._response(e, 2))
        if isinstance(e, _Rest):
            return self._response(e, 1)
        if isinstance(e, _Information | _Share):
            b, ratio = e.args
            whole = self.make("mp_information", self.log(b), self.value(ratio))
            return self.make("item", whole, data=0 if isinstance(e, _Information) else 1)
        kind = _kind(e)
        if kind == "MPResponse":
            return self.make("exp", self._response(e, 0))
        if kind == "log_sum_exp":
            first, *others = (self.value(a) for a in e.args)
            for other in others:
                first = self.make("log_add", first, other)
            return first
        if kind == "log_erfc_drop":
            return self.make(kind, *(self.value(a) for a in e.args))
        if kind in _NODE_FUNCTIONS:
            return self.make(_NODE_FUNCTIONS[kind], self.value(e.args[0]))
        if kind in _AVERAGES:
            from derive.solvers.averages import lower_average

            return lower_average(self, e)
        raise self.refuse(e)

    def _constant(self, e: Expr) -> int:
        self._check(e)
        number = e if e.is_Rational else e.evalf(30)
        if number in (sp.oo, -sp.oo):
            return self.const(float(number))
        if not number.is_real or not number.is_number:
            raise DeriveError(f"{str(e)[:80]} is not a real number", given=str(e), allowed="a real number")
        return self.const(float(number))

    def _check(self, e: Basic) -> None:
        """Refuse a constant that is made of anything that is not in the list."""
        if isinstance(e, sp.Integral | sp.Sum | sp.Derivative | sp.Limit | sp.Subs | AppliedUndef):
            raise self.refuse(e)
        if not _kind(e):
            for a in e.args:
                self._check(a)

    def _response(self, e: Expr, item: int) -> int:
        b, ratio = e.args
        return self.make("item", self.make("mp_response", self.log(b), self.value(ratio)), data=item)

    def _sum(self, e: Expr) -> int:
        terms = self._paired(list(e.args))
        one = [t for t in terms if t == -1]
        grown = [t for t in terms if isinstance(t, sp.exp)]
        if one and grown:
            rest = list(terms)
            rest.remove(one[0])
            rest.remove(grown[0])
            head = self.make("expm1", self.value(grown[0].args[0]))
            return self.total([head, self.value(Add(*rest))]) if rest else head
        up = [t for t in terms if not t.could_extract_minus_sign()]
        down = [-t for t in terms if t.could_extract_minus_sign()]
        return self.total([self.value(t) for t in up], [self.value(t) for t in down])

    def _paired(self, terms: list[Expr]) -> list[Expr]:
        """Terms with a - a V written as a (1 - V) wherever V is a response of the Marchenko-Pastur law."""
        for V in sorted(
            {f for t in terms for f in Mul.make_args(t) if _kind(f) == "MPResponse"}, key=sp.default_sort_key
        ):
            for term in list(terms):
                if V in Mul.make_args(term):
                    factor = term / V
                    if -factor in terms:
                        terms.remove(term)
                        terms.remove(-factor)
                        terms.append(-factor * _Rest(*V.args))
        for V in {f for t in terms for f in t.atoms(Function) if _kind(f) == "MPResponse"}:
            terms = [Mul(*(_Rest(*V.args) if f == 1 - V else f for f in Mul.make_args(t))) for t in terms]
        return self._informed(terms)

    def _informed(self, terms: list[Expr]) -> list[Expr]:
        """Terms with the average of log(1 + b c) over the Marchenko-Pastur law put together again."""
        logs = [f for t in terms for f in Mul.make_args(t) if isinstance(f, sp.log) and isinstance(f.args[0], Add)]
        for head in sorted(set(logs), key=sp.default_sort_key):
            inside = head.args[0] - 1
            for V in [f for f in Mul.make_args(inside) if _kind(f) == "MPResponse"]:
                b, ratio = V.args
                if inside / V != b:
                    continue
                for term in [t for t in terms if head in Mul.make_args(t)]:
                    factor = term / head
                    parts = [term, -factor * ratio * sp.log(V), -factor * ratio * _Rest(b, ratio)]
                    if all(p in terms for p in parts):
                        for p in parts:
                            terms.remove(p)
                        terms.append(factor * _Information(b, ratio))
        return self._shared(terms)

    @staticmethod
    def _shared(terms: list[Expr]) -> list[Expr]:
        """Where the average of log(1 + b c) is at hand, ratio (1 - V) is its slope."""
        known = {f.args for t in terms for f in Mul.make_args(t) if isinstance(f, _Information)}
        out = []
        for term in terms:
            for f in [f for f in Mul.make_args(term) if isinstance(f, _Rest) and f.args in known]:
                term = term / f / f.args[1] * _Share(*f.args)
            out.append(term)
        return out

    def _gained(self, e: Expr) -> Expr:
        """A product with b^k V^k written as (b V)^k."""
        for V, k in [
            (f.base if isinstance(f, Pow) else f, f.exp if isinstance(f, Pow) else sp.S.One) for f in Mul.make_args(e)
        ]:
            if _kind(V) != "MPResponse":
                continue
            b = V.args[0]
            here = (e / V**k).as_powers_dict()
            parts = [(base, power * k) for base, power in b.as_powers_dict().items() if not base.is_Number]
            if parts and all(
                (here.get(base, 0) / power).is_number and here.get(base, 0) / power >= 1 for base, power in parts
            ):
                e = e / V**k / b**k * _Gain(*V.args) ** k
        return e

    def _product(self, e: Expr) -> int:
        e = self._gained(e)
        factors = list(Mul.make_args(e))
        hot = [f for f in factors if self.hot(f) and self.sign(f)]
        cold = [f for f in factors if f not in hot]
        if len(hot) < 2:
            hot, cold = [], factors
        sign = 1
        for f in hot:
            sign *= self.sign(f)
        top = [self.value(f) for f in cold if not (isinstance(f, Pow) and f.exp == -1) and f != -1]
        bottom = [self.value(f.base) for f in cold if isinstance(f, Pow) and f.exp == -1]
        if -1 in cold:
            sign = -sign
        if hot:
            top.append(self.make("exp", self._sum_of_logs([f if self.sign(f) > 0 else -f for f in hot])))
        head = self.make("mul", *top) if len(top) > 1 else top[0] if top else self.const(1.0)
        if bottom:
            head = self.make("div", head, self.make("mul", *bottom) if len(bottom) > 1 else bottom[0])
        return head if sign > 0 else self.make("neg", head)

    def _sum_of_logs(self, factors: Sequence[Expr]) -> int:
        up: list[int] = []
        down: list[int] = []
        for f in factors:
            inverse = isinstance(f, Pow) and not isinstance(f, sp.exp) and f.exp.could_extract_minus_sign()
            (down if inverse else up).append(self.log(1 / f if inverse else f))
        return self.total(up, down)

    def _power(self, e: Expr) -> int:
        base, power = e.args
        if self.hot(base) and self.sign(base) > 0 and not isinstance(base, Add) and power != 1:
            return self.make("exp", self.make("mul", self.value(power), self.log(base)))
        if power == -1:
            return self.make("div", self.const(1.0), self.value(base))
        if power == sp.Rational(1, 2):
            return self.make("sqrt", self.value(base))
        if power == sp.Rational(-1, 2):
            return self.make("div", self.const(1.0), self.make("sqrt", self.value(base)))
        if power == 2:
            return self.make("mul", self.value(base), self.value(base))
        if power.could_extract_minus_sign() and power.is_number:
            return self.make("div", self.const(1.0), self.value(base**-power))
        if not power.is_number and self.sign(base) > 0:
            return self.make("exp", self.make("mul", self.value(power), self.log(base)))
        return self.make("power", self.value(base), self.value(power))

    def _pieces(self, e: Expr, log: bool = False) -> int:
        parts: list[tuple[str, str]] = []
        arguments: list[str] = []
        made = []
        for value, condition in e.args:
            branch, test = self.child({}), self.child({})
            made.append((branch, branch.log(value) if log else branch.value(value), test, test.condition(condition)))
            for one in (branch, test):
                arguments += [a for a in one.arguments() if a not in arguments]
        arguments.sort()
        for branch, out, test, holds in made:
            parts.append((test.write("holds", [holds], arguments), branch.write("piece", [out], arguments)))
        self.code.uses.add("piecewise")
        return self.make("pieces", *(self.argument(a) for a in arguments), data=tuple(parts))

    # --- logarithms --------------------------------------------------------------------------------------------

    def log(self, e: Expr) -> int:
        """The operation that gives log e, for e > 0, without forming e where that is out of reach."""
        if e not in self._logs:
            self._logs[e] = self._log(e)
        return self._logs[e]

    def _log(self, e: Expr) -> int:
        if not e.free_symbols:
            return self.const(float("-inf")) if e == 0 else self._constant(sp.log(e))
        if isinstance(e, sp.Piecewise):
            return self._pieces(e, log=True)
        if e in self.code.logs:
            return self.argument("log_" + self.code.names[e])
        if isinstance(e, sp.exp):
            return self.value(e.args[0])
        if isinstance(e, Mul):
            return self._log_of_product(e)
        if isinstance(e, Pow) and (self.sign(e.base) > 0 or not e.exp.is_even):
            return (
                self.make("mul", self.value(e.exp), self.log(e.base))
                if e.exp != -1
                else self.make("neg", self.log(e.base))
            )
        if isinstance(e, Add):
            return self._log_of_sum(e)
        if isinstance(e, sp.log):
            inner = e.args[0]
            rest = inner - 1
            if isinstance(inner, Add) and self.sign(rest) > 0:
                return self.make("log_softplus", self.log(rest))
        if isinstance(e, sp.cosh):
            return self.make("log_cosh", self.value(e.args[0]))
        if isinstance(e, sp.erfc):
            return self.make("log_erfc", self.value(e.args[0]))
        if isinstance(e, sp.gamma):
            return self.make("log_gamma", self.value(e.args[0]))
        if isinstance(e, _Gain):
            return self._response(e, 2)
        if _kind(e) == "MPResponse":
            return self._response(e, 0)
        return self.make("log", self.value(e))

    def _log_of_product(self, e: Expr) -> int:
        e = self._gained(e)
        if not isinstance(e, Mul):
            return self.log(e)
        factors = list(e.args)
        known = [f if self.sign(f) > 0 else -f for f in factors if self.sign(f)]
        unknown = [f for f in factors if not self.sign(f)]
        negative = sum(self.sign(f) < 0 for f in factors) % 2 == 1
        if not unknown and not negative:
            cold = [f for f in known if not self.hot(f)]
            warm = [f for f in known if self.hot(f)]
            if not warm:
                return self.make("log", self.value(e))
            return self._sum_of_logs([*([Mul(*cold)] if cold and Mul(*cold) != 1 else []), *warm])
        if len(unknown) == 1 and any(f != 1 for f in known):
            return self._sum_of_logs([*(f for f in known if f != 1), -unknown[0] if negative else unknown[0]])
        return self.make("log", self.value(e))

    def _log_of_sum(self, e: Expr) -> int:
        terms = self._paired(list(e.args))
        if len(terms) == 1:
            return self.log(terms[0])
        signs = [self.sign(t) for t in terms]
        if self.hot(e) and all(signs):
            up = [t for t, s in zip(terms, signs, strict=True) if s > 0]
            down = [-t for t, s in zip(terms, signs, strict=True) if s < 0]
            if up and not down:
                return self._log_of_positive(up)
            if up and down:
                return self.make("log_subtract", self._log_of_positive(up), self._log_of_positive(down))
        if sp.S.One in terms:
            terms.remove(sp.S.One)
            return self.make("log1p", self.value(Add(*terms)))
        return self.make("log", self.value(Add(*terms)))

    def _log_of_positive(self, terms: Sequence[Expr]) -> int:
        cold = [t for t in terms if not self.hot(t)]
        logs = [self.log(t) for t in terms if self.hot(t)]
        if cold:
            logs.append(self.log(Add(*cold)))
        first, *others = logs
        for other in others:
            first = self.make("log_add", first, other)
        return first

    # --- conditions --------------------------------------------------------------------------------------------

    def condition(self, e: Basic, unknown: int | None = None) -> int:
        """The operation that gives the truth of a condition; `unknown` is the truth of a comparison with nan."""
        maybe = self.make("truth", data=False) if unknown is None else unknown
        if isinstance(e, BooleanTrue | BooleanFalse):
            return self.make("truth", data=bool(e))
        if isinstance(e, And | Or):
            kind = "all_of" if isinstance(e, And) else "one_of"
            first, *others = (self.condition(a, unknown) for a in sorted(e.args, key=sp.default_sort_key))
            for other in others:
                first = self.make(kind, first, other)
            return first
        if isinstance(e, Not):
            return self.make("not", self.condition(e.args[0], None if unknown is None else self.make("not", unknown)))
        if isinstance(e, sp.Ne):
            return self.make("not", self.make("equal", *self._sides(e), self.make("not", maybe)))
        kinds: dict[type, tuple[str, bool]] = {
            sp.StrictLessThan: ("less", False),
            sp.LessThan: ("less_equal", False),
            sp.StrictGreaterThan: ("less", True),
            sp.GreaterThan: ("less_equal", True),
            sp.Eq: ("equal", False),
        }
        if type(e) in kinds:
            kind, swap = kinds[type(e)]
            left, right = self._sides(e)
            return self.make(kind, right, left, maybe) if swap else self.make(kind, left, right, maybe)
        raise self.refuse(e)

    def _sides(self, e: Any) -> tuple[int, int]:
        """Both sides of a relation, in logarithms where both are positive and may be out of reach."""
        if self.hot(e.lhs) and self.hot(e.rhs) and self.sign(e.lhs) > 0 and self.sign(e.rhs) > 0:
            return self.log(e.lhs), self.log(e.rhs)
        return self.value(e.lhs), self.value(e.rhs)

    # --- slopes ------------------------------------------------------------------------------------------------

    def slope(self, i: int, name: str) -> int | None:
        """The derivative of an operation in the logarithm of the unknown called `name`; None where it is zero.

        Raises: NoSlope where an operation's derivative is not known here.
        """
        if i not in self._slopes:
            self._slopes[i] = self._slope(i, name)
        return self._slopes[i]

    def _slope(self, i: int, name: str) -> int | None:
        op = self.operations[i]
        if op.kind == "arg":
            return i if op.data == name else self.const(1.0) if op.data == "log_" + name else None
        if op.kind == "item":
            return self._slope_of_response(op, name)
        slopes = [self.slope(j, name) for j in op.operands]
        if all(s is None for s in slopes):
            return None
        if op.kind == "add":
            return self.total([s for s in slopes if s is not None])
        if op.kind == "sub":
            a, b = slopes
            return self.total([a] if a is not None else [], [b] if b is not None else [])
        if op.kind == "mul":
            parts = []
            for k, s in enumerate(slopes):
                if s is not None:
                    parts.append(self.make("mul", *(s if j == k else o for j, o in enumerate(op.operands))))
            return self.total(parts)
        if op.kind == "div":
            a, b = slopes
            bottom = op.operands[1]
            up = [] if a is None else [self.make("div", a, bottom)]
            return self.total(up, [] if b is None else [self.make("div", self.make("mul", i, b), bottom)])
        if op.kind in ("log_add", "log_subtract"):
            return self._slope_of_logs(op, slopes)
        if len(slopes) == 1 and op.kind in _SLOPES and slopes[0] is not None:
            factor = _SLOPES[op.kind](self, i, op.operands[0])
            return self.make("mul", factor, slopes[0])
        if op.kind == "power" and slopes[1] is None and slopes[0] is not None:
            base, power = op.operands
            lower = self.make("power", base, self.make("sub", power, self.const(1.0)))
            return self.make("mul", power, lower, slopes[0])
        raise NoSlope(op.kind)

    def _slope_of_logs(self, op: Operation, slopes: Sequence[int | None]) -> int:
        x, y = op.operands
        dx, dy = slopes
        gap = self.make("sub", x, y)
        if op.kind == "log_add":
            parts = [self.make("mul", self.make("logistic", gap), dx)] if dx is not None else []
            if dy is not None:
                parts.append(self.make("mul", self.make("logistic", self.make("neg", gap)), dy))
            return self.total(parts)
        zero = self.const(0.0)
        excess = self.make("sub", zero if dx is None else dx, zero if dy is None else dy)
        return self.total([zero if dx is None else dx, self.make("div", excess, self.make("expm1", gap))])

    def _slope_of_response(self, op: Operation, name: str) -> int | None:
        (whole,) = op.operands
        kind = self.operations[whole].kind
        if kind not in ("mp_response", "mp_information"):
            raise NoSlope(self.operations[whole].kind)
        log_b, ratio = self.operations[whole].operands
        if self.slope(ratio, name) is not None:
            raise NoSlope(kind)
        db = self.slope(log_b, name)
        if db is None:
            return None
        if kind == "mp_information":
            share = self.make("item", whole, data=1)
            if op.data == 0:
                return self.make("mul", share, db)
            fall = self.make("item", self.make("mp_response", log_b, ratio), data=3)
            steep = self.make("sub", self.const(1.0), fall)
            return self.make("mul", share, self.make("sub", self.const(1.0), share), steep, db)
        fall = self.make("item", whole, data=3)
        if op.data == 0:
            return self.make("neg", self.make("mul", fall, db))
        if op.data == 1:
            return self.make("mul", self.make("sub", self.const(1.0), self.make("item", whole, data=1)), fall, db)
        steep = self.make("mul", self.make("sub", self.const(1.0), fall), db)
        share = self.make("item", whole, data=5)
        if op.data == 4:
            return self.make("mul", share, steep)
        if op.data == 5:
            return self.make("mul", share, self.make("sub", self.const(1.0), share), steep)
        return steep

    # --- text --------------------------------------------------------------------------------------------------

    def arguments(self) -> list[str]:
        """The names of the arguments used so far."""
        return [op.data for op in self.operations if op.kind == "arg"]

    def write(self, hint: str, outputs: Sequence[int], arguments: Sequence[str] | None = None, doc: str = "") -> str:
        """Put the function that returns these operations into the module; returns its name."""
        lines, used = self.lines(outputs)
        names = [a for a in self.arguments() if a in used] if arguments is None else list(arguments)
        return self.code.add(hint, names, lines, doc)

    def lines(self, outputs: Sequence[int]) -> tuple[list[str], set[str]]:
        """The body of the function and the arguments it needs."""
        count: dict[int, int] = {}
        todo = list(outputs)
        for i in outputs:
            count[i] = count.get(i, 0) + 1
        seen: set[int] = set()
        while todo:
            i = todo.pop()
            if i in seen:
                continue
            seen.add(i)
            for j in self.operations[i].operands:
                count[j] = count.get(j, 0) + 1
                todo.append(j)
        text: dict[int, tuple[str, int]] = {}
        lines: list[str] = []
        used: set[str] = set()
        for i in sorted(seen):
            op = self.operations[i]
            if op.kind == "arg":
                used.add(op.data)
            body, strength = self._text(op, text)
            keep = op.kind in ("const", "arg", "truth", "item") or (count[i] == 1 and len(body) < 72)
            if keep and op.kind not in ("mp_response", "mp_information"):
                text[i] = (body, strength)
            else:
                text[i] = (f"v{i}", 5)
                lines.append(f"v{i} = {body}")
        lines.append("return " + ", ".join(text[i][0] for i in outputs))
        return lines, used

    def _text(self, op: Operation, text: dict[int, tuple[str, int]]) -> tuple[str, int]:
        def at(i: int, least: int) -> str:
            body, strength = text[i]
            return body if strength > least else f"({body})"

        if op.kind == "const":
            value = op.data
            if value != value or value in (float("inf"), float("-inf")):
                return ("np.inf" if value > 0 else "(-np.inf)"), 5
            return (repr(value), 5) if value >= 0 else (f"({value!r})", 5)
        if op.kind == "truth":
            return f"np.asarray({op.data})", 5
        if op.kind == "arg":
            return op.data, 5
        if op.kind == "item":
            return f"{at(op.operands[0], 4)}[{op.data}]", 5
        if op.kind == "add":
            return " + ".join(at(i, 0) for i in op.operands), 1
        if op.kind == "mul":
            return " * ".join(at(i, 1 if k == 0 else 2) for k, i in enumerate(op.operands)), 2
        if op.kind == "pieces":
            values = "".join(text[i][0] + ", " for i in op.operands)
            pairs = ", ".join(f"({test}, {value})" for test, value in op.data)
            return f"piecewise(({values}), {pairs})", 4
        if op.kind == "text":  # a call of a law: the text with its operands' places
            return op.data.format(*(text[i][0] for i in op.operands)), 4
        template, strength = _TEXT[op.kind]
        name = template.partition("(")[0]
        if strength == 4 and "." not in name:
            self.code.uses.add(name)
        if strength == 4:
            return template.format(*(text[i][0] for i in op.operands)), 4
        if op.kind == "sub":
            return f"{at(op.operands[0], 0)} - {at(op.operands[1], 1)}", 1
        if op.kind == "div":
            return f"{at(op.operands[0], 1)} / {at(op.operands[1], 2)}", 2
        if op.kind == "power":
            return f"{at(op.operands[0], 3)} ** {at(op.operands[1], 3)}", 3
        return template.format(at(op.operands[0], 2)), strength


def _two_over_root_pi(low: Lowering) -> int:
    return low.const(1.1283791670955126)


def _gauss(low: Lowering, a: int) -> int:
    return low.make("mul", _two_over_root_pi(low), low.make("exp", low.make("neg", low.make("mul", a, a))))


_SLOPES: dict[str, Callable[[Lowering, int, int], int]] = {
    "neg": lambda s, i, a: s.const(-1.0),
    "exp": lambda s, i, a: i,
    "log": lambda s, i, a: s.make("div", s.const(1.0), a),
    "log1p": lambda s, i, a: s.make("div", s.const(1.0), s.make("add", s.const(1.0), a)),
    "expm1": lambda s, i, a: s.make("add", i, s.const(1.0)),
    "sqrt": lambda s, i, a: s.make("div", s.const(0.5), i),
    "sin": lambda s, i, a: s.make("cos", a),
    "cos": lambda s, i, a: s.make("neg", s.make("sin", a)),
    "sinh": lambda s, i, a: s.make("cosh", a),
    "cosh": lambda s, i, a: s.make("sinh", a),
    "tanh": lambda s, i, a: s.make("sub", s.const(1.0), s.make("mul", i, i)),
    "atan": lambda s, i, a: s.make("div", s.const(1.0), s.make("add", s.const(1.0), s.make("mul", a, a))),
    "softplus": lambda s, i, a: s.make("logistic", a),
    "log_softplus": lambda s, i, a: s.make(
        "exp", s.make("sub", s.make("neg", s.make("softplus", s.make("neg", a))), i)
    ),
    "log1mexp": lambda s, i, a: s.make("div", s.const(1.0), s.make("expm1", a)),
    "log_cosh": lambda s, i, a: s.make("tanh", a),
    "erf": lambda s, i, a: _gauss(s, a),
    "erfc": lambda s, i, a: s.make("neg", _gauss(s, a)),
    "log_erfc": lambda s, i, a: s.make("div", s.make("neg", _two_over_root_pi(s)), s.make("erfcx", a)),
}
