"""Figures of matplotlib as pictures inside a page."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Final

from matplotlib import rc_context
from matplotlib.figure import Figure

from dosegrad.report.page import Picture

__all__ = ["drawn", "painted"]

_DOTS: Final = 144  # per inch


def painted(figure: Figure, *, alt: str, caption: str) -> Picture:
    """A PNG: for pictures that are images anyway, such as slices."""
    content = _saved(figure, "png")
    return Picture(f"data:image/png;base64,{content}", alt, caption)


def drawn(figure: Figure, *, alt: str, caption: str) -> Picture:
    """An SVG: sharp at any size, for curves."""
    content = _saved(figure, "svg")
    return Picture(f"data:image/svg+xml;base64,{content}", alt, caption)


def _saved(figure: Figure, kind: str) -> str:
    buffer = BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with rc_context({"svg.hashsalt": "dosegrad", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=_DOTS, metadata=metadata)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
