"""Solvers on one realistic problem: CPU seconds to within 10, 2 and 1 % of the best objective.

``python benchmarks/solvers.py [case] [CPU seconds for each]``; cases: c-shape, head.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import dosegrad as dg
from dosegrad import objectives as obj
from dosegrad.influence.products import in_kernel_types
from dosegrad.optimisation.descent import Descent
from dosegrad.optimisation.problem import PlanProblem, typical_steps
from dosegrad.optimisation.separable import join_terms
from dosegrad.optimisation.solvers.lbfgsb import LBFGSB
from dosegrad.optimisation.wishes import make_terms

LEVELS = (0.10, 0.02, 0.01)


def c_shape():
    patient = dg.phantom("c-shape")
    machine = dg.load_machine("generic-protons")
    beams = dg.steer(
        patient, machine, target="Target", gantry=[45, 180, 315], spot_spacing=5.0
    )  # fmt: skip
    goals = {
        "Target": [obj.SquaredDeviation(50.0, weight=100)],
        "Core": [obj.SquaredOverdose(20.0, weight=30), obj.MeanDose(weight=1)],
        "Body": [obj.SquaredOverdose(30.0, weight=30), obj.MeanDose(weight=1)],
    }
    return dg.compute_influence(patient, beams), goals


def head():
    patient = dg.phantom("head")
    machine = dg.load_machine("generic-protons")
    beams = dg.steer(patient, machine, target="CTV", gantry=[60, 180, 300], spot_spacing=4.0)
    goals = {
        "CTV": [obj.SquaredDeviation(60.0, weight=100)],
        "Brainstem": [obj.SquaredOverdose(40.0, weight=30), obj.MeanDose(weight=1)],
        patient.external.name: [obj.SquaredOverdose(35.0, weight=30), obj.MeanDose(weight=1)],
    }
    return dg.compute_influence(patient, beams, dose_spacing=(2.0, 2.0, 2.0)), goals


CASES = {"c-shape": c_shape, "head": head}


class Clock:
    """Objective against evaluations and CPU seconds; ends a run that took its time."""

    def __init__(self, limit):
        self.limit, self.start, self.rows = limit, time.process_time(), []

    def note(self, value, n):
        self.rows.append((value, n, time.process_time() - self.start))
        return self.rows[-1][2] > self.limit

    def to(self, value):
        for reached, n, seconds in self.rows:
            if reached <= value:
                return n, seconds
        return None


def start_of(problem, n_columns):
    """Equal weights that give the target its dose."""
    weights = np.ones(n_columns)
    term = problem.terms[0]
    return weights * (term.objective.dose / problem.dose(weights)[term.rows].mean())


def following(problem, weights):
    """All rows that may have an effect near a plan."""
    followed = problem.worth_following(problem.dose(weights))
    return problem.following(followed), followed


def counted(function, clock):
    calls = [0]

    def evaluate(weights):
        calls[0] += 1
        return function.value_and_gradient(weights)

    return evaluate, calls


def l_bfgs_b(memory, scaled=True):
    def run(problem, start, clock):
        function, _ = following(problem, start)
        evaluate, calls = counted(function, clock)
        scale = typical_steps(function, start)
        if not scaled:
            scale = np.full(start.size, scale.mean())
        settings = LBFGSB(max_iterations=100_000, tolerance=0.0, memory=memory)
        settings.minimise(
            evaluate, start, scale=scale, max_iterations=100_000,
            watch=lambda k, x, value: clock.note(value, calls[0]),
        )  # fmt: skip

    return run


def coarse_to_fine(problem, start, clock):
    """L-BFGS-B on every eighth voxel of structures that are limited, then on all."""
    function, followed = following(problem, start)
    exact = np.zeros(followed.size, dtype=bool)
    for term in problem.row_terms:
        if np.isinf(term.idle_below) or term.rows.size < 5000:
            exact[term.rows] = True
    sample = followed & (exact | (np.arange(followed.size) % 8 == 0))
    coarse = problem.following(sample)
    shares = tuple(
        np.full(s.size, 1.0 / s.size * (t.rows.size and kept))
        for s, t, kept in zip(
            coarse.shares, coarse.terms,
            [followed[t.rows].sum() / t.rows.size for t in problem.row_terms], strict=True,
        )
    )  # fmt: skip
    from dataclasses import replace

    coarse = replace(coarse, shares=shares)
    weights = start
    for stage, iterations in ((coarse, 120), (function, 100_000)):
        evaluate, calls = counted(stage, clock)
        settings = LBFGSB(max_iterations=iterations, tolerance=0.0)
        last = [weights]

        def watch(k, x, value, stage=stage, calls=calls, last=last):
            last[0] = x
            if stage is coarse:
                return False
            return clock.note(value, calls[0])

        settings.minimise(
            evaluate, weights, scale=typical_steps(stage, weights),
            max_iterations=iterations, watch=watch,
        )  # fmt: skip
        weights = last[0]


def fista(problem, start, clock):
    """Accelerated projected gradient with Jacobi scaling, backtracking and restart."""
    function, _ = following(problem, start)
    evaluate, calls = counted(function, clock)
    scale = typical_steps(function, start)
    x = start / scale
    y, t, step = x.copy(), 1.0, 1e-2
    value, _ = evaluate(x * scale)
    while True:
        at, slope = evaluate(y * scale)
        slope = slope * scale
        while True:
            new = np.maximum(y - step * slope, 0.0)
            move = new - y
            found, _ = evaluate(new * scale)
            if found <= at + slope @ move + move @ move / (2 * step) + 1e-12 * abs(at):
                break
            step *= 0.5
        if found > value:
            y, t = x.copy(), 1.0
            continue
        after = 0.5 * (1 + np.sqrt(1 + 4 * t * t))
        y, t, x, value = new + (t - 1) / after * (new - x), after, new, found
        step *= 1.1
        if clock.note(value, calls[0]):
            return


def barzilai_borwein(problem, start, clock):
    """Projected gradient with Jacobi scaling and alternating Barzilai-Borwein steps."""
    function, _ = following(problem, start)
    evaluate, calls = counted(function, clock)
    scale = typical_steps(function, start)
    x = start / scale
    value, slope = evaluate(x * scale)
    slope, step, recent, k = slope * scale, 1e-3, [value], 0
    while True:
        direction = np.maximum(x - step * slope, 0.0) - x
        part = 1.0
        while True:
            new = x + part * direction
            found, after = evaluate(new * scale)
            if found <= max(recent[-10:]) + 1e-4 * part * (slope @ direction):
                break
            part *= 0.5
        after = after * scale
        s, d = new - x, after - slope
        curve = max(s @ d, 1e-300)
        step = np.clip((s @ s) / curve if k % 2 else curve / max(d @ d, 1e-300), 1e-12, 1e12)
        x, slope, k = new, after, k + 1
        recent.append(found)
        if clock.note(min(recent), calls[0]):
            return


def coordinate_descent(problem, start, clock):
    """Accelerated coordinate descent, as in the package, on the same voxels."""
    _, followed = following(problem, start)
    parts = join_terms(problem.matrix, problem.terms, followed=followed)
    objective = parts.weighted([t.objective.weight for t in problem.terms])
    descent = Descent(objective, start)
    descent.run(1_000_000, lambda value: clock.note(value, descent.n_sweeps))


METHODS = {
    "coordinate descent": coordinate_descent,
    "L-BFGS-B, memory 30": l_bfgs_b(30),
    "L-BFGS-B, memory 10": l_bfgs_b(10),
    "L-BFGS-B, memory 30, not scaled": l_bfgs_b(30, scaled=False),
    "coarse to fine, L-BFGS-B": coarse_to_fine,
    "FISTA": fista,
    "projected Barzilai-Borwein": barzilai_borwein,
}


def main(case="c-shape", limit="60", *names):
    influence, goals = CASES[case]()
    print(influence, flush=True)
    matrix = in_kernel_types(influence.matrix)
    problem = PlanProblem(matrix, make_terms(influence, goals))
    start = start_of(problem, influence.beams.n_columns)
    l_bfgs_b(5)(problem, start, Clock(0.0))  # compiles
    coordinate_descent(problem, start, Clock(0.0))
    clocks = {}
    for name, method in METHODS.items():
        if names and name not in names:
            continue
        clock = clocks[name] = Clock(float(limit))
        method(problem, start, clock)
        print(f"{name}: {clock.rows[-1]}", flush=True)
    best = min(row[0] for clock in clocks.values() for row in clock.rows)
    print(f"best objective {best:.5g}")
    for name, clock in clocks.items():
        cells = []
        for level in LEVELS:
            found = clock.to(best * (1 + level))
            cells.append("      -      " if found is None else f"{found[0]:5d} / {found[1]:6.1f}s")
        print(f"{name:34s}", " | ".join(cells), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
