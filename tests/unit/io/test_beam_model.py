import numpy as np
import pytest

from dosegrad.errors import EnergyError, FileFormatError
from dosegrad.io.beam_model import read_beam_model, read_beam_model_table
from dosegrad.machine.library import load_machine

TABLE = """#"a beam model",,,,,,,,,
#"BMODPOS 500.0 mm",,,,,,,,,
#"Energy nominal [MeV]","more"
100,100.5,1.0,3000000,4.0,6.0,0.004,0.004,0.2,-0.2
80,80.4,1.1,2500000,5.0,5.0,0.005,0.005,0,0
"""


@pytest.fixture
def table(tmp_path):
    def write(text=TABLE):
        path = tmp_path / "model.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_table_becomes_a_monitor(table):
    model = read_beam_model_table(table())
    assert model.distance == 500.0
    assert model.monitor.particles_per_mu(90.0) == pytest.approx(2.75e6)
    assert model.monitor.energy(100.0) == pytest.approx(100.5)
    assert model.monitor.nominal_energy(100.5) == pytest.approx(100.0)
    with pytest.raises(EnergyError, match=r"120\.00 MeV is outside the machine's table"):
        model.at(120.0)


def test_a_machine_has_the_energies_asked_for(table):
    machine = load_machine(table(), energies=(90.0,), sad=2000.0)
    assert machine.energies == pytest.approx([90.45])
    data = machine.at_energy(90.45)
    assert data.energy_spread == pytest.approx(1.05)
    assert (machine.sad, machine.nozzle_distance) == (2000.0, 500.0)
    assert 60 < data.peak < 66  # mm; PSTAR's range of 90.45 MeV is 64.5


def test_the_spot_grows_with_divergence_and_air(table):
    machine = read_beam_model(table(), energies=[100.0])
    data = machine.data[0]
    variance = np.mean([16.0, 36.0])
    assert data.spot_sigma(0.0) == pytest.approx(np.sqrt(variance))
    covariance = np.mean([0.2 * 4.0 * 0.004, -0.2 * 6.0 * 0.004])
    alone = variance + 2 * covariance * 500.0 + 0.004**2 * 500.0**2
    assert np.sqrt(alone) < data.spot_sigma(500.0) < 1.2 * np.sqrt(alone)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("BMODPOS 500.0 mm", "somewhere", "distance of its plane"),
        ("100,100.5", "100,here", "rows of 10 numbers"),
        (",0,0\n", ",0\n", "rows of 10 numbers"),
        ("3000000", "-3000000", "must be positive"),
        ("0.2,-0.2", "2,-0.2", "correlations between -1 and 1"),
        ("100,100.5", "80,100.5", "energies that ascend"),
    ],
)
def test_tables_that_cannot_be_are_refused(table, old, new, message):
    with pytest.raises(FileFormatError, match=message):
        read_beam_model_table(table(TABLE.replace(old, new)))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileFormatError, match=r"gone\.csv.*cannot be opened"):
        read_beam_model_table(tmp_path / "gone.csv")
