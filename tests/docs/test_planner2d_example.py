"""The example of the pages serves them until it is stopped."""

import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "10_planner2d.py"


def free(port):
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_the_example_serves_and_stops(tmp_path):
    if not free(8000):
        pytest.skip("port 8000 is taken on this machine")
    server = subprocess.Popen([sys.executable, str(EXAMPLE)], cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen("http://127.0.0.1:8000/", timeout=2) as answer:
                    page = answer.read().decode()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        assert "<title>dosegrad</title>" in page
    finally:
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=20)
    assert b"http://127.0.0.1:8000/" in said
    assert b"Traceback" not in said
