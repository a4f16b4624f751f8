"""Photon machines from matRad's base data files (MATLAB v5 ``.mat``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from dosegrad.errors import FileFormatError
from dosegrad.machine.photon import PhotonMachine

__all__ = ["MATRAD_RASTER", "photon_machine_of"]

#: Spacing of matRad's fluence raster, mm. Kernels in its files are multiplied by the area of such
#: a pixel, so that its convolutions are sums without an area element.
MATRAD_RASTER: Final = 0.5


def photon_machine_of(file: Path, machine: dict[str, Any], *, raster: float) -> PhotonMachine:
    """The machine of matRad's struct ``machine``, whose kernels hold the area ``raster`` squared.

    matRad sums kernel times fluence over the pixels of its raster and leaves out their area:
    the file's kernels contain it. They are divided by it here, to Gy per unit weight and mm2.

    Raises
    ------
    FileFormatError
        If a field is missing or the SSDs are not in order.
    """
    meta, data = machine["meta"], machine["data"]
    tables = data["kernel"]
    entries = [tables] if isinstance(tables, dict) else list(tables)
    ssds = np.array([float(entry["SSD"]) for entry in entries])
    if (np.diff(ssds) <= 0).any():
        raise FileFormatError(
            f"machine file {file.name!r} holds kernels whose SSDs do not ascend. Sort them, or "
            "export the machine from matRad again."
        )
    kernels = np.array([[entry[f"kernel{k}"] for k in (1, 2, 3)] for entry in entries], dtype=float)
    return PhotonMachine(
        name=f"photons_{meta.get('name', meta.get('machine', file.stem))}",
        energy=float(data.get("energy", 6.0)),
        sad=float(meta["SAD"]),
        betas=np.asarray(data["betas"], dtype=float).ravel(),
        attenuation=float(data["m"]),
        ssds=ssds,
        radii=np.asarray(data["kernelPos"], dtype=float).ravel(),
        kernels=kernels / raster**2,
        raster=raster,
        penumbra_fwhm=float(data["penumbraFWHMatIso"]),
        primary_fluence=np.asarray(data["primaryFluence"], dtype=float).reshape(-1, 2),
        description={"file": file.name, "format": "matRad", "area element": f"{raster**2:g} mm2"},
    )
