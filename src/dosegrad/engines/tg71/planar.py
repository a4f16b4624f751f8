r"""The dose of beams in a plane through the isocentre: Planner 2D's algorithm.

The plane holds all axes, coordinates (x, y) in mm with y downwards as on an axial slice: gantry 0
shines from above, 90 degrees from the right of the picture. For a beam from S along the unit vector
D, a point P lies off the axis by :math:`o = |D \times (P - S)|`, and the point of the axis at its
depth is :math:`I = S + (D \cdot (P - S))\,D`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, BoolArray, Weights
from dosegrad.engines.tg71._reference import PlaneField, PlaneTables
from dosegrad.engines.tg71.model import equivalent_square
from dosegrad.engines.tg71.tables import BeamTables
from dosegrad.errors import BeamError, SettingsError, unknown_name

__all__ = [
    "Depth",
    "Ellipse",
    "PlanarBeam",
    "PlanarDoseMap",
    "Section",
    "dose_per_mu",
    "pixel_centres",
    "prepare_planar",
]

#: Along which line the depth of a point is counted.
Depth: TypeAlias = Literal["ray", "axis"]
_DEPTHS = ("ray", "axis")


class Section(Protocol):
    """A patient's section, as beams see it."""

    def inside(self, points: Array) -> BoolArray:
        """Whether points (n, 2) lie in the patient, bool (n,)."""
        ...

    def ray_depth(self, source: Array, points: Array) -> Array:
        """Water-equivalent length (n,), mm, in the patient from the source (2,) to points."""
        ...

    def axis_depth(self, source: Array, direction: Array, distances: Array) -> Array:
        """Water-equivalent depth (n,), mm, of the points of the axis at distances (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class Ellipse:
    """A section of water with semi-axes along x and y, mm, about the origin."""

    semi_x: float
    semi_y: float

    def __post_init__(self) -> None:
        if not (0 < self.semi_x < np.inf and 0 < self.semi_y < np.inf):
            raise SettingsError(
                f"a section of {self.semi_x:g} mm x {self.semi_y:g} mm is not possible; give two "
                "positive semi-axes."
            )

    def inside(self, points: Array) -> BoolArray:
        """Whether points (n, 2) lie in the ellipse."""
        inside: BoolArray = np.hypot(points[:, 0] / self.semi_x, points[:, 1] / self.semi_y) <= 1.0
        return inside

    def entry(self, source: Array, directions: Array) -> Array:
        """Distances (n,) from the source to where rays (n, 2) enter; NaN for those that miss.

        Of the two intersections it is the one nearer to the source.
        """
        scale = np.array([self.semi_x, self.semi_y])
        u, s = directions / scale, source / scale
        a, b, c = (u * u).sum(-1), (u * s).sum(-1), float(s @ s) - 1.0
        with np.errstate(invalid="ignore"):
            found: Array = (-b - np.sqrt(b * b - a * c)) / a
        return found

    def ray_depth(self, source: Array, points: Array) -> Array:
        """Length (n,), mm, in the ellipse from the source to points within."""
        places = np.ascontiguousarray(points, dtype=float)
        depth = np.empty(len(places))
        _kernels().ellipse_depth(
            float(self.semi_x), float(self.semi_y), np.asarray(source, dtype=float), places, depth
        )
        return depth

    def axis_depth(self, source: Array, direction: Array, distances: Array) -> Array:
        """Distance (n,), mm, without sign, between where the axis enters and its points.

        Raises
        ------
        BeamError
            If the axis misses the ellipse.
        """
        entry = float(self.entry(source, direction[None])[0])
        if not np.isfinite(entry):
            raise BeamError(
                "the axis of a beam misses the patient, so that there is no depth along it; "
                'move the isocentre inside, or count depth="ray".'
            )
        depth: Array = np.abs(distances - entry)
        return depth


@dataclass(frozen=True, slots=True)
class PlanarBeam:
    """A beam in the plane.

    Parameters
    ----------
    gantry
        Degrees; 0 from above, 90 from the right.
    width, length
        Sides of the field in the isocentre plane, mm: in the plane and across it.
    isocentre
        (x, y), mm.
    sad
        Source to isocentre, mm.
    wedge_slope
        Fall of the logarithm of the wedge's transmission per mm in the isocentre plane, towards
        the right of the picture at gantry 0 and turning with the gantry; 0 for none.
    wedge_factor
        Transmission on the axis.
    """

    gantry: float
    width: float
    length: float
    isocentre: tuple[float, float] = (0.0, 0.0)
    sad: float = 1000.0
    wedge_slope: float = 0.0
    wedge_factor: float = 1.0

    def __post_init__(self) -> None:
        sizes = (self.width, self.length, self.sad, self.wedge_factor)
        rest = (self.gantry, self.wedge_slope, *self.isocentre)
        if not all(np.isfinite((*sizes, *rest))) or min(sizes) <= 0:
            raise BeamError(
                f"a beam at gantry {self.gantry!r} has a side, distance or wedge that is not "
                "possible; give finite numbers and positive sizes."
            )

    @property
    def direction(self) -> Array:
        """Unit vector (2,) from the source to the isocentre."""
        angle = np.deg2rad(self.gantry)
        return np.array([-np.sin(angle), np.cos(angle)], dtype=np.float64)

    @property
    def source(self) -> Array:
        """Position (2,) of the source, mm."""
        x, y = self.isocentre
        return np.array([x, y]) - self.sad * self.direction


def pixel_centres(n: int, width: float) -> Array:
    r"""Centres (n,) of n pixels that fill ``width`` mm about the origin.

    .. math:: x_k = -n p/2 + p/2 + k p, \quad p = w/n

    Planner 2D's text prints the first term without the pixel size p.

    Examples
    --------
    >>> pixel_centres(4, 20.0).tolist()
    [-7.5, -2.5, 2.5, 7.5]
    """
    pitch = width / n
    return np.asarray(-n * pitch / 2.0 + pitch / 2.0 + np.arange(n) * pitch, dtype=np.float64)


def dose_per_mu(
    tables: BeamTables,
    beam: PlanarBeam,
    section: Section,
    points: ArrayLike,
    *,
    depth: Depth = "ray",
) -> Array:
    r"""Dose (n,), Gy per MU, at points (n, 2); 0 outside the patient.

    .. math:: D_0' S_c(r_c) S_p(r_d) TPR(d, r_d)\, OAR(d, o)\, P(s_d, o)\,
              W(x) \left(\frac{SSD_0 + d_0}{SPD}\right)^2

    with the penumbra P and SPD counted along the axis, as off-axis ratios are measured in planes
    across it. ``depth="axis"``, as published, takes d between the axis' entry and I for all points
    of a plane; ``depth="ray"`` takes what lies on the way from the source to the point. Beyond the
    ends of a table it is continued in a line.

    Raises
    ------
    BeamError
        If ``depth="axis"`` and the axis misses the patient.
    """
    if depth not in _DEPTHS:
        raise unknown_name("depth", depth, _DEPTHS)
    places = np.asarray(points, dtype=float)
    result: Array = np.zeros(len(places))
    inside = section.inside(places)
    within = places[inside]
    if not len(within):
        return result
    source, axis = beam.source, beam.direction
    offsets = within - source
    distance: Array = offsets @ axis
    lateral: Array = axis[0] * offsets[:, 1] - axis[1] * offsets[:, 0]
    water: Array = (
        section.ray_depth(source, within)
        if depth == "ray"
        else section.axis_depth(source, axis, distance)
    )
    dose = np.zeros(len(within))
    _kernels().add_plane_dose(_arrays(tables), _field(tables, beam), distance, lateral, water, dose)
    result[inside] = dose
    return result


@dataclass(frozen=True, slots=True, eq=False)
class PlanarDoseMap:
    """Dose of beams in a plane as a function of their monitor units.

    Parameters
    ----------
    per_mu
        Gy per MU, (n_points, n_beams).
    """

    per_mu: Array
    n_variables: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_variables", self.per_mu.shape[1])

    def dose(self, monitor_units: Weights) -> Array:
        """Dose (n_points,), Gy."""
        dose: Array = self.per_mu @ np.asarray(monitor_units, dtype=float)
        return dose

    def linearise(self, monitor_units: Weights) -> tuple[Array, Callable[[Array], Array]]:
        """Dose (n_points,) and the pullback of a dose gradient to monitor units."""

        def pullback(gradient: Array) -> Array:
            back: Array = self.per_mu.T @ gradient
            return back

        return self.dose(monitor_units), pullback


def prepare_planar(
    tables: BeamTables | Sequence[BeamTables],
    beams: Sequence[PlanarBeam],
    section: Section,
    points: ArrayLike,
    *,
    depth: Depth = "ray",
) -> PlanarDoseMap:
    """The dose map of several beams at points (n, 2); see :func:`dose_per_mu`.

    ``tables``: those of all beams, or one for each.

    Examples
    --------
    >>> from dosegrad.engines import TG71
    >>> from dosegrad.machine.library import load_machine
    >>> tables = TG71.from_machine(load_machine("generic-6mv")).tables
    >>> beams = [PlanarBeam(angle, 80.0, 80.0) for angle in (0, 180)]
    >>> dose_map = prepare_planar(tables, beams, Ellipse(100.0, 100.0), [[0, -50], [0, 50]])
    >>> near, far = dose_map.dose([100.0, 100.0])
    >>> bool(abs(near - far) < 1e-9)
    True
    """
    each = [tables] * len(beams) if isinstance(tables, BeamTables) else list(tables)
    if len(each) != len(beams):
        raise SettingsError(
            f"{len(each)} beam tables for {len(beams)} beams; give one for all, or one for each."
        )
    places = np.asarray(points, dtype=float)
    columns = [
        dose_per_mu(one, beam, section, places, depth=depth)
        for one, beam in zip(each, beams, strict=True)
    ]
    matrix = np.stack(columns, axis=1) if columns else np.empty((len(places), 0))
    return PlanarDoseMap(matrix)


def _arrays(tables: BeamTables) -> PlaneTables:
    scatter, tpr, oar = tables.phantom_scatter, tables.tpr, tables.oar
    return PlaneTables(
        *(scatter.places, scatter.values),
        *(tpr.depths, tpr.across, tpr.values),
        *(oar.depths, oar.across, oar.values),
    )


def _field(tables: BeamTables, beam: PlanarBeam) -> PlaneField:
    side = equivalent_square(beam.width, beam.length)
    output = tables.dose_per_mu * float(tables.collimator_scatter.at(side)) * beam.wedge_factor
    reference = tables.ssd + tables.depth
    return PlaneField(
        output, side, 0.5 * beam.width, float(beam.sad), reference, float(beam.wedge_slope)
    )


def _kernels() -> Any:
    from dosegrad.engines.tg71 import _kernels

    return _kernels
