"""Fronts on the C-shape: plans, gap, time, navigation, and weighted sums looked for below.

python benchmarks/pareto.py two [--figure FILE]
python benchmarks/pareto.py small [--figure FILE]
python benchmarks/pareto.py three
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import dosegrad as dg
from dosegrad import objectives as obj
from dosegrad.optimisation.pareto import trade_problem
from dosegrad.optimisation.sandwich import distance_below
from dosegrad.optimisation.weighted_sums import Task, solve

GOALS = ["Target: D95% >= 47.5 Gy"]
TWO = {"coverage": obj.SquaredDeviation(50.0).on("Target"), "core": obj.MeanDose().on("Core")}
THREE = {**TWO, "body": obj.MeanDose().on("Body")}


def influence(spot_spacing, layer_spacing=None, dose_spacing=None):
    patient = dg.phantom("c-shape")
    machine = dg.load_machine("generic-protons")
    gantry = [45, 180, 315]
    beams = dg.steer(
        patient,
        machine,
        target="Target",
        gantry=gantry,
        spot_spacing=spot_spacing,
        layer_spacing=layer_spacing,
    )
    return dg.compute_influence(patient, beams, dose_spacing=dose_spacing)


def random_sums(front, held, trade, n, goals):
    """The farthest that ``n`` plans at random weights are below the front, in ranges."""
    problem, kept = trade_problem(held, trade, goals)
    rng = np.random.default_rng(8)
    scale = front.shape.values.mean(axis=0)
    worst = 0.0
    for weights in rng.dirichlet(np.ones(len(trade)), n):
        near = min(
            front, key=lambda p: float(weights / scale @ list(p.provenance["values"].values()))
        )
        point = solve(
            Task(weights / scale, near.weights, np.zeros(len(kept)), 0.0, n_rounds=3), problem
        )
        below, _ = distance_below(point.values, front.shape.values, front.shape.ranges)
        worst = max(worst, below)
    return worst


def measure(held, trade, gap, n_random, goals=GOALS):
    print(held)
    wall, cpu = time.perf_counter(), time.process_time()
    front = dg.pareto_front(held, trade, goals=goals, gap=gap)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{front}; {wall:.1f} s, {cpu:.1f} CPU s; {front.message}")
    for name, (best, worst) in front.ranges.items():
        print(f"  {name}: {best:.4g} to {worst:.4g}")
    met = [dg.evaluate(plan.dose, held.patient, goals).all_met for plan in front]
    highest = max(plan.dose.array.max() for plan in front)
    print(f"  highest dose anywhere: {highest:.1f} Gy")
    print(f"  plans that meet their goals: {sum(met)} of {len(met)}")
    times = []
    name = next(iter(trade))
    for top in np.linspace(*front.ranges["core"], 21)[1:]:
        start = time.perf_counter()
        choice = front.navigate(limits={"core": top}, prefer=name)
        times.append(time.perf_counter() - start)
    print(f"  navigation: median {1e3 * np.median(times):.1f} ms, worst {1e3 * max(times):.1f} ms")
    start = time.perf_counter()
    choice.plan  # noqa: B018
    print(f"  its plan: {1e3 * (time.perf_counter() - start):.0f} ms")
    if n_random:
        worst = random_sums(front, held, trade, n_random, goals)
        print(f"  {n_random} weighted sums at random weights: {worst:.4f} below at most")
    return front


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=["two", "three", "small"])
    parser.add_argument("--figure")
    parser.add_argument("--gap", type=float, default=0.02)
    parser.add_argument("--random", type=int, default=20)
    arguments = parser.parse_args()
    trade = THREE if arguments.case == "three" else TWO
    small = arguments.case == "small"
    held = influence(12.0, 10.0, (6.0, 6.0, 6.0)) if small else influence(6.0)
    goals = ["Target: D95% >= 44 Gy"] if small else GOALS
    front = measure(held, trade, arguments.gap, arguments.random, goals)
    if arguments.figure:
        choice = front.navigate(limits={"core": 5.0 if small else 2.5}, prefer="coverage")
        figure = dg.plot.pareto(front, choice=choice, patient=held.patient)
        if not small:
            figure.axes[0].set_xscale("log")
        figure.savefig(arguments.figure, dpi=100)


if __name__ == "__main__":
    main()
