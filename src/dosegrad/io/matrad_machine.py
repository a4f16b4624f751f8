"""Machines from matRad's base data files (MATLAB v5 ``.mat``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.errors import CapabilityError, DosegradError, FileFormatError, MachineError
from dosegrad.io._matlab import load_variables
from dosegrad.io.matrad_photons import MATRAD_RASTER, photon_machine_of
from dosegrad.machine.beam_data import PencilBeamData
from dosegrad.machine.kinds import Machine
from dosegrad.machine.particle import ParticleMachine

__all__ = ["read_matrad_machine"]

_MODALITIES = ("protons", "helium", "carbon")


def read_matrad_machine(
    path: str | Path,
    *,
    gaussians: Literal["file", "single"] = "file",
    focus: int = 0,
    raster: float = MATRAD_RASTER,
) -> Machine:
    """Base data of a matRad machine for particles or photons.

    matRad counts the distances of its focus tables from the virtual source; they are turned into
    distances from the nozzle exit here. Its depth offset is subtracted when a table is looked up,
    ours is added, so the sign changes. A table of a single Gaussian is completed with the share
    one; the second Gaussian's ``weight`` becomes the pair (1 - w, w).

    Parameters
    ----------
    path
        The ``.mat`` file that holds ``machine.meta`` and ``machine.data``.
    gaussians
        ``"file"``: the lateral model that ``meta.dataType`` names; ``"single"``: the single
        Gaussian ``sigma``, which many files hold besides.
    focus
        Which of the foci of ``initFocus`` to take, counted from 0.
    raster
        Of a photon machine: spacing of the fluence raster, mm, whose area per pixel the kernels
        in the file contain. matRad, up to version 3.2 at least, has 0.5 mm and does not store it.

    Raises
    ------
    FileFormatError
        If the file is no MATLAB v5 file, is truncated, or lacks a field.
    CapabilityError
        If it holds a machine of another kind.
    MachineError
        If the file lacks the lateral model or focus asked for.
    """
    file = Path(path)
    machine = _load(file)
    try:
        meta = machine["meta"]
        modality = str(meta["radiationMode"])
        if modality == "photons":
            return photon_machine_of(file, machine, raster=raster)
        if modality not in _MODALITIES:
            raise CapabilityError(
                f"machine file {file.name!r} holds {modality!r}, but only photons and "
                f"{', '.join(_MODALITIES)} can be read. Choose such a machine file."
            )
        model = "singleGauss" if gaussians == "single" else str(meta["dataType"])
        return _particle_machine(file, meta, _entries(machine["data"]), model, focus)
    except DosegradError:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FileFormatError(
            f"machine file {file.name!r} lacks or garbles a field of matRad's base data "
            f"({error}). Export the machine from matRad again."
        ) from error


def _particle_machine(
    file: Path, meta: dict[str, Any], entries: list[dict[str, Any]], model: str, focus: int
) -> ParticleMachine:
    sad, nozzle = float(meta["SAD"]), float(meta["BAMStoIsoDist"])
    data = [_one_energy(entry, model, focus, sad - nozzle) for entry in entries]
    data.sort(key=lambda d: d.energy)
    name = str(meta.get("name", meta.get("machine", file.stem)))
    return ParticleMachine(
        name=f"{meta['radiationMode']}_{name}",
        modality=str(meta["radiationMode"]),
        sad=sad,
        nozzle_distance=nozzle,
        data=tuple(data),
        air_offset=float(meta.get("fitAirOffset", 0.0)),
        tissues=_tissues(entries[0]),
        description={"file": file.name, "format": "matRad", "lateral": model},
    )


def _one_energy(
    entry: dict[str, Any], model: str, focus: int, source_to_nozzle: float
) -> PencilBeamData:
    depths = _vector(entry["depths"])
    sigmas, weights = _lateral(entry, model, depths.size)
    distance, sigma = _focus(entry, focus)
    dose = _vector(entry["Z"])
    empty = np.empty((0, depths.size))
    offset = float(entry.get("offset", 0.0))
    peak = float(entry["peakPos"])
    return PencilBeamData(
        energy=float(entry["energy"]),
        depths=depths,
        dose=dose,
        sigmas=sigmas,
        weights=weights,
        let=_vector(entry.get("LET", [])),
        range=_distal_depth(depths, dose, 0.8) + offset,
        peak=peak + offset,
        focus_distance=distance - source_to_nozzle,
        focus_sigma=sigma,
        offset=-offset,
        energy_spread=_energy_spread(entry),
        alpha=_classes(entry["alpha"]) if "alpha" in entry else empty,
        beta=_classes(entry["beta"]) if "beta" in entry else empty,
    )


def _lateral(entry: dict[str, Any], model: str, n: int) -> tuple[Array, Array]:
    """In-water spreads and shares of the Gaussians, each (Gaussians, depths)."""
    needed = {
        "singleGauss": ("sigma",),
        "doubleGauss": ("sigma1", "sigma2", "weight"),
        "multipleGauss": ("sigmaMulti", "weightMulti"),
    }
    if model not in needed:
        raise MachineError(
            f"matRad's lateral model {model!r} is unknown; expected one of {', '.join(needed)}."
        )
    missing = [name for name in needed[model] if name not in entry]
    if missing:
        raise MachineError(
            f"lateral model {model!r} needs {', '.join(missing)}, which the machine file lacks "
            f"at {float(entry['energy']):.2f} MeV. Read it with the model that it holds."
        )
    if model == "singleGauss":
        return _vector(entry["sigma"])[None], np.ones((1, n))
    if model == "doubleGauss":
        second = _vector(entry["weight"])
        sigmas = np.stack([_vector(entry["sigma1"]), _vector(entry["sigma2"])])
        return sigmas, np.stack([1.0 - second, second])
    others = np.asarray(entry["weightMulti"], dtype=float).reshape(n, -1).T
    sigmas = np.asarray(entry["sigmaMulti"], dtype=float).reshape(n, -1).T
    return sigmas, np.concatenate([1.0 - others.sum(axis=0, keepdims=True), others])


def _focus(entry: dict[str, Any], focus: int) -> tuple[Array, Array]:
    """Distances from the source and spot sizes in air of one focus, mm."""
    table = entry["initFocus"]
    distances = np.atleast_2d(np.asarray(table["dist"], dtype=float))
    sigmas = np.atleast_2d(np.asarray(table["sigma"], dtype=float))
    if not 0 <= focus < sigmas.shape[0]:
        raise MachineError(
            f"focus {focus} is not in the machine file (0 to {sigmas.shape[0] - 1}); "
            "choose one of those."
        )
    return distances[min(focus, distances.shape[0] - 1)], sigmas[focus]


def _energy_spread(entry: dict[str, Any]) -> float:
    spectrum = entry.get("energySpectrum")
    return float(spectrum["sigma"]) if isinstance(spectrum, dict) else 0.0


def _distal_depth(depths: Array, dose: Array, level: float) -> float:
    """Depth behind the peak where the dose falls to ``level`` of it, mm."""
    top = int(np.argmax(dose))
    below = np.flatnonzero(dose[top:] < level * dose[top])
    if below.size == 0:
        return float(depths[-1])
    i = top + int(below[0])
    share = (dose[i - 1] - level * dose[top]) / (dose[i - 1] - dose[i])
    return float(depths[i - 1] + share * (depths[i] - depths[i - 1]))


def _tissues(entry: dict[str, Any]) -> Array:
    if "alphaX" not in entry or "betaX" not in entry:
        return np.empty((0, 2))
    return np.column_stack([_vector(entry["alphaX"]), _vector(entry["betaX"])])


def _classes(values: ArrayLike) -> Array:
    """MatRad's (depth, class) as (class, depth)."""
    table = np.asarray(values, dtype=float)
    return np.ascontiguousarray(table.reshape(table.shape[0], -1).T)


def _vector(values: ArrayLike) -> Array:
    return np.atleast_1d(np.asarray(values, dtype=float)).ravel()


def _entries(data: Any) -> list[dict[str, Any]]:
    return list(data) if isinstance(data, (list, np.ndarray)) else [data]


def _load(file: Path) -> dict[str, Any]:
    machine = load_variables(file, ("machine",), what="machine").get("machine")
    if not isinstance(machine, dict) or "meta" not in machine or "data" not in machine:
        raise FileFormatError(
            f"file {file.name!r} holds no matRad machine (expected a struct 'machine' with "
            "'meta' and 'data'). Give a matRad base data file."
        )
    return machine
