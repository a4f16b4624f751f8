"""Phantoms by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from types import MappingProxyType
from typing import Final

from dosegrad.errors import unknown_name
from dosegrad.patient.patient import Patient

__all__ = ["PHANTOMS", "phantom"]

#: What each phantom is, by name.
PHANTOMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "c-shape": "AAPM TG-119 C-shape: a target around a core, in an elliptical water body",
        "disc-2d": "a round section with a target and an organ, for planning in two dimensions",
        "head": "skull, brain, air cavities, a CTV that touches the brainstem; swelling=0 mm",
        "impt-2d": "the 40 cm x 40 cm IMPT teaching section: PTV between brainstem and cord",
        "prostate": "a pelvis: CTV, PTV, bladder, rectum, femoral heads",
        "slab": "a water tank with half a slab of any HU in front of the target; hu=1000",
        "tg119-c-shape": "AAPM TG-119: a C-shaped target around a core, in a slab of water",
        "tg119-head-neck": "AAPM TG-119: a neck PTV, cord and parotids, in a slab of water",
        "tg119-multi-target": "AAPM TG-119: three cylinders to three doses, in a slab of water",
        "tg119-prostate": "AAPM TG-119: prostate, rectum and bladder, in a slab of water",
        "thorax": "a chest: lungs, ribs, spine, heart, a target in the left lung",
        "water-tank": "a tank of pure water, 400 mm deep, with a box-shaped target",
    }
)


def phantom(name: str, **options: float) -> Patient:
    """The built-in phantom called ``name``, a key of :data:`PHANTOMS`.

    Parameters
    ----------
    name
        Which phantom.
    options
        ``hu``, ``depth``, ``thickness`` of ``"slab"``; ``swelling`` (mm) of ``"head"``.

    Raises
    ------
    UnknownNameError
        If there is no such phantom, or it has no such option.
    SettingsError
        If an option is outside its range.

    Examples
    --------
    >>> phantom("c-shape")
    Patient(CT(45×96×108 voxels, 4×2.5×3 mm), Target, Core, Body)
    """
    if name not in PHANTOMS:
        raise unknown_name("phantom", name, PHANTOMS)
    function = name.replace("-", "_")
    module = "tg119" if name.startswith("tg119-") else function
    make: Callable[..., Patient] = getattr(
        import_module(f"dosegrad.patient.phantoms.{module}"), function
    )
    known = signature(make).parameters
    for option in options:
        if option not in known:
            raise unknown_name(f"option of phantom {name!r}:", option, known)
    return make(**options)
