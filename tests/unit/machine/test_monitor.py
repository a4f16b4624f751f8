import pytest

from dosegrad.errors import EnergyError, MachineError
from dosegrad.machine.monitor import Monitor


def test_without_a_table_mu_are_weights_and_energies_are_true():
    monitor = Monitor()
    assert monitor.particles_per_mu(123.4) == 1e6
    assert monitor.energy(123.4) == monitor.nominal_energy(123.4) == 123.4


def test_a_table_is_linear_between_its_entries():
    monitor = Monitor([100.0, 110.0], [101.0, 112.0], [1e6, 2e6])
    assert monitor.particles_per_mu(105.0) == pytest.approx(1.5e6)
    assert monitor.energy(105.0) == pytest.approx(106.5)
    assert monitor.nominal_energy(106.5) == pytest.approx(105.0)


def test_outside_the_table_there_is_no_guess():
    monitor = Monitor([100.0, 110.0], [101.0, 112.0], [1e6, 2e6])
    with pytest.raises(EnergyError, match=r"99\.00 MeV is outside"):
        monitor.particles_per_mu(99.0)


@pytest.mark.parametrize(
    "tables",
    [
        ([100.0, 90.0], [101.0, 112.0], [1e6, 2e6]),
        ([100.0, 110.0], [101.0, 100.0], [1e6, 2e6]),
        ([100.0, 110.0], [101.0, 112.0], [1e6, 0.0]),
        ([100.0, 110.0], [101.0, 112.0], [1e6]),
        ([100.0, float("nan")], [101.0, 112.0], [1e6, 2e6]),
    ],
)
def test_tables_that_cannot_be_are_refused(tables):
    with pytest.raises(MachineError, match="a monitor needs"):
        Monitor(*tables)
