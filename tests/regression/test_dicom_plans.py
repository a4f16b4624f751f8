"""Plans and doses of other systems: all read, and spots are those that others find in them."""

import numpy as np
import pytest

from dosegrad import load_machine, read_dicom
from dosegrad.errors import FileFormatError, MachineError
from dosegrad.io.beam_model import read_beam_model_table
from dosegrad.io.dicom.doses import RT_DOSE, read_dose
from dosegrad.io.dicom.ion_plans import RT_ION_PLAN, IonPlan, read_ion_plan
from dosegrad.io.dicom.photon_plans import RT_PLAN, read_photon_plan
from dosegrad.io.dicom.stream import is_dicom, read_data_set

READERS = {RT_ION_PLAN: read_ion_plan, RT_PLAN: read_photon_plan, RT_DOSE: read_dose}
#: Files that may be refused, and why.
REFUSED = {"pydicom_rt/rtplan_truncated.dcm": "it was cut off"}

MONO = "dcpt_eclipse_mono160"
SOBP = "dcpt_raystation_sobp3d"


@pytest.fixture(scope="module")
def samples(data):
    return data / "dicom"


def plan_file(folder):
    return next(p for p in sorted(folder.iterdir()) if p.suffix == ".dcm")


def test_every_plan_and_dose_is_read_or_stands_among_the_refused(samples):
    n_read = dict.fromkeys(READERS, 0)
    for path in sorted(p for p in samples.rglob("*") if p.is_file() and is_dicom(p)):
        name = path.relative_to(samples).as_posix()
        if name in REFUSED:
            with pytest.raises(FileFormatError, match=REFUSED[name]):
                read_photon_plan(path)
            continue
        sop_class = str(read_data_set(path).SOPClassUID)
        if sop_class in READERS:
            READERS[sop_class](path)
            n_read[sop_class] += 1
    assert n_read == {RT_ION_PLAN: 5, RT_PLAN: 3, RT_DOSE: 9}


def spot_list(path):
    """Mean energy and its sigma MeV, x and y mm, particles, (n, 5), of a list of dicomexport."""
    table = np.loadtxt(path)
    energy, spread, x, y = table[:, :4].T
    return np.column_stack([energy * 1e3, spread * 1e3, x * 10, y * 10, table[:, -1]])


@pytest.mark.parametrize(
    ("folder", "name", "model"),
    [
        (MONO, "spotlist_BMv2_c7_field01.dat", "v2"),
        (MONO, "spotlist_BMv5_c7_field01.dat", "v5"),
        (MONO, "spotlist_BMv5_c11_field01.dat", "v5"),
        (SOBP, "spotlist_BMv5_c7_field01.dat", "v5"),
    ],
)
def test_spots_are_those_of_the_list_beside_the_plan(samples, folder, name, model):
    # 1e-5 in particles and 1e-3 mm: the lists hold six digits
    expected = spot_list(samples / folder / name)
    monitor = read_beam_model_table(
        samples / "dcpt_beam_model" / f"DCPT_beam_model__{model}.csv"
    ).monitor
    (field,) = read_ion_plan(plan_file(samples / folder)).fields
    particles, x, y, energy = [], [], [], []
    for layer in field.layers:
        particles.append(layer.meterset * monitor.particles_per_mu(layer.energy))
        x.append(layer.x)
        y.append(layer.y)
        energy.append(np.full(layer.x.size, monitor.energy(layer.energy)))
    found = [np.concatenate(values) for values in (energy, x, y, particles)]
    np.testing.assert_allclose(found[0], expected[:, 0], atol=1e-3)  # MeV
    np.testing.assert_allclose(found[1], expected[:, 2], atol=1e-3)
    np.testing.assert_allclose(found[2], expected[:, 3], atol=1e-3)
    np.testing.assert_allclose(found[3], expected[:, 4], rtol=1e-5)


def test_a_beam_model_gives_a_plan_that_can_be_computed(samples):
    model = samples / "dcpt_beam_model" / "DCPT_beam_model__v5.csv"
    study = read_dicom(samples / MONO, machine=model)
    expected = spot_list(samples / MONO / "spotlist_BMv5_c7_field01.dat")
    np.testing.assert_allclose(study.plan.weights * 1e6, expected[:, 4], rtol=1e-5)
    (data,) = study.plan.beams.machine.data
    assert data.energy == pytest.approx(160.132, abs=1e-3)
    assert data.energy_spread == pytest.approx(1.15711, abs=1e-5)
    # the planning system states 9.788 mm and 8.957 mm full width at the isocentre
    assert 2.3548 * data.spot_sigma(600.0) == pytest.approx((9.788 + 8.957) / 2, rel=0.05)
    assert study.plan.beams[0].sad == 2280.0
    assert any("2000 mm (x) and 2560 mm (y)" in w for w in study.warnings)


def test_without_a_machine_a_plan_keeps_its_meterset(samples):
    plan = read_dicom(samples / MONO).plan
    assert isinstance(plan, IonPlan)
    assert plan.fields[0].layers[0].meterset[0] == pytest.approx(
        21.200551986694336 * 58414.5492229546 / 6847.778384  # the ratio is 8.53, not 1
    )
    with pytest.raises(MachineError, match="no machine says how many particles"):
        _ = plan.beams


def test_metersets_of_other_systems_add_up(samples):
    for name, ratio in (
        (MONO, 8.530),
        (SOBP, 1.0),
        ("opentps_simple_phantom", 1.0),
    ):
        folder = samples / name
        path = folder / "otps_rp.dcm" if name.startswith("opentps") else plan_file(folder)
        (field,) = read_ion_plan(path).fields
        total = sum(float(layer.meterset.sum()) for layer in field.layers)
        assert total == pytest.approx(field.meterset, rel=2e-5)
        final = float(read_data_set(path).IonBeamSequence[0].FinalCumulativeMetersetWeight)
        assert field.meterset / final == pytest.approx(ratio, abs=1e-3)


def test_plan_without_closing_control_points(samples):
    study = read_dicom(samples / "opentps_simple_phantom")
    assert study.plan.n_spots == 304
    assert len(study.plan.fields[0].layers) == 8
    text = "\n".join(study.warnings)
    assert "no closing control point" in text
    assert "refers to a structure set that is not the one read" in text


def test_photon_plans(samples):
    study = read_dicom(samples / "dicompyler_breast")
    assert study.plan.monitor_units.tolist() == [97.0, 87.0, 89.0, 94.0]
    assert study.plan.fractions == 7
    field = study.plan.fields[0]
    assert len(field.control_points) == 92
    assert field.control_points[-1].gantry == 327.0
    assert field.metersets[1] == pytest.approx(97 * 1.0989011e-2)
    assert field.control_points[-1].collimators.leaves[0].positions.shape == (2, 60)
    monaco = read_dicom(samples / "monaco_plan_no_preamble").plan
    assert monaco.monitor_units.tolist() == [1000.0] * 10
    last = monaco.fields[-1].control_points[-1].collimators
    assert (last.jaws_x, last.leaves[0].boundaries.size) == (None, 81)


def test_encodings_of_one_dose_agree(samples):
    folder = samples / "pydicom_rt"
    plain = read_dose(folder / "rtdose.dcm").dose
    assert plain.grid.shape == (15, 10, 10)
    assert plain.grid.spacing == (5.0, 10.0, 10.0)
    assert plain.array[0, 0, 0] == pytest.approx(1249000 * 1e-6)
    for name in ("rtdose_rle.dcm", "rtdose_expb.dcm"):
        assert np.array_equal(read_dose(folder / name).dose.array, plain.array)
    single = read_dose(folder / "rtdose_1frame.dcm").dose
    assert np.array_equal(single.array, plain.array[:1])
    assert plain.quantity == "relative_dose"


def test_several_doses_or_plans_ask_for_a_choice(samples):
    with pytest.raises(FileFormatError, match="5 doses of the whole course"):
        read_dicom(samples / "agnew_gamma_1mm")
    chosen = read_dicom(samples / "agnew_gamma_1mm", dose="ProstateIMRT_Reference_1mmPx.dcm")
    assert chosen.patient is None
    assert chosen.dose.grid.shape == (1, 86, 55)
    with pytest.raises(FileFormatError, match=r"2 plans belong to the CT .*plan='\.\.\.'"):
        read_dicom(samples / "eclipse_proton_plans")
    name = "RN.1.2.246.352.71.5.361940808526.37240.20200311150225.dcm"
    plan = read_dicom(samples / "eclipse_proton_plans", plan=name).plan
    assert [f.meterset for f in plan.fields] == [2340.0] * 4


@pytest.mark.slow
def test_every_layer_of_a_spread_out_peak_gets_its_base_data(samples):
    model = samples / "dcpt_beam_model" / "DCPT_beam_model__v5.csv"
    plan = read_dicom(samples / SOBP, machine=model).plan
    assert plan.n_spots == 5929
    assert len(plan.beams.machine.data) == 13
    other = load_machine(model, energies=(100.0,))
    assert other.monitor.particles_per_mu(100.0) > 2e6
