"""Copies of DICOM files without what identifies a person (PS3.15, basic profile)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dosegrad.errors import CapabilityError, FileFormatError, OutputError
from dosegrad.io.dicom.attributes import text
from dosegrad.io.dicom.identifiers import MARKER, make_uid
from dosegrad.io.dicom.stream import is_dicom, read_data_set, reading
from dosegrad.io.dicom.writing.folders import replacing_folder
from dosegrad.progress import report

__all__ = ["deidentify"]

#: Edition of the standard whose table of attributes is followed.
_EDITION: Final = "dicomfields_2026c"

#: What stands where the profile wants a value, by kind of value.
_DUMMIES: Final[dict[str, Any]] = {
    **{"DA": "19000101", "TM": "000000", "DT": "19000101000000", "AS": "000Y"},
    **{"DS": "0", "IS": "0", "FL": 0.0, "FD": 0.0, "SL": 0, "SS": 0, "UL": 0, "US": 0},
    **{"UN": b"", "OB": b"", "OW": b""},
}
#: Kinds of value that hold a short text.
_TEXTS: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_METHOD: Final = "DICOM PS3.15 basic profile, by dosegrad"
#: Names that become numbers, because files refer to each other by them or people look for them.
_NUMBERED: Final = {(0x3006, 0x0026): "ROI", (0x300A, 0x00C2): "Beam"}
#: What the folder of copies is, as its marker says.
_COPIES: Final = "dosegrad de-identified copies"
#: The profile's table misses attributes that people fill in; these are replaced too: by kind of
#: value, and labels, names and remarks by how their keyword ends, but for those about equipment.
_PERSONAL: Final = frozenset({"PN", "DA", "DT", "LT", "ST", "UT", "UC"})
_FREE_TEXT: Final = ("Comment", "Comments", "Description", "Label", "Name", "InAlternativeCalendar")
_EQUIPMENT: Final = "ManufacturerModelName"
#: UIDs that name classes and syntaxes of the standard begin so; they identify nobody.
_STANDARD: Final = "1.2.840.10008."


@dataclass(frozen=True, slots=True)
class _Profile:
    """Attributes by what happens to them, and the secret that new UIDs depend on."""

    removed: frozenset[tuple[int, ...]]
    emptied: frozenset[tuple[int, ...]]
    replaced: frozenset[tuple[int, ...]]
    renamed: frozenset[tuple[int, ...]]
    groups: tuple[tuple[int, ...], ...]
    pseudonym: str
    secret: str
    keeps_names: bool
    seen: dict[str, dict[str, int]] = field(default_factory=dict)


def deidentify(
    source: str | Path,
    target: str | Path,
    *,
    pseudonym: str = "anonymous",
    secret: str | None = None,
    keep_structure_names: bool = False,
) -> int:
    """Write copies of all DICOM files of a folder that name nobody; returns their number.

    Attributes are removed, emptied, replaced or renamed as the basic application level
    confidentiality profile says, at every depth; private attributes are removed. UIDs change, the
    same ones in the same way, so that references still hold. Pixels are copied as they are: what
    is drawn into an image stays.

    Parameters
    ----------
    source
        The folder, subfolders included.
    target
        A new folder beside it, or one that this wrote.
    pseudonym
        Name and number of the patient in the copies.
    secret
        New UIDs depend on it and on the old ones; the same secret gives the same UIDs again, and
        whoever does not have it cannot tell the old ones. By default one of chance.
    keep_structure_names
        Keep names of structures, which planning needs and people choose. The profile renames
        them.

    Raises
    ------
    FileFormatError
        If the folder is missing, a file is damaged, or an image says that text is burned in.
    OutputError
        If the target holds something else or cannot be written.
    CapabilityError
        If ``dicom-anonymizer``, which brings the table of the profile, is not installed.
    """
    place = Path(source)
    if not place.is_dir():
        raise FileFormatError(f"'{place}' is no folder; give the folder of a study.")
    _check_apart(place, Path(target))
    profile = _profile(pseudonym, secret or secrets.token_hex(16), keep_structure_names)
    files = [path for path in sorted(place.rglob("*")) if path.is_file() and path.name != MARKER]
    files = [path for path in files if is_dicom(path)]
    if not files:
        raise FileFormatError(f"'{place}' holds no DICOM file; give the folder of a study.")
    with replacing_folder(Path(target), _COPIES) as folder:
        for number, path in enumerate(files, start=1):
            data = read_data_set(path)
            with reading(path):
                if "DirectoryRecordSequence" in data:
                    continue
                _clean_file(data, profile, path)
                _save(data, folder / f"{number:06d}.dcm")
            report("de-identification", number / len(files), f"{number} of {len(files)} files")
    return len(files)


def _check_apart(source: Path, target: Path) -> None:
    """Copies neither replace what they are made of nor lie among it."""
    here, there = source.resolve(), target.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise OutputError(
            f"the copies cannot go to '{target}', which is, holds or lies in the folder that is "
            "read; give a new folder beside it."
        )


def _profile(pseudonym: str, secret: str, keeps_names: bool) -> _Profile:
    """The profile's table, each attribute under the most careful action that keeps files valid."""
    try:
        from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
    except ImportError:
        raise CapabilityError(
            "de-identification needs the table of the standard's profile; install it with "
            "pip install 'dosegrad[deid]'."
        ) from None
    table = dicom_anonymization_database_selector(_EDITION)
    dummies = [*table["D_TAGS"], *table["Z_D_TAGS"], *table["X_D_TAGS"], *table["X_Z_D_TAGS"]]
    emptied = [*table["Z_TAGS"], *table["X_Z_TAGS"]]
    removed = [*table["X_TAGS"], *table["X_Z_U_STAR_TAGS"]]
    return _Profile(
        removed=frozenset(map(tuple, removed)),
        emptied=frozenset(map(tuple, emptied)),
        replaced=frozenset(map(tuple, dummies)),
        renamed=frozenset(map(tuple, table["U_TAGS"])),
        groups=tuple(tuple(tag) for tag in removed if len(tag) > 2),
        pseudonym=pseudonym,
        secret=secret,
        keeps_names=keeps_names,
    )


def _clean_file(data: Any, profile: _Profile, path: Path) -> None:
    """Apply the profile to a data set and say so in it."""
    if text(data, "BurnedInAnnotation").upper() == "YES":
        raise FileFormatError(
            f"{path.name}: its pixels are said to hold burned-in text, which cannot be removed; "
            "leave the file out."
        )
    data.remove_private_tags()
    _clean(data, profile)
    data.PatientName, data.PatientID = f"{profile.pseudonym}^", profile.pseudonym
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = _METHOD


def _clean(data: Any, profile: _Profile) -> None:
    for element in list(data):
        tag = (int(element.tag.group), int(element.tag.element))
        if tag in _NUMBERED:
            _number_name(element, _NUMBERED[tag], profile)
        elif tag in profile.removed or _in_group(tag, profile):
            del data[element.tag]
        elif element.VR == "UI":
            if tag in profile.renamed:
                _rename(element, profile)
        elif element.VR == "SQ":
            _clean_items(data, element, tag, profile)
        elif tag in profile.emptied:
            element.value = None
        elif tag in profile.replaced or (element.value and _is_personal(element)):
            element.value = _dummy(str(element.VR))


def _is_personal(element: Any) -> bool:
    """Whether people may have written into an attribute that the profile says nothing of."""
    if str(element.VR) in _PERSONAL:
        return True
    word = str(element.keyword)
    return str(element.VR) in {"LO", "SH"} and word.endswith(_FREE_TEXT) and word != _EQUIPMENT


def _clean_items(data: Any, element: Any, tag: tuple[int, int], profile: _Profile) -> None:
    """A sequence that the profile empties goes; of others every item is cleaned."""
    if tag in profile.emptied:
        element.value = []
        return
    for item in element.value:
        _clean(item, profile)


def _in_group(tag: tuple[int, int], profile: _Profile) -> bool:
    """Whether a repeating group that is removed holds the attribute, such as curves."""
    return any(
        (tag[0] & group[2], tag[1] & group[3]) == (group[0] & group[2], group[1] & group[3])
        for group in profile.groups
    )


def _rename(element: Any, profile: _Profile) -> None:
    """New UIDs for old ones, the same for the same."""
    from pydicom.uid import UID

    old = element.value
    many = old if not isinstance(old, str) and old is not None else [old]
    new = [
        UID(uid if str(uid).startswith(_STANDARD) else make_uid("person", profile.secret, str(uid)))
        for uid in many
        if uid
    ]
    element.value = new[0] if len(new) == 1 else new


def _number_name(element: Any, word: str, profile: _Profile) -> None:
    """``ROI 1``, ``ROI 2``...; the same name gets the same one in all files."""
    if profile.keeps_names and word == "ROI":
        return
    known = profile.seen.setdefault(word, {})
    number = known.setdefault(str(element.value), len(known) + 1)
    element.value = f"{word} {number}"


def _dummy(kind: str) -> Any:
    if kind in _TEXTS:
        return "removed"
    return _DUMMIES.get(kind)


def _save(data: Any, path: Path) -> None:
    from pydicom import dcmwrite

    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.preamble = b"\0" * 128
    dcmwrite(path, data, enforce_file_format=True)
