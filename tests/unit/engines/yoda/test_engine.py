"""The engine object: settings, laws of dose, columns, directions, splitting, secondaries."""

import numpy as np
import pytest
from pytest import approx

from dosegrad import Patient, Plan, compute_dose, compute_influence, load_machine
from dosegrad.engines import Yoda
from dosegrad.engines.protocols import ChoosesGrid, ForwardEngine, InfluenceEngine
from dosegrad.engines.yoda.adaptive import Adaptive, heterogeneity, turns
from dosegrad.engines.yoda.secondaries import HALO_VARIANCES, water_secondaries
from dosegrad.engines.yoda.splitting import RINGS_25, split_on_lattice, split_on_rings
from dosegrad.errors import (
    BeamError,
    CapabilityError,
    EnergyError,
    PatientError,
    SettingsError,
    UnknownNameError,
)
from dosegrad.physics.stopping import range_in_water

MACHINE = load_machine("research-protons", energy_std=0.8, spot_sigma=3.0)
WHOLE = split_on_rings((1,))


def patient(spacing=(2.0, 1.5, 2.5), size=(60.0, 60.0, 60.0), hu=None):
    shape = tuple(round(a / b) for a, b in zip(size, spacing, strict=True))
    origin = tuple(-0.5 * (n - 1) * s for n, s in zip(shape, spacing, strict=True))[::-1]
    values = np.zeros(shape) if hu is None else hu(shape)
    return Patient.from_arrays(
        values, spacing=spacing, origin=origin, calibration="schneider-water"
    )


def spots(gantry=0.0, couch=0.0, energy=70.0, x=0.0, y=0.0, weight=1.0, machine=MACHINE):
    return Plan.from_spots(
        machine, gantry=gantry, couch=couch, isocentre=(0.0, 0.0, 0.0),
        x=np.atleast_1d(x), y=np.atleast_1d(y), energy=energy, weight=weight,
    )  # fmt: skip


def bare(**options):
    return Yoda(nuclear=False, splitting=WHOLE, **options)


def deposited(dose):
    """Energy per proton in water, MeV."""
    grams = np.prod(dose.grid.spacing) * 1e-3
    return dose.array.sum() * grams * 1e-3 / 1.602176634e-13 / 1e6


def test_protocols():
    engine = Yoda()
    for protocol in (ForwardEngine, InfluenceEngine, ChoosesGrid):
        assert isinstance(engine, protocol)


@pytest.mark.parametrize(("gantry", "couch"), [(0, 0), (90, 0), (180, 0), (37, 0), (120, 25)])
def test_all_energy_arrives_from_any_direction(gantry, couch):
    dose = compute_dose(patient(), spots(gantry, couch), engine=bare())
    assert deposited(dose) == approx(70.0, rel=8e-3)


@pytest.mark.parametrize("mode", ["range-frame", "energy-grid", "wet"])
def test_ranges_in_water(mode):
    dose = compute_dose(patient((2.0, 1.0, 2.0)), spots(), engine=bare(mode=mode))
    curve = dose.array.sum(axis=(0, 2))
    top = int(curve.argmax())
    i = top + int(np.argmax(curve[top:] < 0.8 * curve[top]))
    depth = i + 0.5 - (0.8 * curve[top] - curve[i]) / (curve[i - 1] - curve[i])
    assert depth == approx(float(range_in_water(70.0)), abs=0.15)


def test_turning_patient_and_beam_together_changes_nothing():
    def block(shape):
        hu = np.zeros(shape)
        hu[: shape[0] // 2, 4:8] = 800.0
        return hu

    def turned(shape):
        return block(shape).transpose(0, 2, 1)[:, :, ::-1]

    first = compute_dose(patient((2.0, 2.0, 2.0), hu=block), spots(0.0, x=3.0), engine=bare())
    other = compute_dose(patient((2.0, 2.0, 2.0), hu=turned), spots(90.0, x=3.0), engine=bare())
    assert other.array == approx(first.array.transpose(0, 2, 1)[:, :, ::-1], abs=1e-9)


def test_oblique_beams_see_the_same_water_as_straight_ones():
    straight = compute_dose(patient((1.5, 1.5, 1.5)), spots(0.0), engine=bare())
    oblique = compute_dose(patient((1.5, 1.5, 1.5)), spots(45.0), engine=bare())
    depth = 20.0  # mm behind the isocentre plane, where both are in the plateau
    here = straight.at([[0.0, 0.0, 0.0]])[0]
    assert oblique.at([[0.0, 0.0, 0.0]])[0] < here * 1.6
    across = [[0.0, 0.0, z] for z in (0.0, 3.0, 6.0)]
    shape = [d.at(across) / d.at([[0.0, 0.0, 0.0]]) for d in (straight, oblique)]
    assert shape[1] == approx(shape[0], abs=0.03)
    assert depth > 0


def test_dose_is_linear_and_columns_agree_with_forward():
    body = patient((3.0, 2.0, 2.5))
    plan = spots(30.0, x=[-4.0, 5.0], y=[2.0, -3.0], weight=[1.0, 0.5])
    engine = Yoda(splitting=split_on_rings(RINGS_25))
    influence = compute_influence(body, plan.beams, engine=engine, quantities=("let_dose",))
    forward = compute_dose(body, plan, engine=engine, grid=influence.grid)
    matrix = influence.dose(plan.weights).array
    assert matrix == approx(forward.array, abs=4e-4 * forward.array.max())
    let = influence.quantity("let_dose") @ plan.weights / np.maximum(matrix.ravel(), 1e-9)
    inside = matrix.ravel() > 0.2 * matrix.max()
    assert let[inside].min() > 0.8
    assert let.max() < 30.0


def test_splitting_changes_nothing_in_water():
    body = patient((2.0, 2.0, 2.0))
    whole = compute_dose(body, spots(), engine=bare())
    for splitting in (split_on_rings(), split_on_lattice(0.5)):
        split = compute_dose(body, spots(), engine=Yoda(nuclear=False, splitting=splitting))
        assert split.array == approx(whole.array, abs=4e-3 * whole.array.max())


def test_diverging_correlated_spots_split_as_they_run():
    machine = load_machine("generic-protons")
    energy = float(machine.energies[2])
    plan = spots(energy=energy, x=4.0, y=-3.0, machine=machine)
    body = patient((2.0, 2.0, 2.0), size=(70.0, 70.0, 70.0))
    whole = compute_dose(body, plan, engine=bare())
    split = compute_dose(body, plan, engine=Yoda(nuclear=False, splitting=split_on_lattice(0.5)))
    assert split.array == approx(whole.array, abs=6e-3 * whole.array.max())


def test_probes_see_steps_and_leave_homogeneous_spots_whole():
    def slab(shape):
        hu = np.zeros(shape)
        hu[shape[0] // 2 :, 5:12] = 1000.0
        return hu

    engine = Yoda(nuclear=False)
    found = []
    for body in (patient((1.0, 1.0, 1.0)), patient((1.0, 1.0, 1.0), hu=slab)):
        transport = engine.transport(body.medium(), spots().beams, 0)
        found.append(float(heterogeneity(transport, np.array([0]))[0]))
        schemes = engine.schemes(transport, np.array([0]))
        found.append(schemes[0].n_beamlets)
    assert found[0] == approx(0.0, abs=1e-9)
    assert found[1] == 1
    assert found[2] > 1.5
    assert found[3] > 300


def test_a_spot_does_not_feel_what_else_is_in_the_plan():
    def slab(shape):
        hu = np.zeros(shape)
        hu[:, 5:10, 10:] = 700.0
        return hu

    body = patient((3.0, 2.0, 3.0), hu=slab)
    places = ((-6.0, -4.0, 1.0), (1.0, 3.0, 2.0), (7.0, 0.0, 0.5))
    x, y, weight = (np.array(v) for v in zip(*places, strict=True))
    whole = compute_dose(body, spots(x=x, y=y, weight=weight), engine=bare()).array
    parts = [
        compute_dose(body, spots(x=[a], y=[b], weight=[w]), engine=bare()).array
        for a, b, w in places
    ]
    assert np.sum(parts, axis=0) == approx(whole, abs=1e-9 * whole.max())


def test_lattices_of_spots_are_turned_by_place_and_energy():
    x, y = (
        v.ravel() for v in np.meshgrid(np.arange(-20.0, 21.0, 5.0), np.arange(-20.0, 21.0, 5.0))
    )
    plan = spots(x=x, y=y, energy=np.where(x > 7.0, 70.0, 80.0))
    transport = Yoda().transport(patient().medium(), plan.beams, 0)
    found = turns(transport, np.arange(x.size)) % 90.0
    assert np.unique(found.round(6)).size > 70
    counts, _ = np.histogram(found, bins=6, range=(0.0, 90.0))
    assert counts.min() >= 6


def test_nuclear_events_take_from_the_peak_and_make_a_halo():
    body = patient((2.0, 1.5, 2.0), size=(90.0, 60.0, 90.0))
    plan = spots(energy=80.0)
    on, off = (
        compute_dose(body, plan, engine=Yoda(nuclear=n, splitting=WHOLE)) for n in (True, False)
    )
    ratio = on.array.sum(axis=(0, 2)).max() / off.array.sum(axis=(0, 2)).max()
    assert 0.85 < ratio < 0.95
    away = [[16.0, 0.0, 0.0]]
    assert on.at(away)[0] > 10 * off.at(away)[0]
    assert deposited(on) == approx(78.6, abs=1.0)


def test_secondaries_between_the_energies_of_the_ladder():
    table = water_secondaries(92.3, 75.0)
    assert table.halo.shape == (len(HALO_VARIANCES), table.depth.size)
    assert (np.diff(table.core) > -1e-6).all()
    total = table.core[-1] + table.halo[:, -1].sum()
    lower = water_secondaries(85.0, 75.0)
    assert lower.core[-1] + lower.halo[:, -1].sum() < total < 0.15 * 92.3


def test_range_shifters_take_range():
    from dataclasses import replace

    from dosegrad.beams.beam import Beams, RangeShifter

    plan = spots(energy=80.0)
    shifter = RangeShifter(thickness=20.0, distance=100.0)
    beams = Beams(MACHINE, (replace(plan.beams[0], range_shifter=shifter),), plan.beams.columns)
    shifted = Plan(beams, plan.weights)
    doses = [compute_dose(patient((2.0, 1.0, 2.0)), p, engine=bare()) for p in (plan, shifted)]
    peaks = [int(d.array.sum(axis=(0, 2)).argmax()) for d in doses]
    assert peaks[0] - peaks[1] == approx(20, abs=1)
    assert shifted.beams[0].range_shifter == shifter


def test_bad_settings_and_beams_say_what_is_wrong():
    with pytest.raises(UnknownNameError, match="no mode of the deterministic engine 'fast'"):
        Yoda(mode="fast")
    with pytest.raises(UnknownNameError, match="scattering model"):
        Yoda(scattering="highland")
    with pytest.raises(SettingsError, match="mean excitation energy"):
        Yoda(water_i_value=780.0)
    for bad in (-1.0, np.nan, np.inf, "fine", None, True):
        with pytest.raises(SettingsError, match="width of the classes of paths"):
            Yoda(sharing=bad)
    for bad in ("fine", None, 61, split_on_rings):
        with pytest.raises(SettingsError, match="is no splitting"):
            Yoda(splitting=bad)
    for bad in ("no", 0, None):
        with pytest.raises(SettingsError, match="nuclear is True or False"):
            Yoda(nuclear=bad)
    for bad in ("75", None, np.nan):
        with pytest.raises(SettingsError, match="mean excitation energy"):
            Yoda(water_i_value=bad)
    for name in ("mode", "scattering", "tissue_i_values", "dose_to", "outside_body"):
        with pytest.raises(UnknownNameError):
            Yoda(**{name: None})
        with pytest.raises(UnknownNameError):
            Yoda(**{name: ["wet"]})
    assert Yoda(sharing=np.float32(0.0), nuclear=np.True_).sharing == 0.0
    with pytest.raises(SettingsError, match="do not go together"):
        Adaptive(spreads=(1.0, 0.5, 2.0))
    for bad in ({"pitches": (0.5, -0.5, 0.3)}, {"pitches": (0.5, np.nan, 0.3)},
                {"pitches": ("a", "b", "c")}, {"spreads": 0.5}, {"spreads": (0.1, 0.2, np.inf)},
                {"voxels_per_pitch": 0.0}, {"voxels_per_pitch": "two"}):  # fmt: skip
        with pytest.raises(SettingsError, match=r"do not go together|voxels per pitch"):
            Adaptive(**bad)
    with pytest.raises(EnergyError, match=r"9\.00 MeV is outside machine 'research-protons'"):
        spots(energy=9.0)


def test_densities_beyond_metal_are_refused():
    body = patient((3.0, 3.0, 3.0))
    medium = body.medium()
    from dataclasses import replace

    heavy = replace(medium, density=medium.density * 30.0)
    with pytest.raises(PatientError, match="more than any metal"):
        bare().forward(heavy, spots().beams, np.ones(1), np.arange(5))


def test_other_particles_are_refused():
    from dataclasses import replace

    carbon = replace(MACHINE, modality="carbon", name="ions")
    with pytest.raises(CapabilityError, match="transports protons"):
        Yoda().quantities(carbon)


def test_a_spot_that_misses_the_patient_is_told():
    body = patient((3.0, 3.0, 3.0))
    with pytest.raises(BeamError, match=r"spot 1 of beam 1 \(gantry 0°\) misses the patient: "):
        compute_dose(body, spots(x=200.0), engine=bare())
    with pytest.raises(BeamError, match=r"spot 2 of beam 2 .*, and so do 1 others:"):
        several = {"x": [0.0, 0.0, 200.0, 300.0], "weight": 1.0}
        compute_dose(body, spots([0.0, 90.0, 90.0, 90.0], **several), engine=bare())
    two = Plan.from_spots(
        MACHINE, gantry=0, isocentre=(0, 0, 0), x=[0.0, 200.0], y=0.0, energy=90.0, weight=[1, 0]
    )
    assert compute_dose(body, two, engine=bare()).array.max() > 0.0


def test_metal_beyond_the_calibration_is_told():
    def implant(shape):
        hu = np.zeros(shape)
        hu[4, 5, 6:12] = 12_000.0
        return hu

    with pytest.raises(PatientError, match=r"hold up to 12000 HU, as metal does.*3071 HU"):
        compute_dose(patient((3.0, 3.0, 3.0), hu=implant), spots(), engine=Yoda())


def test_paths_that_stop_alike_share_a_solve():
    def mixed(shape):
        rng = np.random.default_rng(5)
        hu = np.zeros(shape)
        hu[:, 3:9] = rng.choice([-700.0, 30.0, 60.0, 900.0], size=(shape[0], 6, shape[2]))
        return hu

    body = patient((2.5, 2.0, 2.5), hu=mixed)
    doses = [
        compute_dose(body, spots(20.0), engine=Yoda(nuclear=False, sharing=s)).array
        for s in (0.0, 0.004)
    ]
    assert doses[1] == approx(doses[0], abs=3e-3 * doses[0].max())
