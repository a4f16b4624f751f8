"""The gamma index of two smooth doses on 100^3 voxels, with pymedphys in the same run.

pip install -e ".[gamma-bench]"
python benchmarks/gamma.py
python benchmarks/gamma.py --write tests/regression/gamma_pymedphys.toml
    also runs the pairs under DOSEGRAD_DATA and writes what pymedphys finds, for the tests
"""

import argparse
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pymedphys
from measure import measure

from dosegrad import Dose, Grid, gamma
from dosegrad.io.dicom.doses import read_dose

#: Name, reference file, evaluated file, percent, distance (mm), local.
PAIRS = [
    (name, reference, evaluated, size, size, local)
    for name, reference, evaluated in (
        ("square-dose", "GeometricSquare_Reference", "GeometricSquare_Evaluated"),
        ("square-distance", "GeometricSquare_Reference", "GeometricSquare_Evaluated"),
        ("prostate", "ProstateIMRT_Reference", "ProstateIMRT_Evaluated"),
    )
    for size, local in ((1, True), (2, True), (3, False))
]
ENDINGS = {"square-dose": "_DD_Test", "square-distance": "_DTA_Test", "prostate": ""}
EVERY = {"smooth": 601}


def smooth_doses():
    """Two doses of 60 Gy with penumbras of some 12 mm, half a millimetre apart; 2 mm voxels."""
    axis = (np.arange(100) - 49.5) * 2.0
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)

    def ball(z, y, x, edge, width):
        return 0.5 - 0.5 * np.tanh((np.sqrt(z**2 + (1.1 * y) ** 2 + (0.9 * x) ** 2) - edge) / width)

    def hot(size):
        return 8.0 * np.exp(-((x - 20) ** 2 + (y + 10) ** 2 + z**2) / size)

    wave = 0.25 * np.sin(x / 7) * np.cos(y / 9)
    reference = 60.0 * ball(z, y, x, 55.0, 6.0) + hot(800.0)
    evaluated = 60.35 * ball(z - 0.4, y + 0.3, x - 0.5, 55.3, 6.15) + hot(790.0) + wave
    grid = Grid((100, 100, 100), (2.0, 2.0, 2.0), (axis[0], axis[0], axis[0]))
    return Dose(grid, reference), Dose(grid, evaluated)


def peer(reference, evaluated, *, percent, distance, threshold, local):
    """Gamma by pymedphys; axes with one voxel are left out, as it wants them."""
    axes, arrays = [], []
    for dose in (reference, evaluated):
        long = [n > 1 for n in dose.grid.shape]
        every = dose.grid.axis_coordinates()
        axes.append(tuple(a for a, keep in zip(every, long, strict=True) if keep))
        arrays.append(dose.array.squeeze())
    found = pymedphys.gamma(
        axes[0], arrays[0], axes[1], arrays[1], percent, distance,
        lower_percent_dose_cutoff=threshold, interp_fraction=10, max_gamma=2, local_gamma=local,
        ram_available=2**29,
    )  # fmt: skip
    return found.reshape(reference.grid.shape)


def entry(name, found, *, threshold, percent, distance, local, files=()):
    """One table of the file that the tests read."""
    rows = found.reshape(-1, found.shape[-1]) if found.shape[0] == 1 else found
    passed = [int(np.count_nonzero(row <= 1)) for row in rows]
    values = found[np.isfinite(found)]
    every = EVERY.get(name, max(1, values.size // 100))
    lines = [f'[[case]]\nname = "{name}"']
    if files:
        lines.append(f'reference = "{files[0]}"\nevaluated = "{files[1]}"')
    lines += [
        f"percent = {percent}\ndistance = {distance}\nthreshold = {threshold}",
        f"local = {str(local).lower()}",
        f"n_evaluated = {values.size}\nn_passed = {sum(passed)}",
        f"passed_by_plane = {passed}\nevery = {every}",
        f"gamma = [{', '.join(f'{v:.7g}' for v in values[::every])}]\n",
    ]
    return "\n".join(lines)


def compare_speed():
    """Prints what each search costs and where it differs from pymedphys; gives its gamma."""
    doses = smooth_doses()
    options = {"percent": 1, "distance": 1, "threshold": 10, "local": False}
    found, peer_cost = measure(lambda: peer(*doses, **options))
    inside = np.isfinite(found)
    print(f"{inside.sum()} of {found.size} voxels, 1 %/1 mm, 2 mm voxels; CPU s (wall s), MB")
    print(f"pymedphys {version('pymedphys')}: {peer_cost.cpu_s:.2f} ({peer_cost.wall_s:.2f}), "
          f"{peer_cost.growth_mb:.0f}; {np.mean(found[inside] <= 1):.4%} pass")  # fmt: skip
    for kind in ("sampled", "exact"):
        gamma(*doses, percent=1, distance=1, interpolation=kind, mask=inside)  # compiles
        ours, cost = measure(lambda kind=kind: gamma(*doses, **options, interpolation=kind))
        differ = np.count_nonzero((ours.map <= 1)[inside] != (found <= 1)[inside])
        print(f"{kind}: {cost.cpu_s:.2f} ({cost.wall_s:.2f}), {cost.growth_mb:.0f}; "
              f"{ours.pass_rate:.4%} pass; CPU ratio {peer_cost.cpu_s / cost.cpu_s:.0f}; verdicts "
              f"differ in {differ / inside.sum():.4%}, gamma by at most "
              f"{np.abs(ours.map - found)[inside].max():.2g}")  # fmt: skip
    return found


def write(path, smooth):
    """Writes what pymedphys finds."""
    folder = Path(os.environ["DOSEGRAD_DATA"]) / "dicom" / "agnew_gamma_1mm"
    parts = [
        f"# Gamma by pymedphys {version('pymedphys')}, interp_fraction 10, max_gamma 2; written by",
        "# benchmarks/gamma.py. gamma: each `every`-th evaluated voxel. Tolerances and their",
        "# reasons are in test_gamma_pymedphys.py.\n",
        entry("smooth", smooth, threshold=10, percent=1, distance=1, local=False),
    ]
    for name, reference, evaluated, percent, distance, local in PAIRS:
        files = f"{reference}_1mmPx.dcm", f"{evaluated}_1mmPx{ENDINGS[name]}.dcm"
        doses = [read_dose(folder / file).dose for file in files]
        options = {"percent": percent, "distance": distance, "threshold": 20, "local": local}
        parts.append(entry(name, peer(*doses, **options), **options, files=files))
    Path(path).write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--write")
    arguments = parser.parse_args()
    result = compare_speed()
    if arguments.write:
        write(arguments.write, result)
