"""Planner 2D's dose, histograms, weights, lessons and messages."""

import json
import math
import random

import numpy as np
import pytest

from dosegrad.cli.plan_file import read_plan_file
from dosegrad.errors import PlanError
from dosegrad.web.planner2d import dose as doses
from dosegrad.web.planner2d.export import plan_toml
from dosegrad.web.planner2d.frames import answer, dose_frame, split_frame
from dosegrad.web.planner2d.judging import beam_curves, histograms, judge, pixels_of
from dosegrad.web.planner2d.lessons import LESSONS, check
from dosegrad.web.planner2d.protons import depth_table
from dosegrad.web.planner2d.sections import SLICES, canvas_of, section_image
from dosegrad.web.planner2d.state import (
    BeamState,
    EllipseShape,
    PlanState,
    PolygonShape,
    SectionState,
    StructureState,
)
from dosegrad.web.planner2d.weights import optimise_weights


def plan(*beams, **more):
    target = StructureState(
        name="Target",
        role="target",
        shape={"kind": "ellipse", "x": 0.0, "y": 0.0, "rx": 30.0, "ry": 25.0},
    )
    return PlanState(structures=[target], beams=list(beams), **more)


def test_dose_is_linear_in_weights_and_adds_up():
    one, two = BeamState(gantry=20.0, mu=80.0), BeamState(gantry=200.0, mu=50.0, energy="10 MV")
    both = doses.total_dose(plan(one, two))
    apart = [doses.total_dose(plan(beam)) for beam in (one, two)]
    np.testing.assert_allclose(both, apart[0] + apart[1], rtol=1e-12)
    double = doses.total_dose(plan(one.model_copy(update={"mu": 160.0})))
    np.testing.assert_allclose(double, 2 * apart[0], rtol=1e-12)


@pytest.mark.parametrize("kind", ["water", *SLICES])
@pytest.mark.parametrize(
    "beam",
    [
        BeamState(gantry=30.0),
        BeamState(gantry=30.0, energy="10 MV", wedge=-45),
        BeamState(gantry=30.0, energy="protons", range=140.0),
    ],
    ids=["6mv", "10mv-wedge", "protons"],
)
@pytest.mark.parametrize("depth", ["ray", "axis"])
def test_the_factors_of_the_probe_multiply_to_the_dose(kind, beam, depth):
    state = plan(beam, section=SectionState(kind=kind), depth=depth)
    point = (7.0, -11.0)
    rows = doses.factors_at(state, beam, point)
    dose = doses.dose_at(state, beam, np.array([point]))[0]
    assert 0.01 * math.prod(value for _, value, _ in rows) == pytest.approx(dose, rel=1e-10)


@pytest.mark.parametrize("angle", [0.0, 37.0, 180.0, 315.0])
def test_curves_pass_through_what_the_probe_says(angle):
    beam = BeamState(gantry=angle, mu=170.0)
    state = plan(beam, section=SectionState(semi_x=131.0, semi_y=97.5), isocentre=(13.0, -21.5))
    factors = doses.factors_at(state, beam, state.isocentre)
    dose = 0.01 * beam.mu * float(np.prod([value for _, value, _ in factors]))
    depth = next(float(note.split()[2]) for symbol, _, note in factors if symbol == "TPR")
    curves = beam_curves(state, beam)
    (at,) = [k for k, d in enumerate(curves["depth"][0]) if abs(d - depth) < 0.06]
    assert curves["depth"][1][at] == pytest.approx(dose, abs=1e-5)
    assert np.interp(0.0, *curves["profile"]) == pytest.approx(dose, abs=1e-5)
    assert np.interp(50.0, *curves["depth"]) == pytest.approx(_on_axis(state, beam, 50.0), rel=3e-4)


def _on_axis(state, beam, depth):
    """Dose, Gy, at a depth in the ellipse on the axis of a beam, by its quadratic equation."""
    angle = np.deg2rad(beam.gantry)
    axis = np.array([-np.sin(angle), np.cos(angle)])
    scale = np.array([state.section.semi_x, state.section.semi_y])
    u, s = axis / scale, np.array(state.isocentre) / scale
    entry = (-(u @ s) - np.sqrt((u @ s) ** 2 - (u @ u) * (s @ s - 1.0))) / (u @ u)
    point = np.array(state.isocentre) + (entry + depth) * axis
    return beam.mu * float(doses.dose_at(state, beam, point[None])[0])


def test_a_proton_peak_is_flat_and_ends():
    table = depth_table(150.0, 60.0)
    flat, _ = table.at(np.arange(92.0, 147.0))
    assert flat == pytest.approx(1.0, abs=0.03)
    assert table.at(np.array([165.0]))[0][0] < 0.02
    assert table.at(np.array([500.0]))[0][0] == 0.0
    entrance = table.at(np.array([0.0]))[0][0]
    assert 0.5 < entrance < 0.9
    assert (np.diff(table.sigma) >= 0).all()


def test_lung_shows_in_the_depth_and_bone_in_the_picture():
    thorax = SectionState(kind="thorax")
    beam = BeamState(gantry=90.0)
    rows = {s: note for s, _, note in doses.factors_at(plan(beam, section=thorax), beam, (78, -8))}
    water = float(rows["TPR"].split()[2])
    assert 60.0 < water < 85.0  # 102 mm behind the skin, wall, lung and target on the way
    image = np.frombuffer(section_image(thorax), dtype=np.uint8)
    assert {0}.issubset(image)
    assert image.max() > 115
    assert ((image > 10) & (image < 40)).sum() > 3000


def test_a_wedge_turns_the_isodose_by_its_angle():
    """Direction of steepest descent at 10 cm depth on the axis."""
    wedge = 30
    section = SectionState(semi_x=250.0, semi_y=250.0)
    state = plan(BeamState(gantry=0.0, width=160.0, length=160.0, wedge=wedge), section=section)
    beam = state.beams[0]
    height = -150.0  # 10 cm below the skin at the axis
    step = 4.0
    points = np.array([[0, height - step], [0, height + step], [-step, height], [step, height]])
    up, down, left, right = doses.dose_at(state, beam, points)
    assert math.degrees(math.atan2(left - right, up - down)) == pytest.approx(wedge, abs=6.0)


def test_structures_are_found_by_their_outline():
    square = StructureState(
        name="S",
        role="organ",
        shape=PolygonShape(points=[(-20.0, -10.0), (20.0, -10.0), (20.0, 10.0), (-20.0, 10.0)]),
    )
    section = SectionState(semi_x=100.0, semi_y=100.0)
    assert pixels_of(section, square).sum() == 40 * 20  # pixels of 1 mm
    assert pixels_of(section, square).size == canvas_of(section).inside.sum()


def test_weights_are_optimised():
    beams = [BeamState(gantry=g, mu=10.0) for g in (0.0, 120.0, 240.0)]
    state = plan(*beams, goals=["Target: D95% >= 1.9 Gy"])
    units = optimise_weights(state)
    best = state.model_copy(
        update={
            "beams": [b.model_copy(update={"mu": u}) for b, u in zip(beams, units, strict=True)]
        }
    )
    curves = histograms(best, doses.total_dose(best))
    assert curves["Target"].mean == pytest.approx(2.0, rel=0.02)
    assert judge(best, curves)[0].met
    with pytest.raises(PlanError, match="no beam"):
        optimise_weights(plan())
    with pytest.raises(PlanError, match="no target"):
        optimise_weights(PlanState(beams=beams))


# --- lessons ------------------------------------------------------------------------------------


def beams(*angles, optimise=True, **options):
    return {"beams": [BeamState(gantry=float(a), **options) for a in angles]}, optimise


SOLUTIONS = {
    "opposed": beams(0, 180, width=86.0, length=86.0),
    "wedges": (
        {
            "beams": [
                BeamState(gantry=315.0, width=80.0, length=80.0, wedge=45),
                BeamState(gantry=45.0, width=80.0, length=80.0, wedge=-45),
            ]
        },
        True,
    ),
    "box": beams(0, 90, 180, 270, width=90.0, length=90.0, energy="10 MV"),
    "cord": beams(100, 260, 0, width=74.0),
    "tissue": beams(20, 100, 170, width=70.0),
    "protons": beams(0, width=76.0, energy="protons", range=122.0, modulation=66.0),
}


def judged(state):
    dose = doses.total_dose(state)
    return check(state, judge(state, histograms(state, dose)))


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_begins_undone_and_can_be_done(name):
    lesson = LESSONS[name]
    assert lesson.start.lesson == name
    assert not judged(lesson.start)[1]
    part, _ = SOLUTIONS[name]
    state = lesson.start.model_copy(update=part)
    units = optimise_weights(state)
    solved = [b.model_copy(update={"mu": u}) for b, u in zip(state.beams, units, strict=True)]
    rules, done = judged(state.model_copy(update={"beams": solved}))
    assert all(rule.met for rule in rules)
    assert done


def test_a_lesson_is_not_done_by_moving_its_target():
    lesson = LESSONS["wedges"]
    target = lesson.start.structures[0]
    small = target.model_copy(update={"shape": EllipseShape(x=0.0, y=-55.0, rx=4.0, ry=4.0)})
    rules, done = judged(lesson.start.model_copy(update={"structures": [small]}))
    assert [rule.met for rule in rules] == [True, True, False]
    assert not done


def test_there_are_six_lessons_and_goals_cannot_be_taken_away():
    assert len(LESSONS) == 6
    start = LESSONS["protons"].start
    assert not judged(start.model_copy(update={"goals": []}))[1]


# --- messages -------------------------------------------------------------------------------------


def ask(**content):
    return answer(json.dumps({"id": 7, **content}))


def state_of(state):
    return state.model_dump(mode="json")


def test_a_dose_frame_holds_picture_histograms_and_verdicts():
    state = plan(BeamState(gantry=0.0), goals=["Target: Dmean <= 3 Gy", "Nobody: Dmax <= 1 Gy"])
    header, values = split_frame(ask(kind="dose", state=state_of(state)))
    assert header["id"] == 7
    assert values.shape == (200, 200)
    canvas = canvas_of(state.section)
    np.testing.assert_allclose(values.ravel()[canvas.inside], doses.total_dose(state), rtol=1e-6)
    assert not values.ravel()[~canvas.inside].any()
    assert [goal["met"] for goal in header["goals"]] == [True, False]
    assert header["goals"][1]["value"] is None
    curve = header["structures"][0]["dvh"]
    assert curve[0] == 100.0
    assert curve == sorted(curve, reverse=True)
    assert split_frame(dose_frame(PlanState(), 1))[0]["max"] == 0.0


def test_other_questions_are_answered_as_text():
    state = state_of(plan(BeamState(gantry=0.0), BeamState(gantry=90.0, energy="protons")))
    curves = json.loads(ask(kind="curves", beam=1, state=state))
    assert max(curves["depth"][1]) > 0.5
    assert json.loads(ask(kind="curves", beam=9, state=state))["depth"] == [[], []]
    probe = json.loads(ask(kind="probe", point=[0, 0], state=state))
    assert probe["inside"]
    assert probe["dose"] == pytest.approx(sum(b["dose"] for b in probe["beams"]))
    assert not json.loads(ask(kind="probe", point=[400, 0], state=state))["inside"]
    assert len(json.loads(ask(kind="optimise", state=state))["mu"]) == 2
    mixed = json.loads(ask(kind="toml", state=state))
    assert mixed["kind"] == "error"
    assert "same energy" in mixed["message"]


@pytest.mark.parametrize("kind", ["water", *SLICES])
@pytest.mark.parametrize("energy", ["6 MV", "protons"])
def test_the_plan_file_is_one_that_the_program_reads(kind, energy, tmp_path):
    beam = BeamState(gantry=-45.0, energy=energy)
    goals = ["Target: D95% >= 1.9 Gy", "Organ 9: Dmax <= 1 Gy"]
    text = plan_toml(plan(beam, section=SectionState(kind=kind), goals=goals))
    file = tmp_path / "plan.toml"
    file.write_text(text, encoding="utf-8")
    read = read_plan_file(file)
    assert read.beams.gantry == (315.0,)
    assert len(read.check.goals) == 1
    assert "those of the phantom give other figures" in text
    from dosegrad import phantom

    patient = phantom(read.patient.phantom)
    assert read.beams.target in patient.structures


HOSTILE = [
    "",
    "null",
    "[]",
    "{",
    "[" * 5000,
    '{"kind":"dose"}',
    '{"kind":"erase","id":1,"state":{}}',
    '{"kind":"dose","id":-1,"state":{}}',
    '{"kind":"dose","id":1e400,"state":{}}',
    '{"kind":"dose","id":1,"state":{"beams":[{"gantry":NaN}]}}',
    '{"kind":"dose","id":1,"state":{"beams":[{"gantry":0,"width":-5}]}}',
    '{"kind":"dose","id":1,"state":{"beams":[{"gantry":0,"wedge":7}]}}',
    '{"kind":"dose","id":1,"state":{"section":{"kind":"../../etc/passwd"}}}',
    '{"kind":"dose","id":1,"state":{"__proto__":{"x":1}}}',
    '{"kind":"dose","id":1,"state":{"goals":["no goal"]}}',
    '{"kind":"dose","id":1,"state":{"goals":["Target: D2cc <= 1 Gy"]}}',
    '{"kind":"probe","id":1,"state":{},"point":[1e9,0]}',
    json.dumps({"kind": "dose", "id": 1, "state": {"beams": [{"gantry": 0}] * 13}}),
    json.dumps({"kind": "dose", "id": 1, "state": {"structures": [{"name": "<b>"}]}}),
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_messages_are_answered_with_what_is_wrong(text):
    reply = json.loads(answer(text))
    assert reply["kind"] == "error"
    assert len(reply["message"]) < 500
    assert "Traceback" not in reply["message"]


def test_random_changes_of_a_message_never_break_the_answer():
    rng = random.Random(11)
    good = json.dumps({"kind": "dose", "id": 1, "state": state_of(plan(BeamState(gantry=3.0)))})
    for _ in range(150):
        text = list(good)
        for _ in range(rng.randint(1, 6)):
            text[rng.randrange(len(text))] = chr(rng.choice([*range(32, 127), 0, 0x7F, 0x2603]))
        assert isinstance(answer("".join(text)), (bytes, str))
