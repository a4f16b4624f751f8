"""Names for arrays by meaning, and the checks that constructors share."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Array",
    "BoolArray",
    "Float32Array",
    "IntArray",
    "Mask",
    "Points",
    "Volume",
    "Weights",
    "readonly",
]

Array: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.int32] | NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

#: A quantity on a grid, shape (z, y, x).
Volume: TypeAlias = NDArray[np.float64]
#: Voxels of a structure on a grid, shape (z, y, x).
Mask: TypeAlias = NDArray[np.bool_]
#: Positions (..., 3) as (x, y, z) in mm, patient LPS unless said otherwise.
Points: TypeAlias = NDArray[np.float64]
#: One number per plan variable: 10^6 particles a spot, MU a bixel.
Weights: TypeAlias = NDArray[np.float64]


def readonly(values: ArrayLike, dtype: Any = np.float64) -> NDArray[Any]:
    """``values`` as a contiguous array that refuses writing; copies only if it must.

    An array that already is read-only, contiguous and of the right type is shared. One that
    others could still write to is copied, so that a frozen value stays what it was.
    """
    array = np.ascontiguousarray(values, dtype=dtype)
    if array.flags.writeable:
        if array is values or np.shares_memory(array, np.asarray(values)):
            array = array.copy()
        array.flags.writeable = False
    return array
