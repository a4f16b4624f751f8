"""Elements and materials: composition, density, mean excitation energy.

Sources: atomic weights of IUPAC 2013 (abridged); mean excitation energies of elements in compounds
and of the named materials ICRU Report 49 [ICRU49]_ with compositions as PSTAR uses them; tissues
``schneider-00`` to ``schneider-23`` after Schneider, Bortfeld and Schlegel 2000, table 6
[Schneider2000]_, each bin named by its number, lowest HU first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from types import MappingProxyType
from typing import Final

from dosegrad.errors import MachineError, unknown_name

__all__ = [
    "AIR",
    "ELEMENTS",
    "MATERIALS",
    "SCHNEIDER_BINS",
    "SCHNEIDER_LOWER_EDGES",
    "WATER",
    "Element",
    "Material",
    "material",
    "with_element_i_values",
]


@dataclass(frozen=True, slots=True)
class Element:
    """One element as it occurs in compounds.

    Parameters
    ----------
    symbol
        Chemical symbol.
    charge
        Atomic number Z.
    mass
        Atomic weight A, g/mol.
    i_value
        Mean excitation energy in compounds, eV.
    """

    symbol: str
    charge: int
    mass: float
    i_value: float


#: Elements by symbol.
ELEMENTS: Final[Mapping[str, Element]] = MappingProxyType(
    {
        symbol: Element(symbol, charge, mass, i_value)
        for symbol, charge, mass, i_value in (
            ("H", 1, 1.008, 19.2),
            ("C", 6, 12.011, 81.0),
            ("N", 7, 14.007, 82.0),
            ("O", 8, 15.999, 106.0),
            ("F", 9, 18.998, 112.0),
            ("Na", 11, 22.990, 168.37),
            ("Mg", 12, 24.305, 176.28),
            ("Al", 13, 26.982, 166.0),
            ("P", 15, 30.974, 195.49),
            ("S", 16, 32.06, 203.4),
            ("Cl", 17, 35.45, 180.0),
            ("Ar", 18, 39.948, 188.0),
            ("K", 19, 39.098, 214.7),
            ("Ca", 20, 40.078, 215.83),
            ("Ti", 22, 47.867, 263.29),
        )
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """A homogeneous material.

    Parameters
    ----------
    name
        Key of :data:`MATERIALS`.
    density
        Nominal mass density, g/cm3.
    fractions
        Mass fraction by symbol of the element; normalised to a sum of one.
    i_value
        Mean excitation energy, eV; 0 asks for Bragg additivity over the elements,
        ln I = sum(w Z/A ln I_el) / sum(w Z/A).
    """

    name: str
    density: float
    fractions: Mapping[str, float]
    i_value: float = 0.0

    def __post_init__(self) -> None:
        for symbol in self.fractions:
            if symbol not in ELEMENTS:
                raise unknown_name("element", symbol, ELEMENTS)
        total = sum(self.fractions.values())
        if not total > 0 or min(self.fractions.values()) < 0 or not self.density > 0:
            raise MachineError(
                f"material {self.name!r} needs a positive density and mass fractions that are not "
                f"negative, not {self.density!r} and {dict(self.fractions)!r}; correct the table."
            )
        kept = {s: w / total for s, w in self.fractions.items() if w > 0}
        object.__setattr__(self, "fractions", MappingProxyType(kept))
        if not self.i_value > 0:
            object.__setattr__(self, "i_value", self._bragg_i_value())

    def __repr__(self) -> str:
        return f"Material({self.name!r}, {self.density:g} g/cm3, I {self.i_value:.1f} eV)"

    @property
    def composition(self) -> tuple[tuple[Element, float], ...]:
        """Elements with their mass fractions."""
        return tuple((ELEMENTS[symbol], w) for symbol, w in self.fractions.items())

    @property
    def z_over_a(self) -> float:
        """Electrons per gram over the Avogadro constant, mol/g."""
        return sum(w * e.charge / e.mass for e, w in self.composition)

    def _bragg_i_value(self) -> float:
        logs = sum(w * e.charge / e.mass * log(e.i_value) for e, w in self.composition)
        return exp(logs / self.z_over_a)


# Mean excitation energies of the pure elements, eV [ICRU49]_.
_PURE_I_VALUES: Final = {
    "H": 19.2, "C": 81.0, "N": 82.0, "O": 95.0, "F": 115.0, "Na": 149.0, "Mg": 156.0, "Al": 166.0,
    "P": 173.0, "S": 180.0, "Cl": 174.0, "Ar": 188.0, "K": 190.0, "Ca": 191.0, "Ti": 233.0,
}  # fmt: skip


def with_element_i_values(material: Material) -> Material:
    """``material`` with the mean excitation energies of pure elements, by Bragg additivity.

    Geant4 and MCsquare take mixtures so; the stopping power of tissues is some 1 % higher than with
    the values of elements in compounds.

    Examples
    --------
    >>> round(with_element_i_values(MATERIALS["schneider-18"]).i_value, 1)
    93.2
    """
    logs = sum(
        w * e.charge / e.mass * log(_PURE_I_VALUES[e.symbol]) for e, w in material.composition
    )
    return Material(
        material.name, material.density, dict(material.fractions), exp(logs / material.z_over_a)
    )


_SCHNEIDER_SYMBOLS = ("H", "C", "N", "O", "Mg", "P", "S", "Cl", "Ar", "Ca", "Na", "K", "Ti")

# Lower edge in HU, a nominal density in g/cm3 at the middle of the bin from Schneider's lines,
# and percent by mass of the elements above.
_SCHNEIDER_TABLE: Final = (
    (-1000, 0.00121, (0, 0, 75.5, 23.2, 0, 0, 0, 0, 1.3, 0, 0, 0, 0)),
    (-950, 0.4789, (10.3, 10.5, 3.1, 74.9, 0, 0.2, 0.3, 0.3, 0, 0, 0.2, 0.2, 0)),
    (-120, 0.9269, (11.6, 68.1, 0.2, 19.8, 0, 0, 0.1, 0.1, 0, 0, 0.1, 0, 0)),
    (-82, 0.9582, (11.3, 56.7, 0.9, 30.8, 0, 0, 0.1, 0.1, 0, 0, 0.1, 0, 0)),
    (-52, 0.9850, (11.0, 45.8, 1.5, 41.1, 0, 0.1, 0.2, 0.2, 0, 0, 0.1, 0, 0)),
    (-22, 1.0118, (10.8, 35.6, 2.2, 50.9, 0, 0.1, 0.2, 0.2, 0, 0, 0, 0, 0)),
    (8, 1.0300, (10.6, 28.4, 2.6, 57.8, 0, 0.1, 0.2, 0.2, 0, 0, 0, 0.1, 0)),
    (19, 1.0609, (10.3, 13.4, 3.0, 72.3, 0, 0.2, 0.2, 0.2, 0, 0, 0.2, 0.2, 0)),
    (80, 1.1199, (9.4, 20.7, 6.2, 62.2, 0, 0, 0.6, 0.3, 0, 0, 0.6, 0, 0)),
    (120, 1.1117, (9.5, 45.5, 2.5, 35.5, 0, 2.1, 0.1, 0.1, 0, 4.5, 0.1, 0.1, 0)),
    (200, 1.1650, (8.9, 42.3, 2.7, 36.3, 0, 3.0, 0.1, 0.1, 0, 6.4, 0.1, 0.1, 0)),
    (300, 1.2242, (8.2, 39.1, 2.9, 37.2, 0, 3.9, 0.1, 0.1, 0, 8.3, 0.1, 0.1, 0)),
    (400, 1.2834, (7.6, 36.1, 3.0, 38.0, 0.1, 4.7, 0.2, 0.1, 0, 10.1, 0.1, 0, 0)),
    (500, 1.3426, (7.1, 33.5, 3.2, 38.7, 0.1, 5.4, 0.2, 0, 0, 11.7, 0.1, 0, 0)),
    (600, 1.4018, (6.6, 31.0, 3.3, 39.4, 0.1, 6.1, 0.2, 0, 0, 13.2, 0.1, 0, 0)),
    (700, 1.4610, (6.1, 28.7, 3.5, 40.0, 0.1, 6.7, 0.2, 0, 0, 14.6, 0.1, 0, 0)),
    (800, 1.5202, (5.6, 26.5, 3.6, 40.5, 0.2, 7.3, 0.3, 0, 0, 15.9, 0.1, 0, 0)),
    (900, 1.5794, (5.2, 24.6, 3.7, 41.1, 0.2, 7.8, 0.3, 0, 0, 17.0, 0.1, 0, 0)),
    (1000, 1.6386, (4.9, 22.7, 3.8, 41.6, 0.2, 8.3, 0.3, 0, 0, 18.1, 0.1, 0, 0)),
    (1100, 1.6978, (4.5, 21.0, 3.9, 42.0, 0.2, 8.8, 0.3, 0, 0, 19.2, 0.1, 0, 0)),
    (1200, 1.7570, (4.2, 19.4, 4.0, 42.5, 0.2, 9.2, 0.3, 0, 0, 20.1, 0.1, 0, 0)),
    (1300, 1.8162, (3.9, 17.9, 4.1, 42.9, 0.2, 9.6, 0.3, 0, 0, 21.0, 0.1, 0, 0)),
    (1400, 1.8754, (3.6, 16.5, 4.2, 43.2, 0.2, 10.0, 0.3, 0, 0, 21.9, 0.1, 0, 0)),
    (1500, 1.9346, (3.4, 15.5, 4.2, 43.5, 0.2, 10.3, 0.3, 0, 0, 22.5, 0.1, 0, 0)),
)

#: Lower edges of Schneider's bins, HU, ascending; the last bin is open above.
SCHNEIDER_LOWER_EDGES: Final = tuple(edge for edge, _, _ in _SCHNEIDER_TABLE)

#: Schneider's 24 materials, in the order of :data:`SCHNEIDER_LOWER_EDGES`.
SCHNEIDER_BINS: Final = tuple(
    Material(
        f"schneider-{number:02d}",
        density,
        dict(zip(_SCHNEIDER_SYMBOLS, percent, strict=True)),
    )
    for number, (_, density, percent) in enumerate(_SCHNEIDER_TABLE)
)

#: Liquid water with the mean excitation energy of ICRU 49 and PSTAR.
WATER: Final = Material("water", 1.0, {"H": 0.111894, "O": 0.888106}, 75.0)

#: Dry air near sea level.
AIR: Final = Material(
    "air", 0.00120479, {"C": 0.000124, "N": 0.755267, "O": 0.231781, "Ar": 0.012827}, 85.7
)

_NAMED = (
    WATER,
    AIR,
    Material("pmma", 1.19, {"H": 0.080538, "C": 0.599848, "O": 0.319614}, 74.0),
    Material("polyethylene", 0.94, {"H": 0.143711, "C": 0.856289}, 57.4),
    Material("polystyrene", 1.06, {"H": 0.077418, "C": 0.922582}, 68.7),
    Material("polycarbonate", 1.2, {"H": 0.055491, "C": 0.755751, "O": 0.188758}, 73.1),
    Material(
        "a-150",
        1.127,
        {"H": 0.101327, "C": 0.7755, "N": 0.035057, "O": 0.052316, "F": 0.017422, "Ca": 0.018378},
        65.1,
    ),
    Material(
        "adipose",
        0.92,
        {"H": 0.119477, "C": 0.63724, "N": 0.00797, "O": 0.232333, "Na": 0.0005, "Mg": 0.00002}
        | {"P": 0.00016, "S": 0.00073, "Cl": 0.00119, "K": 0.00032, "Ca": 0.00002},
        63.2,
    ),
    Material(
        "muscle",
        1.04,
        {"H": 0.100637, "C": 0.10783, "N": 0.02768, "O": 0.754773, "Na": 0.00075, "Mg": 0.00019}
        | {"P": 0.0018, "S": 0.00241, "Cl": 0.00079, "K": 0.00302, "Ca": 0.00003},
        75.3,
    ),
    Material(
        "compact-bone",
        1.85,
        {"H": 0.063984, "C": 0.278, "N": 0.027, "O": 0.410016, "Mg": 0.002, "P": 0.07}
        | {"S": 0.002, "Ca": 0.147},
        91.9,
    ),
    Material(
        "cortical-bone",
        1.85,
        {"H": 0.047234, "C": 0.14433, "N": 0.04199, "O": 0.446096, "Mg": 0.0022, "P": 0.10497}
        | {"S": 0.00315, "Ca": 0.20993},
        106.4,
    ),
    Material("aluminium", 2.6989, {"Al": 1.0}, 166.0),
    # Density of Gammex Solid Water HE; composition of its forerunner, as in
    # doi:10.1088/0031-9155/59/1/83.
    Material(
        "solid-water",
        1.032,
        {"H": 0.08, "C": 0.673, "N": 0.0239, "O": 0.1987, "Cl": 0.0014, "Ca": 0.0231},
    ),
)

#: Every material by name.
MATERIALS: Final[Mapping[str, Material]] = MappingProxyType(
    {m.name: m for m in (*_NAMED, *SCHNEIDER_BINS)}
)


def material(name: str) -> Material:
    """The material called ``name``.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists the known ones.
    """
    if name not in MATERIALS:
        raise unknown_name("material", name, MATERIALS)
    return MATERIALS[name]
