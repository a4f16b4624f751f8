"""From the fluence of bixels to whole levels under leaf pairs, nearest in dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import fft

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.beams.beam import Beams
from dosegrad.engines.photon_kernel.model import convolved_bixel, depth_components
from dosegrad.errors import PlanError
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.photon import PhotonMachine
from dosegrad.optimisation.sequencing.shapes import Levels

__all__ = ["LeafRaster", "Quantised", "leaf_raster", "overlap_of_doses", "quantise"]

#: Where doses of bixels are compared: depth in water, mm, and distance beyond a bixel, mm.
_DEPTH: Final = 100.0
_REACH: Final = 30.0
#: Highest levels that are tried, as shares of the highest fluence.
_TOPS: Final = (1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.22, 0.17, 0.13, 0.1)
#: What a difference of neighbouring levels counts, relative to the dose of one by itself.
_SMOOTHNESS: Final = 0.1
#: Rounds of moving levels and fitting their step, and moves for each level in one of them.
_ROUNDS: Final = 6
_MOST_MOVES: Final = 20
#: Bixels must lie on their lattice to this, mm.
_ON_LATTICE: Final = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class LeafRaster:
    """Bixels of one beam under leaf pairs.

    Parameters
    ----------
    columns
        Numbers of the beam's columns (n,), among all.
    places
        Row and column (n, 2) of each on the lattice of bixels.
    shares
        Share of each row of bixels (bixel rows, leaf rows) that lies under each pair.
    pairs
        Numbers of the leaf pairs (leaf rows,).
    x_edges
        Edges of the columns, mm, (n_columns + 1,).
    width
        Side of a bixel, mm.
    """

    columns: IntArray
    places: IntArray
    shares: Array
    pairs: IntArray
    x_edges: Array
    width: float

    @property
    def shape(self) -> tuple[int, int]:
        """Leaf rows and columns."""
        return self.pairs.size, self.x_edges.size - 1

    @property
    def may_open(self) -> BoolArray:
        """Where (leaf rows, columns) there is a bixel."""
        held = np.zeros((self.shares.shape[0], self.shape[1]))
        held[self.places[:, 0], self.places[:, 1]] = 1.0
        there: BoolArray = self.shares.T @ held > 0.0
        return there

    def fluence_of(self, levels: Array | Levels) -> Array:
        """Fluence (n,) of the bixels under leaf rows of ``levels`` (leaf rows, columns)."""
        rows: Array = self.shares @ levels
        found: Array = rows[self.places[:, 0], self.places[:, 1]]
        return found


def leaf_raster(beams: Beams, index: int, collimator: MultileafCollimator) -> LeafRaster:
    """The raster of one beam.

    Raises
    ------
    PlanError
        If bixels differ in width, lie on no common lattice, or beside all leaves.
    """
    part = beams.columns_of(index)
    columns = beams.columns[part]
    width = float(columns["size"][0]) if columns.size else 0.0
    if not columns.size or not np.allclose(columns["size"], width) or width <= 0.0:
        raise PlanError(
            f"bixels of the beam at gantry {beams[index].gantry:g}° must have one width; steer it "
            "with bixel=5.0."
        )
    x, column = _lattice(columns["x"], width)
    y, row = _lattice(columns["y"], width)
    sides = collimator.boundaries
    low = np.maximum(y[:, None] - 0.5 * width, sides[:-1])
    high = np.minimum(y[:, None] + 0.5 * width, sides[1:])
    shares = np.maximum(high - low, 0.0) / width
    shares[shares < _ON_LATTICE / width] = 0.0
    pairs = np.flatnonzero(shares.any(axis=0))
    if pairs.size == 0 or not np.allclose(shares.sum(axis=1), 1.0, atol=_ON_LATTICE):
        raise PlanError(
            f"bixels of the beam at gantry {beams[index].gantry:g}° lie beside the leaves, which "
            f"reach from {sides[0]:g} to {sides[-1]:g} mm; use a smaller field."
        )
    return LeafRaster(
        columns=np.arange(part.start, part.stop),
        places=np.stack([row, column], axis=1).astype(np.int64),
        shares=shares[:, pairs[0] : pairs[-1] + 1],
        pairs=np.arange(pairs[0], pairs[-1] + 1),
        x_edges=np.append(x - 0.5 * width, x[-1] + 0.5 * width),
        width=width,
    )


def _lattice(values: Array, pitch: float) -> tuple[Array, IntArray]:
    """Middles of all cells from the lowest to the highest value, and the cell of each value."""
    steps = (values - values.min()) / pitch
    cells = np.round(steps).astype(np.int64)
    if np.abs(steps - cells).max() * pitch > _ON_LATTICE:
        raise PlanError(
            "bixels lie on no common lattice of their width, so that no leaves can open them; "
            "steer the beam again."
        )
    return values.min() + pitch * np.arange(cells.max() + 1), cells


def overlap_of_doses(machine: PhotonMachine, width: float, reach: int) -> Array:
    r"""How alike the doses of two bixels are (reach + 1, reach + 1), by their distance in bixels.

    .. math:: h(i, j) = \int D(x, y)\, D(x + i w, y + j w)\, dx\, dy

    with D the dose in the plane at 10 cm depth in water. Relative to ``h(0, 0)``.
    """
    ssd = float(np.clip(machine.sad - _DEPTH, machine.ssds[0], machine.ssds[-1]))
    bixel = convolved_bixel(machine, ssd, width, 0.5 * width + _REACH)
    plane = bixel.values @ depth_components(machine, np.array([_DEPTH]))[0]
    half = plane if bixel.first > 0 else plane[1:, 1:]
    if bixel.first > 0:
        whole = np.block([[half[::-1, ::-1], half[::-1]], [half[:, ::-1], half]])
    else:
        edge = plane[0, 1:]
        middle = np.concatenate([edge[::-1], plane[0, :1], edge])
        right = np.vstack([half[::-1], edge, half])
        whole = np.hstack([right[:, ::-1], middle[:, None], right])
    size = fft.next_fast_len(2 * len(whole), real=True)
    alike = fft.irfft2(np.abs(fft.rfft2(whole, s=(size, size))) ** 2, s=(size, size))
    places = np.round(np.arange(reach + 1) * width / machine.raster).astype(int)
    near = places < len(whole)
    found = np.zeros((reach + 1, reach + 1))
    found[np.ix_(near, near)] = alike[np.ix_(places[near], places[near])]
    relative: Array = found / alike[0, 0]
    return relative


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """Whole levels (leaf rows, columns), and the MU of one; ``error`` of the dose, squared."""

    levels: Levels
    step: float
    error: float


def quantise(raster: LeafRaster, fluence: Array, alike: Array, n_levels: int) -> Quantised:
    r"""Levels whose dose is nearest to that of a fluence.

    .. math:: \min_{s,\, L_k \in \{0..n\}} \|B\,(f - s\,P L)\|^2
       + \lambda s^2 \sum_{j \sim k} (L_j - L_k)^2

    f the fluence of the bixels, P which share of each lies under which leaf, and B the blur from
    fluence to dose, whose square ``alike`` tells. Rounding one bixel up is thus made good by its
    neighbours, and a needle that no level reaches is spread over them. The second term, of small
    weight, chooses among fluences of nearly the same dose one that takes fewer MU. Several highest
    levels are tried; for each, the level that helps most moves while one does, and s is the best
    for them.

    Parameters
    ----------
    raster
        Where bixels and leaves are.
    fluence
        Of the bixels (n,), MU; may be negative where leakage is to be made good.
    alike
        From :func:`overlap_of_doses`.
    n_levels
        Highest level.
    """
    opened = np.flatnonzero(raster.may_open.ravel())
    rows, columns = np.divmod(opened, raster.shape[1])
    steps = np.abs(raster.places[:, None] - raster.places)
    between = alike[steps[..., 0], steps[..., 1]]
    # which share of each bixel lies under each cell that may open
    under = raster.shares[raster.places[:, :1], rows] * (raster.places[:, 1:] == columns)
    curvature = under.T @ between @ under
    goal = under.T @ (between @ fluence)
    beside = np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns) == 1
    curvature = curvature + _SMOOTHNESS * (np.diag(beside.sum(axis=1)) - beside)
    constant = float(fluence @ between @ fluence)
    weights = under.sum(axis=0)
    start = np.maximum(under.T @ fluence, 0.0) / np.maximum(weights, 1e-12)
    best = Quantised(np.zeros(raster.shape, dtype=np.int64), 0.0, constant)
    for top in _TOPS:
        step = top * float(start.max(initial=0.0)) / n_levels
        if step <= 0.0:
            break
        found, step = _descend(curvature, goal, start, step, n_levels)
        moved = float(found @ curvature @ found)
        error = constant - 2.0 * step * float(found @ goal) + step**2 * moved
        if error < best.error:
            levels = np.zeros(raster.shape, dtype=np.int64)
            levels.ravel()[opened] = found
            best = Quantised(levels, step, error)
    return best


def _descend(
    curvature: Array, goal: Array, start: Array, step: float, n_levels: int
) -> tuple[Array, float]:
    """Levels (n,) that no change of a single one improves, and the best step for them."""
    found = np.clip(np.round(start / step), 0, n_levels)
    diagonal = np.diag(curvature)
    for _ in range(_ROUNDS):
        slope = step * (curvature @ found) - goal
        n_moves = 0
        while n_moves < _MOST_MOVES * found.size:
            change = np.round(found - slope / (step * diagonal)).clip(0, n_levels) - found
            gain = -change * (slope + 0.5 * step * change * diagonal)
            k = int(gain.argmax())
            if gain[k] <= 0.0:
                break
            found[k] += change[k]
            slope += step * change[k] * curvature[:, k]
            n_moves += 1
        moved = float(found @ curvature @ found)
        if moved <= 0.0:
            break
        step = max(float(found @ goal) / moved, 1e-12)
        if n_moves == 0:
            break
    return found, step
