"""Parts that pages on delivered spots and on delivered apertures share."""

from __future__ import annotations

from typing import Any, Final

from dosegrad import plot
from dosegrad.checks.dose_comparison import BeamChange, DoseComparison
from dosegrad.checks.structure_doses import reference_dose
from dosegrad.report import common
from dosegrad.report.page import Section, Table
from dosegrad.report.pictures import drawn, painted

__all__ = ["beam_changes", "dose_content", "dose_sections", "tolerance_table"]

_LABELS: Final = ("planned", "delivered")
#: Of the reference dose: full scale of the differences drawn.
_SCALE: Final = 0.02
#: Beams that a table has room for.
_COLUMNS: Final = 8


def tolerance_table(rows: list[tuple[str, str, str, bool]]) -> Table:
    """What was looked at, what was found, what is tolerated, and whether it is within."""
    return Table(
        "What was compared, and within which tolerance.",
        ["quantity", "found", "tolerance", "result"],
        [[what, found, limit, "within" if fine else "out"] for what, found, limit, fine in rows],
        ["good" if fine else "bad" for *_, fine in rows],
    )


def beam_changes(doses: DoseComparison) -> list[Table]:
    """Changes of mean doses by beam: recomputed, and by derivatives where these are known."""
    beams = doses.beams
    if not beams or len(beams) > _COLUMNS:
        return []
    header = ["structure", *(f"beam {each.number}" for each in beams), "all"]
    tables = [
        Table(
            "Change of the mean dose by beam, mGy, whole course, recomputed.", header,
            _rows(beams, [dict(each.mean_changes) for each in beams]),
        )
    ]  # fmt: skip
    if all(each.predicted for each in beams):
        tables.append(
            Table(
                "The same by the derivatives of the dose by positions and weights of spots, "
                "without computing it again.",
                header,
                _rows(beams, [dict(each.predicted) for each in beams]),
            )
        )
    return tables


def _rows(beams: tuple[BeamChange, ...], changes: list[dict[str, float]]) -> list[list[str]]:
    rows = []
    for name in changes[0]:
        values = [each[name] for each in changes]
        cells = [common.number(1000.0 * v, 1, sign=True) for v in (*values, sum(values))]
        rows.append([name, *cells])
    return rows


def dose_sections(doses: DoseComparison, pass_rate: float, excess: float) -> list[Section]:
    """Gamma and highest doses, doses on slices, and structures."""
    return [_gamma(doses, pass_rate, excess), _slices(doses), _structures(doses)]


def dose_content(doses: DoseComparison) -> dict[str, Any]:
    """Gamma, structures and beams for programs."""
    result = doses.gamma
    settings, histogram = result.settings, result.histogram()
    return {
        "gamma": {
            "percent": settings.percent,
            "distance_mm": settings.distance,
            "local": settings.local,
            "threshold_percent": settings.threshold,
            "threshold_on": settings.threshold_on,
            "pass_rate": result.pass_rate,
            "n_evaluated": result.n_evaluated,
            "mean": result.mean,
            "maximum": result.maximum,
            "histogram": {"edges": histogram.edges, "counts": histogram.counts},
        },
        "maxima": doses.excess.to_json(),
        "structures": [
            {"name": each.name, "role": each.role, "planned": content["before"],
             "delivered": content["after"]}
            for each in doses.structures
            for content in (each.to_json(),)
        ],
        "beam_changes": [each.to_json() for each in doses.beams],
        "provenance": dict(doses.delivered.provenance),
    }  # fmt: skip


def _maxima(doses: DoseComparison, limit: float) -> Table:
    found = doses.excess
    fine = not found.percent > limit
    cells = [common.number(v) for v in (found.planned_maximum, found.delivered_maximum)]
    cells += [common.number(v) for v in (found.delivered, found.planned)]
    place = ", ".join(f"{value:.0f}" for value in found.place)
    cells += [place, f"{common.number(found.percent, 1, sign=True)} %", "within" if fine else "out"]
    return Table(
        "Highest doses, Gy, whole course, and the voxel where the delivered dose goes furthest "
        "beyond the highest planned dose around it, in percent of the planned maximum; tolerance "
        f"{limit:g} %.",
        ["planned maximum", "delivered maximum", "delivered in the voxel", "planned around it",
         "voxel (mm)", "excess", "result"],
        [cells], ["good" if fine else "bad"],
    )  # fmt: skip


def _gamma(doses: DoseComparison, pass_rate: float, excess: float) -> Section:
    result = doses.gamma
    settings = result.settings
    fine = result.pass_rate >= pass_rate
    cells = [f"{settings.percent:g} %/{settings.distance:g} mm", f"{100 * result.pass_rate:.2f} %"]
    cells += [str(result.n_evaluated)]
    cells += [common.number(v) for v in (result.mean, result.median, result.maximum)]
    header = ["criteria", "passing", "voxels", "mean gamma", "median", "maximum", "result"]
    table = Table(
        "Delivered against planned dose, both recomputed, wherever either reaches "
        f"{settings.threshold or 0.0:g} % of the planned maximum; tolerance {100 * pass_rate:g} %.",
        header, [[*cells, "within" if fine else "out"]], ["good" if fine else "bad"],
    )  # fmt: skip
    picture = painted(
        plot.gamma(result),
        alt=f"Gamma on one slice, and a histogram of gamma: {100 * result.pass_rate:.1f} % pass",
        caption="(a) The slice with most failing voxels, blue where gamma passes, red where it "
        "fails; (b) all voxels by gamma.",
    )
    return Section("Gamma", tables=[table, _maxima(doses, excess)], pictures=[picture])


def _slices(doses: DoseComparison) -> Section:
    limit = _SCALE * reference_dose(doses.patient, doses.planned)
    difference = doses.delivered.difference(doses.planned)
    return Section(
        "Dose",
        pictures=[
            painted(
                plot.dose_slices(
                    doses.patient, doses.delivered, beams=doses.planned_plan.beams[:_COLUMNS]
                ),
                alt="Axial, coronal and sagittal slice with structures and the delivered dose",
                caption="Delivered dose through the target, if every fraction had been as this "
                "one.",
            ),
            painted(
                plot.difference_slices(doses.patient, difference, limit=limit),
                alt="The same slices with the difference of the doses",
                caption=f"Delivered minus planned dose; colours reach {limit:.2f} Gy "
                f"({100 * _SCALE:g} % of the target dose) either way.",
            ),
        ],
    )


def _structures(doses: DoseComparison) -> Section:
    figure = plot.compare_dvh(doses.patient, doses.planned, doses.delivered, labels=_LABELS)
    return Section(
        "Structures",
        tables=[common.structure_table(doses.structures, labels=_LABELS, unit="Gy")],
        pictures=[
            drawn(
                figure,
                alt="Dose-volume histograms of all structures by planned and delivered dose",
                caption="Dose-volume histograms: planned dashed, delivered solid.",
            )
        ],
    )
