"""Reports on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

from dosegrad.checks.adaptation import Adaptation
from dosegrad.checks.deliveries import DeliveryCheck
from dosegrad.checks.photon_deliveries import PhotonDeliveryCheck
from dosegrad.checks.plan_check import PlanCheck
from dosegrad.errors import OutputError
from dosegrad.files import replacing
from dosegrad.report.adapt_page import adapt_content, adapt_page
from dosegrad.report.check_page import check_content, check_page
from dosegrad.report.common import as_json
from dosegrad.report.delivery_page import delivery_content, delivery_page
from dosegrad.report.page import Page, render
from dosegrad.report.photon_delivery_page import photon_delivery_content, photon_delivery_page
from dosegrad.report.plan_page import PlanSummary, plan_content, plan_page

__all__ = ["Reported", "report_content", "report_page", "write_report"]

#: What a report can be about.
Reported: TypeAlias = PlanSummary | PlanCheck | Adaptation | DeliveryCheck | PhotonDeliveryCheck


def report_page(subject: Reported, *, name: str | None = None) -> Page:
    """The page on a plan, a check, an adaptation or a delivered fraction."""
    match subject:
        case PlanSummary():
            return plan_page(subject, name)
        case PlanCheck():
            return check_page(subject, name)
        case Adaptation():
            return adapt_page(subject, name)
        case DeliveryCheck():
            return delivery_page(subject, name)
        case PhotonDeliveryCheck():
            return photon_delivery_page(subject, name)


def report_content(subject: Reported, *, name: str | None = None) -> dict[str, Any]:
    """The same for programs, as what JSON knows; its keys are in the reference."""
    match subject:
        case PlanSummary():
            content = plan_content(subject, name)
        case PlanCheck():
            content = check_content(subject, name)
        case Adaptation():
            content = adapt_content(subject, name)
        case DeliveryCheck():
            content = delivery_content(subject, name)
        case PhotonDeliveryCheck():
            content = photon_delivery_content(subject, name)
    made: dict[str, Any] = as_json(content)
    return made


def write_report(
    path: str | Path, subject: Reported, *, name: str | None = None
) -> tuple[Path, Path]:
    """Write a self-contained HTML page and, beside it, JSON; gives both paths.

    Each file is replaced as a whole. The patient appears under its pseudonym.

    Parameters
    ----------
    path
        A folder, which then holds ``report.html`` and ``report.json``, or the ``.html`` file.
    subject
        What :func:`~dosegrad.checks.plan_check.check_plan`,
        :func:`~dosegrad.checks.adaptation.adapt`,
        :func:`~dosegrad.checks.deliveries.check_delivery` or
        :func:`~dosegrad.checks.photon_deliveries.check_photon_delivery` found, or a
        :class:`~dosegrad.report.plan_page.PlanSummary`.
    name
        What to call the patient, where that is wanted.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    place = Path(path)
    page = place if place.suffix.lower() in {".html", ".htm"} else place / "report.html"
    data = page.with_suffix(".json")
    text = json.dumps(
        report_content(subject, name=name), indent=2, ensure_ascii=False, allow_nan=False
    )
    html = render(report_page(subject, name=name))
    try:
        for target, content in ((page, html), (data, text + "\n")):
            with replacing(target) as file:
                file.write(content.encode("utf-8"))
    except OSError as error:
        raise OutputError(
            f"'{page}' cannot be written ({error.strerror or error}). Choose a folder that exists "
            "and that you may write to."
        ) from error
    return page, data
