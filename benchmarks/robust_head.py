"""Robust plan of the head phantom: memory and time by steps, and what nominal plans come to.

``python benchmarks/robust_head.py [faces]`` computes nine scenarios, or 21 on a 3 mm dose grid.
"""

import resource
import sys
import time

import dosegrad as dg
from dosegrad import objectives as obj
from dosegrad.influence.scenario_doses import scenario_doses

GOALS = ["CTV: D95% >= 57 Gy", "Brainstem: D0.03cc <= 54 Gy"]


def step(name: str, since: tuple[float, float]) -> tuple[float, float]:
    """Print wall and CPU seconds since the last step, and the peak of memory."""
    now = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name}: {now[0] - since[0]:.1f} s wall, {now[1] - since[1]:.1f} s CPU, {peak:.2f} GB")
    return now


def main(wanted: str = "") -> None:
    """Plan, and tell what it took."""
    now = time.perf_counter(), time.process_time()
    patient = dg.phantom("head")
    errors = {"setup": 3.0, "range_percent": 3.5}
    many = wanted == "faces"
    scenarios = dg.Scenarios.grid(**errors) if many else dg.Scenarios.worst_case(**errors)
    spacing = (3.0, 3.0, 3.0) if many else None
    machine = dg.load_machine("generic-protons")
    fields = {"target": "CTV", "gantry": [60, 300]}
    beams = dg.steer(patient, machine, setup_margin=3.0, range_margin_percent=3.5, **fields)
    influence = dg.compute_influence(patient, beams, scenarios=scenarios, dose_spacing=spacing)
    now = step("influence", now)
    held = influence.scenarios
    print(influence, held, f"{held.n_bytes / held.nnz:.2f} bytes a non-zero", sep="\n")
    objectives = {
        "CTV": [obj.SquaredDeviation(60.0, weight=100)],
        "Brainstem": [obj.SquaredOverdose(40.0, weight=20)],
    }
    plan = dg.optimise(influence, objectives, robust="minimax")
    now = step(f"minimax, {plan.provenance['n_evaluations']} evaluations, doses", now)
    print(plan, plan.message)
    report = dg.evaluate(plan.scenario_doses, patient, GOALS)
    print(report.by_scenario(scenarios.names))
    print(report.worst())
    if many:
        return
    narrow = dg.compute_influence(
        patient, dg.steer(patient, machine, **fields), scenarios=scenarios, dose_spacing=spacing
    )
    for spots, held_by in {"with margins": influence, "for the CTV alone": narrow}.items():
        nominal = dg.optimise(held_by, objectives)
        worst = dg.evaluate(scenario_doses(held_by, nominal.weights), patient, GOALS).worst()
        print(f"nominal, spots {spots}", worst, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
