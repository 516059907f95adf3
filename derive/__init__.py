"""Checked derivations, limits and solvers for replica and random-energy-model calculations.

>>> from derive import atlas
>>> len(atlas) > 0
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from derive.catalogue import atlas as atlas
    from derive.core import DeriveError as DeriveError
    from derive.core import Verdict as Verdict
    from derive.ensembles import Binary as Binary
    from derive.ensembles import Gaussian as Gaussian
    from derive.ensembles import HiddenManifold as HiddenManifold
    from derive.ensembles import ProductMeasure as ProductMeasure
    from derive.ensembles import Spherical as Spherical
    from derive.ensembles import VarianceManifold as VarianceManifold
    from derive.methods.spectra import AlgebraicLaw as AlgebraicLaw

__version__ = "0.1.0"

_EXPORTS = {
    "atlas": "derive.catalogue",
    "DeriveError": "derive.core",
    "Verdict": "derive.core",
    "Binary": "derive.ensembles",
    "Gaussian": "derive.ensembles",
    "HiddenManifold": "derive.ensembles",
    "ProductMeasure": "derive.ensembles",
    "Spherical": "derive.ensembles",
    "VarianceManifold": "derive.ensembles",
    "AlgebraicLaw": "derive.methods.spectra",
}
__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'derive' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
