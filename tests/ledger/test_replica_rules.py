"""The rules of the replica calculation prove what is right and refute, with a witness, what is not."""

import pytest
from sympy import (
    Add,
    And,
    Basic,
    Derivative,
    Determinant,
    Eq,
    Function,
    Identity,
    ImmutableMatrix,
    Interval,
    Rational,
    Symbol,
    Trace,
    log,
    oo,
    sqrt,
)

from derive.core import Domain, Evidence, Step, Verdict
from derive.ledger import Derivation, replica
from derive.ledger.derivation import check_step
from derive.ledger.rules import RULES
from derive.nodes import GaussianAverage, LogAverageExp, Normal, TiltedAverage
from derive.nodes.replica_matrix import TABLE, OverlapMatrix
from derive.symbols import V, m, q, r, t, x

n, p = Symbol("n", positive=True), Symbol("m_b", positive=True)
q0, q1 = Symbol("q_0", positive=True), Symbol("q_1", positive=True)
ROOM = Domain(((m, Interval(-oo, oo)),), (q - m**2 > 0, r - q > 0))
BLOCKS = Domain(((m, Interval(-oo, oo)), (p, Interval.Lopen(0, 1))), (q0 - m**2 > 0, q1 - q0 > 0, r - q1 > 0))
PLANTED = OverlapMatrix.symmetric(n, r, q, planted=m)
BROKEN = OverlapMatrix.one_step(n, p, r, q1, q0, planted=m)
REPLICON = OverlapMatrix.symmetric(n, 1 - 1 / n, -1 / n, planted=0, norm=0)
PLANTED_DET = n * log(r - q) + log(1 + n * (q - m**2) / (r - q))
SHARED = r - q1 + p * (q1 - q0)
BROKEN_DET = n * log(r - q1) + n * (log(SHARED) - log(r - q1)) / p + log(1 + n * (q0 - m**2) / SHARED)



EVERYWHERE = Domain()


def check(
    claim: Basic, rule: str, domain: Domain = EVERYWHERE, hints: tuple = (), premises: tuple[Step, ...] = ()
) -> Evidence:
    step = Step("s", claim, rule, tuple(k.label for k in premises), domain, hints=hints)
    return check_step(Derivation("one", "One step", (*premises, step)), "s")


def eq(a: Basic, b: Basic) -> Eq:
    return Eq(a, b, evaluate=False)


RIGHT = [
    (eq(log(Determinant(PLANTED)), PLANTED_DET), ROOM),
    (eq(log(Determinant(BROKEN)), BROKEN_DET), BLOCKS),
    (eq(Trace(PLANTED), 1 + n * r), ROOM),
    (eq(PLANTED * PLANTED.overlap_inverse(), Identity(n + 1)), ROOM),
    (eq(BROKEN * BROKEN.overlap_inverse(), Identity(n + 1)), BLOCKS),
    (And(eq(REPLICON * REPLICON, REPLICON), eq(Trace(REPLICON), n - 1)), ROOM),
    (eq(PLANTED * REPLICON, (r - q) * REPLICON), ROOM),
]
WRONG = [
    (eq(log(Determinant(PLANTED)), (n - 1) * log(r - q) + log(1 + n * (q - m**2) / (r - q))), ROOM),  # n off by one
    (eq(log(Determinant(PLANTED)), n * log(r - q) + log(1 + n * (q + m**2) / (r - q))), ROOM),  # sign
    (eq(log(Determinant(PLANTED)), n * log(r - q) + log(1 + n * (r - m**2) / (r - q))), ROOM),  # swapped symbol
    (eq(log(Determinant(BROKEN)), BROKEN_DET.subs(p, p + 1)), BLOCKS),
    (eq(log(Determinant(BROKEN)), BROKEN_DET.xreplace({q0: q1, q1: q0})), BLOCKS),
    (eq(Trace(PLANTED), 1 + (n - 1) * r), ROOM),
    (eq(Trace(PLANTED), n * r), ROOM),
    (eq(PLANTED * PLANTED.overlap_inverse(), 2 * Identity(n + 1)), ROOM),
    (eq(PLANTED * OverlapMatrix.symmetric(n, 1 / (r - q), -q, planted=-m), Identity(n + 1)), ROOM),
    (And(eq(REPLICON * REPLICON, REPLICON), eq(Trace(REPLICON), n)), ROOM),
    (eq(PLANTED * REPLICON, (r + q) * REPLICON), ROOM),
]


@pytest.mark.parametrize(("claim", "domain"), RIGHT)
def test_replica_matrices_for_every_n(claim: Basic, domain: Domain) -> None:
    assert check(claim, "replica-algebra", domain).verdict is Verdict.PROVED


@pytest.mark.parametrize(("claim", "domain"), WRONG)
def test_a_wrong_claim_on_replica_matrices_has_a_witness(claim: Basic, domain: Domain) -> None:
    found = check(claim, "replica-algebra", domain)
    assert found.verdict is Verdict.REFUTED
    assert dict(found.witness)["n"].isdigit()


def test_a_wrong_table_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    replica.algebra_holds.cache_clear()
    monkeypatch.setattr(replica, "TABLE", {**TABLE, ("ones", "ones"): ("ones", "p")})
    with pytest.raises(AssertionError, match="ones times ones"):
        replica.algebra_holds()
    replica.algebra_holds.cache_clear()


# ---- Gaussian kernels

g, sigma, L, first, second = (Function(k, real=True) for k in ("g", "sigma", "L", "w_1", "w_2"))
omega, w, u, v, y, w0, noise = (Symbol(k, real=True) for k in ("omega", "w", "u", "v", "y", "w_0", "w_n"))
AT = (x, omega, V)
TILT = g(x, sigma(omega + sqrt(V) * w))
NAMES = (
    Step("L", Eq(L(*AT), LogAverageExp(TILT, w, Normal())), "definition"),
    Step("first", Eq(first(*AT), TiltedAverage(w, TILT, w, Normal())), "definition"),
    Step("second", Eq(second(*AT), TiltedAverage(w**2, TILT, w, Normal())), "definition"),
)
KERNEL = (("mean", omega), ("variance", V))
SLOPE, CURVED, SPREAD = Derivative(L(*AT), omega), Derivative(L(*AT), (omega, 2)), Derivative(L(*AT), V)


@pytest.mark.parametrize("claim", [
    eq(SLOPE, first(*AT) / sqrt(V)),
    eq(CURVED, (second(*AT) - first(*AT) ** 2 - 1) / V),
    eq(SPREAD, (CURVED + SLOPE**2) / 2),
    eq(Derivative(first(*AT), omega), (second(*AT) - first(*AT) ** 2 - 1) / sqrt(V)),
])
def test_derivatives_fall_on_the_kernel(claim: Eq) -> None:
    assert check(claim, "gaussian-kernel", hints=KERNEL, premises=NAMES).verdict is Verdict.PROVED


@pytest.mark.parametrize("claim", [
    eq(SLOPE, -first(*AT) / sqrt(V)),
    eq(SLOPE, first(*AT) / V),
    eq(CURVED, (second(*AT) - first(*AT) ** 2) / V),
    eq(CURVED, (second(*AT) - first(*AT) - 1) / V),
    eq(SPREAD, (CURVED - SLOPE**2) / 2),
    eq(SPREAD, CURVED / 2),
])
def test_a_wrong_derivative_is_refuted_by_an_instance(claim: Eq) -> None:
    found = check(claim, "gaussian-kernel", hints=KERNEL, premises=NAMES)
    assert found.verdict is Verdict.REFUTED
    assert "g" in dict(found.witness)


# ---- rotations

F = Function("F", real=True)
UNIT = Domain(((q, Interval.open(0, 1)),))
TURN = ImmutableMatrix([[sqrt(q), sqrt(1 - q)], [sqrt(1 - q), -sqrt(q)]])
BEFORE = GaussianAverage(F(u, q * u + sqrt(q - q**2) * v), u, v)


def turned(planted: Add) -> Basic:
    return GaussianAverage(F(planted, sqrt(q) * y), y, w0)


def test_rotated_variables_are_as_good() -> None:
    claim = eq(BEFORE, turned(sqrt(q) * y + sqrt(1 - q) * w0))
    assert check(claim, "gaussian-rotation", UNIT, (("rotation", TURN),)).verdict is Verdict.PROVED


def test_a_wrong_rotation_is_refuted() -> None:
    claim = eq(BEFORE, turned(q * y + sqrt(1 - q) * w0))
    assert check(claim, "gaussian-rotation", UNIT, (("rotation", TURN),)).verdict is Verdict.REFUTED
    skewed = ImmutableMatrix([[sqrt(q), 0], [sqrt(1 - q), 1]])
    assert check(claim, "gaussian-rotation", UNIT, (("rotation", skewed),)).verdict is Verdict.REFUTED


# ---- posterior averages on a manifold


def entry(field: Symbol) -> Basic:
    return sigma(sqrt(q) * y + sqrt(1 - q) * field)


def posterior(body: Basic, variance: Basic = t) -> TiltedAverage:
    return TiltedAverage(body, -((entry(w0) + sqrt(t) * noise - entry(w)) ** 2) / (2 * variance), w, Normal())


def mean(body: Basic) -> Basic:
    return GaussianAverage(body, y, w0, noise)


@pytest.mark.parametrize(("lhs", "rhs"), [
    (mean(w0 * posterior(w)), mean(posterior(w) ** 2)),
    (mean(posterior(w**2)), 1),
    (mean(y * posterior(w)), 0),
    (mean(posterior(entry(w))), mean(entry(w0))),
])
def test_the_posterior_is_exchangeable_with_the_truth(lhs: Basic, rhs: Basic) -> None:
    assert check(eq(lhs, rhs), "nishimori", UNIT).verdict is Verdict.PROVED


@pytest.mark.parametrize(("lhs", "rhs"), [
    (mean(posterior(w**2)), 2),
    (mean(w0 * posterior(w)), 2 * mean(posterior(w) ** 2)),
    (mean(y * posterior(w)), 1),
])
def test_a_wrong_posterior_average_is_refuted(lhs: Basic, rhs: Basic) -> None:
    assert check(eq(lhs, rhs), "nishimori", UNIT).verdict is Verdict.REFUTED


def test_another_temperature_is_no_posterior() -> None:
    claim = eq(mean(posterior(w**2, 2 * t)), 1)
    assert check(claim, "nishimori", UNIT).verdict is Verdict.REFUTED


def test_a_posterior_average_is_one_only_where_its_roots_are_real() -> None:
    seen = entry(w0) + sqrt(t) * noise - entry(w)
    claim = eq(mean(posterior(seen**2)), t)
    assert check(claim, "nishimori", UNIT).verdict is Verdict.PROVED
    exchanged = claim.xreplace({q: t, t: q})  # 1 - t under the root, which falls out of the average over the truth
    found = check(exchanged, "nishimori", UNIT)
    assert found.verdict is Verdict.REFUTED
    assert "the argument of sigma is not real" in found.detail
    assert Rational(dict(found.witness)["t"]) > 1
    rule_alone = RULES["nishimori"](Step("s", exchanged, "nishimori", domain=UNIT), {})
    assert rule_alone.verdict is Verdict.UNDECIDED
    assert "1 - t >= 0" in rule_alone.detail


# ---- Stein's lemma for functions that are not named


def test_the_growth_of_an_undefined_function_is_granted_by_an_assumption_only() -> None:
    f = Function("f", real=True)
    claim = eq(GaussianAverage(u * f(u), u), GaussianAverage(f(u).diff(u), u))
    assert check(claim, "stein", hints=(("variable", 0),)).verdict is Verdict.CORROBORATED
    granted = Step("growth", "f grows slowly", "assumption")
    hints = (("growth", "growth"), ("variable", 0))
    assert check(claim, "stein", hints=hints, premises=(granted,)).verdict is Verdict.PROVED
    wrong = eq(GaussianAverage(u * f(u), u), -GaussianAverage(f(u).diff(u), u))
    assert check(wrong, "stein", hints=hints, premises=(granted,)).verdict is Verdict.REFUTED
