"""From Hounsfield units to mass density, stopping power ratio, electron density and material."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosegrad.arrays import Array, readonly
from dosegrad.errors import CalibrationError, unknown_name
from dosegrad.physics.materials import SCHNEIDER_BINS, SCHNEIDER_LOWER_EDGES, WATER, Material
from dosegrad.physics.stopping import mass_stopping_power

__all__ = ["CALIBRATIONS", "Calibration", "CalibrationLike", "CalibrationWarning", "Tissue"]

#: Names that :meth:`Calibration.of` knows, with what they are.
CALIBRATIONS: Final = {
    "schneider": "Schneider, Bortfeld and Schlegel 2000",
    "schneider-water": "the same with 0 HU pinned to pure water",
}

#: HU of air; lower values are padding outside the scanner's circle and count as air.
AIR_HU: Final = -1000.0
#: Upper end of the 12-bit scale, where Schneider's last line is taken to end.
HIGHEST_HU: Final = 3071.0
#: Energy at which stopping power ratios are taken, MeV.
RATIO_ENERGY: Final = 100.0

# Schneider 2000: lower edge in HU, density at 0 HU of the line (g/cm3), slope (g/cm3 per HU).
_DENSITY_LINES: Final = (
    (-1000.0, 0.00121 + 1000 * 0.001029700665188, 0.001029700665188),
    (-98.0, 1.018, 0.893e-3),
    (15.0, 1.03, 0.0),
    (23.0, 1.003, 1.169e-3),
    (101.0, 1.017, 0.592e-3),
    (2001.0, 2.201 - 2000 * 5e-4, 5e-4),
)


class CalibrationWarning(UserWarning):
    """HU outside a calibration, or a calibration that had to be guessed."""


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """What HU become; all arrays have the shape of the HU.

    Parameters
    ----------
    density
        Mass density, g/cm3.
    stopping_power_ratio, electron_density
        Relative to water.
    material
        Index into the calibration's ``materials``, int16.
    """

    density: Array
    stopping_power_ratio: Array
    electron_density: Array
    material: NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    r"""Lines over pieces of the HU scale, each piece with one material.

    Piece k holds ``edges[k] <= HU < edges[k + 1]``, the last one its upper edge too. Values below
    the first edge or above the last are taken at that edge, with one
    :class:`CalibrationWarning`, except below a first edge of -1000 HU or less: that is padding
    outside the scanner's circle.

    Parameters
    ----------
    name
        What the calibration is called.
    edges
        HU (n + 1,), ascending.
    density_lines, stopping_lines, electron_lines
        Mass density (g/cm3), stopping power and electron density relative to water, at the lower
        and upper end of each piece (n, 2).
    material_pieces
        Index into ``materials`` of each piece (n,).
    materials
        Names of materials, keys of ``dosegrad.physics.materials.MATERIALS``.

    Examples
    --------
    >>> calibration = Calibration.of("schneider")
    >>> calibration.density([-1000.0, 0.0, 1000.0]).round(3).tolist()
    [0.001, 1.018, 1.609]
    >>> Calibration.of("schneider-water").stopping_power_ratio(0.0).item()
    1.0
    """

    name: str
    edges: Array
    density_lines: Array
    stopping_lines: Array
    electron_lines: Array
    material_pieces: NDArray[np.int16]
    materials: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.material_pieces)
        for name in ("edges", "density_lines", "stopping_lines", "electron_lines"):
            values = readonly(getattr(self, name))
            expected = (n + 1,) if name == "edges" else (n, 2)
            if values.shape != expected or not np.isfinite(values).all():
                raise CalibrationError(
                    f"{name} of calibration {self.name!r} must be {expected} finite numbers; "
                    f"its shape is {values.shape}. Make calibrations by Calibration.of or .table."
                )
            if name != "edges" and values.min() < 0:
                raise CalibrationError(f"{name} of calibration {self.name!r} must not be negative.")
            object.__setattr__(self, name, values)
        if (np.diff(self.edges) <= 0).any():
            raise CalibrationError(f"HU edges of calibration {self.name!r} must ascend.")
        object.__setattr__(self, "material_pieces", readonly(self.material_pieces, np.int16))

    def __repr__(self) -> str:
        return f"Calibration({self.name!r}, {self.edges[0]:g} to {self.edges[-1]:g} HU)"

    @staticmethod
    def of(value: CalibrationLike) -> Calibration:
        """A calibration from its name, a table of (HU, stopping power ratio), or itself.

        Raises
        ------
        UnknownNameError
            If no calibration has that name.
        CalibrationError
            If a table is not one; see :meth:`table`.
        """
        if isinstance(value, Calibration):
            return value
        if isinstance(value, str):
            if value not in CALIBRATIONS:
                raise unknown_name("HU calibration", value, CALIBRATIONS)
            return _schneider() if value == "schneider" else _schneider_water()
        return Calibration.table(value)

    @staticmethod
    def table(pairs: ArrayLike, *, name: str = "table") -> Calibration:
        """A calibration from ``pairs`` (n, 2) of HU and stopping power ratio, as a HLUT holds them.

        Linear in between. Materials are Schneider's for the same HU; the density is the one at
        which that material has the stopping power ratio of the table, so that an engine that
        transports particles finds the range that the table says.

        Raises
        ------
        CalibrationError
            If the table is not two columns of finite numbers, HU strictly ascending, stopping
            power ratios not negative.
        """
        hu, ratios = _checked_table(pairs)
        cuts = [e for e in SCHNEIDER_LOWER_EDGES if hu[0] < e < hu[-1]]
        edges = np.union1d(hu, cuts)
        ends = np.stack([edges[:-1], edges[1:]], axis=1)
        stopping = np.interp(ends, hu, ratios)
        bins = _bin_of(edges[:-1])
        density = stopping / _stopping_ratios()[bins, None]
        return Calibration(
            name=name,
            edges=edges,
            density_lines=density,
            stopping_lines=stopping,
            electron_lines=density * _electron_ratios()[bins, None],
            material_pieces=bins.astype(np.int16),
            materials=tuple(m.name for m in SCHNEIDER_BINS),
        )

    def tissue(self, hu: ArrayLike) -> Tissue:
        """Everything that ``hu`` (any shape) become, at once."""
        values, piece = self._pieces(hu)
        return Tissue(
            density=self._along(self.density_lines, values, piece),
            stopping_power_ratio=self._along(self.stopping_lines, values, piece),
            electron_density=self._along(self.electron_lines, values, piece),
            material=self.material_pieces[piece],
        )

    def density(self, hu: ArrayLike) -> Array:
        """Mass density, g/cm3, same shape as ``hu``."""
        return self._along(self.density_lines, *self._pieces(hu))

    def stopping_power_ratio(self, hu: ArrayLike) -> Array:
        """Proton stopping power relative to water, same shape as ``hu``."""
        return self._along(self.stopping_lines, *self._pieces(hu))

    def electron_density(self, hu: ArrayLike) -> Array:
        """Electron density relative to water, same shape as ``hu``."""
        return self._along(self.electron_lines, *self._pieces(hu))

    def material(self, hu: ArrayLike) -> NDArray[np.int16]:
        """Index into ``materials``, same shape as ``hu``."""
        return self.material_pieces[self._pieces(hu)[1]]

    def _pieces(self, hu: ArrayLike) -> tuple[Array, NDArray[np.intp]]:
        values = np.asarray(hu, dtype=float)
        low, high = float(self.edges[0]), float(self.edges[-1])
        if values.size:
            self._warn_outside(float(values.min()), float(values.max()))
        values = np.clip(values, low, high)
        return values, np.searchsorted(self.edges[1:-1], values, side="right")

    def _warn_outside(self, lowest: float, highest: float) -> None:
        low, high = float(self.edges[0]), float(self.edges[-1])
        too_low = lowest < low and low > AIR_HU
        if too_low or highest > high:
            side, edge = ("below", low) if too_low else ("above", high)
            warnings.warn(
                f"the CT holds HU {side} {edge:g}, where calibration {self.name!r} ends; the value "
                f"at {edge:g} HU is used for them. Extend the calibration if that is wrong.",
                CalibrationWarning,
                stacklevel=4,
            )

    def _along(self, lines: Array, values: Array, piece: NDArray[np.intp]) -> Array:
        slopes = (lines[:, 1] - lines[:, 0]) / np.diff(self.edges)
        result: Array = lines[piece, 0] + slopes[piece] * (values - self.edges[piece])
        return result


#: What :meth:`Calibration.of` takes.
CalibrationLike: TypeAlias = Calibration | str | Sequence[tuple[float, float]] | NDArray[np.float64]


def _checked_table(pairs: ArrayLike) -> tuple[Array, Array]:
    try:
        table = np.asarray(pairs, dtype=float)
    except (TypeError, ValueError) as error:
        raise CalibrationError(
            "a calibration table must hold numbers only: pairs of HU and stopping power ratio."
        ) from error
    if table.ndim != 2 or table.shape[1] != 2 or len(table) < 2:
        raise CalibrationError(
            f"a calibration table of shape {table.shape} is not possible; give at least two pairs "
            "of HU and stopping power ratio, as in [(-1000, 0.001), (0, 1.0), (3000, 2.5)]."
        )
    if not np.isfinite(table).all():
        raise CalibrationError("a calibration table holds NaN or infinity; correct the table.")
    hu, ratios = table[:, 0], table[:, 1]
    steps = np.diff(hu)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise CalibrationError(
            f"HU in a calibration table must strictly ascend, but {hu[row]:g} follows "
            f"{hu[row - 1]:g}; sort the rows. Columns are HU, then stopping power ratio."
        )
    if ratios.min() < 0:
        row = int(np.argmin(ratios))
        raise CalibrationError(
            f"stopping power ratio {ratios[row]:g} at {hu[row]:g} HU is negative; it must be at "
            "least 0. Columns are HU, then stopping power ratio."
        )
    return hu, ratios


def _bin_of(hu: Array) -> NDArray[np.intp]:
    """Schneider's bin at each HU; the lowest below -1000 HU."""
    return np.maximum(np.searchsorted(SCHNEIDER_LOWER_EDGES, hu, side="right") - 1, 0)


@lru_cache(maxsize=1)
def _stopping_ratios() -> Array:
    """Mass stopping power relative to water of Schneider's materials (24,)."""
    return _relative(lambda m: float(mass_stopping_power(RATIO_ENERGY, m)))


@lru_cache(maxsize=1)
def _electron_ratios() -> Array:
    """Electrons per gram relative to water of Schneider's materials (24,)."""
    return _relative(lambda m: m.z_over_a)


def _relative(quantity: Callable[[Material], float]) -> Array:
    return readonly([quantity(m) / quantity(WATER) for m in SCHNEIDER_BINS])


@lru_cache(maxsize=1)
def _schneider() -> Calibration:
    """Density lines and materials of Schneider 2000; S and Z/A from the materials."""
    starts, offsets, slopes = np.array(_DENSITY_LINES).T
    edges = np.union1d(np.union1d(starts, SCHNEIDER_LOWER_EDGES), [HIGHEST_HU])
    line = np.searchsorted(starts, edges[:-1], side="right") - 1
    bins = _bin_of(edges[:-1])
    ends = np.stack([edges[:-1], edges[1:]], axis=1)
    density = offsets[line, None] + slopes[line, None] * ends
    return Calibration(
        name="schneider",
        edges=edges,
        density_lines=density,
        stopping_lines=density * _stopping_ratios()[bins, None],
        electron_lines=density * _electron_ratios()[bins, None],
        material_pieces=bins.astype(np.int16),
        materials=tuple(m.name for m in SCHNEIDER_BINS),
    )


@lru_cache(maxsize=1)
def _schneider_water() -> Calibration:
    """Schneider's calibration with [-0.5, 0.5) HU replaced by pure water."""
    base = _schneider()
    before = int(np.searchsorted(base.edges, -0.5, side="right")) - 1

    def spliced(lines: Array, name: str) -> Array:
        low, high = (float(getattr(base, name)(hu)) for hu in (-0.5, 0.5))
        middle = [[lines[before, 0], low], [1.0, 1.0], [high, lines[before, 1]]]
        return np.concatenate([lines[:before], middle, lines[before + 1 :]])

    pieces = base.material_pieces
    water = len(base.materials)
    return replace(
        base,
        name="schneider-water",
        edges=np.insert(base.edges, before + 1, [-0.5, 0.5]),
        density_lines=spliced(base.density_lines, "density"),
        stopping_lines=spliced(base.stopping_lines, "stopping_power_ratio"),
        electron_lines=spliced(base.electron_lines, "electron_density"),
        material_pieces=np.insert(pieces, before + 1, [water, pieces[before]]),
        materials=(*base.materials, WATER.name),
    )
