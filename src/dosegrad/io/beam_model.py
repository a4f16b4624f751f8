r"""Machines from beam models of Monte Carlo users: a table of one beam per nominal energy.

A row holds nominal energy, mean energy and its standard deviation (MeV), protons per MU, and the
phase space on a plane upstream of the isocentre: spot sigma (mm), divergence (rad) and their
correlation, in x and y. From there the spot grows as

.. math:: \sigma^2(d) = \sigma_0^2 + 2\rho\sigma_0\sigma'd + \sigma'^2 d^2

and by scattering in air. The machine keeps both axes as its phase space, which the deterministic
engine transports; spots of the pencil beam are round and take their average. Depth doses come from
the solver that also makes the generic machine.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import FileFormatError, MachineError
from dosegrad.machine.monitor import Monitor
from dosegrad.machine.particle import ParticleMachine

if TYPE_CHECKING:
    from dosegrad.engines.yoda.range_frame import WaterTables

__all__ = ["BeamModel", "read_beam_model", "read_beam_model_table"]

_N_COLUMNS: Final = 10
_MAX_BYTES: Final = 20_000_000
_AIR_REACH: Final = 1200.0  # mm behind the plane of the model to which the spot is tabulated
_LAYER_SPACING: Final = 5.0  # mm of range between energies where none are named


@dataclass(frozen=True, slots=True, eq=False)
class BeamModel:
    """The table of a beam model; ``rows`` (n, 10) ascend by nominal energy.

    ``distance`` is that of the model's plane from the isocentre, mm, upstream.
    """

    name: str
    distance: float
    rows: Array

    def __repr__(self) -> str:
        return f"BeamModel({self.name!r}, {len(self.rows)} energies, at {self.distance:g} mm)"

    @property
    def monitor(self) -> Monitor:
        """Nominal energies, mean energies and protons per MU."""
        return Monitor(self.rows[:, 0], self.rows[:, 1], self.rows[:, 3])

    def at(self, nominal: float) -> Array:
        """The row (10,) of a nominal energy, linear between those of the table."""
        self.monitor.energy(nominal)  # raises where the table does not reach
        columns = self.rows.T
        row: Array = np.array([np.interp(nominal, columns[0], column) for column in columns])
        return row


def read_beam_model_table(path: str | Path) -> BeamModel:
    """The table of a beam model file (``.csv``), without any base data.

    Raises
    ------
    FileFormatError
        If the file is no such table or holds what cannot be.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise FileFormatError(f"{file.name}: too large for a beam model; give its table.")
        content = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileFormatError(
            f"beam model {file.name!r} cannot be opened ({error.strerror}); check the path."
        ) from None
    rows, distance = _parse(content, file)
    try:
        model = BeamModel(file.stem, distance, rows)
        _ = model.monitor
    except MachineError as error:
        raise FileFormatError(f"beam model {file.name!r}: {error}") from None
    return model


def read_beam_model(
    path: str | Path, *, energies: Sequence[float] | None = None, sad: float | None = None
) -> ParticleMachine:
    """The machine of a beam model file, with base data computed for its energies.

    Takes about half a second for each energy.

    Parameters
    ----------
    path
        The table (``.csv``).
    energies
        Nominal energies, MeV, that the machine shall have; by default steps of range of 5 mm over
        the table. Reading a plan asks for those of the plan.
    sad
        Virtual source to isocentre, mm, which the table does not hold; ``None`` for parallel
        beams. A plan that states it goes first.

    Raises
    ------
    FileFormatError
        If the file is no such table.
    EnergyError
        If an energy is outside the table.
    """
    from dosegrad.commissioning.generic_protons import build_energy
    from dosegrad.engines.yoda.range_frame import WaterTables
    from dosegrad.physics.nuclear import water_rates

    model = read_beam_model_table(path)
    tables, rates = WaterTables(), water_rates()
    wanted = _spaced(model, tables) if energies is None else sorted(set(map(float, energies)))
    rows = [model.at(nominal) for nominal in wanted]
    data = []
    for row in rows:
        focus = _spot_in_air(row, tables)
        energy, std = float(row[1]), float(row[2])
        data.append(build_energy(energy, std=std, focus=focus, tables=tables, rates=rates))
    return ParticleMachine(
        name=model.name,
        modality="protons",
        sad=sad,
        nozzle_distance=model.distance,
        data=tuple(data),
        description={"beam model": model.name, "depth dose": "dosegrad.commissioning"},
        monitor=model.monitor,
        phase_space=np.array([_moments(row) for row in rows]),
    )


def _moments(row: Array) -> Array:
    """Mean energy, its deviation, variances, covariances and angular variances (8,) of a row."""
    sizes, angles, correlations = row[4:6], row[6:8], row[8:10]
    moments = np.concatenate([sizes**2, correlations * sizes * angles, angles**2])
    return np.asarray(np.concatenate([row[1:3], moments]))


def _parse(content: str, file: Path) -> tuple[Array, float]:
    """Rows (n, 10) by nominal energy, and the distance of the plane in the comments, mm."""
    comments = [line for line in content.splitlines() if line.lstrip('" ').startswith("#")]
    places = [re.search(r"BMODPOS\s+([0-9.]+)\s*mm", line) for line in comments]
    distances = [float(found.group(1)) for found in places if found]
    rows = []
    for fields in csv.reader(content.splitlines()):
        if not fields or not re.match(r"\s*[0-9.]", fields[0]):
            continue
        try:
            rows.append([float(value) for value in fields])
        except ValueError:
            rows.append([np.nan])
    if not rows or any(len(row) != _N_COLUMNS for row in rows) or not np.isfinite(rows).all():
        raise FileFormatError(
            f"beam model {file.name!r}: expected rows of {_N_COLUMNS} numbers (nominal and mean "
            "energy, its sigma, protons per MU, spot sigma, divergence and correlation in x and "
            "y); give such a table."
        )
    if len(distances) != 1 or not 0 < distances[0] < 10_000:
        raise FileFormatError(
            f"beam model {file.name!r}: a comment must tell the distance of its plane from the "
            "isocentre, as 'BMODPOS 500.0 mm'; add it."
        )
    table = np.array(rows)
    table = table[np.argsort(table[:, 0], kind="stable")]
    if (table[:, 1:8] <= 0).any() or (np.abs(table[:, 8:]) > 1).any():
        raise FileFormatError(
            f"beam model {file.name!r}: energies, sizes and divergences must be positive and "
            "correlations between -1 and 1; correct the table."
        )
    return table, distances[0]


def _spaced(model: BeamModel, tables: WaterTables) -> list[float]:
    """Nominal energies of the table about 5 mm of range apart."""
    ranges = np.asarray(tables.range(model.rows[:, 1]))
    steps = np.arange(ranges[0], ranges[-1], _LAYER_SPACING)
    picked = np.unique(np.searchsorted(ranges, steps))
    return [float(model.rows[k, 0]) for k in picked]


def _spot_in_air(row: Array, tables: WaterTables) -> tuple[Array, Array]:
    """Distances from the plane of the model, mm, and spot sigma there, mm, scattered in air."""
    from dosegrad.physics.fermi_eyges import spread
    from dosegrad.physics.materials import AIR
    from dosegrad.physics.scattering import mass_scattering_power
    from dosegrad.units import CM_PER_MM

    energy = float(row[1])
    distances = np.linspace(0.0, _AIR_REACH, 25)
    middle = 0.5 * (distances[1:] + distances[:-1])
    behind = tables.range(energy) - middle * AIR.density
    left = tables.energy(behind)
    power = mass_scattering_power(left, AIR, initial_energy=energy) * AIR.density * CM_PER_MM
    sizes, angles, correlations = row[4:6], row[6:8], row[8:10]
    moments = spread(
        distances,
        power,
        variance=float(np.mean(sizes**2)),
        covariance=float(np.mean(correlations * sizes * angles)),
        angular=float(np.mean(angles**2)),
    )
    return distances, np.sqrt(moments.variance)
