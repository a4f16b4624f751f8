"""The workspace: from a trade-off slider to the plan on the page, in headless Chromium.

    python benchmarks/workspace_navigation.py [--phantom prostate]

Makes a plan and a front of plans in the page, moves every slider, and prints how long it took from
each move until dose, histograms and goals of the chosen plan had come.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from browsing import served_page

LIMITS = (80, 60, 40, 30, 20, 60, 100)  # percent of each range
PATIENCE = 900_000


def explore(page, url: str, phantom: str) -> None:
    """A plan of the phantom, and the front around it."""
    settled = page.locator("main[data-state=settled]")
    page.goto(f"{url}/workspace")
    settled.wait_for()
    page.get_by_role("button", name=phantom).first.click()
    page.locator("main[data-ready]").wait_for()
    settled.wait_for()
    for label in ("Spot spacing, mm", "Layer spacing, mm"):
        page.get_by_label(label, exact=True).fill("8")
        page.get_by_label(label, exact=True).press("Enter")
    page.get_by_label("Dose grid").select_option("5")
    for name in ("Optimise", "Explore trade-offs"):
        start = time.monotonic()
        page.get_by_role("button", name=name, exact=True).click()
        settled.wait_for()
        print(f"{name}: {time.monotonic() - start:.1f} s")


def navigate(page) -> np.ndarray:
    """Times of all moves, ms."""
    sliders = page.get_by_role("slider", name="Limit of")
    for k in range(sliders.count()):
        for percent in LIMITS:
            sliders.nth(k).fill(str(percent))
            page.locator("main[data-state=settled]").wait_for()
    return np.array(page.evaluate("window.dosegradNavigation"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantom", default="prostate")
    options = parser.parse_args()
    with served_page(folder=None) as (page, url):
        page.set_default_timeout(PATIENCE)
        explore(page, url, options.phantom)
        times = navigate(page)
        print(
            f"{times.size} moves: median {np.median(times):.0f} ms, "
            f"95 % {np.percentile(times, 95):.0f} ms, at most {times.max():.0f} ms"
        )


if __name__ == "__main__":
    main()
