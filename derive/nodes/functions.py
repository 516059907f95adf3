"""Functions that stay right where their elementary forms overflow or cancel."""

from __future__ import annotations

from typing import Any

import mpmath
from sympy import (
    Add,
    Expr,
    Float,
    Function,
    S,
    cosh,
    erfc,
    exp,
    log,
    oo,
    pi,
    sqrt,
    tanh,
)
from sympy.core.function import ArgumentIndexError

from derive.core import DeriveError

__all__ = ["MPResponse", "erfcx", "log1mexp", "log_cosh", "log_erfc", "log_erfc_drop", "log_sum_exp", "softplus"]

_GUARD = 30  # bits kept beyond the asked precision


class _Safe(Function):  # type: ignore[misc]
    """A function with its own evaluation at any precision, `_value(*mpf) -> mpf`, for real arguments."""

    def _eval_evalf(self, prec: int) -> Expr | None:
        arguments = [a._evalf(prec + _GUARD) for a in self.args]
        if not all(a.is_number for a in arguments):
            return self.func(*(a._evalf(prec) for a in self.args))
        if not all(a.is_Float or a.is_Rational for a in arguments):
            return self._elementary()._evalf(prec)
        with mpmath.workprec(prec + _GUARD):
            values = [mpmath.mpf(a._to_mpmath(prec + _GUARD)) for a in self.args]
            return Float._new(self._value(*values)._mpf_, prec)

    @staticmethod
    def _value(*xs: Any) -> Any:
        raise NotImplementedError

    def _elementary(self) -> Expr:
        """The same value in elementary functions."""
        raise NotImplementedError

    def _eval_rewrite_as_log(self, *args: Expr, **hints: Any) -> Expr:
        return self._elementary()

    def _eval_rewrite_as_exp(self, *args: Expr, **hints: Any) -> Expr:
        return self._elementary().rewrite(exp)

    def _eval_rewrite_as_erfc(self, *args: Expr, **hints: Any) -> Expr | None:
        return self._elementary() if isinstance(self, (log_erfc, log_erfc_drop, erfcx)) else None

    def _eval_rewrite_as_cosh(self, *args: Expr, **hints: Any) -> Expr | None:
        return self._elementary() if isinstance(self, log_cosh) else None

    def _shown(self, printer: Any, text: str, power: str | None) -> str:
        return text if power is None else rf"\left({text}\right)^{{{power}}}"


def _raised(bits: float) -> Any:
    """A context with so many more bits than the current precision."""
    return mpmath.workprec(mpmath.mp.prec + max(0, int(bits)))


class log_cosh(_Safe):
    """log cosh x, even; derivative tanh x.

    >>> from sympy import Symbol
    >>> x = Symbol("x", real=True)
    >>> log_cosh(-x), log_cosh(x).diff(x), log_cosh(1000).evalf(20)
    (log_cosh(x), tanh(x), 999.30685281944005469)
    """

    nargs = 1

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        if x.is_zero:
            return S.Zero
        if x in (oo, -oo):
            return oo
        return cls(-x) if x.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> Expr:
        return tanh(self.args[0])

    @staticmethod
    def _value(*xs: Any) -> Any:
        x = abs(xs[0])
        if x < 1:
            return mpmath.log1p(2 * mpmath.sinh(x / 2) ** 2)
        return x + mpmath.log1p(mpmath.exp(-2 * x)) - mpmath.log(2)

    def _elementary(self) -> Expr:
        return log(cosh(self.args[0]))

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _eval_is_nonnegative(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _eval_is_zero(self) -> bool | None:
        return self.args[0].is_zero if self.args[0].is_real else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return self._shown(printer, rf"\log \cosh\left({printer._print(self.args[0])}\right)", exp)


class log_erfc(_Safe):
    """log erfc x; derivative -2/(sqrt(pi) erfcx(x)).

    >>> log_erfc(40).evalf(20)
    -1604.2615566532735557
    """

    nargs = 1

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        if x.is_zero:
            return S.Zero
        return {oo: -oo, -oo: log(2)}.get(x)

    def fdiff(self, argindex: int = 1) -> Expr:
        return -2 / (sqrt(pi) * erfcx(self.args[0]))

    @staticmethod
    def _value(*xs: Any) -> Any:
        (x,) = xs
        if x > 1:
            return mpmath.log(_erfcx(x)) - x * x
        return mpmath.log1p(-mpmath.erf(x)) if abs(x) < 0.5 else mpmath.log(mpmath.erfc(x))

    def _elementary(self) -> Expr:
        return log(erfc(self.args[0]))

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _eval_is_negative(self) -> bool | None:
        return self.args[0].is_positive if self.args[0].is_real else None

    def _eval_is_positive(self) -> bool | None:
        return self.args[0].is_negative if self.args[0].is_real else None

    def _eval_is_zero(self) -> bool | None:
        return self.args[0].is_zero if self.args[0].is_real else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return self._shown(printer, rf"\log \operatorname{{erfc}}\left({printer._print(self.args[0])}\right)", exp)


class log_erfc_drop(_Safe):
    """log(erfc x - erfc y) for x < y, without cancellation in either tail.

    >>> log_erfc_drop(30, 31).evalf(20), log_erfc_drop(-31, -30).evalf(20)
    (-903.97411711064387808, -903.97411711064387808)
    """

    nargs = 2

    @classmethod
    def eval(cls, x: Expr, y: Expr) -> Expr | None:
        if (y - x).is_nonpositive:
            raise DeriveError(f"log_erfc_drop is given {x}, {y}", given=f"{x}, {y}", allowed="x < y")
        if y == oo:
            return log_erfc(x)
        return log_erfc(-y) if x == -oo else None

    def fdiff(self, argindex: int = 1) -> Expr:
        if argindex not in (1, 2):
            raise ArgumentIndexError(self, argindex)
        slope = 2 * exp(-(self.args[argindex - 1] ** 2) - self) / sqrt(pi)
        return -slope if argindex == 1 else slope

    @staticmethod
    def _value(*xs: Any) -> Any:
        x, y = xs
        if not x < y:
            shown = f"{mpmath.nstr(x, 8)}, {mpmath.nstr(y, 8)}"
            raise DeriveError(f"log_erfc_drop is given {shown}", given=shown, allowed="x < y")
        if x + y < 0:
            x, y = -y, -x
        with _raised(max(0, -mpmath.mag((y - x) / (1 + abs(x) + abs(y))))):
            if x < 1:
                return mpmath.log(mpmath.erf(y) - mpmath.erf(x))
            top, low = log_erfc._value(x), log_erfc._value(y)
            return top + mpmath.log(-mpmath.expm1(low - top))

    def _elementary(self) -> Expr:
        return log(erfc(self.args[0]) - erfc(self.args[1]))

    def _eval_is_real(self) -> bool | None:
        return True if (self.args[1] - self.args[0]).is_positive else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        x, y = map(printer._print, self.args)
        text = rf"\log\left(\operatorname{{erfc}}\left({x}\right) - \operatorname{{erfc}}\left({y}\right)\right)"
        return self._shown(printer, text, exp)


def _erfcx(x: Any) -> Any:
    """exp(x^2) erfc(x): the asymptotic series where it is right to the working precision, else the product."""
    mp = mpmath.mp
    if x > 0 and x * x > mp.prec + 20:
        term = total = mpmath.mpf(1)
        k = 0
        while abs(term) > mpmath.ldexp(1, -mp.prec - 5):
            k += 1
            term *= -(2 * k - 1) / (2 * x * x)
            total += term
        return total / (x * mpmath.sqrt(mpmath.pi))
    with _raised(2 * mpmath.mag(x) + 20 if x else 0):
        value = mpmath.exp(x * x) * mpmath.erfc(x)
    return +value


class erfcx(_Safe):
    """exp(x^2) erfc(x), the scaled complementary error function; derivative 2 x erfcx(x) - 2/sqrt(pi).

    >>> erfcx(30).evalf(20)
    0.018795888861416751497
    """

    nargs = 1

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        if x.is_zero:
            return S.One
        return {oo: S.Zero, -oo: oo}.get(x)

    def fdiff(self, argindex: int = 1) -> Expr:
        return 2 * self.args[0] * self - 2 / sqrt(pi)

    @staticmethod
    def _value(*xs: Any) -> Any:
        return _erfcx(xs[0])

    def _elementary(self) -> Expr:
        return exp(self.args[0] ** 2) * erfc(self.args[0])

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return self._shown(printer, rf"\operatorname{{erfcx}}\left({printer._print(self.args[0])}\right)", exp)


class log1mexp(_Safe):
    """log(1 - exp(-x)) for x > 0; derivative 1/(exp(x) - 1)."""

    nargs = 1

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        return {S.Zero: -oo, oo: S.Zero}.get(x)

    def fdiff(self, argindex: int = 1) -> Expr:
        return exp(-self.args[0] - self)

    @staticmethod
    def _value(*xs: Any) -> Any:
        (x,) = xs
        if x <= 0:
            raise DeriveError(f"log1mexp is given {mpmath.nstr(x, 8)}", given=mpmath.nstr(x, 8), allowed="x > 0")
        return mpmath.log(-mpmath.expm1(-x)) if x < 0.7 else mpmath.log1p(-mpmath.exp(-x))

    def _elementary(self) -> Expr:
        return log(1 - exp(-self.args[0]))

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_positive else None

    def _eval_is_negative(self) -> bool | None:
        return True if self.args[0].is_positive else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return self._shown(printer, rf"\log\left(1 - e^{{{printer._print(-self.args[0])}}}\right)", exp)


class softplus(_Safe):
    """log(1 + exp(x)); derivative 1/(1 + exp(-x)).

    >>> softplus(-1000).evalf(15, maxn=1000) > 0
    True
    """

    nargs = 1

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        if x.is_zero:
            return log(2)
        return {oo: oo, -oo: S.Zero}.get(x)

    def fdiff(self, argindex: int = 1) -> Expr:
        return 1 / (1 + exp(-self.args[0]))

    @staticmethod
    def _value(*xs: Any) -> Any:
        (x,) = xs
        return max(x, mpmath.mpf(0)) + mpmath.log1p(mpmath.exp(-abs(x)))

    def _elementary(self) -> Expr:
        return log(1 + exp(self.args[0]))

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return self._shown(printer, rf"\log\left(1 + e^{{{printer._print(self.args[0])}}}\right)", exp)


class log_sum_exp(_Safe):
    """log(exp(x_1) + ... + exp(x_n)), symmetric; derivative in x_i: exp(x_i - log_sum_exp(...)).

    Equal arguments are joined (x, x -> x + log 2), nested ones flattened, -oo dropped.

    >>> from sympy import Symbol
    >>> log_sum_exp(Symbol("x")), log_sum_exp(2000, 2000)
    (x, log(2) + 2000)
    """

    @classmethod
    def eval(cls, *xs: Expr) -> Expr | None:
        if not xs:
            return -oo
        flat: list[Expr] = []
        for x in xs:
            flat.extend(x.args if isinstance(x, cls) else (x,))
        if oo in flat:
            return oo
        kept = [x for x in flat if x != -oo]
        joined = [x + log(kept.count(x)) for x in dict.fromkeys(kept)]
        ordered = sorted(joined, key=lambda x: x.sort_key())
        if len(ordered) < 2:
            return ordered[0] if ordered else -oo
        return cls(*ordered) if tuple(ordered) != xs else None

    def fdiff(self, argindex: int = 1) -> Expr:
        if not 1 <= argindex <= len(self.args):
            raise ArgumentIndexError(self, argindex)
        return exp(self.args[argindex - 1] - self)

    @staticmethod
    def _value(*xs: Any) -> Any:
        top = max(xs)
        rest = sum((mpmath.exp(x - top) for x in xs), mpmath.mpf(0)) - 1
        if top and rest and abs(top) < 1:
            with _raised(mpmath.mp.prec):
                return mpmath.log(sum(mpmath.exp(x) for x in xs))
        return top + mpmath.log1p(rest)

    def _elementary(self) -> Expr:
        return log(Add(*(exp(x) for x in self.args)))

    def _eval_is_real(self) -> bool | None:
        return True if all(x.is_real for x in self.args) else None

    def _eval_is_positive(self) -> bool | None:
        if not all(x.is_real for x in self.args):  # not self.is_real, which asks for this again
            return None
        return True if any(x.is_nonnegative for x in self.args) else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        terms = " + ".join(f"e^{{{printer._print(x)}}}" for x in self.args)
        return self._shown(printer, rf"\log\left({terms}\right)", exp)


class MPResponse(_Safe):
    """The response V of the Marchenko-Pastur law at b > 0: the root in (0, 1) of
    ratio b V^2 + (b (1 - ratio) + ratio) V - ratio = 0.

    The polynomial is -ratio at V = 0 and b at V = 1 and has one sign change, so that the root exists and is the only
    one there.  With C of that law (ratio = D / N), <b c/(1 + b c)> = b V/(1 + b V) = ratio (1 - V), and V is the
    posterior variance of a latent variable seen through the matrix with precision b.

    >>> MPResponse(2, 1)
    MPResponse(2, 1)
    >>> MPResponse(2, 1).rewrite(sqrt)
    1/2
    """

    nargs = 2

    @classmethod
    def eval(cls, b: Expr, ratio: Expr) -> Expr | None:
        if b.is_negative or ratio.is_nonpositive:
            raise DeriveError(
                f"the Marchenko-Pastur response is asked at b={b}, ratio={ratio}", given=f"b={b}, ratio={ratio}",
                allowed="b >= 0, ratio > 0",
            )
        return S.One if b.is_zero else None

    b = property(lambda self: self.args[0])
    ratio = property(lambda self: self.args[1])

    @staticmethod
    def polynomial(V: Expr, b: Expr, ratio: Expr) -> Expr:
        """The polynomial whose root in (0, 1) is the response."""
        return ratio * b * V**2 + (b * (1 - ratio) + ratio) * V - ratio

    def fdiff(self, argindex: int = 1) -> Expr:
        b, ratio = self.args
        slope = ratio * (1 + b * self) ** 2 + b
        if argindex == 1:
            return -self / slope
        if argindex == 2:
            return (1 - self) * (1 + b * self) ** 2 / slope
        raise ArgumentIndexError(self, argindex)

    @staticmethod
    def _value(*xs: Any) -> Any:
        b, ratio = xs
        if b < 0 or ratio <= 0:
            given = f"b={mpmath.nstr(b, 8)}, ratio={mpmath.nstr(ratio, 8)}"
            raise DeriveError(
                f"the Marchenko-Pastur response is asked at {given}", given=given, allowed="b >= 0, ratio > 0"
            )
        if b == 0:
            return mpmath.mpf(1)
        with _raised(_GUARD):
            linear = b * (1 - ratio) + ratio
            root = mpmath.sqrt(linear**2 + 4 * ratio**2 * b)
            value = 2 * ratio / (linear + root) if linear > 0 else (root - linear) / (2 * ratio * b)
        return +value

    def _elementary(self) -> Expr:
        b, ratio = self.args
        linear = b * (1 - ratio) + ratio
        return 2 * ratio / (linear + sqrt(linear**2 + 4 * ratio**2 * b))

    def _eval_rewrite_as_Pow(self, *args: Expr, **hints: Any) -> Expr:
        return self._elementary()

    def rewrite(self, *args: Any, **hints: Any) -> Expr:
        if args and args[-1] is sqrt:
            return self._elementary()
        return super().rewrite(*args, **hints)

    def _eval_is_real(self) -> bool | None:
        return True if self.b.is_nonnegative and self.ratio.is_positive else None

    def _eval_is_positive(self) -> bool | None:
        return True if self.b.is_nonnegative and self.ratio.is_positive else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"V{power}_{{{printer._print(self.ratio)}}}\left({printer._print(self.b)}\right)"
