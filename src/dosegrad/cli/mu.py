"""``dosegrad mu``: monitor units for a dose at a point, with every factor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dosegrad.cli.console import Json, say, say_json, warn
from dosegrad.cli.tables import print_table
from dosegrad.errors import CapabilityError, SettingsError

if TYPE_CHECKING:
    from dosegrad.engines.tg71.engine import TG71
    from dosegrad.engines.tg71.monitor_units import MonitorUnits

__all__ = ["mu"]

#: Distance from the edge of a field at which its penumbra begins, mm.
_PENUMBRA = 10.0


def mu(
    dose: Annotated[float, typer.Option(help="Dose at the point, Gy.")] = 2.0,
    field: Annotated[
        str, typer.Option(help="Field in the isocentre plane, mm: a side, or 80x120.")
    ] = "100",
    depth: Annotated[float, typer.Option(help="Depth of the point, mm.")] = 100.0,
    ssd: Annotated[
        float | None, typer.Option(help="Source to skin, mm. [isocentre at the point]")
    ] = None,
    setup: Annotated[
        str, typer.Option(help="isocentric (by TPR) or fixed-ssd (by PDD).")
    ] = "isocentric",
    off_axis: Annotated[float, typer.Option(help="Distance from the axis, mm.")] = 0.0,
    effective_depth: Annotated[
        float | None, typer.Option(help="Equivalent path length above the point, mm. [depth]")
    ] = None,
    wedge: Annotated[
        float, typer.Option(help="Wedge factor: the share that passes, not an angle.")
    ] = 1.0,
    tray: Annotated[float, typer.Option(help="Tray factor: the share that passes.")] = 1.0,
    machine: Annotated[
        str, typer.Option(help="A photon machine by name or file, whose tables are computed.")
    ] = "generic-6mv",
    tables: Annotated[
        Path | None, typer.Option(help="A file of beam tables instead of a machine.")
    ] = None,
    show_tables: Annotated[
        bool, typer.Option("--show-tables", help="Print the beam tables, and nothing else.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute monitor units after AAPM TG-71, and show every factor."""
    engine = _engine(machine, tables)
    if show_tables:
        from dosegrad.engines.tg71.table_file import format_tables

        say(format_tables(engine.tables).rstrip())
        return
    options: dict[str, Any] = {
        "dose": dose,
        "field": _sides(field),
        "depth": depth,
        "ssd": _isocentric_ssd(engine, depth) if ssd is None else ssd,
        "setup": setup,
        "off_axis": off_axis,
        "effective_depth": effective_depth,
        "wedge_factor": wedge,
        "tray_factor": tray,
    }
    units = engine.monitor_units(**options)
    half, _ = engine.half_sides(options["field"], options["ssd"] + depth)
    if off_axis > half - _PENUMBRA:
        warn(
            "near the edge",
            f"the point is {off_axis:g} mm off the axis, the field ends at {half:.1f} mm; "
            "the tables hold no penumbra, so these units give less than the dose asked for.",
        )
    if as_json:
        say_json({"tables": engine.tables.name, **_content(units)})
        return
    rows = [(f.symbol, f"{f.value:.5f}", f"{f.meaning}; {f.source}") for f in units.factors]
    print_table(("factor", "value", "what it is"), rows)
    say(f"{units.value:.1f} MU for {dose:g} Gy ({100 * units.dose_per_mu:.5f} cGy/MU)")


def _engine(machine: str, tables: Path | None) -> TG71:
    from dosegrad.engines.tg71.engine import TG71
    from dosegrad.machine.library import load_machine
    from dosegrad.machine.photon import PhotonMachine

    if tables is not None:
        return TG71.from_table(tables)
    found = load_machine(machine)
    if not isinstance(found, PhotonMachine):
        raise CapabilityError(
            f"machine {machine!r} delivers {found.modality}; monitor units after TG-71 are for "
            "photons. Choose a photon machine, such as generic-6mv."
        )
    return TG71.from_machine(found)


def _isocentric_ssd(engine: TG71, depth: float) -> float:
    """Source to skin where the point is the isocentre, mm; a depth must leave room for it."""
    tables = engine.tables
    if not 0.0 <= depth < tables.sad:
        raise SettingsError(
            f"depth {depth:g} mm is not possible for a point in the isocentre, {tables.sad:g} mm "
            f"from the source; the tables hold depths up to {tables.tpr.depths[-1]:g} mm."
        )
    return tables.sad - depth


def _sides(text: str) -> float | tuple[float, ...]:
    """A side, or two sides joined by an x."""
    try:
        sides = tuple(float(part) for part in text.lower().split("x"))
    except ValueError:
        raise SettingsError(
            f"field {text!r} is not understood; write a side in mm, or two as 80x120."
        ) from None
    return sides[0] if len(sides) == 1 else sides


def _content(units: MonitorUnits) -> dict[str, object]:
    return {
        "monitor_units": units.value,
        "dose": units.dose,
        "setup": units.setup,
        "dose_per_mu": units.dose_per_mu,
        "factors": {f.symbol: f.value for f in units.factors},
        "sources": {f.symbol: f.source for f in units.factors},
    }
