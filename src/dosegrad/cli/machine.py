"""``dosegrad machine show``: a machine's energies, ranges and curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dosegrad.cli.console import Json, Quiet, say, say_json, step, working
from dosegrad.cli.output import check_picture, save_picture
from dosegrad.cli.tables import print_table

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
    from dosegrad.errors import CapabilityError
    from dosegrad.machine.library import load_machine
    from dosegrad.machine.particle import ParticleMachine

    with working(silent=quiet or as_json) as bars, step(bars, f"drawing {name}"):
        machine = load_machine(name)
        if not isinstance(machine, ParticleMachine):
            raise CapabilityError(
                f"machine {machine.name!r} delivers {machine.modality}, of which no picture is "
                "made yet; choose a particle machine, such as 'generic-protons'."
            )
        place = check_picture(out or Path(f"{machine.name}.png"))
        from dosegrad import plot

        save_picture(plot.machine(machine), place)
    if as_json:
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
