"""Addresses of the workspace."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import MISSING, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import anyio
from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from dosegrad.errors import DosegradError, SettingsError
from dosegrad.objectives.records import KINDS
from dosegrad.patient.phantoms import PHANTOMS
from dosegrad.web.security import confined
from dosegrad.web.workspace.files import list_folder
from dosegrad.web.workspace.schemas import MACHINES, REQUESTS
from dosegrad.web.workspace.session import Session
from dosegrad.web.workspace.sessions import Sessions

__all__ = ["workspace_router"]

_NAME: Final = re.compile(r"[0-9a-f]{16,40}")
#: Files that a page may fetch after they were written.
_FETCHED: Final = {".html": "text/html; charset=utf-8", ".npz": "application/octet-stream"}


def workspace_router(folder: Path, sessions: Sessions) -> APIRouter:
    """What the page asks: choices, folders, volumes, written files, and a line for all else."""
    router = APIRouter(prefix="/api/workspace")
    router.add_api_route("/choices", _choices)
    router.add_api_route("/files", partial(_files, folder))
    router.add_api_route("/written", partial(_written, folder))
    router.add_api_route("/{session}/volumes/{name}", partial(_volume, sessions))
    router.add_api_websocket_route("/live", partial(_live, sessions))
    return router


async def _choices() -> dict[str, Any]:
    """Phantoms, machines and kinds of objectives."""
    return {
        "phantoms": [{"name": name, "about": about} for name, about in PHANTOMS.items()],
        "machines": MACHINES,
        "kinds": _kinds(),
    }


@cache
def _kinds() -> list[dict[str, Any]]:
    """Kinds of objectives with their settings; one without default has ``null``."""
    found = []
    for name, cls in KINDS.items():
        settings = [
            {"name": f.name, "default": None if f.default is MISSING else f.default}
            for f in fields(cls)
            if f.name != "weight"
        ]
        about = (cls.__doc__ or name).strip().partition("\n")[0]
        found.append({"name": name, "settings": settings, "about": about})
    return found


async def _files(folder: Path, path: str = "") -> dict[str, Any]:
    """Entries of a folder."""
    return await anyio.to_thread.run_sync(list_folder, folder, path[:400])


async def _written(folder: Path, path: str) -> Response:
    """A report or plan that was saved below the folder."""
    place = confined(folder, path[:400])
    kind = _FETCHED.get(place.suffix.lower())
    if kind is None or not place.is_file():
        raise SettingsError(f"there is no report or plan {path!r}; save one first.")
    data = await anyio.Path(place).read_bytes()
    headers = {}
    if place.suffix.lower() == ".npz":
        headers["Content-Disposition"] = f'attachment; filename="{place.stem[:60]}.npz"'
    return Response(data, media_type=kind, headers=headers)


async def _volume(sessions: Sessions, session: str, name: str) -> Response:
    """A volume of a workspace."""
    found = sessions.get(session)
    volume = None if found is None else found.volumes.get(name)
    if volume is None:
        raise SettingsError("this is not there any more; the page fetches what has replaced it.")
    headers = {"Content-Encoding": "gzip", "X-Version": str(volume.version)}
    return Response(volume.data, media_type="application/octet-stream", headers=headers)


async def _live(sessions: Sessions, socket: WebSocket) -> None:
    """The line of one page: requests come in, whatever changes goes out."""
    await socket.accept()
    name = socket.query_params.get("session", "")
    if not _NAME.fullmatch(name):
        await _refuse(socket, "the workspace has no proper name; load the page again.")
        return
    try:
        session, is_new = sessions.enter(name)
    except SettingsError as error:
        await _refuse(socket, str(error))
        return
    waiting = session.join()
    waiting.put_nowait({"kind": "hello", "new": is_new})
    teller = asyncio.create_task(_tell(socket, waiting))
    try:
        while True:
            reply = _heard(session, await socket.receive_text())
            if reply:
                await socket.send_json({"kind": "error", "message": reply})
    except (WebSocketDisconnect, RuntimeError, KeyError):
        return  # the page has gone, or sent bytes; it opens a new line if it wants to
    finally:
        teller.cancel()
        session.leave(waiting)


def _heard(session: Session, text: str) -> str:
    """Hand on a request; what is wrong with it, if anything."""
    try:
        session.ask(REQUESTS.validate_json(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "message"
        return f"not understood: {place}: {first['msg']}"
    except DosegradError as error:
        return str(error)
    return ""


async def _tell(socket: WebSocket, waiting: asyncio.Queue[dict[str, Any]]) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.send_json(await waiting.get())


async def _refuse(socket: WebSocket, message: str) -> None:
    await socket.send_json({"kind": "refused", "message": message})
    await socket.close(code=4409)
