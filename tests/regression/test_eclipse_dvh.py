"""Dose-volume histograms against the tables of Eclipse, CERR and SlicerRT for one prostate plan."""

import base64
import gzip
import struct
import xml.etree.ElementTree as ElementTree
import zlib

import numpy as np
import pytest

from dosegrad import Dose, Grid
from dosegrad.evaluation.dose_volume import structure_dvh
from dosegrad.patient.contours import ContourShape
from dosegrad.patient.structure_tools import grow
from dosegrad.patient.structures import Structure

SYSTEMS = ("Eclipse", "CERR", "SlicerRT")
NAMES = ("BODY", "Bladder", "Femoral Head Lt", "Femoral Head RT", "PTV", "Rectum")

_NRRD_TYPES = {"float": "<f4", "unsigned char": "u1", "short": "<i2"}
_VTK_TYPES = {"Float32": "<f4", "Float64": "<f8", "Int32": "<i4", "Int64": "<i8"}


@pytest.fixture(scope="module")
def folder(data):
    return data / "dicom" / "slicerrt_eclipse_prostate"


@pytest.fixture(scope="module")
def dose(folder):
    values, grid = read_nrrd(folder / "EclipseProstate_Dose.nrrd")
    return Dose(grid, values.astype(float))


@pytest.fixture(scope="module")
def curves(folder, dose):
    found = {}
    for number, name in enumerate(NAMES):
        path = (
            folder
            / "EclipseProstate_Structures.seg"
            / f"EclipseProstate_Structures.seg_{number}.vtp"
        )
        found[name] = structure_dvh(dose, Structure(name, read_contours(path, spacing=2.5)))
    return found


def table_of(folder, system):
    """Dose, Gy, and volume, %, of each structure, as a system printed them."""
    path = folder / f"EclipseProstate_DvhTable_{system}.csv"
    values = np.genfromtxt(path, delimiter=",", skip_header=1)
    pairs = (values[:, 2 * k : 2 * k + 2] for k in range(len(NAMES)))
    return {n: p[np.isfinite(p).all(axis=1)] for n, p in zip(NAMES, pairs, strict=True)}


def share_met(curve, table, maximum):
    """Share of a table's points met within 1 % of volume or 1 % of the maximum dose."""
    at, volume = table.T
    near = np.abs(100 * curve.volume_at(at) - volume) <= 1.0
    low = 100 * curve.volume_at(at + 0.01 * maximum)
    high = 100 * curve.volume_at(at - 0.01 * maximum)
    return float((near | ((low <= volume) & (volume <= high))).mean())


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_eclipse_is_met_at_98_of_100_points(folder, dose, curves, name):
    maximum = dose.array.max()
    shares = {s: share_met(curves[name], table_of(folder, s)[name], maximum) for s in SYSTEMS}
    print(f"{name}: " + ", ".join(f"{s} {100 * v:.2f} %" for s, v in shares.items()))
    assert shares["Eclipse"] >= 0.98


@pytest.mark.parametrize(("name", "number"), [("Bladder", 1), ("Rectum", 5)])
def test_a_margin_is_the_one_that_slicer_makes(folder, dose, name, number):
    path = (
        folder / "EclipseProstate_Structures.seg" / f"EclipseProstate_Structures.seg_{number}.vtp"
    )
    organ = Structure(name, read_contours(path, spacing=2.5))
    theirs, grid = read_segment(folder / f"EclipseProstate_Expanded_5_5_5_{name}.seg.nrrd")
    ours = grow(organ, 5.0, grid).mask(grid)
    both = np.count_nonzero(ours & (theirs > 0))
    dice = 2 * both / (np.count_nonzero(ours) + np.count_nonzero(theirs))
    print(f"{name} + 5 mm: {ours.sum() * grid.voxel_volume_cc:.1f} cc, Dice {dice:.3f}")
    assert dice >= 0.95


def read_nrrd(path):
    """Values (z, y, x) and their grid, of a gzip-coded file with axial LPS axes."""
    fields, values = nrrd_parts(path)
    nx, ny, nz = (int(n) for n in fields["sizes"].split())
    assert fields["space"] == "left-posterior-superior"
    dx, dy, dz = np.diag([vector(text) for text in fields["space directions"].split()])
    return values.reshape(nz, ny, nx), Grid(
        (nz, ny, nx), (dz, dy, dx), vector(fields["space origin"])
    )


def read_segment(path):
    """The one segment of a file of SlicerRT and its grid: RAS axes, stored from its extent on."""
    fields, values = nrrd_parts(path)
    nx, ny, nz, _ = (int(n) for n in fields["sizes"].split())
    steps = np.diag([vector(text) for text in fields["space directions"].split()])[:3]
    dx, dy, dz = steps * [-1.0, -1.0, 1.0]  # LPS
    first = [int(n) for n in fields["Segment0_Extent"].lstrip("=").split()[::2]]
    corner = np.array(vector(fields["space origin"])[:3]) * [-1.0, -1.0, 1.0]
    origin = tuple(float(v) for v in corner + np.array(first) * [dx, dy, dz])
    return values.reshape(nz, ny, nx) > 0, Grid((nz, ny, nx), (dz, dy, dx), origin)


def nrrd_parts(path):
    head, body = path.read_bytes().split(b"\n\n", 1)
    lines = [line.split(":", 1) for line in head.decode().splitlines() if ":" in line]
    fields = {key: value.strip() for key, value in lines}
    return fields, np.frombuffer(gzip.decompress(body), _NRRD_TYPES[fields["type"]])


def vector(text):
    return tuple(float(v) for v in text.strip("()").split(","))


def read_contours(path, *, spacing):
    """The region of a VTP file of planar contours, RAS there, LPS here."""
    piece = ElementTree.parse(path).getroot().find(".//Piece")
    points = _array(piece.find("Points/DataArray")).reshape(-1, 3) * [-1.0, -1.0, 1.0]
    connectivity, offsets = (_array(item) for item in piece.find("Lines"))
    polygons = [points[part] for part in np.split(connectivity, offsets[:-1])]
    return ContourShape.from_polygons(polygons, spacing=spacing)


def _array(element):
    text = "".join(element.text.split())
    n_blocks = struct.unpack("<I", base64.b64decode(text[:8])[:4])[0]
    n_head = -(-4 * (3 + n_blocks) // 3) * 4
    sizes = struct.unpack(f"<{n_blocks}I", base64.b64decode(text[:n_head])[12 : 12 + 4 * n_blocks])
    coded, parts, start = base64.b64decode(text[n_head:]), [], 0
    for size in sizes:
        parts.append(zlib.decompress(coded[start : start + size]))
        start += size
    return np.frombuffer(b"".join(parts), _VTK_TYPES[element.get("type")])
