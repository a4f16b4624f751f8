"""Devices in an ion beam: range shifters, and those that are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.attributes import integer, items, optional_numbers, text

__all__ = ["ShifterSetting", "Shifters", "refuse_devices"]

#: Sequence of a device, its count, and what it is called.
_REFUSED: Final = (
    ("RangeModulatorSequence", "NumberOfRangeModulators", "range modulator"),
    ("IonRangeCompensatorSequence", "NumberOfCompensators", "compensator"),
    ("ReferencedBolusSequence", "NumberOfBoli", "bolus"),
    ("IonBlockSequence", "NumberOfBlocks", "block or aperture"),
    ("IonWedgeSequence", "NumberOfWedges", "wedge"),
    ("IonBeamLimitingDeviceSequence", "", "collimator"),
)


@dataclass(frozen=True, slots=True)
class ShifterSetting:
    """A range shifter that is in the beam.

    Parameters
    ----------
    number, name
        As the plan calls it.
    thickness
        Water-equivalent thickness, mm; None where the file does not say.
    distance
        From the isocentre to its downstream face, mm; None where the file does not say.
    """

    number: int
    name: str
    thickness: float | None
    distance: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Shifters:
    """Range shifters of a beam as they stand at a control point; a change makes another value."""

    beam: int
    names: Mapping[int, str]
    states: Mapping[int, ShifterSetting | None]
    notes: list[str]

    @classmethod
    def of(cls, beam: Any, number: int, path: Path, notes: list[str]) -> Shifters:
        """The range shifters that a beam declares, all of them out."""
        names = {}
        for each in items(beam, "RangeShifterSequence", path):
            names[integer(each, "RangeShifterNumber", path)] = text(each, "RangeShifterID")
        return cls(number, names, dict.fromkeys(names), notes)

    @property
    def inserted(self) -> tuple[ShifterSetting, ...]:
        """Settings of the range shifters that are in."""
        return tuple(state for state in self.states.values() if state is not None)

    def after(self, point: Any, path: Path) -> Shifters:
        """The range shifters after the settings of a control point; unstated ones stay.

        Raises
        ------
        FileFormatError
            If a setting puts in a range shifter that the beam does not declare.
        """
        settings = items(point, "RangeShifterSettingsSequence", path)
        if not settings:
            return self
        states = dict(self.states)
        for each in settings:
            number = integer(each, "ReferencedRangeShifterNumber", path)
            setting = text(each, "RangeShifterSetting").upper()
            if setting == "OUT":
                states[number] = None
                continue
            if number not in self.names:
                raise FileFormatError(
                    f"{path.name}: beam {self.beam} puts in range shifter {number}, which it does "
                    "not declare; export the plan again."
                )
            states[number] = self._setting(number, each, path)
        return replace(self, states=states)

    def _setting(self, number: int, item: Any, path: Path) -> ShifterSetting:
        """A range shifter that is put in; what is not stated again stays."""
        before = self.states.get(number)
        thickness = optional_numbers(item, "RangeShifterWaterEquivalentThickness", 1, path)
        distance = optional_numbers(item, "IsocenterToRangeShifterDistance", 1, path)
        place = distance[0] if distance else (before.distance if before else None)
        if place is not None and place < 0:
            note = (
                f"{path.name}: range shifter of beam {self.beam} at a negative distance from the "
                "isocentre; its amount was taken, upstream"
            )
            if note not in self.notes:
                self.notes.append(note)
            place = -place
        wet = thickness[0] if thickness else (before.thickness if before else None)
        if wet is not None and wet < 0:
            raise FileFormatError(
                f"{path.name}: a range shifter of beam {self.beam} has a negative thickness; "
                "export the plan again."
            )
        return ShifterSetting(number, self.names[number], wet, place)


def refuse_devices(beam: Any, points: tuple[Any, ...], number: int, path: Path) -> None:
    """Refuses what changes the dose and is not modelled.

    Scanning magnets, which some systems list as lateral spreading devices, are no scatterers and
    pass.

    Raises
    ------
    FileFormatError
        That names the device.
    """
    for sequence, count, name in _REFUSED:
        n = integer(beam, count, path, default=0) if count else 0
        if n or items(beam, sequence, path):
            raise _refused(name, number, path)
    for each in items(beam, "LateralSpreadingDeviceSequence", path):
        if text(each, "LateralSpreadingDeviceType").upper() != "MAGNET":
            raise _refused("lateral spreading device", number, path)
    named = len(items(beam, "LateralSpreadingDeviceSequence", path))
    if integer(beam, "NumberOfLateralSpreadingDevices", path, default=0) > named:
        raise _refused("lateral spreading device", number, path)
    for point in points:
        for each in items(point, "LateralSpreadingDeviceSettingsSequence", path):
            keyword = "LateralSpreadingDeviceWaterEquivalentThickness"
            thickness = optional_numbers(each, keyword, 1, path)
            if thickness is not None and thickness[0] > 0:
                raise _refused("lateral spreading device with a thickness", number, path)
        if items(point, "IonWedgePositionSequence", path):
            raise _refused("wedge", number, path)


def _refused(name: str, number: int, path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path.name}: beam {number} has a {name}, which is not modelled; without it the dose "
        "would be wrong. Plan the beam without this device."
    )
