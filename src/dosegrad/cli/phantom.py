"""``dosegrad phantom``: list the built-in phantoms, or draw one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dosegrad.cli.console import Json, Quiet, say, say_json, step, working
from dosegrad.cli.output import check_picture, save_picture
from dosegrad.cli.patients import built_in, parse_options
from dosegrad.cli.tables import print_table

__all__ = ["phantom"]


def phantom(
    name: Annotated[str, typer.Argument(help="Which phantom; without it they are listed.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Picture to write: .png, .pdf or .svg. [NAME.png]")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the phantom, such as swelling=5.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the built-in phantoms, or draw one and say what it holds."""
    if not name:
        _list_phantoms(as_json=as_json)
        return
    options = parse_options(option or [])
    with working(silent=quiet or as_json) as bars, step(bars, f"drawing {name}"):
        patient = built_in(name, options)
        place = check_picture(out or Path(f"{name}.png"))
        from dosegrad import plot

        save_picture(plot.phantom(patient), place)
    rows = [(s.name, s.role, f"{s.volume_cc:.1f}") for s in patient.structures.values()]
    if as_json:
        structures = {n: {"role": role, "volume_cc": float(cc)} for n, role, cc in rows}
        grid = {"shape": list(patient.ct.grid.shape), "spacing": list(patient.ct.grid.spacing)}
        say_json({"phantom": name, "grid": grid, "structures": structures, "picture": str(place)})
    elif not quiet:
        say(f"{name}: {patient.ct}")
        print_table(("structure", "role", "cm³"), rows, numbers_from=2)
        say(f"picture: {place}")


def _list_phantoms(*, as_json: bool) -> None:
    from dosegrad.patient.phantoms import PHANTOMS

    if as_json:
        say_json(dict(PHANTOMS))
    else:
        print_table(("phantom", "what it is"), list(PHANTOMS.items()))
