"""Chosen beam angles on the C-shape against the evenly spread ones.

``python benchmarks/beam_angles.py [figure.png]`` prints objectives of both, each optimised to a
relative change of 1e-5, and draws what each candidate is worth.
"""

from __future__ import annotations

import sys
import time

from dosegrad import (
    compute_influence,
    load_machine,
    optimise,
    optimise_angles,
    phantom,
    plot,
    steer,
)
from dosegrad import objectives as obj

GOALS = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Core": [obj.SquaredOverdose(20.0, weight=30)],
    "Body": [obj.MeanDose(weight=1)],
}
STEERING = {"spot_spacing": 10.0, "layer_spacing": 8.0}
GRID = (6.0, 6.0, 6.0)


def objective(patient, machine, gantry):
    """Of a set of gantry angles, converged."""
    beams = steer(patient, machine, target="Target", gantry=list(gantry), **STEERING)
    influence = compute_influence(patient, beams, dose_spacing=GRID)
    return optimise(influence, GOALS, tolerance=1e-5, max_iterations=1500).objective


def main(figure=None):
    patient, machine = phantom("c-shape"), load_machine("generic-protons")
    for n in (2, 3):
        start, begun = time.process_time(), time.perf_counter()
        choice = optimise_angles(
            patient, machine, GOALS, n=n, target="Target", candidates=range(0, 360, 15),
            dose_spacing=GRID, **STEERING,
        )  # fmt: skip
        cpu, wall = time.process_time() - start, time.perf_counter() - begun
        spread = [360.0 * k / n for k in range(n)]
        values = [objective(patient, machine, angles) for angles in (choice.gantry, spread)]
        print(choice, f"{choice.n_sets} sets, {cpu:.0f} s CPU, {wall:.0f} s")
        print(f"  chosen {values[0]:.2f}, evenly spread {spread} {values[1]:.2f}", flush=True)
        if figure and n == 2:
            plot.angles(choice).savefig(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
