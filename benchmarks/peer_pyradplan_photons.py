"""The peer's side of a benchmark: pyRadPlan plans TG-119 with nine photon fields.

Run by ``tg119_photons.py`` in a process of its own; prints one line of JSON and leaves its masks,
matrix and dose in the folder given.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from measure import highest_memory, measure
from pyRadPlan import (
    PhotonPlan,
    calc_dose_influence,
    fluence_optimization,
    generate_stf,
    load_patient,
)


def main(patient_file: str, folder: str) -> None:
    """Plan, time each stage, save what the other side is compared with."""
    ct, cst = load_patient(patient_file)
    plan = PhotonPlan(radiation_mode="photons", machine="Generic")
    angles = [40.0 * k for k in range(9)]
    plan.prop_stf = {
        "gantry_angles": angles,
        "couch_angles": [0.0] * len(angles),
        "bixel_width": 5.0,
    }
    plan.prop_dose_calc = {
        "dose_grid": {"resolution": {"x": 5.0, "y": 5.0, "z": 5.0}},
    }
    costs = {}
    stf, costs["steering"] = measure(lambda: generate_stf(ct, cst, plan))
    dij, costs["influence"] = measure(lambda: calc_dose_influence(ct, cst, stf, plan))
    weights, costs["optimisation"] = measure(lambda: fluence_optimization(ct, cst, stf, dij, plan))
    peak = highest_memory()
    matrix = dij.physical_dose.flat[0]
    resampled = cst.apply_overlap_priorities().resample_on_new_ct(
        ct.resample_to_grid(dij.dose_grid)
    )
    masks = {v.name: np.flatnonzero(sitk.GetArrayFromImage(v.mask)) for v in resampled.vois}
    np.savez(Path(folder) / "peer_masks.npz", **masks)
    grid = dij.dose_grid
    np.savez(
        Path(folder) / "peer_plan.npz",
        dose=matrix @ weights,
        shape=np.array(grid.dimensions)[::-1],
        spacing=np.array([grid.resolution[axis] for axis in "zyx"]),
        origin=np.array(grid.origin),
    )
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    np.savez(Path(folder) / "peer_matrix.npz", **parts, shape=matrix.shape)
    size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    print(
        json.dumps(
            {
                "columns": int(matrix.shape[1]),
                "nnz": int(matrix.nnz),
                "matrix_mb": size / 1e6,
                "peak_mb": peak,
                "costs": {name: asdict(cost) for name, cost in costs.items()},
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
