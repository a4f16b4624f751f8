"""Values of a volume at points, and volumes carried from one grid to another."""

from __future__ import annotations

from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform, map_coordinates
from scipy.sparse import csr_array

from dosegrad.arrays import Array, Volume
from dosegrad.errors import GeometryError
from dosegrad.geometry.grid import Grid

__all__ = ["interpolate", "resample", "resample_nearest"]

Label = TypeVar("Label", bound=np.generic)

# Faces of two grids closer than this, in voxels, are one face.
_SAME_FACE = 1e-9
# Samples a source voxel and axis where grids are turned, and the least and most a target voxel.
_SAMPLES_PER_VOXEL, _FEWEST_SAMPLES, _MOST_SAMPLES = 2.0, 3, 4


def interpolate(grid: Grid, values: Volume, points: ArrayLike, *, outside: float = 0.0) -> Array:
    """Trilinear values (...) of a volume at ``points`` (..., 3), (x, y, z) mm.

    Points farther than half a voxel outside the grid's voxel centres get ``outside``; those in
    the outermost half voxel take the value at the nearest centre.
    """
    _check_shape(values, grid)
    indices = grid.to_index(points)
    last = np.asarray(grid.shape) - 1.0
    within = ((indices >= -0.5 - 1e-9) & (indices <= last + 0.5 + 1e-9)).all(axis=-1)
    inner = np.clip(indices, 0.0, last)
    found = map_coordinates(
        values, inner.reshape(-1, 3).T, order=1, mode="nearest", output=np.float64
    )
    result: Array = np.where(within, found.reshape(inner.shape[:-1]), outside)
    return result


def resample(values: Volume, source: Grid, target: Grid, *, outside: float) -> Volume:
    r"""Means (z, y, x) of a volume over the voxels of another grid.

    .. math:: \bar v_i = \frac{1}{V_i} \sum_j V_{ij}\, v_j
        + \Bigl(1 - \frac{1}{V_i} \sum_j V_{ij}\Bigr)\, v_\mathrm{outside}

    with :math:`V_{ij}` the common volume of target voxel i and source voxel j. Constants are
    kept; so is the integral over the common box. Where the grids' axes are parallel (also flipped
    or exchanged) the overlaps are exact, one axis after another. Where they are turned, the
    source is interpolated at 27 to 64 points in each target voxel: constants are kept, the
    integral as well as the sampling allows.

    Parameters
    ----------
    values, source
        Volume (z, y, x) and its grid.
    target
        Grid of the result.
    outside
        Value where the source has none.

    Raises
    ------
    GeometryError
        If the volume does not lie on ``source``.

    Examples
    --------
    >>> fine = Grid(shape=(1, 1, 4), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
    >>> coarse = Grid(shape=(1, 1, 3), spacing=(1.0, 1.0, 2.0), origin=(0.5, 0.0, 0.0))
    >>> resample(np.array([[[1.0, 3.0, 5.0, 7.0]]]), fine, coarse, outside=0.0).tolist()
    [[[2.0, 6.0, 0.0]]]
    """
    _check_shape(values, source)
    volume = np.asarray(values, dtype=np.float64)
    axes = _parallel_axes(source, target)
    if axes is None:
        return _sampled_means(volume, source, target, outside)
    volume = volume.transpose(axes)
    faces = _target_faces(source, target, axes)
    covered = np.ones((1, 1, 1))
    for axis in range(3):
        overlap = _overlaps(faces[axis], volume.shape[axis])
        volume = _along_axis(overlap, volume, axis)
        share = overlap.sum(axis=1)
        covered = covered * np.expand_dims(share, tuple({0, 1, 2} - {axis}))
    if outside and (covered < 1.0).any():
        volume = volume + np.clip(1.0 - covered, 0.0, 1.0) * outside
    return np.array(volume, order="C")


def resample_nearest(
    values: NDArray[Label], source: Grid, target: Grid, *, outside: object = 0
) -> NDArray[Label]:
    """Labels (z, y, x) of the source voxels that hold the centres of the target's voxels.

    A voxel owns its lower faces and not its upper ones. The result has the type of ``values``;
    centres outside the source get ``outside``.

    Raises
    ------
    GeometryError
        If the labels do not lie on ``source``.
    """
    _check_shape(values, source)
    result = np.full(target.shape, outside, dtype=values.dtype)
    centres = np.indices((1, *target.shape[1:])).reshape(3, -1).T
    for slab in range(target.shape[0]):
        rows = centres + np.array([slab, 0, 0])
        position = source.to_index(target.to_point(rows)) + 0.5
        cells = np.floor(position + _SAME_FACE).astype(np.int64)
        within = ((cells >= 0) & (cells < source.shape)).all(axis=1)
        z, y, x = cells[within].T
        result[slab].reshape(-1)[within] = values[z, y, x]
    return result


def _check_shape(values: NDArray[Label], grid: Grid) -> None:
    if np.shape(values) != grid.shape:
        raise GeometryError(
            f"a volume of shape {np.shape(values)} does not lie on {grid}; give an array of shape "
            f"{grid.shape} (z, y, x)."
        )


def _parallel_axes(source: Grid, target: Grid) -> tuple[int, ...] | None:
    """For each target axis (z, y, x) the source axis parallel to it; None if grids are turned."""
    cosines = np.asarray(target.direction).T @ np.asarray(source.direction)
    cosines = np.abs(cosines[::-1, ::-1])
    if not np.allclose(cosines, np.round(cosines), atol=_SAME_FACE):
        return None
    return tuple(int(axis) for axis in cosines.argmax(axis=1))


def _target_faces(source: Grid, target: Grid, axes: tuple[int, ...]) -> list[Array]:
    """Faces of the target along its axes, in source voxels from the source's first face."""
    faces = []
    for axis, source_axis in enumerate(axes):
        n = target.shape[axis]
        indices = np.zeros((2, 3))
        indices[:, axis] = [-0.5, n - 0.5]
        first, last = source.to_index(target.to_point(indices))[:, source_axis] + 0.5
        along = first + (last - first) * np.arange(n + 1) / n
        whole = np.round(along)
        faces.append(np.where(np.abs(along - whole) < _SAME_FACE, whole, along))
    return faces


def _overlaps(faces: Array, n_source: int) -> csr_array:
    """Shares (n_target, n_source) of target cells, between ``faces``, in cells [j, j + 1]."""
    n_target = faces.size - 1
    rising = faces[-1] > faces[0]
    edges = faces if rising else faces[::-1]
    first, last = max(0.0, edges[0]), min(float(n_source), edges[-1])
    cuts = np.concatenate([edges, np.arange(n_source + 1.0)])
    cuts = np.unique(cuts[(cuts >= first) & (cuts <= last)])
    middle = (cuts[:-1] + cuts[1:]) / 2
    row = np.searchsorted(edges, middle, side="right") - 1
    share = np.diff(cuts) / np.diff(edges)[row]
    row = row if rising else n_target - 1 - row
    column = np.floor(middle).astype(np.int64)
    return csr_array((share, (row, column)), shape=(n_target, n_source))


def _along_axis(overlap: csr_array, volume: Array, axis: int) -> Array:
    """Product of a matrix with one axis of a volume."""
    first = np.moveaxis(volume, axis, 0)
    product_ = overlap @ first.reshape(first.shape[0], -1)
    result: Array = np.moveaxis(product_.reshape(-1, *first.shape[1:]), 0, axis)
    return result


def _sampled_means(values: Array, source: Grid, target: Grid, outside: float) -> Volume:
    """Means over target voxels from points on a lattice inside each, for turned grids."""
    counts = np.ceil(_SAMPLES_PER_VOXEL * np.asarray(target.spacing) / min(source.spacing))
    counts = np.clip(counts, _FEWEST_SAMPLES, _MOST_SAMPLES).astype(int)
    origin = source.to_index(target.to_point(np.zeros(3)))
    matrix = (source.to_index(target.to_point(np.eye(3))) - origin).T
    lattices = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
    present = np.ones(source.shape, dtype=np.uint8)
    total: Volume = np.zeros(target.shape)
    for place in product(*lattices):
        where = {
            "matrix": matrix,
            "offset": origin + matrix @ np.array(place),
            "output_shape": target.shape,
        }
        within = affine_transform(present, order=0, mode="grid-constant", cval=0, **where)
        found = affine_transform(values, order=1, mode="nearest", **where)
        total += np.where(within, found, outside)
    total /= counts.prod()
    return total
