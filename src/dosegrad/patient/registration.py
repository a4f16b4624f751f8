r"""Registration of CTs: where each point of one lies in another, rigidly or with deformation.

A point p of the fixed CT lies in the moving one at

.. math:: T(p) = A\,(p + u(p)), \qquad A(q) = R\,(q - c) + c + t

with a rotation R about the centre c of the fixed grid, a shift t, and a displacement u that is zero
for a rigid registration. The rigid part minimises the mean squared difference of HU, from coarse to
fine; the displacement comes from demons with symmetric forces [Vercauteren2009]_ on what the rigid
part has aligned. Both are those of SimpleITK.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array, Mask, Points, Volume, readonly
from dosegrad.errors import GeometryError, PatientError, unknown_name
from dosegrad.geometry.grid import Grid
from dosegrad.geometry.resample import interpolate
from dosegrad.patient.ct import CT
from dosegrad.patient.structures import MaskShape, Structure
from dosegrad.progress import report

if TYPE_CHECKING:
    from dosegrad.patient.patient import Patient

__all__ = ["Registration", "RegistrationMethod", "register"]

#: How much one CT may bend onto the other.
RegistrationMethod: TypeAlias = Literal["rigid", "deformable"]

_AIR: Final = -1000.0
#: HU that are compared; metal and padding beyond would outweigh the rest.
_WINDOW: Final = (-1000.0, 1200.0)
#: From here on it is bone, which keeps its shape; what is softer counts as this, mm3 of bone that
#: a rigid registration needs to go by.
_BONE: Final = 150.0
_ENOUGH_BONE: Final = 20_000.0
_SHRINK: Final = (4, 2, 1)
_ITERATIONS: Final = 120  # at most, on each level
_SAMPLES: Final = (1.0, 0.5, 0.2)  # of the voxels, on each level
_SEED: Final = 20240501
_DEMONS: Final = ((2, 60), (1, 30))  # shrinking and iterations
_SMOOTHING: Final = 1.5  # of the displacement, voxels
_INVERSION: Final = 100  # steps of the fixed point, at most
_EXACT: Final = 1e-8  # mm, at which it ends early; carried structures need less
_CLOSE: Final = 0.02
_BODY: Final = -350.0
_WATERY: Final = 100.0  # HU, between CTs of something homogeneous
#: Least correlation of HU of CTs that show the same, and least share of the body that both show.
_ALIKE: Final = 0.25
_SHARED: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """Where points of a fixed CT lie in a moving one; see the module for the equation.

    Parameters
    ----------
    fixed, moving
        Grids of the two CTs.
    rotation
        R, (3, 3), acting on (x, y, z).
    shift
        t, (3,), mm.
    displacement
        u on the fixed grid (z, y, x, 3), mm, (x, y, z), beyond it as at its edge; None for a rigid
        registration.
    difference
        Root mean square difference of HU, clipped to -1000 to 1200, where the CTs overlap: before
        and after.
    """

    fixed: Grid
    moving: Grid
    rotation: Array
    shift: Array
    displacement: Array | None
    difference: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("rotation", "shift"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        if self.displacement is not None:
            field = readonly(self.displacement)
            if field.shape != (*self.fixed.shape, 3):
                raise GeometryError(
                    f"a displacement of shape {field.shape} does not fit {self.fixed}; give "
                    "(z, y, x, 3)."
                )
            object.__setattr__(self, "displacement", field)

    def __repr__(self) -> str:
        x, y, z = self.shift
        bent = ""
        if self.displacement is not None:
            bent = f", bent by up to {self.largest_displacement:.1f} mm"
        return (
            f"Registration(shift {x:.1f}, {y:.1f}, {z:.1f} mm, {self.angle:.2f}°{bent}; "
            f"{self.difference[0]:.0f} to {self.difference[1]:.0f} HU)"
        )

    @property
    def angle(self) -> float:
        """Angle of the rotation, degree."""
        return float(np.degrees(np.arccos(np.clip((np.trace(self.rotation) - 1.0) / 2.0, -1, 1))))

    @property
    def largest_displacement(self) -> float:
        """Largest length of the displacement, mm; 0 for a rigid registration."""
        if self.displacement is None:
            return 0.0
        return float(np.sqrt((self.displacement**2).sum(axis=-1).max()))

    @property
    def _centre(self) -> Points:
        return self.fixed.to_point((np.asarray(self.fixed.shape) - 1) / 2)

    def to_moving(self, points: ArrayLike) -> Points:
        """Where ``points`` (..., 3) of the fixed CT lie in the moving one, (x, y, z) mm."""
        given = np.asarray(points, dtype=float)
        bent = given + self._displaced(given)
        moved: Points = (bent - self._centre) @ self.rotation.T + self._centre + self.shift
        return moved

    def to_fixed(self, points: ArrayLike) -> Points:
        """Where ``points`` (..., 3) of the moving CT lie in the fixed one, (x, y, z) mm."""
        return self._back(np.asarray(points, dtype=float), _EXACT)

    def resample(self, ct: CT) -> CT:
        """The moving CT brought to the fixed grid, trilinear; air where it does not reach."""
        if ct.grid != self.moving:
            raise GeometryError(
                f"the CT lies on {ct.grid}, but {self.moving} was registered; give the moving CT."
            )
        hu = ct.hu.astype(np.float64)

        def moved(points: Points) -> Array:
            return interpolate(ct.grid, hu, self.to_moving(points), outside=_AIR)

        return CT(self.fixed, _by_slices(self.fixed, moved).astype(np.float32), ct.position)

    def carry(self, structure: Structure, *, grid: Grid | None = None) -> Structure:
        """A structure of the fixed CT as voxels of the moving CT, or of ``grid`` in its space.

        A voxel belongs to it if its centre, carried back, is more inside than outside.
        """
        target = self.moving if grid is None else grid
        source = self.fixed
        inside = structure.mask(source)
        mask = np.zeros(target.shape, dtype=bool)
        first, last = self._box(inside, target)
        if inside.any() and (last > first).all():
            values = inside.astype(float)

            def covered(points: Points) -> Array:
                return interpolate(source, values, self._back(points, _CLOSE))

            box = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
            mask[box] = _by_slices(target.part(first, last), covered) > 0.5
        return replace(structure, shape=MaskShape(target, mask))

    def _box(self, inside: Mask, target: Grid) -> tuple[Array, Array]:
        """First voxel of ``target`` and the one after the last (3,) that a mask may reach."""
        found = np.argwhere(inside)
        if not found.size:
            return np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
        bounds = zip(found.min(axis=0) - 1, found.max(axis=0) + 1, strict=True)
        corners = self.fixed.to_point(list(product(*bounds)))
        rigid = (corners - self._centre) @ self.rotation.T + self._centre + self.shift
        places = target.to_index(rigid)
        margin = self.largest_displacement / np.asarray(target.spacing) + 1.0
        first = np.clip(np.floor(places.min(axis=0) - margin), 0, target.shape)
        last = np.clip(np.ceil(places.max(axis=0) + margin) + 1, 0, target.shape)
        return first.astype(np.int64), last.astype(np.int64)

    def _back(self, points: Points, accuracy: float) -> Points:
        """Where points of the moving CT lie in the fixed one, to ``accuracy`` mm."""
        bent: Points = (points - self._centre - self.shift) @ self.rotation + self._centre
        found = bent
        for _ in range(_INVERSION if self.displacement is not None else 0):
            previous, found = found, bent - self._displaced(found)
            if np.abs(found - previous).max() < accuracy:
                break
        return found

    def _displaced(self, points: Array) -> Array:
        if self.displacement is None:
            return np.zeros_like(points)
        # Beyond the grid it goes on as at the edge: a jump there would make two points one.
        last = np.asarray(self.fixed.shape) - 1.0
        near = self.fixed.to_point(np.clip(self.fixed.to_index(points), 0.0, last))
        parts = [interpolate(self.fixed, self.displacement[..., k], near) for k in range(3)]
        return np.stack(parts, axis=-1)


def register(
    fixed: CT | Patient, moving: CT | Patient, *, method: RegistrationMethod = "rigid"
) -> Registration:
    """The registration that brings ``moving`` to ``fixed``, such as today's CT to that of the plan.

    Rigid registration finds how the patient was lying; what grew or shrank stays visible in the
    resampled CT. Deformable registration follows tissue, to carry structures along.

    Parameters
    ----------
    fixed, moving
        CTs, or patients whose CTs are meant.
    method
        ``"rigid"`` or ``"deformable"``, the latter on top of the former.

    Raises
    ------
    PatientError
        If one is neither a CT nor a patient, the patients lie in different positions, or the CTs
        have nothing in common.
    UnknownNameError
        If there is no such method.

    References
    ----------
    Vercauteren et al. 2009, NeuroImage 45, S61 [Vercauteren2009]_.
    """
    if method not in get_args(RegistrationMethod):
        raise unknown_name("registration method", method, get_args(RegistrationMethod))
    first, second = _ct_of(fixed), _ct_of(moving)
    if first.position != second.position:
        raise PatientError(
            f"one CT shows the patient in position {first.position}, the other in "
            f"{second.position}; CTs of one position can be registered. Scan the patient as "
            "planned, or plan anew."
        )
    still = Registration(first.grid, second.grid, np.eye(3), np.zeros(3), None, (0.0, 0.0))
    before = _difference(first, still.resample(second))
    rotation, shift = _rigid(first, second)
    found = replace(still, rotation=rotation, shift=shift)
    _check_likeness(first, second, found)
    if method == "deformable":
        found = replace(found, displacement=_demons(first, found.resample(second)))
    after = _difference(first, found.resample(second))
    report("registration", 1.0, f"{after:.0f} HU apart")
    return replace(found, difference=(before, after))


def _check_likeness(fixed: CT, moving: CT, found: Registration) -> None:
    """Raise unless CTs that were registered show much the same.

    What counts is the correlation of HU in the bodies, as far as the moving CT reaches.
    """
    blank = CT(moving.grid, np.zeros(moving.grid.shape, np.float32), moving.position)
    reached = found.resample(blank).hu > 0.5 * _AIR
    here, there = (
        np.clip(c.hu.astype(np.float64), *_WINDOW) for c in (fixed, found.resample(moving))
    )
    body = here > _BODY
    n_body = max(int(np.count_nonzero(body)), 1)
    shared = np.count_nonzero(body & reached) / n_body
    either = reached & (body | (there > _BODY))
    here, there = here[either], there[either]
    alike = 0.0
    if either.any() and here.std() * there.std() > 0:
        alike = float(np.corrcoef(here, there)[0, 1])
    elif either.any():  # nothing but water
        alike = float(np.abs(here.mean() - there.mean()) < _WATERY)
    if shared < _SHARED or alike < _ALIKE:
        raise PatientError(
            "the two CTs have nothing in common that could be registered: aligned as well as can "
            f"be, they share {100 * shared:.0f} % of the body, and their HU there correlate by "
            f"{alike:.2f} (at least {_ALIKE}); check that they show the same part of the same "
            "patient."
        )


def _ct_of(given: object) -> CT:
    found = given if isinstance(given, CT) else getattr(given, "ct", None)
    if not isinstance(found, CT):
        raise PatientError(
            f"{type(given).__name__} cannot be registered; give two CTs, or patients with one."
        )
    return found


def _rigid(fixed: CT, moving: CT) -> tuple[Array, Array]:
    """Rotation (3, 3) and shift (3,), mm, about the centre of the fixed grid."""
    import SimpleITK

    bony = min(_bone_volume(fixed), _bone_volume(moving)) >= _ENOUGH_BONE
    window = (_BONE, _WINDOW[1]) if bony else _WINDOW
    target, image = _image(fixed, window), _image(moving, window)
    centre = fixed.grid.to_point((np.asarray(fixed.grid.shape) - 1) / 2)
    offset = _body_centre(moving) - _body_centre(fixed)
    transform = SimpleITK.Euler3DTransform()
    transform.SetCenter([float(v) for v in centre])
    # CTs of one frame of reference lie where they lie; others begin with their centres together.
    overlapping = np.abs(offset).max() < 50.0
    transform.SetTranslation([0.0 if overlapping else float(v) for v in offset])
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentagePerLevel(list(_SAMPLES), _SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetShrinkFactorsPerLevel(list(_SHRINK))
    method.SetSmoothingSigmasPerLevel([0.5 * s if s > 1 else 0.0 for s in _SHRINK])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.001, numberOfIterations=_ITERATIONS, relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )  # fmt: skip
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.AddCommand(SimpleITK.sitkIterationEvent, lambda: _tell_rigid(method))
    try:
        method.Execute(target, image)
    except RuntimeError:
        raise PatientError(
            "the two CTs have nothing in common that could be registered; check that they show "
            "the same part of the same patient."
        ) from None
    rotation = np.array(transform.GetMatrix()).reshape(3, 3)
    return rotation, np.array(transform.GetTranslation())


def _tell_rigid(method: Any) -> None:
    level, n = method.GetCurrentLevel(), len(_SHRINK)
    share = min(method.GetOptimizerIteration() / _ITERATIONS, 1.0)
    report("registration", 0.5 * (level + share) / n, "rigid")


def _demons(fixed: CT, aligned: CT) -> Array:
    """Displacement (z, y, x, 3), mm, from the fixed CT to one on its grid."""
    import SimpleITK

    target, image = _image(fixed), _image(aligned)
    field = None
    for number, (shrink, iterations) in enumerate(_DEMONS):
        coarse = [_shrunken(each, shrink) for each in (target, image)]
        if field is None:
            start = SimpleITK.Image(coarse[0].GetSize(), SimpleITK.sitkVectorFloat64)
            start.CopyInformation(coarse[0])
        else:
            start = SimpleITK.Resample(field, coarse[0])
        demons = SimpleITK.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(_SMOOTHING)
        demons.AddCommand(
            SimpleITK.sitkIterationEvent,
            lambda d=demons, k=number, n=iterations: report(
                "registration",
                0.5 + 0.5 * (k + d.GetElapsedIterations() / n) / len(_DEMONS),
                "deformable",
            ),
        )
        field = demons.Execute(*coarse, start)
    # Vectors of an image are those of space, whatever the direction of its axes.
    return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.Resample(field, target)))


def _shrunken(image: Any, factor: int) -> Any:
    import SimpleITK

    if factor == 1:
        return image
    smooth = SimpleITK.DiscreteGaussian(image, 1.0)
    factors = [factor if n >= 4 * factor else 1 for n in image.GetSize()]
    return SimpleITK.Shrink(smooth, factors)


def _bone_volume(ct: CT) -> float:
    """Volume of bone, mm3."""
    return float(np.count_nonzero(ct.hu > _BONE)) * ct.grid.voxel_volume_cc * 1000.0


def _image(ct: CT, window: tuple[float, float] = _WINDOW) -> Any:
    """The CT, clipped, as SimpleITK has it."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.clip(ct.hu, *window).astype(np.float32))
    image.SetSpacing(ct.grid.spacing[::-1])
    image.SetOrigin(ct.grid.origin)
    image.SetDirection([value for row in ct.grid.direction for value in row])
    return image


def _body_centre(ct: CT) -> Points:
    """Centre of all voxels above -350 HU, (x, y, z) mm."""
    inside = np.argwhere(ct.hu > _BODY)
    if not inside.size:
        raise PatientError("a CT holds nothing but air; give one that shows the patient.")
    return ct.grid.to_point(inside.mean(axis=0))


def _difference(fixed: CT, other: CT) -> float:
    """Root mean square difference of HU on one grid, where either is more than air."""
    pair = [np.clip(c.hu.astype(np.float64), *_WINDOW) for c in (fixed, other)]
    body = np.maximum(*pair) > _BODY
    if not body.any():
        return 0.0
    return float(np.sqrt(np.mean((pair[0][body] - pair[1][body]) ** 2)))


def _by_slices(grid: Grid, value: Callable[[Points], Array]) -> Volume:
    """``value(points)`` at the voxel centres of ``grid`` (z, y, x), slice by slice."""
    rows, columns = np.indices(grid.shape[1:])
    result = np.empty(grid.shape)
    for k in range(grid.shape[0]):
        indices = np.stack([np.full_like(rows, k), rows, columns], axis=-1)
        result[k] = value(grid.to_point(indices))
    return result
