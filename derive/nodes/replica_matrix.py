"""Matrices over replicas whose number is a symbol.

A matrix that does not change when replicas are permuted (blocks among each other, and replicas inside a block) is a
combination of a few matrices: the corner of the planted replica, its row and column, the identity, the matrix of blocks
and the matrix of ones.  These multiply among themselves by a table whose entries count replicas, so that products,
inverses, determinants and traces are known for every number n of replicas and every size of the blocks, and can be read
for real n afterwards.  derive.ledger.replica proves the table and what is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sympy import (
    Basic,
    Expr,
    Identity,
    ImmutableMatrix,
    Integer,
    MatAdd,
    MatMul,
    MatPow,
    MatrixExpr,
    S,
    factor,
    log,
    sympify,
)

from derive.core import DeriveError

__all__ = ["BASIS", "TABLE", "Element", "OverlapMatrix", "as_element"]

#: the basis: planted corner, planted row, planted column, identity of the replicas, blocks, ones
BASIS = ("corner", "row", "column", "one", "block", "ones")

#: (left, right) -> (what the product is, how many replicas are summed over: "1", "p" or "n"); other products vanish
TABLE: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType({
    ("corner", "corner"): ("corner", "1"), ("corner", "row"): ("row", "1"), ("column", "corner"): ("column", "1"),
    ("row", "column"): ("corner", "n"), ("column", "row"): ("ones", "1"),
    ("row", "one"): ("row", "1"), ("row", "block"): ("row", "p"), ("row", "ones"): ("row", "n"),
    ("one", "column"): ("column", "1"), ("block", "column"): ("column", "p"), ("ones", "column"): ("column", "n"),
    ("one", "one"): ("one", "1"), ("one", "block"): ("block", "1"), ("one", "ones"): ("ones", "1"),
    ("block", "one"): ("block", "1"), ("block", "block"): ("block", "p"), ("block", "ones"): ("ones", "p"),
    ("ones", "one"): ("ones", "1"), ("ones", "block"): ("ones", "p"), ("ones", "ones"): ("ones", "n"),
})


@dataclass(frozen=True)
class Element:
    """A combination of the basis matrices, for n replicas in blocks of p; `planted` says whether there is a replica 0.

    >>> from sympy.abc import n
    >>> ones = Element.of(n, 1, ones=1)
    >>> (ones @ ones).coefficients["ones"]
    n
    """

    n: Expr
    p: Expr
    coefficients: Mapping[str, Expr]
    planted: bool = False

    @classmethod
    def of(cls, n: Any, p: Any, planted: bool = False, **coefficients: Any) -> Element:
        """An element from its coefficients; those that are not named vanish."""
        found = {k: sympify(coefficients.get(k, 0)) for k in BASIS}
        return cls(sympify(n), sympify(p), MappingProxyType(found), planted)

    @classmethod
    def identity(cls, n: Any, p: Any, planted: bool = False) -> Element:
        """The unit of the algebra."""
        return cls.of(n, p, planted, one=1, corner=1 if planted else 0)

    def _with(self, coefficients: Mapping[str, Expr], planted: bool | None = None) -> Element:
        return Element.of(self.n, self.p, self.planted if planted is None else planted, **coefficients)

    def __add__(self, other: Element) -> Element:
        return self._with({k: self.coefficients[k] + other.coefficients[k] for k in BASIS})

    def __rmul__(self, factor: Expr) -> Element:
        return self.scaled(factor)

    def scaled(self, factor: Expr) -> Element:
        """All coefficients times a factor."""
        return self._with({k: factor * v for k, v in self.coefficients.items()})

    def __matmul__(self, other: Element) -> Element:
        counts = {"1": S.One, "p": self.p, "n": self.n}
        found = dict.fromkeys(BASIS, S.Zero)
        for (left, right), (name, count) in TABLE.items():
            found[name] += counts[count] * self.coefficients[left] * other.coefficients[right]
        return self._with(found)

    @property
    def trace(self) -> Expr:
        """Sum of the diagonal."""
        c = self.coefficients
        return c["corner"] + self.n * (c["one"] + c["block"] + c["ones"])

    def sectors(self) -> tuple[tuple[Expr, Expr], ...]:
        """(eigenvalue, multiplicity) on vectors that sum to zero in each block, and on those that are constant in each
        block and sum to zero."""
        c = self.coefficients
        own = c["one"]
        return ((own, self.n - self.n / self.p), (own + self.p * c["block"], self.n / self.p - 1))

    def uniform(self) -> ImmutableMatrix:
        """The action on what all replicas share: on (e_0, 1 + ... + 1), or on the latter alone."""
        c = self.coefficients
        shared = c["one"] + self.p * c["block"] + self.n * c["ones"]
        if not self.planted:
            return ImmutableMatrix([[shared]])
        return ImmutableMatrix([[c["corner"], self.n * c["row"]], [c["column"], shared]])

    @property
    def determinant(self) -> Expr:
        """Product of the eigenvalues: two sectors with their multiplicities, and what all replicas share."""
        (a, k), (b, j) = self.sectors()
        return a**k * b**j * self.uniform().det() if a != b else a ** (k + j) * self.uniform().det()

    @property
    def log_determinant(self) -> Expr:
        """log det as a sum over the sectors, for positive eigenvalues and real n."""
        (a, _), (b, _) = self.sectors()
        scale = a if self.p == 1 else b
        blocks = S.Zero if a == b or self.p == 1 else self.n / self.p * (log(b) - log(a))
        return self.n * log(a) + blocks + log(factor(self.uniform().det() / scale))

    def inverse(self) -> Element:
        """The inverse, again in the algebra: sector by sector.

        Raises: DeriveError where a sector vanishes.
        """
        (a, _), (b, _) = self.sectors()
        shared = self.uniform()
        if a == 0 or b == 0 or shared.det() == 0:
            raise DeriveError("this matrix of overlaps has no inverse", given=str(self.coefficients),
                              allowed="eigenvalues that do not vanish")
        back = shared.inv()
        last = back[-1, -1]
        found = {"one": 1 / a, "block": (1 / b - 1 / a) / self.p, "ones": (last - 1 / b) / self.n}
        if self.planted:
            found |= {"corner": back[0, 0], "row": back[0, 1] / self.n, "column": back[1, 0]}
        return self._with({k: factor(v) for k, v in found.items()})

    def explicit(self, n: int, p: int = 1) -> ImmutableMatrix:
        """The matrix itself for an integer number of replicas in blocks of an integer size, which divides it."""
        if n % p:
            raise DeriveError(f"blocks of {p} do not divide {n} replicas", given=f"n = {n}, p = {p}",
                              allowed="p that divides n")
        at = {k: v for k, v in ((self.n, Integer(n)), (self.p, Integer(p))) if k.is_Symbol}
        c = {k: v.subs(at) for k, v in self.coefficients.items()}
        first = 0 if self.planted else 1

        def entry(i: int, j: int) -> Expr:
            a, b = i + first, j + first
            if a == 0 or b == 0:
                return c["corner"] if a == b else c["row"] if a == 0 else c["column"]
            same = (a - 1) // p == (b - 1) // p
            return c["ones"] + (c["block"] if same else S.Zero) + (c["one"] if a == b else S.Zero)

        size = n + 1 - first
        return ImmutableMatrix(size, size, entry)


class OverlapMatrix(MatrixExpr):  # type: ignore[misc]
    """The overlaps of n replicas in blocks of p: `r` with themselves, `inner` inside a block, `outer` between blocks.

    Arguments: n, p, r, inner, outer, and for a planted replica its overlap with the others and with itself.  The
    makers `symmetric` and `one_step` are easier to read.  Determinant, Trace and the product with another one are those
    of SymPy; `.doit()` of them gives the closed form in n.

    >>> from sympy import Determinant, symbols
    >>> n, m, q, r = symbols("n m q r")
    >>> OverlapMatrix.symmetric(n, r, q).eigenvalues()
    ((-q + r, n - 1), (n*q - q + r, 1))
    >>> Determinant(OverlapMatrix.symmetric(n, r, q, planted=m)).doit().subs(n, 0)
    1
    """

    def __new__(cls, n: Any, p: Any, r: Any, inner: Any, outer: Any, *planted: Any) -> OverlapMatrix:
        if len(planted) not in (0, 2):
            raise DeriveError("a planted replica has an overlap with the others and a norm", given=str(planted),
                              allowed="both, or neither")
        args = [sympify(a) for a in (n, p, r, inner, outer, *planted)]
        if args[3] == args[4]:
            args[1] = S.One  # without blocks
        made: OverlapMatrix = Basic.__new__(cls, *args)
        return made

    @classmethod
    def symmetric(cls, n: Any, r: Any, q: Any, planted: Any = None, norm: Any = 1) -> OverlapMatrix:
        """Replica symmetric: r on the diagonal, q beside it; `planted` is the overlap of replica 0 with the others."""
        return cls(n, 1, r, q, q, *(() if planted is None else (planted, norm)))

    @classmethod
    def one_step(cls, n: Any, p: Any, r: Any, inner: Any, outer: Any, planted: Any = None, norm: Any = 1
                 ) -> OverlapMatrix:
        """One step of symmetry breaking: blocks of p replicas with overlap `inner`, and `outer` between them."""
        return cls(n, p, r, inner, outer, *(() if planted is None else (planted, norm)))

    n = property(lambda self: self.args[0])
    p = property(lambda self: self.args[1])
    planted = property(lambda self: len(self.args) == 7)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        size = self.n + 1 if self.planted else self.n
        return size, size

    @property
    def element(self) -> Element:
        """The same in the algebra of invariant matrices."""
        n, p, r, inner, outer, *planted = self.args
        found = {"one": r - inner, "block": inner - outer, "ones": outer}
        if planted:
            found |= {"row": planted[0], "column": planted[0], "corner": planted[1]}
        return Element.of(n, p, bool(planted), **found)

    @classmethod
    def from_element(cls, e: Element) -> OverlapMatrix:
        """A symmetric element of the algebra as a matrix of overlaps.

        Raises: DeriveError for an element that is not symmetric.
        """
        c = e.coefficients
        if c["row"] != c["column"]:
            raise DeriveError("the element is not symmetric", given=str(dict(c)), allowed="equal row and column")
        outer = c["ones"]
        inner = outer + c["block"]
        return cls(e.n, e.p, inner + c["one"], inner, outer, *((c["row"], c["corner"]) if e.planted else ()))

    def eigenvalues(self) -> tuple[tuple[Expr, Expr], ...]:
        """(eigenvalue, multiplicity); the eigenvalues of what all replicas share come last."""
        e = self.element
        (a, k), (b, j) = e.sectors()
        own = ((a, k + j),) if a == b else ((a, k), (b, j))
        shared = tuple((value, Integer(times)) for value, times in e.uniform().eigenvals().items())
        return (*own, *shared)

    def overlap_inverse(self) -> OverlapMatrix:
        """The inverse, a matrix of the same family."""
        return OverlapMatrix.from_element(self.element.inverse())

    def log_determinant(self) -> Expr:
        """log det as a sum over the sectors, finite for real n."""
        return self.element.log_determinant

    def explicit(self, n: int, p: int = 1) -> ImmutableMatrix:
        """The matrix for integer numbers of replicas, and of replicas in a block."""
        return self.element.explicit(n, p)

    def _eval_determinant(self) -> Expr:
        return self.element.determinant

    def _eval_trace(self) -> Expr:
        return self.element.trace

    def _eval_transpose(self) -> OverlapMatrix:
        return self

    def _eval_derivative(self, x: Any) -> Expr:
        """Entry by entry; the numbers of replicas are not differentiated."""
        if x in self.n.free_symbols | self.p.free_symbols:
            raise NotImplementedError("a matrix of overlaps is not differentiated in its size")
        return OverlapMatrix(self.n, self.p, *(a.diff(x) for a in self.args[2:]))

    def _entry(self, i: Any, j: Any, **hints: Any) -> Expr:
        from sympy.matrices.expressions.matexpr import MatrixElement

        return MatrixElement(self, i, j)

    def _latex(self, printer: Any) -> str:
        show = printer._print
        n, p, r, inner, outer, *planted = self.args
        ones = r"\mathbf{1}\mathbf{1}^{\mathsf T}"
        size = show(n)
        body = _combination(show, (r - inner, f"I_{{{size}}}"), (inner - outer, f"B_{{{show(p)}}}"), (outer, ones))
        if not planted:
            return rf"\left[{body}\right]"
        row, column = (_combination(show, (planted[0], one))
                       for one in (r"\mathbf{1}^{\mathsf T}", r"\mathbf{1}"))
        return rf"\begin{{pmatrix}} {show(planted[1])} & {row} \\ {column} & {body} \end{{pmatrix}}"

    def _sympystr(self, printer: Any) -> str:
        return f"OverlapMatrix({', '.join(printer._print(a) for a in self.args)})"


def _combination(show: Any, *terms: tuple[Expr, str]) -> str:
    """A sum of multiples of named matrices, without those that vanish and without factors of one."""
    text = ""
    for coefficient, matrix in terms:
        if coefficient == 0:
            continue
        shown = str(show(coefficient))
        scale = rf"\left({shown}\right)" if coefficient.is_Add else shown
        scale = {"1": "", "-1": "-"}.get(scale, scale)
        text += f"{'' if not text or scale.startswith('-') else ' + '}{scale} {matrix}"
    return text or "0"


def as_element(matrix: Expr, n: Expr, p: Expr, planted: bool) -> Element:
    """A polynomial of overlap matrices as an element of the algebra of n replicas in blocks of p.

    Raises: DeriveError for a matrix that is not made of overlap matrices of that kind and identities.
    """
    if isinstance(matrix, OverlapMatrix):
        if matrix.n != n or matrix.planted != planted or matrix.p not in (p, 1):
            raise DeriveError(f"{matrix} belongs to another algebra", given=str(matrix),
                              allowed=f"n = {n}, blocks of {p}, {'with' if planted else 'without'} a planted replica")
        own = matrix.element
        return Element.of(n, p, planted, **own.coefficients)
    if isinstance(matrix, Identity):
        return Element.identity(n, p, planted)
    if isinstance(matrix, MatAdd):
        parts = [as_element(a, n, p, planted) for a in matrix.args]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total
    if isinstance(matrix, MatMul):
        scale: Expr = S.One
        product = Element.identity(n, p, planted)
        for a in matrix.args:
            if getattr(a, "is_Matrix", False):
                product = product @ as_element(a, n, p, planted)
            else:
                scale *= a
        return product.scaled(scale)
    if isinstance(matrix, MatPow) and matrix.exp.is_Integer and matrix.exp.is_nonnegative:
        product = Element.identity(n, p, planted)
        for _ in range(int(matrix.exp)):
            product = product @ as_element(matrix.base, n, p, planted)
        return product
    raise DeriveError(f"{matrix} is not a polynomial of overlap matrices", given=str(matrix),
                      allowed="sums and products of OverlapMatrix and Identity")
