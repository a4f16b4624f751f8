"""Tracing of beamlets in plain NumPy; the same entries as ``_tracing_kernels``."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dosegrad.arrays import Array
from dosegrad.engines.yoda._tracing_arrays import Entries, Lines, Scene

__all__ = ["trace"]

_SHORT = 1e-9  # mm


def trace(scene: Scene, lines: Lines, entries: Entries) -> None:
    """Write down what every line crosses, into ``entries``."""
    for line in range(len(lines.start)):
        crossed, used = 0.0, 0
        cuts = _cuts(scene, lines, line)
        for start, end in pairwise(cuts):
            if end - start < _SHORT:
                continue
            middle = 0.5 * (start + end)
            place = np.floor(lines.start[line] + middle * lines.direction[line]).astype(int)
            inside = ((place >= 0) & (place < scene.shape)).all()
            material, density = scene.outside_material, scene.outside_density
            if inside:
                flat = np.ravel_multi_index(tuple(place), tuple(scene.shape))
                material, density = int(scene.material[flat]), float(scene.density[flat])
            mass = 0.1 * density * (end - start)
            if crossed >= lines.most or mass <= 0:
                continue
            crossed += mass if inside else 0.0
            step = int(middle / lines.step)
            last = used - 1
            if used and (entries.step[line, last], entries.material[line, last]) == (
                step,
                material,
            ):
                entries.mass[line, last] += mass
                continue
            entries.step[line, used], entries.material[line, used] = step, material
            entries.mass[line, used] = mass
            used += 1
        entries.used[line] = used


def _cuts(scene: Scene, lines: Lines, line: int) -> Array:
    """Distances, ascending, at which a line crosses faces of voxels or begins a step."""
    length = lines.step * lines.n_steps
    found = [lines.step * np.arange(lines.n_steps + 1)]
    for axis in range(3):
        d = lines.direction[line, axis]
        if abs(d) > 1e-12:
            planes = np.arange(scene.shape[axis] + 1.0)
            found.append((planes - lines.start[line, axis]) / d)
    cuts = np.sort(np.concatenate(found))
    return np.asarray(cuts[(cuts >= 0) & (cuts <= length + _SHORT)])
