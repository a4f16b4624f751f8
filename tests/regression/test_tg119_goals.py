"""The IMRT cases of AAPM TG-119, planned with photons and held against the report's goals.

The report gives planning goals and what its institutions reached on average [Ezzell2009]. Where
they missed a goal on average, our plan must be better than that; the other goals must be met.
Fluence plans, not sequenced. ``pytest -s`` shows the doses beside the goals.
"""

import pytest

import dosegrad as dg
from dosegrad import objectives as obj
from dosegrad.patient.patient import Patient
from dosegrad.patient.structure_tools import combine, ring

CASES = {
    "multi-target": {
        "targets": ["Superior", "Centre", "Inferior"],
        "gantry": range(0, 350, 50),
        "objectives": {
            "Centre": [
                obj.SquaredUnderdose(51.3, weight=1500),
                obj.SquaredOverdose(52.2, weight=800),
            ],
            "Superior": [
                obj.SquaredUnderdose(26.0, weight=200),
                obj.SquaredOverdose(31.0, weight=20),
            ],
            "Inferior": [
                obj.SquaredUnderdose(13.2, weight=200),
                obj.SquaredOverdose(20.0, weight=20),
            ],
        },
        "goals": [
            *("Centre: D99% >= 50 Gy", "Centre: D10% <= 53 Gy"),
            *("Superior: D99% >= 25 Gy", "Superior: D10% <= 35 Gy"),
            *("Inferior: D99% >= 12.5 Gy", "Inferior: D10% <= 25 Gy"),
        ],
    },
    "prostate": {
        "targets": ["PTV"],
        "gantry": range(0, 350, 50),
        "objectives": {
            "PTV": [obj.SquaredUnderdose(76.5, weight=300), obj.SquaredOverdose(79.0, weight=100)],
            "Rectum": [
                obj.SquaredOverdose(50.0, weight=10),
                obj.SquaredOverdose(73.0, weight=1000),
            ],
            "Bladder": [obj.SquaredOverdose(40.0, weight=10)],
            "Shell": [obj.SquaredOverdose(60.0, weight=3)],
        },
        "goals": [
            *("PTV: D95% >= 75.6 Gy", "PTV: D5% <= 83 Gy"),
            *("Rectum: D30% <= 70 Gy", "Rectum: D10% <= 75 Gy"),
            *("Bladder: D30% <= 70 Gy", "Bladder: D10% <= 75 Gy"),
        ],
    },
    "head-neck": {
        "targets": ["PTV"],
        "bixel": 8.0,
        "gantry": range(0, 360, 40),
        "objectives": {
            "PTV": [obj.SquaredUnderdose(51.0, weight=500), obj.SquaredOverdose(53.0, weight=150)],
            "Cord": [obj.SquaredOverdose(35.0, weight=100)],
            "ParotidL": [obj.SquaredOverdose(20.0, weight=5)],
            "ParotidR": [obj.SquaredOverdose(20.0, weight=5)],
            "Shell": [obj.SquaredOverdose(48.0, weight=1)],
        },
        "goals": [
            *("PTV: D90% >= 50 Gy", "PTV: D99% >= 46.5 Gy", "PTV: D20% <= 55 Gy"),
            *("Cord: Dmax <= 40 Gy", "ParotidL: D50% <= 20 Gy", "ParotidR: D50% <= 20 Gy"),
        ],
    },
    "c-shape-easy": {
        "targets": ["Target"],
        "gantry": range(0, 360, 40),
        "objectives": {
            "Target": [
                obj.SquaredUnderdose(51.0, weight=300),
                obj.SquaredOverdose(53.0, weight=150),
            ],
            "Core": [obj.SquaredOverdose(20.0, weight=50)],
            "Shell": [obj.SquaredOverdose(40.0, weight=3)],
        },
        "goals": ["Target: D95% >= 50 Gy", "Target: D10% <= 55 Gy", "Core: D10% <= 25 Gy"],
    },
    "c-shape-hard": {
        "targets": ["Target"],
        "gantry": range(0, 360, 40),
        "objectives": {
            "Target": [
                obj.SquaredUnderdose(51.6, weight=1000),
                obj.SquaredOverdose(53.5, weight=300),
            ],
            "Core": [obj.SquaredOverdose(9.0, weight=100)],
        },
        "goals": ["Target: D95% >= 50 Gy", "Target: D10% <= 55 Gy", "Core: D10% <= 10 Gy"],
        # goals that the report's institutions missed on average, and what they reached
        "missed": {"Target: D10% <= 55 Gy": 57.02, "Core: D10% <= 10 Gy": 16.30},
    },
}


def planned(case, name):
    """Patient and plan on the grid of the CT, on targets, organs and a shell around the targets."""
    bare = dg.phantom("tg119-" + name.removesuffix("-easy").removesuffix("-hard"))
    grid = bare.ct.grid
    parts = [bare.structures[n] for n in case["targets"]]
    union = [*parts, *parts][: max(2, len(parts))]  # a union of one is itself
    whole = combine("Targets", "union", union, grid, role="target")
    shell = ring(whole, 2.5, 17.5, grid, name="Shell")
    structures = {**bare.structures, "Targets": whole, "Shell": shell}
    patient = Patient(bare.ct, structures, bare.calibration, name=bare.name)
    machine = dg.load_machine("generic-6mv")
    beams = dg.steer(
        patient, machine, target="Targets", gantry=case["gantry"], bixel=case.get("bixel", 5.0)
    )
    rows = [n for n in structures if n not in {"Body"}]
    influence = dg.compute_influence(patient, beams, grid=grid, voxels=rows)
    return patient, dg.optimise(influence, case["objectives"], max_iterations=300)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_planning_goals(name):
    case = CASES[name]
    patient, plan = planned(case, name)
    report = dg.evaluate(plan.dose, patient, case["goals"])
    print(f"\n{name}\n{report}")
    for row in report:
        reached_elsewhere = case.get("missed", {}).get(str(row.goal))
        if reached_elsewhere is None:
            assert row.met, f"{row.goal}: {row.value}"
        else:
            assert row.value < reached_elsewhere, f"{row.goal}: {row.value}"
