"""The workspace in a browser: by mouse, by keyboard, and when something goes wrong."""

import os
import shutil

import pytest

BROWSER = os.environ.get("DOSEGRAD_BROWSER") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="neither Chromium nor Chrome is installed"),
]
LONG = 180_000


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, served):
    """The page with a small phantom; at the end the console must be clean."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, accept_downloads=True, reduced_motion="reduce"
    )
    page = context.new_page()
    complaints = []
    page.on(
        "console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_phantom(page, served.url)
    yield page
    context.close()
    assert complaints == []


def open_phantom(page, url, name="disc-2d"):
    page.goto(f"{url}/workspace")
    page.get_by_role("button", name=name).first.click(timeout=60_000)
    page.get_by_role("slider", name="Axial slice").wait_for(timeout=LONG)
    page.locator("main[data-ready]").wait_for(timeout=LONG)


def coarse(page):
    """Settings that make a plan in little time."""
    while page.get_by_role("button", name="Remove beam 2").count():
        page.get_by_role("button", name="Remove beam 2").click()
    for label, value in (
        ("Spot spacing, mm", "15"),
        ("Layer spacing, mm", "12"),
        ("Iterations at most", "20"),
    ):
        box = page.get_by_label(label, exact=True)
        box.fill(value)
        box.press("Enter")
    page.get_by_label("Dose grid").select_option("6")


def finished(page):
    page.wait_for_timeout(300)
    page.locator("[role=progressbar]").wait_for(state="detached", timeout=LONG)


def plan(page):
    coarse(page)
    page.get_by_role("button", name="Optimise", exact=True).click()
    page.get_by_text("optimising: done").wait_for(timeout=LONG)
    finished(page)


def slice_of(page, plane):
    return page.get_by_role("slider", name=f"{plane} slice")


def now(view):
    return int(view.get_attribute("aria-valuenow"))


def test_slices_are_linked_and_scroll(page):
    axial, coronal = slice_of(page, "Axial"), slice_of(page, "Coronal")
    before = now(coronal)
    box = axial.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 - 40, steps=4)
    page.mouse.up()
    page.wait_for_timeout(400)
    assert now(coronal) < before
    first = axial.screenshot()
    page.get_by_label("CT window").select_option("Lung")
    page.wait_for_timeout(300)
    assert axial.screenshot() != first
    page.get_by_role("checkbox", name="Show Target").uncheck()
    page.get_by_role("button", name="Hide all").or_(
        page.get_by_role("button", name="Show all")
    ).click()


def test_a_plan_is_made_judged_and_exported(page, served):
    plan(page)
    page.get_by_role("tab", name="Goals").click()
    page.get_by_text("✓ met").or_(page.get_by_text("✗ missed")).first.wait_for()
    page.get_by_label("New goal").fill("Body: Dmean <= 1000 Gy")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("✓ met").last.wait_for(timeout=20_000)
    page.get_by_role("img", name="Dose-volume histogram").wait_for()
    assert page.get_by_role("img", name="Beam 1 at gantry").count() == 1
    page.get_by_label("Name to save under").fill("browser")
    for name in ("Save", "DICOM"):
        page.get_by_role("button", name=name, exact=True).click()
        finished(page)
    link = page.get_by_role("link", name="browser.npz")
    link.wait_for(timeout=30_000)
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "browser.npz"
    assert served.get("/api/workspace/files?path=browser-dicom").status == 200


def test_objectives_are_edited_and_mistakes_are_told(page):
    page.get_by_role("tab", name="Objectives").click()
    page.get_by_role("button", name="+ Objective").click()
    last = page.locator(".ws-wishes li").last
    last.get_by_role("combobox").nth(1).select_option("max-dvh")
    volume = last.get_by_label("volume")
    volume.fill("7")
    volume.press("Enter")
    page.get_by_text("not understood").wait_for(timeout=20_000)
    volume.fill("0.3")
    volume.press("Enter")
    last.get_by_role("button", name="Remove objective").click()


def test_work_is_cancelled(page):
    coarse(page)
    page.get_by_label("Spot spacing, mm").fill("3")
    page.get_by_label("Spot spacing, mm").press("Enter")
    page.get_by_label("Iterations at most").fill("5000")
    page.get_by_label("Iterations at most").press("Enter")
    page.get_by_label("Dose grid").select_option("2")
    page.get_by_role("button", name="Optimise", exact=True).click()
    page.get_by_role("progressbar").wait_for(timeout=30_000)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_text("Cancelled.").wait_for(timeout=60_000)
    assert page.get_by_role("button", name="Optimise", exact=True).is_enabled()


def test_a_reload_and_another_tab_show_the_same(page, served):
    plan(page)
    words = page.locator(".ws-facts").inner_text()
    page.reload()
    page.locator(".ws-facts").wait_for(timeout=LONG)
    assert page.locator(".ws-facts").inner_text() == words
    session = page.evaluate("JSON.parse(sessionStorage.getItem('dosegrad-workspace')).session")
    other = page.context.new_page()
    other.goto(f"{served.url}/workspace#{session}")
    other.locator(".ws-facts").wait_for(timeout=LONG)
    assert other.locator(".ws-facts").inner_text() == words
    page.get_by_text("2 pages show this workspace").wait_for()
    other.close()


def test_a_server_that_begins_anew_opens_the_case_again(browser, serving, tmp_path):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    with serving(folder=tmp_path) as server:
        port = server.port
        open_phantom(page, server.url)
        page.get_by_label("Fractions").fill("17")
        page.get_by_label("Fractions").press("Enter")
        page.wait_for_timeout(800)
    page.get_by_text("No connection").wait_for(timeout=30_000)
    with serving(folder=tmp_path, port=port):
        page.get_by_text("The server had begun anew").wait_for(timeout=LONG)
        assert page.get_by_label("Fractions").input_value() == "17"
    context.close()


def test_all_goes_by_keyboard(browser, served):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{served.url}/workspace")
    page.get_by_role("button", name="c-shape").first.wait_for(timeout=60_000)
    page.wait_for_timeout(300)
    page.keyboard.press("Tab")  # the first phantom has the focus already
    page.keyboard.press("Enter")
    axial = slice_of(page, "Axial")
    axial.wait_for(timeout=LONG)
    page.locator("main[data-ready]").wait_for(timeout=LONG)
    for _ in range(60):
        if page.evaluate("document.activeElement?.getAttribute('aria-label')") == "Axial slice":
            break
        page.keyboard.press("Tab")
    else:
        raise AssertionError("the slices cannot be reached")
    sagittal = slice_of(page, "Sagittal")
    before = now(sagittal)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert now(sagittal) == before + 2
    for _ in range(20):
        if page.evaluate("document.activeElement?.textContent") == "Steer":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("steering beams: done").wait_for(timeout=LONG)
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser, served, theme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": 1440, "height": 1100}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{served.url}/workspace")
    page.get_by_role("button", name="disc-2d").wait_for(timeout=60_000)
    found = serious(Axe().run(page))
    open_phantom(page, served.url)
    plan(page)
    for tab in ("Beams", "Objectives", "Goals"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(200)
        found += serious(Axe().run(page))
    assert found == []
    context.close()


def serious(results):
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:200]}"
        for v in results.response["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("width", [1024, 1180, 1440, 1920, 2560])
def test_no_layout_breaks(browser, served, width):
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    open_phantom(page, served.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for plane in ("Axial", "Coronal", "Sagittal"):
        box = slice_of(page, plane).bounding_box()
        assert box["width"] >= 200
        assert box["height"] >= 200
    context.close()
