"""Solve the ring schemes that come with the deterministic proton engine.

Run ``python -m dosegrad.commissioning.ring_schemes`` to write them anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import dosegrad.engines.yoda
from dosegrad.engines.yoda._splitting_solver import solve_rings

__all__ = ["main", "solved_scheme"]

#: Beamlets on each ring, largest spread and largest radius.
SCHEMES: Final = (
    ((1, 6), 0.8, 2.0),
    ((1, 6, 6), 0.8, 2.0),
    ((1, 6, 12), 0.8, 2.0),
    ((1, 6, 6, 12), 0.8, 2.0),
    ((1, 6, 6, 12, 12), 0.8, 2.0),
    ((1, 6, 6, 12, 12, 24), 0.8, 2.0),
    ((1, 6, 6, 12, 12, 24, 24), 0.8, 2.0),
)


def solved_scheme(
    counts: tuple[int, ...], largest_spread: float, largest_radius: float
) -> dict[str, Any]:
    """One scheme as it stands in the file."""
    rings, value = solve_rings(counts, largest_spread, largest_radius)
    return {
        "counts": list(counts),
        "largest_spread": largest_spread,
        "largest_radius": largest_radius,
        "mismatch": float(f"{value:.2e}"),
        "radius": rings[0].tolist(),
        "weight": rings[1].tolist(),
        "spread": rings[2].tolist(),
    }


def main() -> None:
    """Write the schemes beside the engine."""
    path = Path(dosegrad.engines.yoda.__path__[0]) / "data" / "ring_schemes.json"
    about = "Rings of beamlets in standard deviations of a spot; weight is that of one beamlet."
    schemes = [solved_scheme(*scheme) for scheme in SCHEMES]
    path.write_text(json.dumps({"about": about, "schemes": schemes}, indent=1) + "\n", "utf-8")
    print(f"wrote {len(schemes)} schemes to {path}")


if __name__ == "__main__":
    main()
