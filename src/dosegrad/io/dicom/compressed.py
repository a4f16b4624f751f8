"""Images in JPEG, JPEG-LS or JPEG 2000, decoded in a process of their own.

A decoder that is fed a hostile file may crash and take its process with it; so it has one to
itself, which gives back arrays or nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from dosegrad.errors import FileFormatError
from dosegrad.io.dicom.limits import MAX_VOXELS

__all__ = ["decode_images"]

#: Time for one file, s, and for starting.
_PER_FILE: Final = 5.0
_START: Final = 60.0

#: Run by the process: decodes each file and saves what comes out under its number.
_PROGRAM: Final = """
import sys
import numpy as np
import SimpleITK as sitk

sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
folder, most = sys.argv[1], int(sys.argv[2])
for number, path in enumerate(sys.stdin.read().split("\\0")):
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(path)
    reader.ReadImageInformation()
    if not 0 < np.prod(reader.GetSize(), dtype=float) <= most:
        raise SystemExit(3)
    np.save(f"{folder}/{number}.npy", sitk.GetArrayFromImage(reader.Execute()))
"""


def decode_images(paths: Sequence[Path]) -> dict[Path, np.ndarray]:
    """Values (frames, rows, columns) of each file, scaled by its RescaleSlope and -Intercept.

    Raises
    ------
    FileFormatError
        If a file cannot be decoded.
    """
    with tempfile.TemporaryDirectory(prefix="dosegrad-") as folder:
        names = "\0".join(str(path.resolve()) for path in paths)
        command = [sys.executable, "-I", "-c", _PROGRAM, folder, str(MAX_VOXELS)]
        limit = _START + _PER_FILE * len(paths)
        try:
            ended = subprocess.run(
                command, input=names.encode(), capture_output=True, timeout=limit, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            ended = -1
        done: dict[Path, np.ndarray] = {}
        for number, path in enumerate(paths):
            place = Path(folder) / f"{number}.npy"
            if not place.is_file():
                break
            done[path] = np.load(place, allow_pickle=False)
        if ended != 0 or len(done) < len(paths):
            raise FileFormatError(
                f"{paths[min(len(done), len(paths) - 1)].name}: its compressed pixels cannot be "
                "decoded: the file is damaged, or of a kind that is not supported. Export it "
                "uncompressed."
            )
        return done
