"""Field mode: whole apertures against sums of bixels, the plain twin and hand calculations."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.engines.photon_kernel import _kernels, _reference
from dosegrad.engines.photon_kernel._arrays import FieldMap, Scene
from dosegrad.engines.photon_kernel.engine import PhotonKernel
from dosegrad.engines.photon_kernel.field import covered, segment_fluence
from dosegrad.errors import CapabilityError
from dosegrad.influence.build import compute_influence
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.library import load_machine
from dosegrad.patient.patient import Patient
from dosegrad.plan import Plan
from dosegrad.plan_dose import compute_dose


@pytest.fixture(scope="module")
def linac():
    return load_machine("generic-6mv")


@pytest.fixture(scope="module")
def tank():
    shape = (15, 40, 17)
    return Patient.from_arrays(
        np.zeros(shape),
        spacing=(8.0, 5.0, 8.0),
        origin=(-64.0, 2.5, -56.0),
        structures={"Body": np.ones(shape, bool)},
        roles={"Body": "external"},
        calibration="schneider-water",
    )


def square(linac, side, weight):
    """Bixels of 5 mm that fill a square, with isocentre at 10 cm depth of the tank."""
    middles = np.arange(-0.5 * side + 2.5, 0.5 * side, 5.0)
    x, y = (v.ravel() for v in np.meshgrid(middles, middles))
    return Plan.from_bixels(
        linac, gantry=0, isocentre=(0.0, 100.0, 0.0), x=x, y=y, width=5.0, weight=weight
    )


def ideal(linac):
    leaves = replace(linac.collimator, transmission=0.0, jaw_transmission=0.0, leaf_end_offset=0.0)
    return replace(linac, collimator=leaves)


def test_an_open_field_is_the_sum_of_its_bixels(linac, tank):
    linac = ideal(linac)
    engine = PhotonKernel(lateral_cutoff=200.0)
    bixels = square(linac, 60.0, 100.0)
    opening = Apertures.open_field(linac.collimator, width=60.0, height=60.0, monitor_units=100.0)
    summed = compute_dose(tank, bixels, engine=engine).array
    whole = compute_dose(tank, replace(bixels, apertures=opening), engine=engine).array
    assert np.abs(whole - summed).max() < 1e-5 * summed.max()


def test_one_monitor_unit_is_one_centigray_at_reference(linac):
    shape = (21, 40, 21)
    tank = Patient.from_arrays(
        np.zeros(shape),
        spacing=(8.0, 2.0, 8.0),
        origin=(-80.0, 1.0, -80.0),
        structures={"Body": np.ones(shape, bool)},
        roles={"Body": "external"},
        calibration="schneider-water",
    )
    at = Plan.from_bixels(linac, gantry=0, isocentre=(0, 0, 0), x=0, y=0, width=5.0, weight=0.0)
    opening = Apertures.open_field(linac.collimator, width=100.0, height=100.0, monitor_units=100.0)
    dose = compute_dose(tank, replace(at, apertures=opening), grid=tank.ct.grid).array
    assert dose[10, :, 10].max() == approx(1.0, abs=0.003)
    depth = 2.0 * np.argmax(dose[10, :, 10]) + 1.0
    assert 12.0 <= depth <= 16.0


def test_closed_leaves_pass_what_they_transmit(linac, tank):
    """Behind leaves closed outside the jaws, the dose is the open field's times transmission."""
    sealed = replace(linac.collimator, transmission=0.02, jaw_transmission=0.0)
    linac = replace(linac, collimator=sealed)
    plan = square(linac, 60.0, 0.0)
    opening = Apertures.open_field(sealed, width=60.0, height=60.0, monitor_units=100.0)
    tips = np.full(sealed.pairs, 60.0)
    closed = replace(opening, left=[tips], right=[tips])
    doses = [compute_dose(tank, replace(plan, apertures=a)).array for a in (opening, closed)]
    assert np.allclose(doses[1], 0.02 * doses[0], atol=1e-12)


def test_rounded_ends_widen_a_field_by_twice_the_offset():
    leaves = MultileafCollimator(np.array([-5.0, 5.0]), 0.0, 0.0, leaf_end_offset=0.7)
    edges = np.arange(-20.0, 20.1, 0.5)
    aperture = Aperture((-20.0, 20.0, -5.0, 5.0), np.array([-3.0]), np.array([4.0]))
    fluence = segment_fluence(leaves, Apertures.of([0], [aperture], [2.0]), edges, edges)
    assert fluence.sum() * 0.25 == approx(2.0 * (7.0 + 1.4) * 10.0)
    assert fluence.max() == approx(2.0)


def test_a_turned_collimator_is_a_turned_dose(linac, tank):
    linac = ideal(linac)
    plan = square(linac, 60.0, 0.0)
    tips = np.full(linac.collimator.pairs, 45.0)
    doses = []
    for jaws, rotation in (((-30, 30, -10, 10), 0.0), ((-10, 10, -30, 30), 90.0)):
        opening = Apertures.of([0], [Aperture(jaws, -tips, tips, rotation)], [100.0])
        doses.append(compute_dose(tank, replace(plan, apertures=opening)).array)
    assert np.abs(doses[0] - doses[1]).max() < 1e-6 * doses[0].max()


def test_shares_of_pixels():
    edges = np.array([0.0, 1.0, 2.0, 4.0])
    assert covered(edges, 0.5, 3.0) == approx([0.5, 1.0, 0.5])
    assert covered(edges, np.array([5.0]), np.array([6.0])).tolist() == [[0.0, 0.0, 0.0]]


def test_the_compiled_look_up_is_its_plain_twin():
    rng = np.random.default_rng(4)
    points = np.column_stack([rng.uniform(-80, 80, (200, 2)), rng.uniform(-1100, -900, 200)])
    scene = Scene(points, rng.random((200, 3)), np.arange(200, dtype=np.int32), np.empty((0, 4)))
    turn = np.array([np.cos(0.3), np.sin(0.3)])
    field = FieldMap(rng.random((50, 60, 3)), np.array([-60.0, -45.0]), 2.0, turn)
    doses = np.zeros((2, 200))
    _kernels.add_field(scene, field, 1000.0, doses[0])
    _reference.add_field(scene, field, 1000.0, doses[1])
    assert np.allclose(doses[0], doses[1], atol=1e-12)
    assert 0 < np.count_nonzero(doses[0]) < 200


def test_machines_without_leaves_deliver_no_apertures(linac, tank):
    plan = square(linac, 60.0, 1.0)
    opening = Apertures.open_field(linac.collimator, width=60.0, height=60.0, monitor_units=1.0)
    bare = replace(plan, beams=replace(plan.beams, machine=replace(linac, collimator=None)))
    with pytest.raises(CapabilityError, match="has no leaves"):
        PhotonKernel().forward_apertures(tank.medium(), bare.beams, opening, np.arange(10))


def test_bixels_with_a_fluence_of_their_own_add_up_to_the_field(linac, tank):
    """Averaged over each bixel the fluence in air is off a little; pixel by pixel it is not."""
    linac = ideal(linac)
    steep = replace(linac, primary_fluence=np.array([[0.0, 1.0], [60.0, 1.6], [200.0, 1.6]]))
    bixels = square(steep, 40.0, 100.0)
    opening = Apertures.open_field(steep.collimator, width=40.0, height=40.0, monitor_units=100.0)
    settings = {"lateral_cutoff": 180.0}
    engines = [PhotonKernel(primary_fluence=p, **settings) for p in ("machine", "exact")]
    averaged, exact = (compute_dose(tank, bixels, engine=e).array for e in engines)
    whole = compute_dose(tank, replace(bixels, apertures=opening), engine=engines[0]).array
    assert np.abs(exact - whole).max() < 1e-5 * whole.max()
    assert np.abs(averaged - whole).max() > 1e-3 * whole.max()


def test_columns_of_their_own_fluence_are_those_of_the_plain_twin(linac, tank):
    bixels = square(linac, 10.0, 1.0)
    engine = PhotonKernel(primary_fluence="exact", lateral_cutoff=20.0, relative_cutoff=0.01)
    influence = compute_influence(tank, bixels.beams, engine=engine)
    columns = engine.prepare(tank.medium(), bixels.beams, 0, influence.voxels)
    inputs = columns._inputs(0, 4)
    found = _reference.column_entries(*inputs, 1)
    mine = influence.matrix[:, [1]].toarray().ravel()
    assert np.array_equal(np.flatnonzero(mine), inputs[0].rows[found[0]])
    assert mine[mine > 0] == approx(found[1], rel=1e-6)
