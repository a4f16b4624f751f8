import numpy as np
import pytest

from dosegrad.dose import Dose
from dosegrad.errors import PlanError
from dosegrad.patient.patient import Patient
from dosegrad.plot.robust_bands import robust_bands


@pytest.fixture
def patient():
    shape = (6, 7, 8)
    target = np.zeros(shape, bool)
    target[1:5, 1:6, 1:7] = True
    masks = {"Target": target, "Body": np.ones(shape, bool)}
    roles = {"Target": "target", "Body": "external"}
    return Patient.from_arrays(
        np.zeros(shape), spacing=(3.0, 2.5, 2.0), structures=masks, roles=roles
    )


def doses(patient, *levels):
    ramp = np.linspace(0.5, 1.0, patient.ct.grid.n_voxels).reshape(patient.ct.grid.shape)
    names = ["x +3 mm", "nominal", "x -3 mm"]
    return [
        Dose(patient.ct.grid, level * ramp, provenance={"scenario": name})
        for level, name in zip(levels, names, strict=False)
    ]


def test_the_band_holds_every_curve(patient):
    figure = robust_bands(doses(patient, 40.0, 60.0, 50.0), patient)
    (ax,) = figure.axes
    (line,) = ax.get_lines()
    assert line.get_label() == "Target"
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 0].max() == pytest.approx(line.get_xdata().max())
    half = [d for d, v in zip(*line.get_data(), strict=True) if v >= 50.0][-1]
    assert 40.0 < half < 60.0  # the line is the nominal dose, wherever it is in the sequence
    middle = corners[(corners[:, 1] > 0) & (corners[:, 1] < 100)]
    assert middle[:, 0].min() < 40.0 * 0.75 < 60.0 * 0.75 < middle[:, 0].max()


def test_structures_and_the_line_can_be_chosen(patient):
    some = doses(patient, 40.0)
    figure = robust_bands(some, patient, structures=["Body", "Target"], nominal=some[0])
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["Body", "Target"]


def test_no_dose_is_told(patient):
    with pytest.raises(PlanError, match="no scenario doses"):
        robust_bands([], patient)
