"""Fields of ions: range shifters, couch angles, several isocentres, second Gaussians."""

import numpy as np
import pytest

from dosegrad import load_machine
from dosegrad.beams.beam import Beams, RangeShifter
from dosegrad.beams.spots import spots_to_beams
from dosegrad.beams.steering import steer
from dosegrad.engines.pencil_beam.engine import PencilBeam
from dosegrad.influence.build import compute_influence
from dosegrad.patient.patient import Patient


def tank(spacing=(3.0, 1.0, 3.0)):
    shape = tuple(int(v / s) for v, s in zip((90.0, 160.0, 90.0), spacing, strict=True))
    target = np.zeros(shape, dtype=bool)
    middle = [slice(int(0.4 * n), int(0.6 * n)) for n in shape]
    target[tuple(middle)] = True
    return Patient.from_arrays(
        np.zeros(shape),
        spacing=spacing,
        origin=tuple(-0.5 * s * (n - 1) for s, n in zip(spacing[::-1], shape[::-1], strict=True)),
        structures={"Target": target, "Body": np.ones(shape, dtype=bool)},
        roles={"Target": "target", "Body": "external"},
        calibration="schneider-water",
    )


@pytest.fixture(scope="module", params=["generic-carbon", "generic-helium"])
def machine(request):
    return load_machine(request.param)


def spot(machine, **changes):
    energy = float(machine.energies[np.abs(machine.ranges - 100.0).argmin()])
    settings = {"gantry": 0.0, "isocentre": (0.0, 0.0, 0.0), "x": 0.0, "y": 0.0, "energy": energy}
    return spots_to_beams(machine, **settings | changes)


def dose(patient, beams, weights=None, **options):
    influence = compute_influence(patient, beams, grid=patient.ct.grid, **options)
    return influence.dose(np.ones(beams.n_columns) if weights is None else weights).array


def test_a_range_shifter_takes_range_and_widens_the_spot(machine):
    patient = tank()
    _, y, x = patient.ct.grid.axis_coordinates()
    found = []
    for shifter in (None, RangeShifter(30.0, 200.0)):
        array = dose(patient, spot(machine, range_shifter=shifter))
        depth_dose = array.sum(axis=(0, 2))
        profile = array[:, 10, :].sum(axis=0)
        width = np.sqrt((profile * x**2).sum() / profile.sum())
        found.append((y[depth_dose.argmax()], width))
    assert found[0][0] - found[1][0] == pytest.approx(30.0, abs=1.1)
    assert found[1][1] > found[0][1] + 0.05


def test_a_turned_couch_turns_the_dose(machine):
    """A beam from the side, couch at 90: it enters along the patient's axis."""
    patient = tank(spacing=(2.0, 2.0, 2.0))
    energy = float(machine.energies[np.abs(machine.ranges - 40.0).argmin()])
    array = dose(patient, spot(machine, gantry=90.0, couch=90.0, energy=energy))
    along_z, along_y, along_x = (array.sum(axis=a) for a in ((1, 2), (0, 2), (0, 1)))
    middle_y, middle_x = along_y.size // 2, along_x.size // 2
    assert abs(int(along_y.argmax()) - middle_y) <= 1
    assert abs(int(along_x.argmax()) - middle_x) <= 1
    assert along_z.argmax() not in (along_z.size // 2 - 1, along_z.size // 2)


def test_fields_of_several_isocentres_add_up(machine):
    """A plan of two isocentres is the sum of one plan each; a moved isocentre moves the dose."""
    patient = tank()
    left, right = (
        spot(machine, isocentre=point, couch=couch)
        for point, couch in (((-9.0, 0.0, 0.0), 0.0), ((9.0, 10.0, 6.0), 30.0))
    )
    columns = np.concatenate([left.columns, right.columns])
    columns["beam"] = [0, 1]
    columns["ray"] = [0, 1]
    both = Beams(machine, (left[0], right[0]), columns)
    np.testing.assert_allclose(
        dose(patient, both), dose(patient, left) + dose(patient, right), rtol=1e-5, atol=1e-9
    )
    shifted = dose(patient, spot(machine, isocentre=(9.0, 0.0, 0.0)))
    np.testing.assert_allclose(
        shifted[:, :, 6:], dose(patient, left)[:, :, :-6], rtol=2e-3, atol=1e-5
    )


def test_steering_ions_with_couch_shifter_and_isocentres(machine):
    """Every spot stops in the grown target, whichever way it comes."""
    patient = tank()
    isocentres = [(0.0, 0.0, 0.0), (8.0, -6.0, 3.0)]
    beams = steer(
        *(patient, machine),
        target="Target",
        gantry=[0.0, 20.0],
        couch=[0.0, 90.0],
        isocentre=isocentres,
        range_shifter=RangeShifter(30.0, 150.0),
    )
    assert [b.isocentre for b in beams] == isocentres
    array = dose(patient, beams)
    target = patient.structure("Target").mask(patient.ct.grid)
    assert array[target].mean() > 2.0 * array[~target].mean()
    coverage = array[target] > 0.3 * array[target].mean()
    assert coverage.mean() > 0.99


def test_the_second_gaussian_is_the_fragments_halo(machine):
    """Away from the axis there is the dose that both Gaussians of the tables say."""
    patient = tank()
    beams = spot(machine)
    wide = dose(patient, beams, engine=PencilBeam(lateral_cutoff=0.9999))
    data = machine.at_energy(float(beams.columns["energy"][0]))
    depth = 60
    plane = wide[:, depth]
    z, _, x = patient.ct.grid.axis_coordinates()
    r2 = z[:, None] ** 2 + x[None, :] ** 2
    far = r2 > 9.0**2
    share = float(plane[far].sum() / plane.sum())
    at = depth + 0.5
    air = data.spot_sigma(machine.nozzle_distance - 80.0) ** 2
    variances = [np.interp(at, data.depths, sigma) ** 2 + air for sigma in data.sigmas]
    shares = [np.interp(at, data.depths, weight) for weight in data.weights]
    parts = [w / v * np.exp(-r2 / (2.0 * v)) for w, v in zip(shares, variances, strict=True)]
    expected = sum(p[far].sum() for p in parts) / sum(p.sum() for p in parts)
    assert parts[1][far].sum() > 0.3 * sum(p[far].sum() for p in parts)
    assert share == pytest.approx(expected, rel=0.05)


def test_let_and_biology_columns(machine):
    """All four quantities of a spot share their rows; alpha rises towards the peak."""
    patient = tank()
    engine = PencilBeam()
    assert engine.quantities(machine) == ("dose", "let_dose", "alpha_dose", "sqrt_beta_dose")
    from dosegrad.patient.water import water_medium

    medium = water_medium(patient, patient.ct.grid)
    voxels = np.arange(patient.ct.grid.n_voxels)
    tissue = np.zeros(voxels.size, dtype=np.int32)
    columns = engine.prepare(medium, spot(machine), 0, voxels, tissue=tissue)
    n = int(columns.count()[0])
    indices = np.empty(n, dtype=np.int32)
    values = {name: np.empty(n, dtype=np.float32) for name in engine.quantities(machine)}
    columns.fill(np.array([0, n]), indices, values)
    alpha = values["alpha_dose"] / values["dose"]
    beta = (values["sqrt_beta_dose"] / values["dose"]) ** 2
    np.testing.assert_allclose(beta, 0.05, rtol=1e-5)
    depth = indices // 30 % 160
    near_peak = np.abs(depth - 98) < 2
    assert alpha[near_peak].mean() > 1.5 * alpha[depth < 10].mean()
