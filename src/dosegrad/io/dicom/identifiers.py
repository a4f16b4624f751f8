"""UIDs made from content, and the file by which a written study is known again."""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

__all__ = ["MARKER", "OUTLINED", "make_uid"]

#: File that :func:`dosegrad.write_dicom` puts beside the study and finds when it replaces one.
MARKER: Final = "dosegrad-study.json"

#: ROIGenerationDescription of structures whose contours run along voxel faces of the CT.
OUTLINED: Final = "dosegrad: voxels of the CT, outlined along their faces"

#: Root of UIDs that are UUIDs (PS3.5 B.2).
_ROOT: Final = "2.25."


def make_uid(*parts: str | bytes) -> str:
    """A UID that depends on ``parts`` alone: the same for the same content, new for any change.

    It is 2.25 and a UUID of version 8 whose bits come from SHA-256, at most 44 characters.

    Examples
    --------
    >>> make_uid("plan", "a") == make_uid("plan", "a") != make_uid("plan", "b")
    True
    >>> len(make_uid("dose")) <= 44
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8") if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    bits = int.from_bytes(digest.digest()[:16], "big")
    bits &= ~((0xF << 76) | (0x3 << 62))
    bits |= (8 << 76) | (2 << 62)
    return _ROOT + str(uuid.UUID(int=bits).int)
