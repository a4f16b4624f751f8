import numpy as np
import pytest

from dosegrad.beams.spots import spots_to_beams
from dosegrad.beams.steering import steer
from dosegrad.engines import PencilBeam
from dosegrad.errors import BeamError, PatientError, SettingsError, TargetError, UnknownNameError
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.influence.build import choose_voxels, compute_influence, resolve_engine
from dosegrad.patient.water import electron_medium, water_medium
from dosegrad.progress import listening


@pytest.fixture(scope="module")
def beams(water_box, toy_machine):
    return steer(water_box, toy_machine, target="Target", gantry=[0.0, 90.0], spot_spacing=8.0)


def test_matrix_is_in_its_final_form(water_box, beams):
    influence = compute_influence(water_box, beams, quantities=("let_dose",))
    matrix = influence.matrix
    assert matrix.shape == (water_box.ct.grid.n_voxels, beams.n_columns)
    assert (matrix.data.dtype, matrix.indices.dtype) == (np.float32, np.int32)
    assert influence.quantities == ("dose", "let_dose")
    fresh = matrix.copy()
    fresh.has_sorted_indices = False
    fresh.sort_indices()
    assert np.array_equal(fresh.indices, matrix.indices)
    assert (matrix.data > 0).all()
    assert influence.provenance["engine"] == "PencilBeam"
    assert influence.provenance["machine"] == "toy"
    assert influence.provenance["settings"]["lateral_cutoff"] == 0.995


def test_fewer_voxels_are_rows_of_the_whole(water_box, beams):
    whole = compute_influence(water_box, beams)
    part = compute_influence(water_box, beams, voxels=["Target"])
    planning = compute_influence(water_box, beams, voxels="planning")
    rows = np.searchsorted(whole.voxels, part.voxels)
    assert np.array_equal(part.matrix.toarray(), whole.matrix.toarray()[rows])
    assert np.array_equal(planning.voxels, part.voxels)
    mask = water_box.structure("Target").mask(water_box.ct.grid)
    assert np.array_equal(choose_voxels(water_box, water_box.ct.grid, mask), part.voxels)


def test_other_grids(water_box, beams):
    coarse = compute_influence(water_box, beams, dose_spacing=(5.0, 5.0, 6.0))
    assert coarse.grid.spacing == (5.0, 5.0, 6.0)
    given = compute_influence(water_box, beams, grid=coarse.grid)
    assert np.array_equal(given.matrix.data, coarse.matrix.data)
    with pytest.raises(SettingsError, match="not both"):
        compute_influence(water_box, beams, grid=coarse.grid, dose_spacing=(5.0, 5.0, 5.0))


def test_progress_reaches_the_end(water_box, beams):
    heard = []
    with listening(lambda stage, fraction, remark: heard.append((stage, fraction))):
        compute_influence(water_box, beams)
    assert {stage for stage, _ in heard} == {"influence"}
    assert heard[-1][1] == 1.0


def test_an_interruption_leaves_at_once(water_box, beams):
    def stop(stage, fraction, remark):
        if fraction > 0:
            raise KeyboardInterrupt

    with listening(stop), pytest.raises(KeyboardInterrupt):
        compute_influence(water_box, beams)
    compute_influence(water_box, beams, voxels=["Target"])  # and nothing is left behind


def test_wrong_requests_are_told(water_box, toy_machine, beams):
    with pytest.raises(UnknownNameError, match="Did you mean 'pencil-beam'"):
        compute_influence(water_box, beams, engine="pencilbeam")
    with pytest.raises(SettingsError, match="is no engine"):
        resolve_engine(PencilBeam)
    with pytest.raises(UnknownNameError, match="no structure 'Tumour'"):
        compute_influence(water_box, beams, voxels=["Tumour"])
    with pytest.raises(UnknownNameError, match="choice of voxels"):
        compute_influence(water_box, beams, voxels="bodies")
    with pytest.raises(TargetError, match="'Nothing' is empty"):
        compute_influence(water_box, beams, voxels=["Nothing"])
    with pytest.raises(PatientError, match="does not fit"):
        compute_influence(water_box, beams, voxels=np.ones(7, dtype=bool))
    with pytest.raises(UnknownNameError, match="alpha_dose"):
        compute_influence(water_box, beams, quantities=("alpha_dose",))
    other = spots_to_beams(
        *(toy_machine,),
        gantry=0.0,
        isocentre=(0.0, 0.0, 0.0),
        x=0.0,
        y=0.0,
        energy=100.0,
        position="FFS",
    )
    with pytest.raises(BeamError, match="position FFS, but this one lies HFS"):
        compute_influence(water_box, other)


@pytest.mark.parametrize("outside_body", ["air", "ct"])
def test_water_medium_is_that_of_the_whole_medium(water_box, outside_body):
    grid = water_box.ct.grid.with_spacing((5.0, 4.0, 3.0))
    whole = water_box.medium(grid, outside_body=outside_body)
    quick = water_medium(water_box, grid, outside_body=outside_body)
    np.testing.assert_allclose(
        quick.stopping_power_ratio, whole.stopping_power_ratio, rtol=1e-12, atol=1e-14
    )
    photons = electron_medium(water_box, grid, outside_body=outside_body)
    np.testing.assert_allclose(
        photons.electron_density, whole.electron_density, rtol=1e-12, atol=1e-14
    )


def test_dose_outside_restricted_rows_is_not_known(water_box, toy_machine):
    """A body mean of such a plan once counted voxels without a row as unirradiated."""
    beams = steer(water_box, toy_machine, target="Target", gantry=0.0)
    whole = compute_influence(water_box, beams)
    part = compute_influence(water_box, beams, voxels=["Target"])
    weights = np.ones(beams.n_columns)
    mask = water_box.structures["Target"].mask(part.grid)
    dose = part.dose(weights)
    np.testing.assert_allclose(dose.array[mask], whole.dose(weights).array[mask], rtol=1e-6)
    assert np.isnan(dose.array[~mask]).all()
    report = evaluate(dose, water_box, ["Body: Dmean <= 1000000 Gy", "Target: Dmean >= 0 Gy"])
    assert [row.met for row in report] == [False, True]
    assert "no dose" in str(report)
    assert not np.isnan(whole.dose(weights).array).any()
