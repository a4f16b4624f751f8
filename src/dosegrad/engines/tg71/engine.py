"""The engine of point doses and monitor units after AAPM TG-71."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

from dosegrad.engines.tg71.model import (
    equivalent_square,
    inverse_square,
    mayneord_factor,
)
from dosegrad.engines.tg71.monitor_units import (
    Factor,
    MonitorUnits,
    Setup,
    product_of,
    replaced,
)
from dosegrad.engines.tg71.table_file import read_tables
from dosegrad.engines.tg71.tables import BeamTables
from dosegrad.errors import SettingsError, unknown_name
from dosegrad.machine.photon import PhotonMachine
from dosegrad.registry import BEAM_TABULATORS, load_object

__all__ = ["TG71", "Field"]

#: A square field's side, or both sides of a rectangle, in the isocentre plane, mm.
Field: TypeAlias = float | Sequence[float]

_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})
_SETUPS: Final = ("isocentric", "fixed-ssd")


@dataclass(frozen=True, slots=True, eq=False)
class TG71:
    r"""Dose to a point by factors from tables.

    Isocentric, with the distance SPD from source to point:

    .. math:: D = MU\, D_0' S_c(r_c) S_p(r_d) TPR(d, r_d)\, WF\, TF\, OAR(d, x)
              \left(\frac{SSD_0 + d_0}{SPD}\right)^2

    and at a fixed SSD:

    .. math:: D = MU\, D_0' S_c(r_c) S_p(r_{d_0}) \frac{PDD_N(d, r, SSD)}{100}\, WF\, TF\,
              OAR(d, x) \left(\frac{SSD_0 + d_0}{SSD + d_0}\right)^2

    with the side :math:`r_c` of the equivalent square of the field in the isocentre plane, and
    :math:`r_d`, :math:`r_{d_0}`, r the same projected from the source to the depths d, d_0 and to
    the skin. A percentage depth dose for another SSD than the table's follows from Mayneord's
    factor and the ratios of TPR and S_p that the changed field sides bring; tissue that is not
    water counts by its equivalent path length (``effective_depth``). Off-axis ratios are those of
    the table, without penumbra: points lie within the field.

    Parameters
    ----------
    tables
        Where factors are looked up.

    References
    ----------
    Gibbons et al. 2014, Med. Phys. 41, 031501 [Gibbons2014]_.

    Examples
    --------
    >>> from dosegrad.machine.library import load_machine
    >>> engine = TG71.from_machine(load_machine("generic-6mv"))
    >>> plan = engine.monitor_units(dose=2.0, field=100.0, ssd=900.0, depth=100.0)
    >>> 250 < plan.value < 260
    True
    """

    tables: BeamTables

    @classmethod
    def from_table(cls, path: str | Path) -> TG71:
        """The engine with the tables of a text file.

        Raises
        ------
        FileFormatError
            If there is no such file, or it holds no such tables.
        """
        return cls(read_tables(path))

    @classmethod
    def from_machine(cls, machine: PhotonMachine) -> TG71:
        """The engine with tables computed from a photon machine's base data; takes seconds."""
        tables: BeamTables = load_object("beam tabulator", BEAM_TABULATORS, "photons")(machine)
        return cls(tables)

    def __repr__(self) -> str:
        return f"TG71({self.tables!r})"

    def point_dose(
        self,
        *,
        mu: float,
        field: Field,
        ssd: float,
        depth: float,
        off_axis: float = 0.0,
        setup: Setup = "isocentric",
        effective_depth: float | None = None,
        wedge_factor: float = 1.0,
        tray_factor: float = 1.0,
        given: Mapping[str, float] = _NOTHING,
    ) -> float:
        """Dose at a point, Gy.

        Parameters
        ----------
        mu
            Monitor units.
        field
            Side of the field, or both sides, in the isocentre plane, mm.
        ssd
            Source to skin, mm.
        depth
            Of the point below the skin, along the axis, mm.
        off_axis
            Distance of the point from the axis, at its depth, mm.
        setup
            ``"isocentric"``: by TPR; ``"fixed-ssd"``: by PDD. Both mean the same geometry, and
            differ by no more than the tables contradict each other.
        effective_depth
            Equivalent path length of the tissue above the point, mm; ``depth`` where ``None``.
        wedge_factor, tray_factor
            Transmission of wedge and tray.
        given
            Factors by value instead of those of the tables, by symbol.

        Raises
        ------
        SettingsError
            If a table does not reach the point, or a number is impossible.
        """
        if not isfinite(mu) or mu < 0:
            raise SettingsError(f"{mu!r} monitor units cannot be; give zero or more.")
        factors = self.factors(
            field=field,
            ssd=ssd,
            depth=depth,
            off_axis=off_axis,
            setup=setup,
            effective_depth=effective_depth,
            wedge_factor=wedge_factor,
            tray_factor=tray_factor,
            given=given,
        )
        return 0.01 * mu * product_of(factors)

    def monitor_units(
        self,
        *,
        dose: float,
        field: Field,
        ssd: float,
        depth: float,
        off_axis: float = 0.0,
        setup: Setup = "isocentric",
        effective_depth: float | None = None,
        wedge_factor: float = 1.0,
        tray_factor: float = 1.0,
        given: Mapping[str, float] = _NOTHING,
    ) -> MonitorUnits:
        """Monitor units for ``dose``, Gy, at a point, with every factor; see :meth:`point_dose`.

        Raises
        ------
        SettingsError
            If a table does not reach the point, the point is outside the field, or a number is
            impossible.
        """
        if not (isfinite(dose) and dose > 0):
            raise SettingsError(f"a dose of {dose!r} Gy needs no monitor units; give more than 0.")
        factors = self.factors(
            field=field,
            ssd=ssd,
            depth=depth,
            off_axis=off_axis,
            setup=setup,
            effective_depth=effective_depth,
            wedge_factor=wedge_factor,
            tray_factor=tray_factor,
            given=given,
        )
        if off_axis > 0.0 and "OAR" not in given:
            self._check_inside(field, ssd + depth, off_axis)
        found = MonitorUnits(dose, setup, factors)
        if not (found.dose_per_mu > 0 and isfinite(found.value)):
            nothing = ", ".join(f.symbol for f in factors if not f.value > 1e-100)
            raise SettingsError(
                f"no dose reaches the point, so no monitor units give {dose:g} Gy; factors that "
                f"must be above 0: {nothing}."
            )
        return found

    def factors(
        self,
        *,
        field: Field,
        ssd: float,
        depth: float,
        off_axis: float = 0.0,
        setup: Setup = "isocentric",
        effective_depth: float | None = None,
        wedge_factor: float = 1.0,
        tray_factor: float = 1.0,
        given: Mapping[str, float] = _NOTHING,
    ) -> tuple[Factor, ...]:
        """Every factor of the dose per MU, cGy, in the order of the formula."""
        if setup not in _SETUPS:
            raise unknown_name("setup", setup, _SETUPS)
        _check_lengths(ssd=ssd, depth=depth, wedge_factor=wedge_factor, tray_factor=tray_factor)
        water = depth if effective_depth is None else effective_depth
        _check_lengths(effective_depth=water)
        side, tables = self._side(field), self.tables
        head = [
            Factor("D0", 100.0 * tables.dose_per_mu, f"of {tables.name}"),
            self._collimator_scatter(side, given),
        ]
        if setup == "isocentric":
            body = self._isocentric(side, ssd, depth, water, given)
        else:
            body = self._fixed_ssd(side, ssd, depth, water, given)
        tail = [
            Factor("WF", wedge_factor, "given" if wedge_factor != 1.0 else "no wedge"),
            Factor("TF", tray_factor, "given" if tray_factor != 1.0 else "no tray"),
            self._off_axis(depth, off_axis, given),
        ]
        return replaced((*head, *body[:2], *tail, body[2]), given)

    def percentage_depth_dose(self, *, side: float, ssd: float, depth: float) -> float:
        r"""Percentage depth dose at any SSD, 100 at :math:`d_0`.

        .. math:: PDD_2 = PDD_1\,F\,\frac{TPR(d, r_{d,2})}{TPR(d, r_{d,1})}
                  \frac{S_p(r_{d_0,1})}{S_p(r_{d,1})} \frac{S_p(r_{d,2})}{S_p(r_{d_0,2})}

        with Mayneord's F and the sides that a field of ``side`` mm at the skin has at the depths
        d and :math:`d_0` for both SSDs.
        """
        tables, d0 = self.tables, self.tables.depth
        percent = tables.pdd.checked(depth, side)
        if ssd == tables.pdd_ssd:
            return percent
        deep, reference = ([side * (s + d) / s for s in (tables.pdd_ssd, ssd)] for d in (depth, d0))
        mayneord = mayneord_factor(
            depth=depth, reference_depth=d0, from_ssd=tables.pdd_ssd, to_ssd=ssd
        )
        scatter = tables.phantom_scatter.checked
        return (
            percent
            * mayneord
            * (tables.tpr.checked(depth, deep[1]) / tables.tpr.checked(depth, deep[0]))
            * (scatter(reference[0]) / scatter(deep[0]))
            * (scatter(deep[1]) / scatter(reference[1]))
        )

    def _isocentric(
        self, side: float, ssd: float, depth: float, water: float, given: Mapping[str, float]
    ) -> list[Factor]:
        tables, distance = self.tables, ssd + depth
        projected = side * distance / tables.sad
        where = f"depth {water:g} mm, side {projected:.1f} mm"
        ratio = 1.0 if "TPR" in given else tables.tpr.checked(water, projected)
        square = inverse_square(tables.ssd + tables.depth, distance)
        return [
            self._phantom_scatter(projected, given),
            Factor("TPR", ratio, where),
            Factor("ISF", float(square), f"({tables.ssd + tables.depth:g}/{distance:g})^2"),
        ]

    def _fixed_ssd(
        self, side: float, ssd: float, depth: float, water: float, given: Mapping[str, float]
    ) -> list[Factor]:
        tables, d0 = self.tables, self.tables.depth
        surface = side * ssd / tables.sad
        percent = 100.0
        if "PDD" not in given:
            percent = self.percentage_depth_dose(side=surface, ssd=ssd, depth=depth)
            if water != depth:
                at = side * (ssd + depth) / tables.sad
                percent *= tables.tpr.checked(water, at) / tables.tpr.checked(depth, at)
        where = f"depth {depth:g} mm, side {surface:.1f} mm at the skin, SSD {ssd:g} mm"
        square = inverse_square(tables.ssd + d0, ssd + d0)
        return [
            self._phantom_scatter(side * (ssd + d0) / tables.sad, given),
            Factor("PDD", percent / 100.0, where),
            Factor("ISF", float(square), f"({tables.ssd + d0:g}/{ssd + d0:g})^2"),
        ]

    def half_sides(self, field: Field, distance: float) -> tuple[float, float]:
        """Half of both sides at ``distance`` from the source, mm, the shorter first."""
        sides = tuple(field) if isinstance(field, Sequence) else (field, field)
        grown = 0.5 * distance / self.tables.sad
        return grown * float(min(sides)), grown * float(max(sides))

    def _check_inside(self, field: Field, distance: float, off_axis: float) -> None:
        _, half = self.half_sides(field, distance)
        if off_axis > half:
            raise SettingsError(
                f"a point {off_axis:g} mm off the axis is outside the field, which reaches "
                f"{half:.1f} mm at {distance:g} mm from the source; off-axis ratios are for points "
                "within. Choose a larger field or a point nearer to the axis."
            )

    def _side(self, field: Field) -> float:
        sides = tuple(field) if isinstance(field, Sequence) else (field, field)
        if len(sides) != 2 or not all(isfinite(s) and s > 0 for s in sides):
            raise SettingsError(
                f"field {field!r} is not possible; give a side or two sides, mm, such as 100.0."
            )
        return equivalent_square(float(sides[0]), float(sides[1]))

    def _collimator_scatter(self, side: float, given: Mapping[str, float]) -> Factor:
        value = 1.0 if "Sc" in given else self.tables.collimator_scatter.checked(side)
        return Factor("Sc", value, f"side {side:.1f} mm at the isocentre")

    def _phantom_scatter(self, side: float, given: Mapping[str, float]) -> Factor:
        value = 1.0 if "Sp" in given else self.tables.phantom_scatter.checked(side)
        return Factor("Sp", value, f"side {side:.1f} mm")

    def _off_axis(self, depth: float, distance: float, given: Mapping[str, float]) -> Factor:
        if distance == 0.0 or "OAR" in given:
            return Factor("OAR", 1.0, "on the axis")
        _check_lengths(off_axis=distance)
        value = self.tables.oar.checked(depth, distance, any_depth=True)
        return Factor("OAR", value, f"depth {depth:g} mm, {distance:g} mm off the axis")


def _check_lengths(**values: float) -> None:
    for name, value in values.items():
        if not (isfinite(value) and value >= 0):
            raise SettingsError(
                f"{name.replace('_', ' ')} {value!r} is not possible; give a number from 0 on."
            )
    for name in ("wedge_factor", "tray_factor"):
        if values.get(name, 1.0) > 1.0:
            raise SettingsError(
                f"{name.replace('_', ' ')} {values[name]:g} would make the beam stronger; it is "
                "the share that passes: give a number up to 1 (not an angle), such as 0.7."
            )
    if values.get("ssd", 1.0) <= 0:
        raise SettingsError("an SSD of 0 puts the source in the skin; give it in mm.")
