"""Photons as they are delivered: sequenced fields and an arc on the C-shape."""

from dataclasses import replace

import pytest

import dosegrad as dg
from dosegrad import objectives as obj
from dosegrad.evaluation.arc_delivery import arc_delivery
from dosegrad.optimisation.aperture_problem import objective_of

WISHES = {
    "Target": [obj.SquaredDeviation(50.0, weight=100)],
    "Core": [obj.SquaredOverdose(20.0, weight=30)],
    "Body": [obj.MeanDose(weight=1)],
}


@pytest.mark.slow
def test_an_arc_of_a_full_turn_is_worth_nine_sequenced_fields():
    patient, machine = dg.phantom("c-shape"), dg.load_machine("generic-6mv")
    beams = dg.steer(patient, machine, target="Target", gantry=range(0, 360, 40), bixel=5.0)
    influence = dg.compute_influence(patient, beams, dose_spacing=(4.0, 3.75, 4.5))
    fluence = dg.optimise(influence, WISHES, fractions=25)
    # recomputed in field mode on the grid of the arc
    nine = replace(dg.sequence(fluence), dose=None)
    delivered = dg.compute_dose(patient, nine)
    target = patient.structures["Target"]
    assert abs(delivered.mean(target) - fluence.dose.mean(target)) < 0.02 * 50.0

    arc = dg.optimise_arc(patient, machine, WISHES, target="Target", fractions=25)
    assert len(arc.beams) == len(arc.apertures) == 90
    assert arc.objective <= 1.1 * objective_of(patient, beams, delivered, WISHES)
    assert arc_delivery(arc).is_possible
