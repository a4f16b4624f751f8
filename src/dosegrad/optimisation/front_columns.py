"""Which spots or bixels may take part in a front.

Plans of a front are optimal to a share of a per cent. A spot that hardly reaches any structure that
an objective is about would get any weight for a tiny gain, and dose elsewhere would have no bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.sparse import csc_array

from dosegrad.arrays import BoolArray
from dosegrad.objectives.squared import SquaredUnderdose
from dosegrad.optimisation.goal_limits import GoalLimit
from dosegrad.optimisation.problem import Term

__all__ = ["keep_columns", "reaching_columns"]

#: A column takes part whose highest value among rows that are watched is this share of its highest
#: at least. Particles peak in or near the target, photons near the skin.
_LEAST: Final = {"photons": 0.05}
_LEAST_OF_PARTICLES: Final = 0.1


def reaching_columns(
    matrix: csc_array, terms: Sequence[Term], kept: Sequence[GoalLimit], modality: str
) -> BoolArray:
    """Columns (n_columns,) that give enough dose where an objective or limit keeps it low."""
    watched = np.zeros(matrix.shape[0], dtype=bool)
    for term in terms:
        if not isinstance(term.objective, SquaredUnderdose):
            watched[term.rows] = True
    for limit in kept:
        if not limit.coldest:
            watched[limit.rows] = True
    least = _LEAST.get(modality, _LEAST_OF_PARTICLES)
    found = np.zeros(matrix.shape[1], dtype=bool)
    for column in range(found.size):
        mine = slice(matrix.indptr[column], matrix.indptr[column + 1])
        values = matrix.data[mine]
        here = values[watched[matrix.indices[mine]]]
        found[column] = here.size > 0 and here.max() >= least * values.max()
    return found


def keep_columns(matrix: csc_array, kept: BoolArray) -> csc_array:
    """``matrix`` with the columns emptied that are not ``kept`` (n_columns,)."""
    if kept.all():
        return matrix
    sizes = np.diff(matrix.indptr)
    entries = np.repeat(kept, sizes)
    starts = np.concatenate([[0], np.cumsum(np.where(kept, sizes, 0))]).astype(matrix.indptr.dtype)
    parts = (matrix.data[entries], matrix.indices[entries], starts)
    return csc_array(parts, shape=matrix.shape)
