"""Planner 2D: from the move of a beam to the picture, measured in the browser.

    python benchmarks/planner2d_latency.py [--moves 120]

A headless Chromium drags a beam around the patient, 40 moves a second at most; the page itself
notes the time from each pointer event to the drawn picture, and to the frame that shows it. The
server runs in a process of its own, as with ``dosegrad web``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import threading
import time
from math import cos, radians, sin
from multiprocessing.connection import Connection

import numpy as np
from browsing import find_browser

from dosegrad.web.security import Access
from dosegrad.web.server import make_server

VIEW, RING = 1.38, 0.625  # of the page: width of the view and radius of the handles


def plan(n: int, energy: str) -> str:
    beams = [
        # a width of its own for each run: the server keeps the doses of beams that it has seen
        {"gantry": 360.0 * k / n, "width": 80 + n, "length": 80, "mu": 60, "energy": energy}
        for k in range(n)
    ]
    shape = {"kind": "ellipse", "x": 0, "y": 0, "rx": 30, "ry": 30}
    structures = [{"name": "Target", "role": "target", "shape": shape}]
    organ = {"name": "Organ", "role": "organ", "shape": {**shape, "y": 60, "rx": 15, "ry": 15}}
    section = {"kind": "water", "semi_x": 150, "semi_y": 150}
    goals = ["Target: D95% >= 1.9 Gy", "Organ: Dmean <= 1 Gy"]
    return json.dumps(
        {"section": section, "structures": [*structures, organ], "beams": beams, "goals": goals}
    )


def measure(browser, url: str, n: int, energy: str, moves: int) -> dict[str, np.ndarray]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(
        f"sessionStorage.setItem('dosegrad-planner2d', {json.dumps(plan(n, energy))})"
    )
    page.goto(url)
    page.locator("main[data-state=settled]").wait_for(timeout=120_000)
    page.wait_for_timeout(1000)
    box = page.locator(".stage").bounding_box()
    x0, y0 = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    radius = box["width"] * RING / VIEW

    def at(angle: float) -> tuple[float, float]:
        return x0 + radius * sin(radians(angle)), y0 - radius * cos(radians(angle))

    page.mouse.move(*at(0))
    page.mouse.down()
    for k in range(10):
        page.mouse.move(*at(0.7 * k))
    page.evaluate("for (const list of Object.values(window.dosegradLatency)) list.length = 0")
    for k in range(moves):
        page.mouse.move(*at(7 + 1.3 * k))
        page.wait_for_timeout(25)
    page.mouse.up()
    page.locator("main[data-state=settled]").wait_for(timeout=120_000)
    found = page.evaluate("window.dosegradLatency")
    page.close()
    return {name: np.array(values) for name, values in found.items()}


def serve(line: Connection) -> None:
    """A server that tells its port, and ends with its parent."""
    server = make_server(port=0, host="127.0.0.1", folder=None, access=Access())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    line.send(server.servers[0].sockets[0].getsockname()[1])
    line.recv()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=120)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = find_browser()
    spawn = multiprocessing.get_context("spawn")
    line, other = spawn.Pipe()
    server = spawn.Process(target=serve, args=(other,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{line.recv()}"
    print(f"cores {os.cpu_count()}, load {os.getloadavg()[0]:.1f}; milliseconds, median / 95 %")
    print("beams  energy    server        move to drawn   move to shown   pictures")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        measure(browser, url, 2, "6 MV", 20)  # all compiled and loaded
        for energy in ("6 MV", "protons"):
            for n in (1, 4, 12):
                found = measure(browser, url, n, energy, options.moves)
                cells = [
                    f"{np.median(found[k]):5.1f} / {np.percentile(found[k], 95):5.1f}"
                    for k in ("server", "drawn", "shown")
                ]
                print(f"{n:5d}  {energy:8}  {'   '.join(cells)}   {found['drawn'].size:5d}")
        browser.close()
    line.send(None)
    server.join(timeout=5)


if __name__ == "__main__":
    main()
