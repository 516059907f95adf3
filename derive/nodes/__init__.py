"""SymPy expressions that the field needs and SymPy lacks: averages, extrema, overflow-safe functions."""

from derive.nodes.averages import (
    Average,
    DivergentAverage,
    GaussianAverage,
    LogAverageExp,
    MeasureAverage,
    SpectralAverage,
    TiltedAverage,
    stein,
)
from derive.nodes.binders import Binder, BoundSymbol
from derive.nodes.extremum import ArgExtremum, Extremum
from derive.nodes.functions import (
    MPResponse,
    erfcx,
    log1mexp,
    log_cosh,
    log_erfc,
    log_erfc_drop,
    log_sum_exp,
    softplus,
)
from derive.nodes.laws import Atoms, Density, Law, MarchenkoPastur, Noisy, Normal
from derive.nodes.timebox import TimedOut, timebox

__all__ = [
    "ArgExtremum", "Atoms", "Average", "Binder", "BoundSymbol", "Density", "DivergentAverage", "Extremum",
    "GaussianAverage", "Law", "LogAverageExp", "MPResponse", "MarchenkoPastur", "MeasureAverage", "Noisy", "Normal",
    "SpectralAverage", "TiltedAverage", "TimedOut", "erfcx", "log1mexp", "log_cosh", "log_erfc", "log_erfc_drop",
    "log_sum_exp", "softplus", "stein", "timebox",
]
