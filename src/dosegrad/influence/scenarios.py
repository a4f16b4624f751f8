"""Errors of set-up and range, and CT phases, that a plan shall stand, and how probable each is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array
from dosegrad.beams.beam import Beams
from dosegrad.errors import SettingsError, unknown_name
from dosegrad.influence.phases import CTPhase

__all__ = ["Scenario", "Scenarios", "SetupPoints"]

_Vector: TypeAlias = tuple[float, float, float]

#: Which set-up shifts a grid of scenarios has beside none.
SetupPoints: TypeAlias = Literal["faces", "corners", "faces-and-corners", "full"]

#: Number of axes along which a shift of each choice goes.
_SETUP_POINTS: Final[dict[SetupPoints, tuple[int, ...]]] = {
    "faces": (1,),
    "corners": (3,),
    "faces-and-corners": (1, 3),
    "full": (1, 2, 3),
}
_AXES: Final = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which treatment may differ from the plan.

    Parameters
    ----------
    shift
        Of the isocentre in the patient (x, y, z), mm, patient LPS: the patient lies displaced by
        as much the other way.
    range_percent
        All depths in the patient are longer by this many per cent: positive stops beams short.
    range_mm
        All depths are longer by this many mm of water, besides.
    name
        What to call it; made from the numbers if it is left out.
    phase
        Another CT of the patient, such as one of breathing, instead of the planning CT.
    """

    shift: _Vector = (0.0, 0.0, 0.0)
    range_percent: float = 0.0
    range_mm: float = 0.0
    name: str = ""
    phase: CTPhase | None = None

    def __post_init__(self) -> None:
        shift = tuple(float(s) for s in self.shift)
        if len(shift) != 3 or not np.isfinite((*shift, self.range_percent, self.range_mm)).all():
            raise SettingsError(
                f"scenario with shift {self.shift}, range {self.range_percent} % and "
                f"{self.range_mm} mm cannot be; give three finite shifts (x, y, z) in mm and "
                "finite range errors."
            )
        if self.range_percent <= -100:
            raise SettingsError(
                f"a range error of {self.range_percent:g} % leaves no tissue at all; give per "
                "cent above -100, such as -3.5."
            )
        object.__setattr__(self, "shift", shift)
        if not self.name:
            object.__setattr__(self, "name", self._described())

    @property
    def is_nominal(self) -> bool:
        """Whether all goes as planned."""
        return self.phase is None and not any((*self.shift, self.range_percent, self.range_mm))

    @property
    def depth_scale(self) -> float:
        """Factor of depths in the patient."""
        return 1.0 + self.range_percent / 100.0

    def apply(self, beams: Beams) -> Beams:
        """``beams`` with isocentres shifted; spots keep their places about them."""
        moved = [
            replace(b, isocentre=tuple(np.add(b.isocentre, self.shift).tolist())) for b in beams
        ]
        return Beams(beams.machine, tuple(moved), beams.columns)

    def _described(self) -> str:
        parts = [] if self.phase is None else [self.phase.name]
        parts += [f"{a} {s:+g} mm" for a, s in zip(_AXES, self.shift, strict=True) if s]
        if self.range_percent:
            parts.append(f"range {self.range_percent:+g} %")
        if self.range_mm:
            parts.append(f"range {self.range_mm:+g} mm")
        return ", ".join(parts) or "nominal"


@dataclass(frozen=True, slots=True)
class Scenarios:
    """A set of scenarios with probabilities that sum to one; a sequence of :class:`Scenario`.

    Parameters
    ----------
    cases
        The scenarios, each once.
    probabilities
        Of each; equal if they are left out.

    Raises
    ------
    SettingsError
        If there is none, one appears twice, or probabilities do not sum to one.

    Examples
    --------
    >>> cases = Scenarios.worst_case(setup=3.0, range_percent=3.5)
    >>> len(cases), cases[1].name, cases[8].name
    (9, 'x +3 mm', 'range -3.5 %')
    """

    cases: tuple[Scenario, ...]
    probabilities: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        cases = tuple(self.cases)
        if not cases:
            raise SettingsError("a set of scenarios needs at least one; add Scenario(), the plan.")
        keys = [(c.shift, c.range_percent, c.range_mm, id(c.phase)) for c in cases]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise SettingsError(
                    f"scenario {cases[number].name!r} appears twice; leave one out, and give the "
                    "other the sum of the probabilities."
                )
        given = tuple(float(p) for p in self.probabilities) or (1.0 / len(cases),) * len(cases)
        if len(given) != len(cases) or not np.isfinite(given).all() or min(given) < 0:
            raise SettingsError(
                f"{len(given)} probabilities do not fit {len(cases)} scenarios; give one for "
                "each, none of them negative."
            )
        if abs(sum(given) - 1.0) > 1e-9:
            raise SettingsError(
                f"probabilities of scenarios sum to {sum(given):g} instead of 1; divide each by "
                "their sum."
            )
        object.__setattr__(self, "cases", cases)
        object.__setattr__(self, "probabilities", given)

    def __len__(self) -> int:
        return len(self.cases)

    @overload
    def __getitem__(self, index: int) -> Scenario: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Scenario]: ...
    def __getitem__(self, index: int | slice) -> Scenario | Sequence[Scenario]:
        return self.cases[index]

    def __iter__(self) -> Iterator[Scenario]:
        return iter(self.cases)

    def __repr__(self) -> str:
        return f"Scenarios({len(self)}: {'; '.join(c.name for c in self)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each scenario."""
        return tuple(c.name for c in self)

    @classmethod
    def worst_case(
        cls, *, setup: ArrayLike = 3.0, range_percent: float = 0.0, range_mm: float = 0.0
    ) -> Scenarios:
        """The plan, a shift both ways along each axis, and range too short and too long: nine.

        Parameters
        ----------
        setup
            Size of the shifts, mm: one, or one for each axis (x, y, z). An axis with 0 has none.
        range_percent, range_mm
            Size of the range error; both parts act together, in the same direction.
        """
        sizes = _sizes(setup)
        _check_sizes(range_percent, range_mm)
        cases = [Scenario()]
        for axis, sign in product(range(3), (1.0, -1.0)):
            if sizes[axis]:
                cases.append(Scenario(_along(axis, sign * sizes[axis])))
        if range_percent or range_mm:
            cases += [Scenario(_NONE, s * range_percent, s * range_mm) for s in (1.0, -1.0)]
        return cls(tuple(cases))

    @classmethod
    def of_phases(
        cls,
        phases: Sequence[CTPhase],
        *,
        errors: Scenarios | None = None,
        with_nominal: bool = True,
    ) -> Scenarios:
        """CT phases, all equally probable, each by itself or with every one of some errors.

        Parameters
        ----------
        phases
            Other CTs of the patient.
        errors
            Of set-up and range, with their probabilities, that each phase has.
        with_nominal
            Whether the planning CT is one of the phases.
        """
        shown: list[CTPhase | None] = [*([None] if with_nominal else []), *phases]
        shaken = errors or cls((Scenario(),))
        cases = [
            replace(case, phase=phase, name="" if phase is not None else case.name)
            for phase in shown
            for case in shaken
        ]
        chances = [chance / len(shown) for _ in shown for chance in shaken.probabilities]
        return cls(tuple(cases), tuple(chances))

    @classmethod
    def grid(
        cls,
        *,
        setup: ArrayLike = 3.0,
        range_percent: float = 0.0,
        range_mm: float = 0.0,
        setup_points: SetupPoints = "faces",
        deviations: float | None = None,
    ) -> Scenarios:
        """Every set-up shift with every range error: 21 scenarios with ``"faces"``.

        Parameters
        ----------
        setup, range_percent, range_mm
            Sizes, as in :meth:`worst_case`.
        setup_points
            Shifts beside none: ``"faces"`` 6, ``"corners"`` 8, ``"faces-and-corners"`` 14,
            ``"full"`` 26. Those along several axes have the full size along each.
        deviations
            How many standard deviations the sizes are; probabilities are then in the ratio of
            the normal density. By default all are equal.
        """
        if setup_points not in _SETUP_POINTS:
            raise unknown_name("choice of set-up points", setup_points, _SETUP_POINTS)
        _check_sizes(range_percent, range_mm)
        wanted = (0, *_SETUP_POINTS[setup_points])
        signs = [s for s in product((0.0, 1.0, -1.0), repeat=3) if np.count_nonzero(s) in wanted]
        sizes = _sizes(setup)
        found: dict[Scenario, float] = {}
        for shift, side in product(signs, (0.0, 1.0, -1.0)):
            moved = tuple((np.array(shift) * sizes + 0.0).tolist())
            case = Scenario(moved, side * range_percent + 0.0, side * range_mm + 0.0)
            steps = np.count_nonzero(moved) + bool(case.range_percent or case.range_mm)
            found.setdefault(case, float(steps))
        if deviations is None:
            return cls(tuple(found))
        density = np.exp(-0.5 * deviations**2 * np.array(list(found.values())))
        return cls(tuple(found), tuple((density / density.sum()).tolist()))

    @classmethod
    def random(
        cls,
        n: int,
        *,
        seed: int,
        setup_deviation: ArrayLike = 1.5,
        range_percent_deviation: float = 0.0,
        range_mm_deviation: float = 0.0,
        with_nominal: bool = True,
    ) -> Scenarios:
        """``n`` scenarios drawn from normal distributions, all equally probable.

        Parameters
        ----------
        n
            How many, the plan itself included if it is ``with_nominal``.
        seed
            Of the draw; the same seed gives the same scenarios.
        setup_deviation
            Standard deviation of shifts, mm: one, or one for each axis (x, y, z).
        range_percent_deviation, range_mm_deviation
            Standard deviations of the two parts of the range error, which are independent.
        with_nominal
            Whether the first scenario is the plan itself.
        """
        if isinstance(n, bool) or n != int(n) or n < 1:
            raise SettingsError(f"{n} scenarios cannot be drawn; give a whole number from 1.")
        _check_sizes(range_percent_deviation, range_mm_deviation)
        sizes = [*_sizes(setup_deviation), range_percent_deviation, range_mm_deviation]
        draws = np.random.default_rng(seed).standard_normal((int(n) - with_nominal, 5)) * sizes
        drawn = [
            Scenario((d[0], d[1], d[2]), d[3], d[4], f"draw {k + 1}")
            for k, d in enumerate(draws.tolist())
        ]
        return cls((*([Scenario()] if with_nominal else []), *drawn))


_NONE: Final = (0.0, 0.0, 0.0)


def _sizes(setup: ArrayLike) -> Array:
    """Sizes (3,) of shifts along x, y, z."""
    sizes = np.asarray(setup, dtype=float)
    if sizes.shape not in ((), (3,)) or not np.isfinite(sizes).all() or (sizes < 0).any():
        raise SettingsError(
            f"set-up error {setup!r} cannot be; give one size in mm, or three (x, y, z), finite "
            "and not negative."
        )
    return np.broadcast_to(sizes, (3,))


def _check_sizes(*sizes: float) -> None:
    for size in sizes:
        if not (np.isfinite(size) and size >= 0):
            raise SettingsError(
                f"a range error of size {size} cannot be; give a finite size that is not "
                "negative, since both directions are made from it."
            )


def _along(axis: int, size: float) -> _Vector:
    shift = [0.0, 0.0, 0.0]
    shift[axis] = size
    return (shift[0], shift[1], shift[2])
