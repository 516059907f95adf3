"""The names under which quantities are found. Listing them derives nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from derive.core import DeriveError

if TYPE_CHECKING:
    from derive.quantity import Quantity

__all__ = ["Atlas", "atlas"]

#: name -> (module, function that makes it from an ensemble, name of the ensemble it has unless told otherwise)
_PLACES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "rem-condensation": ("derive.systems.dense_memory", "rem_condensation", "Gaussian"),
        "participation-ratio": ("derive.systems.participation", "participation_ratio", "Gaussian"),
        "retrieval-capacity": ("derive.systems.dense_memory", "retrieval_capacity", "Gaussian"),
        "full-capacity": ("derive.systems.dense_memory", "full_capacity", "Gaussian"),
        "retrieval-basin": ("derive.systems.dense_memory", "retrieval_basin", "Gaussian"),
        "onset-time": ("derive.systems.diffusion", "onset_time", "HiddenManifold"),
        "collapse-time": ("derive.systems.diffusion", "collapse_time", "HiddenManifold"),
        "generalization-time": ("derive.systems.diffusion", "generalization_time", "HiddenManifold"),
        "basin-radius": ("derive.systems.diffusion", "basin_radius", "HiddenManifold"),
        "kl-divergence": ("derive.systems.diffusion", "kl_divergence", "HiddenManifold"),
        "spectral-density": ("derive.systems.score_spectrum", "spectral_density", "HiddenManifold"),
        "spectral-edges": ("derive.systems.score_spectrum", "spectral_edges", "HiddenManifold"),
        "spectral-gap": ("derive.systems.score_spectrum", "spectral_gap", "HiddenManifold"),
        "gap-times": ("derive.systems.score_spectrum", "gap_times", "HiddenManifold"),
    }
)


@cache
def _find(name: str) -> Quantity:
    module, function, ensemble = _PLACES[name]
    make: Callable[..., Quantity] = getattr(import_module(module), function)
    return replace(make(getattr(import_module("derive.ensembles"), ensemble)()), others=atlas)


class Atlas(Mapping[str, "Quantity"]):
    """All quantities by name, each with its usual ensemble; `.with_(ensemble=...)` gives another.

    >>> "collapse-time" in Atlas()
    True
    >>> Atlas()["colapse-time"]
    Traceback (most recent call last):
        ...
    derive.core.DeriveError: no quantity is named colapse-time; nearest: collapse-time
    """

    def __getitem__(self, name: str) -> Quantity:
        if name not in _PLACES:
            near = get_close_matches(name, _PLACES, 1, 0.4)
            raise DeriveError(
                f"no quantity is named {name}" + (f"; nearest: {near[0]}" if near else ""),
                given=name,
                allowed=", ".join(_PLACES),
                nearest=near[0] if near else None,
            )
        return _find(name)

    def __contains__(self, name: object) -> bool:
        return name in _PLACES

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)

    def __repr__(self) -> str:
        return f"<atlas of {len(self)} quantities: {', '.join(self)}>"


atlas = Atlas()
