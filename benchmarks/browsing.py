"""Pages of this program in headless Chromium, for benchmarks and the pictures of the documents."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dosegrad.web.security import Access
from dosegrad.web.server import make_server

__all__ = ["SIZE", "find_browser", "served_browser", "served_page"]

#: Of a page, CSS pixels.
SIZE: Final = {"width": 1440, "height": 900}


def find_browser() -> str:
    """Path of Chromium or Chrome; ends the program where there is none."""
    found = (
        os.environ.get("DOSEGRAD_BROWSER")
        or shutil.which("chromium")
        or shutil.which("google-chrome")
    )
    if found is None:
        sys.exit("neither Chromium nor Chrome is installed")
    return found


@contextmanager
def served_browser(folder: Path | None) -> Iterator[tuple[Any, str]]:
    """A browser, and the address of a server that runs in a thread of this process."""
    from playwright.sync_api import sync_playwright

    browser_path = find_browser()
    server = make_server(port=0, host="127.0.0.1", folder=folder, access=Access())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        yield browser, url
        browser.close()
    server.should_exit = True
    thread.join(timeout=5)


@contextmanager
def served_page(folder: Path | None) -> Iterator[tuple[Any, str]]:
    """An empty page, and the address of a server that runs in a thread of this process."""
    with served_browser(folder) as (browser, url):
        print(f"cores {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
        yield browser.new_page(viewport=SIZE), url
