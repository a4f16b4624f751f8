"""The tables ``[robust]`` and ``[spots]`` of a plan file: errors to stand, and spots that move."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dosegrad.cli.toml_values import at, choices, number, texts, whole
from dosegrad.errors import PlanError

if TYPE_CHECKING:
    from dosegrad.influence.scenarios import Scenarios

__all__ = ["RobustPart", "SpotsPart"]

_SETS = ("worst-case", "grid", "random")
_MODES = ("minimax", "expected", "objective-wise", "voxel-wise", "cvar")


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustPart:
    """``[robust]``: errors of set-up and range, and how objectives see them.

    ``setup``, mm, and ``range_percent`` are sizes of the errors; of random ones, standard
    deviations. Without ``structures`` all objectives are robust.
    """

    mode: str = field(default="minimax", metadata=at(choices(*_MODES), '"minimax"'))
    scenarios: str = field(default="worst-case", metadata=at(choices(*_SETS), '"worst-case"'))
    setup: float = field(default=3.0, metadata=at(number, "3.0"))
    range_percent: float = field(default=0.0, metadata=at(number, "3.5"))
    range_mm: float = field(default=0.0, metadata=at(number, "1.0"))
    n: int | None = field(default=None, metadata=at(whole, "30"))
    seed: int | None = field(default=None, metadata=at(whole, "1"))
    structures: tuple[str, ...] = field(default=(), metadata=at(texts, '["CTV"]'))

    def __post_init__(self) -> None:
        drawn = self.scenarios == "random"
        for name, value in (("n", self.n), ("seed", self.seed)):
            if drawn and value is None:
                raise PlanError(
                    f"[robust] lacks '{name}', which random scenarios need. Add a line such as "
                    f"{name} = {30 if name == 'n' else 1}."
                )
            if not drawn and value is not None:
                raise PlanError(
                    f"[robust] {name} is for random scenarios, not for {self.scenarios!r}; remove "
                    'it, or write scenarios = "random".'
                )

    def make(self) -> Scenarios:
        """The scenarios."""
        from dosegrad.influence.scenarios import Scenarios

        if self.scenarios == "random":
            assert self.n is not None
            assert self.seed is not None
            return Scenarios.random(
                self.n,
                seed=self.seed,
                setup_deviation=self.setup,
                range_percent_deviation=self.range_percent,
                range_mm_deviation=self.range_mm,
            )
        maker = Scenarios.grid if self.scenarios == "grid" else Scenarios.worst_case
        return maker(setup=self.setup, range_percent=self.range_percent, range_mm=self.range_mm)

    def choice(self) -> str | dict[str, str]:
        """How objectives see the scenarios, as :func:`dosegrad.optimise` takes it."""
        return dict.fromkeys(self.structures, self.mode) if self.structures else self.mode


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotsPart:
    """``[spots]``: spots move by at most ``max_shift``, mm; without the table they stay.

    ``energies`` are those of layers.
    """

    max_shift: float | None = field(default=None, metadata=at(number, "6.0"))
    energies: str = field(default="fixed", metadata=at(choices("fixed", "layers"), '"layers"'))
    method: str = field(
        default="simultaneous",
        metadata=at(choices("simultaneous", "alternating"), '"alternating"'),
    )
    max_spots: int | None = field(default=None, metadata=at(whole, "800"))

    def __post_init__(self) -> None:
        if self.max_shift is None:
            raise PlanError("[spots] lacks 'max_shift'. Add a line such as max_shift = 6.0.")

    def options(self) -> dict[str, Any]:
        """Keyword arguments for :func:`dosegrad.optimise_spots`."""
        return {
            "max_shift": self.max_shift,
            "energies": self.energies,
            "method": self.method,
            "max_spots": self.max_spots,
        }
