r"""Base data of ``generic-6mv`` and ``generic-10mv``, from published pencil kernels.

Run ``python -m dosegrad.commissioning.generic_photons`` to make the files again; it gives the same
numbers each time. What the machines are, and where their numbers come from:

kernels
    Nyholm's pencil kernels in water [Nyholm2006]_, of a nominal quality chosen so that the machine
    has the wanted TPR20,10. For each SSD S they are scaled to the isocentre plane,
    :math:`T(u, d) = M^2\, p(M u, d)` with :math:`M = (S + d) / SAD`, and averaged over pixels.
depth components
    Attenuation and two of the betas are those that fit T best at 30 mm (10 MV: 40 mm) to 300 mm;
    at each radius the three shares come from a non-negative fit, each annulus making good what the
    smaller ones left, so that fields are fitted as well as annuli. The third beta makes the
    build-up of a depth of maximum of about 15 mm (23 mm); a fixed offset of the depth, in place of
    electrons and photons from head and air, makes the dose at the surface. Choices, not
    measurements.
sources
    A focal source of 5 mm full width at half maximum at the isocentre. Head scatter as a second,
    wide Gaussian source, whose share and width follow from head scatter factors that rise by 7 %
    from 4 cm to 25 cm, as common for flattened beams.
fluence in air
    Horns of some per cent, as common for flattening filters. A choice.
leaves
    40 pairs of 5 mm between 20 of 10 mm, 1.5 % transmission, rounded ends 0.7 mm behind the tips;
    600 MU/min, 6 degree/s, 25 mm/s. Common figures.
output
    1 cGy/MU at the maximum of a 10 cm x 10 cm field at SSD 100 cm; nothing else is scaled.

Teaching machines: they resemble what is in clinical use but are no clinical machines.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from scipy.optimize import minimize, nnls

from dosegrad.arrays import Array
from dosegrad.commissioning.photon_tables import depth_of_maximum, water_dose
from dosegrad.engines.photon_kernel.model import depth_components
from dosegrad.machine.collimator import MultileafCollimator
from dosegrad.machine.photon import HeadScatter, PhotonMachine
from dosegrad.machine.photon_archive import write_photon_archive
from dosegrad.physics.photon_kernels import pencil_kernel

__all__ = ["RECIPES", "Recipe", "build", "main"]

SAD: Final = 1000.0  # mm
RASTER: Final = 0.5  # mm
SSDS: Final = np.arange(600.0, 1201.0, 100.0)  # mm
_SMOOTH_FROM: Final = 6.0  # mm, radius beyond which a pixel's mean is its middle's value
_REACH: Final = 300.0  # mm, end of the kernels
#: Radii of circular fields, mm, on whose axis the choice of components is judged.
_FIELDS: Final = np.array([11.0, 22.0, 35.0, 56.0, 84.0, 112.0, 140.0, 168.0])
_DEFAULT_FOLDER: Final = Path(__file__).parents[1] / "machine" / "data"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes one machine.

    ``quality``: nominal TPR20,10 of the kernels; ``fit_from``: mm, least depth that is fitted;
    ``build_up``: the beta of the build-up, 1/mm; ``surface_offset``: mm of water before the skin.
    """

    name: str
    energy: float
    quality: float
    fit_from: float
    build_up: float
    surface_offset: float
    head_scatter: HeadScatter
    horns: tuple[tuple[float, float], ...]


#: The machines by their names.
RECIPES: Final = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            *("generic-6mv", 6.0, 0.679, 30.0, 0.25, 1.0),
            head_scatter=HeadScatter(0.11, 24.0),
            horns=((0, 1), (25, 1.005), (50, 1.018), (100, 1.038), (150, 1.048), (200, 1.05)),
        ),
        Recipe(
            *("generic-10mv", 10.0, 0.740, 40.0, 0.145, 1.4),
            head_scatter=HeadScatter(0.11, 24.0),
            horns=((0, 1), (25, 1.004), (50, 1.014), (100, 1.03), (150, 1.038), (200, 1.04)),
        ),
    )
}


def build(recipe: Recipe) -> PhotonMachine:
    """The machine of a recipe; takes some seconds."""
    depths = np.arange(recipe.fit_from, 301.0, 10.0)
    attenuation, betas = _components(recipe, depths)
    radii = _radii()
    bare = PhotonMachine(
        name=recipe.name,
        energy=recipe.energy,
        sad=SAD,
        betas=betas,
        attenuation=attenuation,
        ssds=SSDS,
        radii=radii,
        kernels=np.zeros((SSDS.size, 3, radii.size)),
        raster=RASTER,
        head_scatter=recipe.head_scatter,
        surface_offset=recipe.surface_offset,
        primary_fluence=np.array(recipe.horns, dtype=float),
        mu_per_weight=1.0,
        collimator=MultileafCollimator.sixty_pairs(),
        description={
            "made by": "dosegrad.commissioning.generic_photons",
            "method": f"pencil kernels of Nyholm et al. 2006, nominal TPR20,10 {recipe.quality}",
            "output": "1 cGy/MU at the maximum of 10 cm x 10 cm, SSD 100 cm",
            "use": "teaching and research; not a clinical machine",
        },
    )
    basis = depth_components(bare, depths)
    kernels = np.array(
        [_fit(basis, _on_raster(recipe.quality, ssd, depths, radii), _areas(radii)) for ssd in SSDS]
    )
    relative = replace(bare, kernels=kernels)
    depth = depth_of_maximum(relative, field=100.0, ssd=1000.0)
    top = water_dose(relative, field=100.0, ssd=1000.0, depth=depth)[0]
    return replace(relative, kernels=kernels * (0.01 / top))


def main(arguments: list[str] | None = None) -> None:
    """Write the machine files."""
    parser = argparse.ArgumentParser(description="Make the base data of the photon machines.")
    parser.add_argument("folder", nargs="?", type=Path, default=_DEFAULT_FOLDER)
    folder = parser.parse_args(arguments).folder
    for recipe in RECIPES.values():
        machine, path = build(recipe), folder / f"{recipe.name}.npz"
        write_photon_archive(machine, path)
        print(f"{machine!r} written to {path} ({path.stat().st_size / 1e3:.0f} kB)")


def _components(recipe: Recipe, depths: Array) -> tuple[float, Array]:
    """Attenuation and the three betas that fit fields of all sizes best, 1/mm."""
    kernel = pencil_kernel(recipe.quality, depths)
    fields = np.array([kernel.in_circle(radius) for radius in _FIELDS])

    def made(logs: Array) -> tuple[float, Array]:
        m, second, third = (float(v) for v in np.exp(np.clip(logs, np.log(5e-4), np.log(0.1))))
        return m, np.array([recipe.build_up, second, third])

    def misfit(logs: Array) -> float:
        m, betas = made(logs)
        t = depths[:, None] + recipe.surface_offset
        gap = betas - m
        gap = np.where(np.abs(gap) < 1e-9, 1e-9, gap)
        basis = -betas * np.exp(-m * t) * np.expm1(-gap * t) / gap
        return float(sum(nnls(basis / f[:, None], np.ones(f.size))[1] ** 2 for f in fields))

    starts = ([0.0045, 0.012, 0.004], [0.006, 0.03, 0.004], [0.005, 0.02, 0.01])
    found = [
        minimize(misfit, np.log(start), method="Nelder-Mead", options={"maxiter": 400})
        for start in starts
    ]
    return made(min(found, key=lambda result: result.fun).x)


def _radii() -> Array:
    """Radii of the table, mm: every distance on the raster at first, then ever wider steps."""
    n = int(_SMOOTH_FROM / RASTER)
    lattice = np.unique(np.hypot(*np.mgrid[: n + 1, : n + 1]).round(9)) * RASTER
    radii = list(lattice[lattice <= _SMOOTH_FROM])
    while radii[-1] < _REACH:
        radii.append(radii[-1] + max(RASTER, 0.03 * radii[-1]))
    return np.array(radii)


def _areas(radii: Array) -> Array:
    """Area (n,) of the annulus about each radius, mm2; the pixel's about the first."""
    edges = np.concatenate([[RASTER / np.sqrt(np.pi)], 0.5 * (radii[2:] + radii[1:-1])])
    edges = np.concatenate([edges, [radii[-1]]])
    areas: Array = np.diff(np.pi * edges**2, prepend=0.0)
    return areas


def _on_raster(quality: float, ssd: float, depths: Array, radii: Array) -> Array:
    """Kernels (n_depths, n_radii) in the isocentre plane, 1/mm2, averaged over pixels."""
    kernel = pencil_kernel(quality, depths)
    scale = (ssd + depths) / SAD
    values = np.empty((depths.size, radii.size))
    values[:, 0] = kernel.in_square(0.5 * RASTER * scale) / RASTER**2
    n = 12
    offsets = ((np.arange(n) + 0.5) / n - 0.5) * RASTER
    places = {
        round(float(np.hypot(i, j)), 9): (i * RASTER, j * RASTER)
        for i in range(int(_SMOOTH_FROM / RASTER) + 1)
        for j in range(i + 1)
    }
    for k, radius in enumerate(radii[1:], start=1):
        if radius <= _SMOOTH_FROM:
            x, y = places[round(float(radius / RASTER), 9)]
            points = np.hypot(x + offsets[:, None], y + offsets).ravel()
        else:
            points = np.array([radius])
        for d, m in enumerate(scale):
            one = replace(
                kernel,
                big_a=kernel.big_a[d : d + 1],
                big_b=kernel.big_b[d : d + 1],
                a=kernel.a[d : d + 1],
                b=kernel.b[d : d + 1],
            )
            values[d, k] = m**2 * one.at(points * m).mean()
    return values


def _fit(basis: Array, wanted: Array, areas: Array) -> Array:
    """Shares (3, n_radii), not negative, of the components ``basis`` (n_depths, 3).

    What is left over within a radius counts to the next one's share of the fit.
    """
    shares = np.empty((3, wanted.shape[1]))
    left = np.zeros(len(basis))
    total = np.zeros(len(basis))
    for k, area in enumerate(areas):
        target = wanted[:, k] * area
        total += target
        goal = target + left
        weights = 1.0 / target
        found = nnls(basis * weights[:, None], goal * weights)[0]
        shares[:, k] = found / area
        left = goal - basis @ found
    return shares


if __name__ == "__main__":
    main()
