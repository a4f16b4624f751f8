"""An Eclipse plan of 160 MeV on slabs of plastic, against three Monte Carlo programs.

Doses and LET of SHIELD-HIT12A, OpenSHIELD-HIT and TOPAS in 1 mm bins of 2 x 2 cm2 on the axis, per
primary; a slab of PMMA 20 to 25 mm deep in Gammex solid water, its surface 22.5 mm before the
isocentre (Bassler et al. 2024, doi:10.5281/zenodo.10641085, CC BY 4.0).
"""

from types import SimpleNamespace

import numpy as np
import pytest

from dosegrad import Grid, engines, read_dicom
from dosegrad.patient.medium import Medium

PLACES = -22.0 + np.arange(205.0)  # mm behind the isocentre, centres of bins
PLATEAU = (PLACES > -10.0) & (PLACES < 80.0)
CODES = ("sh12a", "openshieldhit", "topas")
MEV_PER_GRAM = 1.602176634e-10  # Gy


@pytest.fixture(scope="module")
def monte_carlo(data):
    """Reader of a depth profile (205,) of a program; MeV/g per primary, or keV/µm."""

    def read(code, quantity):
        folder = data / "dcpt_let_mc" / code / "plan02_field01_geoD_mono"
        table = np.loadtxt(folder / f"NB_Z_narrow_{quantity}.dat")
        assert table[:, 0] * 10 == pytest.approx(PLACES, abs=0.01)
        scale = 0.1 if quantity.startswith("LET") else 1.0  # MeV/cm
        return scale * table[:, 1]

    return read


@pytest.fixture(scope="module")
def ours(data):
    """Dose per primary, MeV/g, and LET, keV/µm, of the deterministic engine in those bins."""
    model = data / "dicom" / "dcpt_beam_model" / "DCPT_beam_model__v2.csv"
    plan = read_dicom(data / "dicom" / "dcpt_eclipse_mono160", machine=model).plan
    (beam,) = plan.beams
    medium = slabs(beam.isocentre)
    core = np.zeros(medium.grid.shape, dtype=bool)
    core[28:32, :, 28:32] = True
    voxels = np.flatnonzero(core)
    # These programs mix the mean excitation energies of pure elements and score dose to the medium.
    engine = engines.Yoda(tissue_i_values="elements", dose_to="medium")
    columns = engine.prepare(medium, plan.beams, 0, voxels)
    count = columns.count()
    ends = np.concatenate([[0], np.cumsum(count)])
    values = {name: np.zeros(ends[-1], dtype=np.float32) for name in ("dose", "let_dose")}
    rows = np.zeros(ends[-1], dtype=np.int32)
    columns.fill(ends[:-1], rows, values)
    weight = np.repeat(plan.weights, count)
    dose, let_dose = (
        np.bincount(rows, weight * values[name], minlength=voxels.size)
        .reshape(4, 205, 4)
        .mean(axis=(0, 2))
        for name in ("dose", "let_dose")
    )
    primaries = plan.weights.sum() * 1e6
    let = let_dose / np.where(dose > 0, dose, 1.0)
    return SimpleNamespace(dose=dose / MEV_PER_GRAM / primaries, let=let)


def slabs(isocentre):
    x, y, z = isocentre
    grid = Grid((60, 205, 60), (5.0, 1.0, 5.0), (x - 147.5, y + PLACES[0], z - 147.5))
    density, material = np.full(grid.shape, 1.032), np.zeros(grid.shape, dtype=np.int16)
    density[:, 20:25], material[:, 20:25] = 1.19, 1
    ratio = np.ones(grid.shape)  # not seen by an engine that knows materials
    return Medium(grid, density, ratio, ratio, material, ("solid-water", "pmma"))


def distal_80_percent(dose):
    peak = int(dose.argmax())
    after = peak + int(np.argmax(dose[peak:] < 0.8 * dose[peak]))
    return np.interp(0.8 * dose[peak], dose[[after, after - 1]], PLACES[[after, after - 1]])


@pytest.mark.slow
def test_the_range_is_that_of_the_programs(ours, monte_carlo):
    # They differ by 2 mm among themselves.
    theirs = np.mean([distal_80_percent(monte_carlo(code, "dose_p1")) for code in CODES])
    assert abs(distal_80_percent(ours.dose) - theirs) < 0.5


@pytest.mark.slow
def test_the_dose_of_the_plateau_is_that_of_the_programs(ours, monte_carlo):
    theirs = np.mean([monte_carlo(code, "dose_p1") for code in CODES], axis=0)
    ratio = ours.dose / theirs
    assert abs(ratio[PLATEAU].mean() - 1.0) < 0.01
    smooth = np.convolve(ratio, np.full(10, 0.1), "same")  # their statistics: 2 % a bin
    assert np.abs(smooth[PLATEAU] - 1.0).max() < 0.02


@pytest.mark.slow
def test_the_let_of_the_plateau_is_that_of_the_programs(ours, monte_carlo):
    # Dose-averaged, of all protons, in water. TOPAS gives none in water, and its LET of primaries
    # in the slab is 34 % above their stopping power, whereas its track average agrees.
    theirs = np.mean([monte_carlo(code, "LET_water_p3") for code in CODES[:2]], axis=0)
    ratio = ours.let / theirs
    assert abs(ratio[PLATEAU].mean() - 1.0) < 0.05
    smooth = np.convolve(ratio, np.full(10, 0.1), "same")
    assert np.abs(smooth[PLATEAU] - 1.0).max() < 0.05
