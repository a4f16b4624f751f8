"""Predicting a dose change against recomputing it: CPU seconds and memory.

``python benchmarks/dose_change.py [range-frame|wet|energy-grid] [every]`` plans the head phantom,
keeps one of ``every`` spots (default 1), follows the mean doses of brainstem and CTV and compares.
"""

import sys
from dataclasses import replace

import numpy as np
from measure import measure

import dosegrad as dg
from dosegrad import objectives as obj


def main(mode: str = "range-frame", every: str = "1") -> None:
    """Plan, prepare, predict and recompute, and tell what it took."""
    patient = dg.phantom("head")
    beams = dg.steer(patient, dg.load_machine("generic-protons"), target="CTV", gantry=[60, 300])
    influence = dg.compute_influence(patient, beams)
    plan = dg.optimise(influence, {"CTV": [obj.SquaredDeviation(60.0, weight=100)]}, fractions=30)
    kept = np.arange(plan.weights.size) % int(every) == 0
    plan = replace(plan, weights=np.where(kept, plan.weights, 0.0), dose=None)
    engine = dg.engines.Yoda(mode=mode)
    response = obj.MeanDose().on("Brainstem")

    def prepare() -> object:
        followed = {"response": response, "structures": ["CTV", "Brainstem"]}
        return dg.prepare_dose_change(patient, plan, engine=engine, **followed)

    swollen = dg.phantom("head", swelling=5.0)
    prepare()(swollen.ct)  # compiles
    predict, prepared = measure(prepare)
    change, predicted = measure(lambda: predict(swollen.ct))
    dose, recomputed = measure(lambda: dg.compute_dose(swollen, plan, engine=engine))
    planned = dg.compute_dose(patient, plan, engine=engine)
    means = [d.mean(patient.structure("Brainstem")) for d in (planned, dose)]
    print(f"{mode}, {plan.n_spots} spots; {predict}; {means[1] - means[0]:+.4g} recomputed")
    print(f"prepare    {prepared.cpu_s:8.2f} s CPU, {prepared.growth_mb:.0f} MB more while at it")
    print(f"predict    {predicted.cpu_s:8.2f} s CPU: {change}")
    print(f"recompute  {recomputed.cpu_s:8.2f} s CPU: {dose}")
    print(f"recomputing costs {recomputed.cpu_s / predicted.cpu_s:.0f} predictions")


if __name__ == "__main__":
    main(*sys.argv[1:])
