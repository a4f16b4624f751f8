"""The peer's side of a benchmark: pyRadPlan plans TG-119 with two fields of protons or carbon.

Run by ``tg119_protons.py`` and ``tg119_carbon.py`` in a process of its own; prints one line of
JSON and leaves its influence matrix, masks, weights and dose in the folder given. For carbon the
influence holds alpha and beta too, and the plan is one of RBE-weighted dose, as the peer does.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from measure import measure
from pyRadPlan import (
    IonPlan,
    calc_dose_influence,
    fluence_optimization,
    generate_stf,
    load_patient,
)


def main(patient_file: str, folder: str, modality: str = "protons") -> None:
    """Plan, time each stage, save what the other side is compared with."""
    ct, cst = load_patient(patient_file)
    plan = IonPlan(radiation_mode=modality, machine="Generic")
    plan.prop_stf = {
        "gantry_angles": [90.0, 270.0],
        "couch_angles": [0.0, 0.0],
        "bixel_width": 5.0,
    }
    settings = {"dose_grid": {"resolution": {"x": 5.0, "y": 5.0, "z": 5.0}}}
    if modality == "carbon":
        settings |= {"calc_bio_dose": True}
    plan.prop_dose_calc = settings
    costs = {}
    stf, costs["steering"] = measure(lambda: generate_stf(ct, cst, plan))
    dij, costs["influence"] = measure(lambda: calc_dose_influence(ct, cst, stf, plan))
    weights, costs["optimisation"] = measure(lambda: fluence_optimization(ct, cst, stf, dij, plan))
    matrix = dij.physical_dose.flat[0]
    out = Path(folder)
    dose = sitk.GetArrayFromImage(dij.compute_result_ct_grid(weights)["physical_dose"])
    np.savez(
        out / "peer_matrix.npz",
        data=matrix.data,
        indices=matrix.indices,
        indptr=matrix.indptr,
        shape=matrix.shape,
    )
    if modality == "carbon":
        effect = dij.alpha_dose.flat[0] @ weights + (dij.sqrt_beta_dose.flat[0] @ weights) ** 2
        np.savez(out / "peer_effect.npz", effect=effect, alpha_x=dij.alphax, beta_x=dij.betax)
    grid = dij.dose_grid
    steps = [grid.resolution[axis] for axis in "zyx"]
    np.savez(
        out / "peer_plan.npz",
        weights=weights,
        dose=dose,
        shape=np.array(grid.dimensions)[::-1],
        spacing=np.array(steps),
        origin=np.array(grid.origin),
    )
    on_dose_grid = ct.resample_to_grid(dij.dose_grid)
    resampled = cst.apply_overlap_priorities().resample_on_new_ct(on_dose_grid)
    masks = {v.name: np.flatnonzero(sitk.GetArrayFromImage(v.mask)) for v in resampled.vois}
    np.savez(out / "peer_masks.npz", **masks)
    print(
        json.dumps(
            {
                "columns": int(matrix.shape[1]),
                "nnz": int(matrix.nnz),
                "quantities": list(dij.quantities),
                "costs": {name: asdict(cost) for name, cost in costs.items()},
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
