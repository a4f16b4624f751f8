"""A front of plans, and the way along it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import overload

import numpy as np
from scipy.optimize import linprog

from dosegrad.arrays import Array, readonly
from dosegrad.errors import PlanError, unknown_name
from dosegrad.plan import Plan

__all__ = ["Choice", "FrontShape", "ParetoFront"]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A point on a front.

    Parameters
    ----------
    values
        Objectives by name: of the mixture of plans that ``shares`` tells, at most.
    shares
        Part of each plan of the front (n_plans,); they sum to one.
    front
        Where it is from.
    """

    values: Mapping[str, float]
    shares: Array
    front: ParetoFront

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        object.__setattr__(self, "shares", readonly(self.shares))

    @property
    def plan(self) -> Plan:
        """The mixture of plans, with its dose."""
        return self.front.mixture(self.shares)


@dataclass(frozen=True, slots=True, eq=False)
class FrontShape:
    """What is known of a front: values of plans on it, and planes below it.

    Parameters
    ----------
    names
        Of the objectives.
    values
        Of the plans (n_plans, n_objectives).
    normals, bounds
        Planes: no plan has ``normals @ values < bounds``; (n_planes, n_objectives), (n_planes,).
    ranges
        Of the objectives over the front (n_objectives,).
    """

    names: tuple[str, ...]
    values: Array
    normals: Array
    bounds: Array
    ranges: Array

    def __post_init__(self) -> None:
        for name in ("values", "normals", "bounds", "ranges"):
            object.__setattr__(self, name, readonly(getattr(self, name)))


@dataclass(frozen=True, slots=True, eq=False)
class ParetoFront(Sequence[Plan]):
    """Plans none of which can be improved in one objective without loss in another, by much.

    Parameters
    ----------
    plans
        The plans, in the order of the first objective.
    shape
        Their values, and the planes that bound the front from below.
    gap
        No plan that keeps the goals is better than mixtures of these by more than this share of
        the range of every objective.
    message
        In words, how it ended.
    """

    plans: tuple[Plan, ...]
    shape: FrontShape
    gap: float
    message: str = ""

    def __repr__(self) -> str:
        names = ", ".join(self.shape.names)
        return f"ParetoFront({len(self.plans)} plans, {names}, gap {self.gap:.3g})"

    def __len__(self) -> int:
        return len(self.plans)

    @overload
    def __getitem__(self, index: int) -> Plan: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Plan, ...]: ...
    def __getitem__(self, index: int | slice) -> Plan | tuple[Plan, ...]:
        return self.plans[index]

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.plans)

    @property
    def values(self) -> tuple[Mapping[str, float], ...]:
        """Objectives by name, for each plan."""
        return tuple(self._by_name(row) for row in self.shape.values)

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Best and worst value of each objective over the front."""
        low, high = self.shape.values.min(axis=0), self.shape.values.max(axis=0)
        return {
            n: (float(a), float(b)) for n, a, b in zip(self.shape.names, low, high, strict=True)
        }

    def navigate(
        self,
        *,
        limits: Mapping[str, float] | None = None,
        prefer: str | Mapping[str, float] | None = None,
    ) -> Choice:
        """The best mixture of plans under limits on the objectives.

        A linear programme over the shares of the plans: since objectives are convex, the mixture's
        are not above the mixed values.

        Parameters
        ----------
        limits
            Highest value by objective.
        prefer
            Objective to be as good as it can be; or weights of several, which count in units of
            each range. By default all alike.

        Raises
        ------
        PlanError
            If no mixture keeps the limits; the message says how far they can be kept together.
        UnknownNameError
            If an objective is unknown.
        """
        wanted = self._preference(prefer)
        tops = np.full(len(self.shape.names), np.inf)
        for name, top in (limits or {}).items():
            number = self._number(name)
            if np.isnan(top):
                raise PlanError(f"limit {top} on {name!r} is no number; give its highest value.")
            tops[number] = top
        shares = self._mix(wanted, tops)
        return Choice(self._by_name(shares @ self.shape.values), shares, self)

    def mixture(self, shares: Array) -> Plan:
        """The plan that takes part ``shares`` (n_plans,) of each plan."""
        parts = np.asarray(shares, dtype=float)
        if parts.shape != (len(self),) or (parts < 0).any() or abs(parts.sum() - 1.0) > 1e-6:
            raise PlanError(
                f"shares {parts} are none of {len(self)} plans; give one for each, none negative, "
                "that sum to one."
            )
        return _mix_plans(self.plans, parts)

    def _mix(self, wanted: Array, tops: Array) -> Array:
        values, ranges = self.shape.values, self.shape.ranges
        if (tops == -np.inf).any():
            raise self._not_kept(tops)
        limited = np.isfinite(tops)
        # the others count a little, so that nothing is given away where the preferred are equal
        cost = (values / ranges) @ (wanted + 1e-4)
        rows = {"A_ub": (values / ranges).T[limited], "b_ub": (tops / ranges)[limited]}
        solved = linprog(
            cost,
            **(rows if limited.any() else {}),
            A_eq=np.ones((1, len(self))),
            b_eq=[1.0],
            method="highs",
        )
        if solved.status != 0:
            raise self._not_kept(tops)
        shares = np.maximum(solved.x, 0.0)
        mixed: Array = shares / shares.sum()
        return mixed

    def _not_kept(self, tops: Array) -> PlanError:
        words = []
        for number in np.flatnonzero(tops < np.inf):
            name, best = self.shape.names[number], float(self.shape.values[:, number].min())
            words.append(f"{name} <= {tops[number]:.4g} (best on the front: {best:.4g})")
        return PlanError(
            f"no plan of the front keeps {' and '.join(words)} together; raise a limit."
        )

    def _preference(self, prefer: str | Mapping[str, float] | None) -> Array:
        wanted = np.zeros(len(self.shape.names))
        if prefer is None:
            return wanted + 1.0
        chosen = {prefer: 1.0} if isinstance(prefer, str) else prefer
        for name, weight in chosen.items():
            number = self._number(name)
            if not 0 <= weight < np.inf:
                raise PlanError(
                    f"prefer= has the weight {weight} for {name!r}; it needs a finite number that "
                    "is not negative. What shall be as bad as it may be, has the weight 0."
                )
            wanted[number] = weight
        return wanted

    def _number(self, name: str) -> int:
        if name not in self.shape.names:
            raise unknown_name("objective of this front", name, self.shape.names)
        return self.shape.names.index(name)

    def _by_name(self, values: Array) -> dict[str, float]:
        return {n: float(v) for n, v in zip(self.shape.names, values, strict=True)}


def _mix_plans(plans: Sequence[Plan], shares: Array) -> Plan:
    """A plan of parts of plans of the same beams; its dose is the sum of the parts."""
    used = [(float(share), plan) for share, plan in zip(shares, plans, strict=True) if share > 1e-9]
    first = used[0][1]
    weights = np.zeros(first.weights.size)
    assert first.dose is not None
    array = np.zeros(first.dose.grid.shape)
    for share, plan in used:
        assert plan.dose is not None
        weights += share * plan.weights
        array += share * plan.dose.array
    named = {k: round(float(share), 6) for k, share in enumerate(shares) if share > 1e-9}
    return replace(
        first,
        weights=weights,
        dose=replace(first.dose, array=array),
        objective=None,
        history=(),
        quantities={},
        message=f"mixture of plans of a front: {named}",
    )
