"""A small study of protons whose dose the quick mode of the deterministic engine computed."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dosegrad import Patient, Plan, compute_dose, engines, load_machine
from dosegrad.io.dicom.study import Study

QUICK = engines.Yoda(mode="wet")


def ball(swelling=0.0, bone=900.0):
    """Soft tissue with a plate of bone; ``swelling`` lifts the skin on the side of the beam."""
    z, y, x = np.mgrid[:14, :24, :20].astype(float)
    z, y, x = (z - 6.5) * 5.0, (y - 11.5) * 4.0, (x - 9.5) * 4.5
    lift = np.where(y < 0, swelling, 0.0)
    body = np.sqrt((x / 38) ** 2 + (y / (40 + lift)) ** 2 + (z / 30) ** 2) < 1
    hu = np.where(body, 30.0, -1000.0)
    hu[body & (y > -28) & (y < -20)] = bone
    target = np.sqrt(x**2 + y**2 + z**2) < 13
    cord = (np.hypot(x, y - 24) < 7) & (np.abs(z) < 18)
    made = Patient.from_arrays(
        hu,
        spacing=(5.0, 4.0, 4.5),
        origin=(-42.75, -46.0, -32.5),
        structures={"CTV": target, "Cord": cord, "Body": body},
        roles={"CTV": "target", "Body": "external"},
    )
    return replace(made, name="ball")


@pytest.fixture(scope="session")
def small():
    """Makers and parts of the study: ``study``, ``patient``, ``plan``, ``ball``, ``quick``."""
    machine = load_machine("generic-protons")
    patient = ball()
    grid = np.arange(-8.0, 9.0, 8.0)
    x, y, k = (a.ravel() for a in np.meshgrid(grid, grid, (6, 11, 16)))
    plan = Plan.from_spots(
        machine,
        gantry=0.0,
        isocentre=(0.0, 0.0, 0.0),
        x=x,
        y=y,
        energy=machine.energies[k.astype(int)],
        weight=60.0 + 40.0 * (k == 11),
        fractions=20,
    )
    dose = compute_dose(patient, plan, engine=QUICK, grid=patient.ct.grid)
    scale = 40.0 / dose.mean(patient.structure("CTV"))
    plan = replace(plan, weights=plan.weights * scale)
    dose = replace(dose, array=dose.array * scale)
    study = Study(patient, plan, dose)
    return SimpleNamespace(
        study=study, patient=patient, plan=plan, dose=dose, ball=ball, quick=QUICK
    )
