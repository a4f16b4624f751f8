"""Plan files: what they say is read, and what is wrong with them is said."""

from pathlib import Path

import pytest

from dosegrad import rbe
from dosegrad.cli.plan_file import read_plan_file
from dosegrad.cli.results import as_text
from dosegrad.errors import DosegradError, FileFormatError, PlanError, UnknownNameError
from dosegrad.objectives import EUD, MaxDVH, MeanDose, SquaredDeviation

GOOD = """
[patient]
phantom = "c-shape"

[beams]
machine = "generic-protons"
target = "Target"
gantry = [45, 315]

[[objective]]
structure = "Target"
kind = "squared-deviation"
dose = 50.0
weight = 100

[check]
goals = ["Target: D95% >= 47.5 Gy"]
"""


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        path = tmp_path / "plan.toml"
        path.write_text(text, encoding="utf-8")
        return read_plan_file(path)

    return read_text


def test_what_a_file_states_is_read_and_the_rest_has_defaults(read):
    plan = read(GOOD)
    assert plan.patient.phantom == "c-shape"
    assert plan.beams.gantry == (45.0, 315.0)
    assert plan.beams.steering_options() == {"target": "Target", "gantry": (45.0, 315.0)}
    assert plan.dose.engine is None
    assert plan.biology.make() is None
    assert plan.optimisation.mode == "together"
    assert plan.optimisation.fractions == 1
    assert plan.check.goals == ("Target: D95% >= 47.5 Gy",)
    (target,) = plan.objectives
    assert (target.structure, target.objective) == ("Target", SquaredDeviation(50.0, weight=100.0))


def test_the_example_plan_file_is_valid():
    plan = read_plan_file(Path(__file__).parents[3] / "examples" / "plan.toml")
    assert [o.structure for o in plan.objectives] == ["Target", "Core", "Body"]
    assert plan.objectives[2].objective == MeanDose(weight=1.0)


def test_every_steering_option_reaches_steer(read):
    more = """gantry = 90
couch = 10
isocentre = [1, 2, 3]
spot_spacing = 4
lattice = "hexagonal"
layer_spacing = 3.5
margin = 2
setup_margin = 1
range_margin_percent = 3.5
range_shifter = "none"
"""
    options = read(GOOD.replace("gantry = [45, 315]\n", more)).beams.steering_options()
    assert options == {
        "target": "Target",
        "gantry": (90.0,),
        "couch": 10.0,
        "isocentre": (1.0, 2.0, 3.0),
        "spot_spacing": 4.0,
        "lattice": "hexagonal",
        "layer_spacing": 3.5,
        "margin": 2.0,
        "setup_margin": 1.0,
        "range_margin_percent": 3.5,
        "range_shifter": None,
    }


def test_numbers_of_an_objective_are_its_settings(read):
    text = GOOD + '\n[[objective]]\nstructure = "Core"\nkind = "max-dvh"\ndose = 20\nvolume = 0.3\n'
    assert read(text).objectives[1].objective == MaxDVH(dose=20.0, volume=0.3)


def test_the_side_of_an_objective_is_a_text(read):
    more = '[[objective]]\nstructure = "Core"\nkind = "eud"\ndose = 9\na = 8\nside = "above"\n'
    assert read(GOOD + more).objectives[1].objective == EUD(9.0, a=8.0, side="above")


def test_errors_to_stand_become_scenarios(read):
    from dosegrad import Scenarios

    assert read(GOOD).robust is None
    part = read(GOOD + "[robust]\n").robust
    assert len(part.make()) == 7  # no range error
    assert part.choice() == "minimax"
    more = '[robust]\nmode = "cvar"\nsetup = 2\nrange_percent = 3.5\nstructures = ["Target"]\n'
    part = read(GOOD + more).robust
    assert repr(part.make()) == repr(Scenarios.worst_case(setup=2.0, range_percent=3.5))
    assert part.choice() == {"Target": "cvar"}
    grid = read(GOOD + '[robust]\nscenarios = "grid"\nrange_percent = 3.5\n').robust.make()
    assert len(grid) == 21
    drawn = read(GOOD + '[robust]\nscenarios = "random"\nn = 5\nseed = 3\n').robust.make()
    again = Scenarios.random(5, seed=3, setup_deviation=3.0)
    assert [s.shift for s in drawn] == [s.shift for s in again]


def test_moving_spots_are_told_how_far(read):
    assert read(GOOD).spots is None
    part = read(GOOD + '[spots]\nmax_shift = 6\nenergies = "layers"\nmax_spots = 300\n').spots
    assert part.options() == {
        "max_shift": 6.0,
        "energies": "layers",
        "method": "simultaneous",
        "max_spots": 300,
    }


WRONG = [
    ("[check]", "[robust]\nmode = 'best'\n[check]", UnknownNameError, "'best'", "minimax"),
    ("[check]", "[robust]\nn = 5\n[check]", PlanError, "[robust] n is for random", "remove it"),
    ("[check]", "[robust]\nscenarios = 'random'\n[check]", PlanError, "lacks 'n'", "n = 30"),
    ("[check]", "[spots]\n[check]", PlanError, "[spots] lacks 'max_shift'", "max_shift = 6.0"),
    ("gantry = [45", "gantri = [45", UnknownNameError, "no key in [beams] 'gantri'", "'gantry'?"),
    ("[beams]", "[beam]", UnknownNameError, "no table 'beam'", "Did you mean 'beams'?"),
    ("gantry = [45, 315]", 'gantry = "45"', PlanError, "[beams] gantry is '45'", "[45, 315]"),
    ("gantry = [45, 315]", "gantry = []", PlanError, "[beams] gantry is []", "one number"),
    ("gantry = [45, 315]", "gantry = nan", PlanError, "[beams] gantry is nan", "number"),
    ("gantry = [45, 315]", "", PlanError, "[beams] lacks 'gantry'", "gantry = [45, 315]"),
    ('target = "Target"', "target = 3", PlanError, "[beams] target is 3", "text in quotes"),
    ("dose = 50.0", 'dose = "50"', PlanError, "[[objective]] 1 dose is '50'", "without quotes"),
    ("dose = 50.0", "", PlanError, "[[objective]] 1: objective 'squared-deviation'", "Add dose"),
    ("dose = 50.0", "dosis = 50.0", UnknownNameError, "[[objective]] 1: no setting", "'dose'?"),
    ("weight = 100", "weight = -1", PlanError, "[[objective]] 1", "not negative"),
    ("squared-dev", "square-dev", UnknownNameError, "'square-deviation'", "'squared-deviation'?"),
    (
        'structure = "Target"',
        "",
        PlanError,
        "[[objective]] 1 lacks 'structure'",
        'structure = "PTV"',
    ),
    ("[[objective]]", "[objective]", PlanError, "list of tables", "[[objective]]"),
    ("[check]", "[dose]\nspacing = [3, 3]\n[check]", PlanError, "[dose] spacing", "three numbers"),
    (
        "[check]",
        "[optimisation]\nfractions = 0\n[check]",
        PlanError,
        "fractions is 0",
        "at least 1",
    ),
    ("[check]", "[optimisation]\nfractions = true\n[check]", PlanError, "is True", "whole number"),
    ("[check]", "check = 3\n[chek]", DosegradError, "", ""),
    ('phantom = "c-shape"', 'phantom = "a"\npath = "b"', PlanError, "[patient] has both", "keep"),
    ('phantom = "c-shape"', "options = { a = 1 }", PlanError, "only a phantom takes", "remove"),
    ('phantom = "c-shape"', 'phantom = " "', PlanError, "[patient] phantom is ' '", "text"),
    ("gantry =", 'lattice = "round"\ngantry =', UnknownNameError, "'round'", "hexagonal, square"),
]


@pytest.mark.parametrize(("old", "new", "error", "what", "remedy"), WRONG)
def test_a_wrong_file_is_told_what_is_wrong_and_what_to_do(read, old, new, error, what, remedy):
    assert old in GOOD
    with pytest.raises(error) as caught:
        read(GOOD.replace(old, new, 1))
    assert what in str(caught.value)
    assert remedy in str(caught.value)
    assert "plan.toml: " in str(caught.value)


def test_a_syntax_error_is_told_with_its_line(read):
    with pytest.raises(FileFormatError, match=r"not valid TOML.*line 3"):
        read("[patient]\nphantom = 'c-shape'\n= 3\n")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileFormatError, match="No such file"):
        read_plan_file(tmp_path / "nothing.toml")


def test_bytes_that_are_no_text_are_told(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="not UTF-8 text"):
        read_plan_file(path)


def test_biology_is_read(read):
    table = """[biology]
model = "linear-quadratic"
other = [0.1, 0.05]
tissues = { Target = [0.5, 0.05] }
"""
    model = read(GOOD + table).biology.make()
    assert model == rbe.LinearQuadratic(
        {"Target": rbe.Tissue(0.5, 0.05)}, other=rbe.Tissue(0.1, 0.05)
    )
    assert read(GOOD + '[biology]\nmodel = "constant"').biology.make() == rbe.ConstantRBE(1.1)
    let = GOOD.replace("dose = 50.0", 'dose = 50.0\nquantity = "let"')
    (target,) = read(let).objectives
    assert target.objective == SquaredDeviation(50.0, weight=100.0).of("let")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('model = "mcnamara"', "lacks 'other', the tissue of voxels in none"),
        ("factor = 1.1", "names no model"),
        ('model = "carabe"\nfactor = 1.1\nother = [0.1, 0.05]', "only the model .constant. takes"),
        ('model = "constant"\nother = [0.1]', r"other is \[0.1\]; expected alpha and beta"),
        ('model = "constnat"', "Did you mean 'constant'"),
        ('model = "constant"\ntissues = 3', "expected a table of structures"),
    ],
)
def test_wrong_biology_is_told(read, table, message):
    with pytest.raises((PlanError, UnknownNameError), match=message):
        read(f"{GOOD}\n[biology]\n{table}")


def test_a_plan_file_without_an_engine_has_the_one_of_its_machine(read, water_box):
    from rich.progress import Progress

    from dosegrad import load_machine
    from dosegrad.cli.planning import carry_out

    plan = read(
        """[beams]
machine = "generic-6mv"
target = "Target"
gantry = 0
bixel = 20.0

[biology]
model = "constant"
factor = 1.0

[[objective]]
structure = "Target"
kind = "squared-deviation"
dose = 2.0
"""
    )
    machine = load_machine(plan.beams.machine)
    planned = carry_out(plan, machine, water_box, Progress(disable=True))
    assert planned.plan.provenance["engine"] == "PhotonKernel"
    assert planned.dose.quantity == "rbe_dose"
    assert "bixels of generic-6mv" in as_text(planned)
    assert "(Gy (RBE))" in as_text(planned)


PHOTONS = """[beams]
machine = "{machine}"
target = "Target"
gantry = 0

[sequence]
levels = 4
{moves}

[[objective]]
structure = "Target"
kind = "squared-deviation"
dose = 2.0
"""


@pytest.mark.parametrize("moves", ["", "move_leaves = 3"])
def test_a_plan_file_may_ask_for_apertures(read, water_box, moves):
    from rich.progress import Progress

    from dosegrad import load_machine
    from dosegrad.cli.planning import carry_out

    plan = read(PHOTONS.format(machine="generic-6mv", moves=moves))
    assert plan.sequence.levels == 4
    planned = carry_out(plan, load_machine("generic-6mv"), water_box, Progress(disable=True))
    assert planned.plan.monitor_units > 0
    assert planned.dose is planned.plan.dose


def test_apertures_are_for_photons(read, water_box, toy_machine):
    from rich.progress import Progress

    from dosegrad.cli.planning import carry_out

    plan = read(PHOTONS.format(machine="toy", moves=""))
    with pytest.raises(PlanError, match=r"\[sequence\] makes apertures for photons"):
        carry_out(plan, toy_machine, water_box, Progress(disable=True))
    assert (
        read(PHOTONS.split("[sequence]", maxsplit=1)[0].format(machine="toy", moves="")).sequence
        is None
    )
