"""Starting the server."""

from __future__ import annotations

import logging
import os
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dosegrad.errors import SettingsError

if TYPE_CHECKING:
    import uvicorn

    from dosegrad.web.security import Access

__all__ = ["MAX_MESSAGE", "make_server", "serve"]

#: Bytes of a WebSocket message from a page.
MAX_MESSAGE: Final = 256_000
_log = logging.getLogger("uvicorn.error")


def serve(
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    folder: str | Path | None = None,
    open_page: bool = True,
) -> None:
    """Serve the pages until stopped (Ctrl-C), and open them where there is a screen.

    Parameters
    ----------
    port
        0 takes a free one.
    host
        This machine alone by default. Any other address lets others in who have the token that is
        printed with the address.
    folder
        Below which the pages may open and save files; the working folder by default.
    open_page
        Whether to open the page in a browser.

    Raises
    ------
    SettingsError
        If the port is not possible, or there is no such folder.
    """
    from dosegrad.web.security import Access

    access = Access.for_host(host)
    server = make_server(port=port, host=host, folder=folder, access=access)
    if open_page and _has_screen():
        threading.Timer(1.0, webbrowser.open, [_address(host, port, access)]).start()
    if access.token is not None:
        _log.warning("the pages can be reached from other machines by those with the address")
    with suppress(KeyboardInterrupt):  # the usual way to stop it
        server.run()


def make_server(
    *, port: int, host: str, folder: str | Path | None, access: Access
) -> uvicorn.Server:
    """A server that has not been started.

    Raises
    ------
    SettingsError
        If the port is not possible, or there is no such folder.
    """
    import uvicorn

    from dosegrad.web.app import create_app

    if not 0 <= port <= 65535:
        raise SettingsError(f"port {port} is not possible; give 0 to 65535, such as 8000.")
    place = Path.cwd() if folder is None else Path(folder)
    if not place.is_dir():
        raise SettingsError(f"there is no folder {str(place)!r}; give one that is there.")
    app = create_app(access=access, folder=place)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,  # doses are floats: packing them costs more than it saves
        timeout_graceful_shutdown=2,
        server_header=False,
        lifespan="off",
    )

    class Announcing(uvicorn.Server):
        """Says where the pages are once they can be reached; at its end, ends all work."""

        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets=sockets)  # type: ignore[arg-type]
            for one in self.servers:
                taken = one.sockets[0].getsockname()[1]
                sys.stderr.write(f"dosegrad: {_address(host, taken, access)}  (Ctrl-C stops)\n")
                sys.stderr.flush()
                break

        async def shutdown(self, sockets: object = None) -> None:
            await super().shutdown(sockets=sockets)  # type: ignore[arg-type]
            app.state.workspaces.end()

    return Announcing(config)


def _address(host: str, port: int, access: Access) -> str:
    name = f"[{host}]" if ":" in host else host
    query = f"?token={access.token}" if access.token else ""
    return f"http://{name}:{port}/{query}"


def _has_screen() -> bool:
    """Whether opening a browser can work."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
