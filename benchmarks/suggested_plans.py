"""Plans that the workspace suggests: whether they meet the goals that it suggests with them.

    python benchmarks/suggested_plans.py [PHANTOM ...]

Each phantom as the page opens it, with nothing changed, optimised as its button does.
"""

from __future__ import annotations

import sys
import time

import dosegrad as dg
from dosegrad.objectives.records import from_record
from dosegrad.objectives.structure_objective import StructureObjective
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.patient.phantoms import PHANTOMS
from dosegrad.web.workspace.suggestions import suggest
from dosegrad.web.workspace.work import TOLERANCE


def main() -> None:
    """One line for each goal."""
    for name in sys.argv[1:] or PHANTOMS:
        start = time.process_time()
        patient = dg.phantom(name)
        wanted = suggest(patient, name)
        beams = dg.steer(
            patient,
            dg.load_machine(wanted.machine),
            target=wanted.target or "",
            gantry=wanted.gantry,
            margin=wanted.margin,
            spot_spacing=wanted.spot_spacing,
            layer_spacing=wanted.layer_spacing,
        )
        influence = dg.compute_influence(patient, beams)
        wishes = [
            StructureObjective(w.structure, from_record(w.record())) for w in wanted.objectives
        ]
        solver = LBFGSB(max_iterations=wanted.max_iterations, tolerance=TOLERANCE)
        plan = dg.optimise(influence, wishes, fractions=wanted.fractions, solver=solver)
        assert plan.dose is not None
        report = dg.evaluate(plan.dose, patient, wanted.goals)
        words = "; ".join(
            f"{r.goal}: {r.value:.1f} {'met' if r.met else 'MISSED'}" for r in report.rows
        )
        used = time.process_time() - start
        print(
            f"{name}: {words}; highest {plan.dose.array.max():.0f} Gy; {used:.0f} CPU s",
            flush=True,
        )


if __name__ == "__main__":
    main()
