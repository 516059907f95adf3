"""What is asked: words of the command line to a quantity and the points at which it is wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from derive.cli.errors import mistake, nearest

if TYPE_CHECKING:
    import numpy as np

    from derive.core import Parameter
    from derive.quantity import Quantity

__all__ = ["SIZES", "TIMES", "Axis", "Request", "atlas_of", "chosen", "domain_text", "find", "is_time", "read_request"]

MAX_GRID = 1_000_000
SIZES = {"P": "number of patterns or data points", "N": "ambient dimension", "D": "latent dimension"}
FINITE_SIZE_NOTE = "alpha and alpha_D come from finite sizes; the answer is a statement about large N"
TIMES = ("t", "tau", "sigma")


def atlas_of(ctx: click.Context) -> Mapping[str, Quantity]:
    if ctx.obj is not None:
        return ctx.obj  # type: ignore[no-any-return]
    from derive.catalogue import atlas

    return atlas


def find(ctx: click.Context, name: str) -> Quantity:
    atlas = atlas_of(ctx)
    if name not in atlas:
        near = nearest(name, list(atlas))
        hint = f"; did you mean {near!r}?" if near else ""
        mistake(f"no quantity is named {name!r}{hint}", given=name, allowed=", ".join(atlas), nearest=near)
    return atlas[name]


def read_ensemble(options: Mapping[str, Any]) -> Any:
    """The ensemble that the options describe, or None where they describe none."""
    named, atoms, density, support = (options[k] for k in ("ensemble", "atoms", "density", "support"))
    activation, variances = options.get("activation"), options.get("variances")
    given = [f"--{k}" for k in ("ensemble", "atoms", "density") if options[k] is not None]
    if len(given) > 1:
        mistake(
            f"{' and '.join(given)} exclude each other",
            given=" ".join(given),
            allowed="one of --ensemble, --atoms, --density",
        )
    if support is not None and density is None:
        mistake(
            "--support needs --density", given="--support", allowed="--density EXPR --support a:b", nearest="--density"
        )
    for option, value in (("--activation", activation), ("--variances", variances)):
        if value is not None and (named not in (None, "manifold") or atoms is not None or density is not None):
            mistake(
                f"{option} belongs to the hidden manifold, not to {given[0]}{f' {named}' if named else ''}",
                given=f"{given[0]} {named or ''}".strip(),
                allowed="--ensemble manifold, or no ensemble",
                nearest="--ensemble manifold",
            )
    if not given and activation is None and variances is None:
        return None
    from derive import ensembles

    if activation is not None or variances is not None:
        from derive.parse import parse_activation, parse_variances

        sigma = None if activation is None else parse_activation(activation)
        if variances is None:
            return ensembles.HiddenManifold(sigma)
        return ensembles.VarianceManifold(parse_variances(variances, what="--variances"), sigma)
    if named is not None:
        table: dict[str, Callable[[], Any]] = {
            "gaussian": ensembles.Gaussian,
            "spherical": ensembles.Spherical,
            "binary": ensembles.Binary,
            "manifold": ensembles.HiddenManifold,
        }
        if named not in table:
            mistake(
                f"no ensemble is named {named!r}",
                given=named,
                allowed=", ".join(table),
                nearest=nearest(named, list(table)),
            )
        return table[named]()
    from derive.parse import parse_atoms, parse_expression, parse_support
    from derive.symbols import x

    if atoms is not None:
        return ensembles.ProductMeasure(atoms=parse_atoms(atoms, what="--atoms"))
    ends = parse_support("-oo:oo" if support is None else support, what="--support")
    expression = parse_expression(density, {"x": x}, what="--density")
    return ensembles.ProductMeasure(density=expression, variable=x, support=ends)


def chosen(ctx: click.Context, name: str, options: Mapping[str, Any]) -> Quantity:
    quantity, ensemble = find(ctx, name), read_ensemble(options)
    return quantity if ensemble is None else quantity.with_(ensemble=ensemble)


@dataclass(frozen=True)
class Axis:
    """One given parameter: the name shown, its exact values (one where it is a scalar) and how they become numbers."""

    name: str
    text: str
    values: tuple[Any, ...]
    swept: bool
    kind: str = "plain"  # or "tau", "sigma" (a time to be converted), "log" (its logarithm is wanted)

    def numbers(self, digits: int | None) -> list[Any]:
        """The values as doubles, or as fractions good for so many digits."""
        return [_double(self, v) if digits is None else _fraction(v, self.kind, digits) for v in self.values]


def _double(axis: Axis, value: Any) -> float:
    import sympy as sp

    if axis.kind == "log":
        return float(sp.N(sp.log(value), 30)) if value.is_positive else math.nan
    change: dict[str, Callable[[float], float]] = {
        "plain": lambda u: u,
        "tau": lambda u: math.expm1(2 * u),
        "sigma": lambda u: u * u,
    }
    try:
        found = change[axis.kind](value.p / value.q if value.is_Rational else float(sp.N(value, 30)))
    except OverflowError:
        found = math.inf
    if math.isinf(found) or (found == 0 and not value.is_zero):
        mistake(
            f"{axis.name} = {axis.text} is beyond the range of a double; --digits has no such limit",
            given=f"{axis.name}={axis.text}",
            allowed="numbers from 1e-307 to 1e308, or --digits n",
        )
    return found


def _fraction(value: Any, kind: str, digits: int) -> Any:
    from fractions import Fraction

    import mpmath
    import sympy as sp

    if value.is_Rational and kind in ("plain", "sigma"):
        exact = Fraction(int(value.p), int(value.q))
        return exact if kind == "plain" else exact * exact
    with mpmath.workdps(digits + 40):
        number = mpmath.mpf(sp.N(value, digits + 40))
        if kind == "log" and number <= 0:
            return Fraction(-1)
        change: dict[str, Callable[[Any], Any]] = {
            "plain": lambda u: u,
            "tau": lambda u: mpmath.expm1(2 * u),
            "sigma": lambda u: u * u,
            "log": mpmath.log,
        }
        sign, mantissa, exponent, _ = (change[kind](number) + mpmath.mpf(0))._mpf_
        return Fraction(-int(mantissa) if sign else int(mantissa)) * Fraction(2) ** int(exponent)


@dataclass(frozen=True)
class Request:
    """A quantity and the points at which it is asked for.

    Attributes: axes in the order given (the target of an inversion among them), shape of the answer, unknown (the
    parameter of an inversion), goal (the axis with the value it shall reach), time, digits and breaking as
    in the options.
    """

    quantity: Quantity
    axes: tuple[Axis, ...]
    zipped: bool
    time: str
    digits: int | None
    unknown: Parameter | None = None
    goal: str = ""
    note: str = ""
    breaking: int = 0

    def title(self, axis: Axis) -> str:
        """What an axis is called to the reader: a time by its clock, the goal of an inversion by its symbol."""
        if axis.kind in ("tau", "sigma"):
            return self.time
        return goal_name(self.quantity) if axis.name == "value" else axis.name

    @property
    def swept(self) -> tuple[Axis, ...]:
        return tuple(k for k in self.axes if k.swept)

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = tuple(len(k.values) for k in self.swept)
        return sizes[:1] if self.zipped else sizes

    def on_grid(self, axis: Axis, numbers: Sequence[Any]) -> np.ndarray:
        """Numbers of an axis, in the shape that broadcasts over the grid."""
        import numpy as np

        array = np.array(numbers, dtype=float if self.digits is None else object)
        if not axis.swept:
            return array.reshape(())
        if self.zipped:
            return array
        place = self.swept.index(axis)
        return array.reshape(tuple(len(numbers) if i == place else 1 for i in range(len(self.swept))))

    def arguments(self) -> dict[str, np.ndarray]:
        """What the solver is given: parameter name -> array, finite sizes turned into exponents."""
        import numpy as np

        arrays = {k.name: self.on_grid(k, k.numbers(self.digits)) for k in self.axes}
        if "P" in arrays:
            arrays["alpha"] = np.asarray(arrays.pop("P") / arrays["N"])
        if "D" in arrays:
            arrays["alpha_D"] = np.asarray(arrays.pop("D") / arrays["N"])
        arrays.pop("N", None)
        return arrays


def _aliases(quantity: Quantity, unknown: str | None, time: str) -> dict[str, str]:
    """Names that may be typed -> name used; the value's own name among them where a parameter is asked for."""
    names: dict[str, str] = {}
    for p in quantity.parameters:
        names |= {p.name: p.name, p.symbol.name: p.name}
        if p.symbol.name == "t" and time != "t":
            names[time] = p.name
    if unknown is not None:
        symbol = quantity.symbol.name
        stem = symbol.partition("_")[0]
        typed = {"value", symbol, stem, *(("lam",) if stem == "lambda" else ()), *((time,) if is_time(symbol) else ())}
        names = dict.fromkeys(typed, "value") | {k: v for k, v in names.items() if v != unknown or k not in typed}
    return names


def goal_name(quantity: Quantity) -> str:
    """The name under which the value of a quantity is given: "t" for t_c, "lam" for lambda_*."""
    return str(quantity.symbol.name).partition("_")[0].replace("lambda", "lam")


def is_time(name: str) -> bool:
    return name == "t" or name.startswith("t_")


def _assignments(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (k.strip() for k in text.partition("="))
        if not equals or not name or not value:
            mistake(
                f"{text!r} is not NAME=VALUE", given=text, allowed="NAME=VALUE, such as alpha=0.5 or alpha=0.1:2:50"
            )
        if name in found:
            mistake(f"{name} is given twice", given=text, allowed="each parameter once")
        found[name] = value
    return found


def read_request(quantity: Quantity, texts: Sequence[str], options: Mapping[str, Any]) -> Request:
    """The question that the words of the command line ask; every mistake in them is found here."""
    from derive.parse import Range, parse_range

    time, digits = options["time"], options.get("digits")
    if time not in TIMES:
        mistake(f"--time {time} is unknown", given=time, allowed=", ".join(TIMES), nearest=nearest(time, TIMES))
    typed = _assignments(texts)
    unknown = _asked(quantity, options.get("asked"), typed)
    named = ("t" if k == time else k for k in typed if k not in SIZES)
    quantity = quantity.given(*named, *((unknown,) if unknown else ()))
    asked = None if unknown is None else quantity.parameter(unknown)
    names = _aliases(quantity, None if asked is None else asked.name, time)
    parsed: dict[str, Axis] = {}
    for name, text in typed.items():
        own = names.get(name, name if name in SIZES else None)
        if own is None:
            _unknown_parameter(quantity, name, names, asked)
        if own in parsed:
            mistake(f"{own} is given twice", given=f"{name}={text}", allowed="each parameter once")
        value = parse_range(text, what=name)
        points = tuple(value.values()) if isinstance(value, Range) else (value,)
        timed = is_time(quantity.symbol.name) if own == "value" else own == "t"
        kind = time if timed and time != "t" else "log" if own == "P" else "plain"
        parsed[own] = Axis(own, text, points, isinstance(value, Range), kind)
    note = _sizes(quantity, parsed, asked)
    _complete(quantity, parsed, asked)
    breaking = int(options.get("breaking") or 0)
    if breaking and (digits or asked):
        other = "--digits" if digits else "--for"
        mistake(f"--breaking with {other}", given=other, allowed="--breaking 1 in doubles, for the quantity itself")
    request = Request(
        quantity, tuple(parsed.values()), bool(options.get("zipped")), time, digits, asked, "value", note, breaking)
    _check_shape(request)
    _check_domains(request)
    return request


def _asked(quantity: Quantity, name: str | None, typed: Mapping[str, str]) -> str | None:
    """The name of the parameter that --for asks for."""
    if name is None:
        return None
    every = (quantity, *quantity.variants)
    names = {k: p.name for v in every for p in v.parameters for k in (p.name, p.symbol.name)}
    if name not in names:
        mistake(
            f"--for {name}: {quantity.name} has no parameter {name}",
            given=name,
            allowed=", ".join(dict.fromkeys(names.values())),
            nearest=nearest(name, list(names)),
        )
    return names[name]


def _unknown_parameter(quantity: Quantity, name: str, names: Mapping[str, str], asked: Parameter | None) -> NoReturn:
    plain = {"α": "alpha", "λ": "lam", "τ": "tau", "σ": "sigma"}.get(name, name)
    shown = ", ".join(p.name for p in quantity.parameters if p is not asked)
    if asked is not None:
        shown += f", and the value as {goal_name(quantity)}"
    if plain in ("tau", "sigma") and "t" in names:
        mistake(
            f"{name} needs --time {plain}", given=name, allowed=f"--time {plain} {plain}=..., or t=...", nearest="t"
        )
    for variant in quantity.variants:
        own, theirs = ([p.name for p in q.parameters] for q in (quantity, variant))
        if name in theirs and name not in own:
            replaced = ", ".join(k for k in own if k not in theirs)
            mistake(
                f"{quantity.name} takes {name} in place of {replaced}, not with it",
                given=name,
                allowed=f"{replaced}, or {name}",
            )
    near = plain if plain in names else nearest(plain, list(names))
    mistake(
        f"{quantity.name} ({quantity.ensemble.name}) has no parameter {name!r}",
        given=name,
        allowed=f"{shown}, and the sizes P, N, D",
        nearest=near,
    )


def _sizes(quantity: Quantity, parsed: dict[str, Axis], asked: Parameter | None) -> str:
    """Check that finite sizes say what is missing and nothing twice; the note that goes with them."""
    given = [k for k in SIZES if k in parsed]
    if not given:
        return ""
    own = {p.name for p in quantity.parameters}
    for size, exponent, formula in (("P", "alpha", "log(P)/N"), ("D", "alpha_D", "D/N")):
        if size not in parsed:
            continue
        if exponent not in own:
            mistake(
                f"{quantity.name} ({quantity.ensemble.name}) has no parameter {exponent}, so {size} says nothing",
                given=f"{size}={parsed[size].text}",
                allowed=", ".join(sorted(own)),
            )
        if exponent in parsed or (asked is not None and asked.name == exponent):
            mistake(
                f"{size} sets {exponent} = {formula}, which is {'given' if exponent in parsed else 'asked for'} too",
                given=f"{size}={parsed[size].text}",
                allowed=f"{size} or {exponent}, not both",
            )
        if "N" not in parsed:
            mistake(
                f"{size} needs N: {exponent} = {formula}",
                given=f"{size}={parsed[size].text}",
                allowed=f"{size}=... N=...",
            )
    if given == ["N"] and (asked is None or asked.name not in ("alpha", "alpha_D")):
        mistake(
            "N alone sets nothing: alpha = log(P)/N and alpha_D = D/N",
            given=f"N={parsed['N'].text}",
            allowed="P=... N=..., D=... N=..., or --for alpha N=...",
        )
    for size in given:
        least = 1
        if any(bool((v <= least) if size == "P" else (v < least)) for v in parsed[size].values):
            mistake(
                f"{size} = {parsed[size].text} is too small for the {SIZES[size]}",
                given=f"{size}={parsed[size].text}",
                allowed=f"{size} {'above' if size == 'P' else 'at least'} {least}",
            )
    return FINITE_SIZE_NOTE


def _complete(quantity: Quantity, parsed: Mapping[str, Axis], asked: Parameter | None) -> None:
    have = set(parsed) | ({"alpha"} if "P" in parsed else set()) | ({"alpha_D"} if "D" in parsed else set())
    missing = [p for p in quantity.parameters if p.name not in have and p.default is None and p is not asked]
    if asked is not None and asked.name in parsed:
        mistake(
            f"{asked.name} is both asked for and given",
            given=f"{asked.name}={parsed[asked.name].text}",
            allowed=f"--for {asked.name}, or a value for it",
        )
    if asked is not None and "value" not in parsed:
        name = goal_name(quantity)
        mistake(
            f"--for {asked.name} needs the value that {quantity.name} shall have",
            given=f"--for {asked.name}",
            allowed=f"{name}=VALUE",
            nearest=f"{name}=0.1",
        )
    if missing:
        words = ", ".join(f"{p.name} ({p.meaning})" if p.meaning else p.name for p in missing)
        first = missing[0].name
        instead = {"alpha": " P=... N=...", "alpha_D": " D=... N=..."}.get(first, "")
        for variant in quantity.variants:
            theirs = [p.name for p in variant.parameters]
            if first not in theirs:
                instead = "".join(f" {k}=VALUE" for k in theirs if k not in {p.name for p in quantity.parameters})
        mistake(
            f"{quantity.name} ({quantity.ensemble.name}) needs {words}",
            given=" ".join(parsed) or "nothing",
            allowed=f"{missing[0].name}=VALUE with {missing[0].name} in {domain_text(missing[0])}"
            + (f", or{instead}" if instead else ""),
            nearest=f"{missing[0].name}=0.5",
        )


def _check_shape(request: Request) -> None:
    swept = request.swept
    if request.zipped:
        sizes = {len(k.values) for k in swept}
        if len(sizes) > 1:
            mistake(
                "--zip pairs ranges of one length",
                given=", ".join(f"{k.name}: {len(k.values)}" for k in swept),
                allowed="ranges with the same number of points",
            )
        if not swept:
            mistake("--zip needs ranges", given="no range", allowed="NAME=a:b:n")
    if math.prod(request.shape) > MAX_GRID:
        mistake(
            f"a grid of {math.prod(request.shape)} points",
            given=" x ".join(map(str, request.shape)),
            allowed=f"at most {MAX_GRID} points",
        )


def domain_text(parameter: Parameter) -> str:
    interval = parameter.domain
    return f"{'(' if interval.left_open else '['}{interval.start}, {interval.end}{')' if interval.right_open else ']'}"


def _check_domains(request: Request) -> None:
    """Every number inside its parameter's interval."""
    import sympy as sp

    own = {p.name: p for p in request.quantity.parameters}
    for axis in request.axes:
        if axis.name not in own:
            continue
        parameter = own[axis.name]
        interval = parameter.domain
        low, high = (float(sp.N(k, 30)) for k in (interval.start, interval.end))
        for value, number in zip(axis.values, axis.numbers(request.digits), strict=True):
            above = number > low if interval.left_open else number >= low
            below = number < high if interval.right_open else number <= high
            if not (above and below):
                shown = axis.text if not axis.swept else str(value)
                what = axis.name if axis.kind == "plain" else f"{request.time} = {shown}, that is {axis.name}"
                number_shown = shown if axis.kind == "plain" else f"{float(number):.6g}"
                mistake(
                    f"{what} = {number_shown} is out of its domain {domain_text(parameter)}",
                    given=f"{axis.name}={axis.text}",
                    allowed=f"{axis.name} in {domain_text(parameter)}",
                )
