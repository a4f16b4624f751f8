"""TG-119 with two fields of carbon ions: dosegrad and pyRadPlan in one go.

    python benchmarks/tg119_carbon.py [DATA_FOLDER]

Both programs read the same patient and the same carbon machine, use a 5 mm dose grid, 5 mm spots
and gantry angles 90 and 270, and compute dose, alpha times dose and the root of beta times dose in
a tissue of alpha 0.1/Gy and beta 0.05/Gy2, the peer's default everywhere. The objective of the
file is put on the RBE-weighted dose of one fraction, as the peer does; ours stops where it reaches
the peer's final value, on the same grid. The peer runs in a process of its own; our stages are run
twice and the second run counts.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import Cost
from tg119_protons import objective_value, rows_by_structure, run_peer, twice

from dosegrad import Grid, compute_influence, load_machine, optimise, rbe, read_patient, steer

ALPHA_X, BETA_X = 0.1, 0.05


def main() -> None:
    """Run both, print the table."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["DOSEGRAD_DATA"])
    patient_file = data / "phantoms/TG119.mat"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = run_peer(patient_file, folder, "carbon")
        masks = dict(np.load(folder / "peer_masks.npz"))
        peer_plan = dict(np.load(folder / "peer_plan.npz"))
        effect = dict(np.load(folder / "peer_effect.npz"))
    # at the skin the peer interpolates the tissue, between none and this one
    assert np.isclose(effect["alpha_x"].max(), ALPHA_X)
    assert np.isclose(effect["beta_x"].max(), BETA_X)
    goal = objective_value(rows_by_structure(rbe_weighted(effect["effect"]), masks))
    grid = Grid(tuple(peer_plan["shape"]), tuple(peer_plan["spacing"]), tuple(peer_plan["origin"]))

    patient = read_patient(patient_file)
    machine = load_machine(data / "machines/carbon_Generic.mat")
    model = rbe.LinearQuadratic({}, other=rbe.Tissue(alpha=ALPHA_X, beta=BETA_X))
    fields = {"target": "OuterTarget", "gantry": [90, 270], "spot_spacing": 5.0}
    beams, _, steer_cost = twice(lambda: steer(patient, machine, **fields))
    influence, first, influence_cost = twice(
        lambda: compute_influence(patient, beams, grid=grid, rbe=model)
    )
    plan, _, plan_cost = twice(lambda: optimise(influence, patient.objectives, stop_below=goal))

    print(
        f"columns {beams.n_columns} (peer {peer['columns']}), non-zeros {influence.matrix.nnz} "
        f"(peer {peer['nnz']}); quantities dose, {', '.join(influence.extra)} "
        f"(peer {', '.join(peer['quantities'])})"
    )
    print(f"objective on RBE-weighted dose: peer {goal:.2f}; ours {plan.objective:.2f}")
    print(f"{'stage':16}{'CPU s':>9}{'wall s':>9}{'growth MB':>11}{'peer CPU s':>12}{'ratio':>8}")
    theirs = peer["costs"]
    whole = _sum(steer_cost, influence_cost, plan_cost)
    stages = (
        ("steering", steer_cost, theirs["steering"]),
        ("influence", influence_cost, theirs["influence"]),
        ("optimisation", plan_cost, theirs["optimisation"]),
        ("whole plan", whole, _sum(*theirs.values())),
    )
    for stage, ours, other in stages:
        print(
            f"{stage:16}{ours.cpu_s:9.2f}{ours.wall_s:9.2f}{ours.growth_mb:11.0f}"
            f"{other.cpu_s:12.2f}{other.cpu_s / ours.cpu_s:8.1f}"
        )
    print(
        f"influence memory: first call grew by {first.growth_mb:.0f} MB, the peer's by "
        f"{theirs['influence'].growth_mb:.0f} MB (ratio "
        f"{first.growth_mb / theirs['influence'].growth_mb:.2f})"
    )


def rbe_weighted(effect: np.ndarray) -> np.ndarray:
    """RBE-weighted dose of one fraction, Gy."""
    ratio = ALPHA_X / (2.0 * BETA_X)
    return np.sqrt(ratio**2 + effect / BETA_X) - ratio


def _sum(*costs: Cost) -> Cost:
    """Costs of stages one after another; memory of the hungriest."""
    return Cost(
        sum(c.cpu_s for c in costs), sum(c.wall_s for c in costs), max(c.growth_mb for c in costs)
    )


if __name__ == "__main__":
    main()
