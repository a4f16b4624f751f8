"""Moving spots on the C-shape in a water cylinder: objectives, numbers of spots, CPU time.

``python benchmarks/spot_positions.py [cost|plans|narrow|bone|layers|robust]`` prints the cost of an
evaluation; plans against a regular grid of three times the spots, in water with spots of 4 and of
3 mm, and with bone and cavities; plans whose layers move; and plans in nine scenarios. All are
rescored with the dose of the standard engine. Takes many minutes; times are of the CPU.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from spot_case import GOALS, beams, patient

from dosegrad import Scenarios, compute_dose, compute_influence, dvh, optimise, optimise_spots
from dosegrad.influence.build import choose_voxels
from dosegrad.influence.range_map import LayerDoseMap
from dosegrad.influence.scenario_doses import scenario_doses
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.optimisation.spot_pruning import keep_minimum_weight, thin_out
from dosegrad.patient.structures import resolve_overlaps
from dosegrad.patient.water import water_medium

FINE, COARSE, SHIFT = 5.0, 8.7, 6.5
CONVERGED = {"tolerance": 1e-5, "max_iterations": 2000}


def score(subject, dose):
    """The objectives on one dose, each structure without those of higher priority."""
    masks = resolve_overlaps(subject.structures, dose.grid)
    total = 0.0
    for name, wishes in GOALS.items():
        values = dose.array[masks[name]]
        share = np.full(values.size, 1.0 / values.size)
        total += sum(w.weight * w.value_and_gradient(values, share)[0] for w in wishes)
    return total


def tell(subject, name, plan, cpu):
    """One row of the table."""
    dose = compute_dose(subject, plan)
    curves = dvh(dose, subject)
    target, core = curves["Target"], curves["Core"]
    active = int((plan.weights > 1e-4 * plan.weights.max()).sum())
    spread = (target.dose_at(0.02) - target.dose_at(0.98)) / target.dose_at(0.5)
    print(
        f"{name:34} {plan.beams.n_columns:6} {active:6} {score(subject, dose):9.2f} "
        f"{target.dose_at(0.95):7.2f} {spread:6.3f} {core.mean:6.2f} {cpu:7.1f}",
        flush=True,
    )


def timed(make):
    """What ``make`` makes, and seconds of CPU."""
    start = time.process_time()
    made = make()
    return made, time.process_time() - start


def header(title):
    print(
        f"\n{title}\n{'plan':34} placed active objective     D95     HI   core   CPU s", flush=True
    )


def cost():
    """Milliseconds of CPU by spot for dose and gradient, and voxels by spot."""
    subject = patient()
    spots = beams(subject, COARSE)
    grid = subject.dose_grid()
    voxels = choose_voxels(subject, grid, "body")
    medium = water_medium(subject, grid)
    fixed = SpotDoseMap.of(medium, spots, voxels)
    at = fixed.variables(spots, np.ones(spots.n_columns))
    n = fixed.matrices(at)[0].nnz / spots.n_columns
    thinned = voxels[:: max(1, round(n / 2500))]
    for name, one in (
        ("weights and positions", SpotDoseMap.of(medium, spots, thinned)),
        ("and layers", LayerDoseMap.of(medium, spots, thinned, max_range_shift=2.0)),
    ):
        at = one.variables(spots, np.ones(spots.n_columns))
        n = one.matrices(at)[0].nnz / spots.n_columns
        best = np.inf
        for _ in range(5):
            start = time.process_time()
            dose, pullback = one.linearise(at)
            pullback(dose)
            best = min(best, time.process_time() - start)
        per_spot = 1e3 * best / spots.n_columns
        print(f"{name}: {per_spot:.3f} ms of CPU a spot at {n:.0f} voxels a spot", flush=True)


def plans(heterogeneous=False, sigma=4.0):
    """Against the fine grid, the coarse one, pruning alone and the alternating scheme."""
    subject = patient(heterogeneous)
    fine, coarse = (beams(subject, spacing, sigma) for spacing in (FINE, COARSE))
    header(f"{'with bone and cavities' if heterogeneous else 'water'}, spots of {sigma:g} mm")
    influence = compute_influence(subject, fine)
    on_fine, cpu = timed(lambda: optimise(influence, GOALS, **CONVERGED))
    tell(subject, f"{FINE} mm", on_fine, cpu)
    on_coarse, cpu = timed(lambda: optimise(compute_influence(subject, coarse), GOALS, **CONVERGED))
    tell(subject, f"{COARSE} mm", on_coarse, cpu)

    def moving(**options):
        return timed(lambda: optimise_spots(subject, coarse, GOALS, max_shift=SHIFT, **options))

    moved, cpu = moving(max_iterations=150)
    tell(subject, f"{COARSE} mm, moved, 150 iterations", moved, cpu)
    longer, cpu = moving(max_iterations=300)
    tell(subject, f"{COARSE} mm, moved, 300 iterations", longer, cpu)
    few, cpu = moving(max_spots=fine.n_columns // 8)
    tell(subject, "moved, an eighth of the fine grid", few, cpu)
    turns, cpu = moving(max_iterations=150, method="alternating")
    tell(subject, f"{COARSE} mm, in turns", turns, cpu)

    def prune(n):
        kept, weights = thin_out(influence, GOALS, on_fine.weights, most=n)
        return optimise(compute_influence(subject, kept), GOALS, initial=weights, **CONVERGED)

    for plan in (moved, few):
        pruned, cpu = timed(lambda n=plan.beams.n_columns: prune(n))
        tell(subject, f"{FINE} mm, pruned only", pruned, cpu)
    minimum = 0.2 * float(moved.weights[moved.weights > 0].mean())
    own = compute_influence(subject, moved.beams)
    kept, cpu = timed(lambda: keep_minimum_weight(own, GOALS, moved, minimum=minimum))
    tell(subject, "moved, minimum 0.2 of the mean", kept, cpu)


def layers():
    """With the energies of layers moving, too."""
    subject = patient()
    coarse = beams(subject, COARSE)
    header("water, layers")
    options = {"max_shift": SHIFT, "max_iterations": 220}
    for energies in ("fixed", "layers"):
        moved, cpu = timed(
            lambda e=energies: optimise_spots(subject, coarse, GOALS, energies=e, **options)
        )
        tell(subject, f"energies {energies}", moved, cpu)


def robust():
    """The expected objective in nine scenarios, rescored by the engine in each."""
    subject = patient()
    fine, coarse = (beams(subject, spacing) for spacing in (FINE, COARSE))
    cases = Scenarios.worst_case(setup=3.0, range_percent=3.5)
    names = ["Target", "Core", "Ring"]
    print(
        f"\nnine scenarios\n{'plan':34} placed active expected   worst     D95   CPU s", flush=True
    )

    def row(name, plan, cpu):
        influence = compute_influence(
            subject, plan.beams, scenarios=cases, robust_structures=["Core"]
        )
        doses = scenario_doses(influence, plan.weights)
        scores = [score(subject, dose) for dose in doses]
        worst = min(dvh(dose, subject)["Target"].dose_at(0.95) for dose in doses)
        active = int((plan.weights > 1e-4 * plan.weights.max()).sum())
        print(
            f"{name:34} {plan.beams.n_columns:6} {active:6} {np.mean(scores):8.2f} "
            f"{max(scores):7.2f} {worst:7.2f} {cpu:7.1f}",
            flush=True,
        )

    def on_grid():
        influence = compute_influence(subject, fine, scenarios=cases, robust_structures=names)
        return optimise(influence, GOALS, robust="expected", tolerance=1e-4, max_iterations=400)

    plan, cpu = timed(lambda: optimise(compute_influence(subject, fine), GOALS, **CONVERGED))
    row(f"{FINE} mm, nominal", plan, cpu)
    plan, cpu = timed(
        lambda: optimise_spots(subject, coarse, GOALS, max_shift=SHIFT, max_iterations=150)
    )
    row(f"{COARSE} mm, moved, nominal", plan, cpu)
    plan, cpu = timed(on_grid)
    row(f"{FINE} mm", plan, cpu)
    plan, cpu = timed(
        lambda: optimise_spots(
            subject, coarse, GOALS, max_shift=SHIFT, max_iterations=100, scenarios=cases,
            robust="expected", robust_structures=names,
        )
    )  # fmt: skip
    row(f"{COARSE} mm, moved", plan, cpu)


if __name__ == "__main__":
    for part in sys.argv[1:] or ["cost", "plans", "layers", "robust"]:
        {
            "cost": cost,
            "plans": plans,
            "narrow": lambda: plans(sigma=3.0),
            "bone": lambda: plans(heterogeneous=True),
            "layers": layers,
            "robust": robust,
        }[part]()
