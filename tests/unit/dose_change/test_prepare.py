"""Preparing dose changes: responses, parts, bad input."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx

from dosegrad import CT, Patient, Plan, compute_dose, load_machine, prepare_dose_change
from dosegrad import objectives as obj
from dosegrad.engines import PencilBeam, Yoda
from dosegrad.engines.yoda.splitting import split_on_rings
from dosegrad.errors import (
    BeamError,
    CapabilityError,
    EnergyError,
    GeometryError,
    PatientError,
    PlanError,
    SettingsError,
    UnknownNameError,
)

MACHINE = load_machine("research-protons", energy_std=0.8, spot_sigma=3.0)
ENGINE = Yoda(mode="wet", splitting=split_on_rings((1, 6)))


def patient(hu=20.0):
    values = np.full((18, 22, 20), hu)
    near, far = np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    near[6:12, 6:12, 6:14], far[6:12, 13:17, 6:14] = True, True
    return Patient.from_arrays(
        values, spacing=(3.0, 2.5, 2.8), origin=(-26.6, -26.25, -25.5),
        structures={"Near": near, "Far": far}, roles={"Near": "target"},
    )  # fmt: skip


def plan(gantry=(0.0, 90.0), energy=60.0, x=0.0, **options):
    return Plan.from_spots(
        MACHINE, gantry=list(gantry), isocentre=(0.0, 0.0, 0.0), x=x, y=1.0, energy=energy,
        weight=50.0, **options,
    )  # fmt: skip


def prepare(response=None, **options):
    response = obj.MeanDose().on("Far") if response is None else response
    arguments = {"engine": ENGINE, **options}
    return prepare_dose_change(patient(), plan(), response=response, **arguments)


@pytest.fixture(scope="module")
def predict():
    return prepare(structures=["Near", "Far"])


def test_planned_response_is_the_mean_dose(predict):
    dose = compute_dose(patient(), plan(), engine=ENGINE)
    assert predict.planned_value == approx(dose.mean(patient().structure("Far")), rel=2e-3)
    assert "PreparedDoseChange(2 beams" in repr(predict)
    assert predict.n_bytes > 0


def test_parts_add_up(predict):
    found = predict(patient(60.0).ct)
    assert len(found.by_beam) == 2
    assert sum(found.by_beam) == approx(found.value)
    assert found.by_structure["Far"] == approx(found.value)
    assert set(found.by_structure) == {"Near", "Far"}
    assert found.uncertainty > 0
    assert "depths" in found.method
    assert repr(found).startswith("DoseChange(")


def test_a_patient_may_be_given(predict):
    assert predict(patient(60.0)).value == approx(predict(patient(60.0).ct).value)


def test_cross_check_recomputes(predict):
    found = predict(patient(60.0).ct, cross_check=True)
    assert found.cross_check == approx(found.value, rel=0.02)
    assert predict(patient(60.0).ct).cross_check is None


def test_weighted_sums_and_mappings_of_objectives():
    one, other = (prepare(obj.MeanDose().on(name)) for name in ("Near", "Far"))
    wishes = [obj.MeanDose(weight=2.0).on("Near"), obj.MeanDose(weight=0.5).on("Far")]
    today = patient(60.0).ct
    expected = 2.0 * one(today).value + 0.5 * other(today).value
    assert prepare(wishes)(today).value == approx(expected, rel=1e-5)
    mapping = {"Near": [obj.MeanDose(weight=2.0)], "Far": obj.MeanDose(weight=0.5)}
    assert prepare(mapping)(today).value == approx(expected, rel=1e-5)


def test_doses_of_voxels_respond():
    weights = np.zeros(patient().ct.grid.shape)
    weights[9, 10, 10] = 1.0
    predict = prepare(weights)
    doses = [compute_dose(patient(hu), plan(), engine=ENGINE).array[9, 10, 10] for hu in (20, 30)]
    assert predict.planned_value == approx(doses[0], rel=5e-3)
    assert predict(patient(30.0).ct).value == approx(doses[1] - doses[0], rel=0.1)


def test_any_objective_responds_by_its_gradient():
    wish = obj.SquaredDeviation(4.0, weight=3.0).on("Near")
    predict = prepare(wish)
    values = []
    for hu in (20.0, 25.0):
        dose = compute_dose(patient(hu), plan(), engine=ENGINE)
        inside = dose.array[patient().mask("Near")]
        values.append(3.0 * np.mean((inside - 4.0) ** 2))
    assert predict.planned_value == approx(values[0], rel=5e-3)
    found = predict(patient(25.0).ct)
    assert found.value == approx(values[1] - values[0], rel=0.1)
    assert "slope" in found.method


def test_objectives_state_what_their_slope_cannot_tell():
    wishes = {"Near": [obj.SquaredDeviation(4.0, weight=10)], "Far": [obj.SquaredOverdose(0.2)]}
    predict = prepare(wishes)

    def value(hu):
        dose = compute_dose(patient(hu), plan(), engine=ENGINE).array
        near, far = (dose[patient().mask(name)] for name in ("Near", "Far"))
        return 10.0 * np.mean((near - 4.0) ** 2) + np.mean(np.maximum(far - 0.2, 0.0) ** 2)

    planned = value(20.0)
    for hu in (-300.0, -50.0, 60.0, 400.0):
        true, found = value(hu) - planned, predict(patient(hu).ct, cross_check=True)
        assert abs(found.value - true) < 2.0 * found.uncertainty, hu
        assert found.cross_check == approx(true, rel=1e-2), hu
        assert found.value >= -predict.planned_value
        assert sum(found.by_beam) == approx(found.value)


def test_modes_agree():
    today = patient(80.0).ct
    found = [
        prepare(engine=replace(ENGINE, mode=mode))(today).value
        for mode in ("wet", "range-frame", "energy-grid")
    ]
    assert found == approx([found[0]] * 3, rel=0.02)


def test_derivatives_by_spots(predict):
    found = predict.spot_derivatives(["x", "energy"])
    assert set(found) == {"weight", "x", "energy"}
    assert found["weight"] @ plan().weights == approx(predict.planned_value, rel=1e-6)
    assert all(values.shape == (2,) for values in found.values())
    with pytest.raises(UnknownNameError, match="energi"):
        predict.spot_derivatives(["energi"])


def test_one_name_needs_no_sequence():
    follow = prepare(structures="Near")
    assert set(follow(patient(60.0).ct).by_structure) == {"Near"}
    assert set(follow.spot_derivatives("energy")) == {"weight", "energy"}
    with pytest.raises(UnknownNameError, match="Naer"):
        prepare(structures="Naer")


@pytest.mark.parametrize("mode", ["wet", "range-frame"])
def test_derivatives_by_weights_that_are_nothing(mode):
    """Spots of weight 0, of next to none, and one that misses the patient, by differences."""
    given = np.array([50.0, 0.0, 1e-9, 0.0, 30.0])
    spots = Plan.from_spots(
        MACHINE, gantry=[0.0, 0.0, 0.0, 0.0, 90.0], isocentre=(0.0, 0.0, 0.0),
        x=[0.0, 3.0, -3.0, 200.0, 0.0], y=1.0, energy=60.0, weight=given,
    )  # fmt: skip
    engine = Yoda(mode=mode, splitting=split_on_rings((1, 6)))
    wish = obj.MeanDose().on("Near")
    follow = prepare_dose_change(patient(), spots, response=wish, engine=engine)
    found = follow.spot_derivatives("x")
    assert found["x"][1] == 0.0
    doses = [
        compute_dose(patient(), replace(spots, weights=w), engine=engine).mean(
            patient().structure("Near")
        )
        for w in (given, *(given + np.eye(5)[:3]))
    ]
    assert found["weight"][:3] == approx(np.array(doses[1:]) - doses[0], rel=2e-3)
    assert (found["weight"][:3] > 0).all()
    assert abs(found["weight"][3]) < 1e-6 * found["weight"][1]


def test_set_up_errors_are_sums_over_spots(predict):
    by_beam = predict.set_up_derivatives()
    assert by_beam.shape == (2, 3)
    # The first beam runs along +y, along which a parallel beam does not feel the patient move
    # but for the air that it crosses.
    assert abs(by_beam[0, 1]) < 0.05 * np.abs(by_beam).max()


def test_sensitivity_is_the_gradient_by_hounsfield_units():
    body = patient(50.0)
    predict = prepare_dose_change(body, plan(), response=obj.MeanDose().on("Far"), engine=ENGINE)
    sensitivity = predict.sensitivity()
    assert sensitivity.grid == body.ct.grid
    assert sensitivity.quantity == "sensitivity"
    hu = body.ct.hu.astype(float)
    # Solves are read between depths, with kinks at these: differences must not cross many.
    sides = [predict(CT(body.ct.grid, hu + s)).value for s in (0.05, -0.05)]
    assert sensitivity.array.sum() == approx(10.0 * (sides[0] - sides[1]), rel=1e-3)


@pytest.mark.parametrize(
    ("today", "error", "words"),
    [
        (lambda: patient().ct.hu, PatientError, "not for ndarray"),
        (lambda: CT(patient().ct.grid.with_spacing((3.0, 2.5, 5.6)), np.zeros((18, 22, 10))),
         GeometryError, "voxels of the planning CT"),
        (lambda: CT(patient().ct.grid, patient().ct.hu, "FFS"), PatientError, "position FFS"),
        (lambda: CT(patient().ct.grid, np.full(patient().ct.grid.shape, np.nan)),
         PatientError, "NaN"),
    ],
)  # fmt: skip
def test_bad_days(predict, today, error, words):
    with pytest.raises(error, match=words):
        predict(today())


def test_bad_plans_and_responses():
    with pytest.raises(CapabilityError, match="no adjoint"):
        prepare(engine=PencilBeam())
    with pytest.raises(SettingsError, match="no response"):
        prepare("Far")
    with pytest.raises(UnknownNameError, match="Fra"):
        prepare(obj.MeanDose().on("Fra"))
    for bad in ({"Far": [5]}, {}, [], None, {"Far": obj.MeanDose}):
        with pytest.raises(SettingsError, match="no response"):
            prepare_dose_change(patient(), plan(), response=bad, engine=ENGINE)
    for bad in (5, None, [5], [None, "Far"]):
        with pytest.raises(SettingsError, match="holds no names"):
            prepare(structures=bad)
    for pair in ((None, plan()), (patient(), None), (plan(), patient())):
        with pytest.raises(PlanError, match="for a patient and a plan"):
            prepare_dose_change(*pair, response=obj.MeanDose().on("Far"), engine=ENGINE)
    with pytest.raises(SettingsError, match="no dose grid"):
        prepare(grid="4mm")
    with pytest.raises(SettingsError, match="no dose grid"):
        compute_dose(patient(), plan(), engine=ENGINE, grid=4.0)
    with pytest.raises(SettingsError, match="no spacing of a dose grid"):
        compute_dose(patient(), plan(), engine=ENGINE, dose_spacing="4mm")
    with pytest.raises(BeamError, match=r"delivers no spots; .* Plan.from_bixels"):
        Plan.from_spots(
            load_machine("generic-6mv"), gantry=0.0, isocentre=(0.0, 0.0, 0.0), x=0.0, y=0.0,
            energy=6.0, weight=1.0,
        )  # fmt: skip
    with pytest.raises(PlanError, match="does not depend"):
        prepare(obj.SquaredOverdose(1000.0).on("Far"))
    behind = np.zeros(patient().ct.grid.shape)
    behind[:, -1] = 1.0  # 50 mm below the skin
    with pytest.raises(PlanError, match="no spot"):
        prepare_dose_change(
            patient(), plan(gantry=(0.0,), energy=20.0), response=behind, engine=ENGINE
        )
    with pytest.raises(BeamError, match="misses the patient"):
        prepare_dose_change(
            patient(), plan(gantry=(0.0,), x=200.0), response=obj.MeanDose().on("Far"),
            engine=ENGINE,
        )  # fmt: skip
    with pytest.raises(BeamError, match="position FFS"):
        prepare_dose_change(
            patient(), plan(position="FFS"), response=obj.MeanDose().on("Far"), engine=ENGINE
        )
    with pytest.raises(EnergyError, match="MeV"):
        plan(energy=300.0)
    with pytest.raises(BeamError, match="'60 MeV' cannot be read as numbers"):
        plan(energy="60 MeV")
    with pytest.raises(PlanError, match="not negative"):
        replace(plan(), weights=np.array([1.0, -1.0]))


def test_metal_on_the_day_is_refused(predict):
    hu = patient().ct.hu.copy()
    hu[9, 8, 10:14] = 9_000.0
    with pytest.raises(PatientError, match="4 voxels of the CT hold up to 9000 HU, as metal does"):
        predict(CT(patient().ct.grid, hu))


def tiny(rng):
    """A small patient with holes, a structure of up to 27 voxels, and one to three spots."""
    shape, spacing = rng.integers(3, 16, 3), rng.uniform(1.5, 6.0, 3)
    mask = np.zeros(shape, bool)
    middle = [int(rng.integers(0, n)) for n in shape]
    mask[tuple(slice(max(0, k - 1), k + 2) for k in middle)] = True
    body = Patient.from_arrays(
        rng.choice([-1000.0, -700.0, 0.0, 40.0, 900.0], size=shape), spacing=tuple(spacing),
        origin=tuple(-0.5 * ((shape - 1) * spacing)[::-1]), structures={"Small": mask},
    )  # fmt: skip
    n, half = int(rng.integers(1, 4)), 0.6 * float((shape * spacing).max())
    spots = Plan.from_spots(
        MACHINE, gantry=float(rng.choice([0.0, 37.0, 90.0])), isocentre=(0.0, 0.0, 0.0),
        x=rng.uniform(-half, half, n), y=rng.uniform(-half, half, n),
        energy=rng.choice([72.0, 100.0, 160.0], n), weight=rng.choice([1e-9, 1.0, 50.0], n),
    )  # fmt: skip
    return body, spots


@pytest.mark.parametrize("seed", range(12))
def test_tiny_plans_are_followed_or_refused(seed):
    """Spots on borders, beamlets through nothing, structures of some voxels."""
    rng = np.random.default_rng(seed)
    body, spots = tiny(rng)
    engine = Yoda(mode=("wet", "range-frame")[seed % 2], nuclear=seed % 3 > 0)
    options = {"response": obj.MeanDose().on("Small"), "structures": ["Small"], "engine": engine}
    try:
        follow = prepare_dose_change(body, spots, **options)
    except (BeamError, PlanError) as error:
        assert "misses the patient" in str(error) or "no spot" in str(error)
        return
    assert follow(body.ct).value == 0.0
    found = follow(CT(body.ct.grid, np.minimum(body.ct.hu + 50.0, 1000.0)))
    assert np.isfinite([follow.planned_value, found.value, found.uncertainty, found.linear]).all()


def test_beamlets_beside_the_voxels_lead_nowhere():
    """Classes of paths that cross nothing have solves, of no depth."""
    mask = np.zeros((8, 12, 10), bool)
    mask[3:5, 2:4, 8:] = True
    body = Patient.from_arrays(
        np.full(mask.shape, 900.0), spacing=(3.0, 2.5, 3.0), origin=(-13.5, -13.75, -10.5),
        structures={"Edge": mask},
    )  # fmt: skip
    spots = Plan.from_spots(
        MACHINE, gantry=0.0, isocentre=(0.0, 0.0, 0.0), x=14.0, y=0.0, energy=60.0, weight=1.0
    )
    engine = Yoda(splitting=split_on_rings((1, 6, 6)))
    follow = prepare_dose_change(body, spots, response=obj.MeanDose().on("Edge"), engine=engine)
    assert follow.planned_value > 0
    assert follow(body.ct).value == 0.0


@pytest.mark.parametrize(("hu", "least"), [(1500.0, 0.1), (-400.0, 0.02)])
def test_what_appears_beside_a_whole_spot_is_foretold(hu, least):
    """Half a slab whose edge lies 1.5 mm beside the axis, in a homogeneous planning CT."""

    def tank(value):
        values = np.zeros((25, 50, 25))
        values[:, :4] = -1000.0
        values[:12, 8:12] = value
        deep, body = np.zeros((2, *values.shape), dtype=bool)
        deep[:, 26:30], body[:, 4:] = True, True
        return Patient.from_arrays(
            values,
            spacing=(3.0, 3.0, 3.0),
            origin=(-36.0, -73.5, -36.0),
            structures={"Deep": deep, "Body": body},
            roles={"Body": "external"},
        )

    machine = load_machine("research-protons", energy_std=0.5, spot_sigma=4.0)
    one = {"gantry": 0.0, "isocentre": (0.0, 0.0, 0.0), "x": [0.0, 4.0], "y": 0.0}
    plan = Plan.from_spots(machine, **one, energy=100.0, weight=100.0)
    planned, today, engine = tank(0.0), tank(hu), Yoda(mode="wet")
    grid = planned.ct.grid
    response = obj.MeanDose().on("Deep")
    predict = prepare_dose_change(planned, plan, response=response, engine=engine, grid=grid)
    before, after = (
        compute_dose(p, plan, engine=engine, grid=grid).mean(planned.structures["Deep"])
        for p in (planned, today)
    )
    assert abs(after - before) > least * before
    assert predict(today.ct).value == approx(after - before, rel=0.05)
