"""The workspace: frames a second while scrolling through a CT of 512 x 512 x 200 voxels.

    python benchmarks/workspace_scroll.py [--seconds 5]

A synthetic head and body with structures is written as a matRad patient, opened in a headless
Chromium, and scrolled with the wheel as fast as frames come; the page notes when it has drawn.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from browsing import served_page

SHAPE, SPACING = (200, 512, 512), (1.5, 0.9, 0.9)


def write_patient(path: Path) -> None:
    """A body with lungs, a cord and a target, with noise, as a matRad file."""
    from scipy.io import savemat

    nz, ny, nx = SHAPE
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-1 : 1 : ny * 1j, -1 : 1 : nx * 1j]
    body = (x / 0.85) ** 2 + (y / 0.6) ** 2 < 1
    lungs = ((np.abs(x) - 0.4) / 0.25) ** 2 + (y / 0.35) ** 2 < 1
    target = (x - 0.3) ** 2 + y**2 < 0.02
    cord = x**2 + (y - 0.4) ** 2 < 0.003
    plane = np.where(body, 40.0, -1000.0)
    plane[lungs] = -750.0
    plane[target] = 30.0
    plane[cord] = 20.0
    cube = np.empty((ny, nx, nz))
    for k in range(nz):
        cube[:, :, k] = plane + rng.normal(0, 15, plane.shape)
    dz, dy, dx = SPACING
    places = [
        (np.arange(n) - (n - 1) / 2) * s for n, s in zip((nx, ny, nz), (dx, dy, dz), strict=True)
    ]
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = cube
    ct = {
        "cubeHU": cell,
        "cubeDim": np.array([ny, nx, nz], dtype=float),
        "resolution": {"x": dx, "y": dy, "z": dz},
        "x": places[0], "y": places[1], "z": places[2],
        "numOfCtScen": 1.0,
    }  # fmt: skip
    rows = []
    for number, (name, kind, mask) in enumerate(
        [
            ("Body", "EXTERNAL", body),
            ("Lungs", "OAR", lungs),
            ("PTV", "TARGET", target),
            ("Cord", "OAR", cord),
        ]
    ):
        inside = np.zeros(cube.shape, dtype=bool)
        inside[:, :, 20:180] = mask[:, :, None]
        voxels = np.flatnonzero(inside.ravel(order="F")) + 1.0
        cell = np.empty((1, 1), dtype=object)
        cell[0, 0] = voxels[:, None]
        wishes = np.empty((0, 0))
        rows.append([float(number), name, kind, cell, {"Priority": float(number + 1)}, wishes])
    cst = np.empty((len(rows), 6), dtype=object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            cst[i, j] = value
    savemat(path, {"ct": ct, "cst": cst}, do_compression=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    write_patient(folder / "large.mat")
    with served_page(folder) as (page, url):
        page.goto(f"{url}/workspace")
        page.get_by_role("button", name="large.mat").click()
        start = time.monotonic()
        page.locator(".ws-slice").first.wait_for(timeout=300_000)
        page.locator("main[data-state=settled][data-ready]").wait_for(timeout=300_000)
        print(f"opened in {time.monotonic() - start:.1f} s")
        page.wait_for_timeout(3000)
        for plane in ("axial", "coronal", "sagittal"):
            times, drawing = page.evaluate(SCROLL, [plane, options.seconds])
            steps = np.diff(np.array(times))
            print(
                f"{plane:9} {1000 * (len(times) - 1) / (times[-1] - times[0]):5.1f} frames/s, "
                f"between frames {np.median(steps):.1f} ms, 95 % {np.percentile(steps, 95):.1f}, "
                f"drawing {np.median(drawing):.1f} ms"
            )
    shutil.rmtree(folder)


#: Turns the wheel once in each frame, and gives the times at which the page has drawn.
SCROLL = """async ([plane, seconds]) => {
  const view = document.querySelector(`.ws-slice.${plane}`);
  const frames = window.dosegradFrames;
  frames.length = window.dosegradDrawing.length = 0;
  const end = performance.now() + 1000 * seconds;
  let n = 0;
  while (performance.now() < end) {
    const deltaY = Math.floor(n++ / 90) % 2 ? -1 : 1;
    view.dispatchEvent(new WheelEvent("wheel", { deltaY, cancelable: true }));
    await new Promise(requestAnimationFrame);
  }
  return [frames.slice(), window.dosegradDrawing.slice()];
}"""


if __name__ == "__main__":
    main()
