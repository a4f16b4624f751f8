"""Laws of contours on random polygons, and compiled kernels against their plain twins."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosegrad.geometry.grid import Grid
from dosegrad.patient import _contour_kernels as kernels
from dosegrad.patient import _contour_reference as reference
from dosegrad.patient.contour_planes import TOLERANCE
from dosegrad.patient.contours import ContourShape, _buckets, _edges

GRID = Grid((4, 13, 17), (2.0, 1.0, 1.5), (-3.0, -2.0, -1.0))


@st.composite
def polygons(draw):
    """Up to four polygons, crossing or not, on coordinates that often meet voxel centres."""
    n = draw(st.integers(1, 4))
    coordinate = st.integers(-8, 40).map(lambda k: k / 2)
    made = []
    for _ in range(n):
        corners = draw(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9))
        height = draw(st.sampled_from([0.0, 2.0, 5.0]))
        made.append(np.array([(x, y, height) for x, y in corners]))
    base = np.array([(0.0, 0.0, 0.0), (9.0, 1.0, 0.0), (3.0, 8.0, 0.0)])
    return [base, *made]


def shape_of(parts):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # random polygons may be lines or copies
        return ContourShape.from_polygons(parts, spacing=2.0)


@settings(max_examples=60, deadline=None)
@given(polygons())
def test_fill_agrees_with_its_twin(parts):
    shape = shape_of(parts)
    edges, starts = _edges(shape.planes)
    planes = np.array([-1, *range(len(shape.planes))], dtype=np.int64)
    lattice = np.array([-3.0, 1.5, -2.0, 1.0])
    compiled = np.zeros((planes.size, 13, 17), dtype=bool)
    plain = compiled.copy()
    kernels.fill_slices(edges, starts, planes, lattice, TOLERANCE, compiled)
    reference.fill_slices(edges, starts, planes, lattice, TOLERANCE, plain)
    assert (compiled == plain).all()


@settings(max_examples=60, deadline=None)
@given(polygons(), st.integers(0, 2**31))
def test_point_test_agrees_with_its_twin(parts, seed):
    shape = shape_of(parts)
    edges, starts = _edges(shape.planes)
    low, step, n_buckets = _buckets(edges, starts)
    pointers, members = kernels.bucket_edges(edges, starts, low, step, n_buckets)
    random = np.random.default_rng(seed)
    points = random.integers(-20, 90, (200, 2)) / 4.0
    planes = random.integers(-1, len(shape.planes), 200)
    compiled = np.zeros(200, dtype=bool)
    kernels.points_inside(
        points, planes, edges, pointers, members, low, step, n_buckets, TOLERANCE, compiled
    )
    plain = reference.points_inside(points, planes, edges, starts, TOLERANCE)
    assert (compiled == plain).all()


@settings(max_examples=60, deadline=None)
@given(polygons())
def test_area_agrees_with_its_twin(parts):
    edges, _ = _edges(shape_of(parts).planes[:1])
    edges = np.ascontiguousarray(edges[np.argsort(edges[:, 1], kind="stable")])
    events = np.unique(edges[:, [1, 3]])
    found = [np.zeros(400), np.zeros(400)]
    area, n = kernels.even_odd_area(edges, events, found[0])
    plain_area, plain_n = reference.even_odd_area(edges, events, found[1])
    assert area == pytest.approx(plain_area, rel=1e-9, abs=1e-9)
    assert np.sort(found[0][:n]) == pytest.approx(np.sort(found[1][:plain_n]))


@settings(max_examples=25, deadline=None)
@given(polygons())
def test_area_is_the_limit_of_the_mask(parts):
    shape = shape_of(parts[:2])
    height = float(shape.heights[0])
    step = 1 / 32
    fine = Grid((1, 1600, 1600), (1.0, step, step), (-5.0, -5.0, height))
    lone = ContourShape(shape.planes[:1], spacing=1.0)
    n_edges = sum(len(p) for p in lone.planes[0].polygons)
    bound = 40.0 * n_edges * step * 2  # each edge is at most some 40 mm long
    assert lone.mask(fine).sum() * step**2 == pytest.approx(lone.volume_cc * 1000, abs=bound)


@settings(max_examples=60, deadline=None)
@given(polygons(), st.randoms(use_true_random=False))
def test_order_winding_first_corner_and_copies_change_nothing(parts, random):
    changed = []
    for part in parts:
        other = np.roll(part, random.randrange(len(part)), axis=0)
        if random.random() < 0.5:
            other = other[::-1]
        other = np.repeat(other, random.choice([1, 2]), axis=0)
        changed += [other] * random.choice([1, 2])
    random.shuffle(changed)
    first, second = shape_of(parts), shape_of(changed)
    assert (first.mask(GRID) == second.mask(GRID)).all()
    assert first.volume_cc == pytest.approx(second.volume_cc, rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(polygons())
def test_a_corner_more_on_an_edge_changes_nothing(parts):
    # middle of an edge: exact in binary, so that the edge keeps its slope to the last bit
    split = [np.insert(p, 1, (p[0] + p[1]) / 2, axis=0) for p in parts]
    first, second = shape_of(parts), shape_of(split)
    assert first.volume_cc == pytest.approx(second.volume_cc, rel=1e-9, abs=1e-12)
    assert (first.mask(GRID) == second.mask(GRID)).all()
