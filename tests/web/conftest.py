"""Servers of the pages for tests, each on a port of its own, and a browser to look at them."""

import http.client
import os
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dosegrad.io.dicom.writing.study import write_dicom
from dosegrad.patient.phantoms import phantom
from dosegrad.web.security import Access
from dosegrad.web.server import make_server

#: Chromium or Chrome; tests that need one are skipped where there is none.
BROWSER = os.environ.get("DOSEGRAD_BROWSER") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
#: Waits end with the state that is waited for; so long only where something is wrong, ms.
PATIENCE = int(os.environ.get("DOSEGRAD_PATIENCE", "240000"))


class Answer(NamedTuple):
    """What the server said."""

    status: int
    text: str
    headers: dict


class Running:
    """A server in a thread of this process."""

    def __init__(self, port=0, access=None, folder=None):
        self.folder = folder
        self.server = make_server(
            port=port, host="127.0.0.1", folder=folder, access=access or Access()
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        for _ in range(2400):
            if self.server.started:
                break
            time.sleep(0.05)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def get(self, path, *, method="GET", **headers):
        """An answer; the path goes out as it stands, and headers may contradict the address."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            line.putrequest(method, path, skip_host=True)
            named = {"host": f"127.0.0.1:{self.port}", **headers}
            for name, value in named.items():
                line.putheader(name.replace("_", "-"), value)
            line.endheaders()
            answer = line.getresponse()
            return Answer(answer.status, answer.read().decode(), dict(answer.getheaders()))
        finally:
            line.close()

    def line(self, *, origin=None, path="/api/planner2d/live", **options):
        """A WebSocket to the server."""
        from websockets.sync.client import connect

        return connect(f"ws://127.0.0.1:{self.port}{path}", origin=origin, max_size=None, **options)

    def stop(self):
        self.server.should_exit = True
        self.server.force_exit = True
        self.thread.join(timeout=60)


@contextmanager
def running(**options):
    server = Running(**options)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server of the pages, for all tests."""
    with running(folder=tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def serving():
    """Makes further servers: a context manager that takes what ``Running`` takes."""
    return running


@pytest.fixture(scope="session")
def browser():
    """A headless browser for all tests."""
    if BROWSER is None:
        pytest.skip("neither Chromium nor Chrome is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"], timeout=PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def new_context(browser):
    """Makes contexts of the browser, patient and without motion; closed at the end."""
    made = []

    def make(**options):
        options = {
            "viewport": {"width": 1440, "height": 900},
            "reduced_motion": "reduce",
            **options,
        }
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def clean_page(new_context):
    """A page whose console must be clean at the end."""
    page = new_context(accept_downloads=True).new_page()
    complaints = []
    page.on(
        "console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def workers():
    """Tells the numbers of the processes that work for this one's workspaces."""

    def find():
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                owner = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                is_worker = "workspace.worker" in (place / "cmdline").read_text()
            except OSError:
                continue
            if owner == os.getpid() and is_worker:
                found.append(int(place.name))
        return found

    return find


@pytest.fixture
def write_two_structure_sets():
    """Writes a study whose second structure set calls an organ otherwise; returns the first."""

    def write(folder):
        write_dicom(folder, patient=phantom("disc-2d"))
        (first,) = [p for p in folder.rglob("*.dcm") if dcmread(p).Modality == "RTSTRUCT"]
        again = dcmread(first)
        again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        next(r for r in again.StructureSetROISequence if r.ROIName == "Organ").ROIName = "Later"
        again.save_as(first.with_name("later.dcm"))
        return first

    return write
