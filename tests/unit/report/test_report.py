import json
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from dosegrad.checks import forecasts
from dosegrad.checks.adaptation import adapt
from dosegrad.checks.plan_check import check_plan
from dosegrad.errors import OutputError
from dosegrad.evaluation.clinical_goals import evaluate
from dosegrad.report.page import Page, Section, Table, render
from dosegrad.report.plan_page import PlanSummary
from dosegrad.report.write import report_content, write_report

COMMON = {
    "schema", "kind", "program", "created", "patient", "plan", "verdict", "passed", "reasons",
    "warnings", "goals", "structures", "provenance",
}  # fmt: skip
GOALS = ["CTV: Dmean >= 39 Gy", "Cord: Dmax <= 1 Gy"]


class Outline(HTMLParser):
    """Tags of a page, and what its pictures and tables say."""

    def __init__(self, text):
        super().__init__()
        self.open, self.pictures, self.headers, self.captions = [], [], 0, 0
        self.outside, self.levels = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        if tag == "img":
            self.pictures.append(given)
        if tag == "th":
            assert given.get("scope") in {"col", "row"}
            self.headers += 1
        self.captions += tag == "caption"
        if tag in {"h1", "h2"}:
            self.levels.append(tag)
        for name in ("src", "href"):
            if name in given and not given[name].startswith("data:"):
                self.outside.append(given[name])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def check(small):
    return check_plan(small.study, engine=small.quick, goals=GOALS)


@pytest.fixture(scope="module")
def adapted(small):
    def prepare(patient, plan, *, response, engine, structures, grid):
        return lambda ct: SimpleNamespace(
            by_structure=dict.fromkeys(structures, 0.2),
            uncertainty_by_structure=dict.fromkeys(structures, 0.1),
            method="test",
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecasts, "_adjoint", lambda: prepare)
        today = small.ball(swelling=8.0).ct
        options = {"engine": small.quick, "alignment": "none", "goals": GOALS[:1]}
        return adapt(small.study, today, recompute=True, **options)


@pytest.fixture(scope="module")
def summary(small):
    goals = evaluate(small.dose, small.patient, GOALS)
    return PlanSummary(small.patient, small.plan, small.dose, goals)


@pytest.mark.parametrize("kind", ["summary", "check", "adapted"])
def test_a_report_is_one_page_that_needs_no_other_file(kind, request, tmp_path):
    page, data = write_report(tmp_path, request.getfixturevalue(kind))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]
    text = page.read_text(encoding="utf-8")
    outline = Outline(text)
    assert outline.open == []
    assert outline.outside == []
    assert text.startswith("<!doctype html>\n<html lang=")
    assert "url(" not in text
    assert "<script" not in text
    assert outline.levels[0] == "h1"
    assert outline.levels.count("h1") == 1
    assert len(outline.pictures) >= 2
    assert all(len(p["alt"]) > 20 for p in outline.pictures)
    assert outline.captions >= 2
    assert outline.headers > 10
    assert page.stat().st_size < 3_000_000
    assert json.loads(data.read_text(encoding="utf-8"))["schema"] == "dosegrad-report/1"


def test_the_check_says_its_figures_to_programs(check):
    content = json.loads(json.dumps(report_content(check), allow_nan=False))
    assert set(content) == COMMON | {"protocol", "gamma"}
    assert content["kind"] == "check"
    assert (content["verdict"], content["passed"]) == ("fail", False)
    first = content["gamma"][0]
    assert (first["percent"], first["distance_mm"], first["pass_rate"]) == (3.0, 2.0, 1.0)
    assert sum(first["histogram"]["counts"]) == first["n_evaluated"]
    assert [g["met"] for g in content["goals"]] == [True, False]
    assert content["structures"][0]["planned"]["mean"] == pytest.approx(40.0)
    (beam,) = content["plan"]["beams"]
    assert beam["n_spots"] == 27
    assert beam["n_layers"] == 3
    # the generic machine's MU is 10^6 particles
    assert beam["particles"] == pytest.approx(1e6 * beam["monitor_units"])


def test_the_trigger_says_its_figures_to_programs(adapted):
    content = json.loads(json.dumps(report_content(adapted), allow_nan=False))
    assert set(content) == COMMON | {"method", "registration", "changes"}
    assert content["kind"] == "adapt"
    assert content["registration"] is None
    assert {c["name"] for c in content["changes"]} == {"CTV", "Cord"}
    assert content["changes"][0]["uncertainty"] == pytest.approx(0.1)
    assert content["goals"][0]["recomputed"] is not None
    assert content["provenance"]["engine"] == "Yoda"


def test_the_plan_says_its_figures_to_programs(summary):
    content = json.loads(json.dumps(report_content(summary), allow_nan=False))
    assert set(content) == COMMON | {"objective", "ended"}
    assert content["verdict"] == "fail"
    assert content["reasons"] == ["goal Cord: Dmax <= 1 Gy is missed"]


def test_a_patient_is_named_only_on_demand(small, check, tmp_path):
    nameless = replace(check, patient=replace(check.patient, name=""))
    page, data = write_report(tmp_path / "page.html", nameless)
    assert "not named" in page.read_text(encoding="utf-8")
    assert data.name == "page.json"
    page, data = write_report(tmp_path / "page.html", nameless, name="Case 7 <b>")
    assert "Case 7 &lt;b&gt;" in page.read_text(encoding="utf-8")
    assert json.loads(data.read_text(encoding="utf-8"))["patient"]["name"] == "Case 7 <b>"


def test_names_of_structures_are_text_and_no_markup():
    table = Table("c", ["<script>", "b"], [["<img src=x onerror=y>", "1"]])
    text = render(Page("t", "v", "plain", [("a", "<i>")], [Section("s", tables=[table])]))
    assert "<script>" not in text
    assert "<img" not in text
    assert "<i>" not in text


def test_an_old_report_stays_if_the_new_one_cannot_be_written(check, tmp_path, monkeypatch):
    page, _ = write_report(tmp_path, check)
    before = page.read_bytes()
    monkeypatch.setattr("dosegrad.report.write.render", lambda page: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(tmp_path, check)
    assert page.read_bytes() == before
    monkeypatch.undo()
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(tmp_path / "no" / "such" / "folder", check)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]
