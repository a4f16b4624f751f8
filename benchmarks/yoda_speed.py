"""Speed of the deterministic engine: CPU seconds per spot, and a plan on the head phantom.

``python benchmarks/yoda_speed.py``: one 100 MeV spot of 61 beamlets in a tank of 100^3 voxels of
1 mm with half a slab of bone, in each mode, on one and on two threads.
``python benchmarks/yoda_speed.py plan``: a plan of about 1000 spots on ``phantom("head")``.
"""

import sys
from dataclasses import replace

import numpy as np
from measure import measure

import dosegrad as dg
from dosegrad import objectives as obj
from dosegrad.engines import Yoda
from dosegrad.engines.yoda.splitting import split_on_rings

MODES = ("energy-grid", "range-frame", "wet")
REPEATS = 5


def spot() -> None:
    """Time of one spot."""
    import numba

    hu = np.zeros((100, 100, 100))
    hu[50:, 20:30] = 1000.0
    patient = dg.Patient.from_arrays(
        hu, spacing=(1.0, 1.0, 1.0), origin=(-49.5, -49.5, -49.5), calibration="schneider-water"
    )
    machine = dg.load_machine("research-protons", energy_std=1.0, spot_sigma=3.0)
    plan = dg.Plan.from_spots(
        machine, gantry=0, isocentre=(0.0, 0.0, 0.0), x=[0.0], y=[0.0], energy=[100.0], weight=[1.0]
    )
    medium, voxels = patient.medium(), np.arange(hu.size)
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        for mode in MODES:
            for nuclear in (False, True):
                engine = Yoda(mode=mode, nuclear=nuclear, splitting=split_on_rings())

                def compute(engine: Yoda = engine) -> object:
                    return engine.forward(medium, plan.beams, plan.weights, voxels)

                compute()
                costs = [measure(compute)[1] for _ in range(REPEATS)]
                cpu, wall = (min(getattr(c, n) for c in costs) for n in ("cpu_s", "wall_s"))
                kind = "nuclear" if nuclear else "electromagnetic"
                print(f"{mode}, {kind}, {threads} thread(s): {cpu:.3f} s CPU, {wall:.3f} s wall")


def plan_on_head() -> None:
    """Time and memory of a plan."""
    patient = dg.phantom("head")
    beams = dg.steer(
        patient, dg.load_machine("generic-protons"), target="CTV", gantry=[60, 300],
        spot_spacing=7.0,
    )  # fmt: skip
    influence = dg.compute_influence(patient, beams)
    plan = dg.optimise(influence, {"CTV": [obj.SquaredDeviation(60.0, weight=100)]})
    few = np.zeros(plan.weights.size, dtype=bool)
    few[np.flatnonzero(plan.weights)[0]] = True
    for mode in MODES[::-1]:
        engine = Yoda(mode=mode)
        one = replace(plan, weights=np.where(few, plan.weights, 0.0), dose=None)
        dg.compute_dose(patient, one, engine=engine)  # compiles
        _, cost = measure(
            lambda engine=engine: dg.compute_dose(patient, replace(plan, dose=None), engine=engine)
        )
        print(
            f"{mode}, {plan.n_spots} spots: {cost.cpu_s:.1f} s CPU, {cost.wall_s:.1f} s wall, "
            f"{cost.growth_mb:.0f} MB"
        )


if __name__ == "__main__":
    plan_on_head() if "plan" in sys.argv[1:] else spot()
