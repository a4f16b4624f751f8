"""Point doses, monitor units and beam tables against published and measured figures."""

import csv

import numpy as np
import pytest

from dosegrad import engines, load_machine
from dosegrad.commissioning.beam_tables import tabulate
from dosegrad.engines.tg71.model import mayneord_factor, tpr_from_pdd
from dosegrad.engines.tg71.table_file import format_tables, read_tables
from dosegrad.engines.tg71.tables import BeamTables, Curve, Sheet


@pytest.fixture(scope="module")
def measured(data):
    return engines.TG71.from_table(data / "photon" / "tg-71-6mv.dat")


def test_doses_of_cbdose_are_met(data, measured):
    """100 random points of the class that computes Planner 2D's dose; it works in float32."""
    with (data / "photon" / "cbdose_reference.csv").open(encoding="utf-8") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert len(rows) == 100
    for row in rows:
        dose = measured.point_dose(
            mu=row["mu"],
            field=(20.0 * row["half_x_cm"], 20.0 * row["half_y_cm"]),
            ssd=10.0 * row["ssd_cm"],
            depth=10.0 * row["depth_cm"],
            off_axis=10.0 * row["oad_cm"],
        )
        assert 100.0 * dose == pytest.approx(row["dose_cGy"], rel=1e-5)


def constant_tables():
    """Tables that say 1, calibrated to 1 cGy/MU at 15 mm depth and SSD 1000 mm."""
    ends = np.array([10.0, 500.0])
    curve, sheet = Curve("S", ends, np.ones(2)), Sheet("T", ends, ends, np.ones((2, 2)))
    return BeamTables("one", 0.01, 15.0, 1000.0, 1000.0, 1000.0, curve, curve, sheet, sheet, sheet)


def test_the_worked_example_gives_232_4_mu_by_both_routes():
    """SSD 101 cm, 12.6 cm x 12.9 cm at the skin, 200 cGy at 5.3 cm; factors as the problem has."""
    engine = engines.TG71(constant_tables())
    geometry = {"dose": 2.0, "field": (126 / 1.01, 129 / 1.01), "ssd": 1010.0, "depth": 53.0}
    f = mayneord_factor(depth=53.0, reference_depth=15.0, from_ssd=1000.0, to_ssd=1010.0)
    percent = 86.4 * f
    by_pdd = engine.monitor_units(
        **geometry, setup="fixed-ssd", given={"Sc": 1.010, "Sp": 1.005, "PDD": percent / 100}
    )
    ratio = tpr_from_pdd(
        percent, depth=53.0, reference_depth=15.0, ssd=1010.0, scatter_ratio=1.005 / 1.007
    )
    by_tpr = engine.monitor_units(**geometry, given={"Sc": 1.010, "Sp": 1.007, "TPR": ratio})
    assert by_pdd.value == pytest.approx(232.4, abs=0.05)
    assert by_tpr.value == pytest.approx(by_pdd.value, rel=1e-12)
    assert "side 126.2 mm at the isocentre" not in str(by_pdd)  # given by value
    assert "= 232.4" in str(by_pdd)


SECTION = {  # field (mm): depth of maximum (mm); percent at 50, 100, 150, 200, 300 mm, SSD 900 mm
    30.0: (12, (79.56, 57.56, 41.85, 30.56, 16.45)),
    50.0: (12, (81.14, 59.88, 44.22, 32.70, 17.97)),
    100.0: (13, (83.61, 63.72, 48.29, 36.50, 20.79)),
    200.0: (13, (85.46, 67.13, 52.35, 40.61, 24.18)),
}
OUTPUT = {
    20.0: 0.782,
    30.0: 0.831,
    40.0: 0.865,
    50.0: 0.896,
    60.0: 0.923,
    80.0: 0.967,
    100.0: 1.0,
    150.0: 1.057,
    200.0: 1.097,
    250.0: 1.123,
}
DEPTHS = (50.0, 100.0, 150.0, 200.0, 300.0)


@pytest.fixture(scope="module")
def machine(data):
    return load_machine(data / "machines" / "photons_Generic.mat")


def relative(tables, side):
    percent = tables.pdd.at(np.array(DEPTHS), np.full(5, side))
    fine = tables.pdd.at(np.arange(1.0, 40.0), np.full(39, side))
    return int(np.argmax(fine)) + 1, 100.0 * percent / fine.max()


def test_tables_of_measured_base_data_at_ssd_90(machine):
    tables = tabulate(machine, pdd_ssd=900.0)
    for side, (top, wanted) in SECTION.items():
        depth, percent = relative(tables, 0.9 * side)
        assert abs(depth - top) <= 1  # the maximum is flat; the tables have whole mm
        assert percent == pytest.approx(wanted, rel=3e-3)


def test_tables_of_measured_base_data_at_ssd_100(machine):
    tables = tabulate(machine)
    _, percent = relative(tables, 100.0)
    assert percent == pytest.approx((84.56, 65.34, 50.13, 38.31, 22.24), rel=3e-3)
    quality = tables.tpr.at(np.full(3, 200.0), np.array([100.0, 40.0, 200.0]))
    assert quality == pytest.approx((0.687, 0.647, 0.726), rel=3e-3)
    sides = np.array(list(OUTPUT))
    output = tables.collimator_scatter.at(sides) * tables.phantom_scatter.at(sides)
    assert output == pytest.approx(list(OUTPUT.values()), rel=3e-3)


@pytest.mark.parametrize(
    ("name", "quality", "scatter"),
    [
        ("generic-6mv", 0.667, {40: 0.913, 50: 0.930, 80: 0.975, 150: 1.049, 200: 1.083}),
        ("generic-10mv", 0.735, {40: 0.936, 50: 0.950, 80: 0.982, 150: 1.034, 200: 1.057}),
    ],
)
def test_tables_of_the_generic_machines(name, quality, scatter):
    engine = engines.TG71.from_machine(load_machine(name))
    tables = engine.tables
    assert float(tables.tpr.at(200.0, 100.0)) == pytest.approx(quality, abs=3e-3)
    for side, wanted in scatter.items():
        assert float(tables.phantom_scatter.at(side)) == pytest.approx(wanted, rel=0.01)
    top = max(
        engine.point_dose(mu=1, field=100, ssd=1000, depth=d, setup="fixed-ssd")
        for d in range(8, 35)
    )
    assert top == pytest.approx(0.01, rel=3e-3)


@pytest.mark.parametrize("ssd", [850.0, 900.0, 1000.0])
@pytest.mark.parametrize("depth", [50.0, 100.0, 200.0])
def test_both_routes_agree_where_head_scatter_is_apart(ssd, depth):
    engine = engines.TG71.from_machine(load_machine("generic-6mv"))
    setting = {"mu": 100.0, "field": (80.0, 120.0), "ssd": ssd, "depth": depth}
    by_tpr = engine.point_dose(**setting)
    assert engine.point_dose(**setting, setup="fixed-ssd") == pytest.approx(by_tpr, rel=4e-3)


def test_tables_read_back_what_was_written(measured, tmp_path):
    file = tmp_path / "again.dat"
    file.write_text(format_tables(measured.tables), encoding="utf-8")
    again = read_tables(file)
    assert again.name == measured.tables.name
    for name in ("pdd", "tpr", "oar"):
        ours, theirs = getattr(measured.tables, name), getattr(again, name)
        np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-12)
        np.testing.assert_allclose(ours.depths, theirs.depths, rtol=1e-12)
    assert again.dose_per_mu == pytest.approx(0.008, rel=1e-12)
