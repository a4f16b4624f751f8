"""Frames: where gantry, couch and patient axes point."""

import numpy as np
import pytest

from dosegrad.errors import GeometryError, UnknownNameError
from dosegrad.geometry.frames import (
    PATIENT_POSITIONS,
    couch_rotation,
    gantry_rotation,
    gantry_to_patient,
)

LEFT, BACK, HEAD = np.eye(3)

# Source side at gantry 0 and 90, couch 0. Gantry 0 is above; gantry 90 at the right hand of
# somebody who faces the gantry.
SOURCES = {
    "HFS": (-BACK, LEFT),
    "HFP": (BACK, -LEFT),
    "FFS": (-BACK, -LEFT),
    "FFP": (BACK, LEFT),
    "HFDR": (LEFT, BACK),
    "HFDL": (-LEFT, -BACK),
    "FFDR": (LEFT, -BACK),
    "FFDL": (-LEFT, BACK),
}


@pytest.mark.parametrize("position", sorted(PATIENT_POSITIONS))
def test_source_side_in_every_patient_position(position):
    above, right = SOURCES[position]
    assert gantry_to_patient(0.0, position=position)[:, 2].tolist() == above.tolist()
    assert gantry_to_patient(90.0, position=position)[:, 2].tolist() == right.tolist()


@pytest.mark.parametrize("position", sorted(PATIENT_POSITIONS))
def test_the_named_end_lies_towards_the_gantry(position):
    end = HEAD if position.startswith("HF") else -HEAD
    assert gantry_to_patient(77.0, position=position)[:, 1] == pytest.approx(end, abs=1e-15)


def test_positions_are_distinct_rotations():
    matrices = list(PATIENT_POSITIONS.values())
    assert len({m.tobytes() for m in matrices}) == 8
    for matrix in matrices:
        assert np.linalg.det(matrix) == pytest.approx(1.0)
        assert not matrix.flags.writeable


@pytest.mark.parametrize("angle", [-720.0, -90.0, 0.0, 90.0, 180.0, 270.0, 360.0, 450.0])
def test_quarter_turns_are_exact(angle):
    for matrix in (gantry_rotation(angle), couch_rotation(angle)):
        assert set(np.abs(matrix).ravel()) == {0.0, 1.0}


@pytest.mark.parametrize("turn", [gantry_rotation, couch_rotation])
def test_angles_add_up(turn):
    assert turn(33.0) @ turn(21.5) == pytest.approx(turn(54.5), abs=1e-15)
    assert turn(400.0) == pytest.approx(turn(40.0), abs=1e-15)
    assert turn(-10.0) == pytest.approx(turn(10.0).T, abs=1e-15)


def test_couch_turns_the_patient_counter_clockwise_seen_from_above():
    """At couch 90 the head, before towards the gantry, points to fixed -x."""
    assert (couch_rotation(90.0) @ [0.0, 1.0, 0.0]).tolist() == [-1.0, 0.0, 0.0]


def test_at_couch_90_a_lateral_gantry_irradiates_from_the_feet():
    assert gantry_to_patient(90.0, 90.0)[:, 2] == pytest.approx(-HEAD, abs=1e-15)


def test_unknown_position_is_refused_with_a_guess():
    with pytest.raises(UnknownNameError, match=r"no patient position 'hfs'.*Did you mean 'HFS'"):
        gantry_to_patient(0.0, position="hfs")


@pytest.mark.parametrize("angles", [(np.nan, 0.0), (0.0, np.inf)])
def test_angles_must_be_finite(angles):
    with pytest.raises(GeometryError, match="give a finite number of degrees"):
        gantry_to_patient(*angles)
