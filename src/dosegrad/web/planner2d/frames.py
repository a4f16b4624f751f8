"""Answers to a page: a picture of the dose as floats with what is said about it, or text."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from dosegrad.arrays import Array
from dosegrad.errors import DosegradError
from dosegrad.web.planner2d.dose import factors_at, total_dose
from dosegrad.web.planner2d.export import plan_toml
from dosegrad.web.planner2d.judging import (
    Verdict,
    beam_curves,
    curve_points,
    histograms,
    judge,
)
from dosegrad.web.planner2d.lessons import check
from dosegrad.web.planner2d.sections import canvas_of
from dosegrad.web.planner2d.state import PlanState
from dosegrad.web.planner2d.weights import optimise_weights
from dosegrad.web.schemas import Model, Position

__all__ = ["Request", "answer", "dose_frame", "split_frame"]

_Number: TypeAlias = Annotated[int, Field(ge=0, le=2**53)]


class _Asked(Model):
    """What all requests hold: a number that comes back with the answer, and the plan."""

    id: _Number
    state: PlanState


class DoseRequest(_Asked):
    """The dose of the plan, and what it is worth unless the page does not ask."""

    kind: Literal["dose"]
    facts: bool = True


class CurvesRequest(_Asked):
    """Depth dose and profile of one beam."""

    kind: Literal["curves"]
    beam: Annotated[int, Field(ge=0, le=11)]


class ProbeRequest(_Asked):
    """Every factor of the dose at a point."""

    kind: Literal["probe"]
    point: tuple[Position, Position]


class OptimiseRequest(_Asked):
    """Weights that meet the goals best."""

    kind: Literal["optimise"]


class TomlRequest(_Asked):
    """The plan as a plan file."""

    kind: Literal["toml"]


Request: TypeAlias = Annotated[
    DoseRequest | CurvesRequest | ProbeRequest | OptimiseRequest | TomlRequest,
    Field(discriminator="kind"),
]
_REQUESTS: Final[TypeAdapter[Request]] = TypeAdapter(Request)


def answer(text: str | bytes) -> bytes | str:
    """The answer to a message of a page: bytes for a dose, JSON for all else.

    What cannot be understood or done is answered with a message for the user.
    """
    try:
        request = _REQUESTS.validate_json(text)
    except ValidationError as error:
        return _json({"kind": "error", "id": 0, "message": _understandable(error)})
    try:
        if isinstance(request, DoseRequest):
            return dose_frame(request.state, request.id, facts=request.facts)
        return _json({"kind": request.kind, "id": request.id, **_content(request)})
    except DosegradError as error:
        return _json({"kind": "error", "id": request.id, "message": str(error)})


def dose_frame(state: PlanState, number: int, *, facts: bool = True) -> bytes:
    """The dose of a plan, float32 Gy, rows from the top, behind a header.

    Bytes: length of the header (uint32, little endian), the header as JSON padded with blanks to
    a multiple of four bytes, then the values. The header tells histograms, goals and what a lesson
    asks for unless ``facts`` is false, as between two steps of a drag.
    """
    start = time.perf_counter()
    canvas = canvas_of(state.section)
    dose = total_dose(state)
    image = np.zeros(canvas.inside.size, dtype=np.float32)
    image[canvas.inside] = dose
    told = _worth(state, dose) if facts else {}
    header = _json(
        {
            "id": number,
            "width": canvas.width,
            "pixels": round(canvas.inside.size**0.5),
            "max": float(dose.max(initial=0.0)),
            **told,
            "ms": round(1e3 * (time.perf_counter() - start), 2),
        }
    ).encode()
    header += b" " * (-len(header) % 4)
    return struct.pack("<I", len(header)) + header + image.tobytes()


def _worth(state: PlanState, dose: Array) -> dict[str, object]:
    """Histograms, goals and the lesson's rules."""
    curves = histograms(state, dose)
    verdicts = judge(state, curves)
    rules, done = check(state, verdicts)
    top = 1.05 * max(float(dose.max(initial=0.0)), state.prescription)
    return {
        "dvhTop": top,
        "structures": [
            {
                "name": name,
                "mean": _finite(c.mean),
                "min": _finite(c.minimum),
                "max": _finite(c.maximum),
                "dvh": curve_points(c, top) if c.doses.size else [],
            }
            for name, c in curves.items()
        ],
        "goals": [_verdict(v) for v in verdicts],
        "rules": [_verdict(v) for v in rules],
        "done": done,
    }


def split_frame(frame: bytes) -> tuple[dict[str, Any], np.ndarray[Any, np.dtype[np.float32]]]:
    """Header and values (n, n) of :func:`dose_frame`."""
    (length,) = struct.unpack_from("<I", frame)
    header = json.loads(frame[4 : 4 + length])
    values = np.frombuffer(frame, dtype="<f4", offset=4 + length)
    return header, values.reshape(header["pixels"], header["pixels"])


def _content(
    request: CurvesRequest | ProbeRequest | OptimiseRequest | TomlRequest,
) -> Mapping[str, object]:
    state = request.state
    if isinstance(request, CurvesRequest):
        if request.beam >= len(state.beams):
            return {"beam": request.beam, "depth": [[], []], "profile": [[], []]}
        return {"beam": request.beam, **beam_curves(state, state.beams[request.beam])}
    if isinstance(request, ProbeRequest):
        return _probe(state, request.point)
    if isinstance(request, OptimiseRequest):
        return {"mu": optimise_weights(state)}
    return {"text": plan_toml(state)}


def _probe(state: PlanState, point: tuple[float, float]) -> Mapping[str, object]:
    canvas = canvas_of(state.section)
    inside = bool(canvas.photons.inside(np.array([point]))[0])
    beams: list[dict[str, object]] = []
    total = 0.0
    for beam in state.beams if inside else ():
        rows = factors_at(state, beam, point)
        dose = 0.01 * beam.mu * float(np.prod([value for _, value, _ in rows]))
        factors = [{"symbol": s, "value": v, "note": note} for s, v, note in rows]
        beams.append({"mu": beam.mu, "factors": factors, "dose": dose})
        total += dose
    return {"point": point, "inside": inside, "beams": beams, "dose": total}


def _verdict(verdict: Verdict) -> dict[str, object]:
    return {
        "text": verdict.text,
        "value": _finite(verdict.value),
        "unit": verdict.unit,
        "met": verdict.met,
    }


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _understandable(error: ValidationError) -> str:
    """The first thing that is wrong with a request, without what was sent."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "message"
    return f"the request was not understood: {place}: {first['msg']}"
