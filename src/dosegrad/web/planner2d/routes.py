"""Addresses of Planner 2D."""

from __future__ import annotations

import logging
import threading
from functools import cache, partial

import anyio
from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect

from dosegrad.errors import unknown_name
from dosegrad.web.planner2d.frames import answer, dose_frame
from dosegrad.web.planner2d.lessons import LESSONS
from dosegrad.web.planner2d.sections import SLICES, canvas_of, section_image
from dosegrad.web.planner2d.state import (
    ENERGIES,
    MAX_BEAMS,
    WEDGES,
    BeamState,
    PlanState,
    SectionState,
)

__all__ = ["planner2d_router"]

_log = logging.getLogger("dosegrad.web")


def planner2d_router() -> APIRouter:
    """What the page asks: its choices, images of sections, and a line for doses."""
    router = APIRouter(prefix="/api/planner2d")
    router.add_api_route("/choices", _choices)
    router.add_api_route("/sections/{name}", _section)
    router.add_api_websocket_route("/live", _live)
    return router


@cache
def _warm_up() -> None:
    """Prepares, beside the first page, what its first doses would otherwise wait for."""
    states = [PlanState(beams=[BeamState(gantry=0.0, energy=energy)]) for energy in ENERGIES]
    states += [lesson.start for lesson in LESSONS.values()]
    states += [PlanState(section=SectionState.model_validate({"kind": k})) for k in SLICES]

    def work() -> None:
        for state in states:
            dose_frame(state, 0)

    threading.Thread(target=work, name="planner2d-warm-up", daemon=True).start()


async def _choices() -> dict[str, object]:
    """Sections, lessons, energies and wedges."""
    _warm_up()
    lessons = [
        {
            "name": name,
            "title": lesson.title,
            "idea": lesson.idea,
            "task": lesson.task,
            "hint": lesson.hint,
            "rules": [rule.text for rule in lesson.rules],
            "start": lesson.start.model_dump(mode="json"),
        }
        for name, lesson in LESSONS.items()
    ]
    sections = [
        {
            "name": name,
            "title": recipe.title,
            "structures": [s.model_dump(mode="json") for s in recipe.structures],
        }
        for name, recipe in SLICES.items()
    ]
    return {
        "lessons": lessons,
        "sections": sections,
        "energies": ENERGIES,
        "wedges": WEDGES,
        "maxBeams": MAX_BEAMS,
    }


async def _section(name: str) -> Response:
    """Relative electron density of a phantom's slice, a byte a pixel."""
    if name not in SLICES:
        raise unknown_name("section", name, SLICES)
    section = SectionState.model_validate({"kind": name})
    image = await anyio.to_thread.run_sync(section_image, section)
    width = str(canvas_of(section).width)
    return Response(image, media_type="application/octet-stream", headers={"X-Width": width})


async def _live(socket: WebSocket) -> None:
    """Answers a page's requests in their order, each with one message."""
    await socket.accept()
    try:
        while True:
            text = await socket.receive_text()
            reply = await anyio.to_thread.run_sync(partial(_safely, text))
            if isinstance(reply, bytes):
                await socket.send_bytes(reply)
            else:
                await socket.send_text(reply)
    except (WebSocketDisconnect, RuntimeError, KeyError):
        return  # the page has gone, or sent bytes; it opens a new line if it wants to


def _safely(text: str) -> bytes | str:
    """The answer, or a message where a mistake of ours stands in its way."""
    try:
        return answer(text)
    except Exception:
        _log.exception("a request of the page failed")
        return '{"kind":"error","id":0,"message":"that could not be computed: a fault of ours"}'
