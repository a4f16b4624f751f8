"""Compiled tracing of beamlets through voxels; ``_tracing_reference`` holds it in plain NumPy.

A beamlet is cut into steps of equal length from its start. What it crosses is written down step by
step as mass depth per material; neighbouring voxels of one material in one step share an entry.
Crossings of voxel faces are computed from the number of the plane, so errors do not grow. Source:
Siddon 1985, Med. Phys. 12, 252 [Siddon1985]_; the march is that of Amanatides and Woo 1987,
Eurographics 87, 3 [Amanatides1987]_.
"""

from __future__ import annotations

from math import floor

import numpy as np

from dosegrad.arrays import Array
from dosegrad.compiled import kernel, parallel_kernel, prange
from dosegrad.engines.yoda._tracing_arrays import Entries, Lines, Scene

__all__ = ["spread", "trace"]

#: A ray that moves less than this along an axis, in voxels per mm, counts as parallel to it.
_PARALLEL = 1e-12


@kernel
def _limits(scene: Scene, lines: Lines, line: int) -> tuple[float, float]:
    """Distances at which a line enters and leaves the voxels; equal if it misses them."""
    first, last = 0.0, lines.step * lines.n_steps
    for axis in range(3):
        u, d = lines.start[line, axis], lines.direction[line, axis]
        size = scene.shape[axis]
        if abs(d) < _PARALLEL:
            if not 0.0 <= u < size:
                return 0.0, 0.0
            continue
        near, far = -u / d, (size - u) / d
        if d < 0.0:
            near, far = far, near
        first, last = max(first, near), min(last, far)
    return first, max(first, last)


@kernel
def _add(entries: Entries, line: int, at: int, step: int, material: int, mass: float) -> int:
    """Number of entries of a line after this one, which may join the one before."""
    if mass <= 0.0:
        return at
    if at > 0 and entries.step[line, at - 1] == step and entries.material[line, at - 1] == material:
        entries.mass[line, at - 1] += mass
        return at
    entries.step[line, at] = step
    entries.material[line, at] = material
    entries.mass[line, at] = mass
    return at + 1


@kernel
def _fill(
    scene: Scene, lines: Lines, entries: Entries, line: int, at: int, start: float, end: float
) -> int:
    """Entries of the surroundings between two distances."""
    if scene.outside_density <= 0.0:
        return at
    position = start
    while position < end - 1e-9:
        step = floor(position / lines.step + 1e-9)
        following = min((step + 1) * lines.step, end)
        mass = 0.1 * scene.outside_density * (following - position)
        at = _add(entries, line, at, step, scene.outside_material, mass)
        position = following
    return at


@kernel
def _trace_line(scene: Scene, lines: Lines, entries: Entries, line: int) -> None:
    """All entries of one line, until it has crossed ``lines.most`` g/cm2 or has no steps left."""
    first, last = _limits(scene, lines, line)
    length = lines.step * lines.n_steps
    if last - first < 1e-9:
        entries.used[line] = _fill(scene, lines, entries, line, 0, 0.0, length)
        return
    at = _fill(scene, lines, entries, line, 0, 0.0, first)
    voxel, stride = np.zeros(3, np.int64), np.zeros(3, np.int64)
    following = np.full(3, np.inf)
    for axis in range(3):
        u, d = lines.start[line, axis], lines.direction[line, axis]
        size = scene.shape[axis]
        inside = u + (first + 1e-9) * d if abs(d) >= _PARALLEL else u
        voxel[axis] = min(max(floor(inside), 0), size - 1)
        if d > _PARALLEL:
            stride[axis] = 1
            following[axis] = (voxel[axis] + 1 - u) / d
        elif d < -_PARALLEL:
            stride[axis] = -1
            following[axis] = (voxel[axis] - u) / d
    position, crossed = first, 0.0
    step = floor(first / lines.step + 1e-9)
    while position < last - 1e-9 and crossed < lines.most:
        axis = int(np.argmin(following))
        until = min(following[axis], last, (step + 1) * lines.step)
        flat = (voxel[0] * scene.shape[1] + voxel[1]) * scene.shape[2] + voxel[2]
        mass = 0.1 * scene.density[flat] * (until - position)
        if until - position > 1e-9:
            at = _add(entries, line, at, step, scene.material[flat], mass)
            crossed += mass
        position = until
        if following[axis] <= until:
            voxel[axis] += stride[axis]
            if not 0 <= voxel[axis] < scene.shape[axis]:
                break
            edge = voxel[axis] + (1 if stride[axis] > 0 else 0)
            following[axis] = (edge - lines.start[line, axis]) / lines.direction[line, axis]
        if until >= (step + 1) * lines.step - 1e-9:
            step += 1
    if crossed < lines.most:
        at = _fill(scene, lines, entries, line, at, last, length)
    entries.used[line] = at


@parallel_kernel
def trace(scene: Scene, lines: Lines, entries: Entries) -> None:
    """Write down what every line crosses, into ``entries``."""
    for line in prange(lines.start.shape[0]):
        _trace_line(scene, lines, entries, line)


@kernel
def _spread_line(
    scene: Scene, lines: Lines, entries: Entries, line: int, by_mass: Array, out: Array
) -> None:
    """Give the gradient by the entries of one line to the voxels that made them."""
    first, last = _limits(scene, lines, line)
    if last - first < 1e-9:
        return
    voxel, stride = np.zeros(3, np.int64), np.zeros(3, np.int64)
    following = np.full(3, np.inf)
    for axis in range(3):
        u, d = lines.start[line, axis], lines.direction[line, axis]
        size = scene.shape[axis]
        inside = u + (first + 1e-9) * d if abs(d) >= _PARALLEL else u
        voxel[axis] = min(max(floor(inside), 0), size - 1)
        if d > _PARALLEL:
            stride[axis] = 1
            following[axis] = (voxel[axis] + 1 - u) / d
        elif d < -_PARALLEL:
            stride[axis] = -1
            following[axis] = (voxel[axis] - u) / d
    position, at = first, 0
    step = floor(first / lines.step + 1e-9)
    while position < last - 1e-9:
        axis = int(np.argmin(following))
        until = min(following[axis], last, (step + 1) * lines.step)
        flat = (voxel[0] * scene.shape[1] + voxel[1]) * scene.shape[2] + voxel[2]
        if until - position > 1e-9 and scene.density[flat] > 0.0:
            while at < entries.used[line] and (
                entries.step[line, at] < step
                or (
                    entries.step[line, at] == step
                    and entries.material[line, at] != scene.material[flat]
                )
            ):
                at += 1
            if at >= entries.used[line]:
                return
            if entries.step[line, at] == step:
                out[flat] += 0.1 * (until - position) * by_mass[line, at]
        position = until
        if following[axis] <= until:
            voxel[axis] += stride[axis]
            if not 0 <= voxel[axis] < scene.shape[axis]:
                break
            edge = voxel[axis] + (1 if stride[axis] > 0 else 0)
            following[axis] = (edge - lines.start[line, axis]) / lines.direction[line, axis]
        if until >= (step + 1) * lines.step - 1e-9:
            step += 1


@parallel_kernel
def spread(scene: Scene, lines: Lines, entries: Entries, by_mass: Array, maps: Array) -> None:
    """Add the gradient by densities, per g/cm3, to ``maps`` (parts, n_voxels).

    ``by_mass`` (lines, entries): gradient by the mass depth of each entry.
    """
    parts = maps.shape[0]
    for part in prange(parts):
        for line in range(part, lines.start.shape[0], parts):
            _spread_line(scene, lines, entries, line, by_mass, maps[part])
