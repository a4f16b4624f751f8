"""TG-119 with nine photon fields: dosegrad and pyRadPlan in one go.

    python benchmarks/tg119_photons.py [DATA_FOLDER]

Both programs read the same patient and machine file, use a 5 mm dose grid and 5 mm bixels at gantry
angles 0, 40 ... 320. Columns of both end 50 mm from the middle of a bixel. Each runs in a process
of its own, so that growth of memory compares. Each of our stages is run twice and the second run
counts, so that loading compiled kernels is not mistaken for work; the first is told too. As other
work on the computer disturbs short runs most, our influence is the median of seven.
Optimisation is compared on the peer's own matrix and masks, until ours reaches the peer's final
objective; on our own matrix it goes on until it has converged. The peak of memory is that of a
process that does nothing but read, steer, compute and optimise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import Cost, highest_memory, measure
from scipy.sparse import csc_array
from tg119_protons import objective_value, rows_by_structure, stand_in_beams

from dosegrad import Grid, compute_influence, load_machine, optimise, read_patient, steer
from dosegrad.engines import PhotonKernel
from dosegrad.influence.matrix import Influence

HERE = Path(__file__).parent
ANGLES = range(0, 360, 40)
#: 50 mm from the middle of a bixel of 5 mm, as the peer's.
ENGINE = PhotonKernel(lateral_cutoff=50.0 - 2.5 * 2**0.5)


def main() -> None:
    """Run both, print the table; with ``--alone``, ours once, and print its peak of memory."""
    if "--alone" in sys.argv:
        plan_alone(Path(sys.argv[1]))
        return
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["DOSEGRAD_DATA"])
    patient_file = data / "phantoms/TG119.mat"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "peer_pyradplan_photons.py", str(patient_file), folder],
            cwd=HERE,
            capture_output=True,
            text=True,
            check=True,
        )
        masks = dict(np.load(Path(folder) / "peer_masks.npz"))
        peer_plan = dict(np.load(Path(folder) / "peer_plan.npz"))
        parts = np.load(Path(folder) / "peer_matrix.npz")
        peer_matrix = csc_array(
            (parts["data"], parts["indices"], parts["indptr"]), shape=tuple(parts["shape"])
        )
    peer = json.loads(done.stdout.strip().splitlines()[-1])
    costs = {name: Cost(**cost) for name, cost in peer["costs"].items()}
    goal = objective_value(rows_by_structure(peer_plan["dose"], masks))

    patient = read_patient(patient_file)
    machine = load_machine(data / "machines/photons_Generic.mat")
    stages, first = {}, {}

    def run(name, function, times=1):
        first[name] = measure(function)[1]  # the result is let go before the next is made
        costs = [measure(function)[1] for _ in range(times - 1)]
        result, last = measure(function)
        stages[name] = sorted([*costs, last], key=lambda cost: cost.cpu_s)[times // 2]
        return result

    beams = run(
        "steering",
        lambda: steer(patient, machine, target="OuterTarget", gantry=ANGLES, bixel=5.0),
    )
    influence = run(
        "influence",
        lambda: compute_influence(patient, beams, engine=ENGINE, dose_spacing=(5.0, 5.0, 5.0)),
        times=7,
    )
    plan = run(
        "optimisation",
        lambda: optimise(influence, patient.objectives, fractions=30),
    )
    on_peer = Influence(
        patient,
        stand_in_beams(beams, peer_matrix.shape[1]),
        Grid(tuple(peer_plan["shape"]), tuple(peer_plan["spacing"]), tuple(peer_plan["origin"])),
        np.arange(peer_matrix.shape[0]),
        peer_matrix,
    )
    same = run(
        "same objective",
        lambda: optimise(on_peer, patient.objectives, fractions=30, stop_below=goal),
    )
    matrix = influence.matrix
    size = (matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes) / 1e6
    print(
        f"columns {beams.n_columns} (peer {peer['columns']}), non-zeros "
        f"{matrix.nnz} (peer {peer['nnz']}), matrix {size:.0f} MB (peer {peer['matrix_mb']:.0f} MB)"
    )
    print(
        f"objective: peer {goal:.2f}; ours on the peer's matrix {same.objective:.2f}, on our own "
        f"{plan.objective:.2f}"
    )
    header = ("CPU s", "first", "wall s", "growth MB", "peer CPU s", "peer MB", "ratio")
    print(f"{'stage':16}" + "".join(f"{title:>12}" for title in header))
    for stage, ours in stages.items():
        theirs = costs["optimisation" if stage == "same objective" else stage]
        numbers = (
            *(ours.cpu_s, first[stage].cpu_s, ours.wall_s, first[stage].growth_mb),
            *(theirs.cpu_s, theirs.growth_mb, theirs.cpu_s / ours.cpu_s),
        )
        print(f"{stage:16}" + "".join(f"{number:12.2f}" for number in numbers))
    ours = ("steering", "influence", "same objective")
    whole = sum(c.cpu_s for c in costs.values()) / sum(stages[name].cpu_s for name in ours)
    highest = max(first[name].growth_mb for name in ours)
    print(
        f"whole plan: {whole:.1f} times less CPU; memory grew by {highest:.0f} MB at most in one "
        f"stage (peer {max(c.growth_mb for c in costs.values()):.0f} MB)"
    )
    alone = subprocess.run(
        [sys.executable, __file__, str(data), "--alone"], capture_output=True, text=True, check=True
    )
    print(f"peak of a process: {float(alone.stdout):.0f} MB (peer {peer['peak_mb']:.0f} MB)")


def plan_alone(data: Path) -> None:
    """Plan once; print the highest resident memory, MB."""
    patient = read_patient(data / "phantoms/TG119.mat")
    machine = load_machine(data / "machines/photons_Generic.mat")
    beams = steer(patient, machine, target="OuterTarget", gantry=ANGLES, bixel=5.0)
    influence = compute_influence(patient, beams, engine=ENGINE, dose_spacing=(5.0, 5.0, 5.0))
    optimise(influence, patient.objectives, fractions=30)
    print(highest_memory())


if __name__ == "__main__":
    main()
