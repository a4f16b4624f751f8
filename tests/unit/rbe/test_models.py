import numpy as np
import pytest

from dosegrad import rbe
from dosegrad.errors import SettingsError
from dosegrad.rbe.formulas import effect, rbe_weighted_dose

TISSUE = rbe.Tissue(alpha=0.12, beta=0.04)
LET = np.array([0.1, 0.5, 2.0, 10.0, 40.0])


def parameters(model, let=LET):
    n = np.shape(let)
    return model.parameters(let, np.full(n, TISSUE.alpha), np.full(n, TISSUE.beta))


def test_mcnamara_is_the_published_fit():
    alpha, root = parameters(rbe.McNamara(other=TISSUE))
    ratio = 3.0
    np.testing.assert_allclose(alpha / 0.12, 0.99064 + 0.35605 * LET / ratio)
    np.testing.assert_allclose(root / 0.2, 1.1012 - 0.0038703 * np.sqrt(ratio) * LET)


def test_wedenberg_is_photons_without_let():
    alpha, root = parameters(rbe.Wedenberg(other=TISSUE))
    np.testing.assert_allclose(alpha / 0.12, 1.0 + 0.434 * LET / 3.0)
    np.testing.assert_allclose(root, 0.2)


def test_carabe_is_the_published_fit():
    alpha, root = parameters(rbe.Carabe(other=TISSUE))
    np.testing.assert_allclose(alpha / 0.12, 0.843 + 0.154 * 2.686 * LET / 3.0)
    np.testing.assert_allclose(root / 0.2, 1.09 + 0.006 * 2.686 * LET / 3.0)


def test_limits_of_linear_scaling_act():
    alpha, root = parameters(rbe.LinearScaling(other=TISSUE))
    np.testing.assert_allclose(alpha, 0.12 + 0.008 * (np.array([0.3, 0.5, 2.0, 10.0, 30.0]) - 0.5))
    np.testing.assert_allclose(root, 0.2)


def test_mairani_rises_and_falls_with_let():
    let = np.array([0.0, 20.0, 131.6, 300.0])
    alpha, _ = parameters(rbe.Mairani(other=TISSUE), let)
    assert alpha[0] == pytest.approx(0.12)
    rise = (0.136938 + 1 / 3.0) * 0.00973154 * 20.0**2 * np.exp(-0.0151998 * 20.0)
    assert alpha[1] == pytest.approx(0.12 * (1 + rise))
    # overkill: the maximum of L^2 exp(-k L) is at 2/k
    assert alpha[2] > alpha[1]
    assert alpha[2] > alpha[3]


@pytest.mark.parametrize("fractions", [1, 7, 30])
def test_photons_are_their_own_equivalent(fractions):
    dose = np.array([0.0, 1e-9, 0.3, 60.0])
    total = effect(TISSUE.alpha * dose, np.sqrt(TISSUE.beta) * dose, fractions)
    found, _ = rbe_weighted_dose(total, TISSUE.alpha, TISSUE.beta, fractions)
    np.testing.assert_allclose(found, dose, rtol=1e-12, atol=0)


def test_more_fractions_have_less_effect():
    few, many = (effect(0.12 * 60.0, 0.2 * 60.0, n) for n in (5, 30))
    assert many < few
    assert many == pytest.approx(0.12 * 60 + 0.04 * 60**2 / 30)


def test_wrong_tissues_are_told():
    with pytest.raises(SettingsError, match="not possible; give positive numbers"):
        rbe.Tissue(alpha=0.0, beta=0.05)
    with pytest.raises(SettingsError, match="alpha 'a'/Gy and beta 1/Gy2 is not possible"):
        rbe.Tissue(alpha="a", beta=1)
    with pytest.raises(SettingsError, match=r"constant RBE of '1\.1' is not possible"):
        rbe.ConstantRBE("1.1")
    with pytest.raises(SettingsError, match="'PTV' is given as 3"):
        rbe.McNamara({"PTV": 3}, other=TISSUE)
    with pytest.raises(SettingsError, match="which structure is of which tissue"):
        rbe.LinearQuadratic(TISSUE, other=TISSUE)
    with pytest.raises(TypeError, match="other"):
        rbe.Wedenberg({})
    with pytest.raises(SettingsError, match="'other' is given as None"):
        rbe.ConstantRBE(1.1, {"PTV": TISSUE})
    with pytest.raises(SettingsError, match="constant RBE of 0"):
        rbe.ConstantRBE(0.0)


def test_parameters_never_fall_below_zero():
    let = np.array([0.1, 5.0, 40.0])
    resistant = np.full(3, 1e-4)
    alpha, _ = rbe.LinearScaling(other=TISSUE).parameters(let, resistant, resistant)
    assert alpha[0] == 0.0
    assert (np.diff(alpha) > 0.0).all()
    # alpha over beta of 100 Gy: the printed line of the root of beta crosses 0 at 28.5 keV/um
    _, root = rbe.McNamara(other=TISSUE).parameters(let, np.full(3, 0.5), np.full(3, 0.005))
    assert root[2] == 0.0
    assert root[1] == pytest.approx(np.sqrt(0.005) * (1.1012 - 0.038703 * 5.0))
