"""Dose as a function of spot weights, positions, and the energy of each layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dosegrad.arrays import Array, IntArray
from dosegrad.beams.beam import Beams
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.engines.protocols import Stopping
from dosegrad.errors import PlanError
from dosegrad.influence._range_arrays import RangeTables
from dosegrad.influence._range_setup import prepare_ranges
from dosegrad.influence._spot_arrays import SpotField
from dosegrad.influence.dose_map import Pullback
from dosegrad.influence.spot_map import BeamSpots, SpotDoseMap, particle_machine, spots_by_beam

__all__ = ["LayerDoseMap", "layers_of"]

_BLOCKS = 16


@dataclass(frozen=True, slots=True, eq=False)
class LayerDoseMap:
    r"""Dose of spots whose positions are variables, and so are the energies of their layers.

    A layer is all spots of one energy in one beam. Its energy is a variable in terms of range: a
    layer shifted by :math:`\delta` mm of water does at depth t what its energy does at
    :math:`t - \delta`, which neighbouring energies do to a good approximation. Quantities between
    nodes of depth follow cubics, so that dose is smooth in :math:`\delta`.

    Variables are weights, then x, then y of all columns, as of
    :class:`~dosegrad.influence.spot_map.SpotDoseMap`, then the shift of each layer, mm, in the
    order of :func:`layers_of`. Make one with :meth:`of`.

    Parameters
    ----------
    spots
        The map at fixed energies, whose Gaussians are yet to be filled.
    tables
        Of each beam.
    layers
        Number of the layer of each column (n_columns,).
    n_layers
        Number of layers.
    """

    spots: SpotDoseMap
    tables: tuple[RangeTables, ...]
    layers: NDArray[np.int64]
    n_layers: int

    @classmethod
    def of(
        cls,
        medium: Stopping,
        beams: Beams,
        voxels: IntArray,
        *,
        max_range_shift: float,
        engine: PencilBeam | None = None,
        max_shift: float = 0.0,
    ) -> LayerDoseMap:
        """The map of ``beams`` on ``voxels``.

        Parameters
        ----------
        max_range_shift
            How far layers will move in depth, mm.
        medium, beams, voxels, engine, max_shift
            As of :meth:`SpotDoseMap.of <dosegrad.influence.spot_map.SpotDoseMap.of>`.
        """
        settings = PencilBeam() if engine is None else engine
        machine = particle_machine(beams)
        parts, tables = [], []
        for group in spots_by_beam(beams, max_shift):
            field, table, rows = prepare_ranges(
                *(medium, machine, beams[group.index], group.energies, voxels),
                box=group.box,
                max_range_shift=max_range_shift,
                cutoff=settings.lateral_cutoff,
                range_percent=settings.range_percent,
                range_mm=settings.range_mm,
            )
            parts.append(group.with_field(machine, field, rows))
            tables.append(table)
        spots = SpotDoseMap(beams.n_columns, len(voxels), tuple(parts))
        _, layers = layers_of(beams)
        return cls(spots, tuple(tables), layers, int(layers.max()) + 1)

    @property
    def n_columns(self) -> int:
        """Number of spots."""
        return self.spots.n_columns

    @property
    def n_voxels(self) -> int:
        """Number of dose values."""
        return self.spots.n_voxels

    @property
    def n_variables(self) -> int:
        """Three for each spot, weight, x and y, and one for each layer."""
        return self.spots.n_variables + self.n_layers

    def typical_shifts(self) -> Array:
        """Size of each spot (n_columns,) where its dose is highest, mm."""
        return self.spots.typical_shifts()

    def variables(self, beams: Beams, weights: Array) -> Array:
        """Variables (n_variables,) of spots where ``beams`` have them, layers not shifted."""
        return np.concatenate([self.spots.variables(beams, weights), np.zeros(self.n_layers)])

    def linearise(self, variables: Array) -> tuple[Array, Pullback]:
        """Dose (n_voxels,), Gy, at ``variables`` (n_variables,), and the pullback."""
        at, shifts = self._split(variables)
        shifted, slopes = self._shifted(shifts)
        dose, pull_spots = shifted.linearise(at)
        spots = np.ascontiguousarray(at.reshape(3, -1).T)

        def pullback(g: Array) -> Array:
            by_layer = np.zeros(self.n_layers)
            for beam, change in zip(shifted.beams, slopes, strict=True):
                found = np.zeros(beam.columns.size)
                _kernels().gather_ranges(
                    *(beam.field, change, beam.layers, spots[beam.columns]),
                    *(np.ascontiguousarray(g[beam.rows], dtype=np.float64), _BLOCKS, found),
                )
                by_layer += np.bincount(self.layers[beam.columns], found, self.n_layers)
            return np.concatenate([pull_spots(g), by_layer])

        return dose, pullback

    def matrices(self, variables: Array) -> tuple[csc_array, csc_array, csc_array]:
        """Dose per unit weight and its derivatives by x and y, of spots where they are."""
        at, shifts = self._split(variables)
        return self._shifted(shifts)[0].matrices(at)

    def _split(self, variables: Array) -> tuple[Array, Array]:
        given = np.asarray(variables, dtype=np.float64)
        if given.shape != (self.n_variables,):
            raise PlanError(
                f"variables of shape {given.shape} do not fit {self.n_columns} spots in "
                f"{self.n_layers} layers; give {self.n_variables} numbers: weights, then x, then "
                "y, then the shifts of layers."
            )
        return given[: self.spots.n_variables], given[self.spots.n_variables :]

    def _shifted(self, shifts: Array) -> tuple[SpotDoseMap, list[Array]]:
        """The map at fixed energies for shifted layers, and how its Gaussians change with them."""
        parts: list[BeamSpots] = []
        slopes: list[Array] = []
        for beam, tables in zip(self.spots.beams, self.tables, strict=True):
            field: SpotField = beam.field._replace(
                gaussians=np.zeros_like(beam.field.gaussians),
                limits=np.ones_like(beam.field.limits),
            )
            change = np.zeros((*field.limits.shape, field.gaussians.shape[2] + 1))
            mine = np.empty(field.stops.shape[0])
            mine[beam.layers] = shifts[self.layers[beam.columns]]
            _kernels().shift_layers(field, tables, mine, field.gaussians, field.limits, change)
            parts.append(replace(beam, field=field))
            slopes.append(change)
        return replace(self.spots, beams=tuple(parts)), slopes


def layers_of(beams: Beams) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Beam and energy of each layer, and the number of the layer of each column (n_columns,)."""
    keys = np.empty(beams.n_columns, dtype=[("beam", np.int64), ("energy", np.float64)])
    keys["beam"], keys["energy"] = beams.columns["beam"], beams.columns["energy"]
    found, numbers = np.unique(keys, return_inverse=True)
    return found, numbers.reshape(-1).astype(np.int64)


def _kernels() -> Any:
    from dosegrad.influence import _range_kernels

    return _range_kernels
