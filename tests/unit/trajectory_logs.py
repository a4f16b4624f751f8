"""Synthetic trajectory logs, after the public specification of the format."""

import struct
from types import SimpleNamespace

import numpy as np

AXES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 40, 41, 42, 50)


def motion(apertures, gantry, units, *, steps=40):
    """Samples of a beam that goes from the middle of one segment to the next."""
    ends = np.concatenate([[0.0], np.cumsum(units)])
    places = np.linspace(0.0, ends[-1], steps * len(units) + 1)
    segment = np.clip(np.searchsorted(ends, places, side="right") - 1, 0, len(units) - 1)
    return SimpleNamespace(
        mu=places,
        point=segment.astype(float),
        gantry=np.asarray(gantry, dtype=float)[segment],
        collimator=apertures.rotation[segment],
        jaws=apertures.jaws[segment],
        left=apertures.left[segment],
        right=apertures.right[segment],
    )


def columns(state, scale):
    """Values of every axis of one kind (samples, values) as machines write them: cm, degree."""
    n = state.mu.size
    turn = (lambda a: a % 360.0) if scale == 2 else (lambda a: (180.0 - a) % 360.0)
    x1, x2, y1, y2 = state.jaws.T / 10.0
    parts = [turn(state.collimator), turn(state.gantry), -y1, y2, -x1, x2]
    parts += [np.zeros(n)] * 6 + [state.mu, np.zeros(n), state.point, np.zeros(n), np.zeros(n)]
    return np.column_stack([*parts, state.right / 10.0, -state.left / 10.0])


def log(path, planned, delivered, *, scale=1, model=2, version=b"3.0", starts=(), **header):
    """Write a log; ``header`` may lie about ``samples``, ``axes``, ``size`` and ``truncated``."""
    pairs = planned.left.shape[1]
    sizes = [1] * 15 + [2 * pairs + 2]
    words = [header.get("size", 1024), header.get("interval", 20), header.get("axes", len(AXES))]
    words += [*AXES, *header.get("sizes", sizes), scale, len(starts), header.get("truncated", 0)]
    words += [header.get("samples", planned.mu.size), model]
    head = b"VOSTL".ljust(16, b"\0") + version.ljust(16, b"\0")
    head += struct.pack(f"<{len(words)}i", *words)
    head = head.ljust(900, b"\0") + b"Sentinel^Name"  # later versions hold names of patients here
    subs = b"".join(
        struct.pack("<iffi", start, 0.0, 0.0, k) + b"Sentinel^Field".ljust(544, b"\0")
        for k, start in enumerate(starts)
    )
    table = np.stack([columns(planned, scale), columns(delivered, scale)], axis=2)
    data = np.ascontiguousarray(table, dtype="<f4").tobytes()
    path.write_bytes(head.ljust(1024, b"\0") + subs + data + b"\0\0")
    return path
