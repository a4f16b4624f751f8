"""Photon machines as values, in files of our own and from matRad's."""

from dataclasses import replace

import numpy as np
import pytest
from pytest import approx
from scipy.io import savemat

from dosegrad.commissioning.generic_photons import RECIPES, build
from dosegrad.errors import FileFormatError, MachineError
from dosegrad.io.archive import load_plan
from dosegrad.io.matrad_machine import read_matrad_machine
from dosegrad.machine.archive import read_machine_archive
from dosegrad.machine.library import load_machine
from dosegrad.machine.photon import HeadScatter
from dosegrad.machine.photon_archive import write_photon_archive
from dosegrad.plan import Plan


def matrad_file(path, **changes):
    kernels = [
        {"SSD": ssd, **{f"kernel{k}": np.array([k, 0.5, 0.1]) * ssd for k in (1, 2, 3)}}
        for ssd in (900.0, 950.0)
    ]
    data = {
        "betas": [0.3, 0.02, 0.005],
        "energy": 6,
        "m": 0.0051,
        "primaryFluence": np.array([[0.0, 1.0], [100.0, 1.05]]),
        "kernel": kernels,
        "kernelPos": np.array([0.0, 0.5, 1.0]),
        "penumbraFWHMatIso": 5.0,
        **changes,
    }
    meta = {"radiationMode": "photons", "name": "Toy", "SAD": 1000, "dataType": "-"}
    savemat(path, {"machine": {"meta": meta, "data": data}})
    return path


def test_a_matrad_file_gives_kernels_per_area(tmp_path):
    machine = read_matrad_machine(matrad_file(tmp_path / "m.mat"))
    assert repr(machine) == "PhotonMachine('photons_Toy', 6 MV, SAD 1000 mm)"
    assert machine.modality == "photons"
    assert machine.kernels[1, 0] == approx(np.array([1.0, 0.5, 0.1]) * 950.0 / 0.25)
    assert machine.description["area element"] == "0.25 mm2"
    assert machine.mu_per_weight is None
    assert machine.fluence_at(np.array([50.0])) == approx([1.025])
    coarse = read_matrad_machine(tmp_path / "m.mat", raster=1.0)
    assert coarse.kernels == approx(0.25 * machine.kernels)


def test_a_matrad_file_that_lacks_a_table_is_told(tmp_path):
    with pytest.raises(FileFormatError, match="lacks or garbles"):
        read_matrad_machine(matrad_file(tmp_path / "m.mat", kernel=[{"SSD": 900.0}]))


def test_our_file_reads_back(tmp_path):
    machine = load_machine("generic-6mv")
    write_photon_archive(machine, tmp_path / "m.npz")
    again = load_machine(tmp_path / "m.npz")
    assert repr(again) == repr(machine)
    assert again.head_scatter == machine.head_scatter
    assert again.mu_per_weight == 1.0
    assert dict(again.description) == dict(machine.description)
    for name in ("betas", "ssds", "radii", "kernels", "primary_fluence"):
        assert np.array_equal(getattr(again, name), getattr(machine, name))


def test_a_file_without_a_table_is_told(tmp_path):
    path = tmp_path / "m.npz"
    write_photon_archive(load_machine("generic-6mv"), path)
    with np.load(path) as file:
        content = {name: file[name] for name in file.files if name != "betas"}
    np.savez(path, **content)
    with pytest.raises(FileFormatError, match="lacks betas"):
        read_machine_archive(path)


def test_the_script_makes_the_packaged_machine_again():
    made, packaged = build(RECIPES["generic-6mv"]), load_machine("generic-6mv")
    assert made.betas == approx(packaged.betas, rel=1e-5)
    scale = packaged.kernels.max(axis=(0, 2))[None, :, None]
    assert (made.kernels / scale) == approx(packaged.kernels / scale, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"betas": np.ones(2)}, "three betas"),
        ({"radii": np.ones(3)}, "kernels of shape"),
        ({"attenuation": 0.0}, "not positive"),
        ({"ssds": np.full(7, 900.0)}, "must ascend"),
    ],
)
def test_tables_that_contradict_each_other_are_refused(change, message):
    with pytest.raises(MachineError, match=message):
        replace(load_machine("generic-6mv"), **change)


def test_head_scatter_is_checked():
    with pytest.raises(MachineError, match="head scatter"):
        HeadScatter(1.2, 30.0)


def test_a_photon_plan_is_saved_with_its_machine(tmp_path):
    plan = Plan.from_bixels(
        load_machine("generic-10mv"),
        gantry=[0, 90, 0],
        isocentre=(0.0, 0.0, 0.0),
        x=[0.0, 5.0, 10.0],
        y=0.0,
        width=5.0,
        weight=[1.0, 2.0, 3.0],
    )
    assert plan.weights.tolist() == [1.0, 3.0, 2.0]
    assert plan.beams.columns["x"].tolist() == [0.0, 10.0, 5.0]
    plan.save(tmp_path / "plan.dg")
    again = load_plan(tmp_path / "plan.dg")
    assert np.array_equal(again.weights, plan.weights)
    assert np.array_equal(again.beams.columns, plan.beams.columns)
    assert np.array_equal(again.beams.machine.kernels, plan.beams.machine.kernels)
    assert again.beams.machine.head_scatter == plan.beams.machine.head_scatter
