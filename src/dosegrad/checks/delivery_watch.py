"""A delivery followed layer by layer: what each layer's deviations do to the dose, at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, BoolArray, IntArray
from dosegrad.beams.deliveries import DELIVERED_DTYPE, match_spots, nearest_energies
from dosegrad.checks.spot_deviations import DeliveryTolerances, beam_numbers, planned_spots
from dosegrad.errors import PlanError
from dosegrad.influence.build import choose_grid, choose_voxels, prepare_medium
from dosegrad.influence.spot_map import SpotDoseMap
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan

__all__ = ["DeliveryWatch", "LayerChange"]

#: Changes of the mean dose of a structure below this are rounding, Gy.
_NOTHING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class LayerChange:
    """One delivered layer against its plan.

    Parameters
    ----------
    beam, layer, energy
        Number of the beam, count of the layer as recorded, and its nominal energy, MeV or MeV/u.
    n_spots
        Delivered spots.
    mean_shift, largest_shift
        Distance of spots from their places, mm.
    mu_planned, mu_delivered
        Meterset of the layer in this fraction.
    dose_changes
        Delivered minus planned mean dose by structure, Gy in this fraction.
    largest_change
        Largest change of the dose in any voxel, Gy in this fraction.
    total_changes
        ``dose_changes`` of all layers so far, this one included.
    flags
        What is out of tolerance.
    seconds
        Time that the prediction took.
    """

    beam: int
    layer: int
    energy: float
    n_spots: int
    mean_shift: float
    largest_shift: float
    mu_planned: float
    mu_delivered: float
    dose_changes: Mapping[str, float]
    largest_change: float
    total_changes: Mapping[str, float]
    flags: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As what JSON knows; deviations are null if no spot of the layer was planned."""
        mean, largest = self.mean_shift, self.largest_shift
        return {
            "beam": self.beam,
            "layer": self.layer,
            "energy_mev": self.energy,
            "n_spots": self.n_spots,
            "mean_deviation_mm": mean if np.isfinite(mean) else None,
            "largest_deviation_mm": largest if np.isfinite(largest) else None,
            "meterset_planned": self.mu_planned,
            "meterset_delivered": self.mu_delivered,
            "mean_changes_gy": dict(self.dose_changes),
            "largest_change_gy": self.largest_change,
            "total_changes_gy": dict(self.total_changes),
            "flags": list(self.flags),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        worst = max(self.dose_changes.items(), key=lambda pair: abs(pair[1]), default=("", 0.0))
        words = (
            f"beam {self.beam} layer {self.layer} ({self.energy:g} MeV): {self.n_spots} spots, "
            f"{self.mean_shift:.2f} mm off on average, {self.largest_shift:.2f} mm at most; "
            f"{self.mu_delivered:.5g} of {self.mu_planned:.5g} MU; mean dose of {worst[0]} "
            f"{1000 * worst[1]:+.2f} mGy"
        )
        return words + "".join(f"; OUT OF TOLERANCE: {flag}" for flag in self.flags)


@dataclass(slots=True, eq=False)
class DeliveryWatch:
    """Predicts the dose change of each layer of a fraction as soon as it is delivered.

    Prepared once before the delivery: ray tracing and depths of all beams. A layer then costs the
    dose of its own spots, where they went less where they should have gone, by the pencil beam
    with movable spots; nothing is linearised.

    Parameters
    ----------
    patient, plan
        Who is treated, and how.
    tolerances
        When to flag a layer.
    structures
        Whose voxels count; by default all targets and organs.

    Raises
    ------
    PlanError
        If the patient has no structure to watch.
    """

    patient: Patient
    plan: Plan
    tolerances: DeliveryTolerances = field(default_factory=DeliveryTolerances)
    structures: Sequence[str] = ()
    _map: SpotDoseMap = field(init=False)
    _planned: NDArray[Any] = field(init=False)
    _rows: dict[str, IntArray] = field(init=False)
    _totals: dict[str, float] = field(init=False)
    _seen: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        names = list(self.structures) or [
            name for name, s in self.patient.structures.items() if s.role != "external"
        ]
        if not names:
            raise PlanError(
                "the patient has neither target nor organ whose dose could be watched; add one."
            )
        grid = choose_grid(
            self.patient, grid=None if self.plan.dose is None else self.plan.dose.grid
        )
        voxels = choose_voxels(self.patient, grid, names)
        medium: Any = prepare_medium(self.patient, grid, _SEES_WATER)
        self._map = SpotDoseMap.of(medium, self.plan.beams, voxels, max_shift=10.0)
        self._planned = planned_spots(self.plan)
        self._seen = np.zeros(self._planned.size, dtype=bool)
        masks = {name: self.patient.structures[name].mask(grid).ravel()[voxels] for name in names}
        self._rows = {name: np.flatnonzero(mask) for name, mask in masks.items() if mask.any()}
        self._totals = dict.fromkeys(self._rows, 0.0)

    def layer(self, spots: NDArray[Any]) -> LayerChange:
        """What the delivered ``spots`` of one layer change.

        Parameters
        ----------
        spots
            Structured array (n,) of :data:`~dosegrad.beams.deliveries.DELIVERED_DTYPE`, all of one
            beam and layer.

        Raises
        ------
        PlanError
            If they belong to no layer of the plan.
        """
        start = time.perf_counter()
        delivered = np.asarray(spots, dtype=DELIVERED_DTYPE)
        mine = self._planned_layer(delivered)
        planned = self._planned[mine]
        found, missing = match_spots(planned, delivered)
        known = found >= 0
        self._seen[mine[found[known]]] = True
        change = self._dose_change(mine, planned, delivered[known], found[known])
        changes = {name: float(change[rows].mean()) for name, rows in self._rows.items()}
        for name, value in changes.items():
            self._totals[name] += value
        shifts = np.hypot(
            delivered["x"][known] - planned["x"][found[known]],
            delivered["y"][known] - planned["y"][found[known]],
        )
        weights = delivered["mu"][known].astype(float)
        got = np.zeros(planned.size)
        np.add.at(got, found[known], weights)
        return LayerChange(
            beam=int(delivered["beam"][0]),
            layer=int(delivered["layer"][0]),
            energy=float(delivered["energy"][0]),
            n_spots=int(delivered.size),
            mean_shift=float(shifts.mean()) if shifts.size else float("nan"),
            largest_shift=float(shifts.max()) if shifts.size else float("nan"),
            mu_planned=float(planned["mu"].sum()),
            mu_delivered=float(delivered["mu"].sum()),
            dose_changes=changes,
            largest_change=float(np.abs(change).max(initial=0.0)),
            total_changes=dict(self._totals),
            flags=self._flags(planned, got, shifts, missing, delivered["mu"][~known]),
            seconds=time.perf_counter() - start,
        )

    def split(self, spots: NDArray[Any]) -> list[NDArray[Any]]:
        """Spots in their order, cut where beam, layer or planned energy change.

        The last part may go on; without spots it is the only one, and empty.
        """
        if spots.size == 0:
            return [spots]
        energies = np.nan_to_num(nearest_energies(self._planned, spots), nan=-1.0)
        keys = np.column_stack([spots["beam"], spots["layer"], energies])
        return np.split(spots, np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1)

    def missing(self) -> str:
        """What was planned and not delivered in any layer so far, in words; empty if nothing."""
        left = self._planned[~self._seen & (self._planned["mu"] > 0)]
        if not left.size:
            return ""
        layers = np.unique(np.column_stack([left["beam"], left["energy"]]), axis=0)
        return (
            f"{left.size} planned spots of {len(layers)} layers were not delivered, "
            f"{left['mu'].sum():.5g} of {self._planned['mu'].sum():.5g} MU"
        )

    def _planned_layer(self, delivered: NDArray[Any]) -> IntArray:
        """Columns of the plan that are the layer of these spots."""
        if delivered.size == 0:
            raise PlanError("a layer without any delivered spot cannot be judged.")
        beam = self._planned["beam"] == delivered["beam"][0]
        if not beam.any():
            known = ", ".join(str(number) for number in beam_numbers(self.plan))
            raise PlanError(
                f"the record names beam {delivered['beam'][0]}, the plan has {known}; it is the "
                "record of another plan."
            )
        off = np.abs(self._planned["energy"] - float(np.median(delivered["energy"])))
        nearest = float(off[beam].min())
        return np.flatnonzero(beam & (off <= nearest + 1e-6))

    def _dose_change(
        self, mine: IntArray, planned: NDArray[Any], delivered: NDArray[Any], found: IntArray
    ) -> Array:
        """Dose of the delivered spots minus that of the planned ones, Gy in one fraction."""
        weights = self.plan.weights[mine] / self.plan.fractions
        per_mu = np.divide(weights, planned["mu"], out=np.zeros_like(weights), where=weights > 0)
        got = np.bincount(found, weights=delivered["mu"], minlength=planned.size)
        spots = np.column_stack([weights, planned["x"], planned["y"]])
        before = self._map.dose_of(mine, spots)
        for axis, name in enumerate(("x", "y"), start=1):
            moved = np.bincount(
                found, weights=delivered["mu"] * delivered[name], minlength=got.size
            )
            np.divide(moved, got, out=spots[:, axis], where=got > 0)
        spots[:, 0] = got * per_mu
        change = self._map.dose_of(mine, spots) - before
        return np.where(np.abs(change) < _NOTHING, 0.0, change)

    def _flags(
        self, planned: NDArray[Any], got: Array, shifts: Array, missing: IntArray, extra: Array
    ) -> tuple[str, ...]:
        limits, flags = self.tolerances, []
        n_missing = int(np.count_nonzero(planned["mu"][missing] > 0))
        if n_missing:
            flags.append(f"{n_missing} spots missing")
        if extra.size:
            flags.append(
                f"{extra.size} spots not planned, {extra.sum():.5g} MU that the change of the dose "
                "lacks"
            )
        if shifts.size and shifts.max() > limits.any_position:
            flags.append(f"a spot is {shifts.max():.2f} mm off")
        if shifts.size and shifts.mean() > limits.mean_position:
            flags.append(f"spots are {shifts.mean():.2f} mm off on average")
        off = np.abs(got - planned["mu"])
        wrong = (off > limits.mu) & (off > limits.mu_percent / 100 * planned["mu"])
        wrong[missing] = False
        if wrong.any():
            flags.append(f"{np.count_nonzero(wrong)} spots with a wrong meterset")
        return tuple(flags)


class _SeesWater:
    """Stands for an engine that tissue is water to."""

    outside_body = "air"
    sees_only_water = True


_SEES_WATER: Final = _SeesWater()
