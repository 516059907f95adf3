"""Solvers generated from plain problems: NumPy and mpmath, as functions or as files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from derive.solvers.exporting import ExportMeta, export
    from derive.solvers.inversion import invert, mp_invert
    from derive.solvers.mp_target import compile_mp_solver
    from derive.solvers.numpy_target import NumpySolver, compile_numpy, numpy_source
    from derive.solvers.spectral_mp import compile_spectrum_mp
    from derive.solvers.spectral_target import compile_spectrum

__all__ = [
    "ExportMeta",
    "NumpySolver",
    "compile_mp_solver",
    "compile_numpy",
    "compile_spectrum",
    "compile_spectrum_mp",
    "export",
    "invert",
    "mp_invert",
    "numpy_source",
]

_HOMES = {
    "ExportMeta": "exporting",
    "export": "exporting",
    "invert": "inversion",
    "mp_invert": "inversion",
    "compile_mp_solver": "mp_target",
    "NumpySolver": "numpy_target",
    "compile_numpy": "numpy_target",
    "numpy_source": "numpy_target",
    "compile_spectrum": "spectral_target",
    "compile_spectrum_mp": "spectral_mp",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
