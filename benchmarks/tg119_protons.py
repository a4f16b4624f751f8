"""TG-119 with two proton fields: dosegrad and pyRadPlan in one go.

    python benchmarks/tg119_protons.py [DATA_FOLDER]

Both programs read the same patient and machine file, use a 5 mm dose grid, 5 mm spots and gantry
angles 90 and 270. The peer runs in a process of its own. Each of our stages is run twice and the
second run counts, so that loading compiled kernels is not mistaken for work; the first is told
too. Optimisation is compared twice: each program on its own influence until ours reaches the
peer's final objective, and ours on the peer's own matrix and masks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import Cost, measure
from scipy.sparse import csc_array

from dosegrad import Beams, Grid, compute_influence, load_machine, optimise, read_patient, steer
from dosegrad.influence.matrix import Influence

HERE = Path(__file__).parent


def run_peer(patient_file: Path, folder: Path, modality: str = "protons") -> dict:
    """Figures of the peer, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "peer_pyradplan.py", str(patient_file), str(folder), modality],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    figures["costs"] = {name: Cost(**cost) for name, cost in figures["costs"].items()}
    return figures


def twice(function):
    """Result of the second run with the costs of the first and the second."""
    _, first = measure(function)
    result, second = measure(function)
    return result, first, second


def objective_value(dose_rows: dict[str, np.ndarray]) -> float:
    """Objective of the TG-119 file on one dose by structure, Gy."""
    target, core, body = (dose_rows[n] for n in ("OuterTarget", "Core", "BODY"))
    return float(
        1000 * np.mean((target - 50) ** 2)
        + 300 * np.mean(np.maximum(core - 25, 0) ** 2)
        + 100 * np.mean(np.maximum(body - 30, 0) ** 2)
    )


def rows_by_structure(dose: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Dose in the voxels of each structure."""
    return {name: dose.reshape(-1)[mask] for name, mask in masks.items()}


def stand_in_beams(beams: Beams, n_columns: int) -> Beams:
    """As many columns as a foreign matrix has; the optimiser only counts them."""
    columns = np.resize(beams.columns, n_columns)
    return Beams(beams.machine, beams.fields, columns[np.argsort(columns["beam"], kind="stable")])


def main() -> None:
    """Run both, print the table."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["DOSEGRAD_DATA"])
    patient_file = data / "phantoms/TG119.mat"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = run_peer(patient_file, folder)
        peer_masks = dict(np.load(folder / "peer_masks.npz"))
        peer_plan = dict(np.load(folder / "peer_plan.npz"))
        parts = np.load(folder / "peer_matrix.npz")
        peer_matrix = csc_array(
            (parts["data"], parts["indices"], parts["indptr"]), shape=tuple(parts["shape"])
        )
    peer_dose = peer_matrix @ peer_plan["weights"]
    goal = objective_value(rows_by_structure(peer_dose, peer_masks))

    patient = read_patient(patient_file)
    machine = load_machine(data / "machines/protons_Generic.mat", gaussians="single")
    fields = {"target": "OuterTarget", "gantry": [90, 270], "spot_spacing": 5.0}
    beams, steer_first, steer_cost = twice(lambda: steer(patient, machine, **fields))
    influence, influence_first, influence_cost = twice(
        lambda: compute_influence(patient, beams, dose_spacing=(5.0, 5.0, 5.0))
    )
    plan, plan_first, plan_cost = twice(
        lambda: optimise(influence, patient.objectives, fractions=30, stop_below=goal)
    )
    ours_on_peer = Influence(
        patient,
        stand_in_beams(beams, peer_matrix.shape[1]),
        Grid(tuple(peer_plan["shape"]), tuple(peer_plan["spacing"]), tuple(peer_plan["origin"])),
        np.arange(peer_matrix.shape[0]),
        peer_matrix,
    )
    same, same_first, same_cost = twice(
        lambda: optimise(ours_on_peer, patient.objectives, fractions=30, stop_below=goal)
    )

    print(
        f"columns {beams.n_columns} (peer {peer['columns']}), non-zeros "
        f"{influence.matrix.nnz} (peer {peer['nnz']}, ratio "
        f"{influence.matrix.nnz / peer['nnz']:.3f})"
    )
    print(
        f"objective: peer {goal:.2f}; ours {plan.objective:.2f}, on the peer's matrix "
        f"{same.objective:.2f}"
    )
    print(
        f"{'stage':28}{'CPU s':>9}{'first':>9}{'wall s':>9}{'growth MB':>11}"
        f"{'peer CPU s':>12}{'ratio':>8}"
    )
    for stage, first, ours, theirs in (
        ("steering", steer_first, steer_cost, peer["costs"]["steering"]),
        ("influence", influence_first, influence_cost, peer["costs"]["influence"]),
        ("optimisation, own matrix", plan_first, plan_cost, peer["costs"]["optimisation"]),
        ("optimisation, peer's matrix", same_first, same_cost, peer["costs"]["optimisation"]),
    ):
        print(
            f"{stage:28}{ours.cpu_s:9.2f}{first.cpu_s:9.2f}{ours.wall_s:9.2f}"
            f"{ours.growth_mb:11.0f}{theirs.cpu_s:12.2f}{theirs.cpu_s / ours.cpu_s:8.1f}"
        )
    matrix_mb = (influence.matrix.data.nbytes + influence.matrix.indices.nbytes) / 1e6
    print(
        f"influence memory: first call grew by {influence_first.growth_mb:.0f} MB for a matrix "
        f"of {matrix_mb:.0f} MB (ratio {influence_first.growth_mb / matrix_mb:.2f})"
    )


if __name__ == "__main__":
    main()
