"""Servers of the pages for tests, each on a port of its own."""

import http.client
import threading
import time
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from dosegrad.web.security import Access
from dosegrad.web.server import make_server


class Answer(NamedTuple):
    """What the server said."""

    status: int
    text: str
    headers: dict


class Running:
    """A server in a thread of this process."""

    def __init__(self, port=0, access=None, folder=None):
        self.server = make_server(
            port=port, host="127.0.0.1", folder=folder, access=access or Access()
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        for _ in range(400):
            if self.server.started:
                break
            time.sleep(0.05)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def get(self, path, *, method="GET", **headers):
        """An answer; the path goes out as it stands, and headers may contradict the address."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            line.putrequest(method, path, skip_host=True)
            named = {"host": f"127.0.0.1:{self.port}", **headers}
            for name, value in named.items():
                line.putheader(name.replace("_", "-"), value)
            line.endheaders()
            answer = line.getresponse()
            return Answer(answer.status, answer.read().decode(), dict(answer.getheaders()))
        finally:
            line.close()

    def line(self, *, origin=None, path="/api/planner2d/live", **options):
        """A WebSocket to the server."""
        from websockets.sync.client import connect

        return connect(f"ws://127.0.0.1:{self.port}{path}", origin=origin, max_size=None, **options)

    def stop(self):
        self.server.should_exit = True
        self.server.force_exit = True
        self.thread.join(timeout=10)


@contextmanager
def running(**options):
    server = Running(**options)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server of the pages, for all tests."""
    with running(folder=tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def serving():
    """Makes further servers: a context manager that takes what ``Running`` takes."""
    return running
