"""The workspace's server: requests, files, volumes, and work that fails or is ended."""

import dataclasses
import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

from dosegrad.geometry.grid import Grid
from dosegrad.io.archive import load_plan
from dosegrad.patient.phantoms import phantom
from dosegrad.patient.structures import MaskShape, Structure
from dosegrad.web.workspace.files import list_folder
from dosegrad.web.workspace.schemas import REQUESTS, FileSource, PlanSettings
from dosegrad.web.workspace.sessions import MOST_SESSIONS
from dosegrad.web.workspace.suggestions import suggest
from dosegrad.web.workspace.views import saving_name
from dosegrad.web.workspace.volumes import pack_ct, pack_masks, pack_scaled

QUICK = {
    "machine": "generic-protons",
    "target": "Target",
    "gantry": [0.0],
    "spot_spacing": 15.0,
    "layer_spacing": 12.0,
    "dose_spacing": 8.0,
    "fractions": 2,
    "max_iterations": 25,
    "objectives": [
        {
            "structure": "Target",
            "kind": "squared-deviation",
            "weight": 100.0,
            "settings": {"dose": 4.0},
        },
        {"structure": "Body", "kind": "mean-dose", "weight": 1.0, "settings": {}},
    ],
    "goals": ["Target: D95% >= 3 Gy"],
}
#: Work that takes long enough to be ended on any machine.
LONG = {
    **QUICK,
    "spot_spacing": 2.0,
    "layer_spacing": 1.0,
    "dose_spacing": 2.0,
    "robust": {"mode": "minimax", "setup": 3.0, "range_percent": 3.5},
}


class Page:
    """What a page does, without a browser."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        path = f"/api/workspace/live?session={name}"
        self.connection = server.line(origin=server.url, path=path)
        self.line = self.connection.__enter__()
        self.state, self.volumes, self.seen = {}, {}, []

    def send(self, **content):
        self.line.send(json.dumps(content))

    def until(self, kind, timeout=120):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = json.loads(self.line.recv(timeout=end - time.monotonic()))
            self.seen.append(message["kind"])
            if message["kind"] == "everything":
                self.state, self.volumes = message["state"], dict(message["volumes"])
            elif message["kind"] == "state":
                self.state.update(message["parts"])
            elif message["kind"] == "volumes":
                self.volumes.update(message["volumes"])
            if message["kind"] == kind:
                return message
        raise AssertionError(f"no {kind!r} came")

    def job(self, name, **more):
        self.send(kind="job", job=name, **more)
        return self.until("ended")

    def open(self, name="disc-2d", settings=QUICK):
        self.send(kind="open", source={"kind": "phantom", "name": name}, settings=settings)
        return self.until("ended")


@pytest.fixture
def enter(served):
    """Makes pages of workspaces of their own."""
    pages = []

    def make(name=None):
        page = Page(served, name or f"{random.getrandbits(96):024x}")
        pages.append(page)
        page.until("hello")
        return page

    yield make
    for page in pages:
        page.connection.__exit__(None, None, None)


def volume_of(server, page, name):
    """Bytes of a volume, unpacked."""
    from urllib.request import urlopen

    entry = page.volumes[name]
    with urlopen(f"{server.url}/api/workspace/{page.name}/volumes/{name}") as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["X-Version"] == str(entry["version"])
        return entry["header"], gzip.decompress(answer.read())


# --- volumes ---------------------------------------------------------------------------------


def test_a_ct_arrives_as_it_is():
    grid = Grid((3, 4, 5), (4.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    hu = np.arange(60.0).reshape(3, 4, 5) - 20.4
    packed = pack_ct(hu, grid)
    back = np.frombuffer(gzip.decompress(packed.data), dtype="<i2").reshape(3, 4, 5)
    np.testing.assert_array_equal(back, np.rint(hu))
    assert packed.header["spacing"] == [4.0, 2.0, 3.0]


def test_a_turned_ct_is_shown_along_the_patient():
    turned = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    grid = Grid((2, 4, 6), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), turned)
    hu = np.zeros((2, 4, 6))
    hu[:, 1, 2] = 100.0
    packed = pack_ct(hu, grid)
    back = np.frombuffer(gzip.decompress(packed.data), dtype="<i2")
    values = back.reshape(packed.header["shape"])
    place = np.argwhere(values[0] == 100)[0]
    x = packed.header["origin"][0] + 2.0 * place[1]
    y = packed.header["origin"][1] + 2.0 * place[0]
    np.testing.assert_allclose(grid.to_point([0, 1, 2])[:2], [x, y], atol=1e-9)


def test_scaled_values_keep_their_accuracy_and_what_is_not_known():
    grid = Grid((2, 3, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    values = np.linspace(-3.0, 60.0, 24).reshape(2, 3, 4)
    values[0, 0, 0] = np.nan
    packed = pack_scaled(values, grid)
    steps = np.frombuffer(gzip.decompress(packed.data), dtype="<u2").reshape(2, 3, 4)
    back = packed.header["lowest"] + packed.header["scale"] * steps
    known = np.isfinite(values)
    np.testing.assert_allclose(back[known], values[known], atol=packed.header["scale"])
    assert steps[0, 0, 0] == 65535


def test_masks_arrive_as_bits_within_their_box():
    grid = Grid((3, 5, 7), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[1, 2:4, 3:6] = True
    mask[1, 2, 4] = False
    nothing = np.zeros(grid.shape, dtype=bool)
    packed = pack_masks(
        [Structure("A", MaskShape(grid, mask)), Structure("B", MaskShape(grid, nothing))], grid
    )
    (entry,) = packed.header["structures"]
    assert entry["first"] == [1, 2, 3]
    bits = np.unpackbits(
        np.frombuffer(gzip.decompress(packed.data), dtype=np.uint8), bitorder="little"
    )
    inside = bits[: np.prod(entry["shape"])].reshape(entry["shape"])
    np.testing.assert_array_equal(inside, mask[1:2, 2:4, 3:6])


@pytest.mark.parametrize("name", ["c-shape", "head", "prostate", "impt-2d", "thorax", "water-tank"])
def test_every_phantom_suggests_a_plan(name):
    patient = phantom(name)
    settings = suggest(patient, name)
    assert settings.target in patient.structures
    assert settings.objectives
    asked = {w.structure for w in settings.objectives}
    for part, structure in patient.structures.items():
        # a target that lies in the one planned for gets its dose with it
        assert part in asked or structure.role == "target"
    assert settings.target in asked
    for wish in settings.objectives:
        assert wish.structure in patient.structures


# --- files -----------------------------------------------------------------------------------


def test_only_what_can_be_opened_is_listed(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"x")
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "1.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.npz").write_bytes(b"x")
    (tmp_path / "out").symlink_to("/etc")
    found = {e["name"]: e["kind"] for e in list_folder(tmp_path, "")["entries"]}
    assert found == {"a.mat": "patient", "study": "dicom", "run": "results"}
    assert list_folder(tmp_path, "study")["kind"] == "dicom"


@pytest.mark.parametrize("path", ["..", "../..", "/etc", "a/../../b", "%2e%2e", "\0"])
def test_paths_that_lead_out_are_refused(served, path):
    from urllib.parse import quote

    for address in ("files", "written"):
        answer = served.get(f"/api/workspace/{address}?path={quote(path)}")
        assert answer.status == 400
        assert "root:" not in answer.text


def test_files_outside_are_not_opened_saved_or_compared(enter):
    page = enter()
    page.send(kind="open", source={"kind": "file", "path": "../../etc/passwd"})
    assert "leads out" in page.until("ended")["message"]
    page.open()
    assert page.job("optimise")["state"] == "done"
    for job in ("save", "report", "dicom", "other"):
        assert "leads out" in page.job(job, path="../elsewhere.npz")["message"]


def test_one_of_several_structure_sets_is_chosen(enter, served, write_two_structure_sets):
    folder = served.folder / "two-sets"
    first = write_two_structure_sets(folder)
    page = enter()
    page.send(kind="open", source={"kind": "file", "path": "two-sets"})
    asked = page.until("choose")
    assert asked["what"] == "structure set"
    assert page.until("ended")["state"] == "failed"
    names = [value for value, _ in asked["choices"]]
    assert sorted(names) == sorted(
        p.relative_to(folder).as_posix() for p in (first, first.with_name("later.dcm"))
    )
    chosen = next(name for name in names if name.endswith("later.dcm"))
    page.send(kind="open", source={**asked["source"], asked["option"]: chosen}, settings=QUICK)
    assert page.until("ended")["state"] == "done"
    assert "Later" in [s["name"] for s in page.state["case"]["structures"]]
    assert page.job("optimise")["state"] == "done"
    assert page.job("save", path="of-two.npz")["state"] == "done"
    other = enter()
    other.send(kind="open", source={"kind": "file", "path": "of-two.npz"})
    assert other.until("ended")["state"] == "done"
    assert other.state["case"]["source"]["structure_set"] == chosen


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_server_ends(tmp_path, how):
    """Neither work nor folders, even if it is killed."""
    aside = tmp_path / "aside"
    aside.mkdir()
    command = [sys.executable, "-m", "dosegrad", "web", str(tmp_path), "--port", "0", "--no-open"]
    server = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(aside)}
    )
    try:
        url = re.search(r"http://[^/]+", server.stderr.readline()).group()
        path = f"/api/workspace/live?session={random.getrandbits(96):024x}"
        with connect(url.replace("http", "ws") + path, origin=url, max_size=None) as line:
            source = {"kind": "phantom", "name": "disc-2d"}
            line.send(json.dumps({"kind": "open", "source": source}))
            while json.loads(line.recv(timeout=120))["kind"] != "ended":
                pass
            assert len(children(server.pid)) == 1
            (worker,) = children(server.pid)
            assert list(aside.glob("dosegrad-workspace-*"))
            server.send_signal(how)
            server.wait(timeout=60)
    finally:
        server.kill()
        server.stderr.close()
    end = time.monotonic() + 60
    while time.monotonic() < end and (is_alive(worker) or list(aside.iterdir())):
        time.sleep(0.05)
    assert not is_alive(worker)
    assert not list(aside.glob("dosegrad-workspace-*"))


def children(pid):
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            owner = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if owner == pid:
            found.append(int(place.name))
    return found


def is_alive(pid):
    try:
        return (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) != "Z"
    except OSError:
        return False


# --- hostile requests ------------------------------------------------------------------------

HOSTILE = [
    "",
    "null",
    "[" * 5000,
    '{"kind":"erase"}',
    '{"kind":"job","job":"format-disk"}',
    '{"kind":"open","source":{"kind":"url","path":"http://x"}}',
    '{"kind":"open","source":{"kind":"phantom","name":"unicorn"}}',
    '{"kind":"open","source":{"kind":"file","path":"' + "a" * 500 + '"}}',
    '{"kind":"settings","settings":{"gantry":[]}}',
    '{"kind":"settings","settings":{"gantry":[NaN]}}',
    '{"kind":"settings","settings":{"gantry":[1e400]}}',
    '{"kind":"settings","settings":{"machine":"../../x.npz"}}',
    '{"kind":"settings","settings":{"dose_spacing":0.001}}',
    '{"kind":"settings","settings":{"objectives":[{"structure":"A","kind":"eval"}]}}',
    '{"kind":"settings","settings":{"objectives":[{"structure":"A","kind":"eud"}]}}',
    '{"kind":"settings","settings":{"goals":["nonsense"]}}',
    '{"kind":"settings","settings":{"goals":["A: D95% >= -3 Gy"]}}',
    '{"kind":"settings","settings":{"gantry":[0,1],"couch":[0]}}',
    '{"kind":"settings","settings":{"__proto__":{"x":1}}}',
    '{"kind":"navigate","limits":{"A":"x"}}',
    '{"kind":"open","source":{"kind":"phantom","name":"disc-2d"},"recover":true}',
    '{"kind":"job","job":"steer"}',
]


def test_hostile_requests_are_answered_with_what_is_wrong(enter, workers):
    page, before = enter(), workers()
    for text in HOSTILE:
        page.line.send(text)
        message = page.until("error", timeout=20)["message"]
        assert 10 < len(message) < 500
        assert "Traceback" not in message
    assert workers() == before


@pytest.mark.parametrize(
    ("dose", "told"), [("abc", "dose 'abc' is no number"), (1e9, "is no dose of a course")]
)
def test_a_dose_that_cannot_be_is_told(dose, told):
    wish = {"structure": "A", "kind": "squared-overdose", "settings": {"dose": dose}}
    with pytest.raises(ValueError, match=told):
        PlanSettings(objectives=[wish])


def test_random_changes_of_a_request_raise_nothing_else():
    from pydantic import ValidationError

    rng = random.Random(5)
    good = json.dumps({"kind": "settings", "settings": QUICK})
    for _ in range(300):
        text = list(good)
        for _ in range(rng.randint(1, 5)):
            text[rng.randrange(len(text))] = chr(rng.randint(32, 126))
        try:
            REQUESTS.validate_json("".join(text))
        except ValidationError:
            continue


def test_a_message_of_many_megabytes_ends_the_line_not_the_server(served, enter):
    page = enter()
    page.line.send("x" * 3_000_000)
    with pytest.raises(Exception, match=r"1009|too big|closed"):
        page.until("never", timeout=20)
    assert served.get("/api/health").status == 200


def test_a_gigabyte_is_refused_before_it_is_sent(served):
    answer = served.get("/api/workspace/files", method="POST", content_length="1000000000")
    assert answer.status == 413


def test_a_workspace_needs_a_name_that_cannot_be_guessed(served):
    for name in ("", "1", "../../x", "G" * 24):
        with served.line(origin=served.url, path=f"/api/workspace/live?session={name}") as line:
            assert json.loads(line.recv(timeout=20))["kind"] == "refused"
    assert served.get("/api/workspace/0123456789abcdef/volumes/ct").status == 400


# --- work ------------------------------------------------------------------------------------


def test_a_plan_is_made_looked_at_saved_and_opened_again(enter, served):
    page = enter()
    assert page.open()["state"] == "done"
    header, data = volume_of(served, page, "ct")
    hu = np.frombuffer(data, dtype="<i2").reshape(header["shape"])
    np.testing.assert_array_equal(hu, np.rint(phantom("disc-2d").ct.hu))
    assert page.job("optimise")["state"] == "done"
    assert "live" in page.seen
    assert page.state["goals"][0]["met"]
    assert page.state["plan"]["spots"] > 0
    header, data = volume_of(served, page, "dose")
    dose = header["scale"] * np.frombuffer(data, dtype="<u2")
    assert dose.max() == pytest.approx(page.state["plan"]["max"], rel=1e-4)
    for curve in page.state["dvh"]["curves"]:
        assert curve["points"] == sorted(curve["points"], reverse=True)
    for job, path in (("save", "mine.npz"), ("report", "mine.html"), ("dicom", "mine-dicom")):
        assert page.job(job, path=path)["state"] == "done", job
    assert served.get("/api/workspace/written?path=mine.html").text.startswith("<!doctype html")
    assert page.job("other", path="mine.npz")["state"] == "done"
    assert page.state["comparison"]["passRate"] == 1.0

    again = enter()
    again.send(kind="open", source={"kind": "file", "path": "mine.npz"})
    assert again.until("ended")["state"] == "done"
    assert again.state["settings"] == PlanSettings(**QUICK).model_dump(mode="json")
    assert again.state["plan"]["max"] == pytest.approx(page.state["plan"]["max"])
    study = enter()
    study.send(kind="open", source={"kind": "file", "path": "mine-dicom"})
    assert study.until("ended")["state"] == "done"
    assert study.state["case"]["title"] == "Patient"


def test_two_pages_of_a_workspace_see_the_same(enter):
    one = enter()
    one.open()
    two = enter(one.name)
    assert "disc-2d" in json.dumps(two.state["case"])
    two.send(kind="settings", settings={**QUICK, "fractions": 7})
    while one.state["settings"]["fractions"] != 7:
        one.until("state", timeout=20)
    one.send(kind="job", job="steer")
    assert two.until("ended")["state"] == "done"
    assert two.state["beams"][0]["columns"] == one_columns(one)


def one_columns(page):
    page.until("ended")
    return page.state["beams"][0]["columns"]


def test_work_is_cancelled_and_what_was_there_stays(enter):
    page = enter()
    page.open(settings=LONG)
    page.send(kind="job", job="optimise")
    page.until("job")
    page.send(kind="job", job="save")
    assert "going on" in page.until("error", timeout=30)["message"]
    page.send(kind="cancel")
    assert page.until("ended", timeout=60)["state"] == "cancelled"
    assert page.state.get("plan") is None
    page.send(kind="settings", settings=QUICK)
    assert page.job("optimise")["state"] == "done"


def test_a_killed_process_is_told_of_and_work_goes_on(enter, served, workers):
    page = enter()
    page.open()
    assert page.job("optimise")["state"] == "done"
    best = page.state["plan"]["max"]
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    page.send(kind="settings", settings={**QUICK, "goals": []})
    time.sleep(1.0)
    assert page.state["plan"]["max"] == best
    assert page.job("save", path="after.npz")["state"] == "done"
    assert page.state["plan"]["max"] == pytest.approx(best)
    assert served.get("/api/health").status == 200


def test_a_process_killed_at_work_says_so(enter, workers):
    page = enter()
    page.open(settings=LONG)
    page.send(kind="job", job="optimise")
    page.until("job")
    time.sleep(1.0)
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    ended = page.until("ended")
    assert ended["state"] == "failed"
    assert "ended unexpectedly" in ended["message"]


@pytest.mark.slow
def test_memory_is_limited(serving, tmp_path, monkeypatch):
    from dosegrad.web.workspace import processes, sessions

    monkeypatch.setattr(sessions, "memory_for_work", lambda: 700)
    assert processes.memory_for_work() > 1000
    with serving(folder=tmp_path) as server:
        page = Page(server, "ab" * 12)
        fine = {"spot_spacing": 5.0, "layer_spacing": 5.0, "dose_spacing": None}
        page.open("c-shape", settings={**QUICK, "gantry": [0.0, 120.0, 240.0], **fine})
        ended = page.job("influence")
        assert ended["state"] == "failed"
        assert "memory" in ended["message"]
        page.connection.__exit__(None, None, None)


def test_no_more_workspaces_than_can_be_kept(enter, served):
    pages = [enter() for _ in range(MOST_SESSIONS)]
    with served.line(origin=served.url, path=f"/api/workspace/live?session={'f' * 24}") as line:
        assert "already" in json.loads(line.recv(timeout=20))["message"]
    pages[0].line.close()
    time.sleep(0.3)
    enter()


# --- nothing is lost, and nothing is shown as what it is not ---------------------------------


def directions(state):
    return [round(b["direction"][0], 3) for b in state["beams"]]


def test_a_plan_saved_after_its_settings_changed_says_so_and_is_planned_anew(enter):
    page = enter()
    page.open()
    assert page.job("optimise")["state"] == "done"
    assert page.state["stale"]["plan"] == []
    first = directions(page.state)
    page.send(kind="settings", settings={**QUICK, "gantry": [90.0]})
    page.until("noted")
    assert page.state["stale"]["plan"] == ["beams"]
    assert page.job("save", path="changed.npz")["state"] == "done"

    again = enter()
    again.send(kind="open", source={"kind": "file", "path": "changed.npz"})
    assert again.until("ended")["state"] == "done"
    assert again.state["settings"]["gantry"] == [90.0]
    assert directions(again.state) == first
    assert again.state["stale"]["beams"]
    assert again.state["stale"]["plan"] == ["beams"]
    assert again.job("optimise")["state"] == "done"
    assert directions(again.state) != first
    assert again.state["stale"]["plan"] == []
    assert not again.state["stale"]["beams"]


def test_a_plan_of_other_wishes_says_so_also_when_it_is_opened_again(enter):
    page = enter()
    page.open()
    assert page.job("optimise")["state"] == "done"
    wish = {**QUICK["objectives"][0], "settings": {"dose": 60.0}}
    page.send(kind="settings", settings={**QUICK, "fractions": 20, "objectives": [wish]})
    page.until("noted")
    assert not page.state["stale"]["beams"]
    assert page.state["stale"]["plan"] == ["objectives", "fractions"]
    assert page.job("save", path="wishes.npz")["state"] == "done"
    again = enter()
    again.send(kind="open", source={"kind": "file", "path": "wishes.npz"})
    assert again.until("ended")["state"] == "done"
    assert again.state["plan"]["fractions"] == 2
    assert again.state["stale"]["plan"] == ["objectives", "fractions"]


def test_a_plan_made_elsewhere_is_not_taken_for_one_of_the_settings(enter, served):
    page = enter()
    page.open()
    assert page.job("optimise")["state"] == "done"
    assert page.job("save", path="known.npz")["state"] == "done"
    plan = load_plan(served.folder / "known.npz")
    told = {"case": {"phantom": "disc-2d"}}
    dataclasses.replace(plan, provenance=told).save(served.folder / "elsewhere.npz")
    again = enter()
    again.send(kind="open", source={"kind": "file", "path": "elsewhere.npz"})
    assert again.until("ended")["state"] == "done"
    assert again.state["stale"]["beams"]
    assert again.state["stale"]["plan"] == ["settings"]


def test_a_killed_process_does_not_make_old_beams_new(enter, workers):
    page = enter()
    page.open()
    assert page.job("optimise")["state"] == "done"
    first = directions(page.state)
    page.send(kind="settings", settings={**QUICK, "gantry": [90.0]})
    page.until("noted")
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    while not page.until("noted").get("all"):
        pass
    assert page.job("save", path="of-a-killed-process.npz")["state"] == "done"
    assert page.state["stale"]["beams"]
    assert page.job("optimise")["state"] == "done"
    assert directions(page.state) != first


def test_what_lies_in_a_file_is_replaced_only_if_asked_for(enter, served):
    page = enter()
    page.open()
    assert page.state["case"]["saveAs"] == "disc-2d"
    assert page.job("optimise")["state"] == "done"
    for job, name in (("save", "twice.npz"), ("report", "twice.html"), ("dicom", "twice-dicom")):
        assert page.job(job, path=name)["state"] == "done"
        place = served.folder / name
        before = place.stat().st_mtime_ns
        page.send(kind="job", job=job, path=name)
        assert page.until("exists")["path"] == name
        assert "is there already" in page.until("ended")["message"]
        assert place.stat().st_mtime_ns == before
        assert page.job(job, path=name, replace=True)["state"] == "done"
        assert place.stat().st_mtime_ns != before


def test_patients_in_files_have_names_to_save_under_of_their_own():
    one, other = (FileSource(kind="file", path=p) for p in ("Doe^Jane/ct", "Doe^John/ct"))
    assert saving_name(one) != saving_name(other)
    assert "Doe" not in saving_name(one)


def test_names_that_hide_mislead_or_cannot_be_copied_are_refused(enter, served):
    study = served.folder / "a-study"
    study.mkdir()
    (study / "1.dcm").write_bytes(b"\0" * 128 + b"DICM")
    page = enter()
    page.open()
    assert page.job("optimise")["state"] == "done"
    for name in (".hidden", " ", ".npz", "con?.npz", "a|b.npz", "x /y.npz", "a:b"):
        assert "cannot be a name" in page.job("save", path=name)["message"], name
    assert "DICOM study" in page.job("save", path="a-study/plan.npz")["message"]
    assert [p.name for p in study.iterdir()] == ["1.dcm"]


def test_a_file_that_cannot_be_opened_takes_nothing_away(enter, served, workers):
    (served.folder / "broken.npz").write_bytes(b"no plan")
    page = enter()
    page.open()
    assert page.job("optimise")["state"] == "done"
    assert page.state["unsaved"]
    state, volumes, before = dict(page.state), dict(page.volumes), len(workers())
    page.send(kind="open", source={"kind": "file", "path": "broken.npz"})
    ended = page.until("ended")
    assert ended["state"] == "failed"
    assert str(served.folder) not in ended["message"]
    assert "broken.npz" in ended["message"]
    assert (page.state, page.volumes) == (state, volumes)
    assert page.job("save", path="still-there.npz")["state"] == "done"
    assert not page.state["unsaved"]
    assert page.open("water-tank")["state"] == "done"
    assert page.state["case"]["title"] == "water-tank"
    assert page.state["plan"] is None
    end = time.monotonic() + 30
    while len(workers()) > before and time.monotonic() < end:
        time.sleep(0.05)
    assert len(workers()) == before


def test_the_seventh_workspace_takes_no_plan_away(enter):
    first = enter()
    first.open()
    assert first.job("optimise")["state"] == "done"
    best, name = first.state["plan"]["max"], first.name
    others = [enter() for _ in range(MOST_SESSIONS - 1)]
    first.line.close()
    time.sleep(0.3)
    others.append(enter())
    others[0].line.close()
    time.sleep(0.3)
    again = enter(name)
    while "dose" not in again.volumes:
        again.until("volumes", timeout=60)
    while not again.state["unsaved"]:
        again.until("state", timeout=60)
    assert again.state["plan"]["max"] == pytest.approx(best)
    assert again.job("save", path="of-the-first.npz")["state"] == "done"
