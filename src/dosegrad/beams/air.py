"""The air between nozzle and skin, and where the skin is."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from dosegrad.arrays import Array

__all__ = ["AIR_STOPPING_POWER_RATIO", "SKIN_STOPPING_POWER_RATIO", "air_thickness"]

#: Water-equivalent thickness of air per its length [Hong1996]_.
AIR_STOPPING_POWER_RATIO: Final = 0.0011

#: A ray meets the skin where the stopping power ratio first exceeds this.
SKIN_STOPPING_POWER_RATIO: Final = 0.05


def air_thickness(distance: ArrayLike, air_offset: float) -> Array:
    """Water-equivalent thickness, mm, of the air between nozzle exit and skin.

    Parameters
    ----------
    distance
        From the nozzle exit to the skin, mm.
    air_offset
        Air that the depth tables contain already, mm.
    """
    thickness: Array = AIR_STOPPING_POWER_RATIO * (np.asarray(distance, dtype=float) - air_offset)
    return thickness
