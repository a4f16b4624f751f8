"""The gamma index: how well two doses agree, in dose or in distance."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, BoolArray, Mask, Volume, readonly
from dosegrad.dose import Dose, Region
from dosegrad.errors import GeometryError, SettingsError, unknown_name
from dosegrad.evaluation._gamma_search import search
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import interpolate

__all__ = ["TG218", "GammaMap", "GammaProtocol", "GammaSettings", "Histogram", "gamma"]

Interpolation: TypeAlias = Literal["exact", "sampled"]
ThresholdOn: TypeAlias = Literal["reference", "either"]
Beyond: TypeAlias = Literal["exclude", "fail"]

#: A gamma up to here passes: 1, with room for rounding of doses that lie just on the criterion.
PASSING: Final = 1.0 + 1e-9
#: A local criterion is at least this part of the normalisation, so that it is never zero.
_LEAST_LOCAL: Final = 1e-12


@dataclass(frozen=True, slots=True)
class GammaSettings:
    """What a gamma was computed with; see :func:`gamma`.

    ``normalisation`` is the dose, Gy, that ``percent`` and ``threshold`` refer to.
    """

    percent: float
    distance: float
    threshold: float | None = 10.0
    local: bool = False
    normalisation: float = 1.0
    threshold_on: ThresholdOn = "reference"
    interpolation: Interpolation = "exact"
    steps: int = 10
    max_gamma: float = 2.0
    beyond: Beyond = "exclude"

    def __post_init__(self) -> None:
        for name in ("percent", "distance", "max_gamma"):
            _check_positive(name, getattr(self, name))
        if not self.max_gamma > 1:
            raise SettingsError(
                f"max_gamma {self.max_gamma:g} must be above 1, because values are cut there and "
                "nothing would fail; give 1.1 or more."
            )
        if not (np.isfinite(self.normalisation) and self.normalisation > 0):
            raise SettingsError(
                f"gamma cannot be normalised to {self.normalisation} Gy; it must be positive. "
                "Give normalisation=, such as the prescribed dose."
            )
        if self.threshold is not None and not 0 <= self.threshold <= 100:
            raise SettingsError(
                f"gamma threshold {self.threshold} must be between 0 and 100 (percent of the "
                "normalisation); give None to compare every voxel."
            )
        steps: object = self.steps
        if not isinstance(steps, int | np.integer) or not 1 <= steps <= 100:
            raise SettingsError(f"steps {steps} must be a whole number from 1 to 100.")
        for name, kind in (
            ("interpolation", Interpolation), ("threshold_on", ThresholdOn), ("beyond", Beyond),
        ):  # fmt: skip
            if getattr(self, name) not in get_args(kind):
                raise unknown_name(f"gamma option {name}", getattr(self, name), get_args(kind))

    def __repr__(self) -> str:
        kind = "local" if self.local else "global"
        least = "" if self.threshold is None else f", from {self.threshold:g} %"
        return (
            f"GammaSettings({self.percent:g} %/{self.distance:g} mm, {kind}, "
            f"100 % = {self.normalisation:.4g} Gy{least}, {self.interpolation})"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Numbers of voxels (n,) between ``edges`` (n + 1,) of gamma."""

    edges: Array
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GammaMap:
    """Gamma in the voxels of the reference grid.

    Parameters
    ----------
    grid
        Grid of the reference dose.
    map
        Gamma (z, y, x), at most ``settings.max_gamma``; NaN where it was not evaluated.
    settings
        What it was computed with.
    n_beyond
        Voxels above the threshold with no evaluated dose in reach.
    """

    grid: Grid
    map: Volume
    settings: GammaSettings
    n_beyond: int = 0

    def __post_init__(self) -> None:
        array = readonly(self.map)
        if array.shape != self.grid.shape:
            raise GeometryError(
                f"gamma of shape {array.shape} does not fit its grid of shape {self.grid.shape}; "
                "both are (z, y, x)."
            )
        object.__setattr__(self, "map", array)

    def __repr__(self) -> str:
        s = self.settings
        beyond = f", {self.n_beyond} beyond the evaluated grid" if self.n_beyond else ""
        return (
            f"GammaMap({s.percent:g} %/{s.distance:g} mm, {'local' if s.local else 'global'}: "
            f"{self.pass_rate:.2%} of {self.n_evaluated} voxels pass{beyond})"
        )

    @property
    def values(self) -> Array:
        """Gamma (n_evaluated,) where it was evaluated, in the order of voxels."""
        found: Array = self.map[~np.isnan(self.map)]
        return found

    @property
    def n_evaluated(self) -> int:
        """Number of voxels that have a gamma."""
        return int(self.map.size - np.count_nonzero(np.isnan(self.map)))

    @property
    def n_passed(self) -> int:
        """Number of voxels with a gamma of at most 1."""
        return int(np.count_nonzero(self.map <= PASSING))

    @property
    def pass_rate(self) -> float:
        """Part (0 to 1) of the evaluated voxels with a gamma of at most 1."""
        return self.n_passed / self.n_evaluated

    @property
    def mean(self) -> float:
        """Mean gamma; values at ``settings.max_gamma`` were cut there."""
        return float(self.values.mean())

    @property
    def median(self) -> float:
        """Median gamma."""
        return float(np.median(self.values))

    @property
    def maximum(self) -> float:
        """Highest gamma, at most ``settings.max_gamma``."""
        return float(self.values.max())

    def percentile(self, percent: float) -> float:
        """Gamma that ``percent`` of the evaluated voxels do not exceed."""
        return float(np.percentile(self.values, percent))

    def histogram(self, bins: int = 20) -> Histogram:
        """Voxels by gamma in ``bins`` equal steps from 0 to ``settings.max_gamma``."""
        counts, edges = np.histogram(self.values, bins, (0.0, self.settings.max_gamma))
        return Histogram(readonly(edges), readonly(counts, np.int64))


def gamma(
    reference: Dose,
    evaluated: Dose,
    *,
    percent: float,
    distance: float,
    threshold: float | None = 10.0,
    local: bool = False,
    normalisation: float | None = None,
    threshold_on: ThresholdOn = "reference",
    interpolation: Interpolation = "exact",
    steps: int = 10,
    max_gamma: float = 2.0,
    mask: Mask | Region | None = None,
    beyond: Beyond = "exclude",
) -> GammaMap:
    r"""Gamma of each reference voxel: least distance in dose and space to the evaluated dose.

    .. math:: \gamma(\mathbf r_\mathrm{r}) = \min_{\mathbf r} \sqrt{
        \frac{|\mathbf r - \mathbf r_\mathrm{r}|^2}{\Delta d^2} +
        \frac{(D_\mathrm{e}(\mathbf r) - D_\mathrm{r}(\mathbf r_\mathrm{r}))^2}{\Delta D^2}}

    The *evaluated* dose is interpolated and searched; exchanging the two doses changes the
    result. Grids may differ in size, spacing, place and direction. Along an axis on which the
    evaluated grid has one voxel there is nothing to search: its dose is a plane, a line or a
    point, and the way to it counts as distance.

    Parameters
    ----------
    reference, evaluated
        The doses; both need the same quantity. NaN and infinite values mean that there is no
        dose: such reference voxels are left out, and such evaluated ones are not interpolated.
    percent
        Dose criterion :math:`\Delta D`, percent of what ``local`` says.
    local
        Whether ``percent`` refers to the dose of each reference voxel, not to ``normalisation``.
    distance
        Distance criterion :math:`\Delta d`, mm.
    threshold
        Voxels below this, percent of ``normalisation``, are not evaluated; None: all are.
    normalisation
        Dose of 100 %, Gy; None: the maximum of the reference.
    threshold_on
        Which dose must reach the threshold: the ``"reference"``, or ``"either"`` of it and the
        evaluated dose at the same place.
    interpolation
        ``"exact"``: the true minimum for a dose that is linear in simplices between voxel
        centres; ``"sampled"``: trilinear at points on shells.
    steps
        Shells per ``distance``, and with it the way between samples, for ``"sampled"``.
    max_gamma
        The search stops here and larger gammas are set to it.
    mask
        Voxels of the reference grid (z, y, x), or a structure, to which the comparison is kept.
    beyond
        What becomes of voxels with no evaluated dose within ``max_gamma * distance``: left out
        (with a warning, and counted in the result), or given ``max_gamma``.

    Raises
    ------
    SettingsError
        If a criterion is not positive or there is nothing to compare.
    GeometryError
        If the mask does not lie on the reference grid.

    References
    ----------
    Low et al. 1998, Med. Phys. 25, 656 [Low1998]_; exact search after Ju et al. 2008, Med. Phys.
    35, 879 [Ju2008]_; search in shells after Wendling et al. 2007, Med. Phys. 34, 1647
    [Wendling2007]_.

    Examples
    --------
    >>> grid = Grid(shape=(1, 1, 5), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
    >>> one = Dose(grid, np.array([[[1.0, 2.0, 3.0, 4.0, 5.0]]]))
    >>> other = Dose(grid, one.array + 0.5)
    >>> gamma(one, other, percent=10, distance=1)
    GammaMap(10 %/1 mm, global: 100.00% of 5 voxels pass)
    """
    _check_quantities(reference, evaluated)
    settings = GammaSettings(
        percent, distance, threshold, local, _normalisation(reference, normalisation),
        threshold_on, interpolation, steps, max_gamma, beyond,
    )  # fmt: skip
    chosen = _chosen(reference, evaluated, settings, mask)
    doses = reference.array[chosen]
    points = evaluated.grid.to_index(reference.grid.voxel_points(np.flatnonzero(chosen)))
    found = search(
        evaluated.grid, evaluated.array, points, doses, _tolerances(doses, settings),
        distance=distance, limit=max_gamma, steps=steps if interpolation == "sampled" else None,
    )  # fmt: skip
    outside = np.isinf(found)
    n_beyond = int(np.count_nonzero(outside))
    if np.isnan(evaluated.array).all():
        raise SettingsError("the evaluated dose holds no number (all NaN); compute it again.")
    if n_beyond == found.size and beyond == "exclude":
        raise SettingsError(
            "no reference voxel has an evaluated dose in reach; check that both grids are in the "
            f"same place ({reference.grid} at {reference.grid.origin}, {evaluated.grid} at "
            f"{evaluated.grid.origin} mm)."
        )
    if n_beyond and beyond == "exclude":
        warnings.warn(
            f"{n_beyond} of {found.size} voxels have no evaluated dose within "
            f"{max_gamma * distance:g} mm and are left out of the gamma; beyond='fail' counts "
            "them as failed.",
            stacklevel=2,
        )
    found[outside] = max_gamma if beyond == "fail" else np.nan
    result = np.full(reference.grid.shape, np.nan)
    result[chosen] = np.minimum(found, max_gamma)
    return GammaMap(reference.grid, result, settings, n_beyond)


@dataclass(frozen=True, slots=True)
class GammaProtocol:
    """Criteria of a comparison and the pass rates that follow from it.

    Parameters
    ----------
    name
        Where it comes from.
    percent, distance, threshold, local
        As in :func:`gamma`.
    tolerance, action
        Pass rates (0 to 1): from ``tolerance`` on a plan is in order, below ``action`` it is not
        to be treated before the cause is known.
    """

    name: str
    percent: float
    distance: float
    threshold: float
    tolerance: float
    action: float
    local: bool = False

    def compare(
        self, reference: Dose, evaluated: Dose, *, mask: Mask | Region | None = None
    ) -> GammaMap:
        """Gamma of two doses by this protocol; the reference is normalised to its maximum."""
        return gamma(
            reference, evaluated, percent=self.percent, distance=self.distance,
            threshold=self.threshold, local=self.local, mask=mask,
        )  # fmt: skip

    def verdict(self, result: GammaMap) -> Literal["pass", "investigate", "act"]:
        """What a pass rate asks for."""
        if result.pass_rate >= self.tolerance:
            return "pass"
        return "investigate" if result.pass_rate >= self.action else "act"


#: AAPM Task Group 218's universal limits [Miften2018]_: 3 %/2 mm, global, 10 % threshold.
TG218: Final = GammaProtocol("AAPM TG-218", 3.0, 2.0, 10.0, tolerance=0.95, action=0.90)


def _check_positive(name: str, value: object) -> None:
    if not (isinstance(value, int | float | np.number) and np.isfinite(value) and value > 0):
        raise SettingsError(
            f"gamma option {name} is {value}; it must be a positive number, such as percent=3, "
            "distance=2 (mm)."
        )


def _check_quantities(reference: Dose, evaluated: Dose) -> None:
    if reference.quantity != evaluated.quantity:
        raise SettingsError(
            f"gamma of {reference.quantity!r} against {evaluated.quantity!r} compares different "
            "things; convert one of the doses first."
        )


def _normalisation(reference: Dose, given: float | None) -> float:
    if given is not None:
        return given
    doses = reference.array[np.isfinite(reference.array)]
    return float(doses.max()) if doses.size else 0.0


def _chosen(
    reference: Dose, evaluated: Dose, settings: GammaSettings, mask: Mask | Region | None
) -> BoolArray:
    """Voxels (z, y, x) of the reference to compare."""
    chosen: BoolArray = np.isfinite(reference.array)
    if settings.threshold is not None:
        least = settings.threshold / 100 * settings.normalisation
        reached = reference.array >= least
        if settings.threshold_on == "either":
            reached |= _on_grid(evaluated, reference.grid) >= least
        chosen &= reached
    if mask is not None:
        inside = np.asarray(mask if isinstance(mask, np.ndarray) else mask.mask(reference.grid))
        if inside.shape != reference.grid.shape:
            raise GeometryError(
                f"mask of shape {inside.shape} does not fit the reference grid of shape "
                f"{reference.grid.shape}; both are (z, y, x)."
            )
        chosen &= inside.astype(bool)
    if not chosen.any():
        raise SettingsError(
            f"no voxel to compare reaches {settings.threshold} % of "
            f"{settings.normalisation:.4g} Gy; lower the threshold or enlarge the mask."
        )
    return chosen


def _on_grid(dose: Dose, grid: Grid) -> Volume:
    """A dose interpolated to the voxels of another grid; 0 where it has none."""
    if dose.grid == grid:
        return dose.array
    values = np.where(np.isfinite(dose.array), dose.array, 0.0)
    points = grid.voxel_points(np.arange(grid.n_voxels))
    return interpolate(dose.grid, values, points).reshape(grid.shape)


def _tolerances(doses: Array, settings: GammaSettings) -> Array:
    """Dose criterion (n,) of each voxel, Gy."""
    whole = np.full(doses.shape, settings.normalisation)
    scale = np.maximum(np.abs(doses), _LEAST_LOCAL * whole) if settings.local else whole
    tolerances: Array = settings.percent / 100 * scale
    return tolerances
