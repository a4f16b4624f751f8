"""``dosegrad web``: the pages in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["web"]


def web(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder whose files the pages may open. [this folder]")
    ] = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine need the token.")
    ] = "127.0.0.1",
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Serve Planner 2D and the planning workspace in the browser, until stopped."""
    from dosegrad.web import serve

    serve(port=port, host=host, folder=folder, open_page=open_page)
