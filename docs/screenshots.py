"""Pictures of the pages for the documentation: python docs/screenshots.py [NAME ...]

Needs Chromium or Chrome. Writes ``docs/images/<name>-<theme>.png``, in few colours to keep them
small.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "benchmarks"))
from browsing import SIZE, served_browser  # noqa: E402

IMAGES = DOCS / "images"


def settled(page: Page) -> None:
    """Wait until the page shows all that belongs to its plan, and says nothing more."""
    page.locator("main[data-state=settled]").wait_for(timeout=900_000)
    page.locator(".toast").wait_for(state="detached", timeout=60_000)


def planner2d(page: Page, url: str) -> None:
    """The four-field box, solved."""
    page.goto(url)
    settled(page)
    page.get_by_role("combobox", name="Lesson").select_option("box")
    settled(page)
    page.get_by_role("button", name="+ Beam").click()
    settled(page)
    page.get_by_role("button", name="Oppose").click()
    settled(page)
    page.get_by_role("button", name="Optimise weights").click()
    settled(page)
    page.evaluate("scrollTo(0, 0)")


def probe(page: Page, url: str) -> None:
    """Lung, and the factors of the dose at a point behind it."""
    page.goto(url)
    settled(page)
    page.get_by_role("combobox", name="Lesson").select_option("tissue")
    settled(page)
    page.get_by_role("button", name="Probe").click()
    settled(page)
    box = page.locator(".stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.64 * box["width"], box["y"] + 0.5 * box["height"])
    settled(page)


def workspace(page: Page, url: str) -> None:
    """A plan for the IMPT section; in dark colours compared with the other engine."""
    page.goto(f"{url}/workspace")
    settled(page)
    page.get_by_role("button", name="impt-2d").click()
    page.locator("main[data-ready]").wait_for(timeout=120_000)
    settled(page)
    page.get_by_role("button", name="Optimise", exact=True).click()
    settled(page)
    if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"):
        page.get_by_role("button", name="Compare engines").click()
        settled(page)
    page.get_by_role("tab", name="Goals").click()
    settled(page)


PAGES = {"planner2d": planner2d, "probe": probe, "workspace": workspace}


def main() -> None:
    """Take every picture, light and dark."""
    with served_browser(None) as (browser, url):
        for name in sys.argv[1:] or PAGES:
            prepare = PAGES[name]
            for theme in ("light", "dark"):
                page = browser.new_page(viewport=SIZE, color_scheme=theme)
                prepare(page, url)
                picture = Image.open(io.BytesIO(page.screenshot()))
                path = IMAGES / f"{name}-{theme}.png"
                picture.convert("RGB").resize((1080, 675), Image.Resampling.LANCZOS).quantize(
                    256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
                ).save(path, optimize=True)
                print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")
                page.close()


if __name__ == "__main__":
    main()
