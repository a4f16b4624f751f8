"""Trajectory logs of TrueBeam machines (``.bin``), versions 1.5 to 5.

A header of 1024 bytes names the sampled axes; then come the descriptions of sub-beams, and for each
sample and axis the expected and the actual value, single precision. Lengths are cm, angles degree.
Jaws count from the axis outwards, each on its own side; so do leaves, of which the first bank is
that on the side of positive x. Text in the file (names of patient, plan and fields) is not read.

References
----------
Varian Medical Systems, *TrueBeam Trajectory Log File Specification*; signs as in pylinac's
``log_analyzer``, which was compared with delivered fields.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array
from dosegrad.beams.photon_deliveries import MachineMotion, PhotonRecord
from dosegrad.errors import BeamError, FileFormatError

__all__ = ["is_trajectory_log", "read_trajectory_log"]

_SIGNATURE: Final = b"VOSTL"
_HEADER: Final = 1024
_SUB_BEAM: Final = 560
_MAX_BYTES: Final = 1_000_000_000
_MAX_AXES: Final = 64
_MAX_SUB_BEAMS: Final = 1000
_CM: Final = 10.0
#: Numbers of axes in the header.
_AXES: Final = {
    "collimator": 0, "gantry": 1, "y1": 2, "y2": 3, "x1": 4, "x2": 5, "mu": 40, "point": 42,
    "leaves": 50,
}  # fmt: skip
#: Scales in which angles run from 180° the other way round, and those as of IEC 61217.
_MACHINE_SCALES: Final = (1, 3)
_IEC_SCALES: Final = (2,)


def _sides(parts: tuple[tuple[int, float], ...]) -> Array:
    widths = np.concatenate([np.full(n, width) for n, width in parts])
    return np.concatenate([[0.0], np.cumsum(widths)]) - 0.5 * float(widths.sum())


#: Sides of leaves by the number of the model, mm.
_MODELS: Final = {
    2: _sides(((10, 10.0), (40, 5.0), (10, 10.0))),
    3: _sides(((14, 5.0), (32, 2.5), (14, 5.0))),
}


@dataclass(frozen=True, slots=True)
class _Header:
    """What the header says of the data."""

    interval: float
    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    scale: int
    n_sub_beams: int
    is_truncated: bool
    n_samples: int
    model: int


def is_trajectory_log(path: Path) -> bool:
    """Whether a file begins as trajectory logs do."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def read_trajectory_log(path: str | Path) -> tuple[PhotonRecord, ...]:
    """The beams of a trajectory log: one, or several if they were sequenced automatically.

    Raises
    ------
    FileFormatError
        If the file is missing, cut off or damaged, or its scale or leaves are not known.
    """
    place = Path(path)
    try:
        size = place.stat().st_size
        if size > _MAX_BYTES:
            raise FileFormatError(
                f"{place.name}: larger than {_MAX_BYTES / 1e9:g} GB, which no beam needs."
            )
        content = place.read_bytes()
    except OSError as error:
        raise FileFormatError(
            f"there is no trajectory log at '{place}' ({error.strerror}); check the path."
        ) from error
    header = _header(content, place.name)
    starts = _sub_beams(content, header)
    values = _values(content, header, place.name)
    try:
        return tuple(_records(values, header, starts))
    except BeamError as error:
        raise FileFormatError(f"{place.name}: {error}") from error


def _header(content: bytes, name: str) -> _Header:
    if len(content) < _HEADER or not content.startswith(_SIGNATURE):
        raise FileFormatError(f"{name}: is no trajectory log; give the .bin file of the machine.")
    length, interval, n_axes = struct.unpack_from("<3i", content, 32)
    if length != _HEADER or not 1 <= n_axes <= _MAX_AXES or not 1 <= interval <= 10_000:
        raise FileFormatError(f"{name}: has an impossible header; copy the log again.")
    numbers = struct.unpack_from(f"<{2 * n_axes + 5}i", content, 44)
    axes, sizes = numbers[:n_axes], numbers[n_axes : 2 * n_axes]
    scale, n_sub_beams, truncated, n_samples, model = numbers[2 * n_axes :]
    missing = [word for word, number in _AXES.items() if number not in axes]
    if missing:
        raise FileFormatError(f"{name}: does not hold {', '.join(missing)}; it cannot be used.")
    if scale not in (*_MACHINE_SCALES, *_IEC_SCALES) or model not in _MODELS:
        raise FileFormatError(
            f"{name}: scale {scale} or leaf model {model} is not known; scales 1 to 3 and models "
            f"{', '.join(map(str, _MODELS))} are."
        )
    leaves = 2 * (_MODELS[model].size - 1) + 2  # with both carriages
    expected = {axis: leaves if axis == _AXES["leaves"] else 1 for axis in _AXES.values()}
    if len(set(axes)) < n_axes or any(
        size != expected.get(axis, size) or not 1 <= size <= 1000
        for axis, size in zip(axes, sizes, strict=True)
    ):
        raise FileFormatError(f"{name}: numbers of samples by axis contradict each other.")
    if not 0 <= n_sub_beams <= _MAX_SUB_BEAMS or n_samples < 2:
        raise FileFormatError(
            f"{name}: {n_samples} samples of {n_sub_beams} sub-beams are not possible; copy the "
            "log again."
        )
    return _Header(
        interval / 1000.0, axes, sizes, scale, n_sub_beams, truncated != 0, n_samples, model
    )


def _sub_beams(content: bytes, header: _Header) -> list[int]:
    """Control points at which sub-beams begin."""
    if len(content) < _HEADER + header.n_sub_beams * _SUB_BEAM:
        return []  # the length of the file is checked with the values
    return [
        int(struct.unpack_from("<i", content, _HEADER + k * _SUB_BEAM)[0])
        for k in range(header.n_sub_beams)
    ]


def _values(content: bytes, header: _Header, name: str) -> dict[str, NDArray[Any]]:
    """Expected and actual values by name of the axis, (samples, values of the axis, 2)."""
    width = sum(header.sizes)
    start = _HEADER + header.n_sub_beams * _SUB_BEAM
    count = header.n_samples * width * 2
    if len(content) < start + 4 * count:
        raise FileFormatError(
            f"{name}: is cut off: {header.n_samples} samples are declared, the file holds "
            f"{max(len(content) - start, 0) // (8 * width)}. Copy the log again."
        )
    table = np.frombuffer(content, dtype="<f4", count=count, offset=start)
    table = table.reshape(header.n_samples, width, 2).astype(float)
    ends = np.cumsum(header.sizes)
    where = {axis: slice(int(e - s), int(e)) for axis, s, e in zip(
        header.axes, header.sizes, ends, strict=True
    )}  # fmt: skip
    found = {word: table[:, where[number]] for word, number in _AXES.items()}
    if not all(np.isfinite(each).all() for each in found.values()):
        raise FileFormatError(f"{name}: holds values that are not finite numbers; copy it again.")
    return found


def _records(
    values: dict[str, NDArray[Any]], header: _Header, starts: list[int]
) -> list[PhotonRecord]:
    """One record for each sub-beam, or one for all."""
    notes = ("the machine cut the log short",) if header.is_truncated else ()
    point = values["point"][:, 0, 1]
    bounds = [*starts, np.inf] if len(starts) > 1 else [-np.inf, np.inf]
    found = []
    for low, high in pairwise(bounds):
        mine = np.flatnonzero((point >= low) & (point < high))
        if mine.size < 2:
            continue
        motions = [_motion(values, mine, kind, header.scale) for kind in (0, 1)]
        if motions[0].total <= 0 and motions[1].total <= 0:
            continue  # imaging, or a movement without beam
        found.append(
            PhotonRecord(
                mine.astype(float) * header.interval, motions[0], motions[1], _MODELS[header.model],
                "trajectory log", notes,
            )
        )  # fmt: skip
    if not found:
        raise BeamError("holds no sample with beam; it records imaging or a movement.")
    return found


def _motion(
    values: dict[str, NDArray[Any]], samples: NDArray[Any], kind: int, scale: int
) -> MachineMotion:
    """Expected (0) or actual (1) values of some samples, mm and degree, IEC 61217."""
    one = {word: each[samples, :, kind] for word, each in values.items()}
    steps = np.maximum(np.diff(one["mu"][:, 0], prepend=one["mu"][0, 0]), 0.0)
    turn = 1.0 if scale in _IEC_SCALES else -1.0
    base = 0.0 if scale in _IEC_SCALES else 180.0
    jaws = [sign * _CM * one[word] for word, sign in
            (("x1", -1.0), ("x2", 1.0), ("y1", -1.0), ("y2", 1.0))]  # fmt: skip
    tips = _CM * one["leaves"][:, 2:]  # after both carriages
    pairs = tips.shape[1] // 2
    return MachineMotion(
        np.cumsum(steps),
        (base + turn * one["gantry"][:, 0]) % 360.0,
        (base + turn * one["collimator"][:, 0]) % 360.0,
        np.concatenate(jaws, axis=1),
        -tips[:, pairs:],
        tips[:, :pairs],
    )
