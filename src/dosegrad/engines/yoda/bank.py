"""Solves that paths read at their water-equivalent depths, kept for responses.

The range frame and the energy grid solve once for each class of paths of one beam quality whose
materials stop alike; the fast mode has its solves in water. A path keeps its solve when the anatomy
changes: what a beam leaves depends on the water-equivalent depth, hardly on what made it up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.yoda._march_arrays import Layers, Record, Slowing
from dosegrad.engines.yoda._response_arrays import HALOS, Bank
from dosegrad.engines.yoda.secondaries import water_secondaries
from dosegrad.engines.yoda.wet import Solved, refine_paths, solved_along

__all__ = ["Solver", "make_bank", "solve_classes"]

# Of each step of a path that is solved: the energy left is linear in between, and its slope, the
# dose, jumps from part to part.
_PARTS = 10
_SAME = 1e-9  # mm, of depths that count as one


@dataclass(frozen=True, slots=True)
class Solver:
    """How the classes of paths are solved.

    ``march`` turns layers and their slowing down into what beams leave; ``slow_down`` slows
    layers down.
    """

    march: Callable[[Layers, Slowing], Record]
    slow_down: Callable[[Layers], Slowing]


def solve_classes(solver: Solver, layers: Layers) -> list[Solved]:
    """Solves along paths, those that lead their classes."""
    every = np.arange(layers.family.size)
    refined = refine_paths(layers, every, _PARTS)
    slowing = solver.slow_down(refined)
    record = solver.march(refined._replace(mass=slowing.mass), slowing)
    sums = np.cumsum(slowing.excess, axis=1)
    found = []
    for row in every.tolist():
        known = np.append(0.0, sums[row])
        excess = np.interp(record.depth[row], slowing.depth[row], known)
        found.append(solved_along(record, row, slowing.scattering[row], excess))
    return found


def make_bank(
    solves: list[Solved], energies: tuple[float, ...], *, nuclear: bool, water_i_value: float
) -> Bank:
    """Solves and the secondaries of the beam qualities as the kernels of responses want them."""
    rows = [_rows(solve) for solve in solves] or [(np.zeros(0), np.zeros((0, 4)))]
    depths, values = zip(*rows, strict=True)
    tables = [water_secondaries(e, water_i_value) for e in energies] if nuclear else []
    halo_depth, halo = np.zeros((0, 1)), np.zeros((0, 1, HALOS + 1))
    if tables:
        halo_depth = np.stack([t.depth for t in tables])
        halo = np.ascontiguousarray([np.vstack([t.core, t.halo]).T for t in tables])
    return Bank(
        first=np.concatenate([[0], np.cumsum([d.size for d in depths])]).astype(np.int64),
        depth=np.concatenate(depths),
        middle=np.concatenate([np.append(0.5 * (d[1:] + d[:-1]), np.inf) for d in depths]),
        values=np.concatenate(values),
        halo_depth=halo_depth,
        halo=halo,
    )


def _rows(solve: Solved) -> tuple[Array, Array]:
    """Depths (n,) that rise, at least two, and values (n, 4) of one solve."""
    kept = np.flatnonzero(np.append(True, np.diff(solve.depth) > _SAME))
    energy = solve.carried + solve.absorbed
    values = np.stack([energy, solve.number, solve.excess, np.append(solve.power, 0.0)], axis=1)
    found = values[kept]
    found[-1, :3] = values[-1, :3]  # paths may end in steps that lead nowhere
    depth = solve.depth[kept]
    if kept.size == 1:  # a path through nothing, as of beamlets beside the patient
        return np.append(depth, depth + 1.0), np.repeat(found, 2, axis=0)
    return depth, found
