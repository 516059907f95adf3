"""The allow-list: what a name may call, with the number of its arguments and its approximate value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import mpmath
import sympy as sp
from sympy import Expr

__all__ = ["CONSTANTS", "Function", "context", "functions", "further_functions"]


@dataclass(frozen=True)
class Function:
    build: Callable[..., Expr]
    approx: Callable[..., Any]
    fewest: int = 1
    most: int = 1


@lru_cache(maxsize=1)
def context() -> Any:
    context = mpmath.MPContext()
    context.dps = 50
    return context


@lru_cache(maxsize=1)
def functions() -> dict[str, Function]:
    """The allow-list: what a name may call, with the number of its arguments."""
    from derive import nodes

    mp = context()

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
    table = {name: Function(build, approx) for name, (build, approx) in plain.items()}
    table |= {name: Function(getattr(nodes, name), approx) for name, approx in own.items() if hasattr(nodes, name)}
    table |= {name: Function(build, approx, 2, 8) for name, build, approx in
              (("Max", sp.Max, max), ("Min", sp.Min, min), ("max", sp.Max, max), ("min", sp.Min, min))}
    return table


CONSTANTS = {"pi": sp.pi, "E": sp.E}


def further_functions(functions: Mapping[str, int]) -> dict[str, Function]:
    """The undefined functions that a text declares, the Gaussian average, the derivative, polylogarithms."""
    from derive.nodes import GaussianAverage

    def unknown(*values: Any) -> Any:
        return None

    table = {name: Function(sp.Function(name, real=True), unknown, n, n) for name, n in functions.items()}
    table["mean"] = Function(GaussianAverage, unknown, 2, 4)
    for order in (2, 3):
        table[f"Li{order}"] = Function(partial(sp.polylog, order), partial(context().polylog, order))
    table["diff"] = Function(lambda f, *xs: sp.Derivative(f, *xs, evaluate=False), unknown, 2, 3)
    return table
