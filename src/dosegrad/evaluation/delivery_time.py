"""How long a plan of spots takes to deliver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.errors import PlanError, SettingsError, unknown_name
from dosegrad.plan import Plan

__all__ = ["DELIVERY_PRESETS", "DeliveryModel", "DeliveryTime", "delivery_time"]


@dataclass(frozen=True, slots=True)
class DeliveryModel:
    """What each step of a delivery takes; times are those of one fraction.

    Parameters
    ----------
    beam
        From one field to the next, s, the first included.
    layer_down, layer_up
        Change of energy to a lower and to a higher one, s.
    spot
        Preparation and verification of each spot, s.
    speed_x, speed_y
        Of scanning in the isocentre plane, mm/s.
    rate
        10^6 particles per second while a spot is on.
    source
        Where the numbers are from.

    Raises
    ------
    SettingsError
        If a time is negative, or a speed or rate is not positive.
    """

    beam: float = 30.0
    layer_down: float = 1.0
    layer_up: float = 1.0
    spot: float = 0.005
    speed_x: float = 5000.0
    speed_y: float = 10000.0
    rate: float = 6667.0
    source: str = ""

    def __post_init__(self) -> None:
        times = (self.beam, self.layer_down, self.layer_up, self.spot)
        rates = (self.speed_x, self.speed_y, self.rate)
        if not (np.isfinite(times).all() and min(times) >= 0 and min(rates) > 0):
            raise SettingsError(
                f"times {times} s must be zero or more, speeds and rate {rates} positive; start "
                f"from one of {', '.join(DELIVERY_PRESETS)}."
            )


#: Machines by kind. Where a source gives no number the default of the model stands: 30 s a field
#: and 400 x 10^9 protons a minute are those of van de Water 2015 [vandeWater2015]_.
DELIVERY_PRESETS: Final[Mapping[str, DeliveryModel]] = MappingProxyType(
    {
        "synchrotron": DeliveryModel(
            layer_down=1.91,
            layer_up=1.91,
            spot=0.00193,
            speed_x=5900.0,
            speed_y=19300.0,
            source="Hitachi PROBEAT: layers, spots and speeds of Shen et al. 2017 [Shen2017]_",
        ),
        "cyclotron": DeliveryModel(
            layer_down=0.8,
            layer_up=0.8,
            spot=0.005,
            source="middle of 0.7 to 0.9 s a layer and 3 to 10 ms a spot",
        ),
        "fast-layers": DeliveryModel(
            layer_down=0.1,
            layer_up=0.1,
            spot=0.01,
            source="10 ms a spot, 0.1 s a layer: van de Water et al. 2015 [vandeWater2015]_",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class DeliveryTime:
    """Time of one fraction, s, by what takes it, and what it is spent on.

    Parameters
    ----------
    beams, layers, spots, scanning, irradiation
        Times, s.
    n_beams, n_layers, n_spots
        What is delivered: spots with a weight above 0, the layers and fields that hold some.
    """

    beams: float
    layers: float
    spots: float
    scanning: float
    irradiation: float
    n_beams: int
    n_layers: int
    n_spots: int

    @property
    def total(self) -> float:
        """The sum of all parts, s."""
        return self.beams + self.layers + self.spots + self.scanning + self.irradiation

    def __str__(self) -> str:
        return (
            f"{self.total:.0f} s a fraction: {self.n_beams} fields {self.beams:.0f} s, "
            f"{self.n_layers} layers {self.layers:.0f} s, {self.n_spots} spots {self.spots:.0f} s, "
            f"scanning {self.scanning:.1f} s, irradiation {self.irradiation:.0f} s"
        )


def delivery_time(plan: Plan, *, model: str | DeliveryModel = "synchrotron") -> DeliveryTime:
    r"""Time that one fraction of a plan of spots takes.

    .. math:: T = \sum_b t_b + \sum_l t_l + \sum_s \Bigl[ t_s
       + \max\Bigl(\frac{|\Delta x|}{v_x}, \frac{|\Delta y|}{v_y}\Bigr) + \frac{w_s}{n\,q} \Bigr]

    Fields come in their order, layers from the highest energy down, spots of a layer line by line
    in the order of y, every second line backwards.

    Parameters
    ----------
    plan
        Its weights are those of the whole course of n fractions.
    model
        ``"synchrotron"``, ``"cyclotron"``, ``"fast-layers"``, or a model of your own.

    Raises
    ------
    UnknownNameError
        If no model has that name.
    PlanError
        If the plan delivers nothing.

    References
    ----------
    Shen et al. 2017, Med. Phys. 44, 5081 [Shen2017]_.
    """
    if isinstance(model, str):
        if model not in DELIVERY_PRESETS:
            raise unknown_name("delivery model", model, DELIVERY_PRESETS)
        model = DELIVERY_PRESETS[model]
    on = plan.weights > 0
    if not on.any():
        raise PlanError("all weights are zero: nothing is delivered; optimise the plan first.")
    columns = plan.beams.columns[on]
    keys = np.column_stack([columns["beam"], -columns["energy"]])
    layers, layer = np.unique(keys, axis=0, return_inverse=True)
    layer = layer.reshape(-1)
    steps = np.diff(-layers[:, 1])
    n_beams = int(np.unique(columns["beam"]).size)
    return DeliveryTime(
        beams=n_beams * model.beam,
        layers=float(np.where(steps > 0, model.layer_up, model.layer_down).sum()),
        spots=columns.size * model.spot,
        scanning=sum(_scanning(columns[layer == number], model) for number in range(len(layers))),
        irradiation=float(plan.weights.sum()) / plan.fractions / model.rate,
        n_beams=n_beams,
        n_layers=len(layers),
        n_spots=int(columns.size),
    )


def _scanning(columns: NDArray[Any], model: DeliveryModel) -> float:
    """Time between the spots of one layer, s."""
    if columns.size < 2:
        return 0.0
    spread = np.ptp(columns["y"])
    n_lines = max(1, round(float(np.sqrt(columns.size))))
    line = np.floor((columns["y"] - columns["y"].min()) / max(spread, 1e-9) * n_lines).astype(int)
    line = np.minimum(line, n_lines - 1)
    order = np.lexsort([np.where(line % 2 == 0, 1.0, -1.0) * columns["x"], line])
    dx, dy = (np.abs(np.diff(columns[name][order])) for name in ("x", "y"))
    return float(np.maximum(dx / model.speed_x, dy / model.speed_y).sum())
