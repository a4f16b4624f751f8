"""Tumour control probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dosegrad.arrays import Array
from dosegrad.errors import PlanError
from dosegrad.objectives.structure_objective import ObjectiveBase, check_weight

__all__ = ["TCP"]


@dataclass(frozen=True, slots=True)
class TCP(ObjectiveBase):
    r"""Expected number of surviving clonogenic cells: minus the logarithm of Poisson's TCP.

    .. math:: f = -\log \mathrm{TCP} = N \sum_i v_i\, e^{-\alpha d_i - \beta d_i^2 / n}

    N cells are spread evenly over the structure; n fractions give the dose d of the whole course.

    Parameters
    ----------
    alpha, beta
        Radiosensitivity, 1/Gy and 1/Gy2.
    clonogens
        N, number of cells in the structure.
    fractions
        n, number of fractions of the course.
    weight
        Factor in the sum of objectives.

    References
    ----------
    Webb, Nahum 1993, Phys. Med. Biol. 38, 653.
    """

    kind: ClassVar[str] = "tcp"

    alpha: float = 0.3
    beta: float = 0.03
    clonogens: float = 1e7
    fractions: float = 30.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(type(self).__name__, self.weight)
        positive = (self.alpha, self.clonogens, self.fractions)
        if not (all(0 < x < np.inf for x in positive) and 0 <= self.beta < np.inf):
            raise PlanError(
                f"TCP has alpha {self.alpha}, beta {self.beta}, {self.clonogens:g} clonogens and "
                f"{self.fractions} fractions; all must be positive and finite, beta may be "
                "0. Leave them out to take 0.3, 0.03, 1e7 and 30."
            )

    @property
    def is_convex(self) -> bool:
        r"""Whether it is at any dose: where :math:`\alpha^2 \ge 2 \beta / n`."""
        return self.alpha**2 >= 2.0 * self.beta / self.fractions

    def probability(self, dose: Array, share: Array) -> float:
        """Tumour control probability, 0 to 1, for ``dose`` (n,) and volume ``share`` (n,)."""
        return float(np.exp(-self.value_and_gradient(dose, share)[0]))

    def value_and_gradient(self, dose: Array, share: Array) -> tuple[float, Array]:
        """Surviving cells, and the derivative (n,), for ``dose`` (n,) and volume ``share`` (n,)."""
        per_fraction = self.beta / self.fractions
        alive = self.clonogens * share * np.exp(-dose * (self.alpha + per_fraction * dose))
        return float(alive.sum()), -alive * (self.alpha + 2.0 * per_fraction * dose)
