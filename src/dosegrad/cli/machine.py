"""``dosegrad machine show``: a machine's energies, ranges and curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dosegrad.cli.console import Json, Quiet, say, say_json, step, working
from dosegrad.cli.output import check_picture, save_picture
from dosegrad.cli.tables import print_table

if TYPE_CHECKING:
    from dosegrad.machine.photon import PhotonMachine

__all__ = ["show"]


def show(
    name: Annotated[str, typer.Argument(help="A built-in machine, or a machine file.")],
    out: Annotated[
        Path | None, typer.Option(help="Picture to write: .png, .pdf or .svg. [NAME.png]")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Plot a machine's curves, and say its energies and ranges."""
    from dosegrad.machine.library import load_machine
    from dosegrad.machine.photon import PhotonMachine

    with working(silent=quiet or as_json) as bars, step(bars, f"drawing {name}"):
        machine = load_machine(name)
        place = check_picture(out or Path(f"{machine.name}.png"))
        from dosegrad import plot

        save_picture(plot.machine(machine), place)
    if isinstance(machine, PhotonMachine):
        _tell_photons(machine, place, as_json=as_json, quiet=quiet)
    elif as_json:
        say_json(
            {
                "machine": machine.name,
                "modality": machine.modality,
                "sad": machine.sad,
                "energies": machine.energies.round(6).tolist(),
                "ranges": machine.ranges.round(6).tolist(),
                "picture": str(place),
            }
        )
    elif not quiet:
        say(str(machine))
        n = len(machine.data)
        shown = (
            [machine.data[round(k * (n - 1) / 9)] for k in range(10)] if n > 10 else machine.data
        )
        rows = [(f"{d.energy:.1f}", f"{d.range:.1f}", f"{d.peak:.1f}") for d in shown]
        print_table(("energy (MeV)", "range R80 (mm)", "peak (mm)"), rows, numbers_from=0)
        say(f"picture: {place}")


def _tell_photons(machine: PhotonMachine, place: Path, *, as_json: bool, quiet: bool) -> None:
    """Beam quality and depth dose of a photon machine."""
    from dosegrad.commissioning.photon_tables import percentage_depth_dose, tissue_phantom_ratio

    depths = (50.0, 100.0, 150.0, 200.0, 300.0)
    percent = percentage_depth_dose(machine, field=100.0, ssd=1000.0, depth=depths)
    quality = tissue_phantom_ratio(machine)
    if as_json:
        say_json(
            {
                "machine": machine.name,
                "modality": machine.modality,
                "sad": machine.sad,
                "tpr_20_10": round(quality, 6),
                "depths": list(depths),
                "depth_dose_percent": percent.round(6).tolist(),
                "picture": str(place),
            }
        )
    elif not quiet:
        say(f"{machine}, TPR20,10 {quality:.3f}")
        rows = [(f"{d:.0f}", f"{p:.1f}") for d, p in zip(depths, percent, strict=True)]
        print_table(("depth (mm)", "10 x 10, SSD 100 cm (%)"), rows, numbers_from=0)
        say(f"picture: {place}")
