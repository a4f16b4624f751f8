"""Twenty failures that other projects had, each as a test under the number of its report.

What each stands for is said in one line; the numbers are those of the projects' trackers.
"""

from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sequence import Sequence

import dosegrad as dg
from dosegrad.beams.apertures import Aperture, Apertures
from dosegrad.evaluation.dose_volume import structure_dvh
from dosegrad.geometry.frames import PATIENT_POSITIONS
from dosegrad.io.dicom.ct import read_ct
from dosegrad.io.dicom.doses import read_dose
from dosegrad.io.dicom.structures import read_structures
from dosegrad.patient.contours import ContourShape
from dosegrad.patient.structures import MaskShape, Structure

GRID = dg.Grid((20, 24, 28), (3.0, 2.5, 2.0), (-28.0, -30.0, -30.0))
X, Y, Z = np.moveaxis(GRID.voxel_points(np.arange(GRID.n_voxels)), -1, 0).reshape(3, *GRID.shape)


def ball(radius, centre=(0.0, 0.0, 0.0), grid=GRID):
    points = grid.voxel_points(np.arange(grid.n_voxels)) - np.asarray(centre)
    return (np.linalg.norm(points, axis=1) <= radius).reshape(grid.shape)


def lopsided_patient(position="HFS"):
    """Water with something dense on its left, front and head side: no mirror image is the same."""
    hu = np.where(ball(27.0), 0.0, -1000.0)
    hu[ball(6.0, (12.0, -9.0, 10.0))] = 800.0
    return dg.Patient.from_arrays(
        hu,
        **{"spacing": GRID.spacing, "origin": GRID.origin, "position": position},
        structures={"Target": ball(7.0, (5.0, 4.0, -6.0)), "Body": ball(27.0)},
        roles={"Target": "target", "Body": "external"},
    )


def square(size, z, centre=(0.0, 0.0)):
    x, y = centre[0] - size / 2, centre[1] - size / 2
    return [(x, y, z), (x + size, y, z), (x + size, y + size, z), (x, y + size, z)]


def spot_plan(patient, gantry=90.0, couch=0.0, isocentre=(5.0, 4.0, -6.0), **more):
    machine = dg.load_machine("generic-protons")
    return dg.Plan.from_spots(
        machine,
        **{"gantry": gantry, "couch": couch, "isocentre": isocentre, "x": 0.0, "y": 0.0},
        **{"energy": machine.energies[0], "weight": 100.0, "position": patient.ct.position, **more},
    )


def test_01_dvh_is_right_for_every_patient_position(tmp_path):
    """dicompyler-core 144, DVH-Analytics 62: wrong histograms for FFS and HFP."""
    curves = []
    for position in PATIENT_POSITIONS:
        patient = lopsided_patient(position)
        dose = dg.Dose(GRID, 50.0 + 0.5 * X - 0.3 * Y + 0.7 * Z)
        plan = spot_plan(patient)
        dg.write_dicom(tmp_path / position, patient=patient, plan=plan, dose=dose)
        study = dg.read_dicom(tmp_path / position)
        curves.append(dg.dvh(study.dose, study.patient)["Target"].doses)
    for curve in curves[1:]:
        np.testing.assert_allclose(curve, curves[0], atol=1e-4)


def test_02_volume_does_not_depend_on_the_dose_grid():
    """dicompyler-core 26, 148: volume of a structure by the grid of the dose."""
    region = Structure("A", ContourShape.from_polygons([square(21, z) for z in range(-15, 16, 3)]))
    assert region.volume_cc == pytest.approx(21 * 21 * 30 / 1000)
    for spacing in ((3.0, 3.0, 3.0), (2.0, 2.5, 1.7), (4.0, 1.0, 3.3)):
        dose = dg.Dose(GRID.with_spacing(spacing), np.ones(GRID.with_spacing(spacing).shape))
        assert structure_dvh(dose, region).volume_cc == pytest.approx(21 * 21 * 33 / 1000, rel=0.03)


def test_03_contours_on_voxel_edges_have_a_histogram():
    """dicompyler-core 389: a contour exactly between voxels gave an empty histogram."""
    edges = [(x - 1.0, y - 1.25, z) for z in (-3.0, 0.0, 3.0) for x, y in [(-10, -10)]]
    polygons = [
        [(x, y, z), (x + 20, y, z), (x + 20, y + 20, z), (x, y + 20, z)] for x, y, z in edges
    ]
    region = Structure("A", ContourShape.from_polygons(polygons))
    curve = structure_dvh(dg.Dose(GRID, np.full(GRID.shape, 2.0)), region)
    assert curve.mean == 2.0
    assert curve.volume_cc == pytest.approx(20 * 20 * 9 / 1000, rel=0.01)


def test_04_small_structures_have_all_their_dose_levels():
    """dicompyler-core 340: D97 to D99 were 0 in a small structure although D100 was not."""
    region = Structure(
        "Lens", ContourShape.from_polygons([square(1.2, z) for z in (-1.0, 0.0, 1.0)])
    )
    curve = structure_dvh(dg.Dose(GRID, 10.0 + X + 0.5 * Z), region)
    levels = [curve.dose_at(f) for f in (0.0, 0.02, 0.5, 0.97, 0.98, 0.99, 1.0)]
    assert min(levels) > 0
    assert levels == sorted(levels, reverse=True)
    assert levels[0] < 12.1


def test_05_absolute_frame_offsets_are_heights(tmp_path):
    """dicompyler-core 284, 158, 215: offsets by "option b" were ignored."""
    patient = lopsided_patient()
    values = np.arange(GRID.n_voxels, dtype=float).reshape(GRID.shape)
    dg.write_dicom(
        tmp_path / "s", patient=patient, plan=spot_plan(patient), dose=dg.Dose(GRID, values)
    )
    path = tmp_path / "s" / "RD.dcm"
    data = dcmread(path)
    start = float(data.ImagePositionPatient[2])
    data.GridFrameOffsetVector = [float(v) + start for v in data.GridFrameOffsetVector]
    data.save_as(path)
    found = read_dose(path).dose
    assert found.grid.origin == pytest.approx(GRID.origin)
    np.testing.assert_allclose(found.array, values, atol=1e-4)


def test_06_the_hottest_half_cc_is_exact():
    """dicompyler-core 243: D0.5cc 10 Gy off through a coarse grid and bins."""
    region = Structure("A", ContourShape.from_polygons([square(20, z) for z in range(-12, 13, 3)]))
    curve = structure_dvh(dg.Dose(GRID, 30.0 + X), region)
    # dose rises by 1 Gy/mm across 20 mm; the hottest 0.5 cc are 0.5/(2.0*2.7) of the width
    expected = 40.0 - 20.0 * 0.5 / (2.0 * 2.0 * 2.7)
    assert curve.dose_at_cc(0.5) == pytest.approx(expected, abs=0.67)  # samples are 0.67 mm apart


def test_07_holes_stay_holes(tmp_path, dicom):
    """platipy 244, dcmrtstruct2nii 32: holes were filled."""
    polygons = [p for z in (30.0, 33.0, 36.0) for p in (square(12, z), square(6, z))]
    found = read_structures(dicom.write_structures(tmp_path / "rs.dcm", [dicom.roi("A", polygons)]))
    structure = found.structures["A"]
    assert structure.volume_cc == pytest.approx((144 - 36) * 6 / 1000)
    inside = structure.mask(dg.Grid((1, 25, 25), (3.0, 1.0, 1.0), (-12.2, -12.2, 33.0)))[0]
    assert not inside[12, 12]
    assert inside[12, 8]


def test_08_mixed_slice_thickness_loses_no_contour():
    """platipy 314, DicomRTTool 44: contours on the wrong slices of 3 and 6 mm."""
    heights = [0.0, 3.0, 6.0, 12.0, 18.0, 24.0, 27.0, 30.0]
    region = ContourShape.from_polygons([square(10, z) for z in heights])
    grid = dg.Grid((33, 5, 5), (1.0, 2.0, 2.0), (-4.0, -4.0, -1.0))
    owned = region.mask(grid).any(axis=(1, 2))
    assert owned[1:32].all()
    assert [
        bool(region.mask(dg.Grid((1, 5, 5), (1.0, 2.0, 2.0), (-4, -4, z))).any()) for z in heights
    ]


def test_09_contours_need_not_lie_on_slices(tmp_path, dicom):
    """matRad 46, 41, 548, PR 910: rounding of heights crashed or dropped contours."""
    ids = dicom.write_ct(tmp_path / "ct")
    polygons = [dicom.square(-2.0, 13.0, z + 0.4) for z in (30.0, 33.0, 36.0, 39.0)]
    dicom.write_structures(tmp_path / "rs.dcm", [dicom.roi("A", polygons)], ids)
    study = dg.read_dicom(tmp_path)
    mask = study.patient.structures["A"].mask(study.patient.ct.grid)
    assert mask.any(axis=(1, 2)).tolist() == [True] * 4 + [False]


def test_10_empty_rois_points_and_odd_shapes_do_not_stop_the_import(tmp_path, dicom):
    """matRad 529, rt-utils 87, 88, 32: no ContourSequence, two points, rows for columns."""
    ids = dicom.write_ct(tmp_path / "ct")
    good = [dicom.square(-2.0, 13.0, z) for z in (33.0, 36.0)]
    rois = [
        dicom.roi("Empty", None),
        dicom.roi("Line", [[(0, 12, 33), (1, 12, 33)], *good]),
        dicom.roi("Good", good),
    ]
    dicom.write_structures(tmp_path / "rs.dcm", rois, ids, refer=False)
    study = dg.read_dicom(tmp_path)
    told = " ".join(study.warnings)
    assert "Empty" in told
    assert "Line" in told
    structures = study.patient.structures
    assert set(structures) == {"Line", "Good"}
    grid = study.patient.ct.grid  # 5 slices, 7 rows, 9 columns: all different
    assert structures["Good"].mask(grid).shape == (5, 7, 9)
    np.testing.assert_array_equal(structures["Line"].mask(grid), structures["Good"].mask(grid))


def test_11_a_dose_needs_no_reference_to_a_plan(tmp_path):
    """matRad 797, PR 574: a dose without ReferencedRTPlanSequence was not imported."""
    patient = lopsided_patient()
    dose = dg.Dose(GRID, np.ones(GRID.shape))
    dg.write_dicom(tmp_path / "s", patient=patient, plan=spot_plan(patient), dose=dose)
    data = dcmread(tmp_path / "s" / "RD.dcm")
    del data.ReferencedRTPlanSequence
    data.save_as(tmp_path / "s" / "RD.dcm")
    assert dg.read_dicom(tmp_path / "s").dose.array.max() == pytest.approx(1.0)


def test_12_ion_plans_of_a_clinical_system_are_read(data):
    """matRad 277, 416: Eclipse proton plans failed; names come from the IonBeamSequence."""
    plans = sorted((data / "dicom" / "eclipse_proton_plans").rglob("*.dcm"))
    assert plans
    for path in plans:
        from dosegrad.io.dicom.ion_plans import read_ion_plan

        fields = read_ion_plan(path).fields
        assert all(field.layers and field.name for field in fields)


def test_13_the_isocentre_stays_where_the_plan_says(tmp_path, dicom):
    """matRad 104, PR 642: isocentre from the wrong first slice; shifts of scenarios added up."""
    patient = lopsided_patient()
    plan = spot_plan(patient, isocentre=(1.25, -2.5, 3.75))
    dg.write_dicom(tmp_path / "s", patient=patient, plan=plan)
    for number, path in enumerate(sorted((tmp_path / "s").glob("CT*.dcm"), reverse=True)):
        path.rename(path.with_name(f"x{number}.dcm"))
    found = dg.read_dicom(tmp_path / "s", machine="generic-protons").plan
    assert found.beams[0].isocentre == (1.25, -2.5, 3.75)
    scenarios = dg.Scenarios.worst_case(setup=3.0, range_percent=3.0)
    first, again = (
        dg.compute_influence(patient, plan.beams, scenarios=scenarios).scenarios for _ in range(2)
    )
    for number in range(1, len(scenarios)):
        one, two = (held.forward(number, np.ones(1)) for held in (first, again))
        np.testing.assert_array_equal(one, two)
    assert plan.beams[0].isocentre == (1.25, -2.5, 3.75)


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_14_no_patient_position_is_mirrored(tmp_path, position):
    """matRad PR 674, pymedphys 1771, 1660: HFP and FFP mirrored, descending axes confused."""
    patient = lopsided_patient(position)
    dg.write_dicom(tmp_path / "s", patient=patient)
    ct = dg.read_dicom(tmp_path / "s").patient.ct
    dense = ct.grid.voxel_points(np.flatnonzero(ct.hu.ravel() > 400)).mean(axis=0)
    np.testing.assert_allclose(dense, [12.0, -9.0, 10.0], atol=1.0)


def test_15_couch_gantry_and_jaws_turn_the_right_way():
    """SlicerRT 235, 255, 100: couch sign wrong, fixed, came back; gantry and jaws inverted."""
    patient = lopsided_patient()
    towards = {
        (0.0, 0.0): (0, -1, 0),  # from the front
        (90.0, 0.0): (1, 0, 0),  # from the patient's left
        (270.0, 0.0): (-1, 0, 0),
        (180.0, 0.0): (0, 1, 0),
        (90.0, 90.0): (0, 0, -1),  # IEC: couch 90 brings the feet to the source on the right
    }
    for (gantry, couch), expected in towards.items():
        beam = spot_plan(patient, gantry=gantry, couch=couch).beams[0]
        np.testing.assert_allclose(-beam.direction, expected, atol=1e-12)
    machine = dg.load_machine("generic-6mv")
    plan = dg.Plan.from_bixels(
        machine,
        **{"gantry": 0.0, "isocentre": (0.0, 0.0, 0.0)},
        **{"x": 0.0, "y": 0.0, "width": 5.0, "weight": 1.0},
    )
    out = np.full(machine.collimator.pairs, 100.0)
    right_and_head = Apertures.of([0], [Aperture((2.0, 12.0, 4.0, 14.0), -out, out)], [100.0])
    dose = dg.compute_dose(patient, replace(plan, apertures=right_and_head), grid=GRID)
    hot = dose.array > 0.7 * dose.array.max()
    # gantry 0, head first supine: x of the gantry is the patient's left, y points to the head
    assert X[hot].mean() == pytest.approx(7.0, abs=2.0)
    assert Z[hot].mean() == pytest.approx(9.0, abs=2.0)


def test_16_an_isocentre_far_away_moves_the_range_shifter_once():
    """SlicerRT PR 344: the isocentre was added twice, the range shifter stood a metre away."""
    from dosegrad.beams.beam import Beams, RangeShifter

    doses = []
    for shift in (0.0, 700.0):
        patient = dg.Patient.from_arrays(
            np.where(ball(27.0), 0.0, -1000.0),
            spacing=GRID.spacing,
            origin=(GRID.origin[0] + shift, GRID.origin[1], GRID.origin[2] - shift),
            structures={"Body": ball(27.0)},
            roles={"Body": "external"},
        )
        plan = spot_plan(patient, isocentre=(shift, 0.0, -shift))
        fields = tuple(replace(b, range_shifter=RangeShifter(20.0, 250.0)) for b in plan.beams)
        beams = Beams(plan.beams.machine, fields, plan.beams.columns)
        doses.append(dg.compute_dose(patient, replace(plan, beams=beams)).array)
    np.testing.assert_allclose(doses[1], doses[0], rtol=1e-9, atol=1e-12)


def test_17_a_dose_agrees_with_itself_inside_a_mask():
    """SlicerRT 277: gamma inside a mask was 0 % even for a dose and itself."""
    dose = dg.Dose(GRID, 2.0 + 0.01 * X * Y)
    target = Structure("T", MaskShape(GRID, ball(10.0)))
    assert dg.gamma(dose, dose, percent=1, distance=1, mask=target).pass_rate == 1.0


def test_18_mu_go_by_beam_number_and_single_spots_are_lists(tmp_path):
    """DVH-Analytics-Bokeh 54, TROTS PR 11: MU by order, a lone spot as a scalar, long decimals."""
    patient = lopsided_patient()
    machine = dg.load_machine("generic-protons")
    plan = dg.Plan.from_spots(
        machine,
        **{"gantry": [10.0, 20.0, 30.0], "isocentre": (0.0, 0.0, 0.0), "x": 1 / 3, "y": -2 / 3},
        **{"energy": machine.energies[2], "weight": [1.0, 20.0, 300.0]},
    )
    dg.write_dicom(tmp_path / "s", patient=patient, plan=plan)
    path = tmp_path / "s" / "RP.dcm"
    data = dcmread(path)
    group = data.FractionGroupSequence[0]
    group.ReferencedBeamSequence = Sequence(list(reversed(group.ReferencedBeamSequence)))
    data.save_as(path)
    found = dg.read_dicom(tmp_path / "s", machine=machine).plan
    np.testing.assert_allclose(found.weights, [1.0, 20.0, 300.0], rtol=1e-6)
    longest = max(
        len(str(v).strip())
        for element in dcmread(path).iterall()
        if element.VR == "DS"
        for v in (element.value if element.VM > 1 else [element.value])
    )
    assert longest <= 16


def test_19_rbe_weighted_planning_starts_from_weights_that_are_finite():
    """matRad 261: weights were infinite or no number at the start of RBE-weighted planning."""
    patient = lopsided_patient()
    beams = dg.steer(patient, dg.load_machine("generic-protons"), target="Target", gantry=90.0)
    influence = dg.compute_influence(patient, beams, rbe=dg.rbe.ConstantRBE(1.1))
    plan = dg.optimise(
        influence, {"Target": [dg.objectives.SquaredDeviation(2.0)]}, max_iterations=3
    )
    assert np.isfinite(plan.weights).all()
    assert plan.weights.max() > 0


def test_20_a_dose_is_written_where_it_lies(tmp_path):
    """CERR 448: an exported dose lay 30 cm off, with the position of another grid."""
    patient = lopsided_patient()
    own = dg.Grid((5, 6, 7), (4.0, 3.0, 3.5), (-9.0, -8.0, 7.0))
    dose = dg.Dose(own, np.arange(210.0).reshape(own.shape))
    dg.write_dicom(tmp_path / "s", patient=patient, plan=spot_plan(patient), dose=dose)
    found = read_dose(tmp_path / "s" / "RD.dcm").dose
    assert (found.grid.origin, found.grid.spacing) == (own.origin, own.spacing)
    np.testing.assert_allclose(
        found.at([(-5.5, -5.0, 11.0)]), dose.at([(-5.5, -5.0, 11.0)]), rtol=1e-6
    )


def test_one_gap_in_a_ct_is_told(tmp_path, dicom):
    """pytrip 409: a phantom with one gap of another size."""

    def shift(data, k):
        if k == 4:
            data.ImagePositionPatient[2] += 0.4

    dicom.write_ct(tmp_path, change=shift)
    assert any("unequal" in w or "interpolated" in w for w in read_ct(tmp_path).warnings)
