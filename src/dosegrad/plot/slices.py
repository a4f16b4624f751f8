"""Drawing on a plane through the patient: CT, structures, dose, isodoses and beams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Polygon

from dosegrad.arrays import Array, Mask
from dosegrad.beams.beam import Beam, Beams
from dosegrad.dose import Dose
from dosegrad.patient.patient import Patient
from dosegrad.patient.structures import Structure
from dosegrad.plot.planes import Plane
from dosegrad.plot.style import DOSE_COLOURS, Colour, dose_wash, frame, halo

__all__ = [
    "dose_reference",
    "draw_beams",
    "draw_corridors",
    "draw_ct",
    "draw_dose",
    "draw_isodoses",
    "draw_structures",
    "isodose_levels",
    "structure_handles",
]

#: HU shown as black and as white.
CT_WINDOW: Final = (-450.0, 650.0)

#: Isodose lines as parts of the reference dose.
_ISODOSE_PARTS: Final = (0.2, 0.5, 0.8, 0.95, 1.05)
_ISODOSE_WIDTH: Final = 1.2
_OUTLINE_WIDTH: Final = 1.6
#: Where on the scale of colours isodose lines begin; below they are too dark.
_DARKEST_LINE: Final = 0.35

#: A field is drawn on a plane if it lies within 40 degrees of it.
_IN_PLANE: Final = float(np.cos(np.deg2rad(40.0)))
#: Beams that get an arrow of their own.
_MOST_ARROWS: Final = 12


def draw_ct(ax: Axes, plane: Plane, patient: Patient, *, title: str = "") -> None:
    """CT in grey with axis labels in mm and the letters of the patient's sides."""
    left, right, bottom, top = plane.limits
    origin, extent = _placing(plane)
    low, high = CT_WINDOW
    ax.imshow(
        plane.hu(patient), cmap="gray", vmin=low, vmax=high, origin=origin, extent=extent,
        interpolation="nearest", zorder=0,
    )  # fmt: skip
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", facecolor="black")
    heading = title or f"{plane.name}, {plane.normal_letter} = {plane.position:.0f} mm"
    frame(ax, title=heading, x=f"{'xyz'[plane.across]} (mm)", y=f"{'xyz'[plane.along]} (mm)")
    _letter_sides(ax, plane)


def draw_structures(
    ax: Axes, plane: Plane, structures: Iterable[Structure], colours: Mapping[str, Colour]
) -> None:
    """Outline of structures along the edges of pixels; all but the external with a white rim."""
    for structure in structures:
        segments = list(_outline(plane, plane.mask(structure)))
        if not segments:
            continue
        strokes: list[tuple[str | Colour, float]] = [(colours[structure.name], _OUTLINE_WIDTH)]
        if structure.role != "external":
            strokes.insert(0, ("white", _OUTLINE_WIDTH + 0.9))
        for colour, width in strokes:
            lines = LineCollection(
                segments, colors=[colour], linewidths=width, zorder=4, capstyle="projecting"
            )
            lines.set_snap(False)
            ax.add_collection(lines)


def draw_dose(ax: Axes, plane: Plane, dose: Dose, *, maximum: float) -> AxesImage:
    """Dose as a colour wash, clear below 5 % of ``maximum``, Gy; gives the image drawn."""
    origin, extent = _placing(plane)
    return ax.imshow(
        plane.dose(dose), cmap=dose_wash(), vmin=0.0, vmax=maximum, origin=origin, extent=extent,
        interpolation="bilinear", zorder=1,
    )  # fmt: skip


def draw_isodoses(
    ax: Axes, plane: Plane, dose: Dose, levels: Sequence[float], *, maximum: float
) -> list[Line2D]:
    """Lines of equal dose at ``levels`` that are reached; gives a legend handle for each.

    The lines have the colours of the wash, but none of its darkest.
    """
    across, along = plane.pixel_centres()
    values = plane.dose(dose)
    known = values[np.isfinite(values)]
    if not known.size:
        return []
    reached = [level for level in levels if known.min() < level < known.max()]
    if not reached:
        return []
    shades = [_DARKEST_LINE + (1.0 - _DARKEST_LINE) * level / maximum for level in reached]
    colours = [colormaps[DOSE_COLOURS](min(shade, 1.0)) for shade in shades]
    lines = ax.contour(
        across, along, values, levels=reached, colors=colours, linewidths=_ISODOSE_WIDTH, zorder=3
    )
    lines.set_path_effects(halo(0.35, line=_ISODOSE_WIDTH))
    rim = halo(0.5, line=2.0)
    return [
        Line2D([], [], color=c, linewidth=2.0, label=f"{level:g} {dose.unit}", path_effects=rim)
        for c, level in zip(colours, reached, strict=True)
    ]


def draw_beams(ax: Axes, plane: Plane, beams: Iterable[Beam], *, size: float = 8.0) -> None:
    """An arrow from the side each beam comes from, with its gantry angle.

    Beams more than 40 degrees out of the plane are left out; no beam is so in all three planes. Of
    the many beams of an arc every so many are drawn.
    """
    axes = [plane.across, plane.along]
    every = list(beams)
    for beam in every[:: -(-len(every) // _MOST_ARROWS)] if every else every:
        heading = beam.direction[axes]
        length = float(np.linalg.norm(heading))
        if length < _IN_PLANE:
            continue
        heading = heading / length
        centre = np.asarray(beam.isocentre)[axes]
        reach = _distance_to_edge(plane, centre, -heading)
        tail, head = centre - 0.8 * reach * heading, centre - 0.52 * reach * heading
        arrow = FancyArrowPatch(
            (float(tail[0]), float(tail[1])), (float(head[0]), float(head[1])),
            arrowstyle="-|>", mutation_scale=12, linewidth=2.0, color="white", zorder=6,
            path_effects=halo(0.6, line=2.0), shrinkA=0, shrinkB=0,
        )  # fmt: skip
        ax.add_patch(arrow)
        label = f"{beam.gantry:g}°" if beam.couch == 0 else f"{beam.gantry:g}°/{beam.couch:g}°"
        ax.text(
            float(tail[0]), float(tail[1]), label, fontsize=size, color="black", ha="center",
            va="center", zorder=7,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "0.3", "lw": 0.5},
        )  # fmt: skip


def draw_corridors(ax: Axes, plane: Plane, beams: Beams) -> None:
    """A pale band for each field in the plane: what lies between the rays of its outermost spots.

    It ends half its width behind the isocentre. Beams more than 40 degrees out of the plane are
    left out.
    """
    axes = [plane.across, plane.along]
    for number, beam in enumerate(beams):
        if np.linalg.norm(beam.direction[axes]) < _IN_PLANE:
            continue
        part = beams.columns[beams.columns_of(number)]
        which = int(np.argmax(np.linalg.norm(beam.rotation[axes, :2], axis=0)))
        places = part["xy"[which]]
        sideways = np.outer([places.min(), places.max()], beam.rotation[:, which])
        reaches = (0.5 * float(np.ptp(places)), -2.0 * float(np.abs(plane.limits).max()))
        rows = [
            np.asarray(beam.isocentre)
            + reach * beam.direction
            + sideways * (1.0 if beam.sad is None else max(1.0 + reach / beam.sad, 0.0))
            for reach in reaches
        ]
        corners = np.concatenate([rows[0], rows[1][::-1]])[:, axes]
        band = Polygon(
            list(map(tuple, corners)), facecolor="white", alpha=0.22, edgecolor="none", zorder=1
        )
        ax.add_patch(band)


def structure_handles(
    structures: Iterable[Structure], colours: Mapping[str, Colour]
) -> list[Line2D]:
    """Legend handles of structures."""
    return [Line2D([], [], color=colours[s.name], linewidth=2, label=s.name) for s in structures]


def dose_reference(dose: Dose, structures: Iterable[Structure]) -> float:
    """Dose that stands for 100 %: the median in the targets, else the maximum, Gy."""
    inside = np.zeros(dose.grid.shape, dtype=bool)
    for structure in structures:
        if structure.role == "target":
            inside |= structure.mask(dose.grid)
    highest = float(np.nanmax(dose.array))
    if not inside.any():
        return highest
    median = float(np.median(dose.array[inside]))
    return median if median > 0 else highest


def isodose_levels(reference: float) -> list[float]:
    """Isodose levels, Gy, at 20, 50, 80, 95 and 105 % of ``reference``, two to three digits."""
    digits = 1 if reference < 20 else 0
    levels = {round(part * reference, digits) for part in _ISODOSE_PARTS}
    return sorted(level for level in levels if level > 0)


def _placing(plane: Plane) -> tuple[Literal["upper", "lower"], tuple[float, float, float, float]]:
    """Which corner the first pixel is in, and the edges, as ``imshow`` wants them."""
    return ("upper" if plane.limits[2] > plane.limits[3] else "lower"), plane.limits


def _letter_sides(ax: Axes, plane: Plane) -> None:
    places = ((0.015, 0.5), (0.985, 0.5), (0.5, 0.015), (0.5, 0.985))
    horizontal = ("left", "right", "center", "center")
    vertical = ("center", "center", "bottom", "top")
    for letter, place, ha, va in zip(plane.letters, places, horizontal, vertical, strict=True):
        ax.text(
            *place, letter, transform=ax.transAxes, ha=ha, va=va, fontsize=9, color="white",
            fontweight="bold", zorder=8, path_effects=halo(0.9),
        )  # fmt: skip


def _outline(plane: Plane, inside: Mask) -> Array:
    """Pixel edges (n, 2, 2) between inside and outside, (across, along) mm."""
    across, along = plane.pixel_centres()
    columns, rows = _edges(across, plane, plane.across), _edges(along, plane, plane.along)
    padded = np.pad(inside, 1)
    row, column = np.nonzero(padded[:, 1:] != padded[:, :-1])
    upright = np.stack([columns[column], rows[row - 1], columns[column], rows[row]], axis=-1)
    row, column = np.nonzero(padded[1:, :] != padded[:-1, :])
    level = np.stack([columns[column - 1], rows[row], columns[column], rows[row]], axis=-1)
    return np.concatenate([upright, level]).reshape(-1, 2, 2)


def _edges(centres: Array, plane: Plane, point_axis: int) -> Array:
    step = plane.grid.spacing[2 - point_axis]
    return np.append(centres - step / 2, centres[-1] + step / 2)


def _distance_to_edge(plane: Plane, start: Array, heading: Array) -> float:
    """How far from ``start`` along ``heading`` the plane's pixels end, mm."""
    left, right, bottom, top = plane.limits
    ranges = ((left, right), (min(bottom, top), max(bottom, top)))
    steps = [
        ((high if part > 0 else low) - place) / part
        for part, place, (low, high) in zip(heading, start, ranges, strict=True)
        if abs(part) > 1e-9
    ]
    return max(float(min(steps)), 0.0)
