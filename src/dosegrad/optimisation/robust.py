r"""Ways to make one figure of the objective in many scenarios, and its slope.

With :math:`F_s` the objective in scenario s and :math:`p_s` its probability, each way gives a value
and the weights :math:`q_s = \partial f / \partial F_s`, from which the gradient follows as
:math:`\sum_s q_s D^{sT} \nabla F_s`. A maximum has a kink where two scenarios are equally bad, and
quasi-Newton steps fail there. So it is rounded off with a softness :math:`\tau`, which is lowered
in rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import SettingsError, unknown_name

__all__ = [
    "ROBUST",
    "Aggregation",
    "CVaR",
    "Expected",
    "Minimax",
    "ObjectiveWise",
    "Robust",
    "VoxelWise",
    "WorstSide",
    "resolve_robust",
    "soft_cvar",
    "soft_maximum",
]

#: Softness of a maximum in each round, as a share of the maximum.
_ROUNDS: Final = (0.1, 0.03, 0.01)
#: All scenarios from the start, or one and then those that turn out worse.
ScenarioChoice: TypeAlias = Literal["all", "as-needed"]
#: What is worst in a voxel: what the objective says, or too little in targets, else too much.
WorstSide: TypeAlias = Literal["objective", "role"]


@runtime_checkable
class Aggregation(Protocol):
    """Turns the objective in all scenarios into one figure."""

    @property
    def is_shared(self) -> bool:
        """Whether objectives are added up in each scenario before; else each is for itself."""
        ...

    @property
    def rounds(self) -> tuple[float, ...]:
        """Softness of each round, as a share of the value."""
        ...

    def aggregate(self, values: Array, chances: Array, softness: float) -> tuple[float, Array]:
        """Figure of ``values`` (n_scenarios,) with probabilities ``chances``, and its slope."""
        ...


@dataclass(frozen=True, slots=True)
class Expected:
    r"""The expected value over scenarios, :math:`\sum_s p_s F_s`.

    References
    ----------
    Unkelbach et al. 2018, Phys. Med. Biol. 63, 22TR02 [Unkelbach2018]_.
    """

    @property
    def is_shared(self) -> bool:
        """True."""
        return True

    @property
    def rounds(self) -> tuple[float, ...]:
        """One: the sum is smooth."""
        return (0.0,)

    def aggregate(self, values: Array, chances: Array, softness: float) -> tuple[float, Array]:
        """Expected value, and the probabilities."""
        return float(chances @ values), chances


@dataclass(frozen=True, slots=True)
class Minimax:
    r"""The composite worst case, :math:`\max_s F_s`: the sum of objectives in the worst scenario.

    Parameters
    ----------
    rounds
        Softness in each round, as a share of the maximum.
    scenarios
        ``"as-needed"``: begin with the worst scenario and add another whenever the plan is worse
        in it by more than 1 %; or ``"all"`` from the start, as it is anyway if an objective looks
        at more than worst cases.

    References
    ----------
    Fredriksson, Forsgren, Hårdemark 2011, Med. Phys. 38, 1672 [Fredriksson2011]_.
    """

    rounds: tuple[float, ...] = _ROUNDS
    scenarios: ScenarioChoice = "as-needed"

    def __post_init__(self) -> None:
        _check(self.rounds, self.scenarios)

    @property
    def is_shared(self) -> bool:
        """True."""
        return True

    def aggregate(self, values: Array, chances: Array, softness: float) -> tuple[float, Array]:
        """Softened maximum, and the share of each scenario in it; probabilities do not count."""
        return soft_maximum(values, softness)


@dataclass(frozen=True, slots=True)
class ObjectiveWise:
    r"""The worst case of each objective for itself, :math:`\sum_m \omega_m \max_s f_m(d^s)`.

    Parameters
    ----------
    rounds, scenarios
        As in :class:`Minimax`.
    """

    rounds: tuple[float, ...] = _ROUNDS
    scenarios: ScenarioChoice = "as-needed"

    def __post_init__(self) -> None:
        _check(self.rounds, self.scenarios)

    @property
    def is_shared(self) -> bool:
        """False."""
        return False

    def aggregate(self, values: Array, chances: Array, softness: float) -> tuple[float, Array]:
        """Softened maximum, and the share of each scenario in it; probabilities do not count."""
        return soft_maximum(values, softness)


@dataclass(frozen=True, slots=True)
class CVaR:
    r"""The expected value in the worst part of all cases, a share :math:`1 - \alpha` of them.

    .. math:: \min_t\; t + \frac{1}{1 - \alpha} \sum_s p_s \max(F_s - t, 0)

    With alpha 0 it is the expected value; towards 1 it becomes the composite worst case.

    Parameters
    ----------
    alpha
        Share of cases, the better ones, that do not count; from 0 to below 1.
    rounds
        As in :class:`Minimax`.

    References
    ----------
    Fredriksson 2012, Med. Phys. 39, 5169 [Fredriksson2012]_.
    """

    alpha: float = 0.8
    rounds: tuple[float, ...] = _ROUNDS

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise SettingsError(
                f"alpha {self.alpha} must be from 0, the expected value, to below 1, such as 0.8; "
                "it is the share of cases that do not count."
            )
        _check(self.rounds, "all")

    @property
    def is_shared(self) -> bool:
        """True."""
        return True

    def aggregate(self, values: Array, chances: Array, softness: float) -> tuple[float, Array]:
        """Softened conditional value at risk, and the weight of each scenario in it."""
        return soft_cvar(values, chances, self.alpha, softness)


@dataclass(frozen=True, slots=True)
class VoxelWise:
    """The objective of a dose that is the worst in each voxel over all scenarios.

    Parameters
    ----------
    side
        What is worst: ``"objective"``, the lowest or the highest dose, whichever the objective
        minds more (both sides of a squared deviation count); ``"role"``, the lowest dose in
        targets and the highest elsewhere, as matRad has it.
    """

    side: WorstSide = "objective"

    def __post_init__(self) -> None:
        if self.side not in ("objective", "role"):
            raise unknown_name("worst side", self.side, ("objective", "role"))

    @property
    def rounds(self) -> tuple[float, ...]:
        """One: it is not softened."""
        return (0.0,)


#: How objectives see the scenarios.
Robust: TypeAlias = Expected | Minimax | ObjectiveWise | VoxelWise | CVaR

#: Name -> how objectives see the scenarios.
ROBUST: Final[Mapping[str, type[Robust]]] = {
    "expected": Expected,
    "minimax": Minimax,
    "objective-wise": ObjectiveWise,
    "voxel-wise": VoxelWise,
    "cvar": CVaR,
}


def resolve_robust(how: str | Robust) -> Robust:
    """Settings from a name, or the settings themselves.

    Raises
    ------
    UnknownNameError
        If nothing has that name.
    SettingsError
        If it is something else.
    """
    if isinstance(how, str):
        if how not in ROBUST:
            raise unknown_name("way to be robust", how, ROBUST)
        return ROBUST[how]()
    if not isinstance(how, Expected | Minimax | ObjectiveWise | VoxelWise | CVaR):
        raise SettingsError(
            f"{how!r} is no way to be robust; give one of the names {', '.join(ROBUST)}, or "
            "settings such as CVaR(alpha=0.8)."
        )
    return how


def soft_maximum(values: Array, softness: float) -> tuple[float, Array]:
    r"""Rounded maximum and its slope: the logarithm of a sum of exponentials.

    .. math:: M + \tau \log \sum_s e^{(F_s - M) / \tau}, \quad M = \max_s F_s

    From the maximum up to :math:`\tau \log n` above it. The slope is that of the worst case alone
    if ``softness`` is 0.

    Examples
    --------
    >>> value, share = soft_maximum(np.array([3.0, 3.0]), 0.1)
    >>> round(value, 4), share.tolist()
    (3.0693, [0.5, 0.5])
    """
    top = float(values.max())
    if softness <= 0:
        share = np.zeros(values.size)
        share[int(values.argmax())] = 1.0
        return top, share
    parts = np.exp((values - top) / softness)
    total = float(parts.sum())
    return top + softness * float(np.log(total)), parts / total


def soft_cvar(values: Array, chances: Array, alpha: float, softness: float) -> tuple[float, Array]:
    r"""Rounded conditional value at risk and its slope.

    .. math:: \max_q \sum_s q_s F_s - \tau \sum_s q_s \log (q_s / p_s), \quad
       0 \le q_s \le p_s / (1 - \alpha),\; \sum_s q_s = 1

    which is the conditional value at risk itself for :math:`\tau = 0`, and below it by at most
    :math:`-\tau \log (1 - \alpha)`. The weights are :math:`p_s e^{(F_s - \lambda) / \tau}`, none
    above its limit: the worst scenarios are at the limit, and what is left is shared by the rest.
    A scenario of probability 0 has none.

    Examples
    --------
    >>> value, weight = soft_cvar(np.array([1.0, 2.0, 4.0, 4.0]), np.full(4, 0.25), 0.5, 0.0)
    >>> value, weight.tolist()
    (4.0, [0.0, 0.0, 0.5, 0.5])
    """
    possible = chances > 0
    if not possible.all():
        weights = np.zeros(values.size)
        value, weights[possible] = soft_cvar(values[possible], chances[possible], alpha, softness)
        return value, weights
    order = np.argsort(-values, kind="stable")
    worst, share = values[order], chances[order]
    limits = share / (1.0 - alpha)
    weights = np.zeros(values.size)
    if softness <= 0:
        room = 1.0 - np.concatenate([[0.0], np.cumsum(limits)[:-1]])
        weights[order] = np.clip(room, 0.0, limits)
        return float(weights @ values), weights
    used = np.concatenate([[0.0], np.cumsum(limits)])
    for n in range(values.size):  # how many of the worst are at their limit
        parts = share[n:] * np.exp((worst[n:] - worst[n]) / softness)
        rest = max(1.0 - used[n], 0.0) * parts / max(float(parts.sum()), 1e-300)
        if rest[0] <= limits[n]:
            break
    weights[order] = np.concatenate([limits[:n], rest])
    inside = weights > 0
    spread = float(weights[inside] @ np.log(weights[inside] / chances[inside]))
    return float(weights @ values) - softness * spread, weights


def _check(rounds: tuple[float, ...], scenarios: str) -> None:
    if not rounds or not all(0 < r < np.inf for r in rounds):
        raise SettingsError(
            f"rounds {rounds} must be one or more positive shares of the maximum, such as "
            f"{_ROUNDS}; smaller ones are closer to the true maximum and harder to optimise."
        )
    if scenarios not in ("all", "as-needed"):
        raise unknown_name("choice of scenarios", scenarios, ("all", "as-needed"))
