"""The parts of the TG-71 engine, and Planner 2D's dose against a plain twin."""

from math import cos, erf, hypot, pi, sin, sqrt

import numpy as np
import pytest

from dosegrad import engines, load_machine
from dosegrad.engines.tg71.planar import (
    Ellipse,
    PlanarBeam,
    pixel_centres,
    prepare_planar,
)
from dosegrad.engines.tg71.tables import BeamTables, Curve, Sheet
from dosegrad.errors import (
    BeamError,
    FileFormatError,
    MachineError,
    SettingsError,
    UnknownNameError,
)


@pytest.fixture(scope="module")
def engine():
    return engines.TG71.from_machine(load_machine("generic-6mv"))


# --- the plane ---------------------------------------------------------------------------------


def lookup(xs, ys, x):
    """Linear interpolation by the book, continued beyond the ends."""
    k = 0
    while k < len(xs) - 2 and x >= xs[k + 1]:
        k += 1
    return ys[k] + (ys[k + 1] - ys[k]) * (x - xs[k]) / (xs[k + 1] - xs[k])


def lookup2(sheet, depth, across):
    rows = [lookup(sheet.across, row, across) for row in sheet.values]
    return lookup(sheet.depths, rows, depth)


def twin(tables, beam, radius, x, y, depth):
    """Dose per MU of one beam at one point of a circle, in scalars, formula by formula."""
    if hypot(x, y) > radius:
        return 0.0
    angle = beam.gantry * pi / 180.0
    d = (-sin(angle), cos(angle))
    s = (-beam.sad * d[0], -beam.sad * d[1])
    p = (x - s[0], y - s[1])
    along, off = d[0] * p[0] + d[1] * p[1], abs(d[0] * p[1] - d[1] * p[0])
    if depth == "axis":
        entry = beam.sad - radius
        water = abs(along - entry)
    else:
        length = hypot(*p)
        u = (p[0] / length, p[1] / length)
        middle = -(u[0] * s[0] + u[1] * s[1])
        closest = s[0] ** 2 + s[1] ** 2 - middle**2
        water = length - (middle - sqrt(radius**2 - closest))
    rc = 2 * beam.width * beam.length / (beam.width + beam.length)
    rd = rc * along / beam.sad
    half = 0.5 * beam.width * along / beam.sad / 10.0
    o = off / 10.0
    slow, fast = (erf(b * (half - o)) / 2 + 0.5 for b in (0.456, 2.892))
    edge = 0.01 + 0.99 * (0.173 * slow + (1 - 0.173) * fast)
    sc, sp = tables.collimator_scatter, tables.phantom_scatter
    return (
        tables.dose_per_mu
        * lookup(sc.places, sc.values, rc)
        * lookup(sp.places, sp.values, rd)
        * lookup2(tables.tpr, water, rd)
        * lookup2(tables.oar, water, off)
        * edge
        * ((tables.ssd + tables.depth) / along) ** 2
    )


def published_tables(data):
    return engines.TG71.from_table(data / "photon" / "tg-71-6mv.dat").tables


def test_the_compiled_loop_equals_its_plain_twin(engine):
    from dosegrad.engines.tg71 import _kernels, _reference
    from dosegrad.engines.tg71.planar import _arrays, _field

    rng = np.random.default_rng(3)
    distance, lateral = rng.uniform(700, 1300, 400), rng.uniform(-150, 150, 400)
    water = rng.uniform(0, 450, 400)  # some of it beyond the table
    arrays = _arrays(engine.tables)
    field = _field(engine.tables, PlanarBeam(0.0, 70.0, 130.0, wedge_slope=0.003))
    compiled, plain = np.ones(400), np.ones(400)
    _kernels.add_plane_dose(arrays, field, distance, lateral, water, compiled)
    _reference.add_plane_dose(arrays, field, distance, lateral, water, plain)
    np.testing.assert_allclose(compiled, plain, rtol=1e-12)
    source, points = np.array([300.0, -950.0]), rng.uniform(-130, 130, (400, 2))  # some outside
    _kernels.ellipse_depth(120.0, 90.0, source, points, compiled)
    _reference.ellipse_depth(120.0, 90.0, source, points, plain)
    np.testing.assert_allclose(compiled, plain, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("depth", ["ray", "axis"])
@pytest.mark.parametrize("source", ["published", "generic"])
def test_the_dose_of_planner_2d_equals_its_plain_twin(depth, source, data, engine):
    tables = engine.tables if source == "generic" else published_tables(data)
    beams = [
        PlanarBeam(0.0, 80.0, 80.0),
        PlanarBeam(35.0, 60.0, 100.0),
        PlanarBeam(155.0, 120.0, 60.0),
        PlanarBeam(270.0, 50.0, 50.0),
    ]
    mu = np.array([100.0, 100.0, 80.0, 120.0])
    radius = 120.0
    axis = pixel_centres(23, 2 * radius)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    dose_map = prepare_planar(tables, beams, Ellipse(radius, radius), points, depth=depth)
    wanted = [
        sum(m * twin(tables, b, radius, x, y, depth) for m, b in zip(mu, beams, strict=True))
        for x, y in points
    ]
    np.testing.assert_allclose(dose_map.dose(mu), wanted, rtol=1e-12, atol=1e-15)


def test_the_two_depths_differ_off_the_axis_only(engine):
    points = np.array([[0.0, -60.0], [0.0, 30.0], [35.0, -60.0]])
    beams = [PlanarBeam(0.0, 100.0, 100.0)]
    section = Ellipse(100.0, 100.0)
    ray, axis = (
        prepare_planar(engine.tables, beams, section, points, depth=d).dose([100.0])
        for d in ("ray", "axis")
    )
    assert ray[:2] == pytest.approx(axis[:2], rel=1e-12)
    assert ray[2] > 1.015 * axis[2]  # less tissue above a point beside the axis of a round patient


def test_monitor_units_have_a_pullback(engine):
    rng = np.random.default_rng(7)
    points = rng.uniform(-70, 70, (50, 2))
    beams = [PlanarBeam(g, 80.0, 80.0) for g in (0, 100, 250)]
    dose_map = prepare_planar(engine.tables, beams, Ellipse(110.0, 90.0), points)
    mu, gradient = rng.uniform(50, 150, 3), rng.normal(size=50)
    dose, pullback = dose_map.linearise(mu)
    assert dose @ gradient == pytest.approx(mu @ pullback(gradient), rel=1e-12)
    assert dose_map.n_variables == 3


def test_turning_patient_and_gantry_together_changes_nothing(engine):
    point = np.array([[20.0, -35.0]])
    turned = np.array([[35.0, 20.0]])  # by 90 degrees, as the gantry from 0 to 90
    section = Ellipse(100.0, 100.0)
    doses = [
        prepare_planar(engine.tables, [PlanarBeam(g, 90.0, 90.0)], section, p).dose([1.0])[0]
        for g, p in ((0.0, point), (90.0, turned))
    ]
    assert doses[0] == pytest.approx(doses[1], rel=1e-12)


def test_a_wedge_lowers_one_side_and_keeps_the_axis(engine):
    points = np.array([[0.0, 0.0], [-30.0, 0.0], [30.0, 0.0]])
    section = Ellipse(100.0, 100.0)
    plain, wedged = (
        prepare_planar(engine.tables, [PlanarBeam(0.0, 90.0, 90.0, **w)], section, points)
        for w in ({}, {"wedge_slope": 0.004, "wedge_factor": 0.5})
    )
    ratio = wedged.dose([1.0]) / plain.dose([1.0])
    assert ratio[0] == pytest.approx(0.5, rel=1e-12)
    assert ratio[1] * ratio[2] == pytest.approx(0.25, rel=1e-12)
    assert ratio[1] != pytest.approx(ratio[2], rel=0.1)


def test_an_axis_that_misses_the_patient_has_no_depth_along_it(engine):
    beam = PlanarBeam(0.0, 60.0, 60.0, isocentre=(200.0, 0.0))
    with pytest.raises(BeamError, match="misses the patient"):
        prepare_planar(engine.tables, [beam], Ellipse(100, 100), [[90.0, 0.0]], depth="axis")


def test_wrong_plane_input_says_what_is_wrong(engine):
    with pytest.raises(BeamError, match="not possible"):
        PlanarBeam(0.0, 0.0, 60.0)
    with pytest.raises(SettingsError, match="semi-axes"):
        Ellipse(0.0, 10.0)
    with pytest.raises(UnknownNameError, match="axis, ray"):
        prepare_planar(engine.tables, [PlanarBeam(0, 9, 9)], Ellipse(9, 9), [[0, 0]], depth="z")
    with pytest.raises(SettingsError, match="2 beam tables for 1 beams"):
        prepare_planar([engine.tables] * 2, [PlanarBeam(0, 9, 9)], Ellipse(9, 9), [[0, 0]])


# --- points ------------------------------------------------------------------------------------


def test_every_factor_is_shown(engine):
    units = engine.monitor_units(
        dose=2.0,
        field=(80.0, 120.0),
        ssd=900.0,
        depth=100.0,
        off_axis=20.0,
        wedge_factor=0.6,
        tray_factor=0.97,
    )
    symbols = [factor.symbol for factor in units.factors]
    assert symbols == ["D0", "Sc", "Sp", "TPR", "WF", "TF", "OAR", "ISF"]
    assert units["WF"] == 0.6
    text = str(units)
    assert all(symbol in text for symbol in symbols)
    assert "depth 100 mm, side 96.0 mm" in text
    again = engine.point_dose(
        mu=units.value,
        field=(80.0, 120.0),
        ssd=900.0,
        depth=100.0,
        off_axis=20.0,
        wedge_factor=0.6,
        tray_factor=0.97,
    )
    assert again == pytest.approx(2.0, rel=1e-12)
    with pytest.raises(UnknownNameError, match="no factor 'PDD'"):
        _ = units["PDD"]


def test_lung_on_the_way_lets_more_through(engine):
    setting = {"mu": 100.0, "field": 100.0, "ssd": 900.0, "depth": 100.0}
    plain = engine.point_dose(**setting)
    for setup in ("isocentric", "fixed-ssd"):
        less = engine.point_dose(**setting, effective_depth=70.0, setup=setup)
        ratio = float(engine.tables.tpr.at(70.0, 100.0))
        assert less / plain == pytest.approx(ratio, rel=1e-6)


def test_what_tables_do_not_hold_is_refused(engine):
    setting = {"mu": 100.0, "ssd": 900.0, "depth": 100.0}
    with pytest.raises(SettingsError, match=r"5 mm is outside the table of S_c \(10 to 400 mm\)"):
        engine.point_dose(**setting, field=5.0)
    with pytest.raises(SettingsError, match="depth 450 mm is outside the table of TPR"):
        engine.point_dose(mu=1, field=100, ssd=600, depth=450)
    with pytest.raises(SettingsError, match="not possible"):
        engine.point_dose(**setting, field=(1, 2, 3))
    with pytest.raises(SettingsError, match="zero or more"):
        engine.point_dose(mu=-1, field=100, ssd=900, depth=100)
    with pytest.raises(SettingsError, match="depth -1 is not possible"):
        engine.point_dose(mu=1, field=100, ssd=900, depth=-1)
    with pytest.raises(SettingsError, match="needs no monitor units"):
        engine.monitor_units(dose=0, field=100, ssd=900, depth=100)
    with pytest.raises(UnknownNameError, match="fixed-ssd"):
        engine.point_dose(**setting, field=100, setup="sad")
    with pytest.raises(SettingsError, match="factor Sp is 0"):
        engine.point_dose(**setting, field=100, given={"Sp": 0})


def test_tables_that_cannot_be_are_refused():
    with pytest.raises(MachineError, match="must ascend"):
        Curve("S_c", [20.0, 10.0], [1.0, 1.0])
    with pytest.raises(MachineError, match="one value for each"):
        Curve("S_c", [20.0, 30.0], [1.0])
    with pytest.raises(MachineError, match="expected a row for each of 2 depths"):
        Sheet("TPR", [1.0, 2.0], [1.0], np.ones((1, 1)))
    with pytest.raises(MachineError, match="negative or not finite"):
        Sheet("TPR", [1.0, 2.0], [1.0], [[1.0], [np.nan]])
    one, sheet = Curve("S", [1.0], [1.0]), Sheet("T", [1.0], [1.0], [[1.0]])
    with pytest.raises(MachineError, match="sad is 0"):
        BeamTables("x", 0.01, 10.0, 900.0, 900.0, 0.0, one, one, sheet, sheet, sheet)
    assert float(sheet.at(5.0, 7.0)) == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("k: 0.8 cGy/MU", "k: ? cGy/MU"), "no line states the dose per MU"),
        (("end tpr table", "end"), "no row of numbers"),
        (("1.5 1.390", "1.5 one"), "no row of numbers"),
        (("r   S_c   S_p", "r S_c"), "ends with 'end scatter factors'"),
        (("1.5 1.390 ", "1.5 "), "must hold a depth and 28 values"),
        (("4.0 0.957 0.905", "4.0 0.957"), "side, S_c and S_p"),
        (("4.0 0.957 0.905", "6.0 0.957 0.905"), "must ascend"),
    ],
)
def test_broken_table_files_say_what_is_wrong(data, tmp_path, change, message):
    text = (data / "photon" / "tg-71-6mv.dat").read_text()
    assert change[0] in text
    file = tmp_path / "broken.dat"
    file.write_text(text.replace(*change, 1))
    with pytest.raises(FileFormatError, match="broken") as caught:
        engines.TG71.from_table(file)
    assert message in str(caught.value)


def test_a_missing_or_huge_table_file_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be opened"):
        engines.TG71.from_table(tmp_path / "none.dat")
    file = tmp_path / "huge.dat"
    with file.open("wb") as stream:
        stream.truncate(3_000_000)
    with pytest.raises(FileFormatError, match="too large"):
        engines.TG71.from_table(file)


@pytest.mark.parametrize("factor", [0.0, 1e-320])
@pytest.mark.parametrize("name", ["wedge_factor", "tray_factor"])
def test_a_wedge_that_lets_nothing_through_has_no_monitor_units(engine, name, factor):
    symbol = "WF" if name == "wedge_factor" else "TF"
    with pytest.raises(SettingsError, match=f"must be above 0: {symbol}"):
        engine.monitor_units(dose=2.0, field=100.0, ssd=900.0, depth=100.0, **{name: factor})
