"""Influence matrices from a patient and beams, written straight into their final arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_array

from dosegrad._version import __version__
from dosegrad.arrays import Float32Array
from dosegrad.beams.beam import Beams
from dosegrad.engines.protocols import (
    BeamColumns,
    ChecksPatient,
    ForwardEngine,
    InfluenceEngine,
    SeesElectrons,
    SeesWater,
)
from dosegrad.errors import (
    BeamError,
    CapabilityError,
    PatientError,
    PlanError,
    SettingsError,
    unknown_name,
)
from dosegrad.executor import resolve_executor
from dosegrad.geometry.grid import Grid, Triple
from dosegrad.influence.biology import (
    TissueEngine,
    check_model,
    columns_from_let,
    machine_classes,
    map_tissues,
)
from dosegrad.influence.effect_columns import EffectColumns, is_variable
from dosegrad.influence.matrix import Influence
from dosegrad.influence.scenarios import Scenarios
from dosegrad.influence.shards import build_columns, build_scenarios
from dosegrad.patient.patient import OutsideBody, Patient
from dosegrad.patient.water import electron_medium, water_medium
from dosegrad.progress import report
from dosegrad.rbe.protocols import LETModel, RBEModel
from dosegrad.rbe.tissue import TissueMap
from dosegrad.registry import DEFAULT_ENGINES, ENGINES, load_object

__all__ = [
    "VoxelChoice",
    "check_positions",
    "choose_grid",
    "choose_voxels",
    "compute_influence",
    "default_engine",
    "describe_engine",
    "prepare_medium",
    "resolve_engine",
]

#: Rows of a matrix: ``"body"``, ``"planning"``, names of structures, or a mask.
VoxelChoice: TypeAlias = Literal["body", "planning"] | Sequence[str] | ArrayLike


def compute_influence(
    patient: Patient,
    beams: Beams,
    *,
    engine: str | InfluenceEngine | None = None,
    dose_spacing: Triple | None = None,
    grid: Grid | None = None,
    voxels: VoxelChoice = "body",
    quantities: Sequence[str] = ("dose",),
    rbe: RBEModel | None = None,
    scenarios: Scenarios | None = None,
    robust_structures: Sequence[str] | None = None,
    cluster: object | None = None,
) -> Influence:
    """Dose per unit weight of every column of ``beams`` on the voxels that matter.

    The columns are counted first; then the arrays of the matrix are made, once, in their final
    types (float32 values, int32 rows) and filled. An interruption is heard between rays.

    Parameters
    ----------
    patient, beams
        Whom to irradiate, and with what.
    engine
        A name, or an engine with settings such as ``engines.PencilBeam(lateral_cutoff=0.999)``; by
        default ``"photon-kernel"`` for photon machines, else ``"pencil-beam"``.
    dose_spacing
        Spacing (z, y, x) of the dose grid, mm, over the box of the CT; by default that of
        :meth:`Patient.dose_grid`.
    grid
        A dose grid of its own, instead of ``dose_spacing``.
    voxels
        Rows of the matrix: ``"body"``; ``"planning"``, the structures with objectives and the
        targets; names of structures; or a Boolean mask (z, y, x) on the dose grid.
    quantities
        ``"dose"`` and what else the engine offers, such as ``"let_dose"``.
    rbe
        Model of the biological effect, such as ``rbe.ConstantRBE(1.1)``: the columns that it needs
        are computed besides, and objectives act on RBE-weighted dose unless they say otherwise.
    scenarios
        Errors of set-up and range whose matrices are wanted besides, for a robust plan.
    robust_structures
        Names of the structures that have rows in those matrices; by default targets and organs.
    cluster
        A Dask client or the address of a Dask scheduler: beams and scenarios are computed there,
        each a task, and the matrices of scenarios stay in the workers' memory, where
        :func:`~dosegrad.optimise` uses them.

    Raises
    ------
    UnknownNameError
        If engine, structure or quantity is not known.
    CapabilityError
        If engine or machine cannot give what the RBE model needs.
    BeamError
        If the beams were made for another patient position, or cannot be delivered.
    PatientError, TargetError
        If no voxel is chosen.
    """
    executor = resolve_executor(cluster)
    chosen = resolve_engine(default_engine(beams) if engine is None else engine)
    check_positions(patient, beams)
    names = _checked_quantities(chosen, beams, quantities, rbe)
    dose_grid = choose_grid(patient, grid=grid, dose_spacing=dose_spacing)
    rows = choose_voxels(patient, dose_grid, voxels)
    medium = prepare_medium(patient, dose_grid, chosen)
    tissue = None if rbe is None else map_tissues(patient, dose_grid, rows, rbe)

    maker = chosen
    if "alpha_dose" in names and tissue is not None:
        maker = TissueEngine(chosen, machine_classes(beams.particles, tissue))
    parts = build_columns(executor, maker, medium, beams, rows, names)
    matrix, extra = _assemble(parts, beams, rows.size, names)
    del parts
    if isinstance(rbe, LETModel) and tissue is not None:
        extra = {**extra, **columns_from_let(rbe, tissue, matrix, extra["let_dose"])}
    cases = None
    if scenarios is not None:
        cases = build_scenarios(
            *(executor, patient, beams, chosen, medium, dose_grid, rows),
            scenarios=scenarios,
            structures=robust_structures,
            biology=_biology(rbe, tissue),
        )
    return Influence(
        *(patient, beams, dose_grid, rows, matrix),
        extra=extra,
        provenance={
            **describe_engine(chosen),
            "machine": beams.machine.name,
            **({} if rbe is None else {"rbe": repr(rbe)}),
        },
        covers_body=isinstance(voxels, str) and voxels == "body",
        scenarios=cases,
        rbe=rbe,
        tissue=tissue,
    )


def _biology(model: RBEModel | None, tissue: TissueMap | None) -> EffectColumns | None:
    """What makes columns of alpha and beta in scenarios; ``None`` if dose is enough."""
    if model is None or tissue is None or not is_variable(model):
        return None
    return EffectColumns(model, tissue)


def default_engine(beams: Beams) -> str:
    """Name of the engine that is used for a machine of this modality unless one is named."""
    return DEFAULT_ENGINES[beams.machine.modality]


def resolve_engine(engine: str | InfluenceEngine | ForwardEngine) -> Any:
    """An engine with settings from its name, or the engine itself.

    Raises
    ------
    UnknownNameError
        If no engine has that name.
    SettingsError
        If it is something else.
    """
    if isinstance(engine, str):
        return load_object("engine", ENGINES, engine)()
    if isinstance(engine, type) or not isinstance(engine, (InfluenceEngine, ForwardEngine)):
        raise SettingsError(
            f"{engine!r} is no engine; give one of the names {', '.join(ENGINES)}, or settings "
            "such as engines.PencilBeam()."
        )
    return engine


def describe_engine(engine: object) -> dict[str, object]:
    """Provenance of what an engine computes: its name, settings, and the version of dosegrad."""
    settings = asdict(engine) if is_dataclass(engine) and not isinstance(engine, type) else {}
    return {"engine": type(engine).__name__, "settings": settings, "version": __version__}


def choose_grid(
    patient: Patient, *, grid: Grid | None = None, dose_spacing: Triple | None = None
) -> Grid:
    """The dose grid that was given, or the patient's of ``dose_spacing`` (z, y, x) mm.

    Raises
    ------
    SettingsError
        If both are given, or what is given is neither a grid nor three spacings.
    """
    if grid is not None and dose_spacing is not None:
        raise SettingsError("give either a dose grid or a dose spacing, not both.")
    if grid is not None and not isinstance(grid, Grid):
        raise SettingsError(
            f"{grid!r} is no dose grid; give a Grid, such as `dose.grid`, or "
            "dose_spacing=(z, y, x) in mm."
        )
    if dose_spacing is not None and not _is_triple(dose_spacing):
        raise SettingsError(
            f"{dose_spacing!r} is no spacing of a dose grid; give (z, y, x) in mm, such as "
            "(4, 4, 4)."
        )
    return grid if grid is not None else patient.dose_grid(dose_spacing)


def _is_triple(values: object) -> bool:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return numbers.shape == (3,)


def choose_voxels(patient: Patient, grid: Grid, voxels: VoxelChoice) -> NDArray[np.int64]:
    """Ascending flat indices (n,) into ``grid`` of the voxels chosen.

    Raises
    ------
    UnknownNameError
        If a name is neither a choice nor a structure.
    PatientError
        If nothing is chosen, or a mask does not fit the grid.
    """
    found = np.flatnonzero(_chosen_mask(patient, grid, voxels))
    if found.size == 0:
        raise PatientError(
            f"no voxel of the dose grid {grid} is chosen; choose structures that lie in it, or "
            "move the grid over the patient."
        )
    return found


def _chosen_mask(patient: Patient, grid: Grid, voxels: VoxelChoice) -> NDArray[np.bool_]:
    if isinstance(voxels, str):
        if voxels == "body":
            return patient.body_mask(grid)
        if voxels != "planning":
            raise unknown_name("choice of voxels", voxels, ("body", "planning"))
        targets = [n for n, s in patient.structures.items() if s.role == "target"]
        names = list(dict.fromkeys([*patient.objectives, *targets]))
        if not names:
            raise PatientError(
                "the patient has neither objectives nor a target to plan on; name the structures "
                "whose voxels the matrix shall have."
            )
        union = np.zeros(grid.shape, dtype=bool)
        for name in names:  # not asked for one by one, so some may be empty
            union |= patient.structure(name).mask(grid)
        return union
    if isinstance(voxels, Sequence) and all(isinstance(name, str) for name in voxels):
        return _union(patient, grid, [str(name) for name in voxels])
    mask = np.asarray(voxels)
    if mask.dtype != bool or mask.size != grid.n_voxels:
        raise PatientError(
            f"a voxel mask of shape {mask.shape} and type {mask.dtype} does not fit {grid}; give "
            "Booleans of its shape (z, y, x), or names of structures."
        )
    return mask.reshape(grid.shape)


def _union(patient: Patient, grid: Grid, names: Sequence[str]) -> NDArray[np.bool_]:
    union = np.zeros(grid.shape, dtype=bool)
    for name in names:
        union |= patient.mask(name, grid)
    return union


def prepare_medium(patient: Patient, grid: Grid, engine: object) -> Any:
    """The patient's medium on ``grid`` as the engine wants it; no more of it than it needs.

    Raises
    ------
    PatientError
        If the engine does not take the patient.
    """
    if isinstance(engine, ChecksPatient):
        engine.check_patient(patient)
    outside: OutsideBody = getattr(engine, "outside_body", "air")
    if isinstance(engine, SeesWater) and engine.sees_only_water:
        return water_medium(patient, grid, outside_body=outside)
    if isinstance(engine, SeesElectrons) and engine.sees_only_electrons:
        return electron_medium(patient, grid, outside_body=outside)
    return patient.medium(grid, outside_body=outside)


def check_positions(patient: Patient, beams: Beams) -> None:
    """Refuse beams that were made for another patient position.

    Raises
    ------
    BeamError
        If there is one.
    """
    for beam in beams:
        if beam.position != patient.ct.position:
            raise BeamError(
                f"the beam at gantry {beam.gantry:g}° was made for a patient in position "
                f"{beam.position}, but this one lies {patient.ct.position}. Steer the beams for "
                "this patient."
            )


def _checked_quantities(
    engine: InfluenceEngine, beams: Beams, quantities: Sequence[str], rbe: RBEModel | None
) -> tuple[str, ...]:
    if not isinstance(engine, InfluenceEngine):
        raise CapabilityError(
            f"engine {type(engine).__name__} computes no influence matrix; engines that do: "
            f"{', '.join(ENGINES)}."
        )
    is_photon = getattr(engine, "is_for_photons", False)
    offered = engine.quantities(beams.machine if is_photon else beams.particles)
    wanted = (quantities,) if isinstance(quantities, str) else quantities
    if rbe is not None:
        check_model(rbe, beams.machine, offered)
        wanted = (*wanted, *rbe.needs)
    names = tuple(dict.fromkeys(("dose", *wanted)))
    for name in names:
        if name not in offered:
            raise unknown_name(
                f"quantity of {type(engine).__name__} with machine {beams.machine.name!r}",
                *(name, offered),
            )
    if rbe is None and not {"alpha_dose", "sqrt_beta_dose"}.isdisjoint(names):
        raise CapabilityError(
            "columns of alpha and beta need to know tissues; give rbe=rbe.LinearQuadratic(...)."
        )
    return names


def _assemble(
    parts: Sequence[BeamColumns], beams: Beams, n_rows: int, names: Sequence[str]
) -> tuple[csc_array, Mapping[str, Float32Array]]:
    """Matrix of dose and values of the other quantities, from the columns of all beams."""
    counts = np.concatenate([part.count() for part in parts])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    n = int(indptr[-1])
    if n == 0:
        raise PlanError(
            "no spot reaches any of the chosen voxels; check isocentre, energies and voxels."
        )
    indices = np.empty(n, dtype=np.int32)
    values = {name: np.empty(n, dtype=np.float32) for name in names}
    for index, part in enumerate(parts):
        part.fill(indptr[beams.columns_of(index)], indices, values)
    report("influence", 1.0, f"{n} values")
    small = np.int32 if n < np.iinfo(np.int32).max else np.int64
    shape = (n_rows, beams.n_columns)
    matrix = csc_array((values.pop("dose"), indices, indptr.astype(small)), shape=shape)
    matrix.has_sorted_indices = True
    return matrix, values
