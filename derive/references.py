"""Numbers that are known from elsewhere: what a quantity must come to at a point, and where that is known from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FACTS", "REFERENCES", "VALUES", "Fact", "Reference"]

_TIMES = "quadrature and root finding from the definitions, twice and independently of this program (project's notes)"
_RECORD = "Monte Carlo extrapolation with its error, notebooks/records/collapse-time.json"


@dataclass(frozen=True)
class Reference:
    """A number that this program did not make.

    Attributes: quantity (name in the atlas), ensemble (as it is named on the command line; empty for the usual one),
    parameters (name -> exact text), value (text), error (absolute, of the value; the last digit where it is rounded),
    kind ("reference number", "simulation", "exact"), source, output (the named output that it is; empty for the value),
    place (where the values of a grid are interpolated, exact text; empty where there is no grid).
    """

    quantity: str
    ensemble: str
    parameters: Mapping[str, str]
    value: str
    error: str
    kind: str
    source: str
    output: str = ""
    place: str = ""


@dataclass(frozen=True)
class Fact:
    """Numbers that belong together in a derivation, known without it.

    Attributes: system (of the quantities whose derivations they are numbers of), symbols (name -> exact text),
    functions (name -> value and slope there, exact text), error (relative), kind, source.
    """

    system: str
    symbols: Mapping[str, str]
    functions: Mapping[str, tuple[str, str]]
    error: str
    kind: str
    source: str


def _reference(
    quantity: str, value: str, error: str, kind: str, source: str, ensemble: str = "", output: str = "",
    place: str = "", **parameters: str,
) -> Reference:
    return Reference(quantity, ensemble, parameters, value, error, kind, source, output, place)


_POINTS = (
    ("0.2", "0.1", "0.017395320", "0.177341511", "0.473428107"),
    ("0.2", "0.5", "0.387395431", "1.409612764", "3.152598308"),
    ("0.5", "0.5", "0.101951439", "0.243791980", "0.600420521"),
)

REFERENCES: tuple[Reference, ...] = (
    _reference("rem-condensation", "1.177410022515475", "1e-15", "exact",
               "Derrida (1981): beta_c = 2 sqrt(log 2) at log 2 levels of variance 1/2, here of variance 1",
               alpha="0.693147180559945309"),
    _reference("participation-ratio", "0.411294988742262", "1e-14", "exact",
               "Derrida (1981), Gross and Mezard (1984): Y = 1 - T/T_c, here lam_*/lam with lam_*^2/2 = alpha",
               alpha="0.693147180559945309", lam="2"),
    _reference("participation-ratio", "0", "1e-14", "exact", "B1: no pattern has a finite weight above T_c",
               alpha="0.693147180559945309", lam="1"),
    _reference("retrieval-capacity", "0.375", "1e-15", "exact", "B1: lam - lam^2/2", lam="0.5"),
    _reference("retrieval-capacity", "0.5", "1e-15", "exact", "B1: 1/2 at and above lam = 1", lam="2"),
    _reference("retrieval-capacity", "0.6226", "5e-5", "reference number", _TIMES, ensemble="spherical", lam="1"),
    _reference("retrieval-capacity", "1.3297", "5e-5", "reference number", _TIMES, ensemble="spherical", lam="5"),
    _reference("retrieval-basin", "1", "1e-15", "exact",
               "B1: at the capacity, lam - lam^2/2, only the pattern itself is retrieved",
               alpha="0.375", lam="0.5", v="0"),
    _reference("full-capacity", "0.11759", "5e-6", "reference number", _TIMES, lam="0.3"),
    _reference("full-capacity", "0.15274", "5e-6", "reference number", _TIMES, lam="0.5"),
    _reference("full-capacity", "0.173286795139986", "1e-14", "exact", "pairs: (log 2)/4", lam="1"),
    *(_reference(name, value, "1e-9", "reference number", _TIMES, alpha=alpha, alpha_D=ratio)
      for alpha, ratio, *values in _POINTS
      for name, value in zip(("generalization-time", "collapse-time", "onset-time"), values, strict=True)),
    _reference("collapse-time", "1.4247", "0.0077", "simulation", _RECORD, alpha="0.2", alpha_D="0.5"),
    _reference("basin-radius", "1.187271141736", "1e-9", "reference number",
               f"at the collapse a trap reaches as far as typical noise, sqrt(t_c); t_c by {_TIMES}",
               alpha="0.2", alpha_D="0.5", t="1.409612764"),
    _reference("basin-radius", "1.187271141736", "1e-9", "reference number",
               f"below the collapse a trap keeps its radius, sqrt(t_c); t_c by {_TIMES}",
               alpha="0.2", alpha_D="0.5", t="0.7"),
    _reference("kl-divergence", "0.548268147", "3e-9", "reference number",
               f"log(t_o/t_g)/2 - 1/2 at the onset, where alpha + psi = 0; t_o and t_g by {_TIMES}",
               alpha="0.2", alpha_D="0.5", t="3.152598308"),
    _reference("kl-divergence", "0", "1e-9", "reference number", f"its minimum is at t_g; t_g by {_TIMES}",
               alpha="0.2", alpha_D="0.5", t="0.387395431"),
)

_SADDLE = "saddle point by direct quadrature and root finding, tests/systems/manifold_reference.py"
_LAW = "Marchenko and Pastur (1967): edges (1 -+ sqrt(alpha_D))^2/alpha_D, 1 and 9 at alpha_D = 1/4"
_LAWS: Mapping[str, tuple[str, str, str]] = MappingProxyType({
    "spherical": ("1e-10", "exact", "zeta = lam u + log(u/lam)/2 with u/(1 - u^2) = lam (B1)"),
    "binary": ("1e-10", "exact", "zeta = log cosh lam, psi_0(b) = log((1 + exp(-2 b))/2), psi_s by quadrature"),
    "atoms -1: 1/4, 0: 1/2, 1: 1/4": ("1e-10", "exact", "zeta = log cosh(lam/2)"),
    "manifold": ("1e-10", "exact", "zeta = lam^2 (a^2 (1 + 1/alpha_D) + v)/2; Marchenko and Pastur (1967)"),
    "gaussian": ("1e-10", "exact", "zeta = lam^2 (a^2 + v)/2, psi_s(b) = -(log(1 + b) + b (1 + s)/(1 + b))/2"),
    "manifold, variances 1:1/2,16:1/2": ("1e-9", "exact", "Silverstein and Choi (1995): where z(g) is stationary"),
})
"""Closed forms of the laws of patterns: error, kind, source of the numbers below."""

#: quantity, ensemble, value, named output, parameters; tests/systems/known_numbers.py makes these
_AT_LAWS: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("rem-condensation", "spherical", "1", "", {"alpha": "0.240605912529801724"}),
    ("participation-ratio", "spherical", "0.5", "", {"alpha": "0.240605912529801724", "lam": "2"}),
    ("retrieval-capacity", "spherical", "0.622571923779906876", "", {"lam": "1"}),
    ("full-capacity", "spherical", "0.622571923779906876", "", {"lam": "1"}),
    ("retrieval-basin", "spherical", "0.677428076220093124", "", {"alpha": "0.3", "lam": "1"}),
    ("retrieval-basin", "spherical", "0.425757262911647981", "", {"alpha": "0.1", "lam": "1"}),
    ("retrieval-basin", "gaussian", "0.8", "", {"alpha": "0.1452", "lam": "0.2", "v": "0.1"}),
    ("retrieval-basin", "gaussian", "0.929981109950554246", "cosine", {"alpha": "0.1452", "lam": "0.2", "v": "0.1"}),
    ("retrieval-capacity", "gaussian", "1", "lambda_noise", {"lam": "2"}),
    ("full-capacity", "gaussian", "0.183939720585721161", "noise", {"lam": "1"}),
    ("rem-condensation", "binary", "1", "", {"alpha": "0.327813325472737701"}),
    ("retrieval-capacity", "binary", "0.566219169516972813", "", {"lam": "1"}),
    ("full-capacity", "binary", "0.566219169516972813", "", {"lam": "1"}),
    ("retrieval-basin", "binary", "0.833780830483027187", "", {"alpha": "0.4", "lam": "1"}),
    ("retrieval-basin", "binary", "0.761594155955764888", "", {"alpha": "0.327813325472737701", "lam": "2"}),
    ("rem-condensation", "atoms -1: 1/4, 0: 1/2, 1: 1/4", "1", "", {"alpha": "0.110944071671727355"}),
    ("rem-condensation", "manifold", "1", "", {"alpha": "1.5", "alpha_D": "0.5"}),
    ("participation-ratio", "manifold", "0.5", "", {"alpha": "1.5", "alpha_D": "0.5", "lam": "2"}),
    ("retrieval-capacity", "manifold", "0.166666666666666667", "", {"alpha_D": "0.5", "lam": "1"}),
    ("retrieval-capacity", "manifold", "0.14", "", {"alpha_D": "0.5", "lam": "0.2"}),
    ("retrieval-basin", "manifold", "0.8", "", {"alpha": "0.1196", "alpha_D": "0.5", "lam": "0.2", "v": "0.1"}),
    ("retrieval-basin", "manifold", "0.929981109950554246", "cosine",
     {"alpha": "0.1196", "alpha_D": "0.5", "lam": "0.2", "v": "0.1"}),
    ("onset-time", "gaussian", "1", "", {"alpha": "0.596573590279972655"}),
    ("collapse-time", "gaussian", "1", "", {"alpha": "0.346573590279972655"}),
    ("basin-radius", "gaussian", "0.707106781186547524", "", {"alpha": "0.471573590279972655", "t": "1"}),
    ("generalization-time", "gaussian", "0.75", "", {"alpha": "0.221573590279972655"}),
    ("kl-divergence", "gaussian", "0.75", "t_g", {"alpha": "0.221573590279972655", "t": "2"}),
    ("kl-divergence", "gaussian", "1", "b_star", {"alpha": "0.221573590279972655", "t": "2"}),
    ("kl-divergence", "gaussian", "0.153426409720027345", "", {"alpha": "0.221573590279972655", "t": "0.375"}),
    ("kl-divergence", "gaussian", "0.138240256946639321", "", {"alpha": "0.221573590279972655", "t": "2.0"}),
    ("onset-time", "binary", "1", "", {"alpha": "0.566219169516972813"}),
    ("collapse-time", "binary", "1", "", {"alpha": "0.336830820346831612"}),
    ("basin-radius", "binary", "0.707106781186547524", "", {"alpha": "0.451972690559063766", "t": "1"}),
    ("generalization-time", "binary", "0.476811688088470224", "", {"alpha": "0.327813325472737701"}),
    ("kl-divergence", "binary", "0.476811688088470224", "t_g", {"alpha": "0.327813325472737701", "t": "2"}),
    ("kl-divergence", "binary", "1", "b_star", {"alpha": "0.327813325472737701", "t": "2"}),
    ("kl-divergence", "binary", "0.153426409720027345", "",
     {"alpha": "0.327813325472737701", "t": "0.238405844044235112"}),
    ("kl-divergence", "binary", "0.268962582810498368", "", {"alpha": "0.327813325472737701", "t": "2.0"}),
    ("spectral-edges", "manifold, variances 1:1/2,16:1/2",
     "1.34171415743543251 6.58055450333037199 27.2986927879659258 117.77903855126827", "",
     {"alpha_D": "0.25"}),
    ("spectral-gap", "manifold, variances 1:1/2,16:1/2", "0.309028671345779565 0.214120103510155376", "",
     {"alpha_D": "0.25", "t": "3"}),
    ("gap-times", "manifold, variances 1:1/2,16:1/2", "5.36685662974173004 67.031502164909997", "",
     {"alpha_D": "0.25", "resolution": "0.2"}),
    ("gap-times", "manifold, variances 1:1/2,16:1/2", "0 13.4030047288241125", "t_max",
     {"alpha_D": "0.25", "resolution": "0.2"}),
    ("gap-times", "manifold, variances 1:1/2,16:1/2", "0 2.67994196697147408", "t_close",
     {"alpha_D": "0.25", "resolution": "0.2"}),
    ("spectral-density", "manifold", "0.0385252777538437378", "", {"alpha_D": "0.25", "c": "4"}),
    ("spectral-density", "manifold", "0.616404444061499806", "", {"alpha_D": "0.25", "t": "4", "j": "-0.5"}),
    ("spectral-density", "manifold", "0.888347520318834025", "fraction_below", {"alpha_D": "0.25", "c": "4"}),
)
_AT_SADDLES: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("retrieval-basin", "manifold tanh(h)", "0.31543559232", "",
     {"alpha": "0.15343700439", "alpha_D": "0.5", "lam": "0.7", "v": "0.1"}),
    ("retrieval-basin", "manifold tanh(h)", "0.84628012962", "cosine",
     {"alpha": "0.15343700439", "alpha_D": "0.5", "lam": "0.7", "v": "0.1"}),
    ("kl-divergence", "manifold tanh(h)", "0.41385353258", "",
     {"alpha": "0.17433210623", "alpha_D": "0.5", "t": "1"}),
    ("basin-radius", "manifold tanh(h)", "0.5", "", {"alpha": "0.28730553361", "alpha_D": "0.5", "t": "0.5"}),
    ("rem-condensation", "manifold Max(0, h)", "0.5", "", {"alpha": "0.15288628379", "alpha_D": "0.3"}),
    ("onset-time", "manifold Max(0, h)", "1", "", {"alpha": "0.19033542525", "alpha_D": "0.3"}),
    ("retrieval-capacity", "manifold erf(h)", "0.20897805991", "", {"alpha_D": "0.5", "lam": "0.7"}),
    ("collapse-time", "manifold sign(h)", "0.5", "", {"alpha": "0.39618297245", "alpha_D": "0.5"}),
    ("generalization-time", "manifold Heaviside(h) + 1", "0.51551907795", "pattern_entropy",
     {"alpha": "0.44966327884", "alpha_D": "0.5"}),
    ("generalization-time", "manifold Heaviside(h) + 1", "0.01288812678825", "",
     {"alpha": "0.44966327884", "alpha_D": "0.5"}),
)

VALUES: tuple[Reference, ...] = (
    _reference("spectral-edges", "1 9", "1e-12", "exact", _LAW, alpha_D="1/4"),
    _reference("spectral-gap", "0.25", "1e-12", "exact", f"c/(t + c) at the lower edge c; {_LAW}",
               alpha_D="1/4", t="3"),
    _reference("gap-times", "1.5", "1e-12", "exact", f"c/(t + c) = G at the lower edge c; {_LAW}",
               alpha_D="1/4", resolution="2/5"),
    *(_reference(name, value, "1e-8", "reference number", _SADDLE, ensemble="manifold tanh(h)", alpha_D="0.5", **at)
      for name, value, at in (
          ("rem-condensation", "1.68359054", {"alpha": "0.2"}),
          ("retrieval-capacity", "0.14867548", {"lam": "0.5"}),
          ("onset-time", "1.33042906", {"alpha": "0.2"}),
          ("collapse-time", "0.57437694", {"alpha": "0.2"}),
          ("generalization-time", "0.16024643", {"alpha": "0.2"}),
      )),
    *(_reference(name, value, "1e-8", "reference number", _SADDLE, ensemble, output, **at)
      for name, ensemble, value, output, at in _AT_SADDLES),
    *(_reference(name, value, *_LAWS[ensemble], ensemble, output, **at)
      for name, ensemble, value, output, at in _AT_LAWS),
    _reference("spectral-density", "0.0385252777538437378", "1e-5", "exact", _LAW, "manifold", place="4",
               alpha_D="0.25"),
    _reference("spectral-density", "0.616404444061499806", "2e-4", "exact", _LAW, "manifold", place="-0.5",
               alpha_D="0.25", t="4"),
)
"""Numbers that only solvers are compared with: read off a spectrum, several in one text where there are several values,
or at a saddle point."""

_EDGES = ("edges (1 -+ sqrt(alpha_D))^2/alpha_D of Marchenko and Pastur (1967), 1 and 9 at alpha_D = 1/4; "
          "<1/(c - z)> there, -1/2 and -1/6, by quadrature of their density, and u = -1/<1/(c - z)>")
_MATRIX = "the matrix -t (t + C)^-1 for C = diag(9, 1) and diag(1, 0), written out"

FACTS: tuple[Fact, ...] = (
    Fact("dense memory", MappingProxyType({"l": "1/2", "alpha": "0.693147180559945309"}),
         MappingProxyType({"zeta": ("1/8", "1/2"), "I": ("1/8", "1/2"), "Sigma": ("0.568147180559945309", "-1/2")}),
         "1e-15", "exact",
         "Derrida (1981): exp N (log 2 - e^2/2) of 2^N levels of variance N have energy N e, here e = l = 1/2"),
    Fact("dense memory", MappingProxyType({"alpha": "0.693147180559945309", "lambda_*": "1.177410022515474691"}),
         MappingProxyType({}), "1e-15", "exact",
         "Derrida (1981): beta_c = 2 sqrt(log 2) at log 2 levels of variance 1/2, here of variance 1"),
    Fact("dense memory", MappingProxyType({"l": "1", "a": "1", "v": "4"}), MappingProxyType({"zeta": ("5/2", "5")}),
         "1e-15", "exact", "half the variance, 1 + 4, of a sum of independent normal variables"),
    Fact("dense memory", MappingProxyType({"alpha": "1/2", "lambda": "2", "m": "1/2"}),
         MappingProxyType({"Phi_1": ("2", "0")}), "1e-15", "exact",
         "Derrida (1981): below T_c the free energy stays at the lowest level, N e with e^2/2 = alpha, here e = 1"),
    Fact("dense memory", MappingProxyType({"m": "1/3", "Y": "2/3"}), MappingProxyType({}), "1e-15", "exact",
         "Gross and Mezard (1984): Y = 1 - T/T_c, at a third of T_c, where the breakpoint T/T_c is 1/3"),
    Fact("dense memory", MappingProxyType({"theta": "2"}),
         MappingProxyType({"G": ("4", "1"), "Lambda": ("-6", "-2")}), "1e-15", "exact",
         "a normal margin of mean 4 moved by two standard deviations: its mean, 2, is what that costs in entropy"),
    Fact("diffusion", MappingProxyType({"alpha": "0.2", "alpha_D": "0.5", "t": "3.152598308"}),
         MappingProxyType({"Phi": ("0", "0")}), "1e-9", "reference number",
         f"at the onset the noise is as large as the signal at a data point, 0; t_o by {_TIMES}"),
    Fact("diffusion", MappingProxyType({"alpha": "0", "t": "2", "e_*": "3", "s": "6"}),
         MappingProxyType({"Phi": ("-3/2", "-3"), "KL": ("2.76551212348464540", "0")}), "1e-15", "exact",
         "minus the logarithm of the normal density of variance 2 at squared distance 6, (6/2 + log 4 pi)/2"),
    Fact("score spectrum", MappingProxyType({"alpha_D": "2", "z": "-6/5", "g": "1/2", "v": "1/2", "alpha_k": "2",
                                             "t": "6/5"}),
         MappingProxyType({"g": ("1/2", "0"), "S": ("0", "-1/3"), "R": ("4/5", "0")}), "1e-12", "quadrature",
         "the density of Marchenko and Pastur (1967) at alpha_D = 2: <1/(c + 6/5)> = 1/2, and d/dt <log(1 + c/t)> = "
         "-<c/(t (t + c))> = -1/3 at t = 6/5"),
    *(Fact("score spectrum", MappingProxyType({"alpha_D": "1/4", "u": u}), MappingProxyType({"phi": ("1", "0")}),
           "1e-12", "exact", _EDGES) for u in ("2", "6")),
    Fact("score spectrum", MappingProxyType({"c": "3", "t": "1", "x": "2", "j": "-1/4"}),
         MappingProxyType({"p": ("0.120985362259571680", "0"), "L": ("-2.11208571376461968", "0")}), "1e-15", "exact",
         "the normal density of variance 3 + 1 at one standard deviation, and its logarithm"),
    Fact("score spectrum", MappingProxyType({"c": "5", "t": "4", "x": "3", "j": "-4/9"}),
         MappingProxyType({"p": ("0.0806569081730477833", "0"), "L": ("-2.51755082187278243", "0")}), "1e-15", "exact",
         "the normal density of variance 5 + 4 at one standard deviation, and its logarithm"),
    Fact("score spectrum", MappingProxyType({"gamma_1": "16", "gamma_2": "4", "t": "8", "M": "-3", "G": "1/3"}),
         MappingProxyType({"Delta": ("1/3", "0")}), "1e-12", "exact",
         "the matrix -t (t + C)^-1 for C = diag(16, 4), written out: its gap, 1/3 at t = 8, is smaller at 7 and 9"),
    Fact("score spectrum", MappingProxyType({"gamma_1": "9", "gamma_2": "1", "t": "3", "M": "-2", "G": "1/2"}),
         MappingProxyType({"Delta": ("1/2", "0")}), "1e-12", "exact", _MATRIX),
    Fact("score spectrum", MappingProxyType({"gamma_1": "9", "gamma_2": "1", "t": "9", "G": "2/5", "t_open": "9"}),
         MappingProxyType({"Delta": ("2/5", "0")}), "1e-12", "exact", _MATRIX),
    Fact("score spectrum", MappingProxyType({"gamma_1": "1", "gamma_2": "0", "t": "1", "G": "1/2"}),
         MappingProxyType({}), "1e-12", "exact", _MATRIX),
)
"""Numbers that belong together, for definitions of several outputs or of what is read off a spectrum."""
