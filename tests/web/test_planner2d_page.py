"""Planner 2D in a browser: by mouse, by keyboard, and when something goes wrong.

The page says on its main element whether it shows all that belongs to its plan; tests wait for
that, never for a time.
"""

import base64
import json
import zlib
from itertools import pairwise

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def page(clean_page, served):
    """The page, open and with its first dose; at the end the console must be clean."""
    open_page(clean_page, served.url)
    return clean_page


def open_page(page, url):
    page.goto(url)
    settled(page)


def settled(page):
    """Waits until the page shows its plan with dose, goals and curves."""
    page.locator("main.planner[data-state=settled]").wait_for()


def n_beams(page):
    return page.locator(".picks.beams li").count()


def plan(page):
    """The plan that the page keeps; settled changes only."""
    return json.loads(page.evaluate("sessionStorage.getItem('dosegrad-planner2d') ?? 'null'"))


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, locator, dx, dy):
    grab(page, locator, dx, dy)
    settled(page)


def grab(page, locator, dx, dy):
    x, y = middle(locator)
    page.mouse.move(x, y)
    page.mouse.down()
    for k in range(1, 7):
        page.mouse.move(x + dx * k / 6, y + dy * k / 6)
    page.mouse.up()


def head(page, number):
    return page.get_by_role("slider", name=f"Beam {number}: gantry angle")


def add_beam(page):
    page.get_by_role("button", name="+ Beam").click()
    settled(page)


def choose_lesson(page, name):
    page.get_by_role("combobox", name="Lesson").select_option(name)
    settled(page)


def optimise(page):
    page.get_by_role("button", name="Optimise weights").click()
    settled(page)


def test_a_beam_is_dragged_and_its_dose_follows(page):
    before = page.get_by_label("Section of the patient").screenshot()
    drag(page, head(page, 1), 160, 60)
    assert page.evaluate("window.dosegradLatency.drawn.length") >= 1
    angle = plan(page)["beams"][0]["gantry"]
    assert 20 < angle < 80
    assert head(page, 1).get_attribute("aria-valuenow") == str(int(angle))
    assert page.get_by_label("Section of the patient").screenshot() != before


def test_a_field_is_resized_by_its_edge(page):
    drag(page, page.get_by_role("slider", name="Beam 1: field width").last, 30, 0)
    assert plan(page)["beams"][0]["width"] > 85


def test_the_target_is_moved_and_resized(page):
    drag(page, page.locator("[data-resize=Target]"), 25, 20)
    shape = plan(page)["structures"][0]["shape"]
    assert shape["rx"] > 38
    x, y = middle(page.locator("[data-structure=Target]"))
    page.mouse.move(x + 15, y - 12)
    page.mouse.down()
    page.mouse.move(x + 40, y - 30, steps=4)
    page.mouse.up()
    settled(page)
    moved = plan(page)["structures"][0]["shape"]
    assert moved["x"] > 3
    assert moved["y"] < -3
    assert moved["rx"] == shape["rx"]


def test_the_isocentre_is_moved_within_the_target(page):
    drag(page, page.locator(".isocentre"), 30, -18)
    after = plan(page)
    assert after["isocentre"][0] > 8
    assert after["isocentre"][1] < -4
    assert after["structures"][0]["shape"]["x"] == 0


def test_an_organ_is_drawn(page):
    page.locator(".pick.organ").click()
    page.get_by_role("button", name="Draw").click()
    x, y = middle(page.locator(".stage"))
    corners = [(-90, -60), (-40, -70), (-30, -20), (-80, -10), (-95, -40)]
    page.mouse.move(x + corners[0][0], y + corners[0][1])
    page.mouse.down()
    for dx, dy in corners[1:]:
        page.mouse.move(x + dx, y + dy, steps=8)
    page.mouse.up()
    settled(page)
    shape = plan(page)["structures"][1]["shape"]
    assert shape["kind"] == "polygon"
    assert len(shape["points"]) >= 8


def test_a_finger_turns_a_beam_too(new_context, served):
    context = new_context(viewport={"width": 1100, "height": 900}, has_touch=True)
    page = context.new_page()
    open_page(page, served.url)
    x, y = middle(head(page, 2))
    touch = context.new_cdp_session(page)

    def send(kind, *points):
        content = {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]}
        touch.send("Input.dispatchTouchEvent", content)

    send("touchStart", (x, y))
    for k in range(1, 6):
        send("touchMove", (x - 10 * k, y + 24 * k))
    send("touchEnd")
    settled(page)
    assert plan(page)["beams"][1]["gantry"] > 100


def test_weights_are_optimised_and_undone(page):
    optimise(page)
    page.get_by_text("Weights optimised").wait_for()
    after = [beam["mu"] for beam in plan(page)["beams"]]
    assert after != [75, 75, 75, 75]
    page.keyboard.press("Control+z")
    assert [beam["mu"] for beam in plan(page)["beams"]] == [75, 75, 75, 75]
    page.get_by_role("button", name="Redo").click()
    assert [beam["mu"] for beam in plan(page)["beams"]] == after


def test_a_lesson_is_done(page):
    choose_lesson(page, "opposed")
    page.get_by_text("exactly two beams").wait_for()
    assert not page.get_by_text("Lesson done").is_visible()
    width = page.get_by_label("Field width, mm", exact=True)
    width.fill("86")
    width.press("Enter")
    length = page.get_by_label("Field length, mm", exact=True)
    length.fill("86")
    length.press("Enter")
    page.get_by_role("button", name="Oppose").click()
    settled(page)
    optimise(page)
    assert page.get_by_text("Lesson done").is_visible()


def test_every_lesson_and_section_opens(page):
    for name in ("wedges", "box", "cord", "tissue", "protons"):
        choose_lesson(page, name)
        page.get_by_role("button", name="Hint").click()
        assert plan(page)["lesson"] == name
    for kind in ("thorax", "head", "prostate", "water"):
        page.get_by_role("combobox", name="Patient").select_option(kind)
        settled(page)
        assert plan(page)["section"]["kind"] == kind


def test_the_probe_shows_every_factor(page):
    page.get_by_role("button", name="Probe").click()
    x, y = middle(page.locator(".stage"))
    page.mouse.move(x + 12, y - 8)
    table = page.get_by_role("table", name="Factors of the dose of beam 1")
    settled(page)
    for symbol in ("MU", "D0′", "Sc", "Sp", "TPR", "OAR", "P", "ISF"):
        assert table.get_by_role("rowheader", name=symbol, exact=True).count() == 1
    assert "(0, 0)" not in page.locator(".probe-panel header").inner_text()
    page.get_by_role("button", name="Protons").click()
    settled(page)
    assert table.get_by_role("rowheader", name="SOBP").count() == 1


@pytest.mark.parametrize(
    ("choice", "name", "holds"),
    [
        ("csv", "dvh.csv", b'"Target (% of volume)"'),
        ("dose", "dose.csv", b"dose (Gy)"),
        ("json", "planner-2d.json", b'"beams"'),
        ("toml", "plan.toml", b"[beams]"),
        ("png", "planner-2d.png", b"\x89PNG"),
    ],
)
def test_results_are_exported(page, choice, name, holds):
    with page.expect_download() as expected:
        page.get_by_label("Export or share").select_option(choice)
    assert expected.value.suggested_filename == name
    content = expected.value.path().read_bytes()
    assert holds in content
    if choice == "dose":
        assert content.count(b"\n") == 201


def test_an_address_carries_the_plan(page, served):
    add_beam(page)
    page.get_by_label("Export or share").select_option("link")
    page.wait_for_url("**#plan=*")
    other = page.context.new_page()
    open_page(other, page.url)
    other.locator(".picks.beams li").nth(4).wait_for()
    assert n_beams(other) == 5


@pytest.mark.parametrize(
    ("typed", "angle"), [("-10", 350), ("725.5", 5.5), ("360", 0), ("359.9", 359.9)]
)
def test_an_angle_turns_beyond_the_circle(page, typed, angle):
    box = page.get_by_label("Gantry, °", exact=True)
    box.fill(typed)
    box.press("Enter")
    page.locator(".picks.beams li").first.get_by_text(f"{angle:g}°", exact=True).wait_for()
    settled(page)
    assert plan(page)["beams"][0]["gantry"] == angle
    assert box.input_value() == f"{angle:g}"


def test_a_number_beyond_its_limits_is_told(page):
    box = page.get_by_label("Field width, mm", exact=True)
    box.fill("5000")
    box.press("Enter")
    page.get_by_text("5000 is not possible: 10 to 300 mm").wait_for()
    settled(page)
    assert plan(page)["beams"][0]["width"] == 300


def test_the_target_stays_in_water_and_is_told_where_it_cannot(page):
    target = page.locator("[data-structure=Target]")
    target.focus()
    for _ in range(30):
        page.keyboard.press("Shift+ArrowLeft")
    settled(page)
    assert plan(page)["structures"][0]["shape"]["x"] == -150
    assert page.get_by_text("outside the patient").count() == 0
    page.get_by_role("combobox", name="Patient").select_option("thorax")
    settled(page)
    target.focus()
    for _ in range(30):
        page.keyboard.press("Shift+ArrowDown")
    settled(page)
    assert page.get_by_text("outside the patient").count() == 3  # in the list, and in two goals
    assert page.get_by_text("there is no Organ").count() == 1


def test_a_plan_file_without_beams_is_explained(page):
    for _ in range(4):
        page.get_by_role("button", name="Remove beam").click()
        settled(page)
    page.get_by_label("Export or share").select_option("toml")
    page.get_by_text("the plan has no beam").wait_for()


def shared(content):
    """The end of an address that holds a plan."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(json.dumps(content).encode()) + packer.flush()
    return "#plan=" + base64.urlsafe_b64encode(packed).decode().rstrip("=")


BEAM = {"gantry": 0, "width": 80, "length": 80, "mu": 75, "energy": "6 MV", "wedge": 0}


@pytest.mark.parametrize(
    ("address", "message", "beams"),
    [
        ("#plan=%%%", "no plan that can be read", 4),
        ("#plan=AAAA", "no plan that can be read", 4),
        ("#plan=" + "A" * 50_000, "no plan that can be read", 4),
        (shared({"a": 1}), "no plan that can be read", 4),
        (shared([1] * 3_000_000), "no plan that can be read", 4),
        (shared({"beams": [BEAM] * 2000, "structures": []}), "nearest that is possible", 12),
        (
            shared({"beams": [{**BEAM, "mu": 1e308, "width": -1}], "structures": []}),
            "nearest that is possible",
            1,
        ),
        (
            shared({"beams": [], "structures": [], "goals": ["Body: D999% >= 1 Gy"]}),
            "nearest that is possible",
            0,
        ),
    ],
    ids=["no-base64", "no-deflate", "long", "no-plan", "bomb", "beams", "numbers", "goal"],
)
def test_a_hostile_link_is_refused_or_made_to_fit(clean_page, served, address, message, beams):
    clean_page.goto(f"{served.url}/{address}")
    clean_page.get_by_text(message).wait_for()
    settled(clean_page)
    assert n_beams(clean_page) == beams


def test_plans_are_opened_from_files_and_bad_ones_refused(page, tmp_path):
    with page.expect_download() as expected:
        page.get_by_label("Export or share").select_option("json")
    good = json.loads(expected.value.path().read_text())
    good["beams"] = good["beams"][:1]
    chooser = page.get_by_label("Plan file to open")
    for name, content, message in (
        ("broken.json", "{", "no JSON file"),
        ("other.json", '{"a": 1}', "no plan of Planner 2D"),
        ("huge.json", "[" * 300_000, "too large"),
        ("evil.json", '{"beams":[],"structures":[{"name":1,"shape":{}}]}', "no plan"),
    ):
        file = tmp_path / name
        file.write_text(content)
        chooser.set_input_files(file)
        page.get_by_text(message).wait_for()
    file = tmp_path / "gigabyte.json"
    with file.open("wb") as stream:
        stream.truncate(10**9)
    chooser.set_input_files(file)
    page.get_by_text("gigabyte.json is too large for a plan").wait_for()
    file = tmp_path / "good.json"
    file.write_text(json.dumps(good))
    chooser.set_input_files(file)
    page.locator(".picks.beams li").nth(1).wait_for(state="detached")
    assert n_beams(page) == 1


def test_a_wrong_goal_is_explained_and_changes_nothing(page):
    page.get_by_label("New goal").fill("Target is fine")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("Write a goal like").wait_for()
    page.get_by_label("New goal").fill("Target: D999% >= 1 Gy")
    page.get_by_role("button", name="Add", exact=True).click()
    settled(page)
    assert page.locator(".goals li").count() == 3
    page.get_by_label("New goal").fill("Body: Dmax <= 2.5 Gy")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("3 of 4 goals").wait_for()


def test_everything_can_be_done_by_keyboard(page):
    """From the top: skip link, first beam, its angle and width, the target, weights."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') "
                "?? document.activeElement.textContent.trim()"
            )
        )
    words = "\n".join(reached)
    for name in ("Beam 1: gantry angle", "Beam 1: field width", "Isocentre at", "Target: middle",
                 "Lesson", "Patient", "Probe", "+ Beam", "Optimise weights", "New goal",
                 "Export or share", "Resize"):  # fmt: skip
        assert name in words, name
    head(page, 1).focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert plan(page)["beams"][0]["gantry"] == 29
    page.get_by_role("slider", name="Beam 1: field width").last.focus()
    page.keyboard.press("ArrowRight")
    assert plan(page)["beams"][0]["width"] == 82
    page.locator("[data-structure=Target]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("+")
    shape = plan(page)["structures"][0]["shape"]
    assert (shape["y"], shape["rx"]) == (2, 34)
    before = plan(page)["beams"]
    page.get_by_role("button", name="Optimise weights").focus()
    page.keyboard.press("Enter")
    settled(page)
    assert plan(page)["beams"] != before


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(new_context, served, theme):
    from axe_playwright_python.sync_playwright import Axe

    page = new_context(color_scheme=theme, bypass_csp=True).new_page()
    open_page(page, served.url)
    choose_lesson(page, "cord")
    page.get_by_role("button", name="Probe").click()
    settled(page)
    found = Axe().run(page).response["violations"]
    serious = [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found
               if v["impact"] in ("serious", "critical")]  # fmt: skip
    assert serious == []


@pytest.mark.parametrize("width", [1024, 1280, 1440, 1920, 2560])
def test_the_layout_holds(new_context, served, width):
    page = new_context(viewport={"width": width, "height": 800}).new_page()
    open_page(page, served.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [page.locator(f".{part}").bounding_box() for part in ("left", "middle", "right")]
    for one, next_one in pairwise(boxes):
        assert one["x"] + one["width"] <= next_one["x"] + 1
    assert page.locator(".stage").bounding_box()["width"] > 350


def test_two_tabs_do_not_disturb_each_other(page, served):
    other = page.context.new_page()
    open_page(other, served.url)
    add_beam(other)
    assert n_beams(other) == 5
    assert n_beams(page) == 4


def test_a_restarted_server_finds_the_plan_as_it_was(new_context, serving):
    page = new_context().new_page()
    with serving() as first:
        port = first.port
        open_page(page, first.url)
        add_beam(page)
        assert n_beams(page) == 5
    page.get_by_text("No connection").wait_for()
    assert page.locator("main.planner[data-state=changing]").count() == 1
    grab(page, head(page, 2), -40, 60)  # goes on without the server
    turned = plan(page)["beams"][1]["gantry"]
    assert turned != 90
    with serving(port=port):
        settled(page)
        page.get_by_text("Connected", exact=True).wait_for()
        assert n_beams(page) == 5
        assert plan(page)["beams"][1]["gantry"] == turned
        seen = page.evaluate("window.dosegradLatency.drawn.length")
        drag(page, head(page, 1), 40, 10)
        assert page.evaluate("window.dosegradLatency.drawn.length") > seen


def test_the_theme_is_chosen_and_kept(page):
    page.get_by_role("button", name="Use dark colours").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    settled(page)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
