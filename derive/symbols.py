"""The alphabet: every symbol that a page, an equation or a command line may use.

Each entry carries its assumptions, its meaning in words and the letters by which the papers know it; the notation
table of the book is printed from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from sympy import Symbol

__all__ = [  # noqa: RUF022 - as the table has them
    "ALPHABET",
    "Entry",
    "entry",
    "N",
    "P",
    "D",
    "alpha",
    "alpha_D",
    "lam",
    "beta",
    "b",
    "t",
    "tau",
    "s",
    "eps",
    "rho",
    "m",
    "q",
    "r",
    "a",
    "v",
    "l",
    "theta",
    "u",
    "c",
    "x",
    "xi",
    "w",
    "y",
    "z",
    "V",
    "g",
    "G",
    "j",
]


@dataclass(frozen=True)
class Entry:
    """One letter of the alphabet.

    Attributes: symbol (with its assumptions), meaning (one phrase), unit (scaling with N), papers (key -> the letter
    used there), aliases (other names a user may type).
    """

    symbol: Symbol
    meaning: str
    unit: str = ""
    papers: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = field(default=())


N = Symbol("N", positive=True)
P = Symbol("P", positive=True)
D = Symbol("D", positive=True)
alpha = Symbol("alpha", positive=True)
alpha_D = Symbol("alpha_D", positive=True)  # noqa: N816
lam = Symbol("lambda", positive=True)
beta = Symbol("beta", positive=True)
b = Symbol("b", positive=True)
t = Symbol("t", positive=True)
tau = Symbol("tau", positive=True)
s = Symbol("s", nonnegative=True)
eps = Symbol("epsilon", real=True)
rho = Symbol("rho", positive=True)
m = Symbol("m", real=True)
q = Symbol("q", positive=True)
r = Symbol("r", positive=True)
a = Symbol("a", positive=True)
v = Symbol("v", nonnegative=True)
l = Symbol("l", positive=True)  # noqa: E741 - the running inverse temperature of the papers
theta = Symbol("theta", positive=True)
u = Symbol("u", real=True)
c = Symbol("c", nonnegative=True)
x = Symbol("x", real=True)
xi = Symbol("xi", real=True)
w = Symbol("w", real=True)
y = Symbol("y", real=True)
z = Symbol("z", real=True)
V = Symbol("V", positive=True)
g = Symbol("g", positive=True)
G = Symbol("G", positive=True)
j = Symbol("j", negative=True)

_ENTRIES = (
    Entry(N, "ambient dimension", "number", (("A1", "N"), ("A2", "N"), ("A4", "d"), ("B2", "d"))),
    Entry(P, "number of patterns or data points, P = exp(alpha N)", "number", (("A1", "P"), ("A2", "P"), ("B2", "n"))),
    Entry(D, "latent dimension of the data manifold", "number", (("A1", "D"), ("A2", "D"), ("A4", "m"))),
    Entry(alpha, "load, log P / N", "per N", (("B1", "\\alpha"),)),
    Entry(alpha_D, "manifold dimension, D / N", "ratio", (("A1", "\\alpha_D"), ("A2", "\\alpha_D"))),
    Entry(lam, "inverse temperature of the dense memory", "1", (("B1", "\\lambda"),), ("lam", "lambda")),
    Entry(b, "inverse variance of the diffusion kernel, 1/t", "1"),
    Entry(t, "diffusion time = added variance, variance exploding", "variance", (("A2", "t"), ("B2", "e^{2\\tau}-1"))),
    Entry(tau, "Ornstein-Uhlenbeck time", "1", (("B2", "t"),)),
    Entry(s, "variance of the query around a data point", "variance per N"),
    Entry(eps, "energy", "per N"),
    Entry(rho, "second moment of a pattern entry", "per N"),
    Entry(m, "overlap with the planted pattern", "per N"),
    Entry(q, "overlap of two replicas", "per N"),
    Entry(r, "squared norm", "per N"),
    Entry(a, "amplitude of the pattern in the query", "1"),
    Entry(v, "variance of the noise in the query", "variance"),
    Entry(l, "running inverse temperature", "1"),
    Entry(theta, "multiplier of the empirical law's cost", "1"),
    Entry(c, "eigenvalue of the data covariance", "variance", (("A4", "\\gamma"),)),
    Entry(V, "response of the spectral law", "1"),
    Entry(g, "resolvent of the data covariance, g(z) = <1/(c - z)>", "1/variance"),
    Entry(G, "resolution: the smallest spectral gap that is told apart", "1", (), ("resolution",)),
    Entry(j, "eigenvalue of t times the Jacobian of the score", "1"),
)
ALPHABET = MappingProxyType({e.symbol.name: e for e in _ENTRIES})


def entry(symbol: Symbol) -> Entry:
    """The alphabet's entry of a symbol; KeyError if the alphabet does not know it."""
    return ALPHABET[symbol.name]
