from dataclasses import replace

import numpy as np
import pytest

from dosegrad import rbe
from dosegrad.beams.steering import steer
from dosegrad.errors import CapabilityError, PlanError, UnknownNameError
from dosegrad.influence.biology import map_tissues
from dosegrad.influence.build import compute_influence
from dosegrad.influence.sources import QuantitySource
from dosegrad.machine.library import load_machine
from dosegrad.machine.particle import ParticleMachine
from dosegrad.objectives import SquaredDeviation
from dosegrad.optimisation.optimise import optimise
from dosegrad.plan import Plan

SOFT = rbe.Tissue(alpha=0.1, beta=0.05)
HARD = rbe.Tissue(alpha=0.5, beta=0.05)


@pytest.fixture(scope="module")
def carbon(toy_machine):
    """The toy machine as one of carbon, with tables of alpha and beta for two tissues."""
    data = tuple(
        replace(
            d,
            alpha=np.stack([a * (1.0 + 2.0 * (d.depths / d.peak) ** 4) for a in (0.1, 0.5)]),
            beta=np.full((2, d.depths.size), 0.05),
        )
        for d in toy_machine.data
    )
    return ParticleMachine(
        "toy carbon", "carbon", 2000.0, 500.0, data, tissues=[[0.1, 0.05], [0.5, 0.05]]
    )


@pytest.fixture(scope="module")
def beams(water_box, carbon):
    return steer(water_box, carbon, target="Target", gantry=[0.0], spot_spacing=10.0)


@pytest.fixture(scope="module")
def proton_beams(water_box, toy_machine):
    return steer(water_box, toy_machine, target="Target", gantry=[0.0], spot_spacing=10.0)


def test_tables_are_looked_up_for_the_tissue_of_each_voxel(water_box, beams):
    model = rbe.LinearQuadratic({"Target": HARD}, other=SOFT)
    influence = compute_influence(water_box, beams, rbe=model)
    assert influence.quantities == ("dose", "alpha_dose", "sqrt_beta_dose")
    weights = np.full(beams.n_columns, 3.0)
    dose = influence.matrix @ weights
    alpha = (influence.quantity("alpha_dose") @ weights)[dose > 0] / dose[dose > 0]
    target = water_box.structure("Target").mask(influence.grid).ravel()[influence.voxels]
    inside = target[dose > 0]
    assert (alpha[inside] >= 0.5).all()
    assert (alpha[~inside] <= 0.5).all()
    assert (alpha[~inside] >= 0.1 - 1e-6).all()
    beta = (influence.quantity("sqrt_beta_dose") @ weights)[dose > 0] / dose[dose > 0]
    np.testing.assert_allclose(beta, np.sqrt(0.05), rtol=1e-5)
    assert influence.provenance["rbe"].startswith("LinearQuadratic(")


def test_a_tissue_without_tables_is_told_with_those_there_are(water_box, beams):
    model = rbe.LinearQuadratic(other=rbe.Tissue(alpha=0.2, beta=0.05))
    with pytest.raises(CapabilityError, match=r"alpha=0.2/Gy, beta=0.05/Gy2 \(have: alpha=0.1"):
        compute_influence(water_box, beams, rbe=model)


def test_structures_with_tissues_compete_by_priority(water_box):
    model = rbe.LinearQuadratic({"Body": SOFT, "Target": HARD}, other=SOFT)
    voxels = np.arange(water_box.ct.grid.n_voxels)
    tissue = map_tissues(water_box, water_box.ct.grid, voxels, model)
    target = water_box.structure("Target").mask(water_box.ct.grid).ravel()
    np.testing.assert_array_equal(tissue.alpha, np.where(target, 0.5, 0.1))
    equal = replace(water_box.structure("Target"), priority=10)
    patient = replace(water_box, structures={**water_box.structures, "Target": equal})
    with pytest.raises(PlanError, match="different tissues and the same priority, but share"):
        map_tissues(patient, patient.ct.grid, voxels, model)
    with pytest.raises(UnknownNameError, match="Did you mean 'Target'"):
        unknown = rbe.LinearQuadratic({"Traget": SOFT}, other=SOFT)
        map_tissues(water_box, water_box.ct.grid, voxels, unknown)


def test_models_linear_in_let_may_be_mixed_before_or_after(water_box, proton_beams):
    """Per spot and voxel, as the field does it, or from the voxel's LET: the same for these."""
    weights = np.random.default_rng(3).uniform(0, 2, proton_beams.n_columns)
    for model in (rbe.McNamara(other=SOFT), rbe.Wedenberg(other=SOFT), rbe.Carabe(other=SOFT)):
        influence = compute_influence(water_box, proton_beams, rbe=model)
        dose = influence.matrix @ weights
        hit = dose > 0
        let = (influence.quantity("let_dose") @ weights)[hit] / dose[hit]
        expected = model.parameters(let, *(np.full(let.shape, v) for v in (0.1, 0.05)))
        for name, value in zip(("alpha_dose", "sqrt_beta_dose"), expected, strict=True):
            found = (influence.quantity(name) @ weights)[hit] / dose[hit]
            np.testing.assert_allclose(found, value, rtol=2e-5)


def test_a_model_is_refused_where_it_does_not_belong(water_box, beams, proton_beams):
    with pytest.raises(CapabilityError, match="made for protons, but machine 'toy carbon'"):
        compute_influence(water_box, beams, rbe=rbe.McNamara(other=SOFT))
    with pytest.raises(CapabilityError, match="needs alpha_dose and sqrt_beta_dose"):
        compute_influence(water_box, proton_beams, rbe=rbe.LinearQuadratic(other=SOFT))
    with pytest.raises(CapabilityError, match="is no RBE model; give one such as"):
        compute_influence(water_box, proton_beams, rbe=1.1)
    with pytest.raises(CapabilityError, match=r"need to know tissues; give rbe="):
        compute_influence(water_box, beams, quantities=("alpha_dose",))


def test_a_factor_of_one_point_one_is_dose_times_one_point_one(water_box, proton_beams):
    influence = compute_influence(water_box, proton_beams, rbe=rbe.ConstantRBE(1.1))
    weights = np.full(proton_beams.n_columns, 2.0)
    dose = influence.dose(weights)
    weighted = influence.dose(weights, quantity="rbe_dose", fractions=7)
    np.testing.assert_allclose(weighted.array, 1.1 * dose.array)
    assert (weighted.quantity, weighted.unit) == ("rbe_dose", "Gy (RBE)")
    with pytest.raises(PlanError, match="'bed' needs tissues"):
        influence.dose(weights, quantity="bed")
    with pytest.raises(PlanError, match="'let' needs columns of LET"):
        influence.dose(weights, quantity="let")
    with pytest.raises(UnknownNameError, match="no quantity 'bde'"):
        influence.dose(weights, quantity="bde")


def test_the_rbe_of_protons_is_refused_for_photons(water_box):
    linac = load_machine("generic-6mv")
    photons = steer(water_box, linac, target="Target", gantry=0, bixel=15.0)
    for model in (rbe.ConstantRBE(), rbe.ConstantRBE(1.1)):
        with pytest.raises(CapabilityError, match=r"would lower. Photons are the reference: use"):
            compute_influence(water_box, photons, rbe=model)
    weights = np.ones(photons.n_columns)
    influence = compute_influence(water_box, photons, rbe=rbe.ConstantRBE(1.0))
    same = influence.dose(weights, quantity="rbe_dose")
    np.testing.assert_array_equal(same.array, influence.dose(weights).array)


@pytest.mark.parametrize("fractions", [0, -3, 2.5, np.nan, "a", None, True])
def test_fractions_are_whole_numbers_everywhere(water_box, proton_beams, fractions):
    influence = compute_influence(water_box, proton_beams)
    weights = np.ones(proton_beams.n_columns)
    words = "fractions is not possible; give a whole number from 1"
    with pytest.raises(PlanError, match=words):
        influence.dose(weights, fractions=fractions)
    with pytest.raises(PlanError, match=words):
        Plan(proton_beams, weights, fractions=fractions)
    with pytest.raises(PlanError, match=words):
        optimise(influence, {"Target": [SquaredDeviation(2.0)]}, fractions=fractions)


def test_weights_of_a_dose_are_checked(water_box, proton_beams):
    influence = compute_influence(water_box, proton_beams)
    for wrong in (np.nan, -1.0):
        with pytest.raises(PlanError, match="weights must be finite and not negative"):
            influence.dose(np.full(proton_beams.n_columns, wrong))


def test_quantities_of_photons_by_hand(water_box, proton_beams):
    """With a factor of 1, 60 Gy in 30 fractions at alpha over beta of 10 Gy has a BED of 72 Gy."""
    tissue = rbe.Tissue(alpha=0.3, beta=0.03)
    influence = compute_influence(water_box, proton_beams, rbe=rbe.ConstantRBE(1.0, other=tissue))
    weights = np.full(proton_beams.n_columns, 2.0)
    dose = influence.dose(weights).array
    found = {
        name: influence.dose(weights, quantity=name, fractions=30).array
        for name in ("effect", "bed", "eqd2")
    }
    np.testing.assert_allclose(found["bed"], dose * (1 + dose / 30 / 10.0))
    np.testing.assert_allclose(found["effect"], 0.3 * found["bed"])
    np.testing.assert_allclose(found["eqd2"], found["bed"] / 1.2)


@pytest.mark.parametrize("fractions", [1, 20])
def test_maps_of_rows_and_values_of_all_agree(water_box, beams, fractions):
    model = rbe.LinearQuadratic({"Target": HARD}, other=SOFT)
    influence = compute_influence(water_box, beams, rbe=model, quantities=("let_dose",))
    names = ("rbe_dose", "let", "dose", "bed", "let_dose")
    source = QuantitySource(influence, names, fractions, let_softening=0.2)
    weights = np.random.default_rng(1).uniform(0, 2, beams.n_columns)
    whole = source.values(weights)
    places = np.flatnonzero(np.random.default_rng(2).random(source.n_values) < 0.1)
    part, _ = source.following(places).linearise(weights)
    np.testing.assert_allclose(part, whole[places], rtol=1e-5, atol=1e-9)


def test_rbe_is_one_where_there_is_no_dose(water_box, beams):
    influence = compute_influence(water_box, beams, rbe=rbe.LinearQuadratic(other=SOFT))
    found = influence.dose(np.full(beams.n_columns, 0.01), quantity="rbe", fractions=5).array
    dose = influence.dose(np.full(beams.n_columns, 0.01)).array
    np.testing.assert_array_equal(found[dose == 0], 1.0)
    # at low doses the RBE is alpha over alpha of photons, 1 + 2 (depth / peak)^4
    assert 2.5 < found[dose > 0].max() < 4.6
    assert found[dose > 0].min() >= 1.0 - 1e-6
