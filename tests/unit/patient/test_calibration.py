"""HU calibrations."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosegrad.errors import CalibrationError, UnknownNameError
from dosegrad.patient.calibration import Calibration, CalibrationWarning


@pytest.mark.parametrize(
    ("hu", "density"),
    [
        (-1000, 0.00121),
        (-98, 1.018 - 0.893e-3 * 98),
        (0, 1.018),
        (20, 1.03),
        (50, 1.003 + 1.169e-3 * 50),
        (500, 1.017 + 0.592e-3 * 500),
        (2500, 2.201 + 5e-4 * 500),
    ],
)
def test_densities_are_schneiders(hu, density):
    assert Calibration.of("schneider").density(hu) == pytest.approx(density, rel=1e-12)


def test_zero_hu_is_not_water_in_schneiders_calibration():
    """0 HU is a soft tissue of density 1.018 there; its ratio is 1.024 (transport literature)."""
    assert Calibration.of("schneider").stopping_power_ratio(0) == pytest.approx(1.024, abs=1e-3)


def test_schneider_water_pins_zero_to_water_and_leaves_the_rest():
    pinned, plain = Calibration.of("schneider-water"), Calibration.of("schneider")
    assert pinned.density(0.0) == 1.0
    assert pinned.stopping_power_ratio(0.0) == 1.0
    assert pinned.electron_density(0.0) == 1.0
    assert pinned.materials[int(pinned.material(0.0))] == "water"
    hu = np.array([-1000.0, -500.0, -0.6, 0.6, 40.0, 1000.0])
    np.testing.assert_allclose(pinned.stopping_power_ratio(hu), plain.stopping_power_ratio(hu))
    assert np.array_equal(pinned.material(hu), plain.material(hu))


def test_a_table_gives_its_own_ratios_and_a_density_that_fits_them():
    table = Calibration.of([(-1000, 0.001), (0, 1.0), (1000, 1.6)])
    hu = np.array([-1000.0, -250.0, 0.0, 500.0, 1000.0])
    np.testing.assert_allclose(
        table.stopping_power_ratio(hu), np.interp(hu, [-1000, 0, 1000], [0.001, 1.0, 1.6])
    )
    assert np.all(np.diff(table.density(hu)) > 0)


@given(st.floats(-1000, 3000, allow_nan=False))
def test_every_hu_has_positive_density_and_a_material(hu):
    calibration = Calibration.of("schneider")
    assert calibration.density(hu) > 0
    assert 0 <= calibration.material(hu) < len(calibration.materials)


def test_padding_below_air_is_silent_and_metal_warns():
    calibration = Calibration.of("schneider")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert calibration.density(-1024.0) == calibration.density(-1000.0)
    with pytest.warns(CalibrationWarning, match="above 3071"):
        assert calibration.density(9000.0) == calibration.density(3071.0)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([(0, 1.0)], "at least two pairs"),
        ([(0, 1.0), (-10, 0.9)], "must strictly ascend"),
        ([(0, 1.0), (10, -0.1)], "is negative"),
        ([(0, 1.0), (10, float("nan"))], "NaN or infinity"),
        ([(0, "x"), (1, 2)], "numbers only"),
    ],
)
def test_impossible_tables_are_refused(table, words):
    with pytest.raises(CalibrationError, match=words):
        Calibration.of(table)


def test_unknown_name_guesses():
    with pytest.raises(UnknownNameError, match="Did you mean 'schneider'"):
        Calibration.of("schnieder")
