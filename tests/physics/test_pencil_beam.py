"""Laws of the particle pencil beam."""

import numpy as np
import pytest

from dosegrad.beams.beam import Beams, RangeShifter
from dosegrad.beams.spots import spots_to_beams
from dosegrad.beams.steering import steer
from dosegrad.engines import PencilBeam
from dosegrad.influence.build import compute_influence
from dosegrad.patient.patient import Patient
from dosegrad.units import J_PER_MEV


def tank(
    hu=0.0, *, position="HFS", origin=(-59.0, -74.0, -58.5), body=None, spacing=(3.0, 2.0, 2.0)
):
    """Water, 120 x 150 x 120 mm with the default spacing."""
    shape = tuple(int(n) for n in np.round(np.array([120.0, 150.0, 120.0]) / spacing))
    values = np.full(shape, hu)
    mask = np.ones(shape, dtype=bool) if body is None else body
    return Patient.from_arrays(
        values,
        spacing=spacing,
        origin=origin,
        structures={"Body": mask},
        roles={"Body": "external"},
        calibration="schneider-water",
        position=position,
    )


def one_spot(machine, energy=100.0, **changes):
    settings = {"gantry": 0.0, "isocentre": (0.0, 0.0, 0.0), "x": 0.0, "y": 0.0, "energy": energy}
    return spots_to_beams(machine, **settings | changes)


def dose(patient, beams, engine=None, weights=None):
    engine = engine or PencilBeam()
    influence = compute_influence(patient, beams, engine=engine, grid=patient.ct.grid)
    return influence.dose(np.ones(beams.n_columns) if weights is None else weights).array


def test_energy_in_a_tank_is_the_integral_of_the_depth_dose(toy_machine):
    """All the energy of a spot that stops in water is found there (to the cut-off's rim)."""
    patient = tank(spacing=(3.0, 0.5, 3.0), origin=(-58.5, -74.75, -58.5))
    engine = PencilBeam(lateral_cutoff=0.9999)
    air = 0.0011 * (500.0 - 75.0)
    for energy in (70.0, 100.0):
        total = dose(patient, one_spot(toy_machine, energy), engine).sum()
        joule = total * patient.ct.grid.voxel_volume_cc * 1e-3  # Gy times kg
        data = toy_machine.at_energy(energy)
        depths = np.linspace(air, data.depths[-1], 20001)
        curve = np.interp(depths, data.depths, data.dose)
        mev = np.trapezoid(curve, depths) * 0.1 * 1e6  # MeV/(g/cm2) times cm
        assert joule == pytest.approx(mev * J_PER_MEV, rel=2e-3)


def test_peak_lies_at_the_tabulated_depth(toy_machine):
    patient = tank(spacing=(3.0, 0.5, 3.0), origin=(-58.5, -74.75, -58.5))
    for energy in (80.0, 100.0):
        depth_dose = dose(patient, one_spot(toy_machine, energy)).sum(axis=(0, 2))
        depth = (np.argmax(depth_dose) + 0.5) * 0.5
        air = 0.0011 * (500.0 - 75.0)
        assert depth + air == pytest.approx(toy_machine.at_energy(energy).peak, abs=0.5)


def test_dose_is_linear_in_weights(toy_machine):
    patient = tank()
    beams = one_spot(toy_machine, x=[0.0, 6.0, 6.0], energy=[100.0, 90.0, 70.0])
    influence = compute_influence(patient, beams)
    a, b = np.array([1.0, 2.0, 0.0]), np.array([0.5, 0.0, 3.0])
    both = influence.dose(2 * a + b).array
    np.testing.assert_allclose(
        both, 2 * influence.dose(a).array + influence.dose(b).array, rtol=1e-12
    )


def test_opposed_beams_give_a_symmetric_dose(toy_machine):
    patient = tank()
    beams = one_spot(toy_machine, gantry=[90.0, 270.0], energy=90.0)
    found = dose(patient, beams)
    np.testing.assert_allclose(found, found[:, :, ::-1], rtol=1e-5, atol=1e-9)


def test_moving_patient_and_beam_together_changes_nothing(toy_machine):
    shift = np.array([13.0, -7.5, 41.0])
    here = dose(tank(), one_spot(toy_machine, gantry=30.0, couch=20.0))
    origin = tuple(np.array([-59.0, -74.0, -58.5]) + shift)
    there = dose(
        tank(origin=origin),
        one_spot(toy_machine, gantry=30.0, couch=20.0, isocentre=tuple(shift)),
    )
    np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-9)


def test_a_turned_patient_sees_the_turned_beam(toy_machine):
    """A beam from above meets the back of a patient who lies face down."""
    patient = tank()
    above = dose(tank(position="HFP"), one_spot(toy_machine, position="HFP", x=8.0))
    below = dose(patient, one_spot(toy_machine, gantry=180.0, x=8.0))
    np.testing.assert_allclose(above, below, rtol=1e-5, atol=1e-9)
    feet = dose(tank(position="FFS"), one_spot(toy_machine, position="FFS", x=8.0, y=12.0))
    head = dose(patient, one_spot(toy_machine, x=-8.0, y=-12.0))
    np.testing.assert_allclose(feet, head, rtol=1e-5, atol=1e-9)


def test_rays_diverge_from_the_source(toy_machine):
    """Away from the isocentre plane a ray is displaced by the ratio of distances to the source."""
    patient = tank(spacing=(2.0, 2.0, 2.0), origin=(-59.0, -74.0, -59.0))
    found = dose(patient, one_spot(toy_machine, x=40.0))
    _, y, x = patient.ct.grid.axis_coordinates()
    for depth in (5, 30):
        plane = found[:, depth, :].sum(axis=0)
        height = -y[depth]  # above the isocentre, gantry 0
        expected = 40.0 * (2000.0 - height) / 2000.0
        assert (plane * x).sum() / plane.sum() == pytest.approx(expected, abs=0.05)
    parallel = Beams(
        toy_machine,
        tuple(type(b)(b.gantry, b.couch, b.isocentre, None) for b in one_spot(toy_machine)),
        one_spot(toy_machine, x=40.0).columns,
    )
    plane = dose(patient, parallel)[:, 5, :].sum(axis=0)
    assert (plane * x).sum() / plane.sum() == pytest.approx(40.0, abs=0.02)


def test_fluence_of_a_field_falls_with_the_square_of_the_distance(toy_machine):
    """A broad field far from its edges: plane doses scale as (SAD - z)^-2 times the depth dose."""
    patient = tank(spacing=(4.0, 2.0, 4.0), origin=(-58.0, -74.0, -58.0))
    at = np.arange(-70.0, 71.0, 4.0)
    x, y = (v.ravel() for v in np.meshgrid(at, at))
    beams = one_spot(toy_machine, energy=100.0, x=x, y=y)
    found = dose(patient, beams, PencilBeam(lateral_cutoff=0.9999))
    _, heights, _ = patient.ct.grid.axis_coordinates()
    axis = found[14:16, :, 14:16].mean(axis=(0, 2))
    data = toy_machine.at_energy(100.0)
    depth = heights + 75.0 + 0.0011 * 425.0
    curve = np.interp(depth, data.depths, data.dose) * 0.016021766 / 16.0
    expected = curve * (2000.0 / (2000.0 + heights)) ** 2
    np.testing.assert_allclose(axis[2:30], expected[2:30], rtol=4e-3)


def test_tissue_stretches_the_depth(toy_machine):
    """What stops as 1.x times as much water halves depths accordingly."""
    dense = tank(hu=400.0)
    ratio = float(dense.medium().stopping_power_ratio.mean())
    assert ratio > 1.1
    profiles = [dose(p, one_spot(toy_machine)).sum(axis=(0, 2)) for p in (tank(), dense)]
    peaks = [(np.argmax(p) + 0.5) * 2.0 for p in profiles]
    air = 0.0011 * 425.0
    assert (peaks[1] * ratio + air) == pytest.approx(peaks[0] + air, abs=2.0 * ratio)


def test_range_shifter_takes_its_thickness(toy_machine):
    patient = tank(spacing=(3.0, 0.5, 3.0), origin=(-58.5, -74.75, -58.5))
    open_field = dose(patient, one_spot(toy_machine)).sum(axis=(0, 2))
    shifted = dose(patient, one_spot(toy_machine, range_shifter=RangeShifter(20.0, 120.0))).sum(
        axis=(0, 2)
    )
    moved = (np.argmax(open_field) - np.argmax(shifted)) * 0.5
    assert moved == pytest.approx(20.0, abs=0.5)
    widths = []
    for shifter in (None, RangeShifter(20.0, 120.0)):
        found = dose(patient, one_spot(toy_machine, range_shifter=shifter))
        lateral = found[:, 4, :].sum(axis=0)
        _, _, x = patient.ct.grid.axis_coordinates()
        widths.append((lateral * x**2).sum() / lateral.sum())
    assert widths[1] > widths[0] + 1.0


def test_air_outside_the_body_by_option(toy_machine):
    """A couch before the body counts only where the CT is to be believed."""
    shape = (40, 75, 60)
    body = np.ones(shape, dtype=bool)
    body[:, :15] = False  # 30 mm of material before the body
    patient = tank(body=body)
    through = dose(patient, one_spot(toy_machine), PencilBeam(outside_body="ct"))
    free = dose(patient, one_spot(toy_machine))
    peaks = [int(np.argmax(d.sum(axis=(0, 2)))) for d in (through, free)]
    assert peaks[1] - peaks[0] == 15


def test_forward_dose_is_matrix_times_weights(water_box, toy_machine):
    beams = steer(water_box, toy_machine, target="Target", gantry=[20.0, 110.0], couch=[0.0, 15.0])
    weights = np.random.default_rng(7).uniform(0.0, 2.0, beams.n_columns)
    influence = compute_influence(water_box, beams)
    forward = PencilBeam().forward(
        water_box.medium(influence.grid), beams, weights, influence.voxels
    )
    matrix = influence.matrix.astype(np.float64) @ weights
    np.testing.assert_allclose(forward, matrix, rtol=1e-6, atol=1e-7 * matrix.max())


def test_let_of_one_spot_is_its_table(toy_machine):
    patient = tank()
    influence = compute_influence(patient, one_spot(toy_machine), quantities=("let_dose",))
    ratio = influence.quantity("let_dose").data / influence.matrix.data
    data = toy_machine.at_energy(100.0)
    depths = influence.grid.voxel_points(influence.voxels[influence.matrix.indices])[:, 1] + 75.0
    # rays are nearly parallel; LET rises with depth only
    expected = np.interp(depths + 0.0011 * 425.0, data.depths, data.let)
    np.testing.assert_allclose(ratio, expected, rtol=2e-2)
