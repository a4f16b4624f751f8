import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dosegrad import CT, Grid, phantom
from dosegrad.errors import GeometryError, PatientError, UnknownNameError
from dosegrad.geometry.resample import interpolate
from dosegrad.patient.registration import Registration, register
from dosegrad.progress import listening


def coarse(ct):
    """Every second voxel."""
    z, y, x = ct.grid.spacing
    shape = ct.hu[::2, ::2, ::2].shape
    return CT(Grid(shape, (2 * z, 2 * y, 2 * x), ct.grid.origin), ct.hu[::2, ::2, ::2])


def known(grid, shift, degrees, other=None):
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return Registration(grid, other or grid, rotation, np.array(shift), None, (0.0, 0.0))


def moved(ct, truth):
    """The CT that ``truth`` says ``ct`` is moved to."""
    grid = truth.moving
    points = grid.to_point(np.moveaxis(np.indices(grid.shape), 0, -1))
    values = interpolate(ct.grid, ct.hu.astype(float), truth.to_fixed(points), outside=-1000.0)
    return CT(grid, values, ct.position)


def angle_between(a, b):
    return np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1, 1)))


@pytest.fixture(scope="module")
def head():
    return phantom("head")


@pytest.mark.parametrize(
    ("shift", "degrees"), [((4.0, -3.0, 6.0), (0, 0, 0)), ((2.0, 3.0, -1.0), (2.0, -1.5, 3.0))]
)
def test_a_known_move_is_found_again(head, shift, degrees):
    x, y, z = head.ct.grid.origin
    elsewhere = Grid((70, 90, 100), (3.1, 2.6, 2.1), (x + 3.0, y - 2.0, z + 1.0))
    truth = known(head.ct.grid, shift, degrees, elsewhere)
    found = register(head.ct, moved(head.ct, truth))
    assert np.abs(found.shift - truth.shift).max() < 0.5
    assert angle_between(found.rotation, truth.rotation) < 0.2
    assert found.difference[1] < 0.5 * found.difference[0]
    assert found.angle == pytest.approx(truth.angle, abs=0.2)


def test_soft_tissue_that_swells_does_not_move_the_bones(head):
    found = register(coarse(head.ct), coarse(phantom("head", swelling=5.0).ct))
    assert np.abs(found.shift).max() < 0.5
    assert found.angle < 0.6


def test_without_bones_everything_is_compared():
    z, y, x = np.mgrid[-20:21, -25:26, -30:31].astype(float)
    grid = Grid(z.shape, (2.0, 2.0, 2.0), (-60.0, -50.0, -40.0))
    ball = CT(grid, np.clip(200 * (14 - np.hypot(np.hypot(x, 1.3 * y), 1.1 * z)), -1000, 30))
    truth = known(grid, (3.0, -2.0, 4.0), (0, 0, 0))
    found = register(ball, moved(ball, truth))
    assert np.abs(found.shift - truth.shift).max() < 0.5


def test_a_ct_of_another_frame_of_reference_is_found():
    ct = coarse(phantom("head").ct)
    away = CT(Grid(ct.grid.shape, ct.grid.spacing, (200.0, 300.0, -900.0)), ct.hu)
    found = register(ct, away)
    expected = np.array([200.0, 300.0, -900.0]) - ct.grid.origin
    assert np.abs(found.shift - expected).max() < 0.5
    assert np.abs(found.resample(away).hu - ct.hu).mean() < 15


def test_structures_are_carried_along(head):
    swollen = phantom("head", swelling=5.0)
    heard = []
    with listening(lambda stage, fraction, remark: heard.append((stage, fraction))):
        found = register(coarse(head.ct), coarse(swollen.ct), method="deformable")
    grid = found.moving
    truth, before = (p.structure("Body").mask(grid) for p in (swollen, head))
    after = found.carry(head.structure("Body")).mask(grid)

    def dice(a, b):
        return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))

    assert dice(before, truth) < 0.94
    assert dice(after, truth) > 0.97
    stem = head.structure("Brainstem")
    assert dice(found.carry(stem).mask(grid), stem.mask(grid)) > 0.95
    assert found.carry(stem).role == stem.role
    assert 3.0 < found.largest_displacement < 9.0
    assert {stage for stage, _ in heard} == {"registration"}
    assert heard[-1][1] == 1.0
    assert [f for _, f in heard] == sorted(f for _, f in heard)


def test_points_go_there_and_back():
    grid = Grid((12, 14, 16), (3.0, 2.5, 2.0), (-15.0, -16.0, -16.5))
    rng = np.random.default_rng(0)
    bend = np.moveaxis(np.indices(grid.shape), 0, -1) / 10.0 + rng.normal(size=3)
    found = Registration(grid, grid, known(grid, 0, (3, 2, 1)).rotation, np.ones(3), bend, (1, 0))
    points = grid.to_point(rng.uniform(3, 8, (50, 3)))
    assert found.to_fixed(found.to_moving(points)) == pytest.approx(points, abs=1e-6)
    assert "bent by up to" in repr(found)


def test_points_at_the_edge_go_there_and_back():
    grid = Grid((12, 14, 16), (3.0, 2.5, 2.0), (-15.0, -16.0, -16.5))
    bend = np.full((*grid.shape, 3), 5.0)
    found = Registration(grid, grid, np.eye(3), np.zeros(3), bend, (1, 0))
    points = grid.to_point(np.moveaxis(np.indices(grid.shape), 0, -1))
    assert found.to_fixed(found.to_moving(points)) == pytest.approx(points, abs=1e-6)


def test_what_cannot_be_registered_is_told():
    ct = coarse(phantom("head").ct)
    with pytest.raises(UnknownNameError, match="registration method 'elastic'"):
        register(ct, ct, method="elastic")
    with pytest.raises(PatientError, match="position HFS, the other in FFS"):
        register(ct, CT(ct.grid, ct.hu, "FFS"))
    with pytest.raises(PatientError, match="nothing but air"):
        register(ct, CT(ct.grid, np.full(ct.grid.shape, -1000.0)))
    for none in (None, ct.hu, "today"):
        with pytest.raises(PatientError, match="cannot be registered; give two CTs"):
            register(ct, none)
    with pytest.raises(GeometryError, match="give the moving CT"):
        known(ct.grid, 0, (0, 0, 0)).resample(
            CT(Grid((2, 2, 2), (1, 1, 1), (0, 0, 0)), np.zeros((2, 2, 2)))
        )
    with pytest.raises(GeometryError, match="displacement of shape"):
        Registration(ct.grid, ct.grid, np.eye(3), np.zeros(3), np.zeros((1, 1, 1, 3)), (0, 0))


@pytest.mark.parametrize("other", ["prostate", "water-tank", "noise", "upside down"])
def test_cts_of_other_things_are_refused(other):
    ct = coarse(phantom("head").ct)
    if other == "noise":
        values = np.random.default_rng(1).uniform(-1000, 1000, ct.grid.shape)
        moving = CT(ct.grid, values)
    elif other == "upside down":
        moving = CT(ct.grid, ct.hu[::-1])
    else:
        moving = coarse(phantom(other).ct)
    with pytest.raises(PatientError, match="nothing in common"):
        register(ct, moving)


def test_cts_that_show_only_half_the_same_are_registered():
    ct = coarse(phantom("head").ct)
    half = ct.grid.shape[0] // 2
    upper = CT(ct.grid.part((half, 0, 0), ct.grid.shape), ct.hu[half:])
    assert np.abs(register(ct, upper).shift).max() < 0.5
    swollen = coarse(phantom("head", swelling=8.0).ct)
    assert np.abs(register(ct, swollen).shift).max() < 1.0


def test_tanks_of_water_are_alike():
    tank = coarse(phantom("water-tank").ct)
    assert register(tank, tank).difference == (0.0, 0.0)
