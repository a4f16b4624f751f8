"""The workspace in a browser: by mouse, by keyboard, and when something goes wrong.

The page says on its main element whether all that it shows is there; tests wait for that, never
for a time.
"""

import os
import signal

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def page(clean_page, served):
    """The page with a small phantom; at the end the console must be clean."""
    open_phantom(clean_page, served.url)
    return clean_page


def open_phantom(page, url, name="disc-2d"):
    page.goto(f"{url}/workspace")
    settled(page)
    page.get_by_role("button", name=name).first.click()
    slice_of(page, "Axial").wait_for()
    settled(page)
    assert page.locator("main[data-ready]").count() == 1


def settled(page):
    """Waits until no work goes on and all that the page shows has come and is drawn."""
    page.locator("main[data-page=workspace][data-state=settled]").wait_for()


def coarse(page):
    """Settings that make a plan in little time."""
    while page.get_by_role("button", name="Remove beam 2").count():
        page.get_by_role("button", name="Remove beam 2").click()
        settled(page)
    for label, value in (
        ("Spot spacing, mm", "15"),
        ("Layer spacing, mm", "12"),
        ("Iterations at most", "20"),
    ):
        fill(page, label, value)
    page.get_by_label("Dose grid").select_option("6")
    settled(page)


def fill(page, label, value):
    box = page.get_by_label(label, exact=True)
    box.fill(str(value))
    box.press("Enter")


def press(page, name):
    """Press a button that begins work, and wait for its end."""
    page.get_by_role("button", name=name, exact=True).click()
    settled(page)


def log(page):
    return page.get_by_role("log").inner_text()


def plan(page):
    coarse(page)
    press(page, "Optimise")
    assert "optimising: done" in log(page)


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
    settled(page)
    assert now(coronal) < before
    first = axial.screenshot()
    page.get_by_label("CT window").select_option("Lung")
    settled(page)
    assert axial.screenshot() != first
    page.get_by_role("checkbox", name="Show Target").uncheck()
    page.get_by_role("button", name="Hide all").or_(
        page.get_by_role("button", name="Show all")
    ).click()


def test_a_plan_is_made_judged_and_exported(page, served):
    plan(page)
    page.get_by_role("tab", name="Goals").click()
    rows = page.locator(".ws-goals li")
    before = rows.count()
    page.get_by_label("New goal").fill("Body: Dmean <= 1000 Gy")
    press(page, "Add")
    assert rows.count() == before + 1
    assert "✓ met" in rows.last.inner_text()
    assert page.get_by_role("img", name="Dose-volume histogram").count() == 1
    assert page.get_by_role("img", name="Beam 1 at gantry").count() == 1
    page.get_by_label("Name to save under").fill("browser")
    for name in ("Save", "DICOM"):
        press(page, name)
    link = page.get_by_role("link", name="browser.npz")
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "browser.npz"
    assert served.get("/api/workspace/files?path=browser-dicom").status == 200


def test_one_of_several_structure_sets_is_chosen(clean_page, served, write_two_structure_sets):
    folder = served.folder / "sets"
    write_two_structure_sets(folder)
    clean_page.goto(f"{served.url}/workspace")
    settled(clean_page)
    clean_page.get_by_role("button", name="sets DICOM folder", exact=True).click()
    dialog = clean_page.get_by_role("dialog", name="Choose a structure set")
    dialog.get_by_role("button", name="later.dcm").wait_for()
    clean_page.keyboard.press("Escape")
    settled(clean_page)
    assert dialog.count() == 0
    clean_page.get_by_role("button", name="sets DICOM folder", exact=True).click()
    dialog.get_by_role("button", name="later.dcm").click()
    slice_of(clean_page, "Axial").wait_for()
    settled(clean_page)
    assert clean_page.get_by_label("Show Later").count() == 1
    clean_page.reload()
    slice_of(clean_page, "Axial").wait_for()
    settled(clean_page)
    assert clean_page.get_by_label("Show Later").count() == 1


def test_a_name_that_leads_out_is_refused_in_words(page, served):
    plan(page)
    page.get_by_label("Name to save under").fill("../escaped")
    press(page, "Save")
    page.get_by_text("leads out of the folder").first.wait_for()
    assert not (served.folder.parent / "escaped.npz").exists()


def test_nothing_is_lost_unasked(page, served):
    (served.folder / "damaged.npz").write_bytes(b"no plan")
    plan(page)
    assert page.get_by_label("Name to save under").input_value() == "disc-2d"
    page.get_by_label("Name to save under").fill("kept")
    words = page.locator(".ws-facts").inner_text()
    badge = page.locator(".ws-run .ws-badge")
    assert badge.count() == 0

    page.get_by_role("button", name="Open …").click()
    page.get_by_role("button", name="damaged.npz").click()
    unsaved = page.get_by_role("dialog", name="The plan is not saved")
    unsaved.get_by_role("button", name="Stay here").click()
    settled(page)
    assert page.locator(".ws-facts").inner_text() == words
    page.get_by_role("button", name="Open …").click()
    page.get_by_role("button", name="damaged.npz").click()
    unsaved.get_by_role("button", name="Open without saving").click()
    page.get_by_text("opening: ").wait_for()
    settled(page)
    assert page.locator(".ws-facts").inner_text() == words

    fill(page, "Beam 1: gantry angle", 90)
    settled(page)
    assert badge.inner_text() == "plan is of other beams"
    press(page, "Save")
    page.get_by_role("button", name="Save", exact=True).click()
    replace = page.get_by_role("dialog", name="Replace it?")
    replace.get_by_role("button", name="Keep it").click()
    settled(page)
    assert log(page).count("saving: done") == 1
    page.get_by_role("button", name="Save", exact=True).click()
    replace.get_by_role("button", name="Replace").click()
    page.get_by_text("saving: done").nth(1).wait_for()
    settled(page)

    page.get_by_role("button", name="Open …").click()
    page.get_by_role("button", name="kept.npz").click()
    page.get_by_text("opening: done").nth(1).wait_for()
    settled(page)
    assert badge.inner_text() == "plan is of other beams"


def test_a_robust_plan_has_bands(page):
    coarse(page)
    page.get_by_label("Robust against set-up and range").check()
    press(page, "Optimise")
    assert "optimising: done" in log(page)
    bands = page.get_by_text("bands: ")
    assert bands.count() == 1
    scenarios = int(bands.inner_text().split()[1])
    assert scenarios >= 9
    assert page.locator(".ws-facts").get_by_text("Scenarios").count() == 1
    with_bands = page.locator(".ws-curves canvas").screenshot()
    page.get_by_role("checkbox", name="Show Target").uncheck()
    settled(page)
    assert page.locator(".ws-curves canvas").screenshot() != with_bands


def test_spots_move_while_the_plan_is_made(page):
    coarse(page)
    page.get_by_label("Spots find their places").check()
    settled(page)
    press(page, "Optimise")
    assert "optimising: done" in log(page)
    assert page.evaluate("window.dosegradMoves") > 0
    view = page.get_by_role("img", name="Beam 1 at gantry")
    assert "moving" not in view.get_attribute("aria-label")


def test_engines_are_compared_with_a_gamma_map(page):
    plan(page)
    view = slice_of(page, "Axial")
    dose = view.screenshot()
    press(page, "Compare engines")
    assert "comparing engines: done" in log(page)
    facts = page.get_by_role("region", name="Comparison").inner_text()
    assert "Gamma 2 %/2 mm" in facts
    passing = float(facts.split("% pass")[0].split()[-1])
    assert 50 < passing <= 100
    assert page.get_by_role("button", name="Gamma").get_attribute("aria-pressed") == "true"
    gamma = view.screenshot()
    assert gamma != dose
    page.get_by_role("button", name="Difference").click()
    settled(page)
    assert view.screenshot() not in (dose, gamma)


def test_trade_offs_are_explored_by_sliders(page):
    plan(page)
    press(page, "Explore trade-offs")
    assert "exploring trade-offs: done" in log(page)
    panel = page.get_by_role("region", name="Trade-offs")
    before = panel.locator(".number").all_inner_texts()
    assert len(before) >= 2
    assert panel.get_by_role("button", name="best", pressed=True).count() == 1
    panel.get_by_role("button", name="Balance all").click()
    settled(page)
    for slider in panel.get_by_role("slider").all():
        slider.fill("60")
        settled(page)
    after = panel.locator(".number").all_inner_texts()
    assert after != before
    assert page.evaluate("window.dosegradNavigation.length") >= len(before)
    assert page.locator(".ws-facts").count() == 1


def test_objectives_are_edited_and_mistakes_are_told(page):
    page.get_by_role("tab", name="Objectives").click()
    press(page, "+ Objective")
    last = page.locator(".ws-wishes li").last
    last.get_by_role("combobox").nth(1).select_option("max-dvh")
    settled(page)
    volume = last.get_by_label("volume")
    volume.fill("7")
    volume.press("Enter")
    page.get_by_text("not understood").wait_for()
    volume.fill("0.3")
    volume.press("Enter")
    last.get_by_role("button", name="Remove objective").click()


def test_work_is_cancelled_and_the_plan_stays(page):
    plan(page)
    words, before = page.locator(".ws-facts").inner_text(), slice_of(page, "Axial").screenshot()
    fill(page, "Spot spacing, mm", 2)
    fill(page, "Layer spacing, mm", 1)
    page.get_by_label("Robust against set-up and range").check()
    page.get_by_label("Dose grid").select_option("2")
    page.get_by_role("button", name="Optimise", exact=True).click()
    page.get_by_role("progressbar").wait_for()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_text("Cancelled.").wait_for()
    settled(page)
    assert page.get_by_role("button", name="Optimise", exact=True).is_enabled()
    assert page.locator(".ws-facts").inner_text() == words
    assert slice_of(page, "Axial").screenshot() == before


def test_a_killed_process_is_told_of_and_work_goes_on(page, workers):
    plan(page)
    words = page.locator(".ws-facts").inner_text()
    fill(page, "Spot spacing, mm", 2)
    fill(page, "Layer spacing, mm", 1)
    page.get_by_label("Dose grid").select_option("2")
    page.get_by_role("button", name="Optimise", exact=True).click()
    page.get_by_role("progressbar").wait_for()
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    page.get_by_text("ended unexpectedly").first.wait_for()
    settled(page)
    assert page.locator(".ws-facts").inner_text() == words
    fill(page, "Spot spacing, mm", 15)
    page.get_by_label("Dose grid").select_option("6")
    settled(page)
    press(page, "Steer")
    assert log(page).count("steering beams: done") == 1


def test_a_reload_and_another_tab_show_the_same(page, served):
    plan(page)
    words = page.locator(".ws-facts").inner_text()
    page.reload()
    settled(page)
    assert page.locator(".ws-facts").inner_text() == words
    session = page.evaluate("JSON.parse(sessionStorage.getItem('dosegrad-workspace')).session")
    other = page.context.new_page()
    other.goto(f"{served.url}/workspace#{session}")
    settled(other)
    assert other.locator(".ws-facts").inner_text() == words
    page.get_by_text("2 pages show this workspace").wait_for()


def test_a_server_that_begins_anew_opens_the_case_again(new_context, serving, tmp_path):
    page = new_context().new_page()
    with serving(folder=tmp_path) as server:
        port = server.port
        open_phantom(page, server.url)
        fill(page, "Fractions", 17)
        settled(page)
    page.get_by_text("No connection").wait_for()
    with serving(folder=tmp_path, port=port):
        page.get_by_text("The server had begun anew").wait_for()
        settled(page)
        assert page.get_by_label("Fractions").input_value() == "17"


def test_all_goes_by_keyboard(new_context, served):
    page = new_context().new_page()
    page.goto(f"{served.url}/workspace")
    settled(page)
    page.keyboard.press("Tab")  # the first phantom has the focus already
    page.keyboard.press("Enter")
    axial = slice_of(page, "Axial")
    axial.wait_for()
    settled(page)
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
    settled(page)
    assert now(sagittal) == before + 2
    for _ in range(20):
        if page.evaluate("document.activeElement?.textContent") == "Steer":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    settled(page)
    assert "steering beams: done" in log(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(new_context, served, theme):
    from axe_playwright_python.sync_playwright import Axe

    page = new_context(viewport={"width": 1440, "height": 1100}, color_scheme=theme).new_page()
    page.goto(f"{served.url}/workspace")
    settled(page)
    found = serious(Axe().run(page))
    open_phantom(page, served.url)
    plan(page)
    for tab in ("Beams", "Objectives", "Goals"):
        page.get_by_role("tab", name=tab).click()
        settled(page)
        found += serious(Axe().run(page))
    assert found == []


def serious(results):
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:200]}"
        for v in results.response["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("width", [1024, 1180, 1440, 1920, 2560])
def test_no_layout_breaks(new_context, served, width):
    page = new_context(viewport={"width": width, "height": 900}).new_page()
    open_phantom(page, served.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for plane in ("Axial", "Coronal", "Sagittal"):
        box = slice_of(page, plane).bounding_box()
        assert box["width"] >= 200
        assert box["height"] >= 200
