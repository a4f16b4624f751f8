import numpy as np
import pytest

from dosegrad.beams.beam import RangeShifter
from dosegrad.beams.spots import lattice_points, peak_width, spots_to_beams, thin_layers
from dosegrad.beams.steering import steer
from dosegrad.errors import (
    BeamError,
    EnergyError,
    SettingsError,
    TargetError,
    UnknownNameError,
)
from dosegrad.patient.patient import Patient


def steered(patient, machine, **changes):
    return steer(patient, machine, **{"target": "Target", "gantry": 0.0} | changes)


def shell(**changes):
    """Water, 100 mm wide, with a target of two slabs that a ray from above meets twice."""
    shape = (20, 50, 25)
    target = np.zeros(shape, dtype=bool)
    target[8:12, 14:20, 9:16] = True
    target[8:12, 32:38, 9:16] = True
    target |= np.zeros(shape, dtype=bool)
    settings = {
        "spacing": (3.0, 2.0, 4.0),
        "origin": (-48.0, -49.0, -28.5),
        "structures": {"Target": target, "Body": np.ones(shape, dtype=bool)},
        "roles": {"Target": "target", "Body": "external"},
        "calibration": "schneider-water",
    }
    return Patient.from_arrays(np.zeros(shape), **settings | changes)


def test_default_isocentre_is_the_centre_of_mass(water_box, toy_machine):
    beams = steered(water_box, toy_machine)
    centre = water_box.ct.grid.voxel_points(
        np.flatnonzero(water_box.structure("Target").mask(water_box.ct.grid))
    ).mean(axis=0)
    assert beams[0].isocentre == pytest.approx(tuple(centre))
    assert beams[0].position == "HFS"
    assert beams[0].sad == toy_machine.sad


def test_spots_lie_on_the_lattice_and_cover_the_target(water_box, toy_machine):
    beams = steered(water_box, toy_machine, gantry=[0.0, 90.0], spot_spacing=4.0)
    columns = beams.columns
    for name in ("x", "y"):
        steps = columns[name] / 4.0
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert np.unique(columns["beam"]).tolist() == [0, 1]
    # gantry 0: target of 30 mm along x, 18 mm along z, grown by 4 + 3 mm
    first = columns[columns["beam"] == 0]
    assert 19 <= first["x"].max() <= 22
    assert 12 <= first["y"].max() <= 16
    # a ray has one number, over all beams, and one position
    for ray in np.unique(columns["ray"]):
        part = columns[columns["ray"] == ray]
        assert np.unique(part["beam"]).size == np.unique(part["x"]).size == 1
        assert (np.diff(part["energy"]) > 0).all()


def test_peaks_lie_in_the_grown_target(water_box, toy_machine):
    beams = steered(water_box, toy_machine, margin=5.0)
    air = 0.0011 * (500.0 - 75.0)
    peaks = np.array([toy_machine.at_energy(e).peak for e in beams.columns["energy"]]) - air
    # target from 60 to 90 mm depth; the grown one by at most 5 mm, in whole voxels of 2.5 mm
    assert peaks.min() >= 55.0 - 1e-6
    assert peaks.max() <= 95.0 + 1e-6
    assert np.unique(beams.columns["energy"]).size >= 4


def test_rays_may_meet_the_target_twice(toy_machine):
    beams = steered(shell(), toy_machine, margin=0.0, range_shifter=None)
    air = 0.0011 * (500.0 - 50.0)
    peaks = np.array([toy_machine.at_energy(e).peak for e in beams.columns["energy"]]) - air
    inside = ((peaks > 28) & (peaks < 40)) | ((peaks > 64) & (peaks < 76))
    assert inside.all()
    first = peaks[beams.columns["ray"] == 0]
    assert (first < 40).any()
    assert (first > 64).any()


def test_layers_are_common_to_all_rays(water_box, toy_machine):
    coarse = steered(water_box, toy_machine, layer_spacing=10.0)
    fine = steered(water_box, toy_machine, layer_spacing=3.0)
    assert np.unique(coarse.columns["energy"]).size < np.unique(fine.columns["energy"]).size
    widths = steered(water_box, toy_machine, layer_spacing_peak_widths=2.0)
    assert np.unique(widths.columns["energy"]).size <= np.unique(fine.columns["energy"]).size


def test_margins_add_spots(water_box, toy_machine):
    n = [
        steered(water_box, toy_machine, **more).n_columns
        for more in (
            {"margin": 0.0},
            {"margin": 0.0, "setup_margin": 5.0},
            {"margin": 5.0},
            {"margin": 0.0, "range_margin_percent": 8.0},
        )
    ]
    assert n[0] < n[1] == n[2]
    assert n[3] > n[0]


def test_range_shifter_only_where_it_is_needed(water_box, toy_machine):
    assert steered(water_box, toy_machine)[0].range_shifter is None
    shallow = shell(origin=(-48.0, -49.0, -28.5))
    beams = steered(shallow, toy_machine, gantry=[0.0, 90.0])
    lowest = toy_machine.peaks[0]
    assert lowest > 28
    assert beams[0].range_shifter is not None
    assert beams[0].range_shifter.thickness == 40.0
    # the skin lies 50 mm above the centre of the target, which is 2 mm below that of the CT
    assert beams[0].range_shifter.distance == pytest.approx(110.0)
    given = steered(water_box, toy_machine, range_shifter=RangeShifter(15.0, 120.0))
    assert given[0].range_shifter == RangeShifter(15.0, 120.0)
    assert given.columns["energy"].min() > steered(water_box, toy_machine).columns["energy"].min()
    assert steered(shallow, toy_machine, range_shifter=None)[0].range_shifter is None


def test_hexagonal_lattice_is_as_dense_as_it_says():
    corner = np.array([300.0, 300.0])
    square = lattice_points(-corner, corner, 5.0, "square")
    hexagonal = lattice_points(-corner, corner, 5.0, "hexagonal")
    assert len(hexagonal) / len(square) == pytest.approx(2 / np.sqrt(3), rel=0.05)
    others = hexagonal[np.linalg.norm(hexagonal, axis=1) > 0]
    assert np.sort(np.linalg.norm(others, axis=1))[:7] == pytest.approx([5.0] * 6 + [75**0.5])
    with pytest.raises(UnknownNameError, match=r"Did you mean 'hexagonal'\?"):
        lattice_points(-corner, corner, 5.0, "hexagon")


def test_thinning_keeps_the_mean_spacing(toy_machine):
    needed = np.ones(toy_machine.energies.size, dtype=bool)
    assert thin_layers(toy_machine, needed, spacing=0.5).all()
    kept = thin_layers(toy_machine, needed, spacing=20.0)
    assert kept[0]
    assert kept[-1]
    assert np.diff(toy_machine.peaks[kept]).mean() == pytest.approx(20.0, rel=0.15)
    assert not thin_layers(toy_machine, np.zeros_like(needed), spacing=5.0).any()


def test_peak_width_of_a_gaussian_peak(toy_machine):
    data = toy_machine.at_energy(150.0)
    # half the peak is cut away steeply; what remains is near 0.03 R sqrt(ln 1.25) wide and more
    assert 0.015 * data.peak < peak_width(data) < 0.06 * data.peak


def test_refuses_what_cannot_be_steered(water_box, toy_machine):
    with pytest.raises(UnknownNameError, match="Did you mean 'Target'"):
        steered(water_box, toy_machine, target="target")
    with pytest.raises(TargetError, match="'Nothing' is empty"):
        steered(water_box, toy_machine, target="Nothing")
    with pytest.raises(BeamError, match="at least one beam"):
        steered(water_box, toy_machine, gantry=[])
    with pytest.raises(BeamError, match="3 couch angles do not fit 2 gantry angles"):
        steered(water_box, toy_machine, gantry=[0.0, 90.0], couch=[0.0, 1.0, 2.0])
    with pytest.raises(BeamError, match="isocentre"):
        steered(water_box, toy_machine, isocentre=(0.0, np.nan, 0.0))
    for spacing in (-5.0, 0.0, np.nan):
        with pytest.raises(SettingsError, match="spot spacing"):
            steered(water_box, toy_machine, spot_spacing=spacing)
    with pytest.raises(SettingsError, match="layer spacing -1 mm"):
        steered(water_box, toy_machine, layer_spacing=-1.0)
    with pytest.raises(SettingsError, match="either in mm or in peak widths"):
        steered(water_box, toy_machine, layer_spacing=2.0, layer_spacing_peak_widths=1.0)
    with pytest.raises(SettingsError, match="margin -1"):
        steered(water_box, toy_machine, margin=-1.0)
    with pytest.raises(UnknownNameError, match="range shifter"):
        steered(water_box, toy_machine, range_shifter="automatic")


def test_a_target_too_deep_is_told_with_the_depth(toy_machine):
    shape = (10, 110, 20)
    target = np.zeros(shape, dtype=bool)
    target[4:6, 95:105, 8:12] = True
    patient = Patient.from_arrays(
        np.zeros(shape),
        spacing=(3.0, 2.5, 4.0),
        structures={"PTV": target, "Body": np.ones(shape, dtype=bool)},
        roles={"PTV": "target", "Body": "external"},
        calibration="schneider-water",
    )
    with pytest.raises(
        TargetError,
        match=r"'PTV' reaches 263 mm water-equivalent depth from gantry 0°, beyond the 19\d mm of "
        r"machine 'toy' \(60\.0 to 170\.0 MeV\); add a field from the other side",
    ):
        steer(patient, toy_machine, target="PTV", gantry=0.0)


def test_explicit_spots_become_fields_in_order(toy_machine):
    beams = spots_to_beams(
        toy_machine,
        gantry=[90.0, 0.0, 90.0, 0.0],
        isocentre=(1.0, 2.0, 3.0),
        x=[0.0, 1.0, 2.0, 1.0],
        y=0.0,
        energy=[100.0, 105.0, 110.0, 60.0],
    )
    assert [b.gantry for b in beams] == [90.0, 0.0]
    assert beams.columns["beam"].tolist() == [0, 0, 1, 1]
    assert beams.columns["energy"].tolist() == [100.0, 110.0, 105.0, 60.0]
    assert beams.columns["ray"].tolist() == [0, 1, 2, 2]


def test_explicit_spots_are_checked(toy_machine):
    settings = {"gantry": 0.0, "isocentre": (0.0, 0.0, 0.0), "x": [0.0, 1.0], "y": 0.0}
    with pytest.raises(EnergyError, match="not one of machine 'toy'"):
        spots_to_beams(toy_machine, energy=101.0, **settings)
    with pytest.raises(BeamError, match="do not fit together"):
        spots_to_beams(toy_machine, energy=[100.0, 100.0, 100.0], **settings)
    with pytest.raises(BeamError, match="at least one spot"):
        spots_to_beams(toy_machine, energy=100.0, **settings | {"x": []})


@pytest.mark.parametrize(
    ("thickness", "distance"), [(-40.0, 300.0), (np.nan, 300.0), (40.0, np.inf)]
)
def test_impossible_range_shifters_are_refused(thickness, distance):
    with pytest.raises(BeamError, match="range shifter"):
        RangeShifter(thickness, distance)


def test_angles_that_are_no_numbers_are_refused(water_box, toy_machine):
    with pytest.raises(BeamError, match="'left'"):
        steer(water_box, toy_machine, target="Target", gantry="left")


def test_each_beam_may_have_an_isocentre_of_its_own(water_box, toy_machine):
    """Spots move against the isocentre in the beam's frame, and cover the same target."""
    apart = [(3.0, -5.0, 4.0), (-7.0, 0.0, 9.0)]
    beams = steered(water_box, toy_machine, gantry=[0.0, 90.0], couch=[0.0, 30.0], isocentre=apart)
    assert [b.isocentre for b in beams] == apart
    target = water_box.structure("Target").mask(water_box.ct.grid)
    centre = water_box.ct.grid.voxel_points(np.flatnonzero(target)).mean(axis=0)
    for number, beam in enumerate(beams):
        columns = beams.columns[beams.columns_of(number)]
        expected = beam.to_gantry(centre)[:2]
        middle = [0.5 * (columns[k].min() + columns[k].max()) for k in "xy"]
        np.testing.assert_allclose(middle, expected, atol=5.1)  # one lattice step
    same = steered(water_box, toy_machine, gantry=[0.0, 90.0], isocentre=(3.0, -5.0, 4.0))
    assert {b.isocentre for b in same} == {(3.0, -5.0, 4.0)}
    with pytest.raises(BeamError, match=r"shape \(2, 3\) do not fit 1 beams"):
        steered(water_box, toy_machine, isocentre=apart)
