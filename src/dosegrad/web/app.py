"""The application that serves the pages."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from dosegrad import __version__
from dosegrad.errors import DosegradError, OutputError
from dosegrad.web.planner2d.routes import planner2d_router
from dosegrad.web.security import Access, Guard
from dosegrad.web.workspace.routes import workspace_router
from dosegrad.web.workspace.sessions import Sessions

__all__ = ["PAGES", "create_app"]

#: Addresses at which a page of the front end stands; it tells them apart itself.
PAGES: Final = ("/", "/workspace")


def create_app(*, access: Access | None = None, folder: Path | None = None) -> FastAPI:
    """The application.

    Parameters
    ----------
    access
        What it lets in; this machine alone by default.
    folder
        Below which files may be opened and saved; the working folder by default.

    Raises
    ------
    OutputError
        If the package was installed without its pages.
    """
    static = Path(str(files("dosegrad.web") / "static"))
    if not (static / "index.html").is_file():
        raise OutputError(
            f"the pages are not in {static}; expected the committed build. Install the package "
            "again, or run 'npm ci' and 'npm run build' in the folder 'web' of a clone."
        )
    app = FastAPI(title="dosegrad", version=__version__, docs_url=None, redoc_url=None)
    app.state.folder = (folder or Path.cwd()).resolve()
    app.add_middleware(Guard, access=access or Access())
    app.add_exception_handler(DosegradError, _tell)
    app.add_api_route("/api/health", _health)
    app.include_router(planner2d_router())
    app.state.workspaces = Sessions(app.state.folder)
    app.include_router(workspace_router(app.state.folder, app.state.workspaces))
    for page in PAGES:
        app.add_api_route(page, _page(static), include_in_schema=False)
    app.mount("/static", StaticFiles(directory=static), name="static")
    return app


def _page(static: Path):  # type: ignore[no-untyped-def]
    async def page() -> FileResponse:
        return FileResponse(static / "index.html")

    return page


async def _health() -> dict[str, str]:
    return {"name": "dosegrad", "version": __version__}


async def _tell(request: Request, error: Exception) -> JSONResponse:
    """An error of ours as what to tell the user."""
    del request
    return JSONResponse({"error": type(error).__name__, "message": str(error)}, status_code=400)
