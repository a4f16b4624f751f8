"""The deterministic proton engine: dose from the transport equation along beamlets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dosegrad.arrays import Array, Float32Array, IntArray, Weights
from dosegrad.beams.beam import Beams
from dosegrad.engines.yoda._march_arrays import Layers, Record, Slowing
from dosegrad.engines.yoda._tracing_arrays import Scene
from dosegrad.engines.yoda.adaptive import Adaptive, choose_schemes, is_number
from dosegrad.engines.yoda.beamlets import SpotAxes, prepare_spots
from dosegrad.engines.yoda.grid_march import march_on_grid, prepare_grid
from dosegrad.engines.yoda.materials import MaterialTables, material_tables
from dosegrad.engines.yoda.nuclear_rates import mass_removal
from dosegrad.engines.yoda.paths import check_calibrated, media_of, step_length
from dosegrad.engines.yoda.range_march import RangeMarch
from dosegrad.engines.yoda.scoring import score, score_column, voxels_of
from dosegrad.engines.yoda.splitting import Splitting
from dosegrad.engines.yoda.transport import BeamTransport, Scored
from dosegrad.engines.yoda.wet import SharedMarch, prepare_wet
from dosegrad.errors import CapabilityError, SettingsError, unknown_name
from dosegrad.geometry.grid import Grid
from dosegrad.machine.particle import ParticleMachine
from dosegrad.patient.medium import Medium
from dosegrad.patient.patient import OutsideBody, Patient
from dosegrad.physics.materials import WATER, with_element_i_values
from dosegrad.physics.scattering import ScatteringModel
from dosegrad.physics.stopping import WATER_I_VALUE
from dosegrad.progress import report

__all__ = ["DoseTo", "Mode", "TissueIValues", "Yoda", "YodaColumns"]

#: How the transport equation is solved.
Mode: TypeAlias = Literal["range-frame", "energy-grid", "wet"]
#: Mean excitation energies of tissues: of elements in compounds, or of pure elements.
TissueIValues: TypeAlias = Literal["compounds", "elements"]
#: What dose is counted per: the mass of tissue, or that of water that stops as much.
DoseTo: TypeAlias = Literal["auto", "medium", "water"]

_ADAPTIVE: Final = Adaptive()
_BATCH: Final = 400_000  # beamlets times steps that are worked on at once
_MANY_VOXELS: Final = 4_000_000
_NEGLIGIBLE: Final = 1e-4  # of a column's largest value, below which entries are left out


@dataclass(frozen=True, slots=True)
class Yoda:
    r"""Dose of proton spots from the Fokker-Planck equation along beamlets.

    Each spot is split into narrow beamlets. Along the axis of each, the energy spectrum obeys

    .. math:: \frac{\partial\varphi}{\partial z} = \frac{\partial (S\varphi)}{\partial E}
              + \frac12 \frac{\partial^2 (T\varphi)}{\partial E^2} - \Sigma_a \varphi

    and the lateral spread follows Fermi-Eyges theory with the scattering power averaged over the
    spectrum. Tissue is told from tissue by density and composition; nothing is looked up in
    measured curves. With the default calibration 0 HU is soft tissue of 1.018 g/cm3, not water.

    Parameters
    ----------
    mode
        ``"range-frame"`` (default), ``"energy-grid"`` (the method of the paper, slower), or
        ``"wet"`` (one solve in water, read at water-equivalent depths; fastest).
    nuclear
        Whether nuclei take protons out of the beam and secondary protons deposit dose; without,
        interactions are electromagnetic alone.
    water_i_value
        Mean excitation energy of water, eV: 75 as in ICRU 49, 78 as in Geant4 and MCsquare.
    scattering
        Model of :func:`dosegrad.physics.scattering.mass_scattering_power`.
    splitting
        Beamlets of every spot; by default as many as the heterogeneity in front of each spot asks
        for, see :class:`~dosegrad.engines.yoda.adaptive.Adaptive`.
    tissue_i_values
        ``"compounds"``: mean excitation energies of elements in compounds (ICRU 49);
        ``"elements"``: of pure elements, as Geant4 and MCsquare mix them.
    sharing
        Range frame: width of the classes of paths that share one solve, as the mean difference of
        their stopping power per gram from water's; 0 solves along every path.
    dose_to
        ``"medium"``: energy over mass, as Monte Carlo programs score it; ``"water"``: dose to a
        little water in the tissue, as treatment plans and pencil beams state it; ``"auto"``
        (default): to water with machines whose data were measured there, to the medium with ideal
        beams.
    outside_body
        ``"air"`` (default): what lies outside the external structure counts as air; ``"ct"``: as
        the CT says.

    Raises
    ------
    UnknownNameError
        If a name is not among the choices.
    SettingsError
        If the mean excitation energy is no number of eV between 60 and 90, or another setting is
        not of its kind.

    References
    ----------
    Burlacu, Lathouwers and Perkó 2024 [Burlacu2024]_.
    """

    mode: Mode = "range-frame"
    nuclear: bool = True
    water_i_value: float = WATER_I_VALUE
    scattering: ScatteringModel = "differential-moliere"
    splitting: Splitting | Adaptive = _ADAPTIVE
    tissue_i_values: TissueIValues = "compounds"
    sharing: float = 0.004
    dose_to: DoseTo = "auto"
    outside_body: OutsideBody = "air"

    def __post_init__(self) -> None:
        choices = (
            ("mode of the deterministic engine", self.mode, get_args(Mode)),
            ("scattering model", self.scattering, get_args(ScatteringModel)),
            ("choice of tissue_i_values", self.tissue_i_values, get_args(TissueIValues)),
            ("choice of dose_to", self.dose_to, get_args(DoseTo)),
            ("treatment of voxels outside the body", self.outside_body, get_args(OutsideBody)),
        )
        for kind, name, known in choices:
            if name not in known:
                raise unknown_name(kind, name, known)
        if not (is_number(self.water_i_value) and 60.0 <= self.water_i_value <= 90.0):
            raise SettingsError(
                f"a mean excitation energy of water of {self.water_i_value!r} eV is not possible; "
                "give 75 (ICRU 49) or 78 (Geant4, MCsquare)."
            )
        if not (is_number(self.sharing) and 0.0 <= self.sharing < 1.0):
            raise SettingsError(
                f"{self.sharing!r} is no width of the classes of paths that share a solve; give a "
                "number from 0 (a solve for every path) to below 1, such as 0.004."
            )
        if not isinstance(self.splitting, Splitting | Adaptive):
            raise SettingsError(
                f"{self.splitting!r} is no splitting of spots; give one of engines.yoda.splitting, "
                "such as split_on_rings(), or the settings Adaptive()."
            )
        if not isinstance(self.nuclear, bool | np.bool_):
            raise SettingsError(
                f"nuclear is True or False, not {self.nuclear!r}; say whether protons interact "
                "with nuclei."
            )

    def dose_grid(self, patient: Patient) -> Grid:
        """The CT's grid unless it has more than four million voxels, then the patient's."""
        grid = patient.ct.grid
        return grid if grid.n_voxels <= _MANY_VOXELS else patient.dose_grid()

    def check_patient(self, patient: Patient) -> None:
        """Raise if the CT holds metal that the calibration does not know.

        Raises
        ------
        PatientError
            If so.
        """
        check_calibrated(patient, self.outside_body)

    def quantities(self, machine: ParticleMachine) -> tuple[str, ...]:
        """``"dose"`` and ``"let_dose"``.

        Raises
        ------
        CapabilityError
            If the machine's particles are no protons.
        """
        if machine.modality != "protons":
            raise CapabilityError(
                f"engine Yoda transports protons, and machine {machine.name!r} delivers "
                f"{machine.modality}; use engine 'pencil-beam' for it."
            )
        return ("dose", "let_dose")

    def forward(self, medium: Medium, beams: Beams, weights: Weights, voxels: IntArray) -> Array:
        """Dose (n_voxels,), Gy, of ``weights`` (n_columns,), 10^6 particles, without a matrix.

        Raises
        ------
        EnergyError
            If an energy is outside the tables.
        CapabilityError
            If the machine's particles are no protons.
        BeamError
            If a spot with a weight misses the patient.
        """
        self.quantities(beams.particles)
        total = np.zeros(medium.grid.n_voxels)
        grid = voxels_of(medium.grid)
        for index in range(len(beams)):
            weight = np.asarray(weights[beams.columns_of(index)], dtype=np.float64)
            chosen = np.flatnonzero(weight > 0)
            if chosen.size == 0:
                continue
            for done, parts in self._batches(medium, beams, index, chosen, must_hit=True):
                for pencils, profiles, spot in parts:
                    scaled = pencils._replace(weight=pencils.weight * weight[spot])
                    score(grid, scaled, profiles, total)
                report("dose", (index + done) / len(beams), f"beam {index + 1} of {len(beams)}")
        return total if len(voxels) == total.size else total[voxels]

    def prepare(
        self, medium: Medium, beams: Beams, beam_index: int, voxels: IntArray
    ) -> YodaColumns:
        """Columns of one beam on ``voxels``, ascending flat indices into the medium's grid."""
        n_columns = beams.columns[beams.columns_of(beam_index)].size
        row = np.full(medium.grid.n_voxels, -1, dtype=np.int32)
        row[voxels] = np.arange(len(voxels), dtype=np.int32)
        columns: list[tuple[NDArray[np.int32], Float32Array, Float32Array]] = []
        grid = voxels_of(medium.grid)
        every = np.arange(n_columns)
        for done, parts in self._batches(medium, beams, beam_index, every):
            columns.extend(
                _column(score_column(grid, _of_spot(parts, int(spot))), row)
                for spot in np.unique(parts[0].spot)
            )
            report("influence", done * 0.99, f"beam {beam_index + 1} of {len(beams)}")
        return YodaColumns(tuple(columns))

    def _batches(
        self,
        medium: Medium,
        beams: Beams,
        index: int,
        chosen: NDArray[np.intp],
        *,
        must_hit: bool = False,
    ) -> Iterator[tuple[float, list[Scored]]]:
        """Pencils of the ``chosen`` spots, some at a time, and the share that is done then."""
        transport = self.transport(medium, beams, index)
        schemes = self.schemes(transport, chosen)
        n_steps = float(transport.spots.length.max()) / transport.step + 1.0
        work = np.cumsum([s.n_beamlets * n_steps for s in schemes])
        batch = np.floor((work - 1.0) / _BATCH).astype(int)
        for number in np.unique(batch):
            part = np.flatnonzero(batch == number)
            picked = [schemes[int(i)] for i in part]
            yield (
                float(part[-1] + 1) / chosen.size,
                transport.pencils(chosen[part].tolist(), picked, must_hit=must_hit),
            )

    def schemes(self, transport: BeamTransport, chosen: NDArray[np.intp]) -> Sequence[Splitting]:
        """Scheme by which each of the ``chosen`` spots of a beam is split."""
        if isinstance(self.splitting, Splitting):
            return [self.splitting] * chosen.size
        return choose_schemes(self.splitting, transport, chosen)

    def transport(self, medium: Medium, beams: Beams, index: int) -> BeamTransport:
        """Everything that transports the spots of one beam through ``medium``."""
        tables, scene = self.see(medium)
        spots = prepare_spots(beams, index, medium.grid, self.scattering)
        return BeamTransport(
            grid=medium.grid,
            scene=scene,
            tables=tables,
            spots=spots,
            step=step_length(medium.grid, spots.frame[0, 0]),
            march=self._march(spots, tables),
            nuclear=self.nuclear,
            scattering=self.scattering,
            water_i_value=self.water_i_value,
            to_water=self._to_water(beams.particles),
        )

    def see(self, medium: Medium) -> tuple[MaterialTables, Scene]:
        """Tables of the materials of ``medium``, and its voxels for tracing."""
        materials, scene = media_of(medium)
        if self.tissue_i_values == "elements":
            materials = tuple(m if m is WATER else with_element_i_values(m) for m in materials)
        tables = material_tables(
            materials,
            removal=mass_removal if self.nuclear else None,
            water_i_value=self.water_i_value,
            scattering=self.scattering,
        )
        return tables, scene

    def _to_water(self, machine: ParticleMachine) -> bool:
        """Whether dose with ``machine`` is that to water."""
        return self.dose_to == "water" or (self.dose_to == "auto" and machine.ideal is None)

    def _march(
        self, spots: SpotAxes, tables: MaterialTables
    ) -> Callable[[Layers, Slowing], Record]:
        """The solver of this mode, with its tables made."""
        qualities = (spots.energies, spots.energy_stds)
        if self.mode == "energy-grid":
            grid = prepare_grid(
                *(tables.materials, *qualities),
                scattering=self.scattering,
                water_i_value=self.water_i_value,
            )
            return lambda layers, slowing: march_on_grid(grid, layers, slowing)
        march = RangeMarch().prepare(
            *qualities, scattering=self.scattering, water_i_value=self.water_i_value
        )
        if self.mode == "wet":
            return prepare_wet(march, tables).along
        return SharedMarch(march, tables, self.sharing).along


@dataclass(frozen=True, slots=True, eq=False)
class YodaColumns:
    """Columns of one beam; see :class:`dosegrad.engines.protocols.BeamColumns`.

    ``columns``: rows, dose (Gy) and LET times dose (keV/µm Gy) of each.
    """

    columns: tuple[tuple[NDArray[np.int32], Float32Array, Float32Array], ...]

    def count(self) -> NDArray[np.int64]:
        """Number of entries of each column, (n_columns of the beam,)."""
        return np.array([rows.size for rows, _, _ in self.columns], dtype=np.int64)

    def fill(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        values: Mapping[str, Float32Array],
    ) -> None:
        """Write rows and values into the arrays of a whole matrix, from ``indptr`` on."""
        for start, (rows, dose, let_dose) in zip(indptr, self.columns, strict=False):
            part = slice(int(start), int(start) + rows.size)
            indices[part], values["dose"][part] = rows, dose
            if "let_dose" in values:
                values["let_dose"][part] = let_dose


def _of_spot(parts: list[Scored], spot: int) -> list[Scored]:
    """The pencils of one spot."""
    found = []
    for pencils, profiles, owner in parts:
        rows = np.flatnonzero(owner == spot)
        mine = pencils._replace(**{name: getattr(pencils, name)[rows] for name in pencils._fields})
        found.append(Scored(mine, profiles, owner[rows]))
    return found


def _column(
    scored: tuple[NDArray[np.int64], Array, Array], row: NDArray[np.int32]
) -> tuple[NDArray[np.int32], Float32Array, Float32Array]:
    """Rows and values of one column from voxels and what they get."""
    voxels, dose, let_dose = scored
    kept = (row[voxels] >= 0) & (dose > _NEGLIGIBLE * dose.max(initial=0.0))
    return (
        row[voxels[kept]],
        dose[kept].astype(np.float32),
        let_dose[kept].astype(np.float32),
    )
