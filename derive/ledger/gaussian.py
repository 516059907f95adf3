"""Rules about Gaussian variables: derivatives that fall on the kernel, and rotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Add, Basic, Derivative, Dummy, Eq, Expr, ImmutableMatrix, Rational, Rel, Symbol, exp, eye, log, sqrt
from sympy.core.function import AppliedUndef, UndefinedFunction

from derive.core import Domain, Evidence, Step, Verdict
from derive.ledger.balls import NotEnclosed, enclose
from derive.ledger.context import context, hints_of, parts_of, undecided, weakened
from derive.ledger.domain import points, seed_of
from derive.ledger.ladder import prove_identity
from derive.ledger.rewriting import carried_out, defines, replace_function, rewrite
from derive.ledger.sampling import applied_functions, ball_text, shown_point
from derive.nodes.averages import DivergentAverage, GaussianAverage, LogAverageExp, TiltedAverage
from derive.nodes.binders import Binder
from derive.nodes.laws import Normal
from derive.nodes.timebox import TimedOut, timebox

__all__ = ["as_truth", "counter_example", "gaussian_kernel", "gaussian_rotation", "instances"]

Premises = Mapping[str, Step]


# ---- what undefined functions are replaced with where a claim is to be refuted


def instances(e: Basic) -> dict[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]]:
    """A concrete function for each undefined one, such that Gaussian averages of their exponentials are closed: of two
    arguments a concave quadratic form, of one or of three a linear function.

    A claim about every function of a class is refuted by one member.
    """
    found: dict[UndefinedFunction, tuple[tuple[Symbol, ...], Expr]] = {}
    waiting: list[Basic] = [e]
    while waiting:
        x = waiting.pop()
        waiting.extend(x.args)
        if not isinstance(x, AppliedUndef) or x.func in found:
            continue
        shift = Rational(sum(map(ord, x.func.__name__)) % 7 + 1, 9)
        names = tuple(Dummy(f"x{i}", real=True) for i in range(len(x.args)))
        if len(names) == 2:
            body = -(names[0] - names[1]) ** 2 / 3 + shift * names[0] * names[1] / 5
        else:
            body = shift + sum(Rational(2, 3 + i) * v for i, v in enumerate(names))
            if len(names) > 2:
                body += sum(Rational(1, 4 + i) * v * names[1] for i, v in enumerate(names)) + names[-1] ** 2 / 9
        found[x.func] = (names, body)
    return found


def _concrete(e: Basic) -> Basic:
    for function, (names, body) in instances(e).items():
        e = replace_function(e, function, names, body)
    return e


def counter_example(lhs: Expr, rhs: Expr, step: Step, facts: Sequence[Basic]) -> Evidence | None:
    """A refutation at one point, of one member of the class of functions that a claim is about; None without one."""
    pair = Basic(lhs, rhs)
    chosen = instances(pair)
    if not chosen or lhs == rhs:
        return None
    plain = _concrete(pair)
    symbols = {s for s in plain.free_symbols if isinstance(s, Symbol)}
    inside = Domain(step.domain.intervals, (*step.domain.constraints, *(f for f in facts if isinstance(f, Rel))))
    for point in points(symbols, inside, seed_of(plain), 2, 0.2):
        try:
            gap = timebox(4.0, _gap, plain, point)
        except (TimedOut, DivergentAverage):
            return None
        if gap is not None:
            shown = shown_point({s: v for s, v in point.items() if s in symbols}, gap)
            shown += tuple((f.__name__, str(body.xreplace({v: Symbol(v.name) for v in names})))
                           for f, (names, body) in chosen.items())
            at = ", ".join(f"{k} = {v}" for k, v in shown if k != "lhs - rhs")
            return Evidence(Verdict.REFUTED, f"lhs - rhs = {gap} at {at} (a ball that excludes zero)", shown)
    return None


def _gap(pair: Basic, point: Mapping[Symbol, Rational]) -> str | None:
    """lhs - rhs in closed form at a point, as text where it certainly does not vanish."""
    left, right = (side.subs(point).doit() for side in pair.args)
    try:
        ball = enclose(left - right, {}, 128)
    except (NotEnclosed, ValueError, ZeroDivisionError):
        return None
    return ball_text(ball) if ball.is_finite() and not ball.contains(0) else None


# ---- derivatives of averages over omega + sqrt(V) w


def gaussian_kernel(step: Step, premises: Premises) -> Evidence:
    """Derivatives in omega and V of averages of functions of omega + sqrt(V) w over a standard normal w.

    With h = omega + sqrt(V) w such an average is an integral over h of a function that knows neither omega nor V times
    the kernel exp(-(h - omega)^2/(2 V))/sqrt(2 pi V), which is all that is differentiated: its logarithmic derivatives
    are w/sqrt(V) in omega and (w^2 - 1)/(2 V) in V.  Exact, by dominated convergence, inside the open set of omega and
    V where the average exists; nothing is asked of the function, which may have jumps.  Powers of w beside the function
    are differentiated at fixed h.  Hints "mean" and "variance": the symbols omega and V.  Premises that define
    functions are put in before the derivatives are taken.
    """
    claim = step.claim
    hints = hints_of(step)
    if not isinstance(claim, Basic) or not {"mean", "variance"} <= set(hints):
        return undecided("the hints are to name the symbols of mean and variance")
    ctx = context(step, premises)
    moves = _Moves(hints["mean"], hints["variance"])
    found = []
    for part in parts_of(claim):
        if not isinstance(part, Eq):
            return undecided(f"the claim {part} is not an equation")
        sides = [moves.performed(_defined(side, ctx.equations)) for side in part.args]
        found.append(_settled(sides[0], sides[1], step, ctx))
    return weakened(min(found, key=lambda e: e.verdict.value), ctx.open)


def _settled(lhs: Expr, rhs: Expr, step: Step, ctx: Any) -> Evidence:
    """A counter-example in closed form costs less than a search for a proof that does not exist."""
    counter = counter_example(lhs, rhs, step, ctx.relations)
    return counter or prove_identity(lhs, rhs, ctx.domain, ctx.facts, seconds=6.0)


def _defined(e: Basic, premises: Sequence[Eq]) -> Basic:
    """Functions that premises define, put in below derivatives, which stay written."""
    for _ in range(len(premises)):
        for premise in premises:
            if defines(premise) and isinstance(premise.lhs, AppliedUndef):
                e = _put_function(e, premise.lhs.func, premise.lhs.args, premise.rhs)
    return e


def _put_function(e: Basic, function: UndefinedFunction, arguments: Sequence[Symbol], body: Expr) -> Basic:
    if isinstance(e, AppliedUndef) and e.func == function:
        inside = [_put_function(a, function, arguments, body) for a in e.args]
        return body.subs(dict(zip(arguments, inside, strict=True)), simultaneous=True)
    if not e.args or not any(a.func == function for a in applied_functions(e)):
        return e
    if isinstance(e, Derivative):
        return Derivative(_put_function(e.expr, function, arguments, body), *e.variable_count, evaluate=False)
    return e.func(*(_put_function(a, function, arguments, body) for a in e.args))


class _Moves:
    """Derivatives in the mean and the variance of a Gaussian field, taken on its kernel."""

    def __init__(self, mean: Symbol, variance: Symbol) -> None:
        self.mean, self.variance = mean, variance

    def performed(self, e: Basic) -> Basic:
        """All derivatives that are written in an expression, taken."""
        if isinstance(e, Derivative):
            inner = self.performed(e.expr)
            for symbol, count in e.variable_count:
                for _ in range(int(count)):
                    inner = self.slope(inner, symbol)
            return inner
        if not e.args or not e.has(Derivative) or isinstance(e, Binder):
            return e
        return e.func(*(self.performed(a) for a in e.args))

    def slope(self, e: Expr, symbol: Symbol) -> Expr:
        """The derivative in one symbol."""
        nodes = sorted((x for x in e.atoms(LogAverageExp, TiltedAverage, GaussianAverage)
                        if symbol in x.free_symbols and not _inner(x, e)), key=str)
        names = {x: Dummy(f"node{i}") for i, x in enumerate(nodes)}
        outside = e.xreplace(names)
        back = {d: x for x, d in names.items()}
        total = outside.diff(symbol)
        for node, name in names.items():
            total += outside.diff(name) * self._node(node, symbol)
        return total.xreplace(back)

    def _node(self, node: Expr, symbol: Symbol) -> Expr:
        variables, scoped = node.open()
        if symbol not in (self.mean, self.variance) or len(variables) != 1 or not self._normal(node):
            return node.diff(symbol)
        (w,) = variables
        if isinstance(node, GaussianAverage):
            rest, weight = self._split(scoped[0], w)
            return node if weight is None else GaussianAverage(self._moved(rest, w, symbol) * weight, w)
        g = scoped[-1]
        if not self._carried(g, w):
            return node.diff(symbol)
        score = self._score(w, symbol)
        if isinstance(node, LogAverageExp):
            return TiltedAverage(score, g, w, node.law)
        f = scoped[0]
        return TiltedAverage(self._moved(f, w, symbol), g, w, node.law) - node * TiltedAverage(score, g, w, node.law)

    def _split(self, body: Expr, w: Symbol) -> tuple[Expr, Expr | None]:
        """A body as (what is differentiated) times (a function of the field alone)."""
        weight = [f for f in body.as_ordered_factors() if self._carried(f, w) and w in f.free_symbols]
        product = Rational(1)
        for f in weight:
            product = product * f
        return body / product, product

    @staticmethod
    def _normal(node: Expr) -> bool:
        return isinstance(node, GaussianAverage) or isinstance(node.law, Normal)

    def _carried(self, g: Expr, w: Symbol) -> bool:
        """Whether g depends on mean and variance only through the field."""
        h = Dummy("h", real=True)
        at = g.subs(w, (h - self.mean) / sqrt(self.variance))
        return not (at.free_symbols & {self.mean, self.variance})

    def _score(self, w: Symbol, symbol: Symbol) -> Expr:
        """The logarithmic derivative of the kernel."""
        return w / sqrt(self.variance) if symbol == self.mean else (w**2 - 1) / (2 * self.variance)

    def _moved(self, f: Expr, w: Symbol, symbol: Symbol) -> Expr:
        """The derivative of f times the kernel at a fixed field, over the kernel."""
        shift = -1 / sqrt(self.variance) if symbol == self.mean else -w / (2 * self.variance)
        return (f.diff(symbol) + f.diff(w) * shift + f * self._score(w, symbol)).expand()


def _inner(node: Basic, e: Basic) -> bool:
    """Whether a node stands inside another one."""
    return any(node in x.args or any(a.has(node) for a in x.args)
               for x in e.atoms(LogAverageExp, TiltedAverage, GaussianAverage) if x != node)


# ---- rotations


def gaussian_rotation(step: Step, premises: Premises) -> Evidence:
    """Independent standard normal variables, rotated, are independent standard normal variables.

    Exact because the density exp(-|x|^2/2) is invariant under orthogonal maps.  Hint "rotation": an orthogonal matrix
    O; the first variables of averages on the left side become O times the new ones, which are compared with the right
    side by the ladder.  exp(log E exp g) is E exp g, and averages over independent variables are joined first.
    """
    claim = step.claim
    rotation = hints_of(step).get("rotation")
    if not isinstance(claim, Eq) or not isinstance(rotation, ImmutableMatrix):
        return undecided("the claim is to be an equation, and the hint a matrix")
    ctx = context(step, premises)
    gram = rotation * rotation.T
    for i in range(gram.rows):
        for j in range(gram.cols):
            found = prove_identity(gram[i, j], eye(gram.rows)[i, j], ctx.domain, ctx.facts)
            if found.verdict is not Verdict.PROVED:
                return Evidence(found.verdict, f"the map is not shown to be orthogonal: {found.detail}", found.witness)
    pair, _ = rewrite(carried_out(Basic(claim.lhs, claim.rhs)), ctx.equations)
    lhs, rhs = (_joined(side) for side in pair.args)
    turned = {}
    for node in lhs.atoms(GaussianAverage):
        if len(node.variables) >= rotation.rows:
            turned[node] = _turned(node, rotation)
    if not turned:
        return undecided("no average on the left side has so many variables")
    found = _settled(lhs.xreplace(turned), rhs, step, ctx)
    if found.verdict is Verdict.PROVED:
        found = Evidence(Verdict.PROVED, f"an orthogonal map of the variables; {found.detail}")
    return weakened(found, ctx.open)


def _joined(e: Basic) -> Basic:
    """log E exp(log E exp g) as log E E exp g, and exp of a log as its argument."""

    def plain(x: Basic) -> Basic:
        if isinstance(x, LogAverageExp) and isinstance(x.law, Normal):
            (w,), (g,) = x.open()
            inner = plain(g)
            body = inner.args[0] if isinstance(inner, log) else exp(inner)
            return log(GaussianAverage(body, w))
        if not x.args or not x.has(LogAverageExp) or isinstance(x, Symbol):
            return x
        return x.func(*(plain(a) for a in x.args))

    return plain(e)


def _turned(node: GaussianAverage, rotation: ImmutableMatrix) -> Expr:
    variables, (body,) = node.open()
    size = rotation.rows
    fresh = tuple(Dummy(f"y{i}", real=True) for i in range(size))
    images = {v: sum(rotation[i, j] * fresh[j] for j in range(size)) for i, v in enumerate(variables[:size])}
    turned = _collected(body.subs(images, simultaneous=True), fresh)
    return GaussianAverage(turned, *fresh, *variables[size:])


def _collected(e: Basic, fresh: Sequence[Symbol]) -> Basic:
    """Sums that are linear in the new variables, with the coefficients brought to one fraction each."""
    from sympy import factor

    if isinstance(e, Add) and set(fresh) & e.free_symbols and not e.has(AppliedUndef):
        poly = e.expand().as_poly(*fresh) if e.expand().is_polynomial(*fresh) else None
        if poly is not None and poly.total_degree() == 1:
            parts = [factor(poly.coeff_monomial(y)) * y for y in fresh]
            return sum(parts, factor(poly.coeff_monomial(1)))
    if not e.args or not set(fresh) & e.free_symbols or e.is_Symbol:
        return e
    return e.func(*(_collected(a, fresh) for a in e.args))


# ---- posterior averages


def as_truth(node: GaussianAverage, domain: Domain) -> Expr | None:
    """An average of posterior averages <f> as the average of f over the truth, term by term; None without such a term.

    Among the variables are the truth w_0 and the noise w_n, the tilt is -(w_n + A(w_0) - A(w))^2/2 and all that stands
    beside <f> depends on w_0 and w_n through the observation w_n + A(w_0) alone: then the tilted law of w is the
    posterior of w_0 (Bayes), and w and w_0 are exchangeable given the observation.
    """
    variables, (body,) = node.open()
    terms = Add.make_args(body.expand(deep=False))
    moved = []
    for term in terms:
        tilts = sorted(term.atoms(TiltedAverage), key=str)
        found = (_exchanged(term, tilt, variables, domain) for tilt in tilts)
        moved.append(next((new for new in found if new is not None), term))
    return None if tuple(moved) == terms else GaussianAverage(Add(*moved), *variables)


def _exchanged(term: Expr, tilt: TiltedAverage, variables: Sequence[Symbol], domain: Domain) -> Expr | None:
    """One term, linear in a posterior average, with the truth in its place."""
    if not isinstance(tilt.law, Normal):
        return None
    factor = term / tilt
    (w,), (f, g) = tilt.open()
    for noise in variables:
        seen = -g.diff(noise)
        if noise not in g.free_symbols or not _same(g, -(seen**2) / 2, domain):
            continue
        gap = (seen - noise).expand()
        for truth in variables:
            if truth == noise or truth not in gap.free_symbols:
                continue
            own = sum((a for a in gap.as_ordered_terms() if truth in a.free_symbols), start=Rational(0))
            if w in own.free_symbols or noise in gap.free_symbols:
                continue
            if not _same(gap, own - own.xreplace({truth: w}), domain):
                continue
            if _observed(factor, own, truth, noise, domain) and _observed(f, own, truth, noise, domain):
                return factor * f.xreplace({w: truth})
    return None


def _observed(e: Expr, signal: Expr, truth: Symbol, noise: Symbol, domain: Domain) -> bool:
    """Whether an expression depends on truth and noise only through their observation."""
    observation = Dummy("x", real=True)
    canonical = {}
    for node in e.atoms(TiltedAverage):
        if isinstance(node.law, Normal):
            (w,), (f, g) = node.open()
            seen = observation - signal.xreplace({truth: w})
            if _same(g, -((noise + signal - signal.xreplace({truth: w})) ** 2) / 2, domain):
                canonical[node] = TiltedAverage(f, -(seen**2) / 2, w, node.law)
    left = e.xreplace(canonical).subs(noise, observation - signal)
    return not (left.free_symbols & {truth, noise} and left.expand().free_symbols & {truth, noise})


def _same(a: Expr, b: Expr, domain: Domain) -> bool:
    return a == b or prove_identity(a, b, domain, seconds=2.0).verdict is Verdict.PROVED
