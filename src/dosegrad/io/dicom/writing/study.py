"""A whole study written into a folder: CT, structures, plan, doses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dosegrad.dose import Dose
from dosegrad.errors import BeamError, OutputError
from dosegrad.io.dicom.identifiers import make_uid
from dosegrad.io.dicom.writing.data_sets import Identity
from dosegrad.io.dicom.writing.doses import write_dose
from dosegrad.io.dicom.writing.folders import replacing_folder
from dosegrad.io.dicom.writing.images import ct_digest, write_ct
from dosegrad.io.dicom.writing.ion_plans import write_ion_plan
from dosegrad.io.dicom.writing.photon_plans import write_photon_plan
from dosegrad.io.dicom.writing.structure_sets import write_structures
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan

__all__ = ["write_dicom"]

#: Name and number of a patient without a pseudonym.
_NOBODY = "dosegrad"


def write_dicom(
    folder: str | Path,
    *,
    patient: Patient,
    plan: Plan | None = None,
    dose: Dose | None = None,
    beam_doses: Mapping[int, Dose] | None = None,
) -> None:
    """Write CT, structures, plan and doses as a DICOM study that :func:`read_dicom` gives back.

    All objects refer to each other and share one study and frame of reference. UIDs follow from
    content: the same study gets the same ones, any change gives new ones. The patient appears
    under its pseudonym, ``patient.name``.

    Spots with a weight of 0 are left out. MU are those of the machine's monitor; generic machines
    define 1 MU as 10^6 particles. A photon plan is written as the segments that deliver it, two
    control points each; an arc is one beam. Files hold MU of one fraction, doses are of the whole
    course.

    Parameters
    ----------
    folder
        Where to. A study that this function wrote is replaced, and only once the new one is
        complete; any other folder must be empty or new.
    patient
        CT and structures. Contours stay contours, masks are outlined along the faces of their
        voxels. Priorities, objectives and the calibration have no place in DICOM.
    plan
        Spots of protons or ions, or photon apertures.
    dose
        Dose of the whole course; by default that of the plan, if it has one.
    beam_doses
        Doses of single beams of the plan, by number from 1 in the plan's order, whole course.

    Raises
    ------
    OutputError
        If the folder holds anything else, a file cannot be written, there is a dose without a
        plan, or a name or number has no place in DICOM.
    BeamError
        If beams were made for another patient position.

    Examples
    --------
    >>> import dosegrad as dg
    >>> patient = dg.phantom("c-shape")
    >>> dg.write_dicom("a/new/folder", patient=patient)  # doctest: +SKIP
    """
    doses = dict(beam_doses or {})
    if plan is None and (dose is not None or doses):
        raise OutputError("a DICOM dose belongs to a plan; give plan= as well.")
    if plan is not None:
        _check(plan, patient, doses)
        dose = plan.dose if dose is None else dose
    digest = ct_digest(patient.ct)
    identity = Identity(
        pseudonym=_pseudonym(patient),
        study=make_uid("study", digest, _pseudonym(patient)),
        frame_of_reference=make_uid("frame of reference", digest, _pseudonym(patient)),
    )
    with replacing_folder(Path(folder)) as place:
        images = write_ct(patient.ct, place, identity)
        structure_set = ""
        if patient.structures:
            structure_set = write_structures(patient, images, place, identity)
        if plan is None:
            return
        is_photon = plan.beams.machine.modality == "photons"
        write_plan = write_photon_plan if is_photon else write_ion_plan
        written = write_plan(plan, structure_set, place, identity)
        missing = sorted(set(doses) - set(written.numbers))
        if missing:
            raise OutputError(
                f"doses of beams {', '.join(map(str, missing))}, but the file has "
                f"{len(written.numbers)}: the fields of an arc are one beam. Give its dose as one."
            )
        if dose is not None:
            write_dose(dose, place / "RD.dcm", identity, plan=written)
        for number, each in sorted(doses.items()):
            path = place / f"RD_beam_{number}.dcm"
            write_dose(each, path, identity, plan=written, beam=number)


def _check(plan: Plan, patient: Patient, doses: Mapping[int, Dose]) -> None:
    """Whether plan, patient and doses of beams fit together."""
    if not isinstance(plan, Plan):
        raise OutputError(
            f"{plan!r} is no plan of spots; read it with a machine, or plan it, before writing it."
        )
    for beam in plan.beams:
        if beam.position != patient.ct.position:
            raise BeamError(
                f"the beam at gantry {beam.gantry:g}° was made for a patient in position "
                f"{beam.position}, but this one lies {patient.ct.position}. Steer the beams for "
                "this patient."
            )
    unknown = sorted(set(doses) - set(range(1, len(plan.beams) + 1)))
    if unknown:
        raise OutputError(
            f"doses of beams {', '.join(map(str, unknown))}, but the plan has beams 1 to "
            f"{len(plan.beams)}; number them in the plan's order."
        )


def _pseudonym(patient: Patient) -> str:
    """Name and number under which the patient appears, 64 characters at most."""
    plain = "".join(c for c in patient.name if c.isprintable() and c not in "\\^=").strip()
    return plain[:64] or _NOBODY
