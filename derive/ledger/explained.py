"""Mutants that are neither caught nor proved to say the same, and why each is none the worse for it.

Nothing is left out of a report for being named here: the explanation stands beside the mutant.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["EXPLAINED"]

_LINEAR = ("true as well: on the linear manifold the tilt is linear in w, so that the variance of w is one, and the "
           "replicon is one whatever its arguments")

#: (label of the step, operator, wrong claim as text) -> the explanation
EXPLAINED: Mapping[tuple[str, str, str], str] = MappingProxyType({
    ("atom-bound", "exponent", "alpha_D**2*w - alpha_D + 1/(w + 1) > 0"):
        "true as well: at fixed alpha_D it is smallest where 1 + w = 1/alpha_D, and is alpha_D (1 - alpha_D) > 0 there",
    ("site-free-entropy", "dropped term",
     "Eq(Phi(m, q, r), alpha_D*(-r/2 + (-m**2 + q)/(2*(-q + r)) + log(-q + r)/2 + 1/2) + GaussianAverage(L"
     "ogAverageExp(-b*(-m*x + sqrt(s)*y + x - xi*sqrt(-q + r) - sqrt(-m**2 + q))**2/2, xi, Normal()), x, y"
     "))"):
        "true as well: on the linear manifold the log-average is of second degree in the common field, of which only "
        "the mean square enters, and that of a constant one is one too",
    **{("linear-stable", operator, f"{claim} > 0"): _LINEAR for operator, claim in (
        ("sign", "Lambda(-m, q, r)"), ("sign", "Lambda(m, -q, r)"), ("sign", "Lambda(m, q, -r)"),
        ("swapped symbol", "Lambda(m, r, r)"), ("swapped symbol", "Lambda(m, r, q)"),
        ("coefficient", "2*Lambda(m, q, r)"), ("coefficient", "1000000000001*Lambda(m, q, r)/1000000000000"))},
    ("energy-slope-q", "swapped symbol",
     "Eq(Derivative(E_1(m, r, q), r), -GaussianAverage(L_V(X(x, z), m*x + y*sqrt(-m**2 + r), q - r), x, y,"
     " z) + (GaussianAverage(L_omega_omega(X(x, z), m*x + y*sqrt(-m**2 + r), q - r), x, y, z))/2)"):
        "the same identity with q and r exchanged: of the energy beyond q = r, to which both sides continue",
    ("broken-entropic-value", "swapped symbol",
     "Eq(S_1(m_b, m, q_0, q_1, r, n), -m_b*r/2 + m_b*log(-q_1 + r)/2 + m_b/2 + m_b*(-log(-q_1 + r) + log(n"
     "*(-q_0 + q_1) - q_1 + r))/(2*n) + log(m_b*(-m**2 + q_0)/(n*(-q_0 + q_1) - q_1 + r) + 1)/2)"):
        "the same identity with n and m_b exchanged, of which both sides are analytic functions",
    ("single-energetic", "swapped symbol",
     "Eq(LogAverageExp(LogAverageExp(g(x, sigma(eta*sqrt(-q_0 + r) + omega + xi*sqrt(q_0 - q_1))), eta, No"
     "rmal()), xi, Normal()), LogAverageExp(g(x, sigma(omega + xi*sqrt(-q_1 + r))), xi, Normal()))"):
        "the same identity with q_0 and q_1 exchanged: variances add up beyond q_0 = q_1 as well",
    ("truth-distance", "swapped symbol",
     "Eq(GaussianAverage(TiltedAverage((sqrt(q)*z - sigma(sqrt(t)*x + xi*sqrt(1 - t)) + sigma(sqrt(t)*x + "
     "y*sqrt(1 - t)))**2, -(sqrt(q)*z - sigma(sqrt(t)*x + xi*sqrt(1 - t)) + sigma(sqrt(t)*x + y*sqrt(1 - t"
     ")))**2/(2*q), xi, Normal()), x, y, z), q)"):
        "the same identity with the noise t and the overlap q exchanged, both of which stand for every value",
})
