"""``dosegrad plan``: a plan file carried out, results in a folder."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dosegrad.cli.console import ExitCode, Json, Quiet, say, say_json, step, working
from dosegrad.cli.output import output_folder
from dosegrad.cli.plan_file import read_plan_file
from dosegrad.cli.planning import Planned, carry_out, choose_machine, choose_patient
from dosegrad.cli.results import as_text, dose_statistics, plan_summary, report_content

if TYPE_CHECKING:
    from dosegrad.dose import Dose

__all__ = ["plan", "write_results"]


def plan(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN.TOML", help="What to plan.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; it is replaced as a whole.")],
    patient: Annotated[
        str | None,
        typer.Option(help="A .mat file, a DICOM folder, or a phantom, instead of [patient]."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Plan what a plan file asks for and write plan, dose, report and pictures."""
    start = time.monotonic()
    request = read_plan_file(plan_file)
    with output_folder(out) as folder, working(silent=quiet or as_json) as bars:
        with step(bars, "reading the patient"):
            subject = choose_patient(request, plan_file.parent, patient)
        machine = choose_machine(request, plan_file.parent)
        planned = carry_out(request, machine, subject, bars)
        with step(bars, "writing results"):
            shutil.copyfile(plan_file, folder / "plan.toml")
            write_results(planned, folder)
    summary = plan_summary(planned)
    if as_json:
        seconds = round(time.monotonic() - start, 2)
        report = report_content(planned.report)
        say_json({**summary, "report": report, "folder": str(out), "seconds": seconds})
    elif not quiet:
        say(as_text(planned))
        say(f"\nresults: {out.resolve()} ({time.monotonic() - start:.0f} s)")
    return ExitCode.DONE if planned.report.all_met else ExitCode.GOALS_NOT_MET


def write_results(planned: Planned, folder: Path) -> None:
    """All results into ``folder``: plan, dose, report and pictures."""
    from dosegrad import plot
    from dosegrad.report.page import render
    from dosegrad.report.plan_page import PlanSummary
    from dosegrad.report.write import report_page

    planned.plan.save(folder / "plan.npz")
    plan = planned.plan
    _write_dose(planned.dose if plan.dose is None else plan.dose, folder / "dose.nrrd")
    for name, quantity in plan.quantities.items():
        _write_dose(quantity, folder / f"{name}.nrrd")
    (folder / "report.txt").write_text(as_text(planned) + "\n", encoding="utf-8")
    content = {
        **plan_summary(planned),
        "report": report_content(planned.report),
        "structures": dose_statistics(planned.dose, planned.patient),
    }
    if planned.in_scenarios is not None:
        content["in_scenarios"] = report_content(planned.in_scenarios)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    summary = PlanSummary(planned.patient, plan, planned.dose, planned.report)
    (folder / "report.html").write_text(render(report_page(summary)), encoding="utf-8")
    plot.overview(planned.patient, planned.plan).savefig(folder / "overview.png")
    plot.dvh(planned.dose, planned.patient).savefig(folder / "dvh.png")
    if plan.quantities:
        plot.biology(planned.patient, plan).savefig(folder / "biology.png")


def _write_dose(dose: Dose, path: Path) -> None:
    """A dose as an image that 3D Slicer and ITK open, in its unit, patient LPS."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(dose.array.astype("float32"))
    image.SetSpacing(dose.grid.spacing[::-1])
    image.SetOrigin(dose.grid.origin)
    image.SetDirection([value for row in dose.grid.direction for value in row])
    SimpleITK.WriteImage(image, str(path), useCompression=True)
