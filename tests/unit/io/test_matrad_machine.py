import numpy as np
import pytest
from scipy.io import savemat

from dosegrad.errors import CapabilityError, FileFormatError, MachineError
from dosegrad.io.matrad_machine import read_matrad_machine


def entry(**changes):
    base = {
        "energy": 100.0,
        "peakPos": 60.0,
        "offset": 0.5,
        "depths": np.array([0.0, 40.0, 60.0, 70.0]),
        "Z": np.array([1.0, 2.0, 5.0, 0.0]),
        "sigma": np.array([0.0, 1.0, 2.0, 2.5]),
        "sigma1": np.array([0.0, 0.5, 1.0, 1.5]),
        "sigma2": np.array([9.0, 9.5, 10.0, 11.0]),
        "weight": np.array([0.0, 0.1, 0.2, 0.1]),
        "LET": np.array([1.0, 2.0, 6.0, 9.0]),
        "initFocus": {"dist": np.array([900.0, 1100.0]), "sigma": np.array([4.0, 6.0])},
    }
    return base | changes


def write(path, *, mode="protons", model="doubleGauss", data=None):
    meta = {"radiationMode": mode, "dataType": model, "SAD": 1000.0, "BAMStoIsoDist": 200.0}
    data = [entry(), entry(energy=80.0)] if data is None else data
    savemat(path, {"machine": {"meta": meta | {"name": "Small"}, "data": data}})
    return path


def test_reads_two_gaussians_in_order_of_energy(tmp_path):
    machine = read_matrad_machine(write(tmp_path / "m.mat"))
    assert machine.name == "protons_Small"
    assert machine.energies.tolist() == [80.0, 100.0]
    assert (machine.sad, machine.nozzle_distance) == (1000.0, 200.0)
    data = machine.data[1]
    assert data.weights[:, 2].tolist() == [0.8, 0.2]
    assert data.sigmas[:, 1].tolist() == [0.5, 9.5]
    assert data.let.tolist() == [1.0, 2.0, 6.0, 9.0]


def test_turns_conventions(tmp_path):
    data = read_matrad_machine(write(tmp_path / "m.mat")).data[0]
    assert data.focus_distance.tolist() == [100.0, 300.0]  # from the nozzle, not the source
    assert data.offset == -0.5  # added to depths, not subtracted
    assert data.peak == 60.5
    assert data.range == pytest.approx(62.0 + 0.5)  # distal 80 % of 5: level 4 on the way to 0


def test_single_gaussian_on_request(tmp_path):
    data = read_matrad_machine(write(tmp_path / "m.mat"), gaussians="single").data[0]
    assert data.sigmas.tolist() == [[0.0, 1.0, 2.0, 2.5]]
    assert data.weights.tolist() == [[1.0, 1.0, 1.0, 1.0]]


def test_several_gaussians(tmp_path):
    multi = entry(sigmaMulti=np.arange(12.0).reshape(4, 3), weightMulti=np.full((4, 2), 0.1))
    path = write(tmp_path / "m.mat", model="multipleGauss", data=[multi, multi | {"energy": 90.0}])
    data = read_matrad_machine(path).data[0]
    assert data.sigmas[:, 1].tolist() == [3.0, 4.0, 5.0]
    assert data.weights[:, 0] == pytest.approx([0.8, 0.1, 0.1])


def test_refuses_other_modalities(tmp_path):
    with pytest.raises(CapabilityError, match="only photons and protons, helium, carbon"):
        read_matrad_machine(write(tmp_path / "m.mat", mode="brachy"))


def test_refuses_missing_model_and_focus(tmp_path):
    bare = entry()
    del bare["sigma1"]
    path = write(tmp_path / "m.mat", data=[bare, bare | {"energy": 90.0}])
    with pytest.raises(MachineError, match="needs sigma1, which the machine file lacks"):
        read_matrad_machine(path)
    with pytest.raises(MachineError, match="focus 2 is not in the machine file"):
        read_matrad_machine(write(tmp_path / "n.mat"), focus=2)


def test_refuses_files_that_are_none(tmp_path):
    with pytest.raises(FileFormatError, match="no machine file"):
        read_matrad_machine(tmp_path / "missing.mat")
    whole = write(tmp_path / "m.mat").read_bytes()
    for n in (0, 60, 200, len(whole) // 2):
        (tmp_path / "cut.mat").write_bytes(whole[:n])
        with pytest.raises(FileFormatError, match=r"cut\.mat"):
            read_matrad_machine(tmp_path / "cut.mat")
    savemat(tmp_path / "other.mat", {"ct": 1.0})
    with pytest.raises(FileFormatError, match="holds no matRad machine"):
        read_matrad_machine(tmp_path / "other.mat")
    lacking = entry()
    del lacking["depths"]
    path = write(tmp_path / "l.mat", data=[lacking, lacking])
    with pytest.raises(FileFormatError, match="lacks or garbles a field"):
        read_matrad_machine(path)


@pytest.mark.parametrize(("name", "n"), [("protons", 114), ("helium", 116), ("carbon", 121)])
def test_reads_distributed_machines(data, name, n):
    machine = read_matrad_machine(data / f"machines/{name}_Generic.mat")
    assert (machine.modality, len(machine.data)) == (name, n)
    assert (np.diff(machine.peaks) > 0).all()
    assert machine.tissues.shape == ((2, 2) if name == "carbon" else (0, 2))
